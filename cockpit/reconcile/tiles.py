"""Key ranges that are read as stretches of the heap, where a table's rows lie in the order of their keys: loaded at once, copied, clustered.

An index scan asks of one row after the other whom it is visible to, and costs a quarter more than the whole table in one scan; a TID Range
Scan (14 and later) asks a page at a time. What makes it exact: stretch follows stretch from the first block to the last, so every row that
stays as it is lies in one of them, and each statement counts its strays: rows that are not of the range. Few are proven by their keys; where
there are many, or soon, or the heap is in another file (VACUUM FULL, CLUSTER), the table is read anew by its keys. A row that is updated
meanwhile moves, and may be passed over: this is for who looks once, and claims nothing of what changes while it looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cockpit.model.words import Side
from cockpit.reconcile import statements
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.sessions import Line, Row
from cockpit.reconcile.tap import Key

IN_ORDER = 0.9999
"""Least correlation ("pg_stats") of the key's first column with the rows' places: 50 rows of a million elsewhere make it less."""

ALL = 2**63
"""Strays where the heap is in another file: every row of it may be one."""

OPENING = """
SELECT pg_relation_filenode(c.oid)::text AS file
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam
JOIN pg_stats s ON (s.schemaname, s.tablename, s.attname) = (n.nspname, c.relname, $2::text) AND NOT s.inherited
WHERE c.oid = $1::text::regclass AND m.amname = 'heap' AND s.correlation >= $3::text::float4
AND current_setting('server_version_num')::int >= 140000
"""

Bounds = tuple[Key | None, Key | None]


@dataclass(frozen=True, slots=True)
class Tile:
    """How far one side's heap was read: everything before `at`, of this file."""

    at: str
    file: str


async def opened(line: Line, table: Table) -> Tile | None:
    """The start of the heap, None where the table is not to be read like that."""
    rows = await line.fetch(OPENING, table.sql, table.key[0].name, str(IN_ORDER))
    return Tile("(0,0)", str(rows[0]["file"])) if rows and rows[0]["file"] else None


def ask(table: Table, bounds: Bounds, tile: Tile) -> tuple[str, tuple[str, ...]]:
    """The statement that reads the next stretch, up to the high bound, and its parameters."""
    low, high = bounds
    return statements.tiled(table, low is not None, high is not None), (*(low or ()), *(high or ()), tile.at, table.sql)


def moved(tiles: Mapping[Side, Tile], answers: Mapping[Side, Row]) -> tuple[dict[Side, Tile], dict[Side, int]]:
    """How far each side is read after these answers, and the strays of those that had any."""
    on = {side: Tile(str(answers[side]["next"]), str(answers[side]["file"])) for side in tiles}
    strays = {side: int(answers[side]["strays"]) if on[side].file == tile.file else ALL for side, tile in tiles.items()}
    return on, {side: count for side, count in strays.items() if count}


async def parted(line: Line, table: Table, bounds: Bounds, places: tuple[Tile, Tile], limit: int) -> tuple[int, str, list[Key]]:
    """Of a stretch: count and sum of the rows inside the bounds, and the keys of the others, at most `limit`."""
    low, high = bounds
    which, parameters = (low is not None, high is not None), (*(low or ()), *(high or ()), *(tile.at for tile in places))
    (row,) = await line.fetch(statements.tile_inside(table, *which), *parameters)
    strays = await line.fetch(statements.tile_strays(table, *which, limit), *parameters)
    return int(row["n"]), str(row["h"]), [tuple(str(stray[f"k{i}"]) for i in range(len(table.key))) for stray in strays]
