"""The bytes of the output plugin `pgoutput`: "Logical Replication Message Formats" in the PostgreSQL manual, protocol version 1, without
streaming. Outside bytes: whatever does not fit raises `Garbled`, or one of `UNFIT` where a field is short.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

UNFIT = (struct.error, IndexError, UnicodeDecodeError, ValueError)
"""What a `Reader` raises beside `Garbled`; `ValueError` is what a text without its end raises."""
_KEY = 1
_UNSENT = b"u"
_EARLY = "a pgoutput message ends early"
_ROWS = {b"I": (b"N",), b"U": (b"N", b"KN", b"ON"), b"D": (b"K", b"O")}
"""The rows of each kind of change: N the new one, O the old one, K the old one's key."""
_TEXTS, _NONES = b"tb", b"nu"
_HEAD = struct.Struct(">I")
_COUNT = struct.Struct(">H")


class Garbled(Exception):
    """The bytes are not what `pgoutput` writes."""


@dataclass(frozen=True, slots=True)
class Described:
    """A table as the stream describes it."""

    oid: int
    name: tuple[str, str]
    """Schema and table."""
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """The columns of its replica identity."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One column's value; None for NULL, and where it did not change and was too large to be sent."""

    value: str | None
    sent: bool


Row = list[str | None]
"""Column values as text; None for null and for a large value that did not change."""


def changed(data: bytes) -> tuple[int, list[Row]]:
    """Of an insert, update or delete: the table, and the rows it names. In one pass and without an object for each value: a window may have
    hundreds of thousands of these to read."""
    (oid,), at, end = _HEAD.unpack_from(data, 1), 5, len(data)
    rows: list[Row] = []
    kinds = b""
    while at < end:
        kinds += data[at : at + 1]
        (count,), at, row = _COUNT.unpack_from(data, at + 1), at + 3, Row()
        for _ in range(count):
            kind = data[at]
            if kind in _TEXTS:
                begin = at + 5
                at = begin + _HEAD.unpack_from(data, at + 1)[0]
                row.append(data[begin:at].decode())
            elif kind in _NONES:
                row.append(None)
                at += 1
            else:
                raise Garbled(f"unknown kind of column value {data[at : at + 1]!r}")
        if at > end:
            raise Garbled(_EARLY)
        rows.append(row)
    if kinds not in _ROWS[data[:1]]:
        raise Garbled(f"a change of table {oid} without its row")
    return oid, rows


class Reader:
    """A position in one message, behind its type byte."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 1

    @property
    def ended(self) -> bool:
        return self._at >= len(self._data)

    def unpack(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def byte(self) -> bytes:
        return self.take(1)

    def take(self, size: int) -> bytes:
        chunk = self._data[self._at : self._at + size]
        if len(chunk) != size:
            raise Garbled(_EARLY)
        self._at += size
        return chunk

    def text(self) -> str:
        end = self._data.index(b"\0", self._at)
        value = self._data[self._at : end].decode()
        self._at = end + 1
        return value

    def cells(self) -> list[Cell]:
        """Column values as text, each with its kind."""
        (count,) = self.unpack(">H")
        return [self._cell() for _ in range(count)]

    def _cell(self) -> Cell:
        kind = self.byte()
        if kind in (b"n", _UNSENT):
            return Cell(None, sent=kind != _UNSENT)
        if kind not in (b"t", b"b"):
            raise Garbled(f"unknown kind of column value {kind!r}")
        (size,) = self.unpack(">I")
        return Cell(self.take(size).decode(), sent=True)

    def relation(self) -> Described:
        (oid,) = self.unpack(">I")
        name = (self.text() or "pg_catalog", self.text())
        _, count = self.unpack(">BH")
        columns, key = [], []
        for _ in range(count):
            (flags,) = self.unpack(">B")
            columns.append(self.text())
            self.unpack(">Ii")
            if flags & _KEY:
                key.append(columns[-1])
        return Described(oid, name, tuple(columns), tuple(key))
