"""Which columns of a row that is confirmed to differ, and what either side has in them.

Columns are compared by the hash of the same exact expression that the row's hash is made of; what is shown is the value as text, cut to
`SHOWN` characters, or nothing where the config calls the column sensitive. Values that are shown alike carry their hash in brackets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cockpit.model.telemetry import ColumnDifference, RowDifference
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.statements import columns_of, matching
from cockpit.reconcile.tap import Key

SHOWN = 200
MOST_ROWS = 20
"""Rows of a table whose columns are told."""

Sensitive = Callable[[str], bool]
"""Whether `schema.table.column` may not be shown."""


def never(column: str) -> bool:
    """Nothing is sensitive."""
    return False


@dataclass(frozen=True, slots=True)
class Seen:
    """One row on one side: by column, the hash of its exact form and its text."""

    hashes: Sequence[int]
    texts: Sequence[str | None]


def query(table: Table) -> str:
    """For every given key that has a row: its place in the arrays (from 1), and by column the hash and the text."""
    hashes = ", ".join(f"pg_catalog.hash_record_extended(ROW({c.sql}), 1)" for c in table.columns)
    texts = ", ".join(f"pg_catalog.left({c.text}, {SHOWN + 1})" for c in table.columns)
    rows = f"SELECT ARRAY[{hashes}]::pg_catalog.int8[] AS h, ARRAY[{texts}]::pg_catalog.text[] AS v"
    return f"SELECT u.n AS n, x.h AS h, x.v AS v FROM {matching(table, 1, rows)}"  # noqa: S608 (identifiers are quoted, keys are parameters)


async def read_differences(
    lines: Mapping[Side, Line], table: Table, differing: Mapping[Key, str], sensitive: Sensitive
) -> tuple[RowDifference, ...]:
    """The first `MOST_ROWS` of the differing rows, each with the columns that differ now; a row that is equal by now has none."""
    keys = list(differing)[:MOST_ROWS]
    if not keys or not table.columns:
        return ()
    blue, green = await asyncio.gather(*(_read(lines[side], table, keys) for side in Side))
    return tuple(
        RowDifference(shown_key(table, key, sensitive), differing[key], _columns(table, blue.get(key), green.get(key), sensitive))
        for key in keys
    )


async def _read(line: Line, table: Table, keys: Sequence[Key]) -> dict[Key, Seen]:
    rows = await line.fetch(query(table), *columns_of(keys, len(table.key)))
    return {keys[row["n"] - 1]: Seen(row["h"], row["v"]) for row in rows}


def shown_key(table: Table, key: Key, sensitive: Sensitive) -> str:
    """`id=7, day=2026-01-01`; a sensitive key column is not told either."""
    named = zip(table.key_names(), key, strict=True)
    parts = (f"{n}={'•••' if sensitive(f'{table.shown}.{n}') else plain(v, 60)}" for n, v in named)
    return plain(", ".join(parts), 300)


def _columns(table: Table, blue: Seen | None, green: Seen | None, sensitive: Sensitive) -> tuple[ColumnDifference, ...]:
    if blue is None or green is None:
        return ()
    unlike = [i for i, pair in enumerate(zip(blue.hashes, green.hashes, strict=True)) if pair[0] != pair[1]]
    return tuple(_column(table, i, blue, green, sensitive) for i in unlike)


def _column(table: Table, i: int, blue: Seen, green: Seen, sensitive: Sensitive) -> ColumnDifference:
    name = table.columns[i].name
    if sensitive(f"{table.shown}.{name}"):
        return ColumnDifference(plain(name, 80), None, None, masked=True)
    one, other = _cut(blue.texts[i]), _cut(green.texts[i])
    if one == other and one is not None:
        # What differs is behind the cut, or is shown alike, as a line's end and a written-out \\n are.
        one, other = (f"{one} [{seen.hashes[i] % 2**64:016x}]" for seen in (blue, green))
    return ColumnDifference(plain(name, 80), one, other)


def _cut(text: str | None) -> str | None:
    return None if text is None else plain(text, SHOWN)
