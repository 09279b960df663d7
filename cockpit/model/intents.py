"""What a person may ask of the pilot, and whether it fits now. The same function greys a key on screen and refuses in the pilot.

An intent names the state sequence number its sender saw; what no longer fits is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cockpit.model.announced import not_a_start
from cockpit.model.approvals import approval_missing
from cockpit.model.bill import phrase
from cockpit.model.state import RunState
from cockpit.model.words import Direction, Mode, Outcome, Severity, Side


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
    FORCE = "force"
    """Make an ungraceful rollback ready: blue takes over without what it has not. The bill is drawn; `GO` with its phrase flies it."""
    RESUME = "resume"
    """Go on with a handover that was left half way: before the point of no return from where the world shows it, after it forward;
    `argument` is what was typed."""
    RECHECK = "recheck"
    """Run the preflight again, now."""
    NOTE = "note"
    ANNOUNCE = "announce"
    """When the cutover is to begin; `argument` says it (`announced.start_of`). It starts nothing."""
    DUTY = "duty"
    """Reconciliation's load limit; `argument` is `+` or `-`."""
    BILLED = "billed"
    """What was left behind has been exported; `argument` is the fact and its kind as JSON."""
    REPAIRED = "repaired"
    """Rows of the other side are repaired by a command beside the pilot; `argument` is the fact and its kind as JSON."""
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


_ARMING_MENDS = {"R3", "R4", "R5", "R7", "R8", "R11"}
"""Checks of the replication that stands. Arming enables it, lists new tables in it and waits for it, or says itself why it cannot."""

CONTRADICTED = "contradicted"
"""The alarm of a handover that the cockpit can bring neither home nor forward, for the world shows what it did not do: a person decides, and
closes the run."""

SUPERSEDED = "superseded"
"""The alarm of a run whose pair somebody else has taken up since: whatever it has half way is not its own to settle any more."""

_FLIES = {Ask.ARM, Ask.GO, Ask.ABORT, Ask.BACK, Ask.FORCE, Ask.RESUME}
_BUSY = {Mode.WINDOW, Mode.LANDING, Mode.ABORTING}


def refusal(state: RunState, ask: Ask, argument: str = "") -> str:
    """Why `ask` does not fit `state`, with what would; empty when it fits."""
    if state.mode is Mode.CLOSED:
        return "the run is closed"
    if ask in _FLIES and (why := superseded(state)):
        return f"{why}: Q closes this run, a new one looks at the pair as it is"
    judge = _JUDGED.get(ask)
    return judge(state) if judge is not None else _WORDED[ask](state, argument)


def to_type(state: RunState) -> str:
    """What confirms the armed handover."""
    ungraceful = state.handover is not None and state.handover.ungraceful
    return phrase(state.pair) if ungraceful else state.pair


def superseded(state: RunState) -> str:
    """Who took the pair up since; empty where nobody is known to have."""
    return next((alarm.what for alarm in state.alarms if alarm.id == SUPERSEDED), "")


def to_close(state: RunState) -> str:
    """What closes the run. One whose handover could be brought neither home nor forward is closed as it is by a longer word: what stays
    open is on record, and nothing else will settle it."""
    return f"{state.pair} half way" if _stays_open(state) else state.pair


def _stays_open(state: RunState) -> bool:
    left = state.half_way
    return left is not None and left is state.handover and left.outcome is Outcome.STUCK and not _left_to_people(state)


def _left_to_people(state: RunState) -> bool:
    """What is half way is nothing that this run could settle."""
    return any(alarm.id in {CONTRADICTED, SUPERSEDED} for alarm in state.alarms)


def goes_on(state: RunState) -> bool:
    """Back to blue means going on with the rollback that a crash left half way: no other is opened over it."""
    left = state.handover
    return state.mode is Mode.STUCK and left is not None and left.half_way and left.outcome is None and left.direction is Direction.ROLLBACK


def too_late(state: RunState, budget_s: float, now: float) -> str:
    """Why a handover before its return goes on no more: only while the downtime budget is not used up; home it goes at any time."""
    handover = state.handover
    if handover is None or handover.past_return or handover.downtime_mono is None or handover.downtime_s is not None:
        return ""
    used = now - handover.downtime_mono > budget_s
    return f"the downtime budget of {budget_s:g} s is used up: A, then Y brings it home" if used else ""


def what_first(state: RunState) -> str:
    """What is half way, and what settles it; empty where nothing is."""
    left = state.half_way
    if left is None:
        return ""
    if left is not state.handover:
        return f"{left.direction} {left.number} is half way still: D disarms what is armed, then A, then Y settles it"
    if left.outcome is Outcome.STUCK:
        return f"{left.direction} {left.number} is half way: A, then Y settles what stayed open"
    home = "A, then Y lands it" if left.past_return else "R goes on with it; A, then Y brings it home"
    return f"{left.direction} {left.number} is half way: {home}"


def _refuse_arm(state: RunState) -> str:
    if state.parted is not None:
        left = state.parted.direction.origin
        return f"{left} holds writes that {left.other} has not: export the bill, `cockpit cleanup`, then a new run copies anew"
    if state.mode is Mode.READY:
        return _refuse_found(state) if state.serving else "which side serves is not known yet"
    if state.mode is Mode.OPENING:
        return "still opening: wait until the panes are live"
    return f"only while ready, not while {state.mode}"


def _refuse_found(state: RunState) -> str:
    """A finding that blocks keeps a cutover from being armed: arming makes things on both servers. The way back waits for no finding."""
    if state.next_direction is not Direction.CUTOVER:
        return ""
    blocks = [f for f in state.findings if f.severity is Severity.BLOCK and not f.waived and f.check not in _ARMING_MENDS]
    if not blocks:
        return ""
    first, more = blocks[0], f" (and {len(blocks) - 1} more)" if len(blocks) > 1 else ""
    return f"{first.check} {first.object} blocks{more}: {first.seen}; mend or waive it, then r runs the preflight again"


def _refuse_go(state: RunState, argument: str) -> str:
    if state.mode is not Mode.ARMED or state.handover is None:
        return "arm it first"
    if state.handover.second and (why := approval_missing(state)):
        return why
    typed = state.handover.direction is Direction.CUTOVER or state.handover.ungraceful
    return f"type {to_type(state)} to confirm" if typed and argument != to_type(state) else ""


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
    return "" if argument == to_type(state) else f"type {to_type(state)} to confirm"


def _refuse_force(state: RunState) -> str:
    if state.serving is not Side.GREEN:
        return "blue serves already" if state.serving else "which side serves is not known yet"
    if state.mode is Mode.STUCK and state.handover is not None and state.handover.outcome is None:
        return what_first(state) or f"only while ready, not while {state.mode}"
    settled = state.mode is Mode.STUCK and state.handover is not None
    return "" if state.mode is Mode.READY or settled else f"only while ready, not while {state.mode}"


def _refuse_back(state: RunState) -> str:
    if state.mode in {Mode.ARMED, Mode.ARMING} and state.handover is not None and state.handover.ungraceful:
        return f"ungraceful: type {to_type(state)}, or D disarms it"
    if state.mode is Mode.STUCK and state.handover is not None and state.handover.half_way:
        return _refuse_on(state)
    if state.mode is Mode.WINDOW and state.handover is not None and state.handover.direction is Direction.ROLLBACK:
        return "the rollback is flying: A, then Y aborts it and green serves on"
    if state.mode in {Mode.WINDOW, Mode.ARMED, Mode.ARMING}:
        return ""
    if state.mode in {Mode.READY, Mode.STUCK}:
        return "" if state.serving is Side.GREEN else "blue serves already"
    if state.mode is Mode.LANDING:
        return "the handover is landing: press again when it has landed"
    return f"not while {state.mode}"


def _refuse_on(state: RunState) -> str:
    """Back to blue, while a handover is half way: its rollback goes on; anything else is settled first."""
    if goes_on(state):
        ungraceful = state.handover is not None and state.handover.ungraceful
        return f"{what_first(state)}; R asks for its phrase" if ungraceful else ""
    return what_first(state) + ("" if state.serving is Side.BLUE else ", then B goes back")


def _refuse_close(state: RunState, argument: str) -> str:
    if state.mode in _BUSY:
        return f"not while {state.mode}: it would leave the handover half way"
    if _stays_open(state):
        return "" if argument == to_close(state) else f"{what_first(state)} first; {to_close(state)!r}, typed, closes the run as it is"
    if state.half_way is not None and not _left_to_people(state):
        return f"{what_first(state)} first, then Q closes the run"
    return "" if argument == state.pair else f"type {state.pair} to close the run"


def _refuse_note(state: RunState, argument: str) -> str:
    return "" if argument.strip() else "a note needs words"


def _refuse_announce(state: RunState, argument: str) -> str:
    if state.mode in _BUSY:
        return f"not while {state.mode}"
    return not_a_start(argument, state.tail[-1].at if state.tail else "")


def _refuse_duty(state: RunState, argument: str) -> str:
    return "" if argument in {"+", "-"} else "the load limit goes up (+) or down (-)"


def _refuse_billed(state: RunState) -> str:
    return "" if state.parted is not None else "nothing was left behind"


def _refuse_repaired(state: RunState) -> str:
    return "" if state.mode is Mode.READY else f"only while ready, not while {state.mode}"


def _refuse_recheck(state: RunState) -> str:
    return "" if state.mode is Mode.READY else f"only while ready, not while {state.mode}"


def _refuse_disarm(state: RunState) -> str:
    return "" if state.mode in {Mode.ARMED, Mode.ARMING} else "nothing is armed"


_JUDGED: dict[Ask, Callable[[RunState], str]] = {
    Ask.ARM: _refuse_arm,
    Ask.DISARM: _refuse_disarm,
    Ask.ABORT: _refuse_abort,
    Ask.BACK: _refuse_back,
    Ask.FORCE: _refuse_force,
    Ask.RECHECK: _refuse_recheck,
    Ask.BILLED: _refuse_billed,
    Ask.REPAIRED: _refuse_repaired,
}
_WORDED: dict[Ask, Callable[[RunState, str], str]] = {
    Ask.GO: _refuse_go,
    Ask.RESUME: _refuse_resume,
    Ask.NOTE: _refuse_note,
    Ask.ANNOUNCE: _refuse_announce,
    Ask.DUTY: _refuse_duty,
    Ask.CLOSE: _refuse_close,
}
