"""Servers come up as root and as anyone, refuse nothing they should take, and end."""

from __future__ import annotations

import os

import asyncpg
import pytest

from cockpit.drill.servers import Server, binaries, free_port
from cockpit.errors import CockpitError
from cockpit.model.settings import Endpoint


async def connect(endpoint: Endpoint) -> asyncpg.Connection:
    assert endpoint.password is not None
    return await asyncpg.connect(
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.user,
        password=endpoint.password.reveal(),
        database=endpoint.database,
        ssl=False,
        timeout=10,
    )


@pytest.mark.servers
async def test_both_versions_answer_with_logical_wal(blue16: Server, green18: Server) -> None:
    for server in (blue16, green18):
        conn = await connect(server.superuser)
        try:
            assert (await conn.fetchval("SHOW server_version_num")).startswith(str(server.major))
            assert await conn.fetchval("SHOW wal_level") == "logical"
            assert await conn.fetchval("SHOW cluster_name") == server.name
        finally:
            await conn.close()


@pytest.mark.servers
async def test_the_server_never_runs_as_root(blue16: Server) -> None:
    assert os.stat(f"/proc/{blue16.pid}").st_uid != 0


@pytest.mark.servers
async def test_a_wrong_password_is_refused(blue16: Server) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(blue16.endpoint("postgres", "postgres", "not this one"))


@pytest.mark.servers
async def test_a_made_database_is_empty(blue16: Server, make_database) -> None:
    endpoint = await make_database(blue16, 'odd "name"')
    conn = await connect(endpoint)
    try:
        assert await conn.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    finally:
        await conn.close()


def test_a_version_that_is_not_there_is_named() -> None:
    with pytest.raises(CockpitError, match="no PostgreSQL 12"):
        binaries(12)


def test_a_free_port_can_be_bound() -> None:
    assert 1024 <= free_port() <= 65535
