"""How the run stands now, in sentences: what the panes and clocks of the screen show, for who asks in words.

Every figure that is too old to be believed is said to be OLD, with its age; one that is not there is said to be unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from cockpit.model.bill import in_words
from cockpit.model.words import Light, ProofState, Severity, Side, Verdict
from cockpit.screen.figures import size
from cockpit.screen.view import View
from cockpit.spoken.sentences import long, whole

T = TypeVar("T")
MOST = 12
"""Items of a list that are told; how many more there are is told as well."""


def status(view: View) -> list[str]:
    """The run, the clocks and the three panes, a sentence or two each."""
    return [*_run(view), *_sides(view), *clocks(view), *lag(view), *recon(view)[:1], *route(view)[:1], *gates(view)[:1], *_alarms(view)]


def _run(view: View) -> list[str]:
    state = view.state
    if view.damage:
        return [whole(f"The timeline CANNOT BE TRUSTED: {view.damage}")]
    if state.seq == 0:
        return ["The pilot has not started yet."]
    who = f"Run {state.run} of {state.pair}, {state.mode.value.upper() if state.mode.value in _LOUD else state.mode.value}"
    serving = f"; {state.serving.value} serves" if state.serving else "; which side serves is UNKNOWN"
    return [whole(who + serving + (f"; {state.mode_why}" if state.mode_why else ""))]


_LOUD = {"armed", "aborting", "stuck"}


def _sides(view: View) -> list[str]:
    down = [side.value for side in Side if (server := view.latest.servers.get(side)) is not None and not server.up]
    fenced = [side.value for side in Side if (server := view.latest.servers.get(side)) is not None and server.fenced]
    told = [whole(f"{' and '.join(down)} {'IS' if len(down) == 1 else 'ARE'} DOWN")] if down else []
    return told + ([whole(f"{' and '.join(fenced)} {'is' if len(fenced) == 1 else 'are'} fenced")] if fenced else [])


def _ahead(view: View) -> list[str]:
    """How long until writes stall, by the plan, and until the announced start."""
    told, due, ahead = [], view.announced_s, view.countdown
    if due is not None:
        told.append(f"The announced start is in {long(due)}." if due >= 0 else f"The announced start was {long(-due)} ago, it is LATE.")
    if ahead is not None:
        held = f"; the clock is HELD by {ahead.held_by}" if ahead.held_by else ""
        told.append(f"Writes stall in {long(ahead.seconds)} by the plan{held}.")
    return told


def clocks(view: View) -> list[str]:
    """How far the window is, the downtime used of its budget, and what going back to blue would take."""
    used = view.downtime
    told = _ahead(view)
    if used.used_s:
        told.append(f"Writes were stalled for {long(used.used_s)} of {long(used.budget_s)} that they may be.")
    ready = view.latest.readiness
    if view.state.serving is not Side.GREEN and not view.in_air:
        return told
    if ready is None or view.stale("readiness", ready.mono):
        return [*told, "What going back to blue would take is UNKNOWN now."]
    if ready.seconds is None or ready.blocked_by:
        return [*told, whole(f"Going back to blue is NOT POSSIBLE now: {ready.blocked_by or 'it cannot be measured'}")]
    unproven = f", UNPROVEN: {ready.unproven}" if ready.unproven else ""
    return [*told, whole(f"Going back to blue would take {long(ready.seconds)} of {long(view.state.rollback_budget_s)}{unproven}")]


def lag(view: View) -> list[str]:
    sample = view.latest.lag
    if sample is None:
        return ["The lag is not known yet."]
    old = _old(view, "lag", sample.mono)
    if sample.not_set_up:
        return [f"{old}Replication is not set up: arming makes the mirror and the way back."]
    behind = f"{size(sample.lag_bytes)} and {long(sample.lag_s)}" if sample.lag_bytes is not None else "an UNKNOWN amount"
    tables = f"{sample.tables_ready} of {sample.tables_total} tables are in sync"
    told = [f"{old}{sample.target.value.capitalize()} is behind {sample.origin.value} by {behind}; {tables}."]
    return told + ([whole(f"Replication is in TROUBLE: {sample.error}")] if sample.error else [])


def recon(view: View) -> list[str]:
    """The headline, then the tables that ask for somebody."""
    sample = view.latest.recon
    if sample is None:
        return ["Nothing is proven yet."]
    share = 100 * sample.proven_rows / sample.all_rows if sample.all_rows else 0.0
    differ = f"{sample.differences} rows DIFFER" if sample.differences else "no row is known to differ"
    dirty = "an UNKNOWN number of rows" if sample.dirty_keys is None else f"{sample.dirty_keys} rows"
    freeze = f"{long(sample.freeze_cost_s)}" if sample.freeze_cost_s is not None else "an UNKNOWN time"
    head = (
        f"{_old(view, 'recon', sample.mono)}{sample.tables_equal} of {sample.tables_total} tables, {share:.1f} percent of the rows, are proven "
        f"equal, {differ}, {dirty} changed since, and proving them in the window would take {freeze}."
    )
    bad = [p for _, p in sorted(view.latest.tables.items()) if p.state in {ProofState.DIFFERS, ProofState.UNVERIFIABLE} and p.owed]
    return [head, *_listed(bad, lambda p: f"Table {p.table} {'DIFFERS' if p.state is ProofState.DIFFERS else 'is UNSURE'}: {p.reason}")]


def route(view: View) -> list[str]:
    """How many apps are where they should be, then each app."""
    sample = view.latest.routing
    if sample is None:
        return ["Where the apps go is not known yet."]
    right = sum(app.verdict is Verdict.ROUTED for app in sample.apps)
    wrong = "" if right == len(sample.apps) else f", and {len(sample.apps) - right} are NOT"
    head = f"{_old(view, 'routing', sample.mono)}{right} of {len(sample.apps)} apps are routed as they should be{wrong}."
    ranked = sorted(sample.apps, key=lambda app: (app.verdict is Verdict.ROUTED, app.app))
    return [
        head,
        *_listed(
            ranked,
            lambda a: (
                f"App {a.app} goes to {a.intended or 'an unknown side'}, with {a.blue if a.blue is not None else 'unknown'} sessions on blue and "
                f"{a.green if a.green is not None else 'unknown'} on green: {a.verdict.value}{f', {a.cause}' if a.cause else ''}"
            ),
        ),
    ]


_LIGHTS = {Light.PASS: "passes", Light.FAIL: "does NOT PASS", Light.UNKNOWN: "is UNKNOWN"}


def gates(view: View) -> list[str]:
    """How many pass, then those that do not, each with its reason."""
    if not view.gates:
        return ["No gate was read yet."]
    open_ = [gate for gate in view.gates if gate.light is Light.PASS]
    shut = [gate for gate in view.gates if gate.light is not Light.PASS]
    head = f"{len(open_)} of {len(view.gates)} gates pass{f', {len(shut)} do NOT' if shut else ''}."
    return [head, *_listed(shut, lambda g: f"Gate {g.id} {_LIGHTS[g.light]}{f': {g.reason}' if g.reason else ''}")]


def steps(view: View) -> list[str]:
    """The steps of the handover in the air, or of the last one."""
    handover = view.state.handover
    if handover is None:
        return ["No handover was opened yet."]
    head = whole(f"{handover.direction.value} {handover.number} has {len(handover.steps)} steps")
    told = []
    for step in handover.steps:
        took = f" after {long(step.ms / 1000)}" if step.ms is not None else f", planned for {long(step.planned_s)}"
        told.append(whole(f"Step {step.id}, {step.title}: {step.state.value}{took}{f', {step.detail}' if step.detail else ''}"))
    return [head, *told]


def attention(view: View) -> list[str]:
    """Everything that asks for a person: alarms, gates, findings, and what of a handover stays open."""
    findings = [f for f in view.state.findings if f.severity is not Severity.GOOD and not f.waived]
    told = [*_alarms(view), *gates(view)[1:]]
    told += _listed(findings, lambda f: f"Preflight check {f.check} of {f.object} says {f.severity.value.upper()}: {f.seen}; {f.remedy}")
    told += [whole(f"Open: {end}") for end in view.state.open_ends]
    return told or ["Nothing asks for you."]


def bill(view: View) -> list[str]:
    """What an armed ungraceful handover would leave behind; empty where none is armed."""
    handover = view.state.handover
    if handover is None or not handover.ungraceful:
        return []
    return [whole(f"{handover.direction.origin.value} would keep: {in_words(handover.bill) if handover.bill else 'no bill was drawn'}")]


def _alarms(view: View) -> list[str]:
    return [whole(f"ALARM: {alarm.what}" + (f"; {alarm.remedy}" if alarm.remedy else "")) for alarm in view.state.alarms]


def _old(view: View, kind: str, mono: float) -> str:
    return f"OLD, of {long(view.age(mono))} ago: " if view.stale(kind, mono) else ""


def _listed(things: Iterable[T], say: Callable[[T], str]) -> list[str]:
    found = list(things)
    more = [f"And {len(found) - MOST} more."] if len(found) > MOST else []
    return [whole(say(thing)) for thing in found[:MOST]] + more
