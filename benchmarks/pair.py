"""Two servers, 16 and 18, for one measurement: filled alike, and under logical replication where it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import asyncpg

from cockpit.drill.folders import claim, new_folder
from cockpit.drill.servers import Server, launch
from cockpit.model.settings import Endpoint, PairSpec, SideSpec
from cockpit.model.words import Side

# All data in memory, as it is on a server that is worth measuring the processor on; nothing has to outlive a crash.
IN_MEMORY = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "2GB", "max_wal_size": "16GB", "autovacuum": "off"}


@contextlib.asynccontextmanager
async def servers(settings: Mapping[str, str] = IN_MEMORY) -> AsyncIterator[PairSpec]:
    """Both run, empty, while the block does."""
    claimed = claim(new_folder())
    made: list[Server] = []
    try:
        for name, major in (("blue16", 16), ("green18", 18)):
            made.append(await launch(claimed.folder / name, major, name=name, settings=settings))
            claimed.adopt(made[-1].pid)
        blue, green = (server.superuser for server in made)
        yield PairSpec("bench", SideSpec(blue, blue), SideSpec(green, green), (), ())
    finally:
        for server in made:
            await server.stop(immediate=True)
        claimed.release()


async def fill(spec: PairSpec, *statements: str) -> None:
    """Both sides ran the statements."""
    await asyncio.gather(*(run(spec.side(side).control, *statements) for side in Side))


async def replicate(spec: PairSpec) -> None:
    """Whatever is committed on blue from now on is applied on green, whose rows are the same by now."""
    blue, green = spec.blue.control, spec.green.control
    word = blue.password.reveal() if blue.password else ""
    await run(blue, "CREATE PUBLICATION bench FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
    dsn = f"host={blue.host} port={blue.port} dbname={blue.database} user={blue.user} password={word}"
    await run(
        green,
        f"CREATE SUBSCRIPTION bench CONNECTION '{dsn}' PUBLICATION bench WITH (create_slot = false, copy_data = false, origin = none)",
    )


async def behind(spec: PairSpec) -> int:
    """Bytes of blue's log that green has not confirmed."""
    connection = await connect(spec.blue.control)
    try:
        sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8 FROM pg_replication_slots WHERE slot_name = 'bench'"
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


async def applied(spec: PairSpec, within_s: float = 120.0) -> None:
    """Everything that was committed on blue before is applied on green."""
    connection = await connect(spec.blue.control)
    try:
        mark = await connection.fetchval("SELECT pg_current_wal_lsn()::text")
        sql = "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'bench'"
        async with asyncio.timeout(within_s):
            while not await connection.fetchval(sql, mark):  # noqa: ASYNC110 (the server tells nobody by itself)
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def connect(end: Endpoint) -> asyncpg.Connection:
    password = end.password.reveal() if end.password else None
    return await asyncpg.connect(host=end.host, port=end.port, database=end.database, user=end.user, password=password, ssl=False)


async def run(end: Endpoint, *statements: str) -> None:
    connection = await connect(end)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
