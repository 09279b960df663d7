"""Why an intent is refused that the state alone would take: by who says it, when, on which picture, and over which files."""

from __future__ import annotations

from cockpit.handover.orders import Orders
from cockpit.model.intents import Ask, Intent, goes_on, refusal, too_late
from cockpit.model.state import RunState

_FLIES = {Ask.ARM, Ask.GO, Ask.BACK, Ask.RESUME}


def refused(state: RunState, intent: Intent, argument: str, uid: int, orders: Orders, now: float, *, closing: bool) -> str:
    """Why `intent`, said by the user `uid` at `now` (monotonic seconds), changes nothing; empty where it is taken.
    `closing`: the run was asked to end, and nothing takes off any more."""
    return (
        refusal(state, intent.ask, argument)
        or _outdated(state, intent)
        or _same_person(state, intent.ask, uid)
        or ("the run is about to close" if closing and intent.ask in _FLIES else "")
        or _too_late(state, intent.ask, orders, now)
        or _other_files(state, intent.ask, orders)
    )


def _outdated(state: RunState, intent: Intent) -> str:
    """A go or a way back that was said on a picture of another handover is refused."""
    handover = state.handover
    if intent.ask not in {Ask.GO, Ask.BACK, Ask.RESUME} or handover is None:
        return ""
    return "" if intent.saw >= handover.opened_seq else "said on an older picture: look again"


def _same_person(state: RunState, ask: Ask, uid: int) -> str:
    """Who approved a handover does not confirm it as well."""
    approval = state.handover.approval if state.handover else None
    same = ask is Ask.GO and approval is not None and approval.uid == uid
    return "you approved it: another person must confirm it" if same else ""


def _too_late(state: RunState, ask: Ask, orders: Orders, now: float) -> str:
    on = ask is Ask.RESUME or (ask is Ask.BACK and goes_on(state))
    return too_late(state, orders.scenario.budgets.downtime, now) if on else ""


def _other_files(state: RunState, ask: Ask, orders: Orders) -> str:
    """What a second person approved goes on before its return only by the plan that they saw; home and forward it goes at any time."""
    handover = state.handover
    if ask is not Ask.RESUME or handover is None or handover.past_return or not handover.second:
        return ""
    if orders.plan(handover.direction, ungraceful=handover.ungraceful).digest == handover.plan_digest:
        return ""
    by = handover.approval.by if handover.approval else "a second person"
    return f"scenario or config changed since {by or 'a second person'} approved it: A, then Y brings it home, and it is approved anew"
