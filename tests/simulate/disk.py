"""The run folder's disk and the wall clock, as the timeline meets them: counted, and failing when told to."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from cockpit.handover import awake, guardian, sitting, watch
from cockpit.systems.memory.cluster import now as world_time
from cockpit.timeline import journal
from cockpit.timeline.journal import Journal
from tests.simulate.process import Killed, current

DAWN = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RECORD = b'"seq":'
BEAT_S = 0.8
"""Three beats and more are still heard before a process is taken for silent."""


class Moment(StrEnum):
    """Where in the life of a record a process is killed; after an effect and before its result is `BEFORE` of the next record."""

    BEFORE = "before the write"
    TORN = "in the middle of the write"
    WRITTEN = "after the write"
    SYNCED = "after the fsync"


class Fail(StrEnum):
    FULL = "disk full"
    BROKEN = "I/O error"
    SHORT = "half a record, then disk full"
    NO_SYNC = "fsync fails"
    SLOW = "fsync takes 2 s"


@dataclass(slots=True)
class Ache:
    """`fail` happens from the `nth` record of the run on, `times` times (0: for ever)."""

    fail: Fail
    nth: int
    times: int = 0

    def strikes(self, record: int) -> bool:
        return record >= self.nth and (self.times == 0 or record < self.nth + self.times)


@dataclass(slots=True)
class Disk:
    """Stands where `os` does in the timeline's writer."""

    kills: dict[tuple[str, int, Moment], Callable[[], None]] = field(default_factory=dict)
    """By process, its own record's number and moment: what kills it."""
    ache: Ache | None = None
    records: dict[str, int] = field(default_factory=dict)
    written: int = 0
    failed: bool = False
    """The disk has refused something."""
    safe: int = 0
    """Bytes of the timeline that a power cut leaves."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, descriptor: int, data: bytes) -> int:
        process = current()
        if process is None or RECORD not in data:
            return os.write(descriptor, data)
        if process.dead:
            raise OSError(errno.EIO, "the process is gone")
        self.written += 1
        number = self.records[process.name] = self.records.get(process.name, 0) + 1
        self._die(process.name, number, Moment.BEFORE)
        if (process.name, number, Moment.TORN) in self.kills:
            os.write(descriptor, data[: len(data) // 2])
            self._die(process.name, number, Moment.TORN)
        self._refuse(descriptor, data)
        done = os.write(descriptor, data)
        self._die(process.name, number, Moment.WRITTEN)
        return done

    def fdatasync(self, descriptor: int) -> None:
        process = current()
        if process is None:
            return
        if process.dead:
            raise OSError(errno.EIO, "the process is gone")
        if self._aches(Fail.NO_SYNC):
            raise OSError(errno.EIO, "Input/output error")
        if self._aches(Fail.SLOW):
            asyncio.get_running_loop()._jump(2.0)  # type: ignore[attr-defined]
        self.safe = os.fstat(descriptor).st_size
        self._die(process.name, self.records.get(process.name, 0), Moment.SYNCED)

    fsync = fdatasync

    def _refuse(self, descriptor: int, data: bytes) -> None:
        if self._aches(Fail.SHORT):
            os.write(descriptor, data[: len(data) // 2])
            self.ache = Ache(Fail.FULL, self.written)
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._aches(Fail.FULL):
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._aches(Fail.BROKEN):
            raise OSError(errno.EIO, "Input/output error")

    def _aches(self, fail: Fail) -> bool:
        if self.ache is None or self.ache.fail is not fail or not self.ache.strikes(self.written):
            return False
        self.failed = self.failed or fail is not Fail.SLOW
        return True

    def _die(self, name: str, number: int, moment: Moment) -> None:
        kill = self.kills.pop((name, number, moment), None)
        if kill is not None:
            kill()
            raise Killed


@dataclass(slots=True)
class WallClock:
    """Stands where `datetime` does: told time is the loop's, moved when told to."""

    moved: timedelta = timedelta()

    def now(self, zone: Any) -> datetime:
        return DAWN + timedelta(seconds=world_time()) + self.moved


class _Disks:
    """Stands where `os` does in the timeline's writer: every process meets its own machine's disk."""

    def __getattr__(self, name: str) -> Any:
        process = current()
        return getattr(os if process is None or process.machine is None else process.machine.disk, name)


class _Signals:
    """Stands where `os` does in the guardian: its only child is a twin on its own machine."""

    def kill(self, pid: int, signal: int) -> None:
        process = current()
        assert process is not None
        process.machine.kill_pilot()

    def getpid(self) -> int:
        return 1


def boottime() -> float:
    """Goes on while a machine is suspended."""
    return world_time()


class _Clocked(Journal):
    """A timeline that the guardian takes up keeps the run's own time."""

    @staticmethod
    def take_up(path: Any, by: str, clock: Any = None) -> Any:
        journal, reading = Journal.take_up(path, by, asyncio.get_running_loop().time)
        process = current()
        if process is not None:
            process.at_death.append(journal.close)
        return journal, reading


@contextmanager
def replaced(clock: WallClock) -> Iterator[None]:
    """The timeline's writer meets its machine's disk and this clock, the guardian's signals reach the twin of its child, and the lease goes by
    a clock that goes on while a machine is suspended."""
    twins = (
        (journal, "os", _Disks()),
        (journal, "datetime", clock),
        (guardian, "os", _Signals()),
        (guardian, "Journal", _Clocked),
        (guardian, "BEAT_S", BEAT_S),
        (watch, "BEAT_S", BEAT_S),
        (awake, "TURN_S", BEAT_S),
        (awake, "awake_or_not", boottime),
        (sitting, "datetime", clock),
    )
    before = [(module, name, getattr(module, name)) for module, name, _ in twins]
    for module, name, twin in twins:
        setattr(module, name, twin)
    try:
        yield
    finally:
        for module, name, real in before:
            setattr(module, name, real)
