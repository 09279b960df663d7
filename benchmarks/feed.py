"""A run that is fed from outside, so that the screen alone is measured: a real folder, written four times a second by a process of its own.

`python -m benchmarks.feed FOLDER APPS TABLES` writes until it is ended: every app and every table, or of more than `MOVING` tables so many,
in each quarter of a second. It prints a line once all is there.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cockpit.model.telemetry import AppRoute, PulseSample, ReconSample, Sample, TableProof
from cockpit.model.words import Exactness, ProofState
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Latest
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from tests.screen.demo import READY, _facts, story

BEAT_S = 0.25
MOVING = 50
"""Tables that are proven anew in a beat, where there are more: 200 a second."""
A_SAMPLE = 500
STATES = (ProofState.EQUAL, ProofState.DIRTY, ProofState.EQUAL, ProofState.SCANNING)


def feed(folder: RunFolder, apps: int, tables: int) -> None:
    """The run is ready, then fed until the process is ended."""
    journal = Journal.create(folder.timeline, "pilot")
    for at, fact in _facts():
        if at < READY:
            journal.append(fact, durable=False)
    like = story(READY).latest
    samples = Samples(folder.samples)
    names = [f"schema_{number % 40:02d}.table_{number:05d}" for number in range(tables)]
    for first in range(0, tables, A_SAMPLE):
        samples.write(_proven(names[first : first + A_SAMPLE], names, 0))
    print("fed", flush=True)
    for beat in itertools.count():
        began = time.monotonic()
        for sample in _beat(like, beat, apps, names):
            samples.write(sample)
        time.sleep(max(BEAT_S - (time.monotonic() - began), 0.0))


def _beat(like: Latest, beat: int, apps: int, names: list[str]) -> Iterator[Sample]:
    """What is measured in one beat: like what the demo shows, and moving."""
    lag, routing, now = like.lag, like.routing, time.monotonic()
    assert lag is not None
    assert routing is not None
    behind = int(26_000 * (1 + math.sin(beat / 9)) * (1.6 + math.sin(beat * 0.4)))
    yield replace(lag, mono=now, lag_bytes=behind, lag_s=0.012 + behind / 4e6)
    yield replace(routing, mono=now, apps=tuple(_app(routing.apps, number, beat) for number in range(apps)))
    moving = min(len(names), MOVING)
    first = beat * moving % len(names)
    yield _proven((names + names)[first : first + moving], names, beat)
    if beat % 2 == 0:
        yield PulseSample(now, 4242, 10)
    if beat % 4 == 0:
        for sample in (like.gates, like.readiness, *like.servers.values(), *like.poolers.values()):
            if sample is not None:
                yield replace(sample, mono=now)


def _app(apps: tuple[AppRoute, ...], number: int, beat: int) -> AppRoute:
    like = apps[number % len(apps)]
    name = like.app if number < len(apps) else f"{like.app}-{number:03d}"
    return replace(like, app=name, writes_s=(like.writes_s or 0.0) * (1 + 0.2 * math.sin(beat / 3 + number)))


def _proven(moved: list[str], names: list[str], beat: int) -> ReconSample:
    now = time.monotonic()
    proofs = tuple(
        TableProof(
            name,
            1000 + beat,
            1000 + beat,
            STATES[(beat + number) % len(STATES)],
            Exactness.EXACT,
            1.0,
            now,
            "",
            f"select count(*) from {name}",
        )
        for number, name in enumerate(moved)
    )
    return ReconSample(now, 997 * len(names), 1000 * len(names), len(names), len(names), 312 + beat % 90, 0, now - 21, 0.013, 0.1, proofs)


def main() -> None:
    root, apps, tables = sys.argv[1:4]
    feed(RunFolder(Path(root)), int(apps), int(tables))


if __name__ == "__main__":
    main()
