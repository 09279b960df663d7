"""What the simulator found: each seed that broke a law, as the smallest flight that shows it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from cockpit.errors import LinkError, SystemFault
from cockpit.handover.watch import UNRECORDABLE
from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.crashed import killed, take_over
from tests.handover.harness import flying, whole


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the disk takes no record."""
    write = os.write

    def refuse(descriptor: int, data: bytes) -> int:
        if b'"seq":' in data:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", refuse)


def test_a_pilot_whose_timeline_is_lost_in_the_window_goes_home_and_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could take no word from anybody any more, not even the one that ends the run: its guardian settles the rest."""

    async def main() -> None:
        memory = MemoryWorld(seed=61, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            fault = memory.faults.add("apply drain*", "delay", seconds=0.5)
            await seat.go_into(fault)
            full(monkeypatch)
            assert await seat.task == UNRECORDABLE
            await whole(memory, Side.BLUE)
            monkeypatch.undo()

    run_warped(main())


def test_a_pilot_whose_timeline_is_lost_in_the_soak_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=62, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            full(monkeypatch)
            assert not (await seat.ask(Ask.NOTE, "all well")).ok
            assert await seat.task == UNRECORDABLE
            assert memory.serving is Side.GREEN
            monkeypatch.undo()

    run_warped(main())


@pytest.mark.parametrize("down_s", [1.0, 8.0])
def test_a_target_that_starts_again_leaves_nothing_open_behind_an_abort(tmp_path: Path, down_s: float) -> None:
    """Its fence is tried again beside the rest: one refused connection made every such abort a stuck one."""

    async def main() -> None:
        memory = MemoryWorld(seed=63, apps=3, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            green = memory.cluster.nodes[Side.GREEN]
            memory.faults.add("apply drain*", "error", error=SystemFault("gone", where="green"))
            memory.faults.add(
                "apply fence green on", "error", times=round(down_s / 0.2), error=LinkError("connection refused", where="green")
            )
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(lambda s: s.mode is Mode.ABORTING)
            state = await seat.until(lambda s: not any(p.paused for p in memory.poolers), within_s=0.1)
            assert state.mode is Mode.ABORTING, "the service does not wait for the fence of a side that takes no writes"
            assert await seat.landed(0) is Outcome.ABORTED, seat.tail()
            assert seat.state.alarms == ()
            assert green.fenced
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


@pytest.mark.parametrize("down_s", [0.3, 20.0])
def test_a_target_that_restarts_at_the_unfence_is_waited_for(tmp_path: Path, down_s: float) -> None:
    """Both sides are fenced then and every app waits: two refused connections in a millisecond ended the landing there, stuck."""

    async def main() -> None:
        memory = MemoryWorld(seed=64, apps=4, poolers=2, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            green = memory.cluster.nodes[Side.GREEN]

            def restart(call: str) -> None:
                if call == "apply fence green off":
                    memory.faults.heard.clear()
                    green.crash()
                    asyncio.get_running_loop().call_later(down_s, green.recover)

            memory.faults.heard.append(restart)
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.DONE, seat.tail()
            assert seat.state.serving is Side.GREEN
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.GREEN, equal=True) == []

    run_warped(main())


@pytest.mark.parametrize("seed", [28, 65])
def test_a_torn_timeline_on_a_full_disk_keeps_no_guardian_from_going_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The half record cannot be set aside: the guardian died of that and left every app waiting."""

    def refuse(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        memory = MemoryWorld(seed=seed, apps=4, poolers=1, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as seat:
            with seat.timeline.open("ab") as file:
                file.write(b'{"seq":99,"at":"2026')
            monkeypatch.setattr(Path, "write_bytes", refuse)
            assert await take_over(memory, seat) == 4
            monkeypatch.undo()
            await whole(memory, Side.BLUE)

    run_warped(main())
