"""Two schemas of one warehouse, relation by relation: how many rows are identical, and which keys are not.

Both schemas are in one statement, so in one snapshot: a full join of keys and row hashes (`reconcile.rows`: exact by type) that returns
counts and the first differing keys alone. Where a key is none after all, rows are grouped by it and each group's hashes are summed, keyed
by the row itself, so that equal rows count and swapped values show. The key is the primary key that both schemas have, else what a `unique` test of the project
names; without one, rows are a multiset. The statements go through the adapter and the profile that the user's project has: a project of
ours, in a private folder, with one operation that asks them.
"""

# ruff: noqa: S608 - identifiers are quoted by `rows.quoted`, schema names are literals of `_literal`
from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cockpit.model.checks import DbtProgress, RelationResult, Warehouse
from cockpit.model.text import plain
from cockpit.reconcile.checks.process import Each
from cockpit.reconcile.rows import COLLATED, Kind, expression, quoted, row_hash

SHOWN_KEYS = 20
COUNTS = ("in_a", "in_b", "identical", "modified", "only_a", "only_b")
JOINED = frozenset({"int2", "int4", "int8", "numeric", "uuid", "date", "timestamp", "timestamptz", "text", "varchar"})
"""Key types whose equality needs no help to find the same key."""
RESTARTS = 5
"""Statements that may fail before the rest is left unasked: each costs a start of dbt."""
SETTINGS = (
    "BEGIN",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL IntervalStyle = 'postgres'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL xmlbinary = 'base64'",
    "SET LOCAL row_security = off",
    "SET LOCAL jit = off",
)
GUARD = "SELECT current_setting('transaction_isolation') || ', ' || current_setting('transaction_read_only')"
SAFE = "repeatable read, on"

_CATALOG = """
WITH RECURSIVE rel AS (
  SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ({schemas}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), col AS (
  SELECT a.attrelid, a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod) AS shown
  FROM pg_catalog.pg_attribute a JOIN rel ON rel.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped
), used AS (
  SELECT DISTINCT atttypid AS oid FROM col
  UNION
  SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid
  WHERE t.typtype = 'd' OR (t.typelem <> 0 AND t.typcategory = 'A')
), pk AS (
  SELECT i.indrelid, pg_catalog.json_agg(a.attname ORDER BY k.n) AS columns
  FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(att, n)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.att
  WHERE i.indisprimary AND k.n <= i.indnkeyatts GROUP BY i.indrelid
)
SELECT pg_catalog.json_build_object(
  'relations', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('schema', rel.nspname, 'name', rel.relname,
     'key', (SELECT columns FROM pk WHERE pk.indrelid = rel.oid),
     'columns', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', attname, 'type', atttypid::int8, 'shown', shown)
                 ORDER BY attname COLLATE "C"), '[]') FROM col WHERE col.attrelid = rel.oid))), '[]') FROM rel),
  'types', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('oid', t.oid::int8, 'schema', n.nspname, 'name', t.typname,
     'typtype', t.typtype::text, 'element', CASE WHEN t.typtype <> 'd' AND t.typcategory = 'A' THEN t.typelem ELSE 0 END::int8,
     'base', t.typbasetype::int8)), '[]')
     FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace)
)::text AS answer
"""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    shown: str


@dataclass(frozen=True, slots=True)
class Relation:
    schema: str
    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()


@dataclass(slots=True)
class Asked:
    """Statements of one start of dbt and their answers, as far as it came; `failed` says why it came no further."""

    answers: list[str] = field(default_factory=list)
    failed: str = ""


class Asker:
    """Statements through dbt, each giving one text; `ask` runs the operation of a project in a folder."""

    def __init__(self, ask: Callable[[Path, Each], Awaitable[tuple[int, str]]], scratch: Path, tell: Callable[[DbtProgress], None]) -> None:
        self._ask = ask
        self._folder = scratch / "ask"
        self._tell = tell

    async def answers(self, statements: Sequence[str], profile: str, names: Sequence[str], done: int = 0) -> Asked:
        """The statements' answers in order, all of one snapshot."""
        mark, asked = secrets.token_hex(8), Asked()
        self._write(statements, profile, mark)

        def each(event: Mapping[str, Any]) -> None:
            text = event["info"].get("msg")
            if isinstance(text, str) and text.startswith(mark) and len(asked.answers) <= len(statements):
                asked.answers.append(text.removeprefix(mark))
                if number := len(asked.answers) - 1:
                    name = plain(names[number - 1], 120)
                    self._tell(DbtProgress(None, "relations", done + number, done + len(statements), name, "read"))

        code, last = await self._ask(self._folder, each)
        if asked.answers[:1] != [SAFE]:
            return Asked(failed=f"exit {code}: {last}" if not asked.answers else "dbt gave no read-only snapshot to read in")
        asked.answers = asked.answers[1:]
        if len(asked.answers) < len(statements):
            asked.failed = f"exit {code}: {last}"
        return asked

    def _write(self, statements: Sequence[str], profile: str, mark: str) -> None:
        (self._folder / "macros").mkdir(parents=True, exist_ok=True)
        project = {"name": "cockpit_ask", "version": "1.0", "config-version": 2, "profile": profile, "macro-paths": ["macros"]}
        (self._folder / "dbt_project.yml").write_text(json.dumps(project))  # JSON is YAML
        (self._folder / "macros" / "ask.sql").write_text(macro(statements, mark), encoding="utf-8")


def macro(statements: Sequence[str], mark: str) -> str:
    """The operation that asks the statements and logs each answer behind the mark."""
    settings = "\n".join(f"{{% do run_query({jinja(text)}) %}}" for text in SETTINGS)
    listed = ", ".join(jinja(text) for text in (GUARD, *statements))
    return f"""{{% macro cockpit_ask() %}}
{settings}
{{% for statement in [{listed}] %}}
{{% do log("{mark}" ~ run_query(statement).rows[0][0], info=True) %}}
{{% endfor %}}
{{% do run_query("COMMIT") %}}
{{% endmacro %}}
"""


def jinja(text: str) -> str:
    """`text` as a string literal of Jinja in which nothing can end the string or open a block, whatever it holds."""
    return '"' + "".join(ch if ch.isascii() and (ch.isalnum() or ch in " _.,=()") else f"\\U{ord(ch):08x}" for ch in text) + '"'


async def compare_schemas(warehouse: Warehouse, profile: str, manifest: Mapping[str, Any], asker: Asker) -> list[RelationResult]:
    """Every relation of both schemas, or those that the config names. `ValueError` says why none could be compared."""
    adapter = _text(manifest.get("metadata"), "adapter_type")
    if adapter != "postgres":
        raise ValueError(f"they are compared on PostgreSQL alone, and this project's adapter is {plain(adapter) or 'unknown'}")
    asked = await asker.answers([catalog(warehouse)], profile, ["catalog"])
    if asked.failed:
        raise ValueError(f"the catalog could not be read: {asked.failed}")
    found = relations(json.loads(asked.answers[0]))
    a, b = ({r.name: r for r in found if r.schema == schema} for schema in (warehouse.blue, warehouse.green))
    names = sorted(warehouse.relations or a.keys() | b.keys())
    if not names:
        raise ValueError(f"neither {plain(warehouse.blue)} nor {plain(warehouse.green)} holds a relation")
    keys = unique_keys(manifest)
    plans = [plan(name, a.get(name), b.get(name), keys.get(name, ())) for name in names]
    return await _compared(plans, profile, asker)


def catalog(warehouse: Warehouse) -> str:
    return _CATALOG.format(schemas=f"{_literal(warehouse.blue)}, {_literal(warehouse.green)}")


def _literal(text: str) -> str:
    return "U&'" + "".join(ch if (ch.isascii() and ch.isalnum()) or ch == "_" else f"\\+{ord(ch):06x}" for ch in text) + "'"


def _text(item: object, key: str) -> str:
    found = item.get(key) if isinstance(item, Mapping) else None
    return found if isinstance(found, str) else ""


def relations(answer: Mapping[str, Any]) -> list[Relation]:
    by_oid = {row["oid"]: row for row in answer["types"]}

    def kind(oid: int) -> Kind | None:
        row = by_oid.get(oid)
        return Kind(row["schema"], row["name"], row["typtype"], kind(row["element"]), kind(row["base"])) if row else None

    return [
        Relation(
            row["schema"],
            row["name"],
            {c["name"]: Column(c["name"], kind(c["type"]) or Kind("", "", "p"), c["shown"]) for c in row["columns"]},
            tuple(row["key"] or ()),
        )
        for row in answer["relations"]
    ]


def unique_keys(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """By relation, the columns that a `unique` test of the project says name a row; the first by name where there are several."""
    nodes = {**(manifest.get("nodes") or {}), **(manifest.get("sources") or {})}
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(nodes):
        test = nodes[name].get("test_metadata") or {}
        arguments = test.get("kwargs") or {}
        columns: tuple[str, ...]
        if test.get("name") == "unique":
            columns = (_text(arguments, "column_name"),)
        elif test.get("name") == "unique_combination_of_columns":
            columns = tuple(map(str, arguments.get("combination_of_columns") or ()))
        else:
            continue
        on = nodes.get(nodes[name].get("attached_node") or "", {})
        relation = _text(on, "alias") or _text(on, "identifier")
        if relation and all(columns):
            found.setdefault(relation, columns)
    return found


@dataclass(frozen=True, slots=True)
class Planned:
    """What is known of a relation before its rows are read; `sql` is empty where they are not."""

    base: RelationResult
    sql: str = ""


def plan(name: str, a: Relation | None, b: Relation | None, tested: tuple[str, ...]) -> Planned:
    shown = plain(name, 120)
    if a is None or b is None:
        where = "neither schema has it" if a is b else f"only in {plain((a or b).schema)}"  # type: ignore[union-attr]
        return Planned(RelationResult(shown, columns=where))
    common = [c for c in a.columns if c in b.columns]
    if not common:
        return Planned(RelationResult(shown, columns="no column in common"))
    key = next((k for k in (a.key if a.key == b.key else (), tested) if k and set(k) <= set(common)), ())
    base = RelationResult(shown, key=key, columns=_columns(a, b))
    grouped = comparison(a, b, common, key)
    return Planned(base, quick(a, b, common, key, grouped) if _joinable(a, b, key) else grouped)


def _columns(a: Relation, b: Relation) -> str:
    """How the columns differ; empty where they do not."""
    said = []
    for one, other in ((a, b), (b, a)):
        if extra := [c for c in one.columns if c not in other.columns]:
            said.append(f"only in {plain(one.schema)}: {', '.join(plain(c, 63) for c in extra[:10])}")
    for name, column in a.columns.items():
        if name in b.columns and b.columns[name].shown != column.shown:
            said.append(
                f"{plain(name, 63)} is {plain(column.shown)} in {plain(a.schema)} and {plain(b.columns[name].shown)} in {plain(b.schema)}"
            )
    return "; ".join(said[:10])


def _joinable(a: Relation, b: Relation, key: Sequence[str]) -> bool:
    """Whether the key's own equality finds a row's partner in the other schema."""
    kinds = [(a.columns[k], b.columns[k]) for k in key]
    return bool(key) and all(x.shown == y.shown and x.kind.built_in and x.kind.typtype == "b" and x.kind.name in JOINED for x, y in kinds)


def quick(a: Relation, b: Relation, common: Sequence[str], key: Sequence[str], grouped: str) -> str:
    """As `comparison`, by a join on the key itself, without grouping. That a `unique` test names a key makes it none: where the join met
    a NULL or a key twice its counts do not add up, and only then the server goes on to the grouped statement."""
    columns = range(len(key))
    found = "(xh IS NOT NULL AND yh IS NOT NULL AND NOT same)"
    return f"""
WITH quick AS MATERIALIZED (
SELECT pg_catalog.json_build_object('in_a', count(xh), 'in_b', count(yh), 'identical', count(*) FILTER (WHERE same),
  'modified', count(*) FILTER (WHERE {found}), 'only_a', count(*) FILTER (WHERE yh IS NULL), 'only_b', count(*) FILTER (WHERE xh IS NULL),
  'keys', pg_catalog.array_agg(ROW({", ".join(f"k{n}" for n in columns)})::pg_catalog.text)
          FILTER (WHERE NOT same AND seen <= {SHOWN_KEYS}))::text AS answer,
  count(xh) = (SELECT count(*) FROM {_source(a)}) AND count(yh) = (SELECT count(*) FROM {_source(b)})
  AND count(*) FILTER (WHERE {" OR ".join(f"k{n} IS NULL" for n in columns)}) = 0 AS sound
FROM (
  SELECT *, count(*) FILTER (WHERE NOT same) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS seen
  FROM (
    SELECT x.h AS xh, y.h AS yh, (x.h = y.h) IS TRUE AS same, {", ".join(f"coalesce(x.k{n}, y.k{n}) AS k{n}" for n in columns)}
    FROM ({_rows(a, b, common, key)}) x FULL JOIN ({_rows(b, a, common, key)}) y ON {" AND ".join(f"x.k{n} = y.k{n}" for n in columns)}
  ) each_row
) counted)
SELECT CASE WHEN sound THEN answer ELSE ({grouped}) END AS answer FROM quick"""


def _rows(of: Relation, beside: Relation, common: Sequence[str], key: Sequence[str]) -> str:
    """Key columns and hash of every row; a row is compared with one other alone, so its hash needs no key."""
    made = ", ".join(_expression(of.columns[name], beside.columns[name]) for name in common)
    keys = [f"r.{quoted(k)}{_bytewise(of.columns[k])} AS k{n}" for n, k in enumerate(key)]
    return f"SELECT {', '.join(keys)}, pg_catalog.hash_record_extended(ROW({made}), 1) AS h FROM {_source(of)} r"


def _bytewise(column: Column) -> str:
    return ' COLLATE "C"' if column.kind.name in COLLATED else ""


def _source(of: Relation) -> str:
    return f"{quoted(of.schema)}.{quoted(of.name)}"


def comparison(a: Relation, b: Relation, common: Sequence[str], key: Sequence[str]) -> str:
    """One row, one text: the counts and the first differing keys, as JSON. In a group that is not the same on both, as many rows as
    both have are modified; without a key a group is one content, and what both have is identical."""
    identical, modified = ("sum(xn) FILTER (WHERE same)", "sum(met) FILTER (WHERE NOT same)") if key else ("sum(met)", "0")
    return f"""
SELECT pg_catalog.json_build_object('in_a', coalesce(sum(xn), 0), 'in_b', coalesce(sum(yn), 0),
  'identical', coalesce({identical}, 0), 'modified', coalesce({modified}, 0),
  'only_a', coalesce(sum(xn - met), 0), 'only_b', coalesce(sum(yn - met), 0),
  'keys', pg_catalog.array_agg(k) FILTER (WHERE NOT same AND seen <= {SHOWN_KEYS if key else 0}))::text AS answer
FROM (
  -- The running count needs no order and no second reading: it ends the list at the first keys.
  SELECT *, count(*) FILTER (WHERE NOT same) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS seen
  FROM (
    SELECT coalesce(x.k, y.k) AS k, x.n AS xn, y.n AS yn, (x.n = y.n AND x.h = y.h) IS TRUE AS same,
           CASE WHEN x.n IS NULL OR y.n IS NULL THEN 0 ELSE least(x.n, y.n) END AS met
    FROM ({_grouped(a, b, common, key)}) x FULL JOIN ({_grouped(b, a, common, key)}) y ON x.k = y.k
  ) each_key
) counted"""


def _grouped(of: Relation, beside: Relation, common: Sequence[str], key: Sequence[str]) -> str:
    """For each key the number of its rows and the sum of their hashes. As text in a row a NULL key is like no other."""
    hashed = row_hash([_expression(of.columns[name], beside.columns[name]) for name in common], [])
    source = f"{_source(of)} r"
    if not key:
        return f'SELECT {hashed}::pg_catalog.text COLLATE "C" AS k, count(*) AS n, 0 AS h FROM {source} GROUP BY 1'
    named = f"ROW({', '.join(f'r.{quoted(k)}' for k in key)})::pg_catalog.text"
    return f'SELECT {named} COLLATE "C" AS k, count(*) AS n, sum({hashed}) AS h FROM {source} GROUP BY 1'


def _expression(column: Column, other: Column) -> str:
    """Columns of two types go by their text, which may still be the same."""
    sql = f"r.{quoted(column.name)}"
    return expression(sql, column.kind).sql if column.shown == other.shown else f'{sql}::pg_catalog.text COLLATE "C"'


async def _compared(plans: Sequence[Planned], profile: str, asker: Asker) -> list[RelationResult]:
    """Each plan's result; a statement that fails takes only its own relation with it."""
    open_plans = [p for p in plans if p.sql]
    done = {p.base.name: p.base for p in plans if not p.sql}
    for _ in range(RESTARTS):
        if not open_plans:
            break
        names = [p.base.name for p in open_plans]
        asked = await asker.answers([p.sql for p in open_plans], profile, names, len(plans) - len(open_plans))
        for planned, answer in zip(open_plans, asked.answers, strict=False):
            done[planned.base.name] = read(planned.base, answer)
        open_plans = open_plans[len(asked.answers) :]
        if open_plans:
            failing, *open_plans = open_plans
            done[failing.base.name] = replace(failing.base, failed=asked.failed)
    for left in open_plans:
        done[left.base.name] = replace(left.base, failed=f"not read: {RESTARTS} relations before it could not be")
    return [done[p.base.name] for p in plans]


def read(base: RelationResult, answer: str) -> RelationResult:
    """The answer's counts; what is no answer is a failure."""
    try:
        found = json.loads(answer)
        in_a, in_b, identical, modified, only_a, only_b = (int(found[name]) for name in COUNTS)
        keys = tuple(plain(key, 200) for key in found["keys"] or ())
    except (ValueError, KeyError, TypeError) as err:
        return replace(base, failed=f"the answer is not what was asked for: {type(err).__name__}")
    return replace(base, in_a=in_a, in_b=in_b, identical=identical, modified=modified, only_a=only_a, only_b=only_b, differing=keys)
