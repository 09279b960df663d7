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
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import run

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
