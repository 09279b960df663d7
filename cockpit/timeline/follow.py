"""Reading a run while it is flown: the fold of its timeline and the newest of its samples, from files alone.

A follower never writes and needs no pilot. `poll` reads what was appended since the last call, at most `CHUNK` bytes of the timeline
and `SAMPLES` of the samples, so that one call stays within a few milliseconds; call it again while `behind` is true.

The timeline's next writer cuts a torn tail off and goes on at the same place, at any moment between two polls: what was read of an unfinished
line counts for nothing then. Damage is what the file itself still shows at that place, read again.

Samples that are there already when it comes are read from their end backwards, a piece in each poll: the newest are known at once,
and what only an earlier one tells (a table that has not changed since, the history of the lag) is filled in while it follows.
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

CHUNK = 16 * 1024
"""Measured: 2 ms of a timeline."""
SAMPLES = 64 * 1024
"""Measured: 1 ms of samples, which are not folded."""
EARLIER = 64 * 1024
"""Bytes of earlier samples a poll looks at: 1 ms, most are only passed over."""
HISTORY = 600
"""Lag samples of which the chart's points are kept."""

LagPoint = tuple[float, int | None]
"""When, and bytes behind."""


@dataclass(slots=True)
class Latest:
    """The newest sample of each kind; None or empty until there is one. Values are frozen, only the references move."""

    lag: LagSample | None = None
    lag_history: deque[LagPoint] = field(default_factory=lambda: deque(maxlen=HISTORY))
    routing: RoutingSample | None = None
    recon: ReconSample | None = None
    tables: dict[str, TableProof] = field(default_factory=dict)
    """What was told last is last: who keeps them in another order finds what changed without looking at all of them."""
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
                self.lag_history.append(_point(sample))
            case RoutingSample():
                self.routing = sample
            case ReconSample():
                self.recon = sample
                for proof in sample.tables:
                    self.tables.pop(proof.table, None)
                    self.tables[proof.table] = proof
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

    def take_earlier(self, sample: Sample) -> None:
        """`sample` is older than all that were taken: it says only what none of them said."""
        match sample:
            case LagSample():
                self.lag = self.lag or sample
                if len(self.lag_history) < HISTORY:
                    self.lag_history.appendleft(_point(sample))
            case RoutingSample():
                self.routing = self.routing or sample
            case ReconSample():
                self.recon = self.recon or sample
                for proof in sample.tables:
                    self.tables.setdefault(proof.table, proof)
            case ServerSample():
                self.servers.setdefault(sample.side, sample)
            case PoolerSample():
                self.poolers.setdefault(sample.pooler, sample)
            case GatesSample():
                self.gates = self.gates or sample
            case ReadinessSample():
                self.readiness = self.readiness or sample
            case PulseSample():
                self.pulse = self.pulse or sample

    def lacks(self, kind: str) -> bool:
        """Whether an earlier sample of `kind` can still say something."""
        match kind:
            case "lag":
                return len(self.lag_history) < HISTORY
            case "routing" | "gates" | "readiness" | "pulse":
                return getattr(self, kind) is None
            case _:
                return True


def _point(sample: LagSample) -> LagPoint:
    return sample.mono, sample.lag_bytes


class _Tail:
    """The lines appended to a file since the last look. A file that was replaced by a new one is read from its start, or, where it
    `goes_on`, from the same place."""

    def __init__(self, path: Path, piece: int, *, from_end: bool = False, goes_on: bool = False) -> None:
        self._path = path
        self._piece = piece
        self._descriptor = -1
        self._inode = -1
        self._rest = b""
        """What was read of the line that begins at `end`."""
        self._from_end = from_end
        self._goes_on = goes_on
        self.end = 0
        """Bytes up to the end of the last complete line; fewer than before where the file was cut below it."""
        self.behind = False
        self.passed = 0
        """Bytes, whole lines, that were there already and are not told."""

    def lines(self) -> list[bytes]:
        """Complete lines, without their newlines; empty when there is nothing new or no file."""
        try:
            if self._descriptor < 0:
                self._open()
            chunk = self._next()
            if not chunk and self._was_cut():
                chunk = self._next()
        except OSError:
            self._from_end = False  # a file that comes later is read from its start
            self.behind = False  # nothing is there that another look at once would find
            return []
        self.behind = len(chunk) == self._piece
        if not chunk:
            self._check_replaced()
            return []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self.end += sum(map(len, lines)) + len(lines)
        return lines

    def still(self, line: bytes, at: int) -> bool:
        """Whether the file has exactly this line there, now."""
        try:
            return os.pread(self._descriptor, len(line) + 1, at) == line + b"\n"
        except OSError:
            return False

    def back_to(self, end: int) -> None:
        """What lies behind `end`, where a line ends, is read again."""
        self.end, self._rest, self.behind = end, b"", True

    def _next(self) -> bytes:
        return os.pread(self._descriptor, self._piece, self.end + len(self._rest))

    def _was_cut(self) -> bool:
        """The file is shorter than what was read of it, or just as long but another line begins at `end`: what was read of it is forgotten."""
        size = os.fstat(self._descriptor).st_size
        if size >= self.end + len(self._rest) and os.pread(self._descriptor, len(self._rest), self.end) == self._rest:
            return False
        self.end, self._rest = min(self.end, size), b""
        return True

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        seen = os.fstat(self._descriptor)
        self._inode = seen.st_ino
        if self._from_end:
            begin = max(seen.st_size - EARLIER, 0)
            newline = os.pread(self._descriptor, seen.st_size - begin, begin).rfind(b"\n")
            self.passed = self.end = begin + newline + 1 if newline >= 0 else 0
        self._from_end = False

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
        if not self._goes_on:
            self.end = 0


class _Earlier:
    """The lines of a file up to a byte, the newest first, a piece at a time; then those of the file that was set aside before it."""

    def __init__(self, path: Path, end: int) -> None:
        self._files = [(path, end), (path.with_name(path.name + ".1"), -1)]
        self._descriptor = -1
        self._end = 0
        self._rest = b""

    @property
    def left(self) -> bool:
        """Not all is read yet."""
        return self._end > 0 or bool(self._files)

    def lines(self) -> list[bytes]:
        """The next piece's, newest first; empty when there is no more, or where no line begins in it."""
        if self._end <= 0:
            self._open_next()
        if self._end <= 0:
            return []
        begin = max(self._end - EARLIER, 0)
        try:
            block = os.pread(self._descriptor, self._end - begin, begin)
        except OSError:
            block = b""
        first, *lines = (block + self._rest).split(b"\n")
        self._rest = first if begin else b""
        self._end = begin
        return lines[::-1] if begin else [*lines[::-1], first]

    def _open_next(self) -> None:
        while self._files and self._end <= 0:
            self.close()
            path, end = self._files.pop(0)
            try:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._end = end if end >= 0 else os.fstat(self._descriptor).st_size
            except OSError:
                self._end = 0

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._end, self._rest = -1, 0, b""


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
        self._timeline = _Tail(folder.timeline, CHUNK, goes_on=True)
        self._good = 0
        """Bytes of the timeline that `state` stands for."""
        self._samples = _Tail(folder.samples, SAMPLES, from_end=True)
        self._earlier: _Earlier | None = None

    def now(self) -> float:
        """Seconds of the clock that `mono` in events and samples is of."""
        return self._clock()

    @property
    def behind(self) -> bool:
        """More was there than one poll takes: what is known is not yet how it is now."""
        return (self._timeline.behind and not self.damage) or self._samples.behind

    @property
    def more(self) -> bool:
        """What was there when it was last looked was not all read: of what is new, or of what is earlier."""
        return self.behind or self._earlier is None or self._earlier.left

    def poll(self) -> bool:
        """Whether anything was read: then there may be more."""
        changed = self._poll_timeline()
        for line in self._samples.lines():
            sample = decode_sample(line)
            if sample is not None:
                self.latest.take(sample)
                changed = True
        return self._poll_earlier() or changed

    def _poll_earlier(self) -> bool:
        if self._earlier is None:
            self._earlier = _Earlier(self.folder.samples, self._samples.passed)
        elif self.behind:
            return False  # what is newer comes first
        lines = self._earlier.lines()
        for line in lines:
            sample = decode_sample(line) if self.latest.lacks(_kind(line)) else None
            if sample is not None:
                self.latest.take_earlier(sample)
        return bool(lines) or self._earlier.left

    def _poll_timeline(self) -> bool:
        if self.damage:
            return False
        lines = self._timeline.lines()
        if self._timeline.end < self._good:
            self.damage = f"record {self.state.seq} was there before and is gone"
        for line in lines:
            try:
                self.state = fold(self.state, self._chain.take(line))
            except JournalDamaged as err:
                self._doubt(line, err)
                break
            self._good += len(line) + 1
        return bool(lines)

    def _doubt(self, line: bytes, err: JournalDamaged) -> None:
        """Damage where the file still has this line; else its parts were read before and after a torn tail was cut off."""
        if self._timeline.still(line, self._good):
            self.damage = f"record {err.record} {err.what}"
        else:
            self._timeline.back_to(self._good)

    def close(self) -> None:
        self._timeline.close()
        self._samples.close()
        if self._earlier is not None:
            self._earlier.close()


def _kind(line: bytes) -> str:
    """What a sample's line begins with says it is; empty where it says nothing."""
    return line[6 : line.find(b'"', 6)].decode("ascii", "replace") if line.startswith(b'{"k":"') else ""
