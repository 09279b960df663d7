"""A short selection of `make chaos` and of `cockpit drill --fault`: real faults on a real rig under load, judged by the apps' records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cockpit.drill.chaos import Range, fly_all, task_of
from cockpit.drill.faults import fault
from cockpit.drill.rig import Wanted
from cockpit.drill.rounds import Round
from tests.e2e.test_drill import Place, place
from tests.quick import quick

__all__ = ["place"]

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]

SMALL = Wanted(
    rows=10_000,
    rate=75.0,
    proxied=True,
    settings={"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"},
)


async def test_what_fails_in_the_window_and_what_others_do_end_well(tmp_path: Path) -> None:
    told: list[Round] = []
    tasks = [task_of(fault(name), None) for name in ("column-on-green", "blue-half-open")]
    rounds = await fly_all(Range(SMALL, tmp_path, str(quick(tmp_path))), tasks, told.append)
    assert rounds == told
    assert [(each.fault, each.wrong) for each in rounds] == [(task.fault.name, ()) for task in tasks]
    ddl, cut = rounds
    assert ddl.handled.startswith("schema: the schema of green changed")
    assert ddl.safe_s is not None
    assert ddl.safe_s <= 2.0
    assert cut.where.startswith("window")


def test_a_drill_is_flown_under_a_fault_and_its_scorecard_says_so(place: Place, tmp_path: Path) -> None:
    asked = ("--headless", "--json", "--rows", "5000", "--rate", "100", "--fault", "pilot-killed@verify")
    flown = place.cockpit("drill", str(quick(tmp_path)), *asked, seconds=120)
    card = json.loads(flown.stdout)
    assert (flown.returncode, card["verdict"], card["why"]) == (0, "pass", []), flown.stderr
    assert card["fault"]["name"] == "pilot-killed"
    assert card["fault"]["struck_in"].startswith("window ")
    assert card["fault"]["handled"].startswith("aborted by the guardian: ")
    assert 0 < card["fault"]["safe_s"] < 10
    (handover,) = card["handovers"]
    assert (handover["outcome"], handover["lost"], handover["duplicated"], handover["overlap_ms"]) == ("aborted", 0, 0, 0.0)
    assert card["sides_equal"]
    assert place.processes() == []
