"""The detail of one thing: what it is, its cause, the query or request that shows it, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from cockpit.model import events as ev
from cockpit.model.bill import by_table, in_words
from cockpit.model.parity import Difference
from cockpit.model.state import StepView
from cockpit.model.telemetry import AppRoute, GateReading, LagSample, TableProof
from cockpit.screen import checks, lag, procedure, recon, route, story
from cockpit.screen.cells import BLANK, Line, wrap
from cockpit.screen.content import Content
from cockpit.screen.figures import age, count, rate, seconds, size
from cockpit.screen.view import View

_LABEL = 10


def content(view: View, pane: str, key: str, width: int) -> Content:
    """The detail of row `key` of `pane` for an inner width of `width` cells; one line that says so where it is gone."""
    lines = [((" ", "text"), *line) for line in _of(view, pane, key, width - 2)]
    return Content(title=(("DETAIL ", "title"), (pane, "text")), body=tuple(lines))


def _of(view: View, pane: str, key: str, width: int) -> list[Line]:
    makers = {
        "lag": _lag,
        "recon": _table,
        "route": _app,
        "procedure": _step,
        "timeline": _event,
        "attention": _attention,
        "checks": _beside,
    }
    lines = makers[pane](view, key, width)
    return lines or [(("nothing to show here", "wait"),)]


def _field(label: str, value: str, width: int, role: str = "text") -> list[Line]:
    """`label  value`, the value wrapped under itself; nothing for an empty value."""
    if not value:
        return []
    lines = wrap(value, max(width - _LABEL, 8), role)
    return [((f"{label if i == 0 else '':<{_LABEL}}", "dim"), *line) for i, line in enumerate(lines)]


def _lag(view: View, key: str, width: int) -> list[Line]:
    sample = view.latest.lag
    if sample is None:
        return []
    status = lag.status(view, sample)
    facts = (
        ("lag", f"{status.symbol} {size(sample.lag_bytes)}, {seconds(sample.lag_s)} by heartbeat", status.value),
        ("cause", "not set up: arming makes the mirror and the way back" if sample.not_set_up else sample.error, status.value),
        (
            "apply",
            f"{size(sample.apply_bytes_s)}/s, gate {lag.outlook(sample)}",
            "text",
        ),
        ("slot", f"{sample.slot} {sample.slot_state}, retains {size(sample.retained_bytes)}", "text"),
        ("sender", sample.sender, "text"),
        (
            "worker",
            f"{sample.worker}, last message {age(sample.last_message_age_s)} ago, {count(sample.apply_errors)} apply errors",
            "text",
        ),
        ("worst", f"{sample.worst_table} {count(sample.worst_behind)} rows" if sample.worst_table else "no table is behind", "text"),
        ("way back", {True: "armed", False: "not armed", None: "unknown"}[sample.reverse_armed], "text"),
        ("query", sample.query, "run"),
    )
    return [*_fields(facts, width), *_not_ready(sample, width)]


def _fields(facts: tuple[tuple[str, str, str], ...], width: int) -> list[Line]:
    return [line for label, value, role in facts for line in _field(label, value, width, role)]


def _not_ready(sample: LagSample, width: int) -> list[Line]:
    lines: list[Line] = []
    for number, table in enumerate(sample.not_ready):
        lines.extend(_field("tables" if number == 0 else "", f"{table.table} {lag.sync_word(table.state)}", width, "run"))
    return lines


def _table(view: View, key: str, width: int) -> list[Line]:
    proof: TableProof | None = view.latest.tables.get(key)
    if proof is None:
        return []
    status = recon.status(view, proof)
    known = proof.rows_blue is not None and proof.rows_green is not None
    surplus = (proof.rows_green or 0) - (proof.rows_blue or 0) if known else 0
    difference = f", {surplus:+d} on green" if surplus else ""
    facts = (
        ("table", proof.table, "title"),
        ("state", f"{status.symbol} {recon.word(view, proof)}, {proof.exactness.value}", status.value),
        ("cause", proof.reason, status.value),
        ("rows", f"{_exact(proof.rows_blue)} blue, {_exact(proof.rows_green)} green{difference}", "text"),
        ("covered", f"{proof.coverage:.1%} of the rows", "text"),
        ("proven", f"{age(view.age(proof.mono))} ago" if proof.mono is not None else "never", "text"),
        ("query", proof.query, "run"),
        ("remedy", f"cockpit repair {view.state.run}" if proof.rows else "", "run"),
    )
    return [*_fields(facts, width), *_differing(proof, width)]


def _differing(proof: TableProof, width: int) -> list[Line]:
    """The rows that are confirmed to differ, each with its columns as both sides print them."""
    lines: list[Line] = []
    for number, row in enumerate(proof.rows):
        lines.extend(_field("differ" if number == 0 else "", f"{row.key}: {row.how}", width, "bad"))
        for column in row.columns:
            both = "values not shown" if column.masked else f"blue {_printed(column.blue)}, green {_printed(column.green)}"
            lines.extend(_field("", f"  {column.column}: {both}", width))
    return lines


def _printed(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"


def _exact(rows: int | None) -> str:
    return "-" if rows is None else f"{rows:,}"


def _app(view: View, key: str, width: int) -> list[Line]:
    sample = view.latest.routing
    app: AppRoute | None = next((a for a in sample.apps if a.app == key), None) if sample else None
    if app is None or sample is None:
        return []
    status = route.status(view, sample, app)
    facts = (
        ("app", app.app, "title"),
        ("verdict", f"{status.symbol} {route.VERDICTS[app.verdict][1]}", status.value),
        ("cause", app.cause, status.value),
        ("channel", app.channel, "text"),
        ("intended", app.intended.value if app.intended else "unknown", "text"),
        ("observed", f"{count(app.blue)} on blue, {count(app.green)} on green", "text"),
        ("writes", f"{rate(app.writes_s)} a second", "text"),
        ("oldest", f"transaction {seconds(app.oldest_xact_s)}" if app.oldest_xact_s is not None else "", "text"),
        ("query", sample.query, "run"),
    )
    return _fields(facts, width)


def _step(view: View, key: str, width: int) -> list[Line]:
    step: StepView | None = next((s for s in procedure.shown_steps(view) if s.id == key), None)
    if step is None:
        return []
    status, word = procedure.standing(view, step)
    facts = (
        ("step", f"{step.id}: {step.title}", "title"),
        ("state", f"{status.symbol} {word}{', ' + step.detail if step.detail else ''}", status.value),
        ("planned", seconds(step.planned_s), "text"),
        ("actual", seconds(procedure.actual_s(view, step)), "text"),
        ("window", "writes are stalled while it runs" if step.in_window else "writes flow while it runs", "text"),
    )
    second = [*_second(view, width), *_bill(view, width)] if key == "confirm" else []
    return [*_fields(facts, width), *second, *_found(view, key, width), *_remedy(view, key, width), *_done_before(view, key, width)]


def _second(view: View, width: int) -> list[Line]:
    """What a second person was asked and said of the handover that is shown."""
    handover = view.state.handover
    approval = handover.approval if handover else None
    if approval is None:
        return []
    left = f", {seconds(view.second_left_s)} left" if view.second_left_s is not None else ""
    facts = (
        ("approval", f"{approval.consent.value}{left}", "warn" if view.awaits_second else "text"),
        ("asked by", f"{approval.asked_by}, uid {approval.asked_uid}", "text"),
        ("answer", f"{approval.by}, uid {approval.uid}: {approval.comment}" if approval.by else "", "text"),
        ("why", approval.why, "warn"),
        ("command", approval.command if view.awaits_second else "", "run"),
    )
    return _fields(facts, width)


def _bill(view: View, width: int) -> list[Line]:
    """What an ungraceful handover leaves behind, by table."""
    bill = view.state.handover.bill if view.state.handover else None
    if bill is None:
        return []
    told = _field("the bill", f"{bill.origin.value} keeps {in_words(bill)}", width, "warn")
    return [*told, *(line for table, n in by_table(bill) for line in _field("", f"{n:>8}  {table}", width))]


def _found(view: View, step: str, width: int) -> list[Line]:
    """What each action's probe saw, where a run was taken up after a crash."""
    for event in reversed(view.state.tail):
        if isinstance(event.fact, ev.StepFound) and event.fact.step == step:
            return [line for name, seen in event.fact.evidence.items() for line in _field("seen", f"{name}: {_words(seen)}", width)]
    return []


def _remedy(view: View, step: str, width: int) -> list[Line]:
    for event in reversed(view.state.tail):
        if isinstance(event.fact, ev.StepFailed) and event.fact.step == step:
            return _field("remedy", event.fact.remedy, width, "run")
    return []


def _done_before(view: View, step: str, width: int) -> list[Line]:
    """What the same step took in the handovers before."""
    took = [
        f"{h.direction.value} {h.number} {seconds(s.ms / 1000)}"
        for h in view.state.past
        for s in h.steps
        if s.id == step and s.ms is not None
    ]
    return _field("before", ", ".join(took[-4:]), width)


def _event(view: View, key: str, width: int) -> list[Line]:
    event = next((e for e in view.state.tail if str(e.seq) == key), None)
    if event is None:
        return []
    status, text = story.tell(event.fact)
    lines = _fields(
        ((f"event {event.seq}", f"{status.symbol} {text.strip()}", status.value), ("at", f"{event.at} by {event.by}", "text")), width
    )
    for item in fields(event.fact):
        lines.extend(_value(item.name, getattr(event.fact, item.name), width))
    return lines


def _value(name: str, value: object, width: int) -> list[Line]:
    if isinstance(value, Mapping):
        return [line for k, v in value.items() for line in _field(str(k)[: _LABEL - 1], str(v), width)]
    if isinstance(value, tuple):
        return [line for item in value for line in _field(name[: _LABEL - 1], _words(item), width, "run")]
    return _field(name[: _LABEL - 1], str(value), width)


def _words(item: object) -> str:
    if is_dataclass(item) and not isinstance(item, type):
        return "  ".join(str(getattr(item, f.name)) for f in fields(item))
    return str(item)


def _attention(view: View, key: str, width: int) -> list[Line]:
    kind, _, name = key.partition(":")
    if kind == "gate":
        gate = next((g for g in view.gates if g.id == name), None)
        return _gate(view, gate, width) if gate else []
    if kind == "second":
        return _second(view, width)
    if kind == "alarm":
        found = next((a for a in view.state.alarms if a.id == name), None)
        facts = (
            (
                ("alarm", found.what, "bad"),
                ("since", age(view.age(found.mono)), "text"),
                ("query", found.query, "run"),
                ("remedy", found.remedy, "text"),
            )
            if found
            else ()
        )
        return _fields(facts, width)
    finding = next((f for f in view.state.findings if f"{f.check} {f.object}" == name), None)
    return _finding(finding, width) if finding else []


def _beside(view: View, key: str, width: int) -> list[Line]:
    """A business check, a difference beside the rows, or what replication never carries: its row's key on the checks' page."""
    kind, _, name = key.partition(":")
    if kind == "check":
        return _check(view, name, width)
    parity = view.state.parity
    found = checks.found(parity, kind, name) if parity is not None else None
    if isinstance(found, Difference):
        return _fields(
            (
                ("differs", f"{found.kind} {found.object}", "title"),
                ("weight", checks.WEIGHTS[found.weight][1], checks.WEIGHTS[found.weight][0].value),
                ("blue", found.blue or "-", "text"),
                ("green", found.green or "-", "text"),
                ("remedy", f"on {found.on}: {found.remedy}" if found.on else found.remedy, "text"),
                ("query", found.query, "run"),
            ),
            width,
        )
    if found is None:
        return []
    on = " and ".join(found.sides)
    facts = (("left out", f"{found.kind} {found.object}", "title"), ("on", f"{on}; never carried, not compared", "text"))
    return _fields((*facts, ("remedy", found.remedy, "text")), width)


def _check(view: View, what: str, width: int) -> list[Line]:
    seen = next((c for c in view.state.checks if c.read.what == what), None)
    if seen is None:
        return []
    read, (status, word) = seen.read, checks.standing(seen.read)
    told = _fields(
        (
            ("check", f"{read.what}{': ' + read.title if read.title else ''}", "title"),
            ("state", f"{status.symbol} {word}", status.value),
            ("read", f"{read.when}, {age(view.age(seen.mono))} ago", "text"),
            ("cause", read.reason, status.value),
            ("groups", f"{read.groups} compared, {read.groups - read.differing} equal, {read.differing} not", "text"),
            ("took", f"{seconds(read.seconds)}, {read.looks} look{'s' * (read.looks != 1)}", "text"),
        ),
        width,
    )
    for number, apart in enumerate(read.differences):
        both = f"{apart.key + ': ' if apart.key else ''}blue {apart.blue}, green {apart.green}"
        told += _field("differ" if number == 0 else "", both, width, status.value)
    return [*told, *_field("query", read.query, width, "run")]


def _gate(view: View, gate: GateReading, width: int) -> list[Line]:
    status = view.gate_status(gate)
    held = f"held {seconds(gate.held_s)} of {seconds(gate.hold_s)}" if gate.hold_s else ""
    return _fields(
        (
            ("gate", f"{gate.id}: {gate.title}", "title"),
            ("light", f"{status.symbol} {gate.light.value}", status.value),
            ("cause", gate.reason, status.value),
            ("holds", held, "text"),
            ("since", f"{age(view.age(gate.since_mono))} ago", "text"),
            ("query", gate.query, "run"),
        ),
        width,
    )


def _finding(finding: ev.FindingSeen, width: int) -> list[Line]:
    status, _ = story.tell(finding)
    return [
        *_fields(
            (
                ("check", f"{finding.check} {finding.object}", "title"),
                ("severity", f"{status.symbol} {finding.severity.value}", status.value),
                ("seen", finding.seen, status.value),
                ("waived", finding.waived, "warn"),
                ("query", finding.query, "run"),
                ("remedy", finding.remedy, "text"),
            ),
            width,
        ),
        BLANK,
    ]
