"""Clocks and forecasts as functions of facts: never a counted tick. Times are seconds of one monotonic clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cockpit.model.state import HandoverView, RunState
from cockpit.model.words import Direction, StepState


@dataclass(frozen=True, slots=True)
class Clock:
    """A budget and what is used of it. `level` is `calm`, `warn` (half used), `bad` (four fifths used) or `over`."""

    used_s: float
    budget_s: float

    @property
    def left_s(self) -> float:
        return self.budget_s - self.used_s

    @property
    def level(self) -> str:
        share = self.used_s / self.budget_s if self.budget_s > 0 else 1.0
        return "over" if share >= 1 else "bad" if share >= 0.8 else "warn" if share >= 0.5 else "calm"


def downtime(state: RunState, now: float) -> Clock:
    """The downtime clock: 0 before the pause, running in the window, standing after the resume."""
    used = _downtime_used(state.handover, now) if state.handover else 0.0
    return Clock(used, state.downtime_budget_s)


def _downtime_used(handover: HandoverView, now: float) -> float:
    if handover.downtime_s is not None:
        return handover.downtime_s
    if handover.downtime_mono is None:
        return 0.0
    return max(now - handover.downtime_mono, 0.0)


def rollback_parts(steps: Mapping[str, float], holds: Iterable[float]) -> dict[str, float]:
    """What a rollback is made of, in seconds, from the key to the last app writing on blue again.

    The gates take their longest hold; the confirmation takes nothing, for the key was it."""
    longest = max(holds, default=0.0)
    return {step: longest if step == "gates" else seconds for step, seconds in steps.items() if step != "confirm"}


def step_seconds(state: RunState, step: str, planned_s: float, only: Direction | None = None) -> float:
    """What a step will take: what it took in the last handover (`only` of one direction) that finished it, else what was planned."""
    for handover in reversed(state.past):
        if only not in {None, handover.direction}:
            continue
        for view in handover.steps:
            if view.id == step and view.state is StepState.DONE and view.ms is not None:
                return view.ms / 1000
    return planned_s


def eta_s(handover: HandoverView, now: float) -> float:
    """Seconds until the handover's last step is done if what is left takes what was planned."""
    left = 0.0
    for view in handover.steps:
        if view.state is StepState.WAITING:
            left += view.planned_s
        elif view.state is StepState.RUNNING and view.started_mono is not None:
            left += max(view.planned_s - (now - view.started_mono), 0.0)
    return left


@dataclass(frozen=True, slots=True)
class Countdown:
    """Seconds until writes stall if every step takes what was planned; `held_by` is the step that takes longer, and holds it."""

    seconds: float
    held_by: str = ""


def countdown(handover: HandoverView, now: float) -> Countdown | None:
    """To the first step in the window; None once writes stall, or the handover is over."""
    if handover.outcome is not None or handover.downtime_mono is not None:
        return None
    left, held = 0.0, ""
    for view in handover.steps:
        if view.in_window:
            break
        if view.state is StepState.WAITING:
            left += view.planned_s
        elif view.state is StepState.RUNNING and view.started_mono is not None:
            spent = now - view.started_mono
            left += max(view.planned_s - spent, 0.0)
            held = view.id if spent > view.planned_s else ""
    return Countdown(left, held)


def mm_ss(seconds: float) -> str:
    """`04:29`; an hour and more as `1:04:29`; a negative figure as `-00:03`."""
    sign = "-" if seconds < 0 else ""
    whole = int(abs(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{sign}{hours}:{minutes:02}:{secs:02}" if hours else f"{sign}{minutes:02}:{secs:02}"
