"""Pane 4, PROCEDURE: every step of the handover in its order, what was planned, what it took, how it stands."""

from __future__ import annotations

from cockpit.model.budgets import eta_s
from cockpit.model.state import HandoverView, StepView
from cockpit.model.words import Known, Mode, Outcome, StepState
from cockpit.screen.cells import BLANK, Line, fill, fit
from cockpit.screen.content import Content, Row
from cockpit.screen.figures import bar, seconds
from cockpit.screen.look import Status
from cockpit.screen.view import View

STATES = {
    StepState.WAITING: (Status.WAIT, "wait"),
    StepState.RUNNING: (Status.RUN, "run"),
    StepState.DONE: (Status.OK, "done"),
    StepState.FAILED: (Status.BAD, "FAIL"),
}
FOUND = {Known.DONE: (Status.OK, "is so"), Known.PENDING: (Status.WAIT, "not so"), Known.UNKNOWN: (Status.STALE, "unsure")}
"""What a look at the world said of a step after a crash: it stands in for what the timeline has of it."""
_FIGURES = 24
"""Cells of planned, actual and state, with their blanks."""


def content(view: View, width: int, height: int) -> Content:
    """The pane for an inner size of `width` x `height` cells; in two columns where one is not high enough."""
    steps = shown_steps(view)
    if not steps:
        return Content(title=(("PROCEDURE", "title"),), head=((("· no plan yet", "wait"),),))
    double = len(steps) + 1 > height and width >= 72
    column = (width - 2) // 2 if double else width
    half = -(-len(steps) // 2) if double else len(steps)
    fits = half + 1 <= height
    head = (_headings(column, width, double=double),) if fits else ()
    lines = [_row(view, step, number, column) for number, step in enumerate(steps, 1)]
    if not double:
        return Content(_title(view), _badge(view), head, rows=tuple(Row(s.id, line) for s, line in zip(steps, lines, strict=True)))
    right = [*lines[half:], *([BLANK] * half)]
    body = tuple((*fill(lines[i], column), ("  ", "text"), *fill(right[i], column)) for i in range(half))
    return Content(_title(view), _badge(view), head, body=body)


def shown_steps(view: View) -> tuple[StepView, ...]:
    """The steps of the handover in the air or of the last one; before the first, those that are planned."""
    if view.state.handover is not None:
        return view.state.handover.steps
    return tuple(StepView(p.id, p.title, p.planned_s, p.in_window) for p in view.state.planned)


def standing(view: View, step: StepView) -> tuple[Status, str]:
    """How the step stands, and the word for it: as found, where somebody had to look. One that waits for a second person asks for somebody."""
    if step.found is not None:
        return FOUND[step.found]
    if step.state is StepState.RUNNING and view.awaits_second:
        return Status.WARN, "WAITS"
    return STATES[step.state]


def actual_s(view: View, step: StepView) -> float | None:
    """Seconds the step took, or takes so far."""
    if step.ms is not None:
        return step.ms / 1000
    if step.state is StepState.RUNNING and step.started_mono is not None:
        return max(view.now - step.started_mono, 0.0)
    return None


def _headings(column: int, width: int, *, double: bool) -> Line:
    title = max(column - 5 - _FIGURES, 4)
    one = f"     {fit('step', title)} {fit('planned', 7, '>')} {fit('actual', 7, '>')} {fit('state', 6)} "
    return fill(((f"{fit(one, column)}  {fit(one, column)}" if double else one, "dim"),), width)


def _row(view: View, step: StepView, number: int, width: int) -> Line:
    status, word = standing(view, step)
    took = actual_s(view, step)
    over = took is not None and step.planned_s > 0 and took > 2 * step.planned_s and took > 1.0
    room = max(width - 5 - _FIGURES, 4)
    edge = "│" if step.in_window else " "
    figure = "warn" if over and status is Status.OK else status.value if status is not Status.OK else "text"
    return (
        (f"{status.symbol} ", status.value),
        (f"{number:>2}", "dim"),
        (edge, "run" if step.in_window else "text"),
        (fit(_name(step, room), room), "text" if status is not Status.WAIT else "wait"),
        (" " + fit(seconds(step.planned_s), 7, ">"), "dim"),
        (" " + fit(seconds(took), 7, ">"), figure),
        (" ", "text"),
        *_state(step, status, word, took),
    )


def _name(step: StepView, room: int) -> str:
    text = step.id if room < len(step.id) + 12 or step.title == step.id else f"{step.id:<10} {step.title}"
    if step.detail and room >= len(text) + 16:
        return f"{text}: {step.detail}"
    told = step.detail and step.state is StepState.FAILED and step.found is None
    return step.detail if told and room > 20 else text


def _state(step: StepView, status: Status, word: str, took: float | None) -> Line:
    if status is Status.RUN and took is not None and step.planned_s > 0:
        return bar(took / step.planned_s, 6, "run")
    return ((fit(word, 6), status.value),)


def _title(view: View) -> Line:
    handover = view.state.handover
    if handover is None:
        return (("PROCEDURE ", "title"), (f"next: {view.direction.value}", "text"))
    return (("PROCEDURE ", "title"), (f"{handover.direction.value} {handover.number}", "text"), *_standing(view, handover))


def _standing(view: View, handover: HandoverView) -> Line:
    if view.awaits_second:
        return (("  waits for a second person", "warn"),)
    if view.state.mode is Mode.STUCK and handover.half_way and handover.outcome is None:
        return (("  LEFT HALF WAY", "bad"),)
    if handover.outcome is None:
        return ((f"  left {seconds(eta_s(handover, view.now))}", "run"),)
    if handover.outcome is Outcome.DONE:
        stall = f", stall {seconds(handover.downtime_s)}" if handover.downtime_s is not None else ""
        return ((f"  ✓ done in {seconds(handover.seconds)}{stall}", "ok"),)
    role = "warn" if handover.outcome is Outcome.ABORTED else "bad"
    return ((f"  {handover.outcome.value.upper()}: {handover.why}" if handover.why else f"  {handover.outcome.value.upper()}", role),)


def _badge(view: View) -> Line:
    steps = shown_steps(view)
    done = sum(s.state is StepState.DONE for s in steps)
    return ((f"{done}/{len(steps)}", "dim"),)
