"""Servers that tests share: PostgreSQL 16 and 18, started once for a session, each test in a database of its own."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Protocol

import asyncpg
import pytest
import pytest_asyncio

from cockpit.drill.folders import Claim, claim, new_folder
from cockpit.drill.servers import Server, launch
from cockpit.model.settings import Endpoint
from tests.guard import no_loose_ends as no_loose_ends

os.environ["COCKPIT_SCREEN"] = os.devnull + "/none"
"""Whoever runs the tests, their own taste of screens does not count, also not in the processes that tests start."""


def pytest_collection_finish() -> None:
    """What is loaded by now stays: no collection has to walk over it again."""
    gc.collect()
    gc.freeze()


class MakeDatabase(Protocol):
    def __call__(self, server: Server, name: str, template: str = "template1") -> Awaitable[Endpoint]: ...


# Tests kill no machine: what a crash of the operating system would lose may be lost.
QUICK = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_wal_size": "512MB"}


MEMORY = Path("/dev/shm")
ROOM = 8 << 30
"""Bytes free: two servers of each worker, with what tests write into them."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _servers_folder() -> AsyncIterator[Claim]:
    claimed = claim(_in_memory())
    yield claimed
    claimed.release()


def _in_memory() -> Path:
    """Where there is room: making and dropping a database is a thousand files."""
    with pytest.MonkeyPatch.context() as patched:
        if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
            patched.setattr(tempfile, "tempdir", str(MEMORY))
        return new_folder("test-")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def blue16(_servers_folder: Claim) -> AsyncIterator[Server]:
    server = await launch(_servers_folder.folder / "blue16", 16, name="blue16", settings=QUICK)
    _servers_folder.adopt(server.pid)
    yield server
    await server.stop(immediate=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def green18(_servers_folder: Claim) -> AsyncIterator[Server]:
    server = await launch(_servers_folder.folder / "green18", 18, name="green18", settings=QUICK)
    _servers_folder.adopt(server.pid)
    yield server
    await server.stop(immediate=True)


@pytest_asyncio.fixture
async def make_database() -> AsyncIterator[MakeDatabase]:
    """`await make_database(server, "name")`: an empty database, or a copy of another; gone after the test with its subscriptions and slots."""
    made: list[tuple[Server, str]] = []

    async def make(server: Server, name: str, template: str = "template1") -> Endpoint:
        await _drop(server, name)
        made.append((server, name))
        return await create(server, name, template)

    yield make
    # Subscriptions of every side first: a slot that is in use cannot be dropped.
    for server, name in made:
        await _drop_subscriptions(server, name)
    for server, name in made:
        await _drop(server, name)


async def create(server: Server, name: str, template: str = "template1") -> Endpoint:
    await _execute(server, "postgres", f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)} STRATEGY FILE_COPY")
    return server.database(name)


async def _drop(server: Server, name: str) -> None:
    conn = await _connect(server, "postgres")
    try:
        if not await conn.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name):
            return
        await _drop_subscriptions(server, name)
        await conn.execute(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE database = $1 AND active_pid IS NOT NULL", name
        )
        await conn.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1", name)
        await conn.execute(f"DROP DATABASE {_quoted(name)} WITH (FORCE)")
    finally:
        await conn.close()


async def _drop_subscriptions(server: Server, name: str) -> None:
    conn = await _connect(server, name)
    try:
        mine = "SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()"
        for row in await conn.fetch(mine):
            subscription = _quoted(row["subname"])
            await conn.execute(f"ALTER SUBSCRIPTION {subscription} DISABLE")
            await conn.execute(f"ALTER SUBSCRIPTION {subscription} SET (slot_name = NONE)")
            await conn.execute(f"DROP SUBSCRIPTION {subscription}")
    finally:
        await conn.close()


async def _execute(server: Server, database: str, statement: str) -> None:
    conn = await _connect(server, database)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


async def _connect(server: Server, database: str) -> asyncpg.Connection:
    password = server.superuser.password
    assert password is not None
    return await asyncpg.connect(
        host=server.superuser.host,
        port=server.port,
        user=server.superuser.user,
        password=password.reveal(),
        database=database,
        ssl=False,
        timeout=10,
        command_timeout=30,
        server_settings={"default_transaction_read_only": "off"},
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
