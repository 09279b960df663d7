"""The two rows that never scroll and are never covered: what is happening, the clocks, the way back, the gates."""

from __future__ import annotations

import math

from cockpit.model.budgets import mm_ss
from cockpit.model.state import StepView
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Mode, Outcome, Side
from cockpit.screen.cells import Line, Span, apart, fit, joined, line_width
from cockpit.screen.figures import LEVEL_ROLES, LEVEL_WORDS, bar, clock, seconds
from cockpit.screen.look import Status
from cockpit.screen.view import View

_MODE_WORDS = {
    Mode.OPENING: ("opening", Status.RUN),
    Mode.READY: ("ready", Status.OK),
    Mode.ARMING: ("arming", Status.RUN),
    Mode.ARMED: ("ARMED", Status.WARN),
    Mode.WINDOW: ("window", Status.RUN),
    Mode.LANDING: ("landing", Status.RUN),
    Mode.ABORTING: ("aborting", Status.RUN),
    Mode.STUCK: ("STUCK", Status.BAD),
    Mode.CLOSED: ("closed", Status.SKIP),
}


def lines(view: View, width: int) -> tuple[Line, Line]:
    """The band, each line at most `width` cells."""
    return _first(view, width), _second(view, width)


def _first(view: View, width: int) -> Line:
    down = _down(view) if width < 110 else ()
    left = joined((_t_clock(view), down, _mode(view), _pair(view), _sides(view, width), _step(view, width)))
    right = joined((_alarms(view), () if down and width < 60 else _who(view, width)))
    return apart(left, ((" ", "text"), *right, (" ", "text")), width)


def _second(view: View, width: int) -> Line:
    roomy, wide = width >= 110, width >= 180
    bar_width = 30 if wide else 12 if roomy else 8
    left = joined((_downtime(view, bar_width), _way_back(view, bar_width if roomy else 0)), "   " if roomy else "  ")
    room = width - line_width(left) - (4 if roomy else 3)
    return apart(left, (*_gates(view, room), (" ", "text")), width)


def _t_clock(view: View) -> Line:
    """T- by the plan until writes stall, then T+, which never stops; while nothing is on its way there, L- to the announced start."""
    ahead, due, t = view.countdown, view.announced_s, view.t_seconds
    if ahead is not None:
        text = f"T-{mm_ss(math.ceil(ahead.seconds))}"
    elif due is not None and not (view.in_air and t is not None):
        text = f"L-{mm_ss(math.ceil(due))}" if due > 0 else f"L+{mm_ss(-due)}"
    else:
        text = "T --:--" if t is None else f"T+{mm_ss(t)}"
    return ((f" {text:<8}", "big" if due is None or due > 0 or ahead is not None else "warn"),)


def _mode(view: View) -> Line:
    if view.silence_s:
        return ((f"? LINK {int(view.silence_s)}s", "stale"),)
    word, status = _MODE_WORDS[view.state.mode]
    if view.state.seq == 0:
        word, status = "waiting", Status.WAIT
    if view.reading:
        word, status = "reading", Status.RUN
    if view.state.mode is Mode.ARMING and view.countdown is not None and view.countdown.held_by:
        word, status = "HOLD", Status.WARN
    return ((fit(f"{status.symbol} {word}", 10), status.value),)


def _pair(view: View) -> Line:
    return ((view.state.pair or "-", "title"),)


def _sides(view: View, width: int) -> Line:
    serving = view.state.serving
    if serving is None:
        return (("serving side unknown", "stale"),) if view.state.seq else ()
    if width < 110:
        return ((f"{serving.value.upper()} serves", "text"),)
    names = [_side(view, side) for side in (Side.BLUE, Side.GREEN)]
    return (*names[0], (" → " if serving is Side.BLUE else " ← ", "dim"), *names[1], (f"  {serving.value.upper()} serves", "text"))


def _down(view: View) -> Line:
    """The sides that do not answer: told before all that gives way where there is little room."""
    down = [side.value for side in Side if (server := view.latest.servers.get(side)) is not None and not server.up]
    return ((f"✗ {' and '.join(down)} DOWN", "bad"),) if down else ()


def _side(view: View, side: Side) -> Line:
    version = view.version(side).split(" ")[0]
    text = f"{side.value} pg{version}" if version else side.value
    server = view.latest.servers.get(side)
    if server is not None and not server.up:
        return ((f"✗ {text} DOWN", "bad"),)
    return ((text, "text"), (" fenced", "run")) if server is not None and server.fenced else ((text, "text"),)


def _step(view: View, width: int) -> Line:
    handover = view.state.handover
    if handover is None:
        return ()
    name = f"{handover.direction.value} {handover.number}"
    current = handover.current
    if handover.outcome is not None:
        return _ended(name, handover.outcome, handover.seconds)
    if current is None:
        return ((name, "run"),)
    place = handover.steps.index(current) + 1
    spent = _spent(view, current, width) if width >= 110 else ""
    return ((f"{name}  ▸ {place}/{len(handover.steps)} {current.id}{spent}", "run"),)


def _spent(view: View, step: StepView, width: int) -> str:
    if step.started_mono is None:
        return ""
    spent = seconds(max(view.now - step.started_mono, 0.0))
    return f"  {spent} / {seconds(step.planned_s)}" if width >= 150 else f"  {spent}"


def _ended(name: str, outcome: Outcome, took: float | None) -> Line:
    status = {Outcome.DONE: Status.OK, Outcome.ABORTED: Status.WARN, Outcome.STUCK: Status.BAD}[outcome]
    word = "done" if outcome is Outcome.DONE else outcome.value.upper()
    took_text = f" in {seconds(took)}" if took is not None else ""
    return ((f"{status.symbol} {name} {word}{took_text}", status.value),)


def _alarms(view: View) -> Line:
    if view.damage:
        return (("✗ TIMELINE DAMAGED", "bad"),)
    alarms = len(view.state.alarms)
    return ((f"✗ {alarms} ALARM{'S' if alarms > 1 else ''}", "bad"),) if alarms else ()


def _who(view: View, width: int) -> Line:
    parts: list[Line] = []
    if width >= 110 and view.state.user:
        parts.append(((f"op {view.state.user}", "dim"),))
    if view.state.drill:
        parts.append((("drill", "dim"),))
    if view.watch:
        parts.append((("watching", "dim"),))
    if width >= 180 and view.state.run:
        parts.append(((view.state.run, "dim"),))
    return joined(parts)


def _downtime(view: View, bar_width: int) -> Line:
    used = view.downtime
    role = LEVEL_ROLES[used.level]
    word = LEVEL_WORDS[used.level]
    running = view.in_air and view.t_seconds is not None and not view.window_over
    return (
        ("▸" if running else " ", "run"),
        ("DOWNTIME", "run" if running else "dim"),
        (f" {clock(used)}", "big" if role == "ok" else role),
        (f"/{mm_ss(used.budget_s)}", "text"),
        *(((f" {word}", role),) if word else ()),
        (" ", "text"),
        *bar(used.used_s / used.budget_s if used.budget_s else 1.0, bar_width, role if role != "ok" else "bar"),
    )


def _way_back(view: View, bar_width: int) -> Line:
    """ "Back to blue now would take N s", or why it cannot be done, or that there is nothing to go back from."""
    ready = view.latest.readiness
    if ready is None or view.stale("readiness", ready.mono):
        return (("BACK TO BLUE ", "dim"), ("? STALE", "stale") if ready else ("-", "text"))
    if view.state.serving is Side.BLUE and not view.in_air:
        return (("BACK TO BLUE ", "dim"), ("blue serves", "text"))
    if ready.seconds is None or ready.blocked_by:
        return (("BACK TO BLUE ", "dim"), ("✗ NOT POSSIBLE", "bad"))
    budget = view.state.rollback_budget_s
    within = ready.seconds <= budget
    figure: Span = (f"{seconds(ready.seconds)}", "big") if within else (f"! {seconds(ready.seconds)} OVER", "warn")
    gauge: tuple[Span, ...] = ()
    if bar_width and within:
        gauge = ((f" of {mm_ss(budget)} ", "text"), *bar(ready.seconds / budget if budget else 1.0, bar_width))
    unproven: tuple[Span, ...] = ((" ! UNPROVEN", "warn"),) if ready.unproven else ()
    return (("BACK TO BLUE now ", "dim"), figure, *gauge, *unproven)


def _gates(view: View, room: int) -> Line:
    gates = view.gates
    if not gates:
        return (("GATES -", "dim"),)
    ranked = sorted(gates, key=lambda g: view.gate_status(g).rank)
    passing = sum(view.gate_status(g) is Status.OK for g in gates)
    all_pass = passing == len(gates)
    count: Span = (f"{'✓' if all_pass else '!'} {passing}/{len(gates)}", "ok" if all_pass else "warn")
    head: Line = (("GATES ", "dim"), count)
    if room < line_width(head):
        return (("G ", "dim"), count)
    return (*head, *_gate_words(view, ranked, room - line_width(head)))


def _gate_words(view: View, ranked: list[GateReading], room: int) -> tuple[Span, ...]:
    spans: list[Span] = []
    for gate in ranked:
        status = view.gate_status(gate)
        text = f"  {status.symbol} {gate.id}"
        if len(text) > room:
            break
        room -= len(text)
        spans.append((text, status.value))
    return tuple(spans)
