"""A run folder that does not know what was flown since: a copy from before, or the original of one whose copy was flown."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cockpit.model.intents import SUPERSEDED, Ask
from cockpit.model.words import Mode, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.journal import read
from tests.handover.copied import copy_taken_up, first_again, superseded, undisturbed
from tests.handover.crashed import bury, killed, take_over
from tests.handover.harness import Seat, applied, quick_scenario


@contextlib.asynccontextmanager
async def stale(tmp_path: Path, call: str = "apply drain*") -> AsyncIterator[tuple[MemoryWorld, Seat]]:
    """A run died at `call`; a copy of its folder was flown to the end; now the first folder is taken up, and nobody has said a word yet."""
    memory = MemoryWorld(seed=41, apps=4, poolers=2, channels=1, rate=2.0)
    async with superseded(memory, tmp_path, call):
        shutil.rmtree(tmp_path / "copy")
        async with first_again(memory, tmp_path) as seat:
            yield memory, seat


@pytest.mark.parametrize("ask", [Ask.ABORT, Ask.RESUME])
def test_what_was_flown_since_is_not_undone(tmp_path: Path, ask: Ask) -> None:
    async def main() -> None:
        async with stale(tmp_path) as (memory, seat):
            assert [alarm.id for alarm in seat.state.alarms if alarm.id == SUPERSEDED]
            before = len(memory.faults.calls)
            reply = await seat.ask(ask, "arp")
            assert not reply.ok
            assert "taken up by ana@bastion" in reply.reason
            assert "Q closes this run" in reply.reason
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            assert await asyncio.shield(seat.task) == 1
            assert "taken up by ana@bastion" in " ".join(seat.state.open_ends)
            assert applied(memory.faults, before) == []
            await undisturbed(memory)

    run_warped(main())


def test_a_guardian_whose_pilot_only_looked_leaves_all_as_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with stale(tmp_path) as (memory, seat):
            bury(memory, seat)
            before = len(memory.faults.calls)
            await take_over(memory, seat)
            assert applied(memory.faults, before) == []
            await undisturbed(memory)

    run_warped(main())


def test_it_is_seen_while_one_side_is_silent_too(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=42, apps=4, poolers=1, channels=1, rate=2.0)
        async with superseded(memory, tmp_path, "apply drain*"):
            memory.faults.link_down(Side.BLUE)
            async with first_again(memory, tmp_path) as seat:
                assert "taken up by" in (await seat.ask(Ask.ABORT)).reason
                memory.faults.link_up(Side.BLUE)
                assert (await seat.ask(Ask.CLOSE, "arp")).ok
                await asyncio.shield(seat.task)
            await undisturbed(memory)

    run_warped(main())


def test_who_only_looked_takes_the_run_from_nobody(tmp_path: Path) -> None:
    """A crashed run is looked at from elsewhere, without a word; the first folder is its own still, and goes on."""

    async def main() -> None:
        memory = MemoryWorld(seed=43, apps=4, poolers=1, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*"):
            async with copy_taken_up(memory, tmp_path):
                pass
            memory.cluster.owner = ""
            async with first_again(memory, tmp_path) as seat:
                assert (await seat.ask(Ask.RESUME, "arp")).ok
                await seat.ready()
                assert memory.serving is Side.GREEN
                assert len({fact.seat for fact in seat.state.seats}) == 2
                assert len(read(seat.timeline).events) == seat.state.seq
            await undisturbed(memory)

    run_warped(main())


def test_a_run_with_nothing_in_the_air_that_slept_while_another_flew_arms_nothing(tmp_path: Path) -> None:
    """Which side serves was seen before: whoever acted since may have turned it."""

    async def main() -> None:
        memory = MemoryWorld(seed=44, apps=4, poolers=1, channels=1, rate=2.0)
        async with memory:
            for name in ("first", "other"):
                (tmp_path / name).mkdir()
            first = Seat(memory, tmp_path / "first", quick_scenario())
            await first.until(lambda s: s.mode is Mode.READY)
            memory.cluster.owner = ""
            other = Seat(memory, tmp_path / "other", quick_scenario())
            await other.armed()
            assert (await other.ask(Ask.GO, "arp")).ok
            await other.until(lambda s: s.mode is Mode.READY and bool(s.past))
            await other.end()
            assert (await first.ask(Ask.ARM)).ok
            state = await first.until(lambda s: bool(s.past))
            assert "taken up by" in state.past[-1].why
            assert "taken up by" in (await first.ask(Ask.ARM)).reason
            await undisturbed(memory)
            await first.end()
            assert first.state.mode is Mode.CLOSED

    run_warped(main())
