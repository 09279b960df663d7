"""What a check reads, told from plans: which tables, what a plan does not show, what an answer depends on beside its rows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.reconcile.checks.metrics import SETTINGS
from cockpit.reconcile.checks.plans import Reads, look, reads
from cockpit.reconcile.sessions import Line
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import run

TABLES = """
CREATE SCHEMA "Odd Schema";
CREATE TABLE person (id int PRIMARY KEY, name text, email text, "Pay Grade" int, f float8);
CREATE TABLE "Odd Schema"."Täble" ("Key" text PRIMARY KEY, person int, amount numeric);
CREATE TABLE part (at date, v numeric) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE VIEW seen AS SELECT name, email AS reached_at FROM person;
CREATE FUNCTION secret_total() RETURNS numeric LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT sum(amount) FROM "Odd Schema"."Täble"); END $$;
"""


@pytest_asyncio.fixture(params=["16", "18"])
async def line(request: pytest.FixtureRequest, blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[Line]:
    endpoint = await make_database({"16": blue16, "18": green18}[request.param], "plans")
    await run(endpoint, TABLES)
    line = Line(Side.BLUE, endpoint, settings=SETTINGS)
    yield line
    await line.close()


def is_sensitive(column: str) -> bool:
    return column in {"public.person.email", "public.person.Pay Grade"}


async def asked(line: Line, sql: str) -> Reads:
    return await reads(line, sql, is_sensitive)


pytestmark = pytest.mark.servers


async def test_tables_are_named_through_joins_views_subqueries_and_partitions(line: Line) -> None:
    sql = 'SELECT p.name, sum(t.amount) FROM public.person p JOIN "Odd Schema"."Täble" t ON t.person = p.id GROUP BY 1'
    assert await asked(line, sql) == Reads(frozenset({("public", "person"), ("Odd Schema", "Täble")}))
    assert (await asked(line, "SELECT count(*) FROM public.seen")).tables == {("public", "person")}
    assert (await asked(line, "SELECT (SELECT count(*) FROM public.part) AS n")).tables == {("public", "part_1"), ("public", "part_2")}
    pruned = await asked(line, "SELECT count(*) FROM public.part WHERE at < '2024-06-01'")
    assert pruned == Reads(frozenset({("public", "part_1")}))


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT public.secret_total() AS total", "it calls secret_total(), which may read anything"),
        ("SELECT count(*) FROM public.person WHERE random() < 2", "it calls random(), which may read anything"),
        (
            "SELECT count(*) FROM public.part WHERE at > now() - interval '1 month'",
            "the moment it is asked decides which partitions it reads",
        ),
    ],
)
async def test_what_a_plan_does_not_show_is_never_called_seen(line: Line, sql: str, why: str) -> None:
    assert (await asked(line, sql)).unseen == why


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT name FROM public.person LIMIT 3", "it takes some of its rows (LIMIT)"),
        ("SELECT sum(f) AS weight FROM public.person", "weight is floating point"),
        ("SELECT sum(f)::numeric(9,2) AS weight FROM public.person", ""),
        ("SELECT string_agg(name, ',') AS names FROM public.person", "string_agg() depends on the order"),
        ("SELECT max(ctid::text) AS place FROM public.person", "ctid says where"),
        ("SELECT name, row_number() OVER (ORDER BY name) AS n FROM public.person", "it numbers or frames rows"),
    ],
)
async def test_what_does_not_follow_from_rows_alone_says_so(line: Line, sql: str, why: str) -> None:
    found = (await asked(line, sql)).loose
    assert found.startswith(why)
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT name, count(*) FROM public.person GROUP BY 1", ()),
        ("SELECT max(email) AS e FROM public.person", ("public.person.email",)),
        ("SELECT max(reached_at) AS e FROM public.seen", ("public.person.email",)),
        ("WITH x AS MATERIALIZED (SELECT email AS e FROM public.person) SELECT max(e) AS e FROM x", ("public.person.email",)),
        ('SELECT name, sum("Pay Grade") AS s FROM public.person GROUP BY 1', ("public.person.Pay Grade",)),
        ("SELECT count(*) FROM public.person WHERE email IS NULL", ()),
    ],
)
async def test_sensitive_columns_are_found_in_what_is_given_out(line: Line, sql: str, columns: tuple[str, ...]) -> None:
    assert (await asked(line, sql)).sensitive == columns


async def test_a_statement_that_cannot_be_planned_says_why(line: Line) -> None:
    with pytest.raises(SystemFault, match="nowhere"):
        await asked(line, "SELECT count(*) FROM public.nowhere")


def test_words_in_a_text_are_no_calls() -> None:
    plan = {"Node Type": "Seq Scan", "Relation Name": "t", "Schema": "s", "Output": ["a"], "Filter": "(a = 'random() ctid'::text)"}
    seen = look(plan)
    assert (seen.calls, seen.loose, list(seen.tables)) == (set(), "", [("s", "t")])
