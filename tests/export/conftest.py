"""A run folder with one handover, written by the real journal; any text of it may be made hostile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit.timeline.journal import Journal
from tests.facts import facts

SCORECARD = {
    "verdict": "fail",
    "why": ["one write came twice"],
    "sides_equal": True,
    "handovers": [
        {
            "direction": "cutover",
            "outcome": "done",
            "seconds": 1.2,
            "stall_ms": {"p50": 20, "p99": 61, "max": 68},
            "downtime_ms": 71.5,
            "overlap_ms": 0.0,
            "errors": 0,
            "lost": 0,
            "duplicated": 0,
            "steps": [],
            "apps": [{"name": "app-7", "channel": "pool", "stall_ms": 68, "errors": 0, "lost": 0, "duplicated": 0}],
        }
    ],
}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(word: str = "calm", *, scorecard: bool = False) -> Path:
        folder = tmp_path / "20260101-120000-arp-abcd"
        folder.mkdir(exist_ok=True)
        (folder / "timeline.jsonl").unlink(missing_ok=True)
        journal = Journal.create(folder / "timeline.jsonl", "pilot")
        for fact in facts(word):
            journal.append(fact, durable=False)
        journal.close()
        if scorecard:
            (folder / "scorecard.json").write_text(json.dumps(SCORECARD))
        return folder

    return make
