"""Which tables a tap carries, and of which every change shows: on a real server, where tables come and go and others hold them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile import catalog, taps
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Name
from cockpit.reconcile.taps import Tap
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import connect, run

pytestmark = pytest.mark.servers

ACCOUNT: Name = ("public", "account")
ENTRY: Name = ("public", "entry")

Look = Callable[[], Awaitable[Mapping[Name, Table]]]


@pytest_asyncio.fixture
async def database(green18: Server, make_database: MakeDatabase) -> Endpoint:
    made = await make_database(green18, "published")
    await run(
        made, "CREATE TABLE account (id int PRIMARY KEY, n int)", "CREATE TABLE entry (id int PRIMARY KEY)", "CREATE TABLE log (n int)"
    )
    return made


@pytest_asyncio.fixture
async def look(database: Endpoint) -> AsyncIterator[Look]:
    """Reads the catalogs."""
    lines = {side: Line(side, database) for side in Side}

    async def read() -> Mapping[Name, Table]:
        return await catalog.read(lines, (), Side.BLUE)

    yield read
    for line in lines.values():
        await line.close()


@pytest_asyncio.fixture
async def tap(database: Endpoint, look: Look) -> AsyncIterator[Tap]:
    made = Tap(Side.GREEN, database, "arp", "0123abcd")
    assert await made.ensure(await look())
    assert made.unsure() == {ACCOUNT, ENTRY, ("public", "log")}
    yield made
    await made.close()


@pytest_asyncio.fixture
async def other(database: Endpoint) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's session, in a transaction."""
    made = await connect(database)
    await made.execute("BEGIN")
    yield made
    await made.close()


async def test_a_table_that_was_made_anew_is_carried_anew(tap: Tap, database: Endpoint, look: Look) -> None:
    """It left the publication without a word; its name and its definition are as before."""
    await run(database, "DROP TABLE account", "CREATE TABLE account (id int PRIMARY KEY, n int)", "INSERT INTO account VALUES (1, 1)")
    assert ACCOUNT not in (await tap.drain()).keys
    assert (tap.unsure(), tap.carries(ACCOUNT), tap.blind(), tap.outdated) == ({ACCOUNT}, False, {ACCOUNT}, True)
    assert not await tap.ensure(await look()), "the tap itself is the same"
    assert (tap.unsure(), tap.outdated) == ({ACCOUNT}, False)
    await tap.drain()
    assert (tap.carries(ACCOUNT), tap.blind()) == (True, set())
    await run(database, "INSERT INTO account VALUES (2, 2)")
    assert set((await tap.drain()).keys[ACCOUNT]) == {("2",)}


async def test_a_table_that_was_dropped_is_let_go_before_the_catalogs_say_so(tap: Tap, database: Endpoint, look: Look) -> None:
    before = await look()
    await run(database, "DROP TABLE account")
    await tap.drain()
    for _ in range(2):
        assert not await tap.ensure(before), "it is the same tap"
        assert (tap.up, tap.blind(), tap.held, tap.outdated) == (True, {ACCOUNT}, set(), True)
    assert not await tap.ensure(await look())
    assert (tap.blind(), tap.outdated) == (set(), False)
    await run(database, "INSERT INTO entry VALUES (1)")
    assert set((await tap.drain()).keys[ENTRY]) == {("1",)}


async def test_a_table_that_is_held_is_let_go_too(tap: Tap, database: Endpoint, look: Look, other: asyncpg.Connection) -> None:
    """Its shapes differ by now, and an index is being built."""
    tables = dict(await look())
    tables[ACCOUNT] = replace(tables[ACCOUNT], tapped=None)
    await other.execute("LOCK TABLE account IN SHARE UPDATE EXCLUSIVE MODE")
    for _ in range(2):
        assert not await tap.ensure(tables), "it is the same tap"
        assert (tap.up, tap.carries(ACCOUNT), tap.carries(ENTRY), tap.blind()) == (True, False, True, set())


async def test_a_table_of_another_name_is_noticed_whatever_the_catalogs_said(tap: Tap, database: Endpoint, look: Look) -> None:
    await run(database, "CREATE TABLE made (id int PRIMARY KEY, n int)")
    assert not await tap.ensure(await look())
    await tap.drain()
    assert tap.unsure() == {("public", "made")}
    await run(database, "BEGIN; ALTER TABLE account RENAME TO account_old; ALTER TABLE made RENAME TO account; COMMIT")
    await tap.look()
    assert tap.unsure() == {ACCOUNT, ("public", "made")}
    assert not tap.carries(ACCOUNT)
    assert tap.outdated


async def test_tables_that_changed_their_names_are_carried_by_those_they_have(tap: Tap, database: Endpoint, look: Look) -> None:
    await run(database, "CREATE TABLE made (id int PRIMARY KEY, n int)")
    await run(database, "BEGIN; ALTER TABLE account RENAME TO account_old; ALTER TABLE made RENAME TO account; COMMIT")
    assert not await tap.ensure(await look())
    await tap.drain()
    assert tap.unsure() == {ACCOUNT, ("public", "account_old")}
    await run(database, "INSERT INTO account VALUES (1, 1)", "INSERT INTO account_old VALUES (2, 2)")
    assert dict((await tap.drain()).keys) == {ACCOUNT: {("1",): None}, ("public", "account_old"): {("2",): None}}


async def test_a_table_into_which_somebody_was_writing_when_it_was_added_is_unsure_until_that_has_ended(
    tap: Tap, database: Endpoint, look: Look, other: asyncpg.Connection
) -> None:
    await run(database, "CREATE TABLE fresh (id int PRIMARY KEY)")
    fresh = ("public", "fresh")
    await other.execute("INSERT INTO fresh VALUES (1)")
    assert not await tap.ensure(await look())
    await tap.drain()
    assert (tap.unsure(), tap.carries(fresh), tap.blind()) == ({fresh}, False, {fresh})
    tap.marked()
    assert tap.position is None, "who went on from here would not know"
    await other.execute("COMMIT")
    assert fresh not in (await tap.drain()).keys, "its row did not show"
    assert (tap.unsure(), tap.carries(fresh), tap.blind()) == ({fresh}, True, set())
    tap.marked()
    assert tap.position is not None
    await run(database, "INSERT INTO fresh VALUES (2)")
    assert set((await tap.drain()).keys[fresh]) == {("2",)}


async def test_a_table_that_is_held_keeps_no_other_one_out(database: Endpoint, look: Look, other: asyncpg.Connection) -> None:
    """VACUUM takes the same lock, for hours."""
    await other.execute("LOCK TABLE account IN SHARE UPDATE EXCLUSIVE MODE")
    tap = Tap(Side.GREEN, database, "arp", "0123abcd")
    try:
        assert await tap.ensure(await look()), tap.why
        assert (tap.carries(ENTRY), tap.carries(ACCOUNT), tap.blind(), tap.held) == (True, False, {ACCOUNT}, {ACCOUNT})
        await other.execute("COMMIT")
        assert not await tap.ensure(await look()), "it is the same tap"
        await tap.drain()
        assert (tap.carries(ACCOUNT), tap.blind(), tap.held) == (True, set(), set())
    finally:
        await tap.close()


async def test_a_table_that_is_taken_hold_of_at_that_moment_keeps_no_other_one_out(
    database: Endpoint, look: Look, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await other.execute("LOCK TABLE account IN SHARE UPDATE EXCLUSIVE MODE")
    monkeypatch.setattr("cockpit.reconcile.publications._HELD", "SELECT oid FROM unnest($1::oid[]) oid WHERE false")
    tap = Tap(Side.GREEN, database, "arp", "0123abcd")
    try:
        assert await tap.ensure(await look()), tap.why
        assert (tap.carries(ENTRY), tap.blind(), tap.held) == (True, {ACCOUNT}, {ACCOUNT})
    finally:
        await tap.close()


async def test_publications_stand_while_the_slot_waits_for_a_transaction(
    database: Endpoint, look: Look, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each making of them is a write to the catalogs; the transaction may take hours."""
    monkeypatch.setitem(taps.SETTINGS, "statement_timeout", "200ms")
    await other.execute("INSERT INTO entry VALUES (1)")
    tap = Tap(Side.GREEN, database, "arp", "0123abcd")
    try:
        assert not await tap.ensure(await look())
        before = await publications(database)
        assert not await tap.ensure(await look())
        assert len(before) == 2
        assert await publications(database) == before
        await other.execute("COMMIT")
        assert await tap.ensure(await look())
        assert await publications(database) == before
        await run(database, "INSERT INTO account VALUES (1, 1)")
        assert set((await tap.drain()).keys[ACCOUNT]) == {("1",)}
    finally:
        await tap.close()
    assert await publications(database) == []


async def publications(database: Endpoint) -> list[int]:
    line = Line(Side.GREEN, database)
    try:
        return [row["oid"] for row in await line.fetch("SELECT oid::int8 AS oid FROM pg_publication ORDER BY 1")]
    finally:
        await line.close()
