"""`kill -9` at every boundary of the timeline, there and back: before a write, in it, after it, after its fsync.

After an effect and before its result is before the next record's write."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from cockpit.systems.memory.apps import AppPlan
from cockpit.timeline.journal import verify
from tests.simulate.disk import Moment
from tests.simulate.scene import Verdict, fly
from tests.simulate.story import Move, Story
from tests.simulate.troubles import Trouble, When, killed_at_record

APPS = (AppPlan("app-01", "pooler-1", rate=4.0), AppPlan("app-02", "pooler-2", rate=4.0), AppPlan("app-03", "channel-1", rate=4.0))
THERE_AND_BACK = Story(7, 2, 1, 0.005, APPS, (Move("fly"), Move("back"), Move("close")), (), True)
SHARDS = 12


@cache
def undisturbed() -> Verdict:
    return fly(THERE_AND_BACK)


def records() -> int:
    return len(verify(undisturbed().timeline).events)


def killed(number: int, moment: Moment) -> Verdict:
    said = f"the pilot is killed at its record {number}, {moment}"
    return fly(replace(THERE_AND_BACK, troubles=(Trouble(said, When(), killed_at_record(number, moment)),)))


def test_undisturbed_it_goes_there_and_back() -> None:
    assert undisturbed().broken == ()
    assert undisturbed().ended == "pilot: rolled-back"
    kinds = [event.kind for event in verify(undisturbed().timeline).events]
    assert kinds.count("return.passed") == 2


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_pilot_killed_at_any_boundary_leaves_a_side_that_serves(shard: int) -> None:
    boundaries = [(number, moment) for number in range(1, records() + 1) for moment in Moment][shard::SHARDS]
    failed = []
    for number, moment in boundaries:
        verdict = killed(number, moment)
        failed += [f"record {number}, {moment}: {text}" for text in verdict.broken]
        if moment is not Moment.SYNCED and not verdict.ended.startswith("guardian") and 1 < number < records():
            failed.append(f"record {number}, {moment}: ended by {verdict.ended}")
    assert failed == []
