"""What a person may ask of the pilot, and whether it fits now. The same function greys a key on screen and refuses in the pilot.

An intent names the state sequence number its sender saw; what no longer fits is refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cockpit.model.approvals import approval_missing
from cockpit.model.state import RunState
from cockpit.model.words import Direction, Mode, Outcome, Side


class Ask(StrEnum):
    """The intents."""

    ARM = "arm"
    """Make the next handover ready: test the reverse path, hold the gates."""
    GO = "go"
    """Fly it; `argument` is what was typed."""
    DISARM = "disarm"
    ABORT = "abort"
    """Before the point of no return: the side it started from serves again. Stuck: it is tried again, home or, past the return, forward."""
    BACK = "back"
    """Back to blue: abort in the window, a rollback handover after it."""
    RESUME = "resume"
    """Go on with a handover that was left half way: before the point of no return from where the world shows it, after it forward;
    `argument` is what was typed."""
    RECHECK = "recheck"
    """Run the preflight again, now."""
    NOTE = "note"
    DUTY = "duty"
    """Reconciliation's load limit; `argument` is `+` or `-`."""
    CLOSE = "close"
    """End the run: the pilot settles and leaves; `argument` is the typed name."""


@dataclass(frozen=True, slots=True)
class Intent:
    ask: Ask
    by: str
    saw: int
    argument: str = ""
    uid: int | None = None
    """Who the operating system says it is; what a sender says of itself here is not believed."""


_BUSY = {Mode.WINDOW, Mode.LANDING, Mode.ABORTING}


def refusal(state: RunState, ask: Ask, argument: str = "") -> str:
    """Why `ask` does not fit `state`, with what would; empty when it fits."""
    if state.mode is Mode.CLOSED:
        return "the run is closed"
    match ask:
        case Ask.NOTE:
            return "" if argument.strip() else "a note needs words"
        case Ask.DUTY:
            return "" if argument in {"+", "-"} else "the load limit goes up (+) or down (-)"
        case Ask.RECHECK:
            return "" if state.mode is Mode.READY else f"only while ready, not while {state.mode}"
        case Ask.ARM:
            return _refuse_arm(state)
        case Ask.GO:
            return _refuse_go(state, argument)
        case Ask.DISARM:
            return "" if state.mode in {Mode.ARMED, Mode.ARMING} else "nothing is armed"
        case Ask.ABORT:
            return _refuse_abort(state)
        case Ask.BACK:
            return _refuse_back(state)
        case Ask.RESUME:
            return _refuse_resume(state, argument)
        case Ask.CLOSE:
            return _refuse_close(state, argument)


def _refuse_arm(state: RunState) -> str:
    if state.mode is Mode.READY:
        return "" if state.serving else "which side serves is not known yet"
    if state.mode is Mode.OPENING:
        return "still opening: wait until the panes are live"
    return f"only while ready, not while {state.mode}"


def _refuse_go(state: RunState, argument: str) -> str:
    if state.mode is not Mode.ARMED or state.handover is None:
        return "arm it first"
    if state.handover.second and (why := approval_missing(state)):
        return why
    if state.handover.direction is Direction.CUTOVER and argument != state.pair:
        return f"type {state.pair} to confirm"
    return ""


def _refuse_abort(state: RunState) -> str:
    if state.mode is Mode.STUCK:
        open_ = state.handover is not None and state.handover.outcome in {None, Outcome.STUCK}
        return "" if open_ else "no handover is left half way: close the run and open a new one"
    if state.mode in {Mode.ARMING, Mode.ARMED, Mode.WINDOW}:
        past = state.handover is not None and state.handover.past_return and state.handover.outcome is None
        return "past the point of no return: only a rollback goes back" if past else ""
    if state.mode is Mode.LANDING:
        return "past the point of no return: only a rollback goes back, once it has landed"
    return "nothing is in the air"


def _refuse_resume(state: RunState, argument: str) -> str:
    handover = state.handover
    if state.mode is not Mode.STUCK or handover is None or not handover.half_way:
        return "no handover was left half way"
    if handover.outcome is Outcome.STUCK:
        return "it has ended: A, then Y settles what stayed open"
    return "" if argument == state.pair else f"type {state.pair} to confirm"


def _refuse_back(state: RunState) -> str:
    if state.mode is Mode.STUCK and state.serving is Side.BLUE and state.handover is not None and state.handover.half_way:
        return "nothing serves but blue: A, then Y brings it home"
    if state.mode is Mode.WINDOW and state.handover is not None and state.handover.direction is Direction.ROLLBACK:
        return "the rollback is flying: A, then Y aborts it and green serves on"
    if state.mode in {Mode.WINDOW, Mode.ARMED, Mode.ARMING}:
        return ""
    if state.mode in {Mode.READY, Mode.STUCK}:
        return "" if state.serving is Side.GREEN else "blue serves already"
    if state.mode is Mode.LANDING:
        return "the handover is landing: press again when it has landed"
    return f"not while {state.mode}"


def _refuse_close(state: RunState, argument: str) -> str:
    if state.mode in _BUSY:
        return f"not while {state.mode}: it would leave the handover half way"
    return "" if argument == state.pair else f"type {state.pair} to close the run"
