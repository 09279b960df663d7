"""A pair of real databases behind a real PgBouncer with nothing wrong, its config, and what may be planted in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio

from cockpit.drill.folders import Claim
from cockpit.drill.links import connection
from cockpit.drill.servers import Server
from tests.cli.typed import Answer, cockpit, on_terminal
from tests.conftest import MakeDatabase
from tests.systems.channels import bouncer

APP, APP_WORD = "cli_app", "app-word-canary"
SCHEMA = """
CREATE TABLE orders (id bigserial PRIMARY KEY, note text);
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO cli_app; GRANT USAGE ON SEQUENCE orders_id_seq TO cli_app
"""
CONFIG = """\
[cockpit]
runs = "{runs}"

[pairs.arp]

[pairs.arp.blue]
host = "127.0.0.1"
port = {blue_port}
database = "{database}"
user = "postgres"
password = "env:CLI_BLUE"
sslmode = "{sslmode}"
[pairs.arp.blue.peer]
user = "postgres"
password = "env:CLI_BLUE_PEER"

[pairs.arp.green]
host = "127.0.0.1"
port = {green_port}
database = "cli"
user = "postgres"
password = "env:CLI_GREEN"
sslmode = "disable"
[pairs.arp.green.peer]
user = "postgres"
password = "env:CLI_GREEN"

[[pairs.arp.channels]]
name = "pool"
kind = "pgbouncer"
databases_file = "{databases}"
database = "cli"
[pairs.arp.channels.admin]
host = "127.0.0.1"
port = {pool_port}
user = "pooler_admin"
password = "env:CLI_POOL"

[[pairs.arp.apps]]
name = "orders"
role = "cli_app"
channel = "pool"
"""
# A session that was ended may take a moment to go: the test waits inside the server, ten seconds at most.
ENDED = """
DO $$ BEGIN
  FOR turn IN 1..500 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'cockpit%' AND backend_type = 'client backend');
    PERFORM pg_sleep(0.02), pg_stat_clear_snapshot();
  END LOOP;
END $$"""
# What must be as it was found: everything that the cockpit could have made or set.
TRACES = (
    "SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' ORDER BY 1",
    "SELECT pubname::text FROM pg_publication ORDER BY 1",
    "SELECT subname::text FROM pg_subscription ORDER BY 1",
    "SELECT slot_name::text FROM pg_replication_slots ORDER BY 1",
    "SELECT roname::text FROM pg_replication_origin ORDER BY 1",
    "SELECT setdatabase::text || setrole::text || setconfig::text FROM pg_db_role_setting ORDER BY 1",
    "SELECT datname::text || coalesce(datacl::text, '') FROM pg_database ORDER BY 1",
    "SELECT pid::text FROM pg_stat_activity WHERE application_name LIKE 'cockpit%' ORDER BY 1",
)


@dataclass
class Pair:
    """Two servers, a pooler, and the config that names them."""

    folder: Path
    servers: dict[str, Server]
    pooler: bouncer.Bouncer
    claim: Claim
    words: dict[str, str]
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def config(self) -> Path:
        """The config's file, with what a test has `said` instead."""
        values = {
            "runs": self.runs, "database": "cli", "databases": self.pooler.databases, "pool_port": self.pooler.port, "sslmode": "disable",
            "blue_port": self.servers["blue"].port, "green_port": self.servers["green"].port,
        }  # fmt: skip
        path = self.folder / "my.toml"
        path.write_text(CONFIG.format(**(values | self.said)))
        return path

    async def type(self, command: str, *more: str) -> Answer:
        """`cockpit COMMAND arp --config ...`, in a terminal where it needs one."""
        run: Callable[..., Answer] = on_terminal if command == "run" else cockpit
        return await asyncio.to_thread(run, command, "arp", "--config", str(self.config), *more, env=self.words)

    async def do(self, side: str, statement: str) -> None:
        async with connection(self.servers[side].superuser, database="cli") as conn:
            await conn.execute(statement)

    async def traces(self) -> dict[str, list[list[str]]]:
        """What is on both servers of all that the cockpit could make, once its sessions have gone."""
        found = {}
        for side, server in self.servers.items():
            async with connection(server.superuser, database="cli", settings={"application_name": "the test"}) as conn:
                await conn.execute(ENDED)
                found[side] = [[row[0] for row in await conn.fetch(query)] for query in TRACES]
        return found


@pytest_asyncio.fixture
async def pair(blue16: Server, green18: Server, make_database: MakeDatabase, _servers_folder: Claim, tmp_path: Path) -> AsyncIterator[Pair]:
    servers = {"blue": blue16, "green": green18}
    for server in servers.values():
        async with connection(server.superuser, database="postgres") as conn:
            await conn.execute(f"CREATE ROLE {APP} LOGIN PASSWORD '{APP_WORD}'")
        await make_database(server, "cli")
        async with connection(server.superuser, database="cli") as conn:
            await conn.execute(SCHEMA)
    pooler = await bouncer.start(_servers_folder, "cli", bouncer.entry("cli", blue16), {APP: APP_WORD})
    word = {side: server.superuser.password.reveal() for side, server in servers.items() if server.superuser.password}
    words = {"CLI_BLUE": word["blue"], "CLI_BLUE_PEER": word["blue"], "CLI_GREEN": word["green"], "CLI_POOL": bouncer.PASSWORD}
    yield Pair(tmp_path, dict(servers), pooler, _servers_folder, words)
    pooler.stop()
    for server in servers.values():
        async with connection(server.superuser, database="cli") as conn:
            await conn.execute(f"DROP OWNED BY {APP} CASCADE")
        async with connection(server.superuser, database="postgres") as conn:
            await conn.execute(f"DROP OWNED BY {APP} CASCADE; DROP ROLE {APP}")
