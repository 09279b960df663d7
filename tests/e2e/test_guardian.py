"""The pilot's process dies or freezes at real steps of a real handover under load: the guardian brings it down safely, by itself.

All rounds fly on one rig, each in a run of its own, in whatever direction the round before left; the ledgers of all are judged at
the end. When the signal arrives the pilot may have gone on by a step or two: what must follow is told by its timeline alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from cockpit import wiring
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.fleet import Path as Way
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.lead import Lead
from cockpit.drill.privileges import until_ended
from cockpit.drill.rig import Rig, Wanted
from cockpit.drill.scorecard import Flown, scorecard
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.state import RunState, replay
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Follower
from cockpit.timeline.journal import read
from tests.quick import quick

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]

SMALL = Wanted(rows=10_000, apps=15, rate=75.0, settings={"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"})
SERVED_AGAIN_S = 10.0
KILLED = "the pilot was killed by signal 9"


@dataclass
class Round:
    """One run whose pilot was struck, and how it ended."""

    folder: RunFolder
    direction: Direction
    struck: float
    code: int
    state: RunState

    @property
    def serving(self) -> Side:
        return self.direction.target if self.state.past[-1].past_return else self.direction.origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with Rig(claim(new_folder("test-")), SMALL) as standing:
        yield standing


@pytest.fixture(scope="module")
def rounds() -> list[Round]:
    return []


async def strike(rig: Rig, runs: Path, step: str, number: int) -> Round:
    """The pilot's process got the signal when its timeline told of `step`, and its guardian has left."""
    scenario = str(quick(runs))
    spec = wiring.read_order(rig.config, scenario, None).spec
    folder = wiring.open_run(runs, rig.config, scenario, spec, drill=True)
    guardian = launch_guardian(rig.claim, folder)
    lead = Lead(folder)
    try:
        await lead.ready()
        direction = lead.next_direction
        await lead.ask(Ask.ARM)
        await lead.until(lambda s: s.mode is Mode.ARMED, 120, "an armed handover")
        pilot = lead.state.owner_pid
        watching = asyncio.create_task(asyncio.to_thread(_strike_at, folder, step, pilot, number))
        await lead.ask(Ask.GO, lead.state.pair)
        struck = await watching
        assert await until_ended(guardian, 60), "the guardian did not leave"
    finally:
        await lead.leave()
        await end_guardian(guardian)
    reading = read(folder.timeline)
    assert reading.intact, reading.damage
    return Round(folder, direction, struck, guardian.returncode, replay(reading.events))


def _strike_at(folder: RunFolder, step: str, pid: int, number: int) -> float:
    follower, end = Follower(folder), time.monotonic() + 60
    try:
        while time.monotonic() < end:
            follower.poll()
            handover = follower.state.handover
            if handover is not None and any(s.id == step and s.started_mono is not None for s in handover.steps):
                os.kill(pid, number)
                return time.monotonic()
        raise AssertionError(f"step {step} never started")
    finally:
        follower.close()


async def until_writing(rig: Rig, since: float) -> float:
    """Seconds from `since` until every app behind the pooler had a write answered that it began after `since`."""
    assert rig.site is not None
    pooled = {app.name for app in rig.site.apps if app.path is Way.POOL}
    start = {name: total.writes for name, total in (await rig.control.totals()).items()}
    async with asyncio.timeout(SERVED_AGAIN_S + 10):
        while True:
            now = {name: total.writes for name, total in (await rig.control.totals()).items()}
            if all(now[name] > start[name] for name in pooled):
                break
            await asyncio.sleep(0.02)
    felt = await rig.control.interval(since, time.monotonic())
    assert {name: felt[name].errors for name in pooled} == dict.fromkeys(pooled, 0)
    return max(felt[name].stall_ms for name in pooled) / 1000


async def _settled(rig: Rig, serving: Side) -> None:
    """The serving side takes writes, the other is fenced, every pooler flows towards the serving side."""
    world = wiring.read_order(rig.config, "arp", None).world()
    try:
        await world.servers.open()
        await asyncio.gather(*(pooler.open() for pooler in world.poolers), *(channel.open() for channel in world.channels))
        assert (await world.servers.fence(serving, on=False).probe()).done
        assert (await world.servers.fence(serving.other, on=True).probe()).done
        for pooler in world.poolers:
            assert (await pooler.resume().probe()).done
            assert (await pooler.route(serving).probe()).done
        assert [await channel.intended() for channel in world.channels] == [serving] * len(world.channels)
    finally:
        await wiring.close(world)


def _guardians_acts(folder: RunFolder) -> list[str]:
    """The names of the actions that the guardian finished, from its taking the seat on."""
    facts = [event.fact for event in read(folder.timeline).events]
    seats = [number for number, fact in enumerate(facts) if isinstance(fact, ev.PilotSeated) and fact.role == "guardian"]
    assert len(seats) == 1
    return [fact.action for fact in facts[seats[0] :] if isinstance(fact, ev.ActionDone)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("step", "number"),
    # Killed before the return: test_chaos.py.
    [("quiesce", signal.SIGSTOP), ("mirror", signal.SIGKILL)],
)
async def test_a_struck_pilot_is_followed_by_its_guardian(
    rig: Rig, rounds: list[Round], tmp_path: Path, step: str, number: signal.Signals
) -> None:
    flown = await strike(rig, tmp_path, step, number)
    rounds.append(flown)
    state, last = flown.state, flown.state.past[-1]
    assert await until_writing(rig, flown.struck) < SERVED_AGAIN_S
    await _settled(rig, flown.serving)
    assert (state.owner_role, state.mode, state.serving, state.open_ends) == ("guardian", Mode.CLOSED, flown.serving, ())
    if last.past_return:
        assert (flown.code, last.outcome) == (0, Outcome.DONE)
        assert f"fence {flown.serving} off" in _guardians_acts(flown.folder)
    else:
        assert (flown.code, state.outcome, last.outcome) == (4, "aborted", Outcome.ABORTED)
        acts = _guardians_acts(flown.folder)
        assert acts[0] == f"fence {flown.serving.other} on"
        assert f"fence {flown.serving} off" in acts
        assert any(act.startswith("resume") for act in acts)
    why = next(alarm.what for alarm in state.alarms if alarm.id == "guardian")
    assert why == KILLED if number is signal.SIGKILL else why.startswith("the pilot has been silent")


@pytest.mark.asyncio(loop_scope="module")
async def test_in_all_of_it_no_write_was_lost_and_both_sides_are_equal(rig: Rig, rounds: list[Round]) -> None:
    assert rounds, "the rounds above come first"
    assert any(not each.state.past[-1].past_return for each in rounds)
    card = await scorecard(rig, [Flown(each.state.past[-1], {}) for each in rounds])
    assert [(each.lost, each.duplicated, each.overlap_ms) for each in card.handovers] == [(0, 0, 0.0)] * len(rounds)
    assert card.sides_equal, card.differing
    assert card.rig["writes"] > 1000
