"""`kill -9` at every boundary of the timeline, there and back: before a write, in it, after it, after its fsync.

After an effect and before its result is before the next record's write."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from cockpit.model import events as ev
from cockpit.model.words import Side
from cockpit.systems.memory.apps import AppPlan
from cockpit.timeline.journal import verify
from tests.simulate.disk import Moment
from tests.simulate.scene import Verdict, fly
from tests.simulate.story import Move, Story
from tests.simulate.troubles import FOR_EVER, Trouble, When, guardian_killed, killed_at_record, server_down, stalled
from tests.simulate.worst import FORCE, WORST

APPS = (AppPlan("app-01", "pooler-1", rate=4.0), AppPlan("app-02", "pooler-2", rate=4.0), AppPlan("app-03", "channel-1", rate=4.0))
THERE_AND_BACK = Story(7, 2, 1, 0.005, APPS, (Move("fly"), Move("back"), Move("close")), (), True)
SHARDS = 12
ON_GREEN = (Move("fly"), Move("soak", 1.0), Move("worst", 1.0), Move("force", 0.1), Move("soak", 0.5), Move("close"))
STOOD = Trouble("replication from green stands still", When(WORST), stalled(Side.GREEN, FOR_EVER))
DEAD = Trouble("green is dead", When(FORCE), server_down(Side.GREEN, FOR_EVER))
FORCED = {
    "dead": replace(THERE_AND_BACK, moves=ON_GREEN, troubles=(STOOD, DEAD)),
    "behind": replace(THERE_AND_BACK, moves=ON_GREEN, troubles=(STOOD,)),
}


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


@cache
def forced(green: str) -> Verdict:
    return fly(FORCED[green])


def records_of(green: str) -> tuple[int, int]:
    """Of the ungraceful rollback: its first record, and how many the run has."""
    events = verify(forced(green).timeline).events
    first = next(n for n, event in enumerate(events, 1) if isinstance(event.fact, ev.HandoverOpened) and event.fact.ungraceful)
    return first, len(events)


@pytest.mark.parametrize("green", FORCED)
def test_undisturbed_it_goes_back_without_what_blue_has_not(green: str) -> None:
    assert forced(green).broken == ()
    assert forced(green).ended == "pilot: rolled-back"


def moments_of(number: int, green: str, alone: bool) -> tuple[Moment, ...]:
    """Every moment; every other one where the world goes on for minutes of a dead server, and one where nobody is left to see them apart."""
    if alone:
        return (Moment.SYNCED,)
    return tuple(Moment)[number % 2 :: 2] if green == "dead" else tuple(Moment)


@pytest.mark.parametrize("shard", range(4))
@pytest.mark.parametrize("alone", [False, True], ids=["guardian", "nobody left"])
@pytest.mark.parametrize("green", FORCED)
def test_a_pilot_killed_at_any_boundary_of_an_ungraceful_rollback_loses_nothing(green: str, alone: bool, shard: int) -> None:
    """What blue has not, green keeps; whoever comes after it, a guardian or a person who goes on or home."""
    first, last = records_of(green)
    boundaries = [(number, moment) for number in range(first, last + 1) for moment in moments_of(number, green, alone)][shard::4]
    failed = []
    for number, moment in boundaries:
        died = Trouble(f"killed at record {number}, {moment}", When(), killed_at_record(number, moment))
        unwatched = (Trouble("the guardian is killed", When(FORCE), guardian_killed),) if alone else ()
        story = FORCED[green]
        verdict = fly(replace(story, troubles=(*story.troubles, died, *unwatched), seed=story.seed + number))
        failed += [f"record {number}, {moment}: {text}" for text in verdict.broken]
    assert failed == []
