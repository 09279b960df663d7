"""Every kind of difference that a comparison of two databases is known to miss, planted on green one by one.

A `Plant` says what is done and what has to be said about it. Sources: what the row expressions of reladiff, ACE, pgCompare and pgcopydb
and PostgreSQL's own hash functions and `=` call the same though it is not. The rig's servers are built without libxml and without ICU:
xml, and collations that call different texts equal, are not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cockpit.model.text import plain
from cockpit.reconcile.columns import SHOWN

Columns = Mapping[str, tuple[str | None, str | None]]
"""By column: the value on blue and on green, as PostgreSQL prints it."""


@dataclass(frozen=True)
class Told:
    """What has to be said about one row."""

    key: str
    how: str = "differs"
    columns: tuple[tuple[str, str | None, str | None], ...] = ()


@dataclass(frozen=True)
class Plant:
    kind: str
    table: str
    green: tuple[str, ...]
    """What is done on green."""
    rows: tuple[Told, ...] = ()
    """What is told of it; of a table without a key nothing but that it differs."""
    blue: str = ""
    """What is committed on blue before, and has reached green."""
    rogue: bool = False
    """An ordinary session writes, which replication shows; otherwise it is written as the apply worker writes."""


COLUMNS = {
    "numbers": "exact numeric; fixed numeric(20,6); double float8; single float4; big bigint; small smallint; cash money",
    "texts": 'one text; other text; short varchar(20); padded char(5); loose bpchar; "Odd ""name" text',
    "times": "plain timestamp; zoned timestamptz; day date; hour time; offset_hour timetz; span interval",
    "documents": "b jsonb; j json; found tsvector; asked tsquery",
    "kinds": "m mood; moods mood[]; p pos; price price; feeling feeling; bits bit(3); more_bits varbit; at point; area box; net inet;"
    " range numrange; many nummultirange; raw bytea; u uuid; flag bool; class regclass",
    "arrays": "ints int[]; numbers numeric[]; texts text[]; documents jsonb[]",
}
"""By table: its columns beside the key `id`. Green has them the other way round."""

VALUES: dict[str, dict[str, Columns]] = {
    "numbers": {
        "the sign of a numeric": {"exact": ("123.45", "-123.45")},
        "the scale of a numeric": {"exact": ("1.0", "1.00")},
        "the scale of a numeric's zero": {"exact": ("0", "0.000")},
        "the 12th significant digit of a numeric": {"fixed": ("123456.789012", "123456.789013")},
        "an unconstrained numeric's first decimal": {"exact": ("1.2", "1.3")},
        "a numeric NaN for Infinity": {"exact": ("NaN", "Infinity")},
        "a float's sign of zero": {"double": ("0", "-0")},
        "a short float's sign of zero": {"single": ("0", "-0")},
        "the 16th digit of a float": {"double": ("1.000000000000001", "1.000000000000002")},
        "a small float": {"double": ("0.0001", "0.0004")},
        "NaN for Infinity": {"double": ("NaN", "Infinity")},
        "an int8 that folds to the same 32 bits": {"big": ("0", "4294967297")},
        "a negative int8 that folds to the same 32 bits": {"big": ("0", "-4294967296")},
        "the upper half of an int8": {"big": ("0", "4294967296")},
        "NULL for zero": {"small": ("0", None)},
        "a cent of money": {"cash": ("$1.00", "$1.01")},
        "two columns' values swapped": {"big": ("1", "2"), "small": ("2", "1")},
    },
    "texts": {
        "an empty string for NULL": {"one": (None, "")},
        "NULL for an empty string": {"one": ("", None)},
        "NULL for one space": {"one": (" ", None)},
        "NULL for '<null>'": {"one": ("<null>", None)},
        "a delimiter that moved between two columns": {"one": ("a|", "a"), "other": ("b", "|b")},
        "a letter that moved between two columns": {"one": ("ab", "a"), "other": ("c", "bc")},
        "NULL that moved between two columns": {"one": (None, "x"), "other": ("x", None)},
        "a trailing blank": {"one": ("a", "a ")},
        "a case": {"one": ("a", "A")},
        "an accent in two forms": {"one": ("\u00e9", "e\u0301")},
        "a value in a column of fixed width": {"padded": ("ab   ", "ac   ")},
        "a blank in a column of no width": {"loose": ("ab", "ab ")},
        "the end of a long text": {"one": ("a" * 5000, "a" * 4999 + "b")},
        "a line's end for what it is shown as": {"one": ("a\\nb", "a\nb")},
        "a value under an odd name": {'Odd "name': ("'", '"')},
        "a varchar's trailing blank": {"short": ("a", "a ")},
    },
    "times": {
        "one microsecond": {"plain": ("2024-01-01 00:00:00", "2024-01-01 00:00:00.000001")},
        "one microsecond in a zone": {"zoned": ("2024-01-01 00:00:00+00", "2024-01-01 00:00:00.000001+00")},
        "infinity for a day": {"day": ("2024-02-29", "infinity")},
        "one microsecond of a day": {"hour": ("12:00:00", "12:00:00.000001")},
        "the same hour in another zone": {"offset_hour": ("12:00:00+00", "13:00:00+01")},
        "a month for 30 days": {"span": ("1 mon", "30 days")},
        "a day for 24 hours": {"span": ("1 day", "24:00:00")},
    },
    "documents": {
        "{} for []": {"b": ("[]", "{}")},
        "1 for [1]": {"b": ("[1]", "1")},
        "an array nested otherwise": {"b": ("[[1], 2]", "[[1, 2]]")},
        "the sign of a number in jsonb": {"b": ('{"a": 1}', '{"a": -1}')},
        "the scale of a number in jsonb": {"b": ("1.0", "1.00")},
        "values swapped between two keys 16 apart": {
            "b": tuple("{" + ", ".join(f'"k{i:02}": {v.get(i, 0)}' for i in range(17)) + "}" for v in ({0: 1, 16: 2}, {0: 2, 16: 1}))
        },
        "jsonb null for NULL": {"b": (None, "null")},
        "a blank in json": {"j": ('{"a":1}', '{"a": 1}')},
        "a key twice in json": {"j": ('{"a":2}', '{"a":1,"a":2}')},
        "a place in a tsvector": {"found": ("'a':1", "'a':2")},
        "an operator of a tsquery": {"asked": ("'a' & 'b'", "'a' | 'b'")},
    },
    "kinds": {
        "an enum's value": {"m": ("glad", "sad")},
        "an enum's value in an array": {"moods": ("{glad,sad}", "{sad,glad}")},
        "a number in a composite": {"p": ("(1.0,glad,)", "(1.00,glad,)")},
        "NULL in a composite": {"p": ('(1,sad,"")', "(1,sad,)")},
        "a domain's sign": {"price": ("1.5", "-1.5")},
        "an enum's value in a domain": {"feeling": ("glad", "sad")},
        "a bit": {"bits": ("101", "100")},
        "a bit more": {"more_bits": ("101", "1010")},
        "a point's sign of zero": {"at": ("(0,1)", "(-0,1)")},
        "a box of the same area": {"area": ("(2,1),(0,0)", "(1,2),(0,0)")},
        "an address's mask": {"net": ("10.0.0.1/32", "10.0.0.1/31")},
        "the sign of a range's bound": {"range": ("[1,2]", "[-1,2]")},
        "a bound of a range": {"range": ("[1,2)", "[1,2]")},
        "a range of many": {"many": ("{[1,2],[3,4]}", "{[1,2],[3,5]}")},
        "a zero byte": {"raw": ("\\x00", "\\x0000")},
        "a digit of a uuid": {"u": ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000010")},
        "NULL for false": {"flag": ("false", None)},
        "another table's name": {"class": ("pg_class", "pg_type")},
    },
    "arrays": {
        "an array's lower bound": {"ints": ("{1}", "[0:0]={1}")},
        "an array's dimensions": {"ints": ("{1}", "{{1}}")},
        "an empty array for NULL": {"ints": (None, "{}")},
        "a scale inside an array": {"numbers": ("{1.0}", "{1.00}")},
        "NULL for 'NULL' in an array": {"texts": ('{"NULL"}', "{NULL}")},
        "a comma inside an array": {"texts": ('{a,"b,c"}', '{"a,b",c}')},
        "a document inside an array": {"documents": ('{"{}"}', "{[]}")},
    },
}
"""By table and kind: the columns of one row that green has otherwise."""

_LATER = 1000
"""Rows from here on hold green's values on both sides: they are there where nothing may be found."""


def value_rows() -> Iterator[str]:
    """The statements that make both sides hold what both sides of every plant hold."""
    for table, kinds in VALUES.items():
        for number, columns in enumerate(kinds.values(), 1):
            names = ", ".join(_name(column) for column in columns)
            for side in (0, 1):
                values = ", ".join(_literal(pair[side]) for pair in columns.values())
                yield f"INSERT INTO {table} (id, {names}) VALUES ({number + _LATER * side}, {values})"


def _value_plants() -> Iterator[Plant]:
    for table, kinds in VALUES.items():
        for number, (kind, columns) in enumerate(kinds.items(), 1):
            changes = ", ".join(f"{_name(column)} = {_literal(green)}" for column, (_, green) in columns.items())
            told = tuple(sorted((column, _shown(blue), _shown(green)) for column, (blue, green) in columns.items()))
            yield Plant(
                kind, f"public.{table}", (f"UPDATE {table} SET {changes} WHERE id = {number}",), (Told(f"id={number}", "differs", told),)
            )


def _shown(value: str | None) -> str | None:
    return None if value is None else plain(value, SHOWN)


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


TABLES = """
CREATE TABLE account (id int PRIMARY KEY, owner text, balance numeric);
CREATE TABLE plain (id int PRIMARY KEY, a int, b int, t text);
CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."Täble" ("Key" text, "n o" numeric, v text, PRIMARY KEY ("Key", "n o"));
CREATE TABLE part (id bigint, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE made (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
CREATE TABLE hidden (id int PRIMARY KEY, v text);
CREATE POLICY mine ON hidden USING (id < 5);
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
CREATE TABLE bag (a int, t text);
CREATE TABLE bag_of_pairs (a int, t text);
ALTER TABLE bag_of_pairs REPLICA IDENTITY FULL;
CREATE TABLE bag_of_nulls (a int, t text);
ALTER TABLE bag_of_nulls REPLICA IDENTITY FULL;
CREATE TABLE bag_of_json (j json);
ALTER TABLE bag_of_json REPLICA IDENTITY FULL;
CREATE TABLE long_by_number (id bigint PRIMARY KEY, v text);
CREATE TABLE long_with_gaps (id int PRIMARY KEY, v text);
CREATE TABLE long_by_name (id text PRIMARY KEY, v text);
CREATE TABLE long_bag (n int, v text);
ALTER TABLE long_bag REPLICA IDENTITY FULL;
CREATE UNLOGGED TABLE unlogged (id int);
CREATE FOREIGN DATA WRAPPER elsewhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one;
"""

ROWS = """
INSERT INTO plain SELECT i, i, 100 + i, 't' || i FROM generate_series(1, 30) i;
INSERT INTO "Odd Schema"."Täble" SELECT 'k', i, 'v' FROM generate_series(1, 9) i;
INSERT INTO part SELECT i, date '2024-06-01' + (i % 2) * 365, 'v' FROM generate_series(1, 20) i;
INSERT INTO parent SELECT i, 'v' FROM generate_series(1, 9) i;
INSERT INTO child SELECT i, 'v', 'more' FROM generate_series(1, 9) i;
INSERT INTO made SELECT i, i FROM generate_series(1, 9) i;
INSERT INTO hidden SELECT i, 'v' FROM generate_series(1, 9) i;
INSERT INTO bag SELECT i / 2, 't' FROM generate_series(1, 20) i;
INSERT INTO bag_of_pairs VALUES (1, 'x'), (1, 'x'), (2, 'y'), (2, 'y'), (3, 'z');
INSERT INTO bag_of_nulls VALUES (NULL, NULL), (NULL, NULL), (1, NULL), (NULL, 'x');
INSERT INTO bag_of_json SELECT json_build_object('i', i) FROM generate_series(1, 9) i;
INSERT INTO long_by_number SELECT i, 'v' || i FROM generate_series(1, 6000) i;
INSERT INTO long_with_gaps SELECT CASE WHEN i <= 6000 THEN i - 3000 ELSE 2147483647 - 1000 * (9000 - i) END, 'v' FROM generate_series(1, 9000) i;
INSERT INTO long_by_name SELECT 'k' || i, 'v' || i FROM generate_series(1, 6000) i;
INSERT INTO long_bag SELECT i, 'v' || i FROM generate_series(1, 6000) i;
"""

_LONG = tuple(Told(f"id={i}", "differs", (("v", f"v{i}", "wrong"),)) for i in (1, 2000, 2001, 6000))

PLANTS = (
    *_value_plants(),
    Plant(
        "one column's values swapped between two rows",
        "public.plain",
        ("UPDATE plain SET a = CASE id WHEN 1 THEN 2 ELSE 1 END WHERE id IN (1, 2)",),
        (Told("id=1", "differs", (("a", "1", "2"),)), Told("id=2", "differs", (("a", "2", "1"),))),
    ),
    Plant(
        "a lost update",
        "public.plain",
        ("UPDATE plain SET t = 't3' WHERE id = 3",),
        (Told("id=3", "differs", (("t", "new", "t3"),)),),
        blue="UPDATE plain SET t = 'new' WHERE id = 3",
    ),
    Plant(
        "a lost delete",
        "public.plain",
        ("INSERT INTO plain VALUES (4, 4, 104, 't4')",),
        (Told("id=4", "only on green"),),
        blue="DELETE FROM plain WHERE id = 4",
    ),
    Plant(
        "a lost insert",
        "public.plain",
        ("DELETE FROM plain WHERE id = 105",),
        (Told("id=105", "missing on green"),),
        blue="INSERT INTO plain VALUES (105, 1, 1, '')",
    ),
    Plant("a row less", "public.plain", ("DELETE FROM plain WHERE id = 6",), (Told("id=6", "missing on green"),)),
    Plant("a row more", "public.plain", ("INSERT INTO plain VALUES (107, 1, 1, '')",), (Told("id=107", "only on green"),)),
    Plant(
        "a key that changed",
        "public.plain",
        ("UPDATE plain SET id = 108 WHERE id = 8",),
        (Told("id=8", "missing on green"), Told("id=108", "only on green")),
    ),
    Plant(
        "a stranger's update",
        "public.plain",
        ("UPDATE plain SET b = 0 WHERE id = 9",),
        (Told("id=9", "differs", (("b", "109", "0"),)),),
        rogue=True,
    ),
    Plant("a stranger's row", "public.plain", ("INSERT INTO plain VALUES (110)",), (Told("id=110", "only on green"),), rogue=True),
    Plant("a stranger's delete", "public.plain", ("DELETE FROM plain WHERE id = 11",), (Told("id=11", "missing on green"),), rogue=True),
    Plant(
        "a row under a composite key and odd names",
        "Odd Schema.Täble",
        ("""UPDATE "Odd Schema"."Täble" SET v = '' WHERE "n o" = 3""",),
        (Told("Key=k, n o=3", "differs", (("v", "v", ""),)),),
    ),
    Plant(
        "a key of another scale",
        "Odd Schema.Täble",
        ("""UPDATE "Odd Schema"."Täble" SET "n o" = 4.0 WHERE "n o" = 4""",),
        (Told("Key=k, n o=4", "differs", (("n o", "4", "4.0"),)),),
    ),
    Plant(
        "a row of one partition",
        "public.part_2",
        ("UPDATE part SET v = NULL WHERE id = 7",),
        (Told("id=7, at=2025-06-01", "differs", (("v", "v", None),)),),
    ),
    Plant(
        "a row of the inheriting table alone",
        "public.child",
        ("UPDATE child SET v = 'w' WHERE id = 5",),
        (Told("id=5", "differs", (("v", "v", "w"),)),),
    ),
    Plant(
        "a generated column that green makes otherwise",
        "public.made",
        ("ALTER TABLE made ALTER twice SET EXPRESSION AS (CASE n WHEN 3 THEN 7 ELSE n * 2 END)",),
        (Told("id=3", "differs", (("twice", "6", "7"),)),),
    ),
    Plant(
        "a row that row security hides",
        "public.hidden",
        ("UPDATE hidden SET v = 'w' WHERE id = 8",),
        (Told("id=8", "differs", (("v", "v", "w"),)),),
    ),
    Plant("one copy more of a row without a key", "public.bag", ("INSERT INTO bag VALUES (3, 't')",)),
    Plant(
        "a pair of equal rows replaced by a pair of others",
        "public.bag_of_pairs",
        ("UPDATE bag_of_pairs SET a = 2, t = 'y' WHERE a = 1",),
    ),
    Plant("a row of NULLs replaced by another", "public.bag_of_nulls", ("UPDATE bag_of_nulls SET a = NULL, t = '' WHERE a = 1",)),
    Plant("a row of a type without equality", "public.bag_of_json", ("""UPDATE bag_of_json SET j = '{"i":9}' WHERE j->>'i' = '9'""",)),
    Plant(
        "rows at the ends of ranges",
        "public.long_by_number",
        ("UPDATE long_by_number SET v = 'wrong' WHERE id IN (1, 2000, 2001, 6000)",),
        _LONG,
    ),
    Plant(
        "rows before the first and behind the last of blue",
        "public.long_by_number",
        ("INSERT INTO long_by_number VALUES (0, ''), (6001, '')",),
        (Told("id=0", "only on green"), Told("id=6001", "only on green")),
    ),
    Plant(
        "rows around the gaps of a key and at the end of its type",
        "public.long_with_gaps",
        (
            "UPDATE long_with_gaps SET v = 'wrong' WHERE id IN (-2999, 3000, 2147482647, 2147483647)",
            "INSERT INTO long_with_gaps VALUES (5000, ''), (-2147483648, '')",
        ),
        (
            *(Told(f"id={i}", "differs", (("v", "v", "wrong"),)) for i in (-2999, 3000, 2147482647, 2147483647)),
            *(Told(f"id={i}", "only on green") for i in (5000, -2147483648)),
        ),
    ),
    Plant(
        "a row of a long table that is not read in the order of its key",
        "public.long_by_name",
        ("UPDATE long_by_name SET v = 'wrong' WHERE id = 'k6000'",),
        (Told("id=k6000", "differs", (("v", "v6000", "wrong"),)),),
    ),
    Plant("a row of a long table without a key", "public.long_bag", ("UPDATE long_bag SET v = 'wrong' WHERE n = 6000",)),
)

UNVERIFIABLE = {"public.unlogged": "unlogged", "public.far": "foreign table", "public.seen": "materialized view"}
"""What cannot be proven, and a word of the reason that is listed."""

TYPES = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE pos AS (x numeric, m mood, t text);
CREATE DOMAIN price AS numeric;
CREATE DOMAIN feeling AS mood;
"""


def blue_schema() -> tuple[str, ...]:
    creates = [f"CREATE TABLE {table} (id int PRIMARY KEY, {columns.replace(';', ',')})" for table, columns in COLUMNS.items()]
    return (TYPES, *creates, TABLES)


def green_schema() -> tuple[str, ...]:
    """The same with its columns in another order, one dropped in between, and other OIDs of the types."""
    statements = ["CREATE TYPE others AS ENUM ('x', 'y', 'z')", TYPES]
    for table, columns in COLUMNS.items():
        last, *others = columns.split(";")
        turned = ", ".join([*reversed(others), "gone text", last, "id int PRIMARY KEY"])
        statements += [f"CREATE TABLE {table} ({turned})", f"ALTER TABLE {table} DROP gone"]
    return (*statements, TABLES)
