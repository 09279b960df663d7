"""The report as a page of headings, facts, tables and statements, before it becomes Markdown or HTML. All of it is plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cockpit.model import events as ev
from cockpit.model.beside import outcome
from cockpit.model.bill import Bill, by_table, in_words
from cockpit.model.budgets import mm_ss
from cockpit.model.certified import in_words as certificate
from cockpit.model.plan import Statement
from cockpit.model.state import ApprovalView
from cockpit.model.text import plain
from cockpit.model.words import StepState
from cockpit.timeline.export.report import Report, Story
from cockpit.timeline.export.words import clock, evidence_text, line, milliseconds, seconds, seen


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    text: str
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. Columns named in `right` hold figures."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sent:
    """Exact statements, one line each."""

    lines: tuple[str, ...]


Block = Heading | Words | Grid | Sent


def page(report: Report) -> tuple[Block, ...]:
    """Outcome first, then the numbers, then everything behind them."""
    parts: tuple[Callable[[Report], Iterable[Block]], ...] = (_top, _handovers, _scorecard, _before, _people, _timeline, _digests)
    return tuple(block for part in parts for block in part(report))


def _grid(head: str, rows: Iterable[Sequence[object]], right: str = "") -> Grid:
    cells = tuple(tuple(plain("" if cell is None else cell) for cell in row) for row in rows)
    return Grid(tuple(head.split("|")), cells, frozenset(right.split("|")))


def _top(report: Report) -> Iterator[Block]:
    state, opened = report.state, report.opened
    yield Heading(1, plain(f"{state.pair or 'Run'}: {report.outcome}"))
    if report.chain.verdict == "damaged":
        yield Words(plain(f"The timeline is {report.chain.words}"), loud=True)
    for end in state.open_ends:
        yield Words(plain(f"Open: {end}"), loud=True)
    if state.bill_exported is not None:
        read = state.bill_exported
        what = f"{read.changes} changes in {read.tables} tables, {read.from_lsn} to {read.to_lsn}"
        yield Words(plain(f"What was left behind was exported by {read.by}: {what}, to {read.path} (sha256 {read.sha256})."))
    if state.open_action:
        yield Words(plain(f"Not known: {state.open_action} was sent and no result was recorded."), loud=True)
    facts: list[tuple[str, object]] = [
        ("outcome", report.outcome + (f", exit code {state.exit_code}" if state.exit_code is not None else "")),
        ("serving", state.serving or "not known"),
        ("run", report.name),
        ("scenario", f"{state.scenario}{' (drill)' if state.drill else ''}"),
        ("by", f"{state.user} on {state.host}"),
        ("from", clock(state.opened_at)),
        ("to", clock(report.closed_at) or "not closed"),
        ("servers", f"blue {state.versions[0] or '?'}, green {state.versions[1] or '?'}"),
        ("cockpit", opened.version if opened else ""),
        ("budgets", f"downtime {mm_ss(state.downtime_budget_s)}, rollback {mm_ss(state.rollback_budget_s)}"),
        ("timeline", report.chain.words),
    ]
    yield _grid("what|value", facts)


def _handovers(report: Report) -> Iterator[Block]:
    yield Heading(2, "Handovers")
    if not report.stories:
        yield Words("None was opened.")
        return
    yield _grid(
        "#|direction|outcome|downtime|of budget|took|from|to|why", map(_summary(report), report.stories), "#|downtime|of budget|took"
    )
    for story in report.stories:
        yield from _story(story)


def _summary(report: Report) -> Callable[[Story], tuple[object, ...]]:
    def row(story: Story) -> tuple[object, ...]:
        view, budget = story.view, report.state.downtime_budget_s
        share = f"{view.downtime_s / budget:.2%}" if view.downtime_s is not None and budget > 0 else ""
        outcome = view.outcome or "not finished"
        times = clock(story.opened_at), clock(story.closed_at)
        flown = f"ungraceful {view.direction}" if view.ungraceful else view.direction
        return view.number, flown, outcome, seconds(view.downtime_s), share, seconds(view.seconds), *times, view.why

    return row


def _story(story: Story) -> Iterator[Block]:
    view = story.view
    yield Heading(3, f"Handover {view.number}: {'ungraceful ' if view.ungraceful else ''}{view.direction}")
    if view.bill is not None:
        yield from _bill(view.bill, flown=view.past_return)
    if story.unanswered_s is not None:
        origin, target = view.direction.origin, view.direction.target
        gone = f"{origin} had not answered for {seconds(story.unanswered_s)} when {target} took writes: that long nobody was served."
        yield Words(plain(gone), loud=True)
    if view.approval is not None:
        yield Words(plain(_second(view.approval)))
    if view.fence_lsn:
        yield Words(plain(f"Fence at {view.fence_lsn}. The point of no return was {'' if view.past_return else 'not '}passed."))
    yield from _certificate(story)
    if story.checks:
        yield Words("Business checks, read again once the mirror had caught up:")
        yield from _checks(story.checks)
    rows = [
        (
            step.id,
            step.title,
            "writes stalled" if step.in_window else "",
            _standing(step.state, view.outcome is not None),
            milliseconds(step.planned_s * 1000),
            milliseconds(step.ms),
            step.detail if step.state is not StepState.DONE else evidence_text(story.evidence(step.id)),
        )
        for step in view.steps
    ]
    yield _grid("step|what|window|state|planned|actual|seen", rows, "planned|actual")
    sent = tuple(row for action in story.sent for statement in action.statements for row in _rows(statement))
    if sent:
        yield Words("What was sent, in order:")
        yield Sent(sent)


def _certificate(story: Story) -> Iterator[Block]:
    """What was proven while both sides stood still, and which tables nobody compared."""
    proof = next((e.fact for e in reversed(story.events) if isinstance(e.fact, ev.Certified)), None)
    if proof is None:
        return
    yield Words(plain(f"Certificate: {certificate(proof)}."), loud=not proof.equal)
    left = [*(("not proven", name) for name in proof.unproven), *(("not compared", name) for name in proof.accepted)]
    if left:
        yield _grid("what|table", left)
    if proof.left:
        yield _grid("business check that the rows do not tell", ((what,) for what in proof.left))


def _checks(reads: Sequence[ev.CheckRead]) -> Iterator[Block]:
    """Business checks as they were read, and the groups that differ with both values."""
    rows = [(r.what, r.verdict, r.groups, r.groups - r.differing, r.differing, seconds(r.seconds), r.title, outcome(r)) for r in reads]
    yield _grid("check|verdict|groups|equal|not equal|took|title|what it says", rows, "groups|equal|not equal|took")
    apart = [(read.what, d.key, d.blue, d.green) for read in reads for d in read.differences]
    if apart:
        yield _grid("check|group|blue|green", apart)


def _bill(bill: Bill, *, flown: bool) -> Iterator[Block]:
    stayed = "stayed on" if flown else "would have stayed on"
    yield Words(plain(f"What {stayed} {bill.origin} and {bill.target} has not: {in_words(bill)}."), loud=flown)
    if bill.rows:
        yield _grid("table|changes", by_table(bill), "changes")


def _second(approval: ApprovalView) -> str:
    """Who asked, who answered, and what became of it."""
    asked = f"Second person, asked by {approval.asked_by} (uid {approval.asked_uid}): "
    said = f"{approval.by} (uid {approval.uid}): {approval.comment}. " if approval.by else ""
    return f"{asked}{approval.consent}. {said}{approval.why}".strip()


def _standing(state: StepState, over: bool) -> str:
    """A step's state; in a handover that is over nothing waits or runs any more."""
    ended = {StepState.WAITING: "not reached", StepState.RUNNING: "interrupted"}
    return ended.get(state, state.value) if over else state.value


def _rows(statement: Statement) -> Iterator[str]:
    """A statement's lines; those after the first are indented, so that no text in it passes for a statement of its own."""
    first, *more = f"{statement.target}: {statement.text}".split("\n")
    yield plain(first)
    yield from (f"    {plain(row)}" for row in more)


def _scorecard(report: Report) -> Iterator[Block]:
    if report.scorecard is None and not report.scorecard_fault:
        return
    yield Heading(2, "What the apps felt")
    if report.scorecard is None:
        yield Words(report.scorecard_fault, loud=True)
        return
    card = report.scorecard
    yield Words(plain(f"Verdict: {card.get('verdict', 'none')}. Both sides equal: {card.get('sides_equal', 'not compared')}."))
    for why in _list(card.get("why")):
        yield Words(plain(why), loud=True)
    handovers = [h for h in _list(card.get("handovers")) if isinstance(h, dict)]
    figures = "seconds|downtime ms|stall p50 ms|p99 ms|max ms|errors|lost|duplicated|overlap ms"
    yield _grid(f"direction|outcome|{figures}", map(_score, handovers), figures)
    apps = [_app(h, app) for h in handovers for app in _list(h.get("apps")) if isinstance(app, dict)]
    if apps:
        yield _grid("handover|app|channel|stall ms|errors|lost|duplicated|breaks", apps, "stall ms|errors|lost|duplicated|breaks")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _score(handover: Mapping[str, object]) -> tuple[object, ...]:
    stall = handover.get("stall_ms")
    stalls = [stall.get(key) if isinstance(stall, dict) else None for key in ("p50", "p99", "max")]
    rest = [handover.get(key) for key in ("errors", "lost", "duplicated", "overlap_ms")]
    return (*(handover.get(key) for key in ("direction", "outcome", "seconds", "downtime_ms")), *stalls, *rest)


def _app(handover: Mapping[str, object], app: Mapping[str, object]) -> tuple[object, ...]:
    return handover.get("direction"), *(app.get(key) for key in ("name", "channel", "stall_ms", "errors", "lost", "duplicated", "breaks"))


def _before(report: Report) -> Iterator[Block]:
    state = report.state
    yield Heading(2, "Gates and findings")
    yield _grid("gate|last|why|query", ((g.id, g.light, g.reason, g.query) for g in state.gates))
    found = [f for f in state.findings if not f.waived and f.severity != "good"]
    waived = [f for f in state.findings if f.waived]
    yield Words(f"Preflight: {len(found)} open, {len(waived)} waived, {len(state.findings) - len(found) - len(waived)} good.")
    if found:
        yield _grid("check|object|severity|seen|remedy|query", ((f.check, f.object, f.severity, f.seen, f.remedy, f.query) for f in found))
    if waived:
        yield _grid("waived check|object|reason|seen", ((f.check, f.object, f.waived, f.seen) for f in waived))
    if reads := report.preflight_checks:
        yield Words("Business checks, as the last preflight read them:")
        yield from _checks(reads)
    if state.parity is not None:
        yield from _beside(state.parity)
    if state.alarms:
        yield Words("Alarms that were not over at the end:", loud=True)
        yield _grid("alarm|what|remedy|query", ((a.id, a.what, a.remedy, a.query) for a in state.alarms))


def _beside(parity: ev.ParityRead) -> Iterator[Block]:
    """In what both sides differed beside the rows when the last preflight looked."""
    yield Words(plain(f"As the last preflight saw it, {line(parity)}."))
    if parity.differences:
        rows = ((f"{d.kind} {d.object}", d.weight, d.blue, d.green, d.on or "", d.remedy) for d in parity.differences)
        yield _grid("object|weight|blue|green|on|remedy", rows)
    if parity.not_carried:
        yield _grid("never carried|on|remedy", ((f"{n.kind} {n.object}", ", ".join(n.sides), n.remedy) for n in parity.not_carried))


_SAID = (
    ev.IntentTaken
    | ev.IntentRefused
    | ev.NoteTaken
    | ev.StartAnnounced
    | ev.ApprovalAsked
    | ev.ApprovalGiven
    | ev.ApprovalRejected
    | ev.ApprovalRefused
    | ev.ApprovalExpired
)


def _people(report: Report) -> Iterator[Block]:
    asked = [e for e in report.events if isinstance(e.fact, _SAID)]
    if asked:
        yield Heading(2, "Who decided what")
        yield _grid("#|time|what", ((e.seq, clock(e.at), line(e.fact)) for e in asked), "#")


def _timeline(report: Report) -> Iterator[Block]:
    yield Heading(2, "Timeline")
    yield Words("Times are UTC, as the pilot's wall clock had them; the order is the number's.")
    yield _grid("#|time|by|what|seen", ((e.seq, clock(e.at), e.by, line(e.fact), seen(e.fact)) for e in report.events), "#")


def _digests(report: Report) -> Iterator[Block]:
    opened = report.opened
    yield Heading(2, "Digests")
    rows = [("scenario", opened.scenario_digest), ("config", opened.config_digest), ("plan", opened.plan_digest)] if opened else []
    yield _grid("of|SHA-256", [*rows, (f"timeline, record {report.chain.records}", report.chain.head)])
