"""The row expression on 16 and 18: equal on equal, different on every planted difference that other tools' canonical forms miss."""

from __future__ import annotations

import pytest

from cockpit.drill.servers import Server
from cockpit.model.words import Side
from cockpit.reconcile import catalog, statements
from cockpit.reconcile.rows import SENDS
from cockpit.reconcile.selftest import VECTORS, faults, judged
from cockpit.reconcile.sessions import Line
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import run

pytestmark = pytest.mark.servers

TYPES = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE pos AS (x numeric, m mood, t text);
CREATE DOMAIN price AS numeric CHECK (value > -1000000);
CREATE DOMAIN feeling AS mood;
CREATE DOMAIN prices AS numeric[];
"""

COLUMNS = {
    "bool": ("true", "false"),
    "smallint": ("1", "-1"),
    "int": ("1", "2"),
    "bigint": ("0", "-4294967296"),
    "real": ("0", "-0"),
    "double precision": ("1.000000000000001", "1.000000000000002"),
    "numeric": ("123.45", "-123.45"),
    "numeric(20,6)": ("12345678901.000001", "12345678901.000002"),
    "money": ("1.00", "1.01"),
    "text": ("", " "),
    "varchar(20)": ("a", "A"),
    "char(5)": ("ab", "ac"),
    "bpchar": ("ab", "ab "),
    "name": ("n", "N"),
    '"char"': ("a", "b"),
    "bytea": ("\\x00", "\\x"),
    "date": ("2024-02-29", "infinity"),
    "time": ("12:00:00", "12:00:00.000001"),
    "timetz": ("12:00:00+00", "13:00:00+01"),
    "timestamp": ("2024-01-01", "2024-01-01 00:00:00.000001"),
    "timestamptz": ("2024-01-01 00:00+00", "2024-01-01 00:00:00.000001+00"),
    "interval": ("1 mon", "30 days"),
    "uuid": ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000010"),
    "inet": ("10.0.0.1", "10.0.0.1/31"),
    "cidr": ("10.0.0.0/24", "10.0.0.0/25"),
    "macaddr": ("08:00:2b:01:02:03", "08:00:2b:01:02:04"),
    "macaddr8": ("08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"),
    "json": ('{"a":1}', '{"a": 1}'),
    "jsonb": ("[[1],2]", "[[1,2]]"),
    "jsonpath": ("$.a", "$.b"),
    "bit(3)": ("101", "100"),
    "bit varying": ("101", "1010"),
    "point": ("(0,1)", "(-0,1)"),
    "line": ("{1,2,3}", "{1,2,4}"),
    "lseg": ("[(0,0),(1,1)]", "[(0,0),(1,2)]"),
    "box": ("(1,1),(0,0)", "(1,2),(0,0)"),
    "path": ("((0,0),(1,1))", "[(0,0),(1,1)]"),
    "polygon": ("((0,0),(1,1),(2,0))", "((0,0),(2,0),(1,1))"),
    "circle": ("<(0,0),1>", "<(0,0),2>"),
    "tsvector": ("a:1", "a:2"),
    "tsquery": ("a & b", "a | b"),
    "pg_lsn": ("0/1", "1/1"),
    "pg_snapshot": ("1:2:", "1:3:"),
    "xid8": ("1", "4294967297"),
    "oid": ("1", "2"),
    "regclass": ("pg_class", "pg_type"),
    "int4range": ("[1,3)", "[1,4)"),
    "numrange": ("[1,2]", "[-1,2]"),
    "tstzrange": ("[2024-01-01,2024-02-01)", "[2024-01-01,2024-02-01]"),
    "nummultirange": ("{[1,2],[3,4]}", "{[-1,2],[3,4]}"),
    "int[]": ("{1}", "{{1}}"),
    "numeric[]": ("{1.0}", "{1.00}"),
    "text[]": ("{NULL}", '{"NULL"}'),
    "jsonb[]": ('{"{}"}', '{"[]"}'),
    "json[]": ("{1}", "{2}"),
    "int2[]": ("{1}", "[0:0]={1}"),
    "int2vector": ("1 2", "2 1"),
    "mood": ("glad", "sad"),
    "mood[]": ("{glad}", "{sad}"),
    "pos": ('(1.0,glad,"")', "(1.0,glad,)"),
    "pos[]": ('{"(1,glad,a)"}', '{"(-1,glad,a)"}'),
    "price": ("1.5", "-1.5"),
    "feeling": ("glad", "sad"),
    "prices": ("{1.0}", "{1.00}"),
}
"""Type, and two values of it that are not the same."""


async def _pair(blue16: Server, green18: Server, make_database: MakeDatabase, *statements_: str, green_first: str = "") -> dict[Side, Line]:
    blue, green = await make_database(blue16, "rows"), await make_database(green18, "rows")
    await run(blue, *statements_)
    await run(green, *([green_first] if green_first else []), *statements_)
    return {Side.BLUE: Line(Side.BLUE, blue, writes=True), Side.GREEN: Line(Side.GREEN, green, writes=True)}


async def _sums(lines: dict[Side, Line], table: catalog.Table) -> dict[Side, tuple[int, str]]:
    sums = {}
    for side, line in lines.items():
        (row,) = await line.fetch(statements.whole(table))
        sums[side] = (row["n"], row["h"])
    return sums


async def _close(lines: dict[Side, Line]) -> None:
    for line in lines.values():
        await line.close()


async def test_every_type_is_equal_when_equal_and_different_when_different(
    blue16: Server, green18: Server, make_database: MakeDatabase
) -> None:
    creates = [f"CREATE TABLE t{i} (id int PRIMARY KEY, v {kind}, w {kind})" for i, kind in enumerate(COLUMNS)]
    # Shifted OIDs on green: enum, composite and domain OIDs differ between the sides.
    lines = await _pair(blue16, green18, make_database, TYPES, *creates, green_first="CREATE TYPE shift AS ENUM ('a', 'b', 'c', 'd')")
    try:
        assert await faults(lines) == []
        tables = await catalog.read(lines, (), Side.BLUE)
        for number, (kind, (one, other)) in enumerate(COLUMNS.items()):
            table = tables[("public", f"t{number}")]
            assert not table.unprovable, (kind, table.unprovable)
            for line in lines.values():
                await line.fetch(f"INSERT INTO {table.sql} SELECT 1, v, NULL FROM (SELECT $1::text::{_in_public(kind)} AS v) x", one)
            sums = await _sums(lines, table)
            assert sums[Side.BLUE] == sums[Side.GREEN], f"{kind}: equal values hash differently"
            await lines[Side.GREEN].fetch(f"UPDATE {table.sql} SET v = $1::text::{_in_public(kind)}", other)
            sums = await _sums(lines, table)
            assert sums[Side.BLUE] != sums[Side.GREEN], f"{kind}: {one!r} and {other!r} hash alike"
            await lines[Side.GREEN].fetch(f"UPDATE {table.sql} SET v = NULL, w = $1::text::{_in_public(kind)}", one)
            sums = await _sums(lines, table)
            assert sums[Side.BLUE] != sums[Side.GREEN], f"{kind}: a value in another column hashes alike"
    finally:
        await _close(lines)


def _in_public(kind: str) -> str:
    own = {"mood", "mood[]", "pos", "pos[]", "price", "feeling", "prices"}
    return f"public.{kind}" if kind in own else kind


PLANTED = {
    "values swapped between two rows": "UPDATE plain SET a = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE a END",
    "values swapped between two columns": "UPDATE plain SET a = b, b = a WHERE id = 3",
    "null for empty": "UPDATE plain SET t = NULL WHERE id = 1",
    "empty for null": "UPDATE plain SET t = '' WHERE id = 4",
    "a boundary moved between two columns": "UPDATE plain SET t = 'a', u = 'bc' WHERE id = 5",
    "a row more": "INSERT INTO plain VALUES (100, 1, 1, '', '')",
    "a row less": "DELETE FROM plain WHERE id = 7",
    "a key changed": "UPDATE plain SET id = 101 WHERE id = 8",
    "nulls swapped between two rows": "UPDATE plain SET t = CASE id WHEN 1 THEN NULL WHEN 4 THEN '' ELSE t END",
}


@pytest.mark.parametrize("kind", ["int", "bigint", "text", "numeric"])
async def test_planted_differences_are_seen_with_every_kind_of_key(
    blue16: Server, green18: Server, make_database: MakeDatabase, kind: str
) -> None:
    lines = await _pair(
        blue16,
        green18,
        make_database,
        "CREATE TABLE plain (id int, a int, b int, t text, u text)",
        "INSERT INTO plain SELECT i, i, 100 + i, '', '' FROM generate_series(1, 20) i",
        "UPDATE plain SET t = NULL WHERE id = 4",
        "UPDATE plain SET t = 'ab', u = 'c' WHERE id = 5",
        f"ALTER TABLE plain ALTER id TYPE {kind}",
        "ALTER TABLE plain ADD PRIMARY KEY (id)",
        "CREATE TABLE kept AS TABLE plain",
    )
    try:
        table = (await catalog.read(lines, (), Side.BLUE))[("public", "plain")]
        for how, planted in PLANTED.items():
            sums = await _sums(lines, table)
            assert sums[Side.BLUE] == sums[Side.GREEN], how
            await lines[Side.GREEN].fetch(_for_key(planted, kind))
            sums = await _sums(lines, table)
            assert sums[Side.BLUE] != sums[Side.GREEN], how
            await lines[Side.GREEN].fetch("TRUNCATE public.plain")
            await lines[Side.GREEN].fetch("INSERT INTO public.plain SELECT * FROM public.kept")
    finally:
        await _close(lines)


def _for_key(planted: str, kind: str) -> str:
    planted = planted.replace("plain", "public.plain")
    if kind != "text":
        return planted
    return planted.replace("id = ", "id::int = ").replace("SET id::int = 101", "SET id = 101").replace("CASE id", "CASE id::int")


async def test_duplicates_without_a_key_are_counted_not_cancelled(blue16: Server, green18: Server, make_database: MakeDatabase) -> None:
    lines = await _pair(blue16, green18, make_database, "CREATE TABLE bag (a int, t text)", "INSERT INTO bag VALUES (1, 'x'), (2, 'y')")
    try:
        table = (await catalog.read(lines, (), Side.BLUE))[("public", "bag")]
        await lines[Side.BLUE].fetch("INSERT INTO public.bag VALUES (3, 'z'), (3, 'z'), (4, 'q')")
        await lines[Side.GREEN].fetch("INSERT INTO public.bag VALUES (4, 'q'), (4, 'q'), (3, 'z')")
        sums = await _sums(lines, table)
        assert sums[Side.BLUE][0] == sums[Side.GREEN][0]
        assert sums[Side.BLUE][1] != sums[Side.GREEN][1]
        await lines[Side.GREEN].fetch("DELETE FROM public.bag WHERE ctid = (SELECT max(ctid) FROM public.bag WHERE a = 4)")
        await lines[Side.GREEN].fetch("INSERT INTO public.bag VALUES (3, 'z')")
        sums = await _sums(lines, table)
        assert sums[Side.BLUE] == sums[Side.GREEN], "the order of rows must not matter"
    finally:
        await _close(lines)


async def test_the_order_of_columns_and_dropped_ones_do_not_matter(blue16: Server, green18: Server, make_database: MakeDatabase) -> None:
    blue, green = await make_database(blue16, "rows"), await make_database(green18, "rows")
    await run(
        blue,
        "CREATE TABLE o (id int PRIMARY KEY, gone int, a text, b numeric)",
        "ALTER TABLE o DROP gone",
        "INSERT INTO o VALUES (1, 'x', 1.0)",
    )
    await run(green, "CREATE TABLE o (b numeric, a text, id int PRIMARY KEY)", "INSERT INTO o VALUES (1.0, 'x', 1)")
    lines = {Side.BLUE: Line(Side.BLUE, blue), Side.GREEN: Line(Side.GREEN, green)}
    try:
        sums = await _sums(lines, (await catalog.read(lines, (), Side.BLUE))[("public", "o")])
        assert sums[Side.BLUE] == sums[Side.GREEN]
    finally:
        await _close(lines)


async def test_inheritance_generated_columns_and_tables_without_columns(
    blue16: Server, green18: Server, make_database: MakeDatabase
) -> None:
    lines = await _pair(
        blue16,
        green18,
        make_database,
        "CREATE TABLE parent (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED)",
        "CREATE TABLE child (more text) INHERITS (parent)",
        "CREATE TABLE empty_row ()",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child (id, more) VALUES (2, 'x'), (3, 'y')",
        "INSERT INTO empty_row DEFAULT VALUES",
    )
    try:
        tables = await catalog.read(lines, (), Side.BLUE)
        for name, count in (("parent", 1), ("child", 2), ("empty_row", 1)):
            sums = await _sums(lines, tables[("public", name)])
            assert sums[Side.BLUE] == sums[Side.GREEN]
            assert sums[Side.BLUE][0] == count
    finally:
        await _close(lines)


async def test_what_cannot_be_compared_is_listed_with_its_reason(blue16: Server, green18: Server, make_database: MakeDatabase) -> None:
    blue, green = await make_database(blue16, "rows"), await make_database(green18, "rows")
    both = ("CREATE UNLOGGED TABLE u (id int)", "CREATE TABLE m0 (id int)", "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one")
    await run(
        blue,
        *both,
        "CREATE TABLE wide (id int, x int)",
        "CREATE TABLE kind (id int)",
        "CREATE TABLE lost (id int)",
        "CREATE SCHEMA cockpit_control",
    )
    await run(blue, "CREATE TABLE cockpit_control.heartbeat (id int)")
    await run(green, *both, "CREATE TABLE wide (id int)", "CREATE TABLE kind (id bigint)", "CREATE TABLE extra (id int)")
    lines = {Side.BLUE: Line(Side.BLUE, blue), Side.GREEN: Line(Side.GREEN, green)}
    try:
        tables = {n[1]: t for n, t in (await catalog.read(lines, ("public.m0",), Side.BLUE)).items()}
    finally:
        await _close(lines)
    assert "unlogged" in tables["u"].unprovable
    assert "excluded" in tables["m0"].unprovable
    assert "materialized" in tables["mv"].unprovable
    assert tables["wide"].unprovable == "column x is only on blue"
    assert tables["kind"].unprovable == "column id is integer on blue and bigint on green"
    assert tables["lost"].missing_on is Side.GREEN
    assert tables["extra"].missing_on is None
    assert "blue" in tables["extra"].unprovable
    assert "heartbeat" not in tables


async def test_every_send_function_is_the_types_own(green18: Server, make_database: MakeDatabase) -> None:
    line = Line(Side.GREEN, await make_database(green18, "rows"))
    try:
        rows = await line.fetch("SELECT typname, typsend::regproc::text AS send FROM pg_type WHERE typname = ANY ($1::text[])", list(SENDS))
        assert {r["typname"]: r["send"] for r in rows} == SENDS
    finally:
        await line.close()


def test_the_self_test_refuses_servers_that_hash_differently_and_hashes_that_miss_a_difference() -> None:
    good = [str(n) for n in range(2 * len(VECTORS) + 2)]
    assert judged(good, good) == []
    assert "differently" in judged(good, ["0", "99", *good[2:]])[0]
    same = ["0", "0", *good[2:]]
    assert "alike" in judged(same, same)[0]
