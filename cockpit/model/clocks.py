"""Monotonic times of several origins: each boot of each machine counts from elsewhere, and only the walls say how much lies between two.

Who takes a run up says so first (`RunTakenUp`) and which boot it is a moment later (`PilotSeated`): both are of the new boot, and so is
every take-up that was left again before anyone sat down.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockpit.model import events as ev


def between_s(before: str, after: str) -> float:
    """Seconds from one wall time to another; none where it went back or cannot be read."""
    try:
        seconds = (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return max(seconds, 0.0)


def newly_begun(told: Sequence[ev.Event]) -> int:
    """How many events at the end of `told` are take-ups after which nobody sat down: they are of the boot of who sits down next."""
    return next((n for n, event in enumerate(reversed(told)) if not isinstance(event.fact, ev.RunTakenUp)), len(told))


def is_another(boot: str, told: Sequence[ev.Event], seated: ev.PilotSeated, mono: float) -> bool:
    """Whether who sits down at `mono` counts from elsewhere than the events `told`, which are of `boot`: it says so, or it counts back."""
    if boot and seated.boot:
        return boot != seated.boot
    own = newly_begun(told)
    before = told[: len(told) - own]
    return bool(before) and mono < before[-1].mono


def shift_s(told: Sequence[ev.Event], event: ev.Event) -> float:
    """What makes the monotonic times of `told` those of the boot of `event`, with as much between them as the walls say."""
    before = told[: len(told) - newly_begun(told)]
    return event.mono - between_s(before[-1].at, event.at) - before[-1].mono if before else 0.0
