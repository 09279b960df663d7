"""Each fact of a timeline as one line for a reader who was not there, and what was seen as short text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from cockpit.model import events as ev
from cockpit.model.beside import in_words as check
from cockpit.model.bill import in_words
from cockpit.model.certified import in_words as certificate
from cockpit.model.text import plain
from cockpit.model.words import Known


def line(fact: ev.Fact) -> str:
    """What happened, in one line."""
    return plain(_LINES[type(fact)](fact))


def seen(fact: ev.Fact) -> str:
    """The evidence, query or remedy that a fact carries; empty where it carries none."""
    evidence = getattr(fact, "evidence", None)
    if evidence:
        return evidence_text(evidence)
    asides = [(name, getattr(fact, name, "")) for name in ("query", "remedy")]
    return "; ".join(f"{name}: {value}" for name, value in asides if value)


def evidence_text(evidence: Mapping[str, object], limit: int = 600) -> str:
    """`canary_ms 3.1, lsn 0/5000, ...`: one line of at most `limit` characters."""
    return plain(", ".join(f"{name} {_value(value)}" for name, value in evidence.items()), limit)


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def milliseconds(ms: float | None) -> str:
    return "" if ms is None else f"{ms / 1000:,.2f} s" if ms >= 1000 else f"{ms:.1f} ms"


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f} s" if value < 10 else f"{value:,.1f} s"


def clock(at: str) -> str:
    """An event's UTC time to the millisecond, as people write it; anything else as it is."""
    return f"{at[:10]} {at[11:23]} Z" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", at) else at


def _opened(f: Any) -> str:
    return f"run {f.run} of {f.pair} by {f.user} on {f.host}, cockpit {f.version}{', a drill' if f.drill else ''}"


def _closed(f: Any) -> str:
    ends = f"; open: {'; '.join(f.open_ends)}" if f.open_ends else ""
    return f"run closed: {f.outcome}, exit code {f.exit_code}, {f.serving or 'no side known to be'} serving{ends}"


def _finding(f: Any) -> str:
    waived = f", waived: {f.waived}" if f.waived else ""
    return f"preflight {f.check} {f.object}: {f.severity}, {f.seen}{waived}"


def _handover_closed(f: Any) -> str:
    why = f": {f.why}" if f.why else ""
    return f"handover {f.number} {f.outcome} after {seconds(f.seconds)}, {f.serving or 'no side known to be'} serving{why}"


def _action_failed(f: Any) -> str:
    unknown = " (outcome unknown: sent, but no answer came)" if f.unknown else ""
    return f"action failed: {f.action}: {f.why}{unknown}"


def _intent(f: Any) -> str:
    argument = f" {f.argument!r}" if f.argument else ""
    return f"{f.by} asked: {f.intent}{argument}"


def _taken_up(f: Any) -> str:
    torn = f"; the timeline's end was torn: {f.torn}" if f.torn else ""
    changed = f"; changed since it was opened: {f.changed}" if f.changed else ""
    return f"taken up again after a crash by {f.user} on {f.host}{torn}{changed}"


def _parity(f: Any) -> str:
    return f"{f.objects} objects compared beside the rows: {f.bad} differ, {f.look} differ and may be meant, {f.left} are never carried"


def _exported(f: Any) -> str:
    what = f"{f.changes} changes in {f.tables} tables, {f.from_lsn} to {f.to_lsn}"
    return f"{f.by} exported what was left behind: {what}, to {f.path}, sha256 {f.sha256}"


_FOUND = {Known.DONE: "it is so", Known.PENDING: "it is not so", Known.UNKNOWN: "not known"}
_LINES: Mapping[type, Callable[[Any], str]] = {
    ev.RunOpened: _opened,
    ev.PilotSeated: lambda f: f"{f.role} took the run, process {f.pid}",
    ev.SeatTaken: lambda f: "from here on this run acts on the pair, on record on both servers",
    ev.RunTakenUp: _taken_up,
    ev.StepFound: lambda f: f"step {f.step} found: {_FOUND[f.known]}",
    ev.SidesSeen: lambda f: f"{f.serving} serves; blue {f.blue}, green {f.green}",
    ev.ModeChanged: lambda f: f"now {f.mode}{': ' + f.why if f.why else ''}",
    ev.RunClosed: _closed,
    ev.IntentTaken: _intent,
    ev.IntentRefused: lambda f: f"{f.by} asked: {f.intent}; refused: {f.reason}",
    ev.NoteTaken: lambda f: f"{f.by} notes: {f.text}",
    ev.StartAnnounced: lambda f: f"{f.by} announces the start: {f.start}" if f.start else f"{f.by} takes the announced start back",
    ev.ApprovalAsked: lambda f: (
        f"a second person is asked by {f.by} (uid {f.uid}) to approve handover {f.number}, within {f.expires_s:g} s"
    ),
    ev.ApprovalGiven: lambda f: (
        f"{f.by} (uid {f.uid}) APPROVES handover {f.number}, plan {f.plan_digest}, having seen record {f.saw}: {f.comment}"
    ),
    ev.ApprovalRejected: lambda f: (
        f"{f.by} (uid {f.uid}) REJECTS handover {f.number}, plan {f.plan_digest}, having seen record {f.saw}: {f.comment}"
    ),
    ev.ApprovalRefused: lambda f: f"{f.by} (uid {f.uid}) spoke as second person; refused: {f.reason}",
    ev.ApprovalExpired: lambda f: f"the approval of handover {f.number} expired: {f.why}",
    ev.PreflightStarted: lambda f: "preflight started",
    ev.FindingSeen: _finding,
    ev.PreflightDone: lambda f: f"preflight: {f.blocks} block, {f.warnings} warn, {f.good} good, {f.waived} waived",
    ev.CheckRead: lambda f: f"business check: {check(f)}",
    ev.ParityRead: _parity,
    ev.GateTurned: lambda f: f"gate {f.gate} {f.light}: {f.reason}",
    ev.HandoverOpened: lambda f: f"handover {f.number} opened: {'ungraceful ' if f.ungraceful else ''}{f.direction}",
    ev.BillDrawn: lambda f: f"bill of handover {f.number}: {f.bill.origin} has, and {f.bill.target} has not: {in_words(f.bill)}",
    ev.BillExported: _exported,
    ev.ShutOut: lambda f: f"{f.side} is shut out: fenced, no app session left on it, and it follows nobody",
    ev.RepairBegun: lambda f: (
        f"{f.by} repairs {sum(f.rows.values())} rows in {len(f.rows)} tables of {f.side}, by {f.path}, sha256 {f.sha256}"
    ),
    ev.RepairDone: lambda f: (
        f"{f.by} repaired {f.done} rows of {f.side}, {f.left} had changed meanwhile{': ' + f.failed if f.failed else ''}"
    ),
    ev.HandoverClosed: _handover_closed,
    ev.StepStarted: lambda f: f"step {f.step} started",
    ev.StepFinished: lambda f: f"step {f.step} done in {milliseconds(f.ms)}",
    ev.StepFailed: lambda f: f"step {f.step} FAILED after {milliseconds(f.ms)}: {f.why}",
    ev.ActionIntended: lambda f: f"action: {f.action} ({len(f.statements)} statements)",
    ev.ActionDone: lambda f: f"action done: {f.action} in {milliseconds(f.ms)}",
    ev.ActionFailed: _action_failed,
    ev.ActionProbed: lambda f: f"probed: {f.action}: {f.known}",
    ev.DowntimeStarted: lambda f: "writes stall: downtime starts",
    ev.FenceSet: lambda f: f"{f.side} is fenced and quiet at {f.lsn}",
    ev.Certified: lambda f: f"certificate: {certificate(f)}",
    ev.ReturnPassed: lambda f: f"point of no return passed: {f.serving} takes writes",
    ev.DowntimeEnded: lambda f: f"writes flow: downtime was {seconds(f.seconds)}",
    ev.AlarmRaised: lambda f: f"ALARM {f.alarm}: {f.what}",
    ev.AlarmCleared: lambda f: f"alarm over: {f.alarm}",
}
