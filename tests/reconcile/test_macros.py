"""Our dbt package's macros: what they write for each warehouse, and that what they write finds every kind of difference and no other.

What is written for PostgreSQL runs on PostgreSQL. So does what is written for Redshift and Snowflake, with functions of PostgreSQL under
their names: that shows the statements, not those warehouses' own hashes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncpg import Connection

from cockpit.drill.servers import Server
from cockpit.reconcile.rows import NATIVE, SENDS, Kind, expression
from tests.conftest import MakeDatabase
from tests.reconcile.macros import Column, Macros, statements
from tests.reconcile.pairs import connect

GOLDEN = Path(__file__).parent / "macros_golden"
COLUMNS: Sequence[Column] = (
    {"name": "id", "type": "bigint"},
    {"name": "amount", "type": "numeric(12,2)"},
    {"name": 'no"te', "type": "character varying(20)"},
    {"name": "at", "type": "timestamp with time zone"},
    {"name": "mixed", "type": ""},
)
SNOWFLAKE = {
    "bigint": "NUMBER(38,0)",
    "numeric(12,2)": "NUMBER(12,2)",
    "character varying(20)": "TEXT",
    "timestamp with time zone": "TIMESTAMP_TZ",
}
KEYS = {"keyed": ("id",), "two": ('no"te', "id"), "bag": ()}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("adapter", ["postgres", "redshift", "snowflake"])
def test_each_adapter_gets_the_statements_that_were_read_and_approved(adapter: str, key: str) -> None:
    """`GOLDEN=write pytest ...` writes them anew, to be read again."""
    columns = [{**c, "type": SNOWFLAKE.get(c["type"], "")} for c in COLUMNS] if adapter == "snowflake" else COLUMNS
    found = "".join(f"-- {rung}\n{sql}\n\n" for rung, sql in statements(Macros(adapter), columns, KEYS[key]).items())
    file = GOLDEN / f"{adapter}_{key}.sql"
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(found)
    assert found == file.read_text()


# --- types -----------------------------------------------------------------------------------------------

SHOWN = {
    **{
        "bool": "boolean",
        "int2": "smallint",
        "int4": "integer",
        "int8": "bigint",
        "char": '"char"',
        "float4": "real",
        "bpchar": "character(3)",
    },
    **{"float8": "double precision", "numeric": "numeric(10,2)", "timestamp": "timestamp(3) without time zone", "varbit": "bit varying(8)"},
    **{"timestamptz": "timestamp with time zone", "time": "time without time zone", "timetz": "time with time zone", "bit": "bit(3)"},
    "varchar": "character varying(20)",
}
"""How `format_type` shows the types whose names are other ones in the catalog."""


@pytest.mark.parametrize("name", sorted(NATIVE | SENDS.keys() | {"text", "varchar", "jsonb", "json", "xml", "citext"}))
def test_a_type_has_the_rule_that_rows_of_two_servers_have(name: str) -> None:
    """Or goes by its text, which differs too whenever the value does."""
    made = Macros("postgres").canonical({"name": "c", "type": SHOWN.get(name, name)})
    rule = expression("r.c", Kind("pg_catalog", name, "b")).sql
    by_text = {'r."c"::pg_catalog.text collate "C"'}
    geometric = {"point", "line", "lseg", "box", "path", "polygon", "circle"}
    assert made in ({rule.replace("r.c", 'r."c"').replace("COLLATE", "collate")} | (by_text if name in geometric else set()))


# --- run -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A type, a value of it in both relations, and the value that one row of `new` gets instead."""

    type: str
    old: str
    new: str


DIFFERENCES = {
    "null and empty": Kept("text", "NULL", "''"),
    "null and a blank": Kept("text", "NULL", "' '"),
    "a trailing blank": Kept("varchar(9)", "'a'", "'a '"),
    "capitals": Kept("text", "'a'", "'A'"),
    "sign": Kept("numeric", "123.45", "-123.45"),
    "scale": Kept("numeric", "1.0", "1.00"),
    "the 20th digit": Kept("numeric", "1.0000000000000000001", "1.0000000000000000002"),
    "not a number": Kept("numeric", "'NaN'", "'Infinity'"),
    "minus zero": Kept("float8", "'0'", "'-0'"),
    "the 16th digit of a float": Kept("float8", "0.1", "0.10000000000000002"),
    "32 bits": Kept("int8", "0", "4294967297"),
    "a microsecond": Kept("timestamp", "'2024-01-01'", "'2024-01-01 00:00:00.000001'"),
    "a microsecond with a zone": Kept("timestamptz", "'2024-01-01Z'", "'2024-01-01 00:00:00.000001Z'"),
    "a month and its days": Kept("interval", "'1 month'", "'30 days'"),
    "jsonb sign": Kept("jsonb", "'{\"a\": 1}'", "'{\"a\": -1}'"),
    "jsonb nesting": Kept("jsonb", "'[1]'", "'1'"),
    "json null": Kept("jsonb", "NULL", "'null'"),
    "array bounds": Kept("int[]", "'{1}'", "'[0:0]={1}'"),
    "array of nothing": Kept("text[]", "'{NULL}'", "'{\"NULL\"}'"),
    "enum": Kept("mood", "'glad'", "'sad'"),
    "domain": Kept("amount", "1.0", "1.00"),
    "bytes": Kept("bytea", "'\\x00'", "'\\x0000'"),
    "a range's sign": Kept("numrange", "'[1,2]'", "'[-1,2]'"),
    "a bit": Kept("bit varying", "B'1'", "B'10'"),
}


@pytest_asyncio.fixture
async def database(blue16: Server, make_database: MakeDatabase) -> Any:
    connection = await connect(await make_database(blue16, "macros"))
    await connection.execute(
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN amount AS numeric; CREATE SCHEMA old; CREATE SCHEMA new"
    )
    yield connection
    await connection.close()


async def fill(database: Connection, definition: str, *statements: str) -> Sequence[Column]:
    """`old.t` and `new.t` hold the same; returns their columns. The columns of `new` stand in another order."""
    rest = ", ".join(reversed(definition.split("; ")))
    await database.execute(
        f"DROP TABLE IF EXISTS old.t, new.t; CREATE TABLE old.t ({definition.replace('; ', ', ')}); CREATE TABLE new.t ({rest})"
    )
    for statement in statements:
        for schema in ("old", "new"):
            await database.execute(statement.replace("{t}", f"{schema}.t"))
    rows = await database.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'old.t'::regclass AND attnum > 0"
    )
    return [{"name": name, "type": shown} for name, shown in rows]


@dataclass(frozen=True)
class Climbed:
    buckets: list[int]
    columns: dict[str, int]
    rows: list[tuple[Any, ...]]


async def ask(database: Connection, sql: str) -> list[Any]:
    """`collate` is a word of PostgreSQL's, and a function of Snowflake's."""
    return list(await database.fetch(sql.replace(" collate(", ' "collate"(')))


async def climb(database: Connection, macros: Macros, columns: Sequence[Column], key: Sequence[str]) -> Climbed:
    """The ladder without its early end, so that each rung can be held against the others."""
    a, b = "old.t", "new.t"
    buckets = [row[0] for row in await ask(database, macros.keyed_hash(a, b, columns, key))]
    unlike = {}
    if key:
        unlike = {name: int(n or 0) for name, n in (await ask(database, macros.which_columns_differ(a, b, columns, key, [])))[0].items()}
    shown = [c for c in columns if unlike.get(c["name"])]
    found = await ask(database, macros.classified_sample(a, b, columns, key, buckets, shown, 20))
    everywhere = await ask(database, macros.classified_sample(a, b, columns, key, [], shown, 20))
    assert [tuple(row) for row in found] == [tuple(row) for row in everywhere], "outside the buckets that differ nothing does"
    return Climbed(buckets, {name: n for name, n in unlike.items() if n}, [tuple(row) for row in found])


@pytest.mark.servers
@pytest.mark.parametrize("key", [("id",), ("id", "name"), ()], ids=lambda key: ",".join(key) or "bag")
async def test_every_kind_of_difference_shows_and_equal_rows_do_not(database: Connection, key: tuple[str, ...]) -> None:
    macros = Macros("postgres")
    for what, kept in DIFFERENCES.items():
        columns = await fill(
            database,
            f"id int; name text; v {kept.type}",
            f"INSERT INTO {{t}} (id, name, v) SELECT g, 'n' || g, {kept.old} FROM generate_series(1, 50) g",
        )
        assert await climb(database, macros, columns, key) == Climbed([], {}, []), what
        await database.execute(f"UPDATE new.t SET v = {kept.new} WHERE id = 7")
        found = await climb(database, macros, columns, key)
        if key:
            assert found.columns == {"v": 1}, what
            assert [row[:5] for row in found.rows] == [(1, 1, 0, 0, "modified")], what
            assert found.rows[0][5:] == (*("7", "n7")[: len(key)], 1), what
        else:
            assert sorted(row[4] for row in found.rows) == ["only_a", "only_b"], what
            assert {row[2:4] for row in found.rows} == {(1, 1)}, what


SETS = {
    "a value swapped between two rows": ("UPDATE new.t SET v = CASE id WHEN 3 THEN 'v4' ELSE 'v3' END WHERE id IN (3, 4)", (2, 2, 0, 0)),
    "a row that is twice there": ("INSERT INTO new.t SELECT * FROM new.t WHERE id = 5", (1, 1, 0, 1)),
    "a row less": ("DELETE FROM new.t WHERE id = 6", (1, 0, 1, 0)),
    "a row more": ("INSERT INTO new.t (id, v) VALUES (99, 'x')", (1, 0, 0, 1)),
    "one twice for another": ("UPDATE new.t SET (id, v) = (8, 'v8') WHERE id = 9", (2, 1, 1, 1)),
    "another key": ("UPDATE new.t SET id = 77 WHERE id = 10", (2, 0, 1, 1)),
    "a key that is NULL": ("UPDATE new.t SET id = NULL WHERE id = 11", (2, 1, 1, 1)),
    "the value of a key that is NULL": ("UPDATE new.t SET v = 'x' WHERE id IS NULL", (1, 1, 0, 0)),
    "rows for one another": ("UPDATE new.t SET v = '' WHERE v IS NULL", (1, 1, 0, 0)),
}


@pytest.mark.servers
@pytest.mark.parametrize("adapter", ["postgres", "redshift", "snowflake"])
async def test_rows_that_are_lost_added_doubled_or_swapped(database: Connection, adapter: str) -> None:
    await database.execute(STAND_INS)
    rows = "INSERT INTO {t} (id, v) SELECT g, 'v' || g FROM generate_series(1, 50) g"
    for what, (planted, totals) in SETS.items():
        columns = await fill(database, "id bigint; v text", rows, "INSERT INTO {t} (id, v) VALUES (NULL, 'n'), (60, NULL)")
        assert await climb(database, Macros(adapter), columns, ["id"]) == Climbed([], {}, []), what
        await database.execute(planted)
        found = await climb(database, Macros(adapter), columns, ["id"])
        assert tuple(map(int, found.rows[0][:4])) == totals, what
        whole = await climb(database, Macros(adapter), columns, [])
        assert int(whole.rows[0][2]) - int(whole.rows[0][3]) == totals[2] - totals[3], what


STAND_INS = """
CREATE FUNCTION fnv_hash(text, bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT hashtextextended($1, $2)';
CREATE FUNCTION fnv_hash(int, bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT hashint4extended($1, $2)';
CREATE FUNCTION farmfingerprint64(text) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT hashtextextended($1, 7)';
CREATE FUNCTION to_varchar(anyelement) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1::text';
CREATE FUNCTION to_binary(text, text) RETURNS bytea IMMUTABLE LANGUAGE sql AS 'SELECT convert_to($1, $2)';
CREATE FUNCTION "collate"(text, text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION hash(anyelement) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT hash_record_extended(ROW($1), 1)::numeric';
CREATE FUNCTION hash(bigint, bytea) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT hash_record_extended(ROW($1, $2), 1)::numeric';
CREATE FUNCTION hash(bytea, bytea) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT hash_record_extended(ROW($1, $2), 1)::numeric';
CREATE FUNCTION hash(bytea, bigint, bytea) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT hash_record_extended(ROW($1, $2, $3), 1)::numeric';
CREATE FUNCTION hash(bytea, bytea, bytea) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT hash_record_extended(ROW($1, $2, $3), 1)::numeric';
CREATE FUNCTION hash(bigint, bigint, bytea) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT hash_record_extended(ROW($1, $2, $3), 1)::numeric';
"""
