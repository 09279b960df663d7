"""Key ranges that are read as stretches of the heap, where a table's rows lie in the order of their keys: loaded at once, copied, clustered.

An index scan asks of one row after the other whom it is visible to, and costs a quarter more than the whole table in one scan; a TID Range
Scan (14 and later) asks a page at a time. What makes it exact: stretch follows stretch from the first block to the last, so every row that
stays as it is lies in one of them, and each statement counts its strays: rows that are not of the range. Few are proven by their keys; where
there are many, or soon, or the heap is in another file (VACUUM FULL, CLUSTER), the table is read anew by its keys. A row that is updated
meanwhile moves, and may be passed over: a table whose updates are seen to count on is read anew too ("The Cumulative Statistics System": some
seconds late). So this is for who looks once, and claims nothing of what changes while it looks.
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
"""Least correlation ("pg_stats") of the key with the rows' places."""
ALL = 2**63
"""Strays where any row may be one."""
WIDE = 4
"""Times the blocks that a range's rows take, at which a stretch ends in any case: the row that follows the range may have been moved far away."""

OPENING = """
SELECT pg_relation_filenode(c.oid)::text AS file, pg_stat_get_tuples_updated(c.oid) AS updates
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam
JOIN pg_stats s ON (s.schemaname, s.tablename, s.attname) = (n.nspname, c.relname, $2::text) AND NOT s.inherited
WHERE c.oid = $1::text::regclass AND m.amname = 'heap' AND s.correlation >= $3::text::float4
AND current_setting('server_version_num')::int >= 140000
"""

Bounds = tuple[Key | None, Key | None]


@dataclass(frozen=True, slots=True)
class Tile:
    """How far one side's heap was read: everything before `at`, of this file, after so many updates of the table."""

    at: str
    file: str
    updates: int


async def opened(line: Line, table: Table) -> Tile | None:
    """The start of the heap; None where the table is not to be read like that. Of several columns the first one's order tells too little."""
    if len(table.key) > 1:
        return None
    rows = await line.fetch(OPENING, table.sql, table.key[0].name, str(IN_ORDER))
    return Tile("(0,0)", str(rows[0]["file"]), int(rows[0]["updates"])) if rows and rows[0]["file"] else None


def ask(table: Table, bounds: Bounds, tile: Tile, rows: int) -> tuple[str, tuple[str | int, ...]]:
    """The statement that reads the next stretch, up to the high bound, and its parameters; `rows` is what the range may hold."""
    low, high = bounds
    blocks = int(table.size / 8192 / max(table.estimate, 1) * rows * WIDE) + 1
    end = min(_block(tile.at) + blocks, _block(statements.LAST))
    return statements.tiled(table, low is not None, high is not None), (*(low or ()), *(high or ()), tile.at, table.sql, end)


def _block(place: str) -> int:
    return int(place[1:].partition(",")[0])


def moved(tiles: Mapping[Side, Tile], answers: Mapping[Side, Row], *, last: bool) -> tuple[dict[Side, Tile], dict[Side, int]]:
    """How far each side is read after these answers, and the strays of those that had any. The `last` range ends where the heap does."""
    on = {side: Tile(str(answers[side]["next"]), str(answers[side]["file"]), int(answers[side]["updates"])) for side in tiles}
    strays = {}
    for side, tile in tiles.items():
        sound = (on[side].file, on[side].updates) == (tile.file, tile.updates) and (not last or on[side].at == statements.LAST)
        if count := int(answers[side]["strays"]) if sound else ALL:
            strays[side] = count
    return on, strays


async def parted(line: Line, table: Table, bounds: Bounds, places: tuple[Tile, Tile], limit: int) -> tuple[int, str, list[Key]] | None:
    """Of a stretch: count and sum of the rows inside the bounds, and the keys of the strays; None where these are more than `limit`, or the
    heap is in another file by now."""
    low, high = bounds
    which, parameters = (low is not None, high is not None), (*(low or ()), *(high or ()), *(tile.at for tile in places))
    strays = await line.fetch(statements.tile_strays(table, *which, limit + 1), *parameters)
    (row,) = await line.fetch(statements.tile_inside(table, *which), *parameters, table.sql)
    if len(strays) > limit or str(row["file"]) != places[1].file:
        return None
    return int(row["n"]), str(row["h"]), [tuple(str(stray[f"k{i}"]) for i in range(len(table.key))) for stray in strays]
