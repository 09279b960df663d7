"""The guardian takes over from a pilot that died at any step: home before the return, forward after it, and never half way."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.handover.guardian import Guardian
from cockpit.handover.watch import Stage
from cockpit.model.intents import Ask
from cockpit.model.state import replay
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.journal import read
from tests.handover.harness import Seat, quick_scenario

BEFORE = ("pause*", "fence blue on", "quiesce blue", "drain*", "sequences*", "route*")
AFTER = ("fence green off", "resume*")


class Dead:
    """A pilot's process that was killed."""

    pid = 1
    returncode = -9


async def die_at(memory: MemoryWorld, seat: Seat, call: str, kind: str) -> None:
    """The pilot stands still at its first `call` for ever, its timeline unlocked, as a killed process leaves it."""
    await seat.ready()
    assert (await seat.ask(Ask.ARM)).ok
    await seat.until(lambda s: s.mode is Mode.ARMED)
    fault = memory.faults.add(f"apply {call}", kind)
    assert (await seat.ask(Ask.GO, "arp")).ok
    await seat.until(lambda s: bool(fault.seen))
    seat.journal.close()


async def take_over(memory: MemoryWorld, seat: Seat, stage: Stage | None = None) -> int:
    guardian = Guardian(memory.world(), seat.timeline, 300.0)
    for told, direction in seat.watched.stages:
        guardian._enter(told, direction)
    return await guardian._after(Dead(), "the pilot was killed by signal 9")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", BEFORE)
def test_before_the_return_the_old_side_serves(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=21, apps=4, poolers=2, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await die_at(memory, seat, call, kind)
            assert await take_over(memory, seat) == 4
            state = replay(read(seat.timeline).events)
            assert state.mode is Mode.CLOSED
            assert state.outcome == "aborted"
            assert state.past[-1].outcome is Outcome.ABORTED
            assert memory.serving is Side.BLUE
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", AFTER)
def test_after_the_return_the_new_side_serves_and_nothing_stays_paused(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=22, apps=4, poolers=2, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await die_at(memory, seat, call, kind)
            assert await take_over(memory, seat) == 0
            assert memory.serving is Side.GREEN
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.GREEN, equal=True) == []

    run_warped(main())


def test_without_a_readable_timeline_the_last_stage_says_which_way(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=23, apps=4, poolers=1, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await die_at(memory, seat, "drain*", "hang")
            seat.timeline.unlink()
            assert seat.watched.stages[-1] == (Stage.STALLED, Direction.CUTOVER)
            assert await take_over(memory, seat) == 4
            assert memory.serving is Side.BLUE
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


def test_a_pilot_that_died_with_nothing_in_the_air_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=24, apps=2, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.ready()
            seat.journal.close()
            before = len(memory.faults.calls)
            assert await take_over(memory, seat) == 1
            made = [call for call in memory.faults.calls[before:] if call.startswith("apply")]
            assert made == []
            assert replay(read(seat.timeline).events).outcome == "failed"

    run_warped(main())


def test_a_rollback_that_died_leaves_green_serving(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=25, apps=4, poolers=1, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.ready()
            assert await seat.hand_over() is Outcome.DONE
            fault = memory.faults.add("apply drain*", "hang")
            assert (await seat.ask(Ask.BACK)).ok
            await seat.until(lambda s: bool(fault.seen))
            seat.journal.close()
            assert await take_over(memory, seat) == 4
            assert memory.serving is Side.GREEN
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.GREEN, equal=True) == []

    run_warped(main())
