"""What there is to compare: every relation that stores rows, from both sides' catalogs, with its key, columns and standing.

Partitions are compared leaf by leaf and parents with `ONLY`: every row belongs to exactly one entry. Nothing is left out silently:
what cannot be proven is an entry with its reason. Only the system's schemas, other sessions' temporary tables and the cockpit's own
schema are no entries. Catalog facts: "pg_class", "pg_attribute", "pg_type", "pg_index" in the PostgreSQL manual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cockpit.model.words import Side
from cockpit.reconcile.rows import INTEGERS, Kind, expression, key_hash, quoted, root, row_hash, text_of
from cockpit.reconcile.sessions import Line, Row
from cockpit.reconcile.tap import Name

CONTROL_SCHEMA = "cockpit_control"

SHUT = """
WITH held AS MATERIALIZED (
  SELECT l.relation AS oid FROM pg_locks l WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
), shut AS MATERIALIZED (
  SELECT oid FROM held UNION SELECT i.indrelid FROM pg_index i JOIN held ON held.oid = i.indexrelid
)
"""
"""Begins a query with the relations that are `shut`: nobody can open them now, for they or an index of theirs are locked so, or shall be."""

RELATIONS = f"""{SHUT}
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relpersistence::text AS persistence,
       c.relreplident::text AS identity, greatest(c.reltuples, 0)::int8 AS rows,
       CASE WHEN c.oid IN (SELECT oid FROM shut) OR c.reltoastrelid IN (SELECT oid FROM shut)
         THEN (c.relpages::int8 + coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = c.reltoastrelid), 0))
           * current_setting('block_size')::int8
         ELSE pg_table_size(c.oid) END AS size,
       EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS extension,
       has_schema_privilege(n.oid, 'USAGE') AND (has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
         SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT'))) AS readable,
       row_security_active(c.oid) AS filtered
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'f') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', $1)
"""  # noqa: S608 - made of constants
"""`pg_table_size` opens the table and what is stored beside it: the first that is shut would let all of this wait, and fail. Such a one has
the size that it had when it was last vacuumed or analyzed."""

COLUMNS = """
SELECT a.attrelid::int8 AS oid, a.attname AS name, a.atttypid::int8 AS type, format_type(a.atttypid, a.atttypmod) AS shown,
       CASE WHEN co.collisdeterministic THEN format('%I.%I', cn.nspname, co.collname) ELSE '' END AS collation,
       a.attgenerated <> '' AS generated, a.attidentity = 'a' AS numbered
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', $1)
ORDER BY a.attrelid, a.attname COLLATE "C"
"""

TYPES = """
WITH RECURSIVE used AS (
  SELECT DISTINCT a.atttypid AS oid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END FROM used JOIN pg_type t ON t.oid = used.oid
  WHERE t.typtype = 'd' OR (t.typelem <> 0 AND t.typcategory = 'A')
)
SELECT t.oid::int8 AS oid, n.nspname AS schema, t.typname AS name, t.typtype::text AS typtype,
       CASE WHEN t.typtype <> 'd' AND t.typcategory = 'A' THEN t.typelem ELSE 0 END::int8 AS element, t.typbasetype::int8 AS base
FROM used JOIN pg_type t ON t.oid = used.oid JOIN pg_namespace n ON n.oid = t.typnamespace
"""

KEYS = """
SELECT i.indrelid::int8 AS oid, i.indisprimary AS primary, i.indisreplident AS identity,
       array_agg(a.attname::text ORDER BY k.n) AS columns, array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY k.n) AS equals,
       bool_and(oc.opcdefault AND k.sorts = a.attcollation) AS native
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[]) WITH ORDINALITY AS k(att, class, sorts, n)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.att
JOIN pg_opclass oc ON oc.oid = k.class
JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3 AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
JOIN pg_operator o ON o.oid = ao.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts
  AND i.indrelid >= 16384
GROUP BY i.indexrelid, i.indrelid, i.indisprimary, i.indisreplident, i.indnkeyatts
HAVING count(*) = i.indnkeyatts AND (i.indisprimary OR i.indisreplident OR bool_and(a.attnotnull))
ORDER BY i.indrelid, i.indnkeyatts, i.indexrelid
"""

DATABASE = """
SELECT current_setting('server_version_num')::int AS version, datcollate AS collation, pg_encoding_to_char(encoding) AS encoding
FROM pg_database WHERE datname = current_database()
"""

_ORDERED = INTEGERS | {"oid", "date", "timestamp", "timestamptz", "time", "uuid", "numeric", "bytea", "bool", "name"}
"""Key types that sort the same on every server, and so do domains over them."""
_BYTES = {'pg_catalog."C"', 'pg_catalog."POSIX"', "pg_catalog.ucs_basic"}
"""Collations that sort by bytes."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    name: str
    kind: Kind
    type_sql: str
    equals: str
    """The operator the key's index looks up by, qualified: extension types keep theirs in schemas off the search path."""
    ordered: bool
    """It sorts the same on every server."""
    collation: str = ""
    """By which it sorts otherwise, as SQL; empty where none can be asked for. Two servers that have it may sort unlike by it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is compared: `sql` reads its exact form through the alias `r`, `text` the value as text."""

    name: str
    sql: str
    text: str
    type_sql: str = ""
    generated: bool = False
    """The server makes its values: nobody can write them."""
    numbered: bool = False
    """GENERATED ALWAYS AS IDENTITY: written only where an INSERT says so, and never changed."""


@dataclass(frozen=True, slots=True)
class Carried:
    """How a publication carries a table: these columns only, or all (None). `inserts`: for want of a replica identity inserts alone,
    for a publication of its updates would make the apps' updates fail; such a table replicates no updates either."""

    columns: tuple[str, ...] | None = None
    inserts: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One entry. `unprovable` is empty where both sides can be compared by content, else the reason that they cannot."""

    name: Name
    key: tuple[KeyColumn, ...] = ()
    hash_sql: str = ""
    """The row's hash; columns are read through the alias `r`."""
    key_hash_sql: str = ""
    estimate: int = 0
    size: int = 0
    reason: str = ""
    """What the proof rests on beside PostgreSQL itself, or why there is no key."""
    unprovable: str = ""
    missing_on: Side | None = None
    owed: bool = True
    """Whether a proof is owed at all: its rows are replicated. Relations whose rows are not have checks of their own in the preflight."""
    tapped: Mapping[Side, Carried] | None = None
    """How a side's tap carries it."""
    columns: tuple[Column, ...] = ()
    oids: tuple[int, ...] = ()
    """Blue's and green's of a table that both have: another table by the same name has another one."""

    def oid(self, side: Side) -> int:
        return self.oids[side is Side.GREEN]

    @property
    def shown(self) -> str:
        return f"{self.name[0]}.{self.name[1]}"

    @property
    def sql(self) -> str:
        return f"{quoted(self.name[0])}.{quoted(self.name[1])}"

    @property
    def ranged(self) -> bool:
        """Whether it can be read by key ranges, which hold the same rows on both sides or most of them."""
        return bool(self.key) and all(c.ordered or c.collation for c in self.key)

    @property
    def ordered(self) -> bool:
        """Whether key ranges hold the same rows on both sides, whatever the servers' collations are."""
        return bool(self.key) and all(c.ordered for c in self.key)

    def key_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.key)


class Seen(NamedTuple):
    """A column as one side's catalog has it."""

    name: str
    type: int
    shown: str
    collation: str
    """As SQL; empty where the type has none, and where it calls texts equal that are not."""
    generated: bool
    numbered: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """One relation of one side."""

    row: Row
    columns: tuple[Seen, ...]
    uniques: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class SideCatalog:
    side: Side
    version: int
    collation: str
    encoding: str
    shapes: Mapping[Name, Shape]
    kinds: Mapping[int, Kind]


async def read_side(line: Line) -> SideCatalog:
    """The side's relations, columns, types and unique indexes, as they are now."""
    (database,) = await line.fetch(DATABASE)
    relations = await line.fetch(RELATIONS, CONTROL_SCHEMA)
    columns = await _columns(line)
    uniques = _by_oid(await line.fetch(KEYS))
    shapes = {
        (row["schema"], row["name"]): Shape(row, tuple(columns.get(row["oid"], ())), tuple(uniques.get(row["oid"], ())))
        for row in relations
    }
    kinds = _kinds(await line.fetch(TYPES))
    return SideCatalog(line.side, database["version"], database["collation"], database["encoding"], shapes, kinds)


async def _columns(line: Line) -> dict[int, list[Seen]]:
    """By relation. A column that many tables have is one object: ten thousand tables are to fit into a small process."""
    found: dict[int, list[Seen]] = {}
    once: dict[Seen, Seen] = {}
    async for rows in line.stream(COLUMNS, CONTROL_SCHEMA):
        for row in rows:
            seen = Seen(row["name"], row["type"], row["shown"], row["collation"], row["generated"], row["numbered"])
            found.setdefault(row["oid"], []).append(once.setdefault(seen, seen))
    return found


def _by_oid(rows: list[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["oid"], []).append(row)
    return found


def _kinds(rows: list[Row]) -> dict[int, Kind]:
    by_oid = {row["oid"]: row for row in rows}

    def kind(oid: int) -> Kind | None:
        row = by_oid.get(oid)
        if row is None:
            return None
        return Kind(row["schema"], row["name"], row["typtype"], kind(row["element"]), kind(row["base"]))

    return {oid: made for oid in by_oid if (made := kind(oid)) is not None}


async def read(lines: Mapping[Side, Line], excluded: Collection[str], serving: Side) -> dict[Name, Table]:
    """Every entry of both sides, matched by name. Tables that only the serving side has are `missing_on` the other."""
    blue, green = await asyncio.gather(read_side(lines[Side.BLUE]), read_side(lines[Side.GREEN]))
    names = sorted(blue.shapes.keys() | green.shapes.keys())
    return {name: _table(name, blue, green, excluded, serving) for name in names}


def _table(name: Name, blue: SideCatalog, green: SideCatalog, excluded: Collection[str], serving: Side) -> Table:
    known = [side.shapes[name] for side in (blue, green) if name in side.shapes]
    estimate = max(int(shape.row["rows"]) for shape in known)
    size = max(int(shape.row["size"] or 0) for shape in known)
    if why := _not_comparable(name, known, excluded):
        return Table(name, estimate=estimate, size=size, unprovable=why, owed=False)
    if len(known) == 1:
        missing = Side.GREEN if name in blue.shapes else Side.BLUE
        lost = missing is not serving
        why = f"no such table on {missing}"
        return Table(name, estimate=estimate, size=size, unprovable=why, missing_on=missing if lost else None, owed=lost)
    if why := _unreadable(name, blue, green) or _unlike(blue.shapes[name], green.shapes[name]):
        return Table(name, estimate=estimate, size=size, unprovable=why)
    return _comparable(name, blue, green, estimate, size)


def _not_comparable(name: Name, known: list[Shape], excluded: Collection[str]) -> str:
    if f"{name[0]}.{name[1]}" in excluded:
        return "excluded by the config"
    for shape in known:
        row = shape.row
        if row["kind"] == "f":
            return "foreign table: its rows are not in this database"
        if row["kind"] == "m":
            return "materialized view: its contents are not replicated, refresh it"
        if row["persistence"] == "u":
            return "unlogged: its rows are not replicated"
        if row["extension"]:
            return "belongs to an extension"
    return ""


def _unreadable(name: Name, *sides: SideCatalog) -> str:
    for side in sides:
        row = side.shapes[name].row
        if not row["readable"]:
            return f"may not be read on {side.side}: grant SELECT on it, and USAGE on its schema, to the cockpit's role"
        if row["filtered"]:
            return f"row-level security hides rows of it on {side.side}: the cockpit's role needs BYPASSRLS"
    return ""


def _unlike(blue: Shape, green: Shape) -> str:
    """Why two shapes cannot be compared column by column; empty when they can."""
    left = {c.name: c.shown for c in blue.columns}
    right = {c.name: c.shown for c in green.columns}
    for side, extra in ((Side.BLUE, left.keys() - right.keys()), (Side.GREEN, right.keys() - left.keys())):
        if extra:
            return f"column {sorted(extra)[0]} is only on {side}"
    for name, shown in left.items():
        if right[name] != shown:
            return f"column {name} is {shown} on blue and {right[name]} on green"
    return ""


def _comparable(name: Name, blue: SideCatalog, green: SideCatalog, estimate: int, size: int) -> Table:
    shape = blue.shapes[name]
    made = [_made(c, blue.kinds[c.type]) for c in shape.columns]
    key, why_no_key = _key(shape, green.shapes[name], blue, green)
    pairs = [(f"r.{quoted(c.name)}", c.kind) for c in key]
    reasons = [why_no_key, *sorted({reason for _, reason in made if reason})]
    return Table(
        name,
        key,
        row_hash([column.sql for column, _ in made], pairs),
        key_hash(pairs) if pairs else "",
        estimate,
        size,
        reason="; ".join(r for r in reasons if r),
        tapped={side.side: _carried(side, name, key) for side in (blue, green)},
        columns=tuple(column for column, _ in made),
        oids=tuple(int(side.shapes[name].row["oid"]) for side in (blue, green)),
    )


@lru_cache(maxsize=4096)
def _made(seen: Seen, kind: Kind) -> tuple[Column, str]:
    """How the column is compared, and on what the proof of it rests where that is more than PostgreSQL itself."""
    read = f"r.{quoted(seen.name)}"
    made = expression(read, kind)
    return Column(seen.name, made.sql, text_of(read, kind), seen.shown, seen.generated, seen.numbered), made.reason


def _key(blue: Shape, green: Shape, left: SideCatalog, right: SideCatalog) -> tuple[tuple[KeyColumn, ...], str]:
    """The columns that name a row on both sides: what the stream shows first, else the primary key, else another unique index."""
    both: dict[tuple[str, ...], bool] = {}
    for unique in green.uniques:
        columns = tuple(unique["columns"])
        both[columns] = both.get(columns, False) or unique["native"]
    usable = [u for u in blue.uniques if tuple(u["columns"]) in both]
    if not usable:
        return (), "no unique index on green" if blue.uniques else "no key"
    by_index = blue.row["identity"] == "i"
    best = min(usable, key=lambda u: (not (by_index and u["identity"]), not u["primary"]))
    native = best["native"] and both[tuple(best["columns"])]
    same_bytes = left.encoding == right.encoding
    here, there = ({c.name: c for c in shape.columns} for shape in (blue, green))
    named = zip(best["columns"], best["equals"], strict=True)
    made = ((here[c], there[c].collation, equals, left.kinds[here[c].type], native, same_bytes) for c, equals in named)
    return tuple(_key_column(*each) for each in made), ""


@lru_cache(maxsize=4096)
def _key_column(column: Seen, there: str, equals: str, kind: Kind, native: bool, same_bytes: bool) -> KeyColumn:
    """`native`: the indexes of both sides are in the order by which `<` and ORDER BY sort; another one is no help in reading a range."""
    name = root(kind).name if native and root(kind).built_in else ""
    text = name in {"text", "varchar", "bpchar"} and column.collation == there
    ordered = name in _ORDERED or (text and same_bytes and name != "bpchar" and column.collation in _BYTES)
    return KeyColumn(column.name, kind, column.shown, equals, ordered, column.collation if text and not ordered else "")


def _carried(side: SideCatalog, name: Name, key: tuple[KeyColumn, ...]) -> Carried:
    shape = side.shapes[name]
    identity = shape.row["identity"]
    if identity == "f":
        return _carries(None)
    known = [u for u in shape.uniques if u["primary" if identity == "d" else "identity"]] if identity in {"d", "i"} else []
    if not known:
        return _carries(None, inserts=True)
    columns = tuple(known[0]["columns"])
    whole = side.version < 150000 or not {c.name for c in key} <= set(columns)
    return _carries(None if whole else columns)


@lru_cache(maxsize=4096)
def _carries(columns: tuple[str, ...] | None, inserts: bool = False) -> Carried:
    """One for all tables that are carried alike."""
    return Carried(columns, inserts)
