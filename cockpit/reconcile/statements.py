"""The comparing statements, as text. Identifiers are quoted, values are parameters; keys travel as arrays of text, one per key column."""

# ruff: noqa: S608 - identifiers are quoted by `rows.quoted`, every value is a parameter
from __future__ import annotations

from collections.abc import Sequence

from cockpit.reconcile.catalog import Table
from cockpit.reconcile.rows import quoted

BUCKETS = 1024
MOST_BUCKET_ROWS = 100_000
LAST = "(4294967295,65535)"
"""Behind every row of a heap."""
PLACED = " WHERE r.ctid >= $1::pg_catalog.text::tid AND r.ctid < $2::pg_catalog.text::tid"
"""The rows of a stretch of the heap, as a condition."""


def _sum(hash_sql: str) -> str:
    return f"count(*) AS n, coalesce(sum({hash_sql}), 0)::pg_catalog.text AS h"


def whole(table: Table) -> str:
    """Count and sum of the whole table."""
    return f"SELECT {_sum(table.hash_sql)} FROM ONLY {table.sql} r"


def allowed(table: Table) -> str:
    """No row, or the error with which the server refuses to compare the table."""
    return f"SELECT {table.hash_sql} FROM ONLY {table.sql} r LIMIT 0"


def ranged(table: Table, low: bool, high: bool, most: int = 0) -> str:
    """Count and sum of the rows behind the low bound, up to and with the high one; parameters are the bounds that there are.

    With `most`, of so many rows at most, and where there are two bounds, whether they are `ascending` in the order of this server."""
    if not most:
        return f"SELECT {_sum(table.hash_sql)} FROM ONLY {table.sql} r{between(table, low, high)}"
    source = f"(SELECT r.* FROM ONLY {table.sql} r{between(table, low, high)} LIMIT {most}) r"
    return f"SELECT {_sum(table.hash_sql)}, {_ascending(table) if low and high else 'true'} AS ascending FROM {source}"


def _ascending(table: Table) -> str:
    def bound(first: int) -> str:
        sorts = (f" COLLATE {c.collation}" if c.collation else "" for c in table.key)
        return ", ".join(
            f"(${first + i}::pg_catalog.text::{c.type_sql}){by}" for i, (c, by) in enumerate(zip(table.key, sorts, strict=True))
        )

    return f"({bound(1)}) < ({bound(1 + len(table.key))})"


def between(table: Table, low: bool, high: bool) -> str:
    conditions = []
    columns = ", ".join(f"r.{quoted(c.name)}" for c in table.key)
    if low:
        conditions.append(f"({columns}) > ({_bound(table, 1)})")
    if high:
        conditions.append(f"({columns}) <= ({_bound(table, 1 + len(table.key) * low)})")
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _bound(table: Table, first: int) -> str:
    return ", ".join(f"${first + i}::pg_catalog.text::{c.type_sql}" for i, c in enumerate(table.key))


def tiled(table: Table, low: bool, high: bool) -> str:
    """Count and sum of the rows that lie in the heap from a place on, up to the row that follows the high bound in the order of the key.

    Parameters are the bounds that there are, the place, the table's name, and the block before which it ends in any case. Columns: `n`, `h`,
    `strays` (how many of these rows are outside the bounds), `next` (the place it was read up to), and of the table `file` and `updates`."""
    place = 1 + len(table.key) * (low + high)
    name = f"${place + 1}::pg_catalog.text::pg_catalog.regclass"
    most = f"${place + 2}::pg_catalog.int8"
    long = f"{most} * pg_catalog.current_setting('block_size')::pg_catalog.int8 < pg_catalog.pg_relation_size({name})"
    # A query of its own, so that it is asked once: a function that may answer anew each time bounds no scan.
    capped = f"(SELECT CASE WHEN {long} THEN ('(' || {most} || ',0)')::tid ELSE '{LAST}'::tid END)"
    end = f"least(({_follower(table, low)}), {capped})" if high else capped
    return (
        f"SELECT {_sum(table.hash_sql)}, count(*) FILTER (WHERE NOT ({_inside(table, low, high)})) AS strays,"
        f" greatest({end}, ${place}::pg_catalog.text::tid)::pg_catalog.text AS next,"
        f" pg_catalog.pg_relation_filenode({name})::pg_catalog.text AS file, pg_catalog.pg_stat_get_tuples_updated({name}) AS updates"
        f" FROM ONLY {table.sql} r WHERE r.ctid >= ${place}::pg_catalog.text::tid AND r.ctid < {end}"
    )


def tile_strays(table: Table, low: bool, high: bool, limit: int) -> str:
    """The keys of the rows between two places in the heap that are outside the bounds; parameters are the bounds, then the places."""
    shown = ", ".join(f"r.{quoted(c.name)}::pg_catalog.text AS k{i}" for i, c in enumerate(table.key))
    return f"SELECT {shown} FROM ONLY {table.sql} r WHERE NOT ({_inside(table, low, high)}) AND {_placed(table, low, high)} LIMIT {limit}"


def tile_inside(table: Table, low: bool, high: bool) -> str:
    """Count and sum of the others there, and the heap's `file`; parameters are the bounds, the places, then the table's name."""
    name = f"${3 + len(table.key) * (low + high)}::pg_catalog.text::pg_catalog.regclass"
    return (
        f"SELECT {_sum(table.hash_sql)}, pg_catalog.pg_relation_filenode({name})::pg_catalog.text AS file"
        f" FROM ONLY {table.sql} r WHERE {_inside(table, low, high)} AND {_placed(table, low, high)}"
    )


def _inside(table: Table, low: bool, high: bool) -> str:
    return between(table, low, high).removeprefix(" WHERE ") or "true"


def _placed(table: Table, low: bool, high: bool) -> str:
    first = 1 + len(table.key) * (low + high)
    return f"r.ctid >= ${first}::pg_catalog.text::tid AND r.ctid < ${first + 1}::pg_catalog.text::tid"


def _follower(table: Table, low: bool) -> str:
    """Where the first row behind the high bound lies."""
    columns = ", ".join(f"b.{quoted(c.name)}" for c in table.key)
    high = _bound(table, 1 + len(table.key) * low)
    return f"SELECT b.ctid FROM ONLY {table.sql} b WHERE ({columns}) > ({high}) ORDER BY {columns} LIMIT 1"


def boundary(table: Table, low: bool, rows: int, high: bool = False) -> str:
    """The key that ends a range of `rows` rows behind the low bound; no row where fewer are left, up to the high one."""
    columns = ", ".join(f"r.{quoted(c.name)}" for c in table.key)
    shown = ", ".join(f"r.{quoted(c.name)}::pg_catalog.text AS k{i}" for i, c in enumerate(table.key))
    return f"SELECT {shown} FROM ONLY {table.sql} r{between(table, low, high)} ORDER BY {columns} OFFSET {rows - 1} LIMIT 1"


def blocks(table: Table) -> str:
    """Count and sum of a stretch of blocks; only sums of one snapshot add up ("System Columns": ctid)."""
    return f"SELECT {_sum(table.hash_sql)} FROM ONLY {table.sql} r{PLACED}"


def buckets(table: Table, condition: str, parameter: int = 0) -> str:
    """Count and sum of each of `BUCKETS` buckets by the key's hash, inside `condition`; takes no parameter but those of that."""
    bucket = f"({table.key_hash_sql} & {BUCKETS - 1})"
    return f"SELECT {bucket} AS b, {_sum(table.hash_sql)} FROM ONLY {table.sql} r{condition} GROUP BY 1"


def bucket_rows(table: Table, condition: str, parameter: int, limit: int = MOST_BUCKET_ROWS) -> str:
    """Key and hash of the rows in the buckets of parameter `parameter`, of so many rows at most."""
    shown = ", ".join(f"r.{quoted(c.name)}::pg_catalog.text AS k{i}" for i, c in enumerate(table.key))
    glue = " AND" if condition else " WHERE"
    chosen = f"({table.key_hash_sql} & {BUCKETS - 1}) = ANY (${parameter}::pg_catalog.int8[])"
    return f"SELECT {shown}, {table.hash_sql} AS h FROM ONLY {table.sql} r{condition}{glue} {chosen} LIMIT {limit}"


def _keyed(table: Table, first: int) -> tuple[str, str]:
    """The rows of the keys in the array parameters from `first` on: FROM clause and the name of each row's hash.

    The subquery with OFFSET 0 stays one index lookup for each key, whatever the planner thinks of the arrays' length."""
    return matching(table, first, f"SELECT {table.hash_sql} AS h"), "x.h"


def matching(table: Table, first: int, select: str) -> str:
    """A FROM clause: `select` of the row of each key in the array parameters from `first` on, as `x`; `u.n` is the key's place, from 1."""
    arrays = ", ".join(f"${first + i}::pg_catalog.text[]" for i in range(len(table.key)))
    names = ", ".join(f"k{i}" for i in range(len(table.key)))
    match = " AND ".join(f"r.{quoted(c.name)} {c.equals} u.k{i}::{c.type_sql}" for i, c in enumerate(table.key))
    rows = f"{select} FROM ONLY {table.sql} r WHERE {match} OFFSET 0"
    return f"ROWS FROM (unnest({arrays})) WITH ORDINALITY AS u({names}, n) CROSS JOIN LATERAL ({rows}) x"


def bundle(tables: Sequence[Table]) -> str:
    """One row for each table, in order: count and sum of the rows with the given keys."""
    parts, first = [], 1
    for number, table in enumerate(tables):
        source, value = _keyed(table, first)
        parts.append(f"SELECT {number} AS t, {_sum(value)} FROM {source}")
        first += len(table.key)
    return " UNION ALL ".join(parts)


def keyed_rows(table: Table) -> str:
    """For every given key that has a row: its place in the arrays (from 1) and the row's hash."""
    source, value = _keyed(table, 1)
    return f"SELECT u.n AS n, {value} AS h FROM {source}"


def keyed_names(table: Table) -> str:
    """For every given key that has a row: its place in the arrays (from 1) and the key as the row has it."""
    shown = ", ".join(f"r.{quoted(c.name)}::pg_catalog.text AS k{i}" for i, c in enumerate(table.key))
    found = ", ".join(f"x.k{i} AS k{i}" for i in range(len(table.key)))
    return f"SELECT u.n AS n, {found} FROM {matching(table, 1, f'SELECT {shown}')}"


def columns_of(keys: Sequence[tuple[str, ...]], width: int) -> list[list[str]]:
    """Keys as one array for each key column."""
    return [[key[i] for key in keys] for i in range(width)]
