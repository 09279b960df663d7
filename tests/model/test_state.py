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


def take_up(before: RunState, second: float, mono: float, boot: str, *, seated: float = 0.004) -> RunState:
    """As a pilot takes a run up: it says so, and sits down a moment later, by the clock of its own boot."""
    taken = fold(before, ev.Event(before.seq + 1, at(second), mono, "pilot", ev.RunTakenUp("ben", "bastion-2")))
    seat = ev.PilotSeated("pilot", 2, "b", boot)
    return fold(taken, ev.Event(before.seq + 2, at(second + seated), mono + seated, "pilot", seat))


def used(state: RunState) -> float:
    """Seconds of the downtime budget, by the state's own clock."""
    assert state.handover is not None
    assert state.handover.downtime_mono is not None
    return state.mono - state.handover.downtime_mono


STUCK = (
    *HALF_WAY,
    ev.HandoverClosed(1, Outcome.STUCK, 9.0, None, "no"),
    ev.HandoverOpened(2, Direction.ROLLBACK, "p", "", ungraceful=True),
)
TOUCHED = (ev.ModeChanged(Mode.WINDOW), ev.StepStarted("steer"))


def test_what_was_half_way_is_the_handover_again_when_its_successor_touched_nothing() -> None:
    armed = told(*STUCK)
    assert (armed.handover and armed.handover.number, armed.half_way and armed.half_way.number) == (2, 1)
    over = told(*STUCK, ev.HandoverClosed(2, Outcome.ABORTED, 1.0, None))
    assert (over.handover and over.handover.number, over.unsettled) == (1, None)
    assert over.half_way is over.handover
    assert [(h.number, h.outcome) for h in over.past] == [(1, Outcome.STUCK), (2, Outcome.ABORTED)]


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.ABORTED])
def test_a_successor_that_flew_and_ended_whole_settles_what_was_half_way(outcome: Outcome) -> None:
    over = told(*STUCK, *TOUCHED, ev.HandoverClosed(2, outcome, 1.0, None))
    assert (over.handover and over.handover.number, over.half_way) == (2, None)


def test_a_run_that_is_taken_up_again_is_no_longer_closed() -> None:
    over = told(*STUCK, ev.RunClosed("failed", 1, None, ("both sides are fenced",)), ev.RunTakenUp("ben", "b"))
    assert (over.mode, over.outcome, over.exit_code, over.open_ends) == (Mode.OPENING, "", None, ())


@given(st.floats(0, 1e7), st.floats(0, 3000))
def test_the_downtime_clock_goes_on_across_boots(mono: float, gap: float) -> None:
    """Another boot counts from elsewhere: the walls say how long it was, so that a budget is not given twice nor taken for nothing."""
    before = told(*HALF_WAY)
    after = take_up(before, 7 + gap, mono, "two")
    assert used(after) == pytest.approx(used(before) + gap + 0.004, abs=0.01)
    assert after.boot == "two"
    assert after.handover is not None
    assert after.handover.opened_mono <= (after.handover.downtime_mono or 0.0)


@given(st.floats(0, 1e7), st.lists(st.tuples(st.floats(0, 3000), st.sampled_from(["one", "two"]), st.booleans()), max_size=4))
def test_it_goes_on_across_pilots_that_left_again_before_they_sat_down(other: float, tries: list[tuple[float, str, bool]]) -> None:
    before = told(*HALF_WAY)
    state, second, origins = before, 7.0, {"one": 100.0, "two": other}
    for gap, boot, sat in tries:
        second += gap
        if sat:
            state = take_up(state, second, origins[boot] + second, boot, seated=0.0)
        else:
            state = fold(state, ev.Event(state.seq + 1, at(second), origins[boot] + second, "pilot", ev.RunTakenUp("ben", "b")))
    after = take_up(state, second + 5, 77.0, "three")
    assert used(after) == pytest.approx(used(before) + second + 5 - 7, abs=0.05)


def test_a_clock_that_went_back_is_another_where_no_boot_is_known() -> None:
    state = told(*HALF_WAY, mono=900_000.0, boot="")
    assert used(take_up(state, 27.0, 12.0, "")) == pytest.approx(used(state) + 20, abs=0.01)


def test_what_happened_before_is_told_in_the_time_of_the_boot_that_goes_on() -> None:
    """Who asks what happened since the handover was opened finds all of it."""
    state = take_up(told(*HALF_WAY), 30.0, 900_000.0, "two")
    assert state.handover is not None
    since = [event.fact for event in state.tail if event.mono >= state.handover.opened_mono]
    assert since[: len(HALF_WAY)] == list(HALF_WAY)


def test_on_the_same_boot_no_clock_is_moved() -> None:
    before = told(*HALF_WAY)
    after = take_up(before, -1e8, 5000.0, "one")
    assert after.handover is not None
    assert before.handover is not None
    assert after.handover.downtime_mono == before.handover.downtime_mono


@pytest.mark.parametrize("mono", [5000.0, 3.0])
def test_a_wall_that_went_back_gives_no_time_back(mono: float) -> None:
    before = told(*HALF_WAY)
    assert used(take_up(before, -1e8, mono, "two")) >= used(before) - 1e-6


def test_who_sits_down_without_taking_up_counts_too() -> None:
    before = told(*HALF_WAY)
    after = fold(before, ev.Event(9, at(27), 5000.0, "pilot", ev.PilotSeated("pilot", 2, "b", "two")))
    assert used(after) == pytest.approx(used(before) + 20, abs=0.01)
