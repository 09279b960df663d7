"""The hash is tested before it is trusted: fixed values, hashed on both servers, must agree between them and differ where values differ.

Hash functions may change between major versions or machine architectures; nothing in PostgreSQL promises that they do not. A server
that gives other hashes for the same values is compared by counts alone, and the preflight says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cockpit.model.words import Side
from cockpit.reconcile.rows import Kind, expression, row_hash
from cockpit.reconcile.sessions import Line

_ELEMENT = Kind("pg_catalog", "int4", "b")
_RANGE = frozenset({"numrange", "int4range"})

VECTORS: tuple[tuple[str, str, str], ...] = (
    ("bool", "true", "false"),
    ("int2", "1", "-1"),
    ("int4", "1", "-2"),
    ("int8", "0", "4294967297"),
    ("oid", "1", "2"),
    ("float4", "0", "-0"),
    ("float8", "0", "-0"),
    ("numeric", "123.45", "-123.45"),
    ("numeric", "1.0", "1.00"),
    ("numeric", "NaN", "1"),
    ("text", "", " "),
    ("text", "a", "A"),
    ("varchar", "ab", "a"),
    ("bpchar", "ab", "ac"),
    ("bytea", "\\x00", "\\x0000"),
    ("date", "2024-02-29", "2024-03-01"),
    ("time", "12:00:00", "12:00:00.000001"),
    ("timetz", "12:00:00+00", "13:00:00+01"),
    ("timestamp", "2024-01-01 00:00:00", "2024-01-01 00:00:00.000001"),
    ("timestamptz", "2024-01-01 00:00:00+00", "2024-01-01 00:00:00.000001+00"),
    ("interval", "1 mon", "30 days"),
    ("uuid", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"),
    ("inet", "10.0.0.1/24", "10.0.0.1/25"),
    ("cidr", "10.0.0.0/24", "10.0.0.0/25"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:04"),
    ("json", '{"a":1}', '{"a": 1}'),
    ("jsonb", '{"a":1}', '{"a":-1}'),
    ("jsonb", "[[1],2]", "[[1,2]]"),
    ("jsonb", "{}", "[]"),
    ("money", "1.00", "1.01"),
    ("bit", "1", "0"),
    ("varbit", "101", "1010"),
    ("point", "(1,2)", "(2,1)"),
    ("tsvector", "a:1", "a:2"),
    ("_int4", "{1}", "[0:0]={1}"),
    ("_int4", "{1}", "{{1}}"),
    ("int4range", "[1,3)", "[1,4)"),
    ("numrange", "[1,2]", "[-1,2]"),
)
"""Type and two values of it that differ, though many an equality or hash calls them the same."""


def _kind(name: str) -> Kind:
    if name.startswith("_"):
        return Kind("pg_catalog", name, "b", element=_ELEMENT)
    return Kind("pg_catalog", name, "r" if name in _RANGE else "b")


def query() -> str:
    """One row: the hashes of every vector's two values, as text; then of a row with nulls and of one without."""
    parts = []
    for name, one, other in VECTORS:
        for value in (one, other):
            literal = "'" + value.replace("'", "''") + f"'::pg_catalog.{name}"
            made = expression(f"({literal})", _kind(name)).sql
            parts.append(row_hash([made], [("42", _ELEMENT)]) + "::pg_catalog.text")
    for text in ("NULL::pg_catalog.text", "''::pg_catalog.text"):
        parts.append(row_hash([f'{text} COLLATE "C"', "7"], []) + "::pg_catalog.text")
    return f"SELECT ARRAY[{', '.join(parts)}] AS hashes"


async def faults(lines: Mapping[Side, Line]) -> list[str]:
    """What speaks against comparing these two servers by hash; empty when nothing does. `SystemFault` where a server lacks the functions."""
    sql = query()
    found = await asyncio.gather(lines[Side.BLUE].fetch(sql), lines[Side.GREEN].fetch(sql))
    blue, green = (list(rows[0]["hashes"]) for rows in found)
    return judged(blue, green)


def judged(blue: list[str], green: list[str]) -> list[str]:
    """The verdict on two servers' answers to `query`."""
    names = [*(f"{name} {one!r} / {other!r}" for name, one, other in VECTORS), "null / empty text"]
    wrong = []
    for number, name in enumerate(names):
        pair = slice(2 * number, 2 * number + 2)
        if blue[pair] != green[pair]:
            wrong.append(f"{name}: blue and green hash it differently")
        elif blue[pair][0] == blue[pair][1]:
            wrong.append(f"{name}: two different values hash alike")
    return wrong
