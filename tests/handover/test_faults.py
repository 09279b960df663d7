"""Every call of a handover struck by every kind of trouble: wherever it strikes, no law is broken and the ends are settled."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.errors import SystemFault
from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.harness import flying

WINDOW_CALLS = (
    "apply pause*",
    "apply fence blue on",
    "probe fence blue on",
    "apply quiesce blue",
    "apply drain*",
    "apply sequences*",
    "probe replicate green to blue",
    "apply route*",
    "probe route*",
    "apply fence green off",
    "probe fence green off",
    "apply resume*",
    "probe resume*",
    "apply canary green to blue",
)
KINDS = ("error", "lost", "hang", "delay", "late")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", WINDOW_CALLS)
def test_one_trouble_in_the_window(tmp_path: Path, call: str, kind: str) -> None:
    """Struck once on the way to green: it ends on one side, with every acknowledged write and nothing paused."""

    async def main() -> None:
        memory = MemoryWorld(seed=7, apps=4, poolers=2, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            await seat.until(lambda s: s.mode is Mode.ARMED)
            memory.faults.add(call, kind, seconds=0.3)
            assert (await seat.ask(Ask.GO, "arp")).ok
            outcome = await seat.landed(0)
            side = Side.GREEN if outcome is Outcome.DONE else Side.BLUE
            assert outcome in {Outcome.DONE, Outcome.ABORTED}, seat.tail()
            assert seat.state.serving is side
            assert memory.serving is side, seat.tail()
            memory.faults.clear()
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=side, equal=True) == [], seat.tail()

    run_warped(main())


@pytest.mark.parametrize("call", ["apply fence blue on", "apply quiesce blue", "apply drain*", "apply sequences*", "apply route*"])
def test_a_refusal_that_stays_goes_home(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=8, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            await seat.until(lambda s: s.mode is Mode.ARMED)
            green = call.replace("route*", "route*green*")
            memory.faults.add(green, "error", times=0, error=SystemFault("permission denied", where="blue", code="42501"))
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.ABORTED, seat.tail()
            assert "permission denied" in seat.state.past[-1].why
            assert memory.serving is Side.BLUE
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


def test_the_downtime_budget_ends_a_window_that_hangs(tmp_path: Path) -> None:
    """The drain never ends: the step's own deadline, well inside the budget, takes the handover home."""

    async def main() -> None:
        memory = MemoryWorld(seed=9, apps=3, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            await seat.until(lambda s: s.mode is Mode.ARMED)
            memory.faults.add("apply drain*", "hang")
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.ABORTED
            handover = seat.state.past[-1]
            assert "not done within" in handover.why
            assert handover.downtime_s is not None
            assert handover.downtime_s < 300
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


@pytest.mark.parametrize("step", ["steer", "pause", "fence", "quiesce", "drain", "verify", "sequences", "route"])
def test_abort_at_every_step_of_the_window(tmp_path: Path, step: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=10, apps=4, poolers=2, channels=1, rate=2.0)
        calls = {
            "steer": "apply route channel*",
            "pause": "apply pause*",
            "fence": "apply fence blue on",
            "quiesce": "apply quiesce blue",
            "drain": "apply drain*",
            "verify": "reconciler.verify_changed*",
            "sequences": "apply sequences*",
            "route": "apply route pooler*",
        }
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            await seat.until(lambda s: s.mode is Mode.ARMED)
            memory.faults.add(calls[step], "delay", seconds=1.0)
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(lambda s: s.handover is not None and s.handover.current is not None and s.handover.current.id == step)
            reply = await seat.ask(Ask.BACK)
            assert reply.ok, reply
            assert await seat.landed(0) is Outcome.ABORTED, seat.tail()
            assert "back by ana" in seat.state.past[-1].why
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == [], seat.tail()

    run_warped(main())


def test_a_disk_that_takes_no_more_records_goes_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No effect starts whose intent is not durable; un-freezing needs no disk."""
    import os

    async def main() -> None:
        memory = MemoryWorld(seed=11, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            await seat.until(lambda s: s.mode is Mode.ARMED)
            write = os.write
            memory.faults.add("apply drain*", "delay", seconds=0.5)
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(lambda s: s.open_action.startswith("drain"))

            def full(descriptor: int, data: bytes) -> int:
                if b'"seq":' in data:
                    raise OSError(28, "No space left on device")
                return write(descriptor, data)

            monkeypatch.setattr(os, "write", full)
            flight = seat.pilot._flying
            assert flight is not None
            assert await flight is Outcome.ABORTED
            assert memory.serving is Side.BLUE
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []
            monkeypatch.undo()

    run_warped(main())
