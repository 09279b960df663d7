"""What happened, each event as one complete sentence: for pipes, for screen readers, for terminals that draw nothing.

A sentence is one line without symbols, begins with its time of day in UTC and ends with a full stop. A word in upper case asks for a person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cockpit.model import events as ev
from cockpit.model.beside import in_words as check
from cockpit.model.bill import in_words as bill
from cockpit.model.certified import in_words as certificate
from cockpit.model.text import plain
from cockpit.model.words import Known, Light, Mode, Outcome, Severity
from cockpit.screen.figures import seconds

_ACTIONS = (ev.ActionIntended, ev.ActionDone, ev.ActionProbed)


def is_detail(fact: ev.Fact) -> bool:
    """What a later sentence sums up: the actions of a step, of which a window of a tenth of a second holds dozens, and checks that are good."""
    return isinstance(fact, _ACTIONS) or (isinstance(fact, ev.FindingSeen) and fact.severity is Severity.GOOD and not fact.waived)


def sentence(event: ev.Event) -> str:
    """`14:32:07 The step drain is done after 5 ms.`"""
    return f"{event.at[11:19]} {tell(event.fact)}"


def tell(fact: ev.Fact) -> str:
    """The fact in one complete sentence, whatever is in its texts."""
    return whole(_TELLERS[type(fact)](fact))


def whole(text: str) -> str:
    """One printable line that begins with a capital and ends with a full stop, or as a question."""
    line = " ".join(plain(text, 1000).split())
    line = line[:1].upper() + line[1:]
    return line if line.endswith((".", "?", "!")) else line + "."


def because(head: str, why: str) -> str:
    return f"{head}: {why}" if why else head


def long(value: float | None) -> str:
    """`12 ms`, `3.4 s`, `2 min 10 s`: what a voice reads as a duration."""
    if value is None:
        return "an unknown time"
    if value < 59.95:
        return seconds(value)
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


_MODES = {
    Mode.OPENING: "the run is opening",
    Mode.READY: "the run is ready",
    Mode.ARMING: "the handover is being armed",
    Mode.ARMED: "the handover is ARMED",
    Mode.WINDOW: "the handover is in its window",
    Mode.LANDING: "the handover is landing",
    Mode.ABORTING: "the handover is ABORTING",
    Mode.STUCK: "the handover is STUCK",
    Mode.CLOSED: "the run is closed",
}
_FOUND = {Known.DONE: "done", Known.PENDING: "not done", Known.UNKNOWN: "UNSURE"}
_LIGHTS = {Light.PASS: "passes", Light.FAIL: "does NOT PASS", Light.UNKNOWN: "is UNKNOWN"}
_ENDS = {Outcome.DONE: "was done", Outcome.ABORTED: "was ABORTED", Outcome.STUCK: "is STUCK"}


def _finding(f: ev.FindingSeen) -> str:
    if f.waived:
        return f"Preflight check {f.check} of {f.object} is WAIVED, {f.waived}: {f.seen}"
    word = {Severity.GOOD: "is good", Severity.WARN: "WARNS", Severity.BLOCK: "BLOCKS"}[f.severity]
    remedy = f"; {f.remedy}" if f.remedy and f.severity is not Severity.GOOD else ""
    return f"Preflight check {f.check} of {f.object} {word}: {f.seen}{remedy}"


def _closed(f: ev.HandoverClosed) -> str:
    stalled = f", writes were stalled for {long(f.downtime_s)}" if f.downtime_s is not None else ""
    serves = f", and {f.serving.value} serves" if f.serving else ""
    return because(f"Handover {f.number} {_ENDS[f.outcome]} after {long(f.seconds)}{stalled}{serves}", f.why)


def _run_closed(f: ev.RunClosed) -> str:
    serves = f", and {f.serving.value} serves" if f.serving else ", and which side serves is UNKNOWN"
    return because(f"The run is closed as {f.outcome}{serves}", "; ".join(f.open_ends))


def _opened(f: ev.HandoverOpened) -> str:
    kind = "UNGRACEFUL " if f.ungraceful else ""
    return f"{kind}{f.direction.value} {f.number} was opened, by the plan {f.plan_digest[:8]}"


def _taken_up(f: ev.RunTakenUp) -> str:
    changed = f"CHANGED since it was opened: {f.changed}" if f.changed else ""
    return because(f"The run was TAKEN UP after a crash by {f.user} on {f.host}", "; ".join(part for part in (changed, f.torn) if part))


def _action_failed(f: ev.ActionFailed) -> str:
    how = "gave NO ANSWER and may have taken effect" if f.unknown else "FAILED"
    return f"The action '{f.action}' {how} after {long(f.ms / 1000)}: {f.why}"


def _step_failed(f: ev.StepFailed) -> str:
    return f"The step {f.step} FAILED after {long(f.ms / 1000)}: {f.why}" + (f"; {f.remedy}" if f.remedy else "")


def _alarm(f: ev.AlarmRaised) -> str:
    return f"ALARM {f.alarm}: {f.what}" + (f"; {f.remedy}" if f.remedy else "")


def _intent(f: ev.IntentTaken) -> str:
    return f"{f.by} asked to {f.intent}" + (f", with '{f.argument}'" if f.argument else "")


def _preflight(f: ev.PreflightDone) -> str:
    blocks = f"{f.blocks} BLOCK" if f.blocks else "none blocks"
    return f"The preflight is done: {f.good} checks are good, {f.warnings} warn, {f.waived} are waived, {blocks}"


def _parity(f: ev.ParityRead) -> str:
    differ = f"{f.bad} DIFFER" if f.bad else "none differs"
    return f"Beside the rows {f.objects} objects were compared: {differ}, {f.look} may be meant, {f.left} are never carried"


def _repaired(f: ev.RepairDone) -> str:
    return because(f"{f.by} repaired {f.done} rows and left {f.left}", f"FAILED, {f.failed}" if f.failed else "")


_TELLERS: dict[type, Callable[[Any], str]] = {
    ev.RunOpened: lambda f: f"Run {f.run} of {f.pair} was opened by {f.user} on {f.host}" + (", as a drill" if f.drill else ""),
    ev.SeatTaken: lambda f: "This run acts on the pair from now on, which is on record on both servers",
    ev.PilotSeated: lambda f: f"The {f.role} is seated as process {f.pid}",
    ev.RunTakenUp: _taken_up,
    ev.StepFound: lambda f: f"The step {f.step} was found {_FOUND[f.known]}",
    ev.SidesSeen: lambda f: f"{f.serving.value} serves; blue is version {f.blue} and green is version {f.green}",
    ev.ModeChanged: lambda f: because(_MODES[f.mode], f.why),
    ev.RunClosed: _run_closed,
    ev.IntentTaken: _intent,
    ev.IntentRefused: lambda f: f"What {f.by} asked, {f.intent}, was REFUSED: {f.reason}",
    ev.NoteTaken: lambda f: f"{f.by} notes: {f.text}",
    ev.StartAnnounced: lambda f: f"{f.by} announces the start for {f.start}" if f.start else f"{f.by} takes the announced start back",
    ev.ApprovalAsked: lambda f: f"A SECOND PERSON is asked to approve within {long(f.expires_s)}, with: {f.command}",
    ev.ApprovalGiven: lambda f: because(f"{f.by} approved it", f.comment),
    ev.ApprovalRejected: lambda f: because(f"{f.by} REJECTED it", f.comment),
    ev.ApprovalRefused: lambda f: f"{f.by} was REFUSED as second person: {f.reason}",
    ev.ApprovalExpired: lambda f: f"The approval no longer stands, it is EXPIRED: {f.why}",
    ev.PreflightStarted: lambda f: "The preflight begins",
    ev.FindingSeen: _finding,
    ev.PreflightDone: _preflight,
    ev.CheckRead: lambda f: f"A business check was read: {check(f)}",
    ev.ParityRead: _parity,
    ev.GateTurned: lambda f: because(f"The gate {f.gate} {_LIGHTS[f.light]}", f.reason),
    ev.HandoverOpened: _opened,
    ev.BillDrawn: lambda f: f"{f.bill.origin.value} HAS, and {f.bill.target.value} has not: {bill(f.bill)}",
    ev.BillExported: lambda f: f"{f.by} exported what was left behind, {f.changes} changes in {f.tables} tables, to {f.path}",
    ev.ShutOut: lambda f: f"{f.side.value} is shut out: it is fenced, emptied, and follows nobody",
    ev.RepairBegun: lambda f: f"{f.by} REPAIRS {sum(f.rows.values())} rows in {len(f.rows)} tables of {f.side.value}",
    ev.RepairDone: _repaired,
    ev.HandoverClosed: _closed,
    ev.StepStarted: lambda f: f"The step {f.step} begins",
    ev.StepFinished: lambda f: f"The step {f.step} is done after {long(f.ms / 1000)}",
    ev.StepFailed: _step_failed,
    ev.ActionIntended: lambda f: f"The action '{f.action}' is about to be done",
    ev.ActionDone: lambda f: f"The action '{f.action}' is done after {long(f.ms / 1000)}",
    ev.ActionFailed: _action_failed,
    ev.ActionProbed: lambda f: f"The action '{f.action}' was looked at and is {_FOUND[f.known]}",
    ev.DowntimeStarted: lambda f: "Writes are stalled from now on, and the downtime clock runs",
    ev.FenceSet: lambda f: f"{f.side.value} is fenced at log position {f.lsn}",
    ev.Certified: lambda f: f"The certificate of the window says: {certificate(f)}",
    ev.ReturnPassed: lambda f: f"The point of no return is passed, {f.serving.value} serves",
    ev.DowntimeEnded: lambda f: f"Writes flow again after {long(f.seconds)}",
    ev.AlarmRaised: _alarm,
    ev.AlarmCleared: lambda f: f"The alarm {f.alarm} is over",
}
