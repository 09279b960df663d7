"""The fold across a crash: steps that were cut off, what was found of them, and clocks of another boot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.model import events as ev
from cockpit.model.state import EMPTY, RunState, fold
from cockpit.model.words import Direction, Known, Mode, Outcome, StepState

STEPS = tuple(ev.PlannedLine(name, name, 1.0, name == "pause") for name in ("arm", "steer", "pause", "fence"))
OPENED = ev.RunOpened("run", "arp", "arp", "s", "c", "p", "ana", "bastion", "0", False, 300, 300, STEPS, STEPS)


def told(*facts: ev.Fact, mono: float = 100.0, boot: str = "one") -> RunState:
    """The state after the facts, a second apart, on 2026-11-21 from noon."""
    state = EMPTY
    for number, fact in enumerate((OPENED, ev.PilotSeated("pilot", 1, "a", boot), *facts)):
        state = fold(state, ev.Event(number + 1, at(number), mono + number, "pilot", fact))
    return state


def at(second: float) -> str:
    return (datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(seconds=second)).isoformat()


HALF_WAY = (
    ev.HandoverOpened(1, Direction.CUTOVER, "p", 'type "arp"', 60.0),
    ev.ModeChanged(Mode.WINDOW),
    ev.StepStarted("steer"),
    ev.StepFinished("steer", 100.0),
    ev.DowntimeStarted(),
    ev.StepStarted("pause"),
)


def test_a_step_that_was_cut_off_stands_still() -> None:
    state = fold(told(*HALF_WAY), ev.Event(9, at(9), 109.0, "pilot", ev.RunTakenUp("ben", "bastion-2")))
    assert state.handover is not None
    assert state.handover.current is None
    assert {s.id: s.state for s in state.handover.steps}["pause"] is StepState.FAILED
    assert (state.mode, state.user, state.host) == (Mode.OPENING, "ben", "bastion-2")


def test_what_is_found_of_a_step_counts_until_it_is_flown_again() -> None:
    state = told(*HALF_WAY, ev.RunTakenUp("ben", "b"), ev.StepFound("pause", Known.DONE))
    assert _step(state, "pause").found is Known.DONE
    state = fold(state, ev.Event(20, at(20), 120.0, "pilot", ev.StepStarted("pause")))
    assert _step(state, "pause").found is None


def _step(state: RunState, name: str):
    assert state.handover is not None
    return next(s for s in state.handover.steps if s.id == name)


@pytest.mark.parametrize(("facts", "half"), [((), False), (HALF_WAY[:2], False), (HALF_WAY[:3], True), (HALF_WAY, True)])
def test_half_way_is_what_touched_something(facts: tuple[ev.Fact, ...], half: bool) -> None:
    handover = told(*facts).handover
    assert (handover is not None and handover.half_way) is half


@pytest.mark.parametrize(("outcome", "half"), [(Outcome.DONE, False), (Outcome.ABORTED, False), (Outcome.STUCK, True)])
def test_an_ended_handover_is_half_way_only_when_it_got_stuck(outcome: Outcome, half: bool) -> None:
    handover = told(*HALF_WAY).handover
    assert handover is not None
    assert replace(handover, outcome=outcome).half_way is half


@given(st.floats(0, 1e7), st.floats(0, 3000))
def test_the_downtime_clock_goes_on_across_boots(mono: float, gap: float) -> None:
    """Another boot counts from elsewhere: the walls say how long it was, so that a budget is not given twice nor taken for nothing."""
    before = told(*HALF_WAY)
    assert before.handover is not None
    assert before.handover.downtime_mono is not None
    last = 7.0
    used = before.mono - before.handover.downtime_mono
    seated = ev.Event(9, at(last + gap), mono, "pilot", ev.PilotSeated("pilot", 2, "b", "two"))
    after = fold(before, seated)
    assert after.handover is not None
    assert after.handover.downtime_mono is not None
    assert mono - after.handover.downtime_mono == pytest.approx(used + gap, abs=0.01)
    assert after.boot == "two"


def test_on_the_same_boot_no_clock_is_moved() -> None:
    before = told(*HALF_WAY)
    after = fold(before, ev.Event(9, "1999-01-01T00:00:00+00:00", 5000.0, "pilot", ev.PilotSeated("pilot", 2, "b", "one")))
    assert after.handover is not None
    assert before.handover is not None
    assert after.handover.downtime_mono == before.handover.downtime_mono


def test_a_wall_that_went_back_gives_no_time_back() -> None:
    before = told(*HALF_WAY)
    after = fold(before, ev.Event(9, "1999-01-01T00:00:00+00:00", 5000.0, "pilot", ev.PilotSeated("pilot", 2, "b", "two")))
    assert after.handover is not None
    assert after.handover.downtime_mono is not None
    assert before.handover is not None
    assert before.handover.downtime_mono is not None
    assert 5000.0 - after.handover.downtime_mono >= before.mono - before.handover.downtime_mono
