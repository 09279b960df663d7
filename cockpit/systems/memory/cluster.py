"""Two twins of a PostgreSQL server and the replication between them, as far as a handover can tell.

Kept: a WAL position that every commit moves, rows by operation id with the side that wrote them, sessions that keep their access
mode for life, a fence with its leaks, prepared transactions, sequences, and a stream each way that carries only what was written
on its origin itself (`origin = none`), late by `delay_s`. A stream is moved on when somebody looks: no task, no polling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from cockpit.errors import LinkError, SystemFault
from cockpit.model.words import Side
from cockpit.systems.memory.warp import WarpLoop

COCKPIT = "cockpit"
"""The role of the cockpit's own sessions and rows."""


def now() -> float:
    """The world's own time, whoever asks."""
    loop = asyncio.get_running_loop()
    return loop.world_time() if isinstance(loop, WarpLoop) else loop.time()


def told() -> float:
    """By the clock of the process that asks: what it compares ages with."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Row:
    """One committed transaction: its operation id, who wrote it and where, its sequence-made key."""

    op: str
    app: str
    key: int
    origin: Side
    lsn: int
    at: float

    @property
    def ours(self) -> bool:
        return self.app == COCKPIT


@dataclass(slots=True, eq=False)
class MemorySession:
    """A session of an app on one server, from login to the end of either."""

    side: Side
    pid: int
    role: str
    application: str
    via: str
    read_only: bool
    alive: bool = True
    xact_at: float | None = None
    wrote: bool = False

    def end(self) -> None:
        self.alive = False
        self.xact_at = None
        self.wrote = False


@dataclass(slots=True)
class Node:
    """One server."""

    side: Side
    watch: Callable[[Row], None]
    """Told of every app transaction at the instant of its commit."""
    up: bool = True
    fenced: bool = False
    fence_kept: bool = False
    """What stood there before the fence is on record."""
    granted: set[str] = field(default_factory=set)
    """Roles that somebody let in again while the side was fenced."""
    installed: bool = False
    wal: int = 0x01000000
    rows: list[Row] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    """How often each operation id is here: 2 is a duplicate."""
    sessions: dict[int, MemorySession] = field(default_factory=dict)
    prepared: dict[str, Row] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=lambda: {"orders_id_seq": 0})
    stood: dict[str, int] = field(default_factory=dict)
    """How far each sequence was seen to stand."""
    seat: tuple[int, str, str] = (0, "", "")
    """Who flies, on record: a number above every earlier one, its seat and its name. Kept only while `installed`."""
    schema: int = 1
    conflicts: list[str] = field(default_factory=list)
    _pid: int = 100

    @property
    def writable(self) -> bool:
        """Whether some app could commit a write here now: by a new login, or by a session that is already in."""
        return self.up and (not self.fenced or any(not s.read_only for s in self.app_sessions()))

    def app_sessions(self) -> list[MemorySession]:
        return [s for s in self.sessions.values() if s.alive]

    def login(self, role: str, application: str, via: str) -> MemorySession:
        """A new session, or the error an app would see."""
        if not self.up:
            raise LinkError("connection refused", where=self.side)
        if self.fenced and role not in self.granted:
            raise SystemFault(f'permission denied for database: role "{role}" has no CONNECT privilege', where=self.side, code="42501")
        self._pid += 1
        session = MemorySession(self.side, self._pid, role, application, via, read_only=self.fenced)
        self.sessions[session.pid] = session
        return session

    def set_back(self) -> tuple[str, ...]:
        """The sequences that stand behind where they were seen to."""
        behind = [
            f"{name} stood at {self.stood[name]}, stands at {at}" for name, at in self.sequences.items() if at < self.stood.get(name, at)
        ]
        self.stood = {name: max(at, self.stood.get(name, at)) for name, at in self.sequences.items()}
        return tuple(behind)

    def leave(self, session: MemorySession) -> None:
        session.end()
        self.sessions.pop(session.pid, None)

    def begin(self, session: MemorySession) -> None:
        self._check(session)
        session.xact_at = now()

    def next_key(self, name: str = "orders_id_seq") -> int:
        self.sequences[name] += 1
        return self.sequences[name]

    def write(self, session: MemorySession) -> int:
        """The open transaction now holds a transaction id and a key that only this sequence gives."""
        self._check(session)
        if session.read_only:
            raise SystemFault("cannot execute INSERT in a read-only transaction", where=self.side, code="25006")
        key = self.next_key()
        if key in self.keys:
            raise SystemFault("duplicate key value violates unique constraint", where=self.side, code="23505")
        session.wrote = True
        return key

    def commit(self, session: MemorySession, op: str, key: int) -> Row:
        """The session's transaction is durable here."""
        self._check(session)
        session.xact_at, session.wrote = None, False
        return self.store(op, session.application, key)

    def rollback(self, session: MemorySession) -> None:
        session.xact_at, session.wrote = None, False

    def prepare(self, gid: str, op: str, app: str) -> None:
        """A transaction waits for COMMIT PREPARED; no session holds it."""
        self.prepared[gid] = Row(op, app, self.next_key(), self.side, 0, now())

    def finish_prepared(self, gid: str) -> Row:
        row = self.prepared.pop(gid)
        return self.store(row.op, row.app, row.key)

    def store(self, op: str, app: str, key: int = 0) -> Row:
        """A row written on this server itself."""
        self.wal += 96
        row = Row(op, app, key, self.side, self.wal, now())
        self._keep(row)
        if not row.ours:
            self.watch(row)
        return row

    def recover(self) -> None:
        """The server is started again."""
        self.up = True

    def apply(self, row: Row) -> None:
        """A row that replication brought. It passes the fence, as a logical apply worker does."""
        self.wal += 96
        if row.key and row.key in self.keys:
            self.conflicts.append(f"{self.side}: key {row.key} of {row.op} exists")
        self._keep(row)

    def _keep(self, row: Row) -> None:
        self.rows.append(row)
        self.counts[row.op] = self.counts.get(row.op, 0) + 1
        if row.key:
            self.keys.add(row.key)

    def _check(self, session: MemorySession) -> None:
        if not (self.up and session.alive):
            raise LinkError("terminating connection due to administrator command", where=self.side)

    def crash(self) -> None:
        """The server is gone; sessions with it. What was committed and prepared stays."""
        self.up = False
        for session in tuple(self.sessions.values()):
            self.leave(session)


@dataclass(slots=True)
class Stream:
    """Publication and slot on `origin`, subscription on `target`."""

    origin: Node
    target: Node
    delay_s: float
    exists: bool = False
    """The slot is there."""
    subscribed: bool = False
    """The subscription is there, enabled or not."""
    enabled: bool = False
    severed: bool = False
    """The subscription knows its slot no more: nobody can enable it."""
    stalled: bool = False
    """The worker runs and nothing moves: the lag that looks like none."""
    position: int = 0
    """How many rows of the origin are dealt with."""

    @property
    def running(self) -> bool:
        return self.exists and self.subscribed and self.enabled and self.origin.up and self.target.up

    @property
    def confirmed(self) -> int:
        """The slot's `confirmed_flush_lsn`."""
        self.pump()
        waiting = self.waiting()
        return self.origin.wal if not waiting else waiting[0].lsn - 96

    def pump(self) -> None:
        """Everything that is due is applied."""
        if not self.running or self.stalled:
            return
        rows, due = self.origin.rows, now() - self.delay_s
        while self.position < len(rows) and (rows[self.position].origin is not self.origin.side or rows[self.position].at <= due + 1e-9):
            row = rows[self.position]
            self.position += 1
            if row.origin is self.origin.side:
                self.target.apply(row)

    def waiting(self) -> list[Row]:
        """Rows written on the origin that were not applied when somebody looked last."""
        return [row for row in self.origin.rows[self.position :] if row.origin is self.origin.side]

    def pending(self) -> int:
        """Rows written on the origin that the target does not show."""
        self.pump()
        return len(self.waiting())

    def oldest_at(self) -> float | None:
        self.pump()
        waiting = self.waiting()
        return waiting[0].at if waiting else None


@dataclass(slots=True)
class Cluster:
    """Both servers, both streams, and who holds the pair's lock."""

    nodes: dict[Side, Node]
    streams: dict[Side, Stream]
    """By origin."""
    owner: str = ""

    @classmethod
    def make(cls, watch: Callable[[Row], None], delay_s: float) -> Cluster:
        nodes = {side: Node(side, watch) for side in Side}
        return cls(nodes, {side: Stream(nodes[side], nodes[side.other], delay_s) for side in Side})

    def pump(self) -> None:
        for stream in self.streams.values():
            stream.pump()
