"""The timeline: a chain of events that survives a crash and cannot be quietly edited.

Format: one JSON object a line, UTF-8, `\\n` at the end. The last two members of each are

    "prev":"<hash of the line before>"   sixty-four zeros in the first line
    "hash":"<SHA-256 of this line's bytes up to the comma before "hash">"

so a changed, swapped, doubled or missing line is named by its number, the last one included. `seq` counts from 1 without gaps.

Reading: bytes after the last newline are a torn tail, left by a crash while a line was being written. If they are a whole
record that verifies, they count as one; otherwise they are reported (`Reading.torn`) and set aside, never fatal. Everything else
that does not verify is damage: the events before it are returned and the record's number is named. So is a timeline that is shorter than it
was when its run closed (`cockpit.timeline.closing`): the first record that is not there is named.

Writing: one writer, by an exclusive lock on the file (flock(2)). An append is one write(2). `durable` appends are followed by
fsync(2) before the call returns: every intent, decision and border is. The result of an action inside the window is written at
once and made durable by the next durable append: a result that a crash takes is found again by probing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cockpit.errors import JournalDamaged, JournalError
from cockpit.model.events import Event, Fact, RunClosed
from cockpit.timeline.closing import Closing, beside, note, noted
from cockpit.timeline.codec import decode_event, encode_event

LAST_BYTES = 256 * 1024
"""More than the longest last line of a run."""
GENESIS = "0" * 64
_MARK = b',"hash":"'
_TAIL_LENGTH = len(_MARK) + 64 + 2


def seal(body: bytes) -> tuple[bytes, str]:
    """The complete line (newline included) for an event's body, and its hash."""
    digest = hashlib.sha256(body).hexdigest()
    return body + _MARK + digest.encode() + b'"}\n', digest


def unseal(line: bytes) -> tuple[Event, str, str]:
    """The event, the hash before and the own hash of a line without its newline; `JournalError` where it does not verify."""
    body, tail = line[:-_TAIL_LENGTH], line[-_TAIL_LENGTH:]
    if not tail.startswith(_MARK) or not tail.endswith(b'"}'):
        raise JournalError("is not a sealed record")
    digest = tail[len(_MARK) : -2].decode("ascii", "replace")
    if hashlib.sha256(body).hexdigest() != digest:
        raise JournalError("has a hash that does not match its content")
    event, prev = decode_event(body + b"}")
    return event, prev, digest


@dataclass(frozen=True, slots=True)
class Reading:
    """A timeline as read: its events, and what is wrong with it, if anything."""

    events: tuple[Event, ...]
    head: str
    """Hash of the last good line."""
    size: int
    """Bytes up to the end of the last good line."""
    torn: str = ""
    damage: str = ""
    """What is wrong with the record `damaged_record`, to be read after "it" or "record 7"."""
    damaged_record: int | None = None

    @property
    def intact(self) -> bool:
        return not self.damage

    @property
    def closed(self) -> bool:
        """Whether there is a closing record."""
        return any(isinstance(event.fact, RunClosed) for event in self.events)

    def trusted(self, where: str) -> Reading:
        """This reading, or `JournalDamaged` naming the record."""
        if self.damage and self.damaged_record is not None:
            raise JournalDamaged(
                f"record {self.damaged_record} {self.damage}",
                record=self.damaged_record,
                where=where,
                remedy="the run is read-only; compare with a copy",
            )
        return self


class Chain:
    """Verifies lines one after the other: feed it raw lines in order, it answers events or names the damage."""

    def __init__(self) -> None:
        self.head = GENESIS
        self.seq = 0

    def take(self, line: bytes) -> Event:
        """The next event; `JournalDamaged` names its record where it does not follow the one before."""
        number = self.seq + 1
        try:
            event, prev, digest = unseal(line)
        except JournalError as err:
            raise JournalDamaged(err.what, record=number) from None
        if prev != self.head:
            raise JournalDamaged("does not follow the record before it", record=number)
        if event.seq != number:
            raise JournalDamaged(f"says it is number {event.seq}", record=number)
        self.head, self.seq = digest, number
        return event


def read(path: Path) -> Reading:
    """The timeline at `path`, verified; `JournalError` only where it cannot be opened at all."""
    closing = noted(path)  # first: what it counts was in the timeline before it was written
    try:
        content = path.read_bytes()
    except OSError as err:
        raise JournalError(f"cannot read the timeline: {err.strerror}", where=str(path)) from None
    return verify(content, closing)


def verify(content: bytes, closing: Closing | None = None) -> Reading:
    """The reading of a timeline's bytes; `closing`: what it was when its run closed, where that is known."""
    reading = _verified(content, closing)
    if closing is None or reading.damage or len(reading.events) >= closing.records:
        return reading
    missing = f"is missing: the run was closed with {closing.records} records"
    return replace(reading, torn="", damage=missing, damaged_record=len(reading.events) + 1)


def _verified(content: bytes, closing: Closing | None) -> Reading:
    chain = Chain()
    events: list[Event] = []
    head, size = chain.head, 0
    for line, complete in _lines(content):
        try:
            events.append(chain.take(line))
        except JournalDamaged as err:
            if complete:
                return Reading(tuple(events), chain.head, size, damage=err.what, damaged_record=err.record)
            torn = f"{len(line)} bytes of an unfinished record {err.record} at the end, left by a crash; set aside"
            return Reading(tuple(events), chain.head, size, torn=torn)
        if closing is not None and chain.seq == closing.records and chain.head != closing.head:
            other = events.pop().seq
            return Reading(tuple(events), head, size, damage="is not the one that the run was closed with", damaged_record=other)
        head = chain.head
        size += len(line) + complete
    return Reading(tuple(events), chain.head, size)


def _lines(content: bytes) -> Iterator[tuple[bytes, bool]]:
    """Each line, and whether its newline is there."""
    *whole, rest = content.split(b"\n")
    yield from ((line, True) for line in whole)
    if rest:
        yield rest, False


class Journal:
    """The one writer of a timeline. `append` returns once the event is written, and on disk when `durable`."""

    def __init__(self, path: Path, descriptor: int, chain: Chain, by: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._chain = chain
        self._by = by
        self._clock = clock
        self._broken = ""
        self._closed = False

    @property
    def seq(self) -> int:
        return self._chain.seq

    @property
    def head(self) -> str:
        return self._chain.head

    @property
    def broken(self) -> str:
        """Why nothing can be appended any more; empty while it can."""
        return self._broken

    @staticmethod
    def create(path: Path, by: str, clock: Callable[[], float] = time.monotonic) -> Journal:
        """A new, empty timeline, locked; its folder entry is durable."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            beside(path).unlink(missing_ok=True)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as err:
            raise JournalError(f"cannot create the timeline: {err.strerror}", where=str(path)) from None
        _lock(descriptor, path)
        return Journal(path, descriptor, Chain(), by, clock)

    @staticmethod
    def take_up(path: Path, by: str, clock: Callable[[], float] = time.monotonic) -> tuple[Journal, Reading]:
        """The existing timeline, locked and ready to append; a torn tail is moved to a file beside it.

        `JournalDamaged` where it cannot be trusted, `JournalError` where another process writes it or the disk takes nothing."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as err:
            raise JournalError(f"cannot open the timeline: {err.strerror}", where=str(path)) from None
        try:
            _lock(descriptor, path)
            reading = read(path).trusted(str(path))
            _mend_tail(path, descriptor, reading)
        except OSError as err:
            os.close(descriptor)
            raise JournalError(f"cannot mend the timeline's end: {err.strerror}", where=str(path), remedy="free the disk") from None
        except BaseException:
            os.close(descriptor)
            raise
        chain = Chain()
        chain.head, chain.seq = reading.head, len(reading.events)
        journal = Journal(path, descriptor, chain, by, clock)
        journal._closed = reading.closed
        return journal, reading

    def append(self, fact: Fact, *, durable: bool = True) -> Event:
        """The event of `fact`, numbered, chained and written; `JournalError` when it could not be, and ever after."""
        if self._broken:
            raise JournalError(self._broken, where=str(self._path), remedy="no further action can be recorded")
        event = Event(self._chain.seq + 1, datetime.now(UTC).isoformat(timespec="microseconds"), self._clock(), self._by, fact)
        line, digest = seal(encode_event(event, self._chain.head))
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, "the disk took only a part of the record")
            if durable:
                os.fdatasync(self._descriptor)
        except OSError as err:
            self._broken = f"cannot write the timeline: {err.strerror}"
            raise JournalError(self._broken, where=str(self._path), remedy="free the disk and resume the run") from None
        self._chain.head, self._chain.seq = digest, event.seq
        self._closed = self._closed or isinstance(fact, RunClosed)
        if self._closed and durable:
            note(self._path, Closing(event.seq, digest))
        return event

    def sync(self) -> None:
        """Everything appended so far is on disk."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as err:
            self._broken = f"cannot write the timeline: {err.strerror}"
            raise JournalError(self._broken, where=str(self._path)) from None

    def close(self) -> None:
        """The lock is given up; the file is complete."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalError(
            "another process flies this run", where=str(path), remedy="join it with `cockpit watch`, or wait until it ends"
        ) from None
    except OSError as err:
        raise JournalError(f"cannot lock the timeline: {err.strerror}", where=str(path)) from None


def _mend_tail(path: Path, descriptor: int, reading: Reading) -> None:
    """Bytes after the last good record are kept in a file beside the timeline and cut off; a missing last newline is added."""
    content = path.read_bytes()
    if reading.torn:
        kept = path.with_name(f"{path.name}.torn-{len(reading.events) + 1}")
        kept.write_bytes(content[reading.size :])
        os.ftruncate(descriptor, reading.size)
        os.fsync(descriptor)
    elif content and not content.endswith(b"\n"):
        os.write(descriptor, b"\n")
        os.fsync(descriptor)


def is_flown(path: Path) -> bool:
    """Whether a process holds the timeline's lock now; false where there is no timeline."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


_AFTERWARDS = (b'"kind":"bill.exported"', b'"kind":"alarm.cleared"', b'"kind":"repair.begun"', b'"kind":"repair.done"')


def is_closed(path: Path) -> bool:
    """Whether the run has ended, by the timeline's last lines alone: quick, and trusted for no more than finding a run. What it left behind
    may be exported after its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LAST_BYTES, 0))
            lines = file.read().rstrip(b"\n").split(b"\n")
    except OSError:
        return False
    while len(lines) > 1 and any(kind in lines[-1] for kind in _AFTERWARDS):
        lines.pop()
    return b'"kind":"run.closed"' in lines[-1]
