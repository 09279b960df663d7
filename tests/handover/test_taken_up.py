"""Pilot and guardian died in the middle of a handover: the next pilot finds out what is so, touches nothing, and does what the lead says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cockpit.handover.procedure import IDS
from cockpit.handover.telemetry import Telemetry
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.state import FIRST_TOUCH, RunState, replay
from cockpit.model.words import Known, Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.journal import read
from tests.handover.crashed import AFTER, BEFORE, bury, die_at, killed, left, picture, since_taken_up, taken_up
from tests.handover.harness import Seat, quick_scenario

TOUCHES = (ev.ActionIntended, ev.ActionDone, ev.ActionFailed)


def found(state: RunState) -> dict[str, Known]:
    assert state.handover is not None
    return {step.id: step.found for step in state.handover.steps if step.found is not None}


def test_the_model_and_the_procedure_agree_on_the_first_touch() -> None:
    assert FIRST_TOUCH in IDS


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", BEFORE + AFTER)
def test_it_looks_and_touches_nothing(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        async with left(tmp_path, call, kind) as (memory, seat):
            before = picture(memory)
            assert seat.state.mode is Mode.STUCK, seat.tail()
            assert not [e for e in since_taken_up(seat) if isinstance(e.fact, TOUCHES)]
            await asyncio.sleep(20)
            assert seat.state.mode is Mode.STUCK
            assert not [e for e in since_taken_up(seat) if isinstance(e.fact, TOUCHES)]
            assert picture(memory) == before

    run_warped(main())


def test_what_is_so_is_told_step_by_step(tmp_path: Path) -> None:
    async def main() -> None:
        async with left(tmp_path, "apply drain*") as (_, seat):
            seen = found(seat.state)
            assert seen["arm"] is Known.DONE
            assert seen["pause"] is Known.DONE
            assert seen["fence"] is Known.DONE
            assert seen["verify"] is Known.UNKNOWN
            assert seen["route"] is Known.PENDING
            assert seen["resume"] is Known.PENDING
            sides = next(e.fact for e in since_taken_up(seat) if isinstance(e.fact, ev.SidesSeen))
            assert "blue" in str(sides.evidence["fences"])
            assert seat.state.serving is Side.BLUE

    run_warped(main())


def test_reality_goes_before_the_timeline(tmp_path: Path) -> None:
    """A pooler that was restarted meanwhile is no longer paused, whatever the timeline has of it."""

    async def main() -> None:
        memory = MemoryWorld(seed=5, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as first:
            memory.poolers[0].crash()
            async with taken_up(memory, first, tmp_path) as seat:
                assert found(seat.state)["pause"] is Known.PENDING

    run_warped(main())


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", BEFORE)
def test_abort_brings_it_home(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        async with left(tmp_path, call, kind) as (memory, seat):
            state = await seat.abort()
            assert state.past[-1].outcome is Outcome.ABORTED
            assert state.serving is Side.BLUE
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", BEFORE)
def test_it_goes_on_where_the_budget_lasts(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        async with left(tmp_path, call, kind) as (memory, seat):
            assert (await seat.ask(Ask.RESUME, "arp")).ok, seat.tail()
            state = await seat.until(lambda s: s.mode is Mode.READY)
            assert state.past[-1].outcome is Outcome.DONE, seat.tail()
            assert state.past[-1].number == 1
            assert state.serving is Side.GREEN
            assert await seat.back() is Outcome.DONE
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


@pytest.mark.parametrize("ask", [Ask.ABORT, Ask.RESUME])
def test_a_target_that_somebody_opened_meanwhile_is_not_left_behind(tmp_path: Path, ask: Ask) -> None:
    """Going home would give up what apps may have written there, going on would skip what the window proves: nothing is touched."""

    async def main() -> None:
        async with left(tmp_path, "apply drain*") as (memory, seat):
            green = memory.cluster.nodes[Side.GREEN]
            green.fenced = False
            before = picture(memory)
            assert (await seat.ask(ask, "arp" if ask is Ask.RESUME else "")).ok
            state = await seat.until(lambda s: bool(s.past) and s.mode is Mode.STUCK)
            assert "may have taken writes" in state.past[-1].why
            assert state.past[-1].downtime_s is None, "writes stall still"
            assert picture(memory) == before
            green.fenced = True
            state = await seat.abort()
            assert (state.past[-1].outcome, state.serving) == (Outcome.ABORTED, Side.BLUE)

    run_warped(main())


def test_beyond_the_budget_it_only_goes_home(tmp_path: Path) -> None:
    async def main() -> None:
        async with left(tmp_path, "apply drain*") as (_, seat):
            await asyncio.sleep(301)
            reply = await seat.ask(Ask.RESUME, "arp")
            assert "budget" in reply.reason
            state = await seat.abort()
            assert state.past[-1].outcome is Outcome.ABORTED

    run_warped(main())


@pytest.mark.parametrize("kind", ["hang", "hang-after"])
@pytest.mark.parametrize("call", AFTER)
@pytest.mark.parametrize("ask", [Ask.RESUME, Ask.ABORT])
def test_past_the_return_it_goes_forward(tmp_path: Path, call: str, kind: str, ask: Ask) -> None:
    async def main() -> None:
        async with left(tmp_path, call, kind) as (memory, seat):
            assert seat.state.serving is Side.GREEN
            assert (await seat.ask(ask, "arp" if ask is Ask.RESUME else "")).ok, seat.tail()
            state = await seat.until(lambda s: s.mode is Mode.READY)
            assert state.past[-1].outcome is Outcome.DONE, seat.tail()
            assert await seat.back() is Outcome.DONE
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


def test_what_was_only_armed_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=7, apps=4, poolers=1, channels=1, rate=2.0)
        async with memory:
            first = Seat(memory, tmp_path, quick_scenario())
            await first.armed()
            bury(memory, first)
            async with taken_up(memory, first, tmp_path) as seat:
                assert seat.state.mode is Mode.READY
                assert seat.state.past[-1].outcome is Outcome.ABORTED
                assert await seat.hand_over() is Outcome.DONE

    run_warped(main())


def test_a_soak_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=8, apps=4, poolers=1, channels=1, rate=2.0)
        async with memory:
            first = Seat(memory, tmp_path, quick_scenario())
            await first.cut_over()
            bury(memory, first)
            async with taken_up(memory, first, tmp_path) as seat:
                assert (seat.state.mode, seat.state.serving) == (Mode.READY, Side.GREEN)
                assert await seat.back() is Outcome.DONE

    run_warped(main())


@pytest.mark.parametrize("left", [True, False])
def test_the_look_comes_before_the_telemetry_that_would_share_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool) -> None:
    """Measuring begins once what was left is shown; a run that is opened measures from its start."""

    async def main() -> None:
        memory = MemoryWorld(seed=21, apps=4, poolers=2, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            began: list[Mode] = []
            monkeypatch.setattr(Telemetry, "run", _noting(Telemetry.run, tmp_path / "timeline.jsonl", began))
            if not left:
                await seat.ready()
                assert began == [Mode.OPENING]
                await seat.end()
                return
            await die_at(memory, seat, "apply drain*", "hang")
            began.clear()
            async with taken_up(memory, seat, tmp_path) as seat:
                await seat.until(lambda s: bool(began))
                assert began == [Mode.STUCK]

    run_warped(main())


def _noting(run: Callable[[Telemetry], Coroutine[Any, Any, None]], timeline: Path, began: list[Mode]) -> object:
    """Fills `began` with what the run showed when measuring began."""

    async def noted(telemetry: Telemetry) -> None:
        began.append(replay(read(timeline).events).mode)
        await run(telemetry)

    return noted
