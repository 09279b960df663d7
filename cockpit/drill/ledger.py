"""What was acknowledged to an app, and how long it had to wait: kept in memory for questions and in a file as evidence.

Times are seconds of CLOCK_MONOTONIC, the same for every process of the machine. A write's latency runs from the moment it was
due by the app's schedule, not from the moment it was sent, so a stall is seen by every write it held up.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledged write: when it was due, when its COMMIT was sent, when the answer came, and which side answered."""

    op: UUID
    due: float
    sent: float
    acked: float
    side: str

    def line(self) -> str:
        return f"{self.op} {self.due:.6f} {self.sent:.6f} {self.acked:.6f} {self.side}\n"


@dataclass(frozen=True, slots=True)
class Felt:
    """What an app felt in an interval: latencies in milliseconds, and counts."""

    writes: int
    stall_ms: float
    """The longest latency."""
    p50_ms: float
    p99_ms: float
    errors: int
    breaks: int
    waiting: int
    """Writes that were due in the interval and are still not acknowledged."""


@dataclass(slots=True)
class Ledger:
    """One app's acknowledgements, appended to `file`."""

    file: IO[str]
    due: array[float] = field(default_factory=lambda: array("d"))
    acked: array[float] = field(default_factory=lambda: array("d"))
    errors: array[float] = field(default_factory=lambda: array("d"))
    breaks: array[float] = field(default_factory=lambda: array("d"))
    """When connections of apps without a pooler broke: what a handover does to them by nature."""
    open: dict[UUID, float] = field(default_factory=dict)
    """Writes that are due but not yet acknowledged."""
    kinds: dict[str, int] = field(default_factory=dict)
    """Errors by what they said."""

    @property
    def writes(self) -> int:
        return len(self.acked)

    @property
    def last_ack(self) -> float | None:
        return self.acked[-1] if self.acked else None

    def begin(self, op: UUID, due: float) -> None:
        self.open[op] = due

    def ack(self, ack: Ack) -> None:
        """The write counts as done from now on."""
        self.open.pop(ack.op, None)
        self.due.append(ack.due)
        self.acked.append(ack.acked)
        self.file.write(ack.line())

    def error(self, at: float, what: str) -> None:
        self.errors.append(at)
        if what in self.kinds or len(self.kinds) < 50:
            self.kinds[what] = self.kinds.get(what, 0) + 1

    def felt(self, t0: float, t1: float, now: float) -> Felt:
        """What the app felt of the time from `t0` to `t1`: every write that was waiting at some moment of it, done or not."""
        waits = [done - due for due, done in self._done_since(t0) if due <= t1]
        waiting = [now - due for due in self.open.values() if due <= t1]
        ordered = sorted((*waits, *waiting))
        return Felt(
            writes=len(waits),
            stall_ms=round(ordered[-1] * 1000, 3) if ordered else 0.0,
            p50_ms=round(quantile(ordered, 0.50) * 1000, 3),
            p99_ms=round(quantile(ordered, 0.99) * 1000, 3),
            errors=_within(self.errors, t0, t1),
            breaks=_within(self.breaks, t0, t1),
            waiting=len(waiting),
        )

    def _done_since(self, t0: float) -> Iterator[tuple[float, float]]:
        # Acknowledgements are appended as they come, so from the end back everything newer than t0 is in one piece.
        for index in range(len(self.acked) - 1, -1, -1):
            if self.acked[index] < t0:
                return
            yield self.due[index], self.acked[index]


def _within(times: Iterable[float], t0: float, t1: float) -> int:
    return sum(t0 <= at <= t1 for at in times)


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least `share` of the sorted values do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    rank = -int(-share * len(ordered) // 1)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def acks(file: Path) -> Iterator[Ack]:
    """The acknowledgements an app's file holds; a line that was cut off by a crash is left out."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            parts = line.split()
            if line.endswith("\n") and len(parts) == 5:
                yield Ack(UUID(parts[0]), float(parts[1]), float(parts[2]), float(parts[3]), parts[4])
