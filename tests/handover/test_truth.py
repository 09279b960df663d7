"""A run that is taken up shows what is so within five seconds, also where one server does not say a word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import Flown
from cockpit.handover.pilot import OPEN_S
from cockpit.handover.watch import HALF_WAY
from cockpit.model import events as ev
from cockpit.model.words import Mode, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.systems.memory.servers import MemoryServers
from tests.handover import apart
from tests.handover.crashed import LOOKED_S, bury, gone, killed, since_taken_up, taking_up
from tests.handover.harness import Seat, quick_scenario

SILENT_S = 60.0
"""Seconds that a call to a server without a word takes."""


@pytest.mark.parametrize("silent", list(Side))
@pytest.mark.parametrize("call", ["apply drain*", "apply resume*"])
def test_the_truth_comes_within_five_seconds_beside_a_silent_server(tmp_path: Path, call: str, silent: Side) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=21, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, call) as first:
            memory.faults.link_timeout_s = SILENT_S
            memory.faults.link_down(silent)
            began = asyncio.get_running_loop().time()
            async with taking_up(memory, first, tmp_path) as seat:
                await seat.until(lambda s: s.mode is Mode.STUCK)
                told = [e.mono - began for e in since_taken_up(seat) if isinstance(e.fact, ev.StepFound | ev.SidesSeen)]
                assert len(told) > 5
                assert max(told) < LOOKED_S
                assert "lock" in {alarm.id for alarm in seat.state.alarms}, "that nobody could say whose the pair is, is told"

    run_warped(main())


def test_a_lock_that_comes_late_is_told_as_there(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=21, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as first:
            memory.faults.add("servers.lock", "delay", seconds=3 * OPEN_S)
            async with taking_up(memory, first, tmp_path) as seat:
                await seat.until(lambda s: s.mode is Mode.STUCK)
                assert "lock" in {alarm.id for alarm in seat.state.alarms}
                await seat.until(lambda s: "lock" not in {alarm.id for alarm in s.alarms}, 3 * OPEN_S)

    run_warped(main())


def test_a_run_with_a_dead_green_is_looked_back_at_within_five_seconds(tmp_path: Path) -> None:
    async def main() -> None:
        memory = apart.world()
        async with memory:
            first = Seat(memory, tmp_path, quick_scenario())
            await apart.parted(first, dead=True)
            bury(memory, first)
            memory.faults.link_timeout_s = SILENT_S
            memory.faults.link_down(Side.GREEN)
            began = asyncio.get_running_loop().time()
            async with taking_up(memory, first, tmp_path) as seat:
                await seat.until(lambda s: s.mode is Mode.READY)
                assert asyncio.get_running_loop().time() - began < LOOKED_S

    run_warped(main())


def test_a_lock_that_says_late_whose_the_pair_is_ends_the_take_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=21, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as first:
            await gone(first)

            async def late(servers: MemoryServers, owner: str, seat: str = "", *, heir: bool = False) -> None:
                await asyncio.sleep(3 * OPEN_S)
                raise Flown("ben@there pid 9 flies this pair", owner="ben@there pid 9")

            monkeypatch.setattr(MemoryServers, "lock", late)
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.until(lambda s: s.mode is Mode.STUCK)
            assert await asyncio.wait_for(asyncio.shield(seat.task), 60) == HALF_WAY
            assert "ben@there pid 9 flies this pair" in seat.state.mode_why
            assert seat.state.half_way is not None
            seat.samples.close()
            seat.journal.close()

    run_warped(main())
