"""Whether an intent fits: the table that greys a key on screen and refuses in the pilot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cockpit.model.events import FindingSeen
from cockpit.model.intents import CONTRADICTED, Ask, goes_on, refusal, to_close
from cockpit.model.state import AlarmView, HandoverView, RunState, StepView
from cockpit.model.words import Direction, Mode, Outcome, Severity, Side, StepState

FITS: dict[Ask, set[Mode]] = {
    Ask.ARM: {Mode.READY},
    Ask.GO: {Mode.ARMED},
    Ask.DISARM: {Mode.ARMING, Mode.ARMED},
    Ask.ABORT: {Mode.ARMING, Mode.ARMED, Mode.WINDOW, Mode.STUCK},
    Ask.RECHECK: {Mode.READY},
    Ask.NOTE: set(Mode) - {Mode.CLOSED},
    Ask.ANNOUNCE: set(Mode) - {Mode.CLOSED, Mode.WINDOW, Mode.LANDING, Mode.ABORTING},
    Ask.DUTY: set(Mode) - {Mode.CLOSED},
    Ask.CLOSE: set(Mode) - {Mode.CLOSED, Mode.WINDOW, Mode.LANDING, Mode.ABORTING},
    Ask.BACK: {Mode.ARMING, Mode.ARMED, Mode.WINDOW, Mode.READY, Mode.STUCK},
    Ask.FORCE: {Mode.READY},
    Ask.RESUME: set(),
    Ask.BILLED: set(),
    Ask.REPAIRED: {Mode.READY},
}
WORDS = {Ask.GO: "arp", Ask.CLOSE: "arp", Ask.NOTE: "hello", Ask.ANNOUNCE: "02:00", Ask.DUTY: "+"}


def state(mode: Mode, serving: Side | None = Side.GREEN, **changes: object) -> RunState:
    handover = HandoverView(1, Direction.CUTOVER, (), 0.0, 'type "arp"', **changes)  # type: ignore[arg-type]
    return RunState(pair="arp", mode=mode, serving=serving, handover=handover)


@pytest.mark.parametrize("ask", list(Ask))
@pytest.mark.parametrize("mode", list(Mode))
def test_every_intent_in_every_mode(ask: Ask, mode: Mode) -> None:
    why = refusal(state(mode), ask, WORDS.get(ask, ""))
    assert (why == "") is (mode in FITS[ask]), (why, ask, mode)


FULL = FindingSeen("R12", "public.orders", Severity.BLOCK, "holds rows", "SELECT 1", "TRUNCATE")


def test_a_finding_that_blocks_keeps_a_cutover_from_being_armed() -> None:
    ready = replace(state(Mode.READY, Side.BLUE), findings=(FULL, replace(FULL, object="public.lines")))
    why = refusal(ready, Ask.ARM)
    assert why == "R12 public.orders blocks (and 1 more): holds rows; mend or waive it, then r runs the preflight again"
    assert refusal(ready, Ask.RECHECK) == ""
    waived = replace(ready, findings=(replace(FULL, waived="agreed"), replace(FULL, severity=Severity.WARN)))
    assert refusal(waived, Ask.ARM) == ""


def test_no_finding_keeps_anybody_from_the_way_back() -> None:
    green = replace(state(Mode.READY, Side.GREEN), findings=(FULL,))
    assert [refusal(green, ask) for ask in (Ask.ARM, Ask.BACK, Ask.FORCE)] == ["", "", ""]


@pytest.mark.parametrize("check", ["R4", "R8", "R11"])
def test_what_arming_itself_mends_does_not_keep_it_from_arming(check: str) -> None:
    assert refusal(replace(state(Mode.READY, Side.BLUE), findings=(replace(FULL, check=check),)), Ask.ARM) == ""


def test_past_the_return_there_is_no_abort() -> None:
    assert "point of no return" in refusal(state(Mode.LANDING, past_return=True), Ask.ABORT)


@pytest.mark.parametrize(("outcome", "fits"), [(None, True), (Outcome.STUCK, True), (Outcome.ABORTED, False), (Outcome.DONE, False)])
def test_a_stuck_handover_can_be_taken_up_again_while_it_is_half_way(outcome: Outcome | None, fits: bool) -> None:
    for past_return in (False, True):
        why = refusal(state(Mode.STUCK, outcome=outcome, past_return=past_return), Ask.ABORT)
        assert (why == "") is fits, why


@pytest.mark.parametrize(("touched", "outcome", "typed", "fits"), [
    (True, None, "arp", True), (True, None, "", False), (True, None, "otc", False), (False, None, "arp", False), (True, Outcome.STUCK, "arp", False),
    (True, Outcome.ABORTED, "arp", False),
])  # fmt: skip
def test_only_what_a_crash_left_half_way_is_gone_on_with(touched: bool, outcome: Outcome | None, typed: str, fits: bool) -> None:
    steer = StepView("steer", "", 1.0, False, StepState.DONE, started_mono=1.0 if touched else None)
    view = HandoverView(1, Direction.CUTOVER, (steer,), 0.0, 'type "arp"', outcome=outcome)
    why = refusal(RunState(pair="arp", mode=Mode.STUCK, serving=Side.BLUE, handover=view), Ask.RESUME, typed)
    assert (why == "") is fits, why


def test_stuck_without_a_handover_there_is_nothing_to_abort() -> None:
    assert refusal(RunState(pair="arp", mode=Mode.STUCK, serving=Side.BLUE), Ask.ABORT)


def test_back_in_a_rollbacks_window_names_the_key_that_aborts() -> None:
    handover = HandoverView(1, Direction.ROLLBACK, (), 0.0, "B, then Y")
    flying = RunState(pair="arp", mode=Mode.WINDOW, serving=Side.GREEN, handover=handover)
    assert "A, then Y" in refusal(flying, Ask.BACK)
    assert refusal(flying, Ask.ABORT) == ""


def test_back_to_blue_needs_green_to_serve() -> None:
    assert refusal(state(Mode.READY, Side.BLUE), Ask.BACK) == "blue serves already"


@pytest.mark.parametrize("typed", ["", "ARP", "arp ", "yes", "blue"])
def test_only_the_pairs_name_confirms(typed: str) -> None:
    assert refusal(state(Mode.ARMED), Ask.GO, typed) == "type arp to confirm"
    assert refusal(state(Mode.READY), Ask.CLOSE, typed)


@pytest.mark.parametrize(("outcome", "past_return", "first"), [
    (None, False, "R goes on with it; A, then Y brings it home"), (None, True, "A, then Y lands it"), (Outcome.STUCK, True, "A, then Y settles"),
])  # fmt: skip
def test_a_run_that_is_half_way_is_closed_only_when_that_is_settled(outcome: Outcome | None, past_return: bool, first: str) -> None:
    half = state(Mode.STUCK, outcome=outcome, past_return=past_return, downtime_mono=1.0)
    assert f"cutover 1 is half way: {first}" in refusal(half, Ask.CLOSE, "arp")
    assert refusal(replace(half, alarms=(AlarmView(CONTRADICTED, "", "", "", 1.0),)), Ask.CLOSE, "arp") == ""


def test_a_run_that_nobody_can_settle_is_closed_as_it_is_by_a_longer_word() -> None:
    half = state(Mode.STUCK, outcome=Outcome.STUCK, downtime_mono=1.0)
    assert to_close(half) == "arp half way"
    assert "'arp half way', typed, closes the run as it is" in refusal(half, Ask.CLOSE, "arp")
    assert refusal(half, Ask.CLOSE, "arp half way") == ""
    left = state(Mode.STUCK, outcome=None, downtime_mono=1.0)
    assert to_close(left) == "arp"
    assert refusal(left, Ask.CLOSE, "arp half way"), "what was not tried yet is tried first"


@pytest.mark.parametrize(("view", "why"), [
    (HandoverView(2, Direction.ROLLBACK, (), 0.0, "", downtime_mono=1.0), ""),
    (HandoverView(2, Direction.ROLLBACK, (), 0.0, "", downtime_mono=1.0, ungraceful=True), "R asks for its phrase"),
    (HandoverView(2, Direction.ROLLBACK, (), 0.0, "", outcome=Outcome.STUCK), "A, then Y settles what stayed open, then B goes back"),
    (HandoverView(1, Direction.CUTOVER, (), 0.0, "", past_return=True), "A, then Y lands it, then B goes back"),
])  # fmt: skip
def test_back_opens_nothing_over_what_is_half_way(view: HandoverView, why: str) -> None:
    half = RunState(pair="arp", mode=Mode.STUCK, serving=Side.GREEN, handover=view)
    assert refusal(half, Ask.BACK).endswith(why)
    assert goes_on(half) is (view.direction is Direction.ROLLBACK and view.outcome is None)
