"""After an ungraceful rollback green may come back open: while it was not seen shut out, somebody is there to do it or the run stays open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cockpit.handover.guardian import Guardian
from cockpit.handover.watch import HALF_WAY
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Side
from cockpit.settling import Wish
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.journal import Journal, is_flown, read
from tests.handover.apart import TAIL, die_forced, follows, parted, world
from tests.handover.commanded import settled
from tests.handover.crashed import KILLED, Dead, bury, gone, guardian_of, kept, take_over, taken_up
from tests.handover.harness import Seat, flying, quick_scenario

UNFENCED = "green did not answer and may not be fenced"


async def _without_green(seat: Seat) -> None:
    """Blue has taken over from a green that is dead, and that has what blue has not."""
    await parted(seat, ahead_s=3, dead=True)


async def _until(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 (a file tells nobody by itself)
            await asyncio.sleep(0.05)


def _back(memory: MemoryWorld) -> None:
    memory.cluster.nodes[Side.GREEN].recover()
    memory.cluster.streams[Side.GREEN].stalled = False


def _shut_out(memory: MemoryWorld) -> bool:
    return memory.cluster.nodes[Side.GREEN].fenced and not memory.cluster.nodes[Side.GREEN].app_sessions() and not follows(memory)


async def _shuts_green_out(memory: MemoryWorld, again: Seat) -> None:
    """A pilot that took the run up does it as soon as green is back."""
    assert again.state.mode is Mode.READY, again.tail()
    _back(memory)
    await again.until(lambda s: s.at_large is None, 20)
    assert _shut_out(memory)


@asynccontextmanager
async def _guarded(memory: MemoryWorld, seat: Seat) -> AsyncIterator[tuple[Guardian, asyncio.Task[int]]]:
    """The guardian of a pilot that was killed, and what it does: it waits for green by now."""
    await gone(seat)
    guardian = guardian_of(memory, seat)
    stays = asyncio.create_task(guardian._after(Dead(), KILLED))  # type: ignore[arg-type]
    try:
        await _until(lambda: kept(seat).mode is Mode.STUCK, 200)
        yield guardian, stays
    finally:
        guardian.end()
        await asyncio.wait_for(asyncio.gather(stays, return_exceptions=True), 200)


async def _left_by(memory: MemoryWorld, seat: Seat, code: int) -> int:
    """What the guardian of a pilot that ended with `code` makes of it, at once."""
    return await asyncio.wait_for(take_over(memory, seat, code, ""), 10)


@asynccontextmanager
async def _left(tmp_path: Path, call: str) -> AsyncIterator[tuple[MemoryWorld, Seat]]:
    """The pilot was killed: in the landing at `call`, or where that is empty while it waited for green."""
    memory = world()
    async with memory:
        seat = Seat(memory, tmp_path, quick_scenario())
        if call:
            await die_forced(memory, seat, call, green_dead=True)
        else:
            await _without_green(seat)
            bury(memory, seat)
        yield memory, seat


@pytest.mark.parametrize("call", ["", *TAIL])
def test_a_guardian_whose_pilot_died_shuts_green_out_when_it_is_back(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        async with _left(tmp_path, call) as (memory, seat), _guarded(memory, seat) as (_, stays):
            await asyncio.sleep(100)
            assert not stays.done()
            state = kept(seat)
            assert UNFENCED in state.mode_why, "what is open is on record by name"
            assert "green holds what blue has not: at least" in state.mode_why, "and what is known of the bill stays known"
            assert not is_flown(seat.timeline), "whoever wants to may take the run up"
            assert memory.cluster.owner == ""
            _back(memory)
            session = memory.cluster.nodes[Side.GREEN].login("stray", "stray", "direct")
            await _until(lambda: memory.cluster.nodes[Side.GREEN].fenced, 1)
            await asyncio.wait_for(asyncio.shield(stays), 60)
            assert not session.alive
            assert _shut_out(memory)
            assert memory.serving is Side.BLUE
            state = kept(seat)
            assert state.at_large is None
            assert state.mode is Mode.CLOSED, "nothing may come back open any more"
            assert stays.result() == (0 if call else 1)
            assert not any(UNFENCED in end for end in state.open_ends)
            assert any("green holds what blue has not" in end for end in state.open_ends)
            assert state.handover is not None
            assert state.handover.bill is not None
            assert state.handover.bill.exact, "now it is counted"

    run_warped(main())


@pytest.mark.parametrize("call", ["", "apply resume*"])
def test_a_guardian_that_is_told_to_end_leaves_the_run_open(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        async with _left(tmp_path, call) as (memory, seat):
            async with _guarded(memory, seat) as (guardian, stays):
                guardian.end()
                assert await asyncio.wait_for(asyncio.shield(stays), 10) == 1
            assert kept(seat).at_large is Side.GREEN
            assert UNFENCED in kept(seat).mode_why
            async with taken_up(memory, seat, tmp_path) as again:
                await _shuts_green_out(memory, again)

    run_warped(main())


def test_a_guardian_leaves_green_to_the_pilot_that_took_the_run_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            _left(tmp_path, "apply resume*") as (memory, seat),
            _guarded(memory, seat) as (_, stays),
            taken_up(memory, seat, tmp_path) as again,
        ):
            await _shuts_green_out(memory, again)
            assert await asyncio.wait_for(asyncio.shield(stays), 20) == 1
            assert _shut_out(memory)

    run_warped(main())


def test_a_guardian_leaves_green_alone_when_the_run_was_taken_up_meanwhile(tmp_path: Path) -> None:
    """Taken up, left open again: what is to be done is no longer this guardian's to decide."""

    async def main() -> None:
        async with _left(tmp_path, "") as (memory, seat), _guarded(memory, seat) as (_, stays):
            async with taken_up(memory, seat, tmp_path):
                pass
            assert kept(seat).at_large is Side.GREEN
            _back(memory)
            assert await asyncio.wait_for(asyncio.shield(stays), 20) == 1
            assert not memory.cluster.nodes[Side.GREEN].fenced

    run_warped(main())


def test_a_command_that_writes_beside_a_waiting_guardian_does_not_send_it_away(tmp_path: Path) -> None:
    """`cockpit bill` says in the timeline what it read, the moment green is back."""

    async def main() -> None:
        async with _left(tmp_path, "") as (memory, seat), _guarded(memory, seat) as (_, stays):
            journal, _ = Journal.take_up(seat.timeline, "bill")
            _back(memory)
            await asyncio.sleep(2)
            assert not memory.cluster.nodes[Side.GREEN].fenced, "nothing happens that the timeline cannot hold"
            journal.append(ev.BillExported("ana", 7, 1, "0/10", "0/20", "/somewhere", "abc"))
            journal.close()
            await asyncio.wait_for(asyncio.shield(stays), 20)
            assert _shut_out(memory)
            assert kept(seat).at_large is None

    run_warped(main())


def test_a_green_that_is_back_and_cannot_be_shut_out_is_tried_again_and_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with _left(tmp_path, "") as (memory, seat), _guarded(memory, seat) as (_, stays):
            memory.cluster.owner = "ben@there pid 9"
            _back(memory)
            await asyncio.sleep(60)
            assert not memory.cluster.nodes[Side.GREEN].fenced
            before = len(read(seat.timeline).events)
            await asyncio.sleep(60)
            assert len(read(seat.timeline).events) == before
            memory.cluster.owner = ""
            await asyncio.wait_for(asyncio.shield(stays), 20)
            assert _shut_out(memory)

    run_warped(main())


def test_a_pilot_that_is_told_to_end_leaves_the_run_open_for_green(tmp_path: Path) -> None:
    """By SIGTERM, as at a reboot: its guardian leaves too, and whoever takes the run up shuts green out."""

    async def main() -> None:
        memory = world()
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await _without_green(seat)
            seat.pilot.close("told to stop")
            assert await asyncio.wait_for(asyncio.shield(seat.task), 100) == HALF_WAY
            assert kept(seat).mode is Mode.STUCK
            assert UNFENCED in kept(seat).mode_why
            assert "green holds what blue has not" in kept(seat).mode_why
            seat.journal.close()
            assert await _left_by(memory, seat, HALF_WAY) == 1
            assert kept(seat).mode is Mode.STUCK
            async with taken_up(memory, seat, tmp_path) as again:
                await _shuts_green_out(memory, again)

    run_warped(main())


def test_the_leads_word_closes_the_run_and_names_green(tmp_path: Path) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await _without_green(seat)
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            assert await asyncio.wait_for(asyncio.shield(seat.task), 100) == 5
            assert seat.state.mode is Mode.CLOSED
            assert any(UNFENCED in end for end in seat.state.open_ends)

    run_warped(main())


def test_a_rollback_that_is_said_to_it_again_flies_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cockpit rollback` closes a run that blue serves already: not this one."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await _without_green(seat)
            done, said = await settled(seat, Wish.ROLLBACK, monkeypatch)
            assert "is flown on, blue serves" in said
            assert any(UNFENCED in end for end in done.open_ends)
            assert seat.state.mode is Mode.READY

    run_warped(main())


def test_a_green_that_is_fenced_and_not_yet_emptied_is_named(tmp_path: Path) -> None:
    """A session that came in before its fence writes on under it: the fence alone is not enough, and a run that ends then says so."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await _without_green(seat)
            memory.faults.add("apply quiesce green", "error", times=0)
            _back(memory)
            memory.cluster.nodes[Side.GREEN].login("stray", "stray", "direct")
            await seat.until(lambda s: "open: fence green on" not in {alarm.id for alarm in s.alarms}, 20)
            assert seat.state.at_large is Side.GREEN
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            await asyncio.wait_for(asyncio.shield(seat.task), 100)
            assert any("green was not seen shut out" in end for end in seat.state.open_ends)

    run_warped(main())


def test_a_run_of_a_well_green_ends_when_its_pilot_is_told_to(tmp_path: Path) -> None:
    """Green answered all the time, is fenced, emptied and follows nobody: nothing keeps the run open."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await parted(seat, ahead_s=3)
            seat.pilot.close("told to stop")
            assert await asyncio.wait_for(asyncio.shield(seat.task), 100) == 5
            assert seat.state.at_large is None
            assert any(isinstance(e.fact, ev.ShutOut) for e in read(seat.timeline).events)

    run_warped(main())


def test_a_take_up_that_is_refused_leaves_the_run_open_for_green(tmp_path: Path) -> None:
    """Another cockpit has the pair: it ends, and closes nothing that it has not looked at."""

    async def main() -> None:
        async with _left(tmp_path, "") as (memory, first):
            await gone(first)
            memory.cluster.owner = "ben@there pid 9"
            seat = Seat(memory, tmp_path, quick_scenario())
            assert await asyncio.wait_for(asyncio.shield(seat.task), 20) == 1
            assert seat.state.mode is not Mode.CLOSED
            assert seat.state.at_large is Side.GREEN
            seat.journal.close()
            assert await _left_by(memory, seat, 1) == 1
            assert kept(seat).mode is not Mode.CLOSED
            memory.cluster.owner = ""

    run_warped(main())
