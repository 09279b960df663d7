"""What changed: the messages of the output plugin `pgoutput`, read into dirty keys.

Only what names a row is kept: the values of the key's columns, as text. A table without a usable key, and a TRUNCATE, dirty the table as a whole.
Outside bytes: whatever does not fit the format raises `Garbled` and never dirties less than it should.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cockpit.systems.postgres.pgoutput import UNFIT, Garbled, Reader, Row, changed

Name = tuple[str, str]
"""Schema and table."""

Key = tuple[str, ...]
"""A key's values as text, in the key's column order."""

FENCE = "cockpit_fence"
"""Prefix of the logical message that marks a position in the stream."""


@dataclass(slots=True)
class Batch:
    """What a stretch of the stream dirtied."""

    keys: dict[Name, dict[Key, None]] = field(default_factory=dict)
    whole: set[Name] = field(default_factory=set)
    unkeyed: dict[Name, dict[int, int | None]] = field(default_factory=dict)
    """For tables without a key: by transaction, how many rows it inserted; None where it did anything else."""
    xids: set[int] = field(default_factory=set)
    """Transactions (32 bit) whose changes these are: a read proves something only if they were visible to it."""
    places: dict[int, int] = field(default_factory=dict)
    """Of the transactions in `unkeyed`: where in the log each committed. Not kept in a file."""
    fences: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)
    """Where in the log the transaction of each of `fences` committed."""
    reshaped: set[Name] = field(default_factory=set)
    """Tables whose columns are not what they were: their expressions have to be made anew."""
    changes: int = 0
    end_lsn: int = 0

    def absorb(self, other: Batch) -> None:
        """What the other batch dirtied is in this one too."""
        for name, keys in other.keys.items():
            self.keys.setdefault(name, {}).update(keys)
        for name, counts in other.unkeyed.items():
            self.unkeyed.setdefault(name, {}).update(counts)
        self.places.update(other.places)
        self.marks.update(other.marks)
        self.whole |= other.whole
        self.reshaped |= other.reshaped

    def __bool__(self) -> bool:
        return bool(self.keys or self.whole)


@dataclass(frozen=True, slots=True)
class Relation:
    name: Name
    columns: tuple[str, ...]
    positions: tuple[int, ...] | None
    """Where the key's columns stand in a tuple; None where the table has no key the stream shows."""


class Decoder:
    """Reads messages one after the other; `keys` gives each table's key columns, () where it has none."""

    def __init__(self, keys: Mapping[Name, tuple[str, ...]]) -> None:
        self.keys = keys
        self._relations: dict[int, Relation] = {}
        self._shapes: dict[Name, tuple[str, ...]] = {}
        self._batch = Batch()
        self._xid = 0
        self._place = 0

    def feed(self, message: bytes) -> None:
        """The message is in the batch. `Garbled` when it is not one."""
        try:
            self._feed(message)
        except UNFIT as err:
            raise Garbled(f"a pgoutput message of {len(message)} bytes cannot be read") from err

    def saw(self, fence: str) -> bool:
        """Whether the mark is in the batch."""
        return fence in self._batch.fences

    def take(self) -> Batch:
        """Everything since the last `take`."""
        batch, self._batch = self._batch, Batch()
        return batch

    def _feed(self, message: bytes) -> None:
        kind, reader = message[:1], Reader(message)
        match kind:
            case b"U" | b"D":
                self._update_or_delete(message)
            case b"I":
                self._insert(message)
            case b"B":
                self._place, _, self._xid = reader.unpack(">qqI")
                self._batch.xids.add(self._xid)
            case b"C":
                self._batch.end_lsn = max(self._batch.end_lsn, reader.unpack(">Bqqq")[2])
            case b"R":
                self._relation(reader)
            case b"T":
                self._truncate(reader)
            case b"M":
                self._message(reader)
            case b"O" | b"Y":
                pass
            case _:
                raise Garbled(f"unknown pgoutput message {kind!r}")

    def _relation(self, reader: Reader) -> None:
        seen = reader.relation()
        name, columns = seen.name, seen.columns
        key = self.keys.get(name, ())
        positions = tuple(columns.index(c) for c in key) if key and set(key) <= set(columns) else None
        if self._shapes.setdefault(name, columns) != columns:
            self._shapes[name] = columns
            self._batch.reshaped.add(name)
        self._relations[seen.oid] = Relation(name, columns, positions)

    def _insert(self, message: bytes) -> None:
        relation, rows = self._changed(message)
        self._dirty(relation, rows)
        if relation.positions is None:
            before = self._batch.unkeyed.get(relation.name, {}).get(self._xid, 0)
            self._unkeyed(relation.name, None if before is None else before + 1)

    def _update_or_delete(self, message: bytes) -> None:
        """Old key and new key: an update that moves a row to another key dirties both."""
        relation, rows = self._changed(message)
        self._dirty(relation, rows)
        if relation.positions is None:
            self._unkeyed(relation.name, None)

    def _unkeyed(self, name: Name, rows: int | None) -> None:
        self._batch.unkeyed.setdefault(name, {})[self._xid] = rows
        self._batch.places[self._xid] = self._place

    def _changed(self, message: bytes) -> tuple[Relation, list[Row]]:
        oid, rows = changed(message)
        relation = self._relations.get(oid)
        if relation is None:
            raise Garbled(f"a change of table {oid} before its description")
        self._batch.changes += 1
        return relation, rows

    def _dirty(self, relation: Relation, rows: list[Row]) -> None:
        positions = relation.positions
        for row in rows:
            key = (None,) if positions is None else tuple([row[p] for p in positions])
            if None in key:
                self._batch.whole.add(relation.name)
            else:
                keys = self._batch.keys.get(relation.name)
                if keys is None:
                    keys = self._batch.keys[relation.name] = {}
                keys[key] = None  # type: ignore[index]  # none of its values is None

    def _truncate(self, reader: Reader) -> None:
        count, _ = reader.unpack(">IB")
        for _ in range(count):
            (oid,) = reader.unpack(">I")
            if oid not in self._relations:
                raise Garbled(f"a truncate of table {oid} before its description")
            name = self._relations[oid].name
            self._batch.whole.add(name)
            self._unkeyed(name, None)

    def _message(self, reader: Reader) -> None:
        reader.unpack(">Bq")
        prefix = reader.text()
        (size,) = reader.unpack(">I")
        if prefix == FENCE:
            mark = reader.take(size).decode()
            self._batch.fences.add(mark)
            self._batch.marks[mark] = self._place


def visible(xids: Collection[int], snapshot: str) -> bool:
    """Whether every one of these transactions (32 bit) is visible in a snapshot `xmin:xmax:running` of 64-bit ids.

    A commit is in the log, and so in the tap, a moment before other sessions see it ("pg_snapshot" in the manual)."""
    return next(hidden(xids, snapshot), None) is None


def hidden(xids: Iterable[int], snapshot: str) -> Iterator[int]:
    """Those of the transactions that are not visible in the snapshot."""
    low, high, running = snapshot.split(":")
    xmin, xmax = int(low), int(high)
    active = {int(x) for x in running.split(",")} if running else set()
    for xid in xids:
        behind = (xmax - xid) & 0xFFFFFFFF
        full = xmax - behind
        if behind == 0 or behind > 0x7FFFFFFF or (full >= xmin and full in active):
            yield xid
