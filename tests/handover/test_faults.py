"""Every call of a handover struck by every kind of trouble: wherever it strikes, no law is broken and the ends are settled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import SystemFault
from cockpit.handover.watch import UNRECORDABLE
from cockpit.model.intents import Ask
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.harness import flying, whole

WINDOW_CALLS = (
    "apply route channel*",
    "reconciler.catch_up",
    "apply pause*",
    "apply fence blue on",
    "apply quiesce blue",
    "apply drain*",
    "reconciler.verify_changed",
    "apply sequences*",
    "probe replicate green to blue",
    "apply route pooler*",
    "apply fence green off",
    "apply resume*",
    "probe resume*",
    "apply canary green to blue",
    "servers.census green",
)
"""Every call of a cutover from `steer` on, in order."""
KINDS = ("error", "lost", "hang", "delay", "late")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", WINDOW_CALLS)
def test_one_trouble_in_the_window(tmp_path: Path, call: str, kind: str) -> None:
    """Struck once on the way to green: it ends on one side, with every acknowledged write and nothing paused."""

    async def main() -> None:
        memory = MemoryWorld(seed=7, apps=4, poolers=2, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            fault = memory.faults.add(call, kind, seconds=0.3)
            assert (await seat.ask(Ask.GO, "arp")).ok
            outcome = await seat.landed(0)
            assert fault.seen, f"{call} was never made"
            side = Side.GREEN if outcome is Outcome.DONE else Side.BLUE
            assert outcome in {Outcome.DONE, Outcome.ABORTED}, seat.tail()
            assert seat.state.serving is side
            assert memory.serving is side, seat.tail()
            memory.faults.clear()
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=side, equal=True) == [], seat.tail()

    run_warped(main())


SECRET = "hunter2"


@pytest.mark.parametrize("times", [1, 0], ids=["once", "for ever"])
@pytest.mark.parametrize("call", WINDOW_CALLS)
def test_what_no_system_may_raise_is_no_reason_to_leave_writes_stalled(tmp_path: Path, call: str, times: int) -> None:
    """A foreign driver's own exception: home before the return, forward after it, its type on record and nothing of its text."""

    async def main() -> None:
        memory = MemoryWorld(seed=12, apps=4, poolers=2, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            there = call.replace("route channel*", "route channel* to green").replace("route pooler*", "route pooler* to green")
            fault = memory.faults.add(there, "error", times=times, error=RuntimeError(f"password={SECRET}"))
            assert (await seat.ask(Ask.GO, "arp")).ok
            outcome = await seat.landed(0)
            assert fault.seen, f"{call} was never made"
            handover = seat.state.past[-1]
            before = WINDOW_CALLS.index(call) < WINDOW_CALLS.index("apply fence green off")
            if call in {"reconciler.catch_up", "apply canary green to blue", "servers.census green"}:
                assert outcome is Outcome.DONE, seat.tail()
            elif before:
                assert outcome is Outcome.ABORTED, seat.tail()
                assert "unexpected RuntimeError" in handover.why
            elif times == 1:
                assert outcome is Outcome.DONE, seat.tail()
            assert handover.downtime_s is None or handover.downtime_s < 200
            memory.faults.clear()
            if outcome is Outcome.STUCK:
                assert (await seat.ask(Ask.ABORT)).ok
                outcome = await seat.landed(0)
            side = Side.GREEN if outcome is Outcome.DONE else Side.BLUE
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=side, equal=True) == [], seat.tail()
        assert SECRET not in (tmp_path / "timeline.jsonl").read_text()
        assert SECRET not in (tmp_path / "samples.jsonl").read_text()

    run_warped(main())


@pytest.mark.parametrize(
    "call",
    [
        "servers.server blue",
        "servers.lag blue",
        "servers.shape",
        "pooler-1.sample",
        "channel-1.intended",
        "reconciler.samples",
        "servers.census blue",
    ],
)
def test_a_measurement_that_raises_what_it_may_not_ends_no_run(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=13, apps=2, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            fault = memory.faults.add(call, "error", times=20, error=KeyError(SECRET))
            await seat.until(lambda s: fault.seen >= 25)
            await seat.until(lambda s: s.alarms == ())
            assert await seat.hand_over() is Outcome.DONE, seat.tail()
        assert SECRET not in (tmp_path / "timeline.jsonl").read_text()
        assert SECRET not in (tmp_path / "samples.jsonl").read_text()

    run_warped(main())


@pytest.mark.parametrize("call", ["reconciler.samples", "servers.shape", "channel-1.intended"])
def test_such_a_measurement_is_named_until_it_comes_again(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=14, apps=2, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            memory.faults.add(call, "error", times=0, error=KeyError(SECRET))
            state = await seat.until(lambda s: bool(s.alarms))
            assert "unexpected KeyError" in state.alarms[0].what
            memory.faults.clear()
            await seat.until(lambda s: s.alarms == ())

    run_warped(main())


def test_a_preflight_that_raises_what_it_may_not_is_an_alarm(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=15, apps=2, poolers=1, channels=1, rate=2.0)
        memory.faults.add("channel-1.preflight", "error", error=KeyError(SECRET))
        async with flying(memory, tmp_path) as seat:
            state = await seat.ready()
            assert [alarm.what for alarm in state.alarms] == ["unexpected KeyError"]
            assert (await seat.ask(Ask.RECHECK)).ok
            await seat.until(lambda s: s.alarms == ())

    run_warped(main())


def test_a_hanging_pooler_costs_no_other_its_sample(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=16, apps=2, poolers=3, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            latest = seat.pilot.telemetry.latest
            await seat.until(lambda s: len(latest.poolers) == 3)
            memory.faults.add("pooler-2.sample", "hang", times=0)
            loop = asyncio.get_running_loop()
            since = loop.time() + 10
            await seat.until(lambda s: loop.time() > since)
            young = {name for name, sample in latest.poolers.items() if sample.up and loop.time() - sample.mono < 4}
            assert young == {"pooler-1", "pooler-3"}
            assert "no answer" in latest.poolers["pooler-2"].error

    run_warped(main())


@pytest.mark.parametrize(
    "call", ["apply fence blue on", "apply quiesce blue", "apply drain*", "apply sequences*", "apply route channel*", "apply route pooler*"]
)
def test_a_refusal_that_stays_goes_home(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=8, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            green = call.replace("route channel*", "route channel*green").replace("route pooler*", "route pooler*green")
            fault = memory.faults.add(green, "error", times=0, error=SystemFault("permission denied", where="blue", code="42501"))
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.ABORTED, seat.tail()
            assert fault.seen
            assert "permission denied" in seat.state.past[-1].why
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_the_downtime_budget_ends_a_window_that_hangs(tmp_path: Path) -> None:
    """The drain never ends: the step's own deadline, well inside the budget, takes the handover home."""

    async def main() -> None:
        memory = MemoryWorld(seed=9, apps=3, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
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


@pytest.mark.parametrize("step", ["steer", "pause", "fence", "quiesce", "drain", "verify", "sequences", "reverse", "route"])
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
            "reverse": "probe replicate green to blue",
            "route": "apply route pooler*",
        }
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            fault = memory.faults.add(calls[step], "delay", seconds=1.0)
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(
                lambda s: s.handover is not None and s.handover.current is not None and s.handover.current.id == step and fault.seen > 0
            )
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
            await seat.armed()
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
            await whole(memory, Side.BLUE)
            monkeypatch.undo()
            assert await asyncio.wait_for(seat.task, 30) == UNRECORDABLE, "it leaves: a pilot that records nothing holds the run for ever"

    run_warped(main())


@pytest.mark.parametrize("direction", Direction)
def test_a_target_that_breaks_off_for_a_moment_leaves_no_handover_half_way(tmp_path: Path, direction: Direction) -> None:
    """The old side serves at once; the new side's fence, whose one try was lost, is seen to stand a few seconds later."""

    async def main() -> None:
        memory = MemoryWorld(seed=13, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            if direction is Direction.ROLLBACK:
                assert await seat.hand_over() is Outcome.DONE
            number, target = len(seat.state.past), direction.target
            memory.faults.add("apply drain*", "error")
            if direction is Direction.CUTOVER:
                await seat.ask(Ask.ARM)
                await seat.until(lambda s: s.mode is Mode.ARMED)
            refused = memory.faults.add(f"apply fence {target} on", "error", times=10)
            reply = await (seat.ask(Ask.GO, "arp") if direction is Direction.CUTOVER else seat.ask(Ask.BACK))
            assert reply.ok
            assert await seat.landed(number) is Outcome.ABORTED, seat.tail()
            assert refused.seen == 11, "the tenth refusal was not the last try"
            last = seat.state.past[-1]
            assert last.downtime_s is not None
            assert last.downtime_s < 1.0, "writes flowed long before the fence was seen"
            assert not any(alarm.id.startswith("open: ") for alarm in seat.state.alarms)
            await whole(memory, direction.origin)

    run_warped(main())


def test_a_pilot_that_is_only_ready_leaves_too_when_the_disk_takes_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    async def main() -> None:
        memory = MemoryWorld(seed=12, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            write = os.write

            def full(descriptor: int, data: bytes) -> int:
                if b'"seq":' in data:
                    raise OSError(28, "No space left on device")
                return write(descriptor, data)

            monkeypatch.setattr(os, "write", full)
            reply = await seat.ask(Ask.NOTE, "hello")
            assert not reply.ok
            assert "No space left on device" in reply.reason
            assert await asyncio.wait_for(seat.task, 30) == UNRECORDABLE
            monkeypatch.undo()

    run_warped(main())
