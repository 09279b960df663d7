"""Pane 5, TIMELINE: what happened, newest first, each event as one line of words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cockpit.model import events as ev
from cockpit.model.beside import in_words as check
from cockpit.model.bill import in_words
from cockpit.model.certified import in_words as certificate
from cockpit.model.checks import CheckVerdict
from cockpit.model.words import Known, Light, Mode, Outcome, Severity
from cockpit.screen.cells import Line, crop, fit
from cockpit.screen.content import Content, Rows, Wish
from cockpit.screen.figures import seconds
from cockpit.screen.look import Status
from cockpit.screen.view import View

Told = tuple[Status, str]

ROOMY = 90
"""Cells from which everything is listed."""

_QUIET = {ev.ActionIntended, ev.ActionDone, ev.ActionProbed}
"""Shown only where there is room: their steps tell the same."""


def content(view: View, wish: Wish, width: int, height: int) -> Content:
    """The pane for an inner size of `width` x `height` cells."""
    events = listed(view, wish, width)
    if not events:
        return Content(title=(("TIMELINE", "title"),), head=((("· nothing has happened yet", "wait"),),))
    rows = Rows([str(e.seq) for e in events], lambda place: _row(events[place], width))
    badge: Line = ((f"{view.state.seq} events", "dim"),)
    if view.damage:
        return Content((("TIMELINE ", "title"),), (("✗ DAMAGED", "bad"),), (crop(((view.damage, "bad"),), width),), rows)
    return Content((("TIMELINE", "title"),), badge, rows=rows)


def listed(view: View, wish: Wish, width: int) -> list[ev.Event]:
    """The newest events first; actions and the starts of finished steps only in a wide pane."""
    current = view.state.handover.current if view.state.handover else None
    running = current.id if current else ""
    return [
        e
        for e in reversed(view.state.tail)
        if (width >= ROOMY or not _dull(e.fact, running)) and (not wish.needle or wish.wants(tell(e.fact)[1], e.kind))
    ]


def _dull(fact: ev.Fact, running: str) -> bool:
    """What another line tells as well: actions of a step, the start of one that is over, each finding that is good."""
    if isinstance(fact, ev.FindingSeen):
        return fact.severity is Severity.GOOD
    return type(fact) in _QUIET or (isinstance(fact, ev.StepStarted) and fact.step != running)


def last_line(view: View, width: int) -> Line:
    """The newest event that says something, as one line."""
    for event in reversed(view.state.tail):
        if type(event.fact) not in _QUIET:
            return _row(event, width)
    return ()


def _row(event: ev.Event, width: int) -> Line:
    status, text = tell(event.fact)
    clock = wall(event, width)
    by = f"{event.by}: " if event.by != "pilot" else ""
    quiet = type(event.fact) in _QUIET or status in (Status.OK, Status.WAIT)
    return (
        (clock + " ", "dim"),
        (f"{status.symbol} ", status.value),
        (fit(by + text, max(width - len(clock) - 3, 4)), "text" if quiet else status.value),
    )


def wall(event: ev.Event, width: int) -> str:
    """UTC wall clock of the event: to the millisecond where there is room."""
    clock = event.at.partition("T")[2] or event.at
    return clock[:8] if width < 50 else clock[:12]


def tell(fact: ev.Fact) -> Told:
    """What an event says, and how it is to be taken."""
    teller = _TELLERS.get(type(fact))
    return teller(fact) if teller else (Status.WAIT, type(fact).__name__)


_LIGHTS = {Light.PASS: Status.OK, Light.FAIL: Status.WARN, Light.UNKNOWN: Status.STALE}
_SEVERITIES = {Severity.BLOCK: Status.BAD, Severity.WARN: Status.WARN, Severity.GOOD: Status.OK}
_OUTCOMES = {Outcome.DONE: Status.OK, Outcome.ABORTED: Status.WARN, Outcome.STUCK: Status.BAD}
_LOUD_MODES = {Mode.ARMED: Status.WARN, Mode.ABORTING: Status.WARN, Mode.STUCK: Status.BAD}


def _because(head: str, why: str) -> str:
    return f"{head}: {why}" if why else head


def _mode(f: ev.ModeChanged) -> Told:
    return _LOUD_MODES.get(f.mode, Status.RUN), _because(f.mode.value.upper() if f.mode in _LOUD_MODES else f.mode.value, f.why)


def _finding(f: ev.FindingSeen) -> Told:
    status = Status.WARN if f.waived else _SEVERITIES[f.severity]
    word = "WAIVED" if f.waived else f.severity.value.upper() if status is not Status.OK else "good"
    return status, f"{word} {f.check} {f.object}: {f.seen}"


VERDICTS = {
    CheckVerdict.EQUAL: Status.OK,
    CheckVerdict.WITHIN: Status.OK,
    CheckVerdict.DIFFERS: Status.BAD,
    CheckVerdict.HOT: Status.RUN,
    CheckVerdict.FAILED: Status.WARN,
}
"""How the outcome of a business check is to be taken."""


def _parity(f: ev.ParityRead) -> Told:
    status = Status.WARN if f.bad else Status.OK
    return status, f"beside the rows {f.objects} objects compared: {f.bad} differ, {f.look} may be meant, {f.left} never carried"


def _preflight(f: ev.PreflightDone) -> Told:
    status = Status.BAD if f.blocks else Status.WARN if f.warnings else Status.OK
    return status, f"preflight: {f.good} good, {f.warnings} warnings, {f.blocks} block, {f.waived} waived"


def _handover_opened(f: ev.HandoverOpened) -> Told:
    what = f"{f.direction.value} {f.number} opened, plan {f.plan_digest[:8]}"
    return (Status.WARN, f"UNGRACEFUL {what}") if f.ungraceful else (Status.RUN, what)


def _handover_closed(f: ev.HandoverClosed) -> Told:
    word = f.outcome.value if f.outcome is Outcome.DONE else f.outcome.value.upper()
    stall = f", writes stalled {seconds(f.downtime_s)}" if f.downtime_s is not None else ""
    serves = f", {f.serving.value} serves" if f.serving else ""
    return _OUTCOMES[f.outcome], _because(f"handover {f.number} {word} in {seconds(f.seconds)}{stall}{serves}", f.why)


def _run_closed(f: ev.RunClosed) -> Told:
    serves = f", {f.serving.value} serves" if f.serving else ""
    return (Status.OK if f.exit_code == 0 else Status.WARN), _because(f"run closed, {f.outcome}{serves}", "; ".join(f.open_ends))


def _action_failed(f: ev.ActionFailed) -> Told:
    return Status.WARN, f"{f.action} {'UNKNOWN' if f.unknown else 'FAILED'} after {seconds(f.ms / 1000)}: {f.why}"


def _intent(f: ev.IntentTaken) -> Told:
    typed = f" ({f.argument})" if f.argument else ""
    return Status.RUN, f"{f.intent}{typed} by {f.by}"


def _taken_up(f: ev.RunTakenUp) -> Told:
    changed = f"CHANGED since it was opened: {f.changed}" if f.changed else ""
    return Status.WARN, _because(f"TAKEN UP after a crash by {f.user} on {f.host}", "; ".join(part for part in (changed, f.torn) if part))


_FOUND = {Known.DONE: Status.OK, Known.PENDING: Status.WAIT, Known.UNKNOWN: Status.STALE}
_TELLERS: dict[type, Callable[[Any], Told]] = {
    ev.RunOpened: lambda f: (Status.RUN, f"run {f.run} opened by {f.user} on {f.host}"),
    ev.SeatTaken: lambda f: (Status.RUN, "from now on this run acts on the pair: on record on both servers"),
    ev.PilotSeated: lambda f: (Status.RUN if f.role == "pilot" else Status.WARN, f"{f.role} seated, pid {f.pid}"),
    ev.RunTakenUp: _taken_up,
    ev.StepFound: lambda f: (_FOUND[f.known], f"{f.step} found {f.known.value}"),
    ev.SidesSeen: lambda f: (Status.OK, f"{f.serving.value} serves; blue {f.blue}, green {f.green}"),
    ev.ModeChanged: _mode,
    ev.RunClosed: _run_closed,
    ev.IntentTaken: _intent,
    ev.IntentRefused: lambda f: (Status.WARN, f"REFUSED {f.intent}: {f.reason}"),
    ev.NoteTaken: lambda f: (Status.OK, f"note by {f.by}: {f.text}"),
    ev.StartAnnounced: lambda f: (Status.OK, f"start announced by {f.by}: {f.start or 'taken back'}"),
    ev.ApprovalAsked: lambda f: (Status.WARN, f"ASKED a second person: {f.command}"),
    ev.ApprovalGiven: lambda f: (Status.OK, f"approved by {f.by}: {f.comment}"),
    ev.ApprovalRejected: lambda f: (Status.WARN, f"REJECTED by {f.by}: {f.comment}"),
    ev.ApprovalRefused: lambda f: (Status.WARN, f"REFUSED {f.by} as second person: {f.reason}"),
    ev.ApprovalExpired: lambda f: (Status.WARN, f"APPROVAL EXPIRED: {f.why}"),
    ev.PreflightStarted: lambda f: (Status.RUN, "preflight"),
    ev.FindingSeen: _finding,
    ev.PreflightDone: _preflight,
    ev.CheckRead: lambda f: (VERDICTS[f.verdict], check(f)),
    ev.ParityRead: _parity,
    ev.GateTurned: lambda f: (_LIGHTS[f.light], _because(f"gate {f.gate} {f.light.value}", f.reason)),
    ev.HandoverOpened: _handover_opened,
    ev.BillDrawn: lambda f: (Status.WARN, f"{f.bill.origin.value} HAS, and {f.bill.target.value} has not: {in_words(f.bill)}"),
    ev.RepairBegun: lambda f: (Status.WARN, f"{f.by} REPAIRS {sum(f.rows.values())} rows in {len(f.rows)} tables of {f.side.value}"),
    ev.RepairDone: lambda f: (Status.BAD if f.failed else Status.OK, _because(f"{f.by} repaired {f.done} rows, left {f.left}", f.failed)),
    ev.ShutOut: lambda f: (Status.OK, f"{f.side.value} IS SHUT OUT: fenced, emptied, and follows nobody"),
    ev.BillExported: lambda f: (Status.OK, f"{f.by} exported what was left behind: {f.changes} changes in {f.tables} tables, to {f.path}"),
    ev.HandoverClosed: _handover_closed,
    ev.StepStarted: lambda f: (Status.RUN, f"{f.step} started"),
    ev.StepFinished: lambda f: (Status.OK, f"{f.step} done in {seconds(f.ms / 1000)}"),
    ev.StepFailed: lambda f: (Status.BAD, f"{f.step} FAILED after {seconds(f.ms / 1000)}: {f.why}"),
    ev.ActionIntended: lambda f: (Status.WAIT, f"  {f.action}"),
    ev.ActionDone: lambda f: (Status.OK, f"  {f.action} in {seconds(f.ms / 1000)}"),
    ev.ActionFailed: _action_failed,
    ev.ActionProbed: lambda f: (Status.OK, f"  {f.action} is {f.known.value}"),
    ev.DowntimeStarted: lambda f: (Status.RUN, "writes stalled: the downtime clock runs"),
    ev.FenceSet: lambda f: (Status.RUN, f"FENCE {f.side.value} at {f.lsn}"),
    ev.Certified: lambda f: (Status.OK if f.equal else Status.WARN, certificate(f)),
    ev.ReturnPassed: lambda f: (Status.RUN, f"point of no return passed, {f.serving.value} serves"),
    ev.DowntimeEnded: lambda f: (Status.OK, f"writes flow again after {seconds(f.seconds)}"),
    ev.AlarmRaised: lambda f: (Status.BAD, f"ALARM {f.alarm}: {f.what}"),
    ev.AlarmCleared: lambda f: (Status.OK, f"alarm {f.alarm} cleared"),
}
