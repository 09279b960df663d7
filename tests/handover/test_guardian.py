"""The guardian takes over from a pilot that died at any step: home before the return, forward after it, and never half way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import LinkError, SystemFault
from cockpit.handover.guardian import GRACE_S, Guardian
from cockpit.handover.home import HOME_S
from cockpit.handover.watch import SILENT_S, UNRECORDABLE, Stage
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.crashed import AFTER, BEFORE, bury, guardian_of, kept, killed, owner, take_over
from tests.handover.harness import Seat, applied, quick_scenario, whole


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", BEFORE)
def test_before_the_return_the_old_side_serves(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=21, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, call, kind) as seat:
            assert await take_over(memory, seat) == 4
            state = kept(seat)
            assert state.mode is Mode.CLOSED
            assert state.outcome == "aborted"
            assert state.past[-1].outcome is Outcome.ABORTED
            await whole(memory, Side.BLUE)

    run_warped(main())


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", AFTER)
def test_after_the_return_the_new_side_serves_and_nothing_stays_paused(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=22, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, call, kind) as seat:
            assert await take_over(memory, seat) == 0
            await whole(memory, Side.GREEN)

    run_warped(main())


def test_without_a_readable_timeline_the_last_stage_says_which_way(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=23, apps=4, poolers=1, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as seat:
            seat.timeline.unlink()
            assert seat.watched.stages[-1] == (Stage.STALLED, Direction.CUTOVER)
            assert await take_over(memory, seat) == 4
            assert memory.serving is Side.BLUE
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


def test_a_pilot_that_could_record_nothing_any_more_is_named_so(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=29, apps=2, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.ready()
            seat.journal.close()
            assert await take_over(memory, seat, UNRECORDABLE, "") == 1
            alarm = next(alarm for alarm in kept(seat).alarms if alarm.id == "guardian")
            assert "took no record any more" in alarm.what

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
            assert applied(memory.faults, before) == []
            assert kept(seat).outcome == "failed"

    run_warped(main())


def test_a_rollback_that_died_leaves_green_serving(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=25, apps=4, poolers=1, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.cut_over()
            fault = memory.faults.add("apply drain*", "hang")
            assert (await seat.ask(Ask.BACK)).ok
            await seat.until(lambda s: bool(fault.seen))
            seat.journal.close()
            assert await take_over(memory, seat) == 4
            await whole(memory, Side.GREEN)

    run_warped(main())


def test_a_pilot_that_died_steering_gives_the_channels_back(tmp_path: Path) -> None:
    """Channels lead to the target already, writes flow, nothing is stalled: home all the same."""

    async def main() -> None:
        memory = MemoryWorld(seed=26, apps=8, poolers=1, channels=2, rate=2.0)
        async with killed(memory, tmp_path, "reconciler.catch_up") as seat:
            assert {channel.side for channel in memory.channels} == {Side.GREEN}
            assert not any(pooler.paused for pooler in memory.poolers)
            assert seat.watched.stages == [(Stage.STEERING, Direction.CUTOVER)]
            assert await take_over(memory, seat) == 4
            assert {channel.side for channel in memory.channels} == {Side.BLUE}
            assert kept(seat).past[-1].downtime_s is None
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


@pytest.mark.parametrize(
    ("call", "times", "error"),
    [
        ("probe fence blue on", 3, LinkError("no answer", where="blue")),
        ("probe fence blue on", 3, KeyError("foreign")),
        ("apply fence green off", 3, LinkError("no answer", where="green")),
        ("apply route pooler-1*", 3, SystemFault("busy", where="pooler-1")),
        ("apply resume pooler-1", 3, RuntimeError("foreign")),
    ],
)
def test_past_the_return_one_error_is_tried_again(tmp_path: Path, call: str, times: int, error: Exception) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=27, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply fence green off") as seat:
            fault = memory.faults.add(call, "error", times=times, error=error)
            assert await take_over(memory, seat) == 0
            assert fault.seen > times
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.GREEN, equal=True) == []

    run_warped(main())


def test_past_the_return_a_dead_pooler_keeps_no_other_paused(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=28, apps=4, poolers=3, channels=0, rate=2.0)
        async with killed(memory, tmp_path, "apply fence green off") as seat:
            memory.faults.add("apply route pooler-1*", "hang", times=0)
            memory.faults.add("apply resume pooler-1", "error", times=0)
            began = asyncio.get_running_loop().time()
            flight = asyncio.create_task(take_over(memory, seat))
            await seat.until(lambda s: not any(pooler.paused for pooler in memory.poolers[1:]))
            assert asyncio.get_running_loop().time() - began < 1.0
            assert await flight == 1
            state = kept(seat)
            assert state.past[-1].outcome is Outcome.STUCK
            assert state.serving is Side.GREEN
            assert state.mode is Mode.STUCK, "the run stays open: it can be taken up again"
            left = {alarm.what.split(":")[0] for alarm in state.alarms if alarm.id.startswith("open: ")}
            assert left == {"route pooler-1 to green", "resume pooler-1"}

    run_warped(main())


def test_an_origin_that_cannot_be_seen_keeps_the_target_fenced_and_nobody_paused(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=29, apps=4, poolers=1, channels=0, rate=2.0)
        async with killed(memory, tmp_path, "apply fence green off") as seat:
            memory.faults.link_down(Side.BLUE)
            assert await take_over(memory, seat) == 1
            assert memory.cluster.nodes[Side.GREEN].fenced
            assert not memory.poolers[0].paused
            assert "green was left as it is" in kept(seat).mode_why
            assert memory.watch.violations == []

    run_warped(main())


@pytest.mark.parametrize("timeline", ["read", "without its last word", "gone"])
def test_a_way_home_from_beyond_the_return_is_gone_on_with(tmp_path: Path, timeline: str) -> None:
    """The record of the return was written, the unfence never came, the pilot turned round and died half way: blue serves."""

    async def main() -> None:
        memory = MemoryWorld(seed=30, apps=4, poolers=2, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.armed()
            memory.faults.add("apply fence green off", "error", times=0, error=SystemFault("permission denied", where="green"))
            fault = memory.faults.add("apply route pooler-1 to blue", "hang", times=1)
            if timeline == "without its last word":
                record = seat.recorder.try_record
                seat.recorder.try_record = lambda fact, **how: None if isinstance(fact, ev.ModeChanged) else record(fact, **how)  # type: ignore[method-assign]
            await seat.go_into(fault)
            assert not memory.cluster.nodes[Side.BLUE].fenced
            bury(memory, seat)
            if timeline == "gone":
                seat.timeline.unlink()
            assert await take_over(memory, seat) == 4
            await whole(memory, Side.BLUE)

    run_warped(main())


@pytest.mark.parametrize("call", ["apply canary green to blue", "servers.census*"])
def test_a_pilot_that_hangs_while_it_lands_is_not_waited_for(tmp_path: Path, call: str) -> None:
    """Writes flow, but what it owes after them it owes still: silent there, it is followed as it is before."""

    async def main() -> None:
        memory = MemoryWorld(seed=31, apps=4, poolers=1, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.armed()
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(lambda s: s.handover is not None and s.handover.downtime_s is not None)
            fault = memory.faults.add(call, "hang")
            await seat.until(lambda s: bool(fault.seen))
            guardian = guardian_of(memory, seat)
            guardian._heard = asyncio.get_running_loop().time() - SILENT_S - 1
            assert "silent for 4.0 s in the middle of a handover" in guardian._overdue()
            bury(memory, seat)
            assert await take_over(memory, seat) == 0
            assert kept(seat).past[-1].outcome is Outcome.DONE
            assert memory.serving is Side.GREEN

    run_warped(main())


@pytest.mark.parametrize("readable", [True, False], ids=["timeline", "no timeline"])
def test_a_pause_that_arrives_when_its_guardian_has_finished_leaves_nothing_paused(tmp_path: Path, *, readable: bool) -> None:
    """It was sent, its answer was lost, and the pilot died before it looked again."""

    async def main() -> None:
        memory = MemoryWorld(seed=32, apps=4, poolers=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.armed()
            faults = memory.faults
            fault = faults.add("apply pause pooler-1", "late", seconds=1.5)
            await seat.go_into(fault)
            bury(memory, seat)
            if not readable:
                seat.timeline.unlink()
            assert await take_over(memory, seat) == 4
            await asyncio.gather(*faults._late)
            assert not memory.poolers[0].paused
            assert await memory.probe_apps() == []

    run_warped(main())


def test_the_guardian_says_what_it_waited_for() -> None:
    """Steering is no stall: the downtime budget runs from the stall, and a silent pilot is not waited for in either."""

    async def main() -> None:
        memory = MemoryWorld(seed=31)
        guardian = Guardian(memory.world(), Path("none"), 300.0, owner)
        loop = asyncio.get_running_loop()

        async def passes(seconds: float) -> None:
            await asyncio.sleep(seconds)
            guardian._heard = loop.time()

        guardian._enter(Stage.STEERING, Direction.CUTOVER)
        await passes(1000)
        assert guardian._overdue() == ""
        guardian._enter(Stage.STALLED, Direction.CUTOVER)
        await passes(300 + HOME_S + GRACE_S - 1)
        assert guardian._overdue() == ""
        await passes(2)
        assert guardian._overdue() == "writes were stalled for 366 s: the budget is 300 s, the way home may take 60 s"
        guardian._enter(Stage.SETTLED, Direction.CUTOVER)
        assert guardian._overdue() == ""
        for stage in (Stage.STEERING, Stage.STALLED, Stage.RETURNED):
            guardian._enter(stage, Direction.CUTOVER)
            guardian._heard = loop.time() - SILENT_S - 1
            assert "silent for 4.0 s" in guardian._overdue()

    run_warped(main())
