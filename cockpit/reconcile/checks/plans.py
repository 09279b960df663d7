"""What a check reads, asked of the server: it plans the SELECT (EXPLAIN, nothing is run) and its plan names the tables.

Where rows are proven equal, what is computed of nothing but these rows is equal too. So beside the tables it matters what a plan does
not show (a function may read anything) and what an answer depends on beside its rows (their order, their place, the moment).
Plans as JSON: "EXPLAIN" in the PostgreSQL manual; with VERBOSE each node says what it gives out, and whose columns these are.
"""

# ruff: noqa: S608 - the statement is the scenario's own; it is only planned
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cockpit.model.text import plain
from cockpit.reconcile.checks.values import FLOATS
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Name

Node = Mapping[str, Any]
DEADLINE_S = 6.0

COLUMNS = """
SELECT n.nspname::text AS schema, c.relname::text AS relation, a.attname::text AS name
FROM unnest($1::text[], $2::text[]) AS t(schema, relation) JOIN pg_namespace n ON n.nspname = t.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.relation JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped
"""
OPAQUE = """
SELECT DISTINCT p.proname::text AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname = ANY($1::text[]) AND (n.nspname <> 'pg_catalog' OR p.provolatile = 'v') ORDER BY 1
"""
"""Functions of which it is not known what they read: those that are not the server's own, and those that may say something else each time."""

ORDERED = frozenset({"string_agg", "array_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "xmlagg"})
"""Aggregates whose answer depends on the order in which rows come."""
NODES = {
    "Limit": "takes some of its rows (LIMIT), and equal rows may stand in another order",
    "WindowAgg": "numbers or frames rows by their order, in which equal ones may change places",
    "Sample Scan": "reads a sample by where rows lie",
    "Table Function Scan": "reads what a plan does not show",
}
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_CALL = re.compile(r'("(?:[^"]|"")+"|[^\W\d][\w$]*)\(')
_PLACE = re.compile(r"\b(ctid|xmin|xmax|cmin|cmax|tableoid)\b")
_FLOAT = re.compile(r"::(double precision|real)\b")


@dataclass(frozen=True, slots=True)
class Reads:
    """What a check reads. `unseen` says why `tables` may not be all of it, `loose` what its answer depends on beside their rows; both are
    empty where there is no such thing."""

    tables: frozenset[Name] = frozenset()
    unseen: str = ""
    loose: str = ""
    sensitive: tuple[str, ...] = ()
    """`schema.table.column` of those columns in its answer whose values may not be shown."""


async def reads(line: Line, sql: str, is_sensitive: Callable[[str], bool]) -> Reads:
    """What the SELECT reads, as the server of `line` plans it now. `LinkError` and `SystemFault` where it does not."""
    (row,) = await line.fetch(f"EXPLAIN (FORMAT JSON, VERBOSE) SELECT * FROM (\n{sql}\n) AS q", deadline=DEADLINE_S)
    (told,) = row.values()
    seen = look(json.loads(told)[0]["Plan"])
    shape = await line.shape(sql, DEADLINE_S)
    floats = [name for name, kind in shape if kind in FLOATS]
    opaque = [row["name"] for row in await line.fetch(OPAQUE, sorted(seen.calls))] if seen.calls else []
    schemas, names = [name[0] for name in seen.tables], [name[1] for name in seen.tables]
    columns = await line.fetch(COLUMNS, schemas, names)
    named = ((f"{row['schema']}.{row['relation']}.{row['name']}", row["name"]) for row in columns)
    sensitive = tuple(sorted(full for full, name in named if is_sensitive(full) and seen.gives(name)))
    return Reads(
        frozenset(seen.tables),
        seen.unseen or (f"it calls {plain(opaque[0], 63)}(), which may read anything" if opaque else ""),
        seen.loose or (f"{plain(floats[0], 63)} is floating point, and its sum depends on the order of the rows" if floats else ""),
        sensitive,
    )


@dataclass(slots=True)
class Seen:
    """What a plan shows."""

    tables: dict[Name, None] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)
    given: list[str] = field(default_factory=list)
    """Expressions that its answer is made of."""
    unseen: str = ""
    loose: str = ""

    def gives(self, column: str) -> bool:
        """Whether its answer is made of a column of that name, or of whole rows."""
        quoted = '"' + column.replace('"', '""') + '"'
        forms = "|".join(re.escape(form) for form in (quoted, column))
        return any(re.search(rf"(?<![\w$])(?:{forms})(?![\w$])|\.\*", text) for text in self.given)


def look(plan: Node) -> Seen:
    """What the plan shows, all of its nodes together."""
    seen = Seen()
    for node, parent in _nodes(plan, None):
        if "Relation Name" in node:
            seen.tables[(str(node.get("Schema", "")), str(node["Relation Name"]))] = None
        texts = [_LITERAL.sub("''", text) for text in _texts(node)]
        seen.calls |= {_unquoted(name) for text in texts for name in _CALL.findall(text)} | _function(node)
        if not _passed_on(node, parent):
            seen.given += [_LITERAL.sub("''", text) for text in node.get("Output", ())]
        seen.loose = seen.loose or _loose(node, texts)
        if node.get("Subplans Removed"):
            seen.unseen = "the moment it is asked decides which partitions it reads"
    return seen


def _nodes(node: Node, parent: Node | None) -> Iterator[tuple[Node, Node | None]]:
    yield node, parent
    for child in node.get("Plans", ()):
        yield from _nodes(child, node)


def _texts(node: Node) -> Iterator[str]:
    """Every expression of the node."""
    for key, value in node.items():
        if key in {"Plans", "Relation Name", "Schema", "Alias", "Node Type"}:
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))


def _function(node: Node) -> set[str]:
    return {str(node["Function Name"])} if "Function Name" in node else set()


def _passed_on(node: Node, parent: Node | None) -> bool:
    """A table's scan may give out more columns than anybody takes; who takes some by name says which. What stands for a query of its own
    (a CTE, a subquery) is taken by other names."""
    taken = node.get("Parent Relationship") in {"Outer", "Inner"} and parent is not None and parent.get("Node Type") != "Subquery Scan"
    return "Relation Name" in node and taken


def _loose(node: Node, texts: Sequence[str]) -> str:
    if why := NODES.get(str(node.get("Node Type"))):
        return f"it {why}"
    calls = {_unquoted(name) for text in texts for name in _CALL.findall(text)}
    if ordered := sorted(calls & ORDERED):
        return f"{ordered[0]}() depends on the order of the rows"
    place = next((found.group() for text in texts if (found := _PLACE.search(text))), "")
    if place:
        return f"{place} says where or when a row was stored"
    return "it reckons in floating point" if any(_FLOAT.search(text) for text in texts) else ""


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
