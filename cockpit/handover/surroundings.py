"""What a flight needs beside the world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cockpit.handover.lease import Lease
from cockpit.handover.watch import Stage
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Direction


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Readings, the guardian's word, and quiet telemetry inside the window."""

    readings: Callable[[], Sequence[GateReading]]
    """The gates of the direction in the air, as read last."""
    quiet: Callable[[bool], None]
    """True: heartbeats and background reading stop. False: they go on."""
    stage: Callable[[Stage, Direction], None]
    """Tells the guardian where the handover is."""
    lease: Lease
    """The right to act on the pair."""
    apart: Callable[[], None]
    """Told when the target of an ungraceful handover takes writes: from then on its origin is shut out as soon as it answers."""
