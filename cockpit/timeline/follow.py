"""Reading a run while it is flown: the fold of its timeline and the newest of its samples, from files alone.

A follower never writes and needs no pilot. `poll` reads what was appended since the last call, at most `CHUNK` bytes of each
file, so that one call stays within a few milliseconds; call it again while `behind` is true.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cockpit.errors import JournalDamaged
from cockpit.model.state import EMPTY, RunState, fold
from cockpit.model.telemetry import (
    GatesSample,
    LagSample,
    PoolerSample,
    PulseSample,
    ReadinessSample,
    ReconSample,
    RoutingSample,
    Sample,
    ServerSample,
    TableProof,
)
from cockpit.model.words import Side
from cockpit.timeline.codec import decode_sample
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import Chain

CHUNK = 128 * 1024
HISTORY = 600
"""Lag samples kept for the chart."""


@dataclass(slots=True)
class Latest:
    """The newest sample of each kind; None or empty until there is one. Values are frozen, only the references move."""

    lag: LagSample | None = None
    lag_history: deque[LagSample] = field(default_factory=lambda: deque(maxlen=HISTORY))
    routing: RoutingSample | None = None
    recon: ReconSample | None = None
    tables: dict[str, TableProof] = field(default_factory=dict)
    servers: dict[Side, ServerSample] = field(default_factory=dict)
    poolers: dict[str, PoolerSample] = field(default_factory=dict)
    gates: GatesSample | None = None
    readiness: ReadinessSample | None = None
    pulse: PulseSample | None = None

    def take(self, sample: Sample) -> None:
        """`sample` is the newest of its kind."""
        match sample:
            case LagSample():
                self.lag = sample
                self.lag_history.append(sample)
            case RoutingSample():
                self.routing = sample
            case ReconSample():
                self.recon = sample
                self.tables.update((proof.table, proof) for proof in sample.tables)
            case ServerSample():
                self.servers[sample.side] = sample
            case PoolerSample():
                self.poolers[sample.pooler] = sample
            case GatesSample():
                self.gates = sample
            case ReadinessSample():
                self.readiness = sample
            case PulseSample():
                self.pulse = sample


class _Tail:
    """The lines appended to a file since the last look; starts over when the file was replaced by a new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._inode = -1
        self._rest = b""
        self.behind = False

    def lines(self) -> list[bytes]:
        """Complete lines, without their newlines; empty when there is nothing new or no file."""
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self._inode = os.fstat(self._descriptor).st_ino
            chunk = os.read(self._descriptor, CHUNK)
        except OSError:
            return []
        self.behind = len(chunk) == CHUNK
        if not chunk:
            self._check_replaced()
            return []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines

    def _check_replaced(self) -> None:
        try:
            if os.stat(self._path).st_ino == self._inode:
                return
        except OSError:
            return
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._rest = -1, b""


class Follower:
    """A run as it is now. `state` and `latest` change only in `poll`."""

    def __init__(self, folder: RunFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.state: RunState = EMPTY
        self.latest = Latest()
        self.damage = ""
        """Why the timeline cannot be trusted beyond `state`; empty while it can."""
        self._clock = clock
        self._chain = Chain()
        self._timeline = _Tail(folder.timeline)
        self._samples = _Tail(folder.samples)

    def now(self) -> float:
        """Seconds of the clock that `mono` in events and samples is of."""
        return self._clock()

    @property
    def behind(self) -> bool:
        """More was there than one poll takes."""
        return self._timeline.behind or self._samples.behind

    def poll(self) -> bool:
        """Whether anything changed since the last call."""
        changed = self._poll_timeline()
        for line in self._samples.lines():
            sample = decode_sample(line)
            if sample is not None:
                self.latest.take(sample)
                changed = True
        return changed

    def _poll_timeline(self) -> bool:
        if self.damage:
            return False
        lines = self._timeline.lines()
        for line in lines:
            try:
                self.state = fold(self.state, self._chain.take(line))
            except JournalDamaged as err:
                self.damage = f"record {err.record} {err.what}"
                break
        return bool(lines)

    def close(self) -> None:
        self._timeline.close()
        self._samples.close()
