"""What there is to compare, as a role sees it that may not see everything."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile import catalog
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Name
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import locked, run

pytestmark = pytest.mark.servers

SCHEMA = """
CREATE SCHEMA closed;
CREATE TABLE closed.inside (id int PRIMARY KEY);
CREATE TABLE open (id int PRIMARY KEY);
CREATE TABLE shut (id int PRIMARY KEY);
CREATE TABLE by_column (id int PRIMARY KEY, v text);
CREATE TABLE half (id int PRIMARY KEY, v text);
CREATE TABLE hidden (id int PRIMARY KEY);
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
CREATE UNLOGGED TABLE cache (id int);
GRANT SELECT ON open, hidden, closed.inside TO recon_guest;
GRANT SELECT (id, v) ON by_column TO recon_guest;
GRANT SELECT (id) ON half TO recon_guest;
"""


@pytest_asyncio.fixture
async def guest(green18: Server, make_database: MakeDatabase) -> AsyncIterator[Endpoint]:
    database = await make_database(green18, "guests")
    with contextlib.suppress(asyncpg.DuplicateObjectError):
        await run(database, "CREATE ROLE recon_guest LOGIN PASSWORD 'guest'")
    await run(database, SCHEMA)
    yield replace(database, user="recon_guest", password=Secret("guest"))
    await run(database, "DROP OWNED BY recon_guest", "DROP ROLE recon_guest")


async def test_what_the_role_may_not_read_whole_is_said_and_still_owed(guest: Endpoint) -> None:
    lines = {side: Line(side, guest) for side in Side}
    try:
        found: dict[str, Table] = {table.shown: table for table in (await catalog.read(lines, (), Side.BLUE)).values()}
    finally:
        for line in lines.values():
            await line.close()
    assert {name for name, table in found.items() if not table.unprovable} == {"public.open", "public.by_column"}
    for name in ("closed.inside", "public.shut", "public.half"):
        assert "may not be read on blue" in found[name].unprovable
        assert found[name].owed
    assert "row-level security" in found["public.hidden"].unprovable
    assert found["public.hidden"].owed
    assert not found["public.cache"].owed


WIDE = """
CREATE TABLE wide (id int PRIMARY KEY, v text);
ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
INSERT INTO wide SELECT i, repeat('v', 10000) FROM generate_series(1, 100) i;
VACUUM wide;
"""


@pytest.mark.parametrize(
    ("held", "awaited"),
    [
        ("LOCK TABLE wide IN ACCESS EXCLUSIVE MODE", ""),
        ("LOCK TABLE wide IN ACCESS SHARE MODE", "LOCK TABLE wide IN ACCESS EXCLUSIVE MODE"),
        ("REINDEX TABLE wide", ""),
    ],
)
async def test_a_table_that_is_locked_keeps_nobody_from_reading_the_catalogs(
    blue16: Server, green18: Server, make_database: MakeDatabase, held: str, awaited: str
) -> None:
    """VACUUM FULL, REFRESH MATERIALIZED VIEW and ALTER TABLE lock a table like that, for as long as they take."""
    ends = {Side.BLUE: await make_database(blue16, "locked"), Side.GREEN: await make_database(green18, "locked")}
    for end in ends.values():
        await run(end, *WIDE.strip().split("\n"))
    before = await _read(ends)
    async with contextlib.AsyncExitStack() as stack:
        for end in ends.values():
            await stack.enter_async_context(locked(end, held, awaited))
        found = await _read(ends)
    assert {name: replace(table, size=0) for name, table in found.items()} == {
        name: replace(table, size=0) for name, table in before.items()
    }
    assert found["public", "wide"].size == pytest.approx(before["public", "wide"].size, rel=0.2), "with what is stored beside it"


async def _read(ends: dict[Side, Endpoint]) -> dict[Name, Table]:
    lines = {side: Line(side, end) for side, end in ends.items()}
    try:
        return await catalog.read(lines, (), Side.BLUE)
    finally:
        for line in lines.values():
            await line.close()
