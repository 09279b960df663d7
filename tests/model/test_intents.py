"""Whether an intent fits: the table that greys a key on screen and refuses in the pilot."""

from __future__ import annotations

import pytest

from cockpit.model.intents import Ask, refusal
from cockpit.model.state import HandoverView, RunState
from cockpit.model.words import Direction, Mode, Side

FITS: dict[Ask, set[Mode]] = {
    Ask.ARM: {Mode.READY},
    Ask.GO: {Mode.ARMED},
    Ask.DISARM: {Mode.ARMING, Mode.ARMED},
    Ask.ABORT: {Mode.ARMING, Mode.ARMED, Mode.WINDOW, Mode.STUCK},
    Ask.RECHECK: {Mode.READY},
    Ask.NOTE: set(Mode) - {Mode.CLOSED},
    Ask.DUTY: set(Mode) - {Mode.CLOSED},
    Ask.CLOSE: set(Mode) - {Mode.CLOSED, Mode.WINDOW, Mode.LANDING, Mode.ABORTING},
    Ask.BACK: {Mode.ARMING, Mode.ARMED, Mode.WINDOW, Mode.READY, Mode.STUCK},
}
WORDS = {Ask.GO: "arp", Ask.CLOSE: "arp", Ask.NOTE: "hello", Ask.DUTY: "+"}


def state(mode: Mode, serving: Side | None = Side.GREEN, **changes: object) -> RunState:
    handover = HandoverView(1, Direction.CUTOVER, (), 0.0, 'type "arp"', **changes)  # type: ignore[arg-type]
    return RunState(pair="arp", mode=mode, serving=serving, handover=handover)


@pytest.mark.parametrize("ask", list(Ask))
@pytest.mark.parametrize("mode", list(Mode))
def test_every_intent_in_every_mode(ask: Ask, mode: Mode) -> None:
    why = refusal(state(mode), ask, WORDS.get(ask, ""))
    assert (why == "") is (mode in FITS[ask]), (why, ask, mode)


def test_past_the_return_there_is_no_abort() -> None:
    assert "point of no return" in refusal(state(Mode.STUCK, past_return=True), Ask.ABORT)


def test_back_to_blue_needs_green_to_serve() -> None:
    assert refusal(state(Mode.READY, Side.BLUE), Ask.BACK) == "blue serves already"


@pytest.mark.parametrize("typed", ["", "ARP", "arp ", "yes", "blue"])
def test_only_the_pairs_name_confirms(typed: str) -> None:
    assert refusal(state(Mode.ARMED), Ask.GO, typed) == "type arp to confirm"
    assert refusal(state(Mode.READY), Ask.CLOSE, typed)
