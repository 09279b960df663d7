"""What is proven, in a file of the run: another process takes it up where this one was killed, and reads nothing again.

Reading a tap consumes it, so the file is trusted only where each slot on the server stands exactly where the file says it was drained to:
then every change up to there is in the file and every later one is still in the slot. Whatever else happened meanwhile (a drain that never
reached the file, another reader, a slot made anew, another database, a server or a disk that lost its last moments) moves one and not the
other, and nothing of the file counts. Therefore a write may lag behind the drains and no window waits for one; and `synchronous = NORMAL`
is enough: of a log that lost its end (after a crash of the machine) the older state is read whole, and its positions do not match.

One transaction writes the taps' positions together with everything that was marked up to them. The keys of rows are in the file: it is
its owner's alone (0600), has no key of which the config calls a column sensitive, and is gone after an end in order.

SQLite is used by one thread of its own; the event loop never waits for the disk. What cannot be read as written raises `Unusable`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cockpit.model.words import Side
from cockpit.reconcile.tap import Batch, Key, Name

FORMAT = 1
"""Rises with every change of what the file holds or of what follows from it; a file of another format is not read."""
MAGIC = 0x636B7072
"""SQLite's application_id: tells a file of ours from every other ("Database File Format", 1.3.17)."""

T = TypeVar("T")


class Unusable(Exception):
    """The file cannot be read or written; the text says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """A table in a tap's publications, as the server has it: `mark` changes when it is put there anew or otherwise, `node` when the
    table is rewritten as a whole, which no tap shows."""

    oid: int
    mark: str
    node: int
    inserts: bool
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a tap was drained and marked. `unseen`: what was drained and not visible to others yet: a reading may miss it."""

    name: str
    database: str
    """What tells the database from every other, restored ones too."""
    publications: str
    at: str
    unseen: tuple[Batch, ...] = ()
    members: Mapping[Name, Member] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proof:
    """One table's standing; `proven_at` is wall time in seconds, `low` where a reading by key ranges stands, with the rows `read` by then."""

    fingerprint: str
    proven: bool = False
    proven_at: float | None = None
    rows: tuple[int, int] | None = None
    """On blue and on green."""
    low: Key | None = None
    read: tuple[int, int] = (0, 0)
    more: bool = False
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that a file holds."""

    positions: Mapping[Side, Position]
    proofs: Mapping[Name, Proof]
    dirty: Mapping[Name, tuple[Key, ...]]
    differing: Mapping[Name, Mapping[Key, str]]


@dataclass(frozen=True, slots=True)
class Change:
    """What changed in one table since the last write. `proof` None: it is not kept any more. `wiped`: no dirty key of before counts."""

    proof: Proof | None
    wiped: bool = False
    dirty: Mapping[Key, bool] = field(default_factory=dict)
    """True: changed and not proven since; False: proven."""
    differing: Mapping[Key, str] | None = None
    """All of them; None where they are as they were."""


_SCHEMA = f"""
PRAGMA application_id = {MAGIC};
PRAGMA user_version = {FORMAT};
CREATE TABLE tap (side TEXT PRIMARY KEY, name TEXT, database TEXT, publications TEXT, at TEXT, unseen TEXT);
CREATE TABLE member (side TEXT, schema TEXT, name TEXT, oid INT, mark TEXT, node INT, inserts INT, columns TEXT,
                     PRIMARY KEY (side, schema, name)) WITHOUT ROWID;
CREATE TABLE proof (id INTEGER PRIMARY KEY, schema TEXT, name TEXT, fingerprint TEXT, proven INT, proven_at REAL, blue INT, green INT,
                    low TEXT, read_blue INT, read_green INT, more INT, differs TEXT);
CREATE TABLE dirty (id INT, key TEXT, PRIMARY KEY (id, key)) WITHOUT ROWID;
CREATE TABLE differing (id INT, key TEXT, how TEXT, PRIMARY KEY (id, key)) WITHOUT ROWID;
"""
_TABLES = ("tap", "member", "proof", "dirty", "differing")


class Store:
    """The file at `path`, which one process owns at a time. Every call but the first is for the owner."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proof")
        self._db: sqlite3.Connection | None = None
        self._ids: dict[Name, int] = {}
        self._members: dict[Side, Mapping[Name, Member]] = {}

    async def open(self) -> Kept | None:
        """What an earlier process left, None where none did; the file is this process's. `Unusable` where another process has it, where it
        cannot be written, or where it cannot be read: then it is set aside, and the next call finds none."""
        return await self._do(self._open)

    async def write(self, positions: Mapping[Side, Position], changes: Mapping[Name, Change], *, anew: bool = False) -> None:
        """All of it is in the file, with `anew` instead of what was there; or, with `Unusable`, nothing of it."""
        await self._do(lambda: self._write(positions, changes, anew))

    async def close(self, *, remove: bool = False) -> None:
        """The file is nobody's; with `remove` it is gone, so that nothing can be taken up from it. Never raises."""
        with contextlib.suppress(Unusable):
            await self._do(lambda: self._close(remove))
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as err:
            raise Unusable(getattr(err, "strerror", None) or str(err) or type(err).__name__) from err

    # --- in the thread -------------------------------------------------------------------

    def _open(self) -> Kept | None:
        self._take()
        if not self.path.exists():
            return None
        try:
            self._connect()
            kept = _load(self._connection)
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as err:
            if isinstance(err, sqlite3.OperationalError) and err.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:
                raise  # the disk's refusal says nothing about what is in the file
            self._set_aside()
            raise Unusable(f"set aside as {self.path.name}.aside: {err}") from err
        if kept is None:
            self._disconnect()
        return kept

    def _take(self) -> None:
        """Beside the file: SQLite's own locks on it end when any descriptor of it is closed (fcntl(2))."""
        if self._lock >= 0:
            return
        lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            os.close(lock)
            raise Unusable("another process keeps its proof there") from err
        self._lock = lock

    def _connect(self) -> None:
        """Made before SQLite sees it, and its log takes the same mode."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise Unusable("the file is not open")
        return self._db

    def _renew(self) -> None:
        """An empty file, in place of whatever is there."""
        self._unlink()
        self._connect()
        self._connection.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        self._ids, self._members = {}, {}

    def _write(self, positions: Mapping[Side, Position], changes: Mapping[Name, Change], anew: bool) -> None:
        if self._db is None:
            self._renew()
        db = self._connection
        db.execute("BEGIN IMMEDIATE")
        try:
            if anew:
                self._ids, self._members = {}, {}
                for table in _TABLES:
                    db.execute(f"DELETE FROM {table}")  # noqa: S608 (names of ours)
            for side, position in positions.items():
                self._write_tap(side, position)
            for name, change in changes.items():
                self._write_table(self._ids.setdefault(name, len(self._ids) + 1), name, change)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            self._members = {}
            raise

    def _write_tap(self, side: Side, position: Position) -> None:
        unseen = json.dumps([_of_batch(batch) for batch in position.unseen])
        row = (str(side), position.name, position.database, position.publications, position.at, unseen)
        self._connection.execute("INSERT OR REPLACE INTO tap VALUES (?, ?, ?, ?, ?, ?)", row)
        if self._members.get(side) is position.members:
            return
        self._connection.execute("DELETE FROM member WHERE side = ?", (str(side),))
        members = [
            (str(side), *name, m.oid, m.mark, m.node, m.inserts, None if m.columns is None else json.dumps(m.columns))
            for name, m in position.members.items()
        ]
        self._connection.executemany("INSERT INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?)", members)
        self._members[side] = position.members

    def _write_table(self, number: int, name: Name, change: Change) -> None:
        db, proof = self._connection, change.proof
        if change.wiped or proof is None:
            db.execute("DELETE FROM dirty WHERE id = ?", (number,))
        if change.differing is not None or proof is None:
            db.execute("DELETE FROM differing WHERE id = ?", (number,))
        if proof is None:
            db.execute("DELETE FROM proof WHERE id = ?", (number,))
            return
        blue, green = proof.rows or (None, None)
        low = None if proof.low is None else json.dumps(proof.low)
        row = (number, *name, proof.fingerprint, proof.proven, proof.proven_at, blue, green, low, *proof.read, proof.more, proof.differs)
        db.execute(f"INSERT OR REPLACE INTO proof VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 (question marks alone)
        # One by one: lists of a hundred thousand would keep the event loop's thread from running while they are built.
        db.executemany(
            "INSERT OR IGNORE INTO dirty VALUES (?, ?)", ((number, json.dumps(k)) for k, is_dirty in change.dirty.items() if is_dirty)
        )
        proven = ((number, json.dumps(k)) for k, is_dirty in change.dirty.items() if not is_dirty)
        db.executemany("DELETE FROM dirty WHERE id = ? AND key = ?", proven)
        confirmed = ((number, json.dumps(k), how) for k, how in (change.differing or {}).items())
        db.executemany("INSERT INTO differing VALUES (?, ?, ?)", confirmed)

    def _close(self, remove: bool) -> None:
        try:
            self._disconnect()
            if remove and self._lock >= 0:
                self._unlink()
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _unlink(self) -> None:
        for each in self._files():
            each.unlink(missing_ok=True)

    def _set_aside(self) -> None:
        """Under another name, for whoever wants to know what became of it; the one before it is replaced."""
        with contextlib.suppress(sqlite3.Error):
            self._disconnect()
        for each in self._files():
            if each.exists():
                os.replace(each, each.with_name(each.name.replace(self.path.name, f"{self.path.name}.aside", 1)))

    def _files(self) -> Iterable[Path]:
        return (self.path.with_name(self.path.name + end) for end in ("", "-wal", "-shm"))


def forget(path: Path) -> None:
    """Nothing can be taken up from `path` any more, unless a process keeps its proof there now. Never raises."""
    if path.exists():
        store = Store(path)
        with contextlib.suppress(Unusable, OSError):
            store._take()
            store._close(remove=True)


def _load(db: sqlite3.Connection) -> Kept | None:
    """`ValueError` and its like where it is not as this format is written; None where nothing was ever written."""
    (magic,), (version,) = (db.execute(f"PRAGMA {pragma}").fetchone() for pragma in ("application_id", "user_version"))
    if magic == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None
    if magic != MAGIC:
        raise ValueError("it is not a file of the cockpit's")
    if version != FORMAT:
        raise ValueError(f"it is of format {version}, not {FORMAT}")
    checked = db.execute("PRAGMA quick_check").fetchone()
    if checked != ("ok",):
        raise ValueError(f"it is damaged: {checked[0]}")
    members: dict[Side, dict[Name, Member]] = {side: {} for side in Side}
    for side, schema, name, oid, mark, node, inserts, columns in db.execute("SELECT * FROM member"):
        listed = None if columns is None else _key(columns)
        members[Side(side)][schema, name] = Member(int(oid), str(mark), int(node), bool(inserts), listed)
    positions = {
        Side(side): Position(name, database, publications, at, tuple(_to_batch(b) for b in json.loads(unseen)), members[Side(side)])
        for side, name, database, publications, at, unseen in db.execute("SELECT * FROM tap")
    }
    if not positions:
        return None
    names: dict[int, Name] = {}
    proofs: dict[Name, Proof] = {}
    for number, schema, name, *row in db.execute("SELECT * FROM proof"):
        names[number] = (schema, name)
        proofs[schema, name] = _to_proof(row)
    dirty: dict[Name, list[Key]] = {}
    for number, key in db.execute("SELECT * FROM dirty"):
        dirty.setdefault(names[number], []).append(_key(key))
    differing: dict[Name, dict[Key, str]] = {}
    for number, key, how in db.execute("SELECT * FROM differing"):
        differing.setdefault(names[number], {})[_key(key)] = str(how)
    return Kept(positions, proofs, {name: tuple(keys) for name, keys in dirty.items()}, differing)


def _to_proof(row: list[Any]) -> Proof:
    fingerprint, proven, proven_at, blue, green, low, read_blue, read_green, more, differs = row
    rows = None if blue is None else (int(blue), int(green))
    wall = None if proven_at is None else float(proven_at)
    reached = None if low is None else _key(low)
    return Proof(str(fingerprint), bool(proven), wall, rows, reached, (int(read_blue), int(read_green)), bool(more), str(differs))


def _key(text: str) -> Key:
    key = json.loads(text)
    if not isinstance(key, list) or not all(isinstance(value, str) for value in key):
        raise ValueError("a key is not a list of texts")
    return tuple(key)


def _of_batch(batch: Batch) -> dict[str, Any]:
    return {
        "keys": [[*name, [list(key) for key in keys]] for name, keys in batch.keys.items()],
        "whole": sorted(batch.whole),
        "unkeyed": [[*name, sorted(counts.items())] for name, counts in batch.unkeyed.items()],
        "xids": sorted(batch.xids),
        "reshaped": sorted(batch.reshaped),
    }


def _to_batch(data: dict[str, Any]) -> Batch:
    return Batch(
        keys={(schema, name): {tuple(key): None for key in keys} for schema, name, keys in data["keys"]},
        whole={(schema, name) for schema, name in data["whole"]},
        unkeyed={(schema, name): {int(xid): count for xid, count in counts} for schema, name, counts in data["unkeyed"]},
        xids={int(xid) for xid in data["xids"]},
        reshaped={(schema, name) for schema, name in data["reshaped"]},
    )
