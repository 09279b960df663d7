"""The procedure flown on twins: both directions, again and again, and home from every failure before the return."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.state import replay
from cockpit.model.words import Direction, Mode, Outcome, Side, StepState
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.systems.memory.reconciler import MemoryReconciler
from cockpit.timeline.journal import read
from tests.handover.harness import flying


def test_cutover_rollback_and_second_cutover_lose_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=1, apps=6, poolers=2, channels=2)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert await seat.hand_over() is Outcome.DONE, seat.tail()
            assert seat.state.serving is Side.GREEN
            assert await seat.back() is Outcome.DONE, seat.tail()
            assert seat.state.serving is Side.BLUE
            assert await seat.hand_over() is Outcome.DONE, seat.tail()
            assert [h.direction for h in seat.state.past] == [Direction.CUTOVER, Direction.ROLLBACK, Direction.CUTOVER]
            assert all(s.state is StepState.DONE for h in seat.state.past for s in h.steps)
            assert await memory.probe_apps() == []
            await memory.settle()
            assert memory.oracle(expect=Side.GREEN, equal=True) == []
            live = seat.state
        assert replay(read(tmp_path / "timeline.jsonl").events[: live.seq]) == live

    run_warped(main())


def test_what_was_proven_is_certified_before_anybody_writes_on_the_target(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=4, apps=3)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert await seat.hand_over() is Outcome.DONE
            assert await seat.back() is Outcome.DONE

    run_warped(main())
    facts = [event.fact for event in read(tmp_path / "timeline.jsonl").events]
    told = [fact for fact in facts if isinstance(fact, ev.FenceSet | ev.Certified | ev.ReturnPassed)]
    assert [type(fact) for fact in told] == [ev.FenceSet, ev.Certified, ev.ReturnPassed] * 2
    for fence, proof in ((told[0], told[1]), (told[3], told[4])):
        assert isinstance(fence, ev.FenceSet)
        assert isinstance(proof, ev.Certified)
        assert (proof.origin, proof.lsn) == (fence.side, fence.lsn)
        assert (proof.equal, proof.tables, proof.proven) == (True, 1, 1)
        assert proof.rows > 0


def test_a_proof_that_the_time_box_cut_is_certified_as_what_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=5, apps=3)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert await seat.hand_over() is Outcome.DONE, seat.tail()
            assert isinstance(seat.pilot._world.reconciler, MemoryReconciler)
            seat.pilot._world.reconciler.key_s = 60.0
            await asyncio.sleep(5)
            assert await seat.back() is Outcome.DONE, seat.tail()

    run_warped(main())
    _, proof = (e.fact for e in read(tmp_path / "timeline.jsonl").events if isinstance(e.fact, ev.Certified))
    assert (proof.equal, proof.proven, proof.unproven) == (None, 0, ("public.orders",))


def test_the_wrong_name_is_refused_and_expiry_disarms(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=2)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            await seat.until(lambda s: s.mode is Mode.ARMED)
            reply = await seat.ask(Ask.GO, "blue")
            assert not reply.ok
            assert reply.reason == "type arp to confirm"
            state = await seat.until(lambda s: s.mode is Mode.READY, 60)
            assert "not confirmed within" in state.past[-1].why
            assert state.serving is Side.BLUE
            assert seat.watched.stages == []

    run_warped(main())


def test_an_announced_start_stands_until_a_window_opens(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=2)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ANNOUNCE, "soon")).reason.startswith("say when as 02:00")
            assert (await seat.ask(Ask.ANNOUNCE, "in 45 min")).ok
            taken, told = seat.state.tail[-2:]
            assert isinstance(told.fact, ev.StartAnnounced)
            ahead = datetime.fromisoformat(told.fact.start) - datetime.fromisoformat(taken.at)
            assert 2699 <= ahead.total_seconds() <= 2700
            assert seat.state.announced == told.fact.start
            assert await seat.hand_over() is Outcome.DONE, seat.tail()
            assert seat.state.announced == ""

    run_warped(main())


def test_a_missing_guardian_holds_the_gates(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=3)
        async with flying(memory, tmp_path) as seat:
            seat.watched.gone = "the guardian has been silent for 9 s"
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            state = await seat.until(lambda s: s.mode is Mode.READY and bool(s.past), 300)
            assert state.past[-1].outcome is Outcome.ABORTED
            assert "guardian" in state.past[-1].why

    run_warped(main())
