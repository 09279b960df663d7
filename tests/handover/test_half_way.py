"""A handover that is half way is never forgotten: not closed as done, not flown over, not lost with its pilot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cockpit.errors import CockpitError, SystemFault
from cockpit.handover.watch import HALF_WAY
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.settling import Wish
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.journal import read
from tests.handover.apart import arm_force
from tests.handover.commanded import Told, settled
from tests.handover.crashed import bury, kept, killed, left, picture, take_over, taken_up
from tests.handover.harness import Seat, flying, quick_scenario, whole

NO = SystemFault("no", where="here")


def _world() -> MemoryWorld:
    return MemoryWorld(seed=51, apps=4, poolers=1, channels=1, rate=2.0)


@asynccontextmanager
async def _half_rolled_back(tmp_path: Path, call: str = "apply drain*") -> AsyncIterator[tuple[MemoryWorld, Seat]]:
    """A run that was taken up again: both processes were killed in the middle of its rollback."""
    memory = _world()
    async with memory:
        first = Seat(memory, tmp_path, quick_scenario())
        await first.cut_over()
        fault = memory.faults.add(call, "hang")
        assert (await first.ask(Ask.BACK)).ok
        await first.until(lambda s: bool(fault.seen))
        bury(memory, first)
        async with taken_up(memory, first, tmp_path) as seat:
            yield memory, seat


async def _stick(memory: MemoryWorld, seat: Seat, direction: Direction) -> None:
    """A handover in that direction fails, and so does its way home: both sides are fenced, the pooler is paused."""
    await (seat.armed() if direction is Direction.CUTOVER else seat.cut_over())
    memory.faults.add("apply drain*", "error", times=0, error=NO)
    memory.faults.add(f"apply fence {direction.origin} off", "error", times=0, error=NO)
    memory.faults.add("apply resume*", "error", times=0, error=NO)
    reply = await (seat.ask(Ask.GO, "arp") if direction is Direction.CUTOVER else seat.ask(Ask.BACK))
    assert reply.ok, reply
    await seat.until(lambda s: s.mode is Mode.STUCK)
    assert all(node.fenced for node in memory.cluster.nodes.values())
    assert all(pooler.paused for pooler in memory.poolers)


def _opened(seat: Seat) -> list[int]:
    return [e.fact.number for e in read(seat.timeline).events if isinstance(e.fact, ev.HandoverOpened)]


# --- the run stays open ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "first"), [("apply drain*", "A, then Y brings it home"), ("apply resume*", "A, then Y lands it")])
def test_a_run_that_is_half_way_is_not_closed(tmp_path: Path, call: str, first: str) -> None:
    async def main() -> None:
        async with left(tmp_path, call) as (memory, seat):
            reply = await seat.ask(Ask.CLOSE, "arp")
            assert not reply.ok
            assert "cutover 1 is half way" in reply.reason
            assert first in reply.reason
            state = await seat.abort()
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            await asyncio.shield(seat.task)
            assert state.serving is not None
            await whole(memory, state.serving)

    run_warped(main())


def test_a_run_whose_way_home_stuck_is_not_closed(tmp_path: Path) -> None:
    async def main() -> None:
        memory = _world()
        async with flying(memory, tmp_path) as seat:
            await _stick(memory, seat, Direction.CUTOVER)
            assert "A, then Y settles what stayed open" in (await seat.ask(Ask.CLOSE, "arp")).reason
            memory.faults.clear()
            await seat.abort()
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            assert await asyncio.shield(seat.task) == 4
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_a_run_with_a_pooler_that_never_comes_back_is_closed_as_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        memory = _world()
        async with flying(memory, tmp_path) as seat:
            await _stick(memory, seat, Direction.CUTOVER)
            assert (await seat.ask(Ask.CLOSE, "arp half way")).ok
            assert await asyncio.shield(seat.task) == 1
            assert (seat.state.outcome, seat.state.mode) == ("failed", Mode.CLOSED)
            assert seat.state.open_ends, "whoever reads the run is told what stays open"

    run_warped(main())


@pytest.mark.parametrize("call", ["apply drain*", "apply resume*"])
def test_a_pilot_that_is_told_to_end_leaves_what_is_half_way_as_it_is(tmp_path: Path, call: str) -> None:
    """By SIGTERM, as at a shutdown; its guardian leaves it too, and it is taken up again."""

    async def main() -> None:
        async with left(tmp_path, call) as (memory, seat):
            before, serving = picture(memory), seat.state.serving
            seat.pilot.close("told to stop")
            assert await asyncio.shield(seat.task) == HALF_WAY
            assert kept(seat).mode is Mode.STUCK
            assert "told to end" in kept(seat).mode_why
            seat.journal.close()
            assert await take_over(memory, seat, HALF_WAY, "") == 1
            assert kept(seat).mode is Mode.STUCK
            assert picture(memory) == before
            async with taken_up(memory, seat, tmp_path) as again:
                assert again.state.mode is Mode.STUCK
                await again.abort()
                assert again.state.serving is serving
                await whole(memory, again.state.serving)

    run_warped(main())


def test_a_run_that_cannot_be_settled_by_us_can_be_closed(tmp_path: Path) -> None:
    """Somebody opened the target by hand: going home would leave its writes behind, and only a person can say what they are worth."""

    async def main() -> None:
        async with left(tmp_path, "apply drain*") as (memory, seat):
            memory.cluster.nodes[Side.GREEN].fenced = False
            assert (await seat.ask(Ask.ABORT)).ok
            await seat.until(lambda s: bool(s.past) and s.mode is Mode.STUCK)
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            assert await asyncio.shield(seat.task) == 1
            assert (seat.state.outcome, seat.state.mode) == ("failed", Mode.CLOSED)
            assert any("may have taken writes" in end for end in seat.state.open_ends)

    run_warped(main())


# --- nothing flies over it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["apply drain*", "apply fence blue off"])
def test_back_goes_on_with_a_rollback_that_is_half_way(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        async with _half_rolled_back(tmp_path, call) as (memory, seat):
            assert (await seat.ask(Ask.BACK)).ok
            state = await seat.until(lambda s: s.mode in {Mode.READY, Mode.CLOSED})
            assert [(h.number, h.outcome) for h in state.past] == [(1, Outcome.DONE), (2, Outcome.DONE)], seat.tail()
            assert _opened(seat) == [1, 2]
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_back_beyond_the_budget_says_what_brings_it_home(tmp_path: Path) -> None:
    async def main() -> None:
        async with _half_rolled_back(tmp_path) as (memory, seat):
            await asyncio.sleep(301)
            assert "A, then Y brings it home" in (await seat.ask(Ask.BACK)).reason
            await seat.abort()
            assert await seat.back() is Outcome.DONE
            await whole(memory, Side.BLUE)

    run_warped(main())


@pytest.mark.parametrize("direction", list(Direction))
def test_back_from_what_stuck_is_settled_first(tmp_path: Path, direction: Direction) -> None:
    async def main() -> None:
        memory = _world()
        async with flying(memory, tmp_path) as seat:
            await _stick(memory, seat, direction)
            opened = _opened(seat)
            reply = await seat.ask(Ask.BACK)
            assert "is half way: A, then Y settles what stayed open" in reply.reason
            assert ("then B goes back" in reply.reason) is (direction is Direction.ROLLBACK)
            assert _opened(seat) == opened

    run_warped(main())


@pytest.mark.parametrize("end", ["disarmed", "expired"])
def test_an_ungraceful_rollback_that_touched_nothing_leaves_the_stuck_one_known(tmp_path: Path, end: str) -> None:
    async def main() -> None:
        memory = _world()
        async with flying(memory, tmp_path) as seat:
            await _stick(memory, seat, Direction.ROLLBACK)
            alarms = {alarm.id for alarm in seat.state.alarms}
            memory.faults.clear()
            await arm_force(seat)
            assert "rollback 2 is half way still" in (await seat.ask(Ask.CLOSE, "arp")).reason
            if end == "disarmed":
                assert (await seat.ask(Ask.DISARM)).ok
            state = await seat.until(lambda s: s.mode in {Mode.STUCK, Mode.READY})
            assert state.mode is Mode.STUCK, seat.tail()
            assert state.handover is not None
            assert (state.handover.number, state.handover.outcome) == (2, Outcome.STUCK)
            assert alarms <= {alarm.id for alarm in state.alarms}
            assert not (await seat.ask(Ask.CLOSE, "arp")).ok
            state = await seat.abort()
            assert [(h.number, h.outcome) for h in state.past] == [(1, Outcome.DONE), (3, Outcome.ABORTED), (2, Outcome.ABORTED)]
            assert state.alarms == ()
            await whole(memory, Side.GREEN)

    run_warped(main())


@pytest.mark.parametrize("who", ["the next pilot", "the guardian"])
def test_a_pilot_that_dies_with_a_successor_armed_leaves_the_stuck_one_known(tmp_path: Path, who: str) -> None:
    async def main() -> None:
        memory = _world()
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await _stick(memory, seat, Direction.ROLLBACK)
            memory.faults.clear()
            await arm_force(seat)
            bury(memory, seat)
            if who == "the guardian":
                assert await take_over(memory, seat) == 4
                assert [h.outcome for h in kept(seat).past] == [Outcome.DONE, Outcome.ABORTED, Outcome.ABORTED]
            else:
                async with taken_up(memory, seat, tmp_path) as again:
                    assert (again.state.mode, again.state.handover.number) == (Mode.STUCK, 2), again.tail()
                    await again.abort()
            await whole(memory, Side.GREEN)

    run_warped(main())


# --- its pilot dies ----------------------------------------------------------------------------------------------------


def test_a_stuck_handover_whose_pilot_dies_is_brought_home_by_the_guardian(tmp_path: Path) -> None:
    async def main() -> None:
        memory = _world()
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await _stick(memory, seat, Direction.CUTOVER)
            bury(memory, seat)
            assert await take_over(memory, seat) == 4
            state = kept(seat)
            assert (state.mode, state.outcome, state.serving) == (Mode.CLOSED, "aborted", Side.BLUE)
            assert [(h.number, h.outcome) for h in state.past] == [(1, Outcome.ABORTED)]
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_a_stuck_landing_whose_pilot_dies_is_brought_forward_by_the_guardian(tmp_path: Path) -> None:
    async def main() -> None:
        memory = _world()
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.armed()
            memory.faults.add("apply resume*", "error", times=0, error=NO)
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(lambda s: s.mode is Mode.STUCK)
            bury(memory, seat)
            assert await take_over(memory, seat) == 0
            assert kept(seat).past[-1].outcome is Outcome.DONE
            await whole(memory, Side.GREEN)

    run_warped(main())


def test_what_the_guardian_cannot_bring_home_stays_open_and_is_taken_up(tmp_path: Path) -> None:
    async def main() -> None:
        memory = _world()
        async with killed(memory, tmp_path, "apply drain*") as seat:
            memory.faults.add("apply fence blue off", "error", times=0, error=NO)
            assert await take_over(memory, seat) == 1
            state = kept(seat)
            assert state.mode is Mode.STUCK
            assert "fence blue off" in state.mode_why
            assert "open: fence blue off" in {alarm.id for alarm in state.alarms}
            memory.faults.clear()
            async with taken_up(memory, seat, tmp_path) as again:
                assert again.state.mode is Mode.STUCK
                await again.abort()
                await whole(memory, Side.BLUE)

    run_warped(main())


def test_the_guardian_touches_nothing_where_apps_may_have_written_on_the_target(tmp_path: Path) -> None:
    async def main() -> None:
        memory = _world()
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await _stick(memory, seat, Direction.CUTOVER)
            memory.cluster.nodes[Side.GREEN].fenced = False
            bury(memory, seat)
            before = picture(memory)
            assert await take_over(memory, seat) == 1
            assert picture(memory) == before
            assert kept(seat).mode is Mode.STUCK

    run_warped(main())


# --- `cockpit rollback`, without a screen -----------------------------------------------------------------------------


@pytest.mark.parametrize(("after_s", "opened"), [(0.0, [1, 2]), (301.0, [1, 2, 3])], ids=["in time", "beyond the budget"])
def test_rollback_of_a_run_left_in_its_rollback_ends_on_blue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_s: float, opened: list[int]
) -> None:
    """It goes on with it, or, where the budget is used up, brings it home first: no other is opened over it."""

    async def main() -> None:
        async with _half_rolled_back(tmp_path) as (memory, seat):
            await asyncio.sleep(after_s)
            done, said = await settled(seat, Wish.ROLLBACK, monkeypatch)
            assert "rollback 2 is half way: " + ("it is gone on with" if not after_s else "it is settled first") in said
            assert (done.exit_code, done.serving) == (5, "blue"), seat.tail()
            assert _opened(seat) == opened
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_rollback_of_a_run_left_in_its_cutover_aborts_it_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with left(tmp_path, "apply drain*") as (memory, seat):
            done, said = await settled(seat, Wish.ROLLBACK, monkeypatch)
            assert "cutover 1 is half way: it is aborted, blue serves on" in said
            assert (done.exit_code, done.serving) == (4, "blue")
            assert _opened(seat) == [1]
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_a_rollback_that_goes_on_and_fails_is_not_flown_a_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with _half_rolled_back(tmp_path) as (memory, seat):
            memory.faults.add("apply drain*", "error", times=0, error=NO)
            done, _ = await settled(seat, Wish.ROLLBACK, monkeypatch)
            assert (done.exit_code, done.serving) == (4, "green"), seat.tail()
            assert _opened(seat) == [1, 2]
            await whole(memory, Side.GREEN)

    run_warped(main())


def test_an_abort_that_stays_stuck_closes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with left(tmp_path, "apply drain*") as (memory, seat):
            memory.faults.add("apply fence blue off", "error", times=0, error=NO)
            done, _ = await settled(seat, Wish.ABORT, monkeypatch)
            assert done.exit_code == 1
            assert any("fence blue off" in end for end in done.open_ends)
            assert seat.state.mode is Mode.STUCK
            with pytest.raises(CockpitError, match="is half way"):
                await Told(seat).ask(Ask.CLOSE, "arp")

    run_warped(main())


def test_an_ungraceful_rollback_waits_until_what_a_crash_left_is_settled(tmp_path: Path) -> None:
    async def main() -> None:
        async with _half_rolled_back(tmp_path) as (_, seat):
            assert "rollback 2 is half way: R goes on with it" in (await seat.ask(Ask.FORCE)).reason
            assert _opened(seat) == [1, 2]

    run_warped(main())
