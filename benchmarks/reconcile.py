"""Two servers, 16 and 18, with the same narrow rows: how long it takes to prove them equal, and to locate ten rows that differ.

Cockpit is measured through the path of `cockpit repair`: its own tests of the hash, the catalogs, then the background's comparison piece
by piece, resting nowhere, without taps. Beside it, on the same data and in the same run: its hash as one plain scan, `reladiff`, and the
checksum of pgcopydb. `ROWS=300000` takes fewer rows than the 10 million that the figures are asked of.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Awaitable, Callable

import asyncpg

from benchmarks import peer
from benchmarks.peer import Timed
from benchmarks.table import Figure, show
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.servers import Server, launch
from cockpit.model.settings import Endpoint, PairSpec, SideSpec
from cockpit.model.words import Side
from cockpit.reconcile import catalog, statements
from cockpit.reconcile.differing import Looker
from cockpit.reconcile.sessions import Line

ROWS = int(os.environ.get("ROWS", "10000000"))
ROUNDS = 3
PLANTED = 10
# All data in memory, as it is on a server that is worth measuring the processor on; nothing has to outlive a crash.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "2GB", "max_wal_size": "16GB", "autovacuum": "off"}
TABLE, KEY, COLUMNS = "pgbench_accounts", "aid", ("bid", "abalance", "filler")
FILL = (
    f"CREATE TABLE {TABLE} (aid int NOT NULL, bid int, abalance int, filler char(84))",
    f"INSERT INTO {TABLE} SELECT i, (i - 1) / 100000 + 1, i::int8 * 7919 % 1000 - 500, '' FROM generate_series(1, {ROWS}) i",
    f"ALTER TABLE {TABLE} ADD PRIMARY KEY (aid)",
    f"VACUUM ANALYZE {TABLE}",
)
STEP = max(ROWS // PLANTED, 1)
PLANT = (
    f"UPDATE {TABLE} SET abalance = abalance + 1 WHERE aid % {STEP} = {STEP // 2} AND aid > {STEP}",
    f"DELETE FROM {TABLE} WHERE aid = {STEP // 2}",
)
PGCOPYDB = f"SELECT count(*), sum(hashtext(t::text)::bigint) FROM {TABLE} t"

Measured = Callable[[], Awaitable[Timed]]


def measure() -> bool:
    """Prints the figures; whether they are as asked."""
    return asyncio.run(_measured())


async def _measured() -> bool:
    claimed = claim(new_folder())
    servers: list[Server] = []
    try:
        for name, major in (("blue16", 16), ("green18", 18)):
            servers.append(await launch(claimed.folder / name, major, name=name, settings=SETTINGS))
            claimed.adopt(servers[-1].pid)
        blue, green = (server.superuser for server in servers)
        await asyncio.gather(*(_run(end, *FILL) for end in (blue, green)))
        return await _figures(PairSpec("bench", SideSpec(blue, blue), SideSpec(green, green), (), ()))
    finally:
        for server in servers:
            await server.stop(immediate=True)
        claimed.release()


async def _figures(spec: PairSpec) -> bool:
    if why := await asyncio.to_thread(peer.install):
        print(f"\n{peer.RELADIFF} is not measured, it cannot be installed: {why}")
    works: dict[str, Measured] = {
        "cockpit": lambda: _cockpit(spec),
        "plain scan": lambda: _scan(spec),
        "pgcopydb": lambda: _pgcopydb(spec),
        **({} if why else {"reladiff": lambda: _reladiff(spec)}),
    }
    equal = await _rounds(works)
    await _run(spec.green.control, *PLANT)
    located = await _rounds({name: works[name] for name in ("cockpit", "reladiff") if name in works})
    met = [show(f"{ROWS:,} equal rows, both sides, median of {ROUNDS}", _equal(equal), 2)]
    met.append(show(f"{PLANTED} of {ROWS:,} rows differ, median of {ROUNDS}", _located(located), 2))
    return all(met)


def _equal(took: dict[str, Timed]) -> list[Figure]:
    ours = took["cockpit"].seconds
    figures = [
        Figure("cockpit", ours, "s"),
        Figure("the same hash as one plain scan", took["plain scan"].seconds, "s"),
        Figure("sum(hashtext(row::text)), as pgcopydb", took["pgcopydb"].seconds, "s"),
        Figure("cockpit, times the plain scan", ours / took["plain scan"].seconds, "x", 1.3),
        Figure("rows that cockpit calls different", took["cockpit"].rows, "", 0),
    ]
    return figures + _beside(took)


def _located(took: dict[str, Timed]) -> list[Figure]:
    ours = [
        Figure("cockpit", took["cockpit"].seconds, "s"),
        Figure("rows that cockpit located", took["cockpit"].rows, "", PLANTED, least=True),
    ]
    return ours + _beside(took)


def _beside(took: dict[str, Timed]) -> list[Figure]:
    if (theirs := took.get("reladiff")) is None:
        return []
    return [
        Figure("reladiff 0.6.0", theirs.seconds, "s"),
        Figure("rows that reladiff located", theirs.rows, ""),
        Figure("reladiff, times cockpit", theirs.seconds / took["cockpit"].seconds, "x", 4, least=True),
    ]


async def _rounds(works: dict[str, Measured]) -> dict[str, Timed]:
    """The median of each, in turn: what else the machine does meets all of them."""
    found: dict[str, list[Timed]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            found[name].append(await work())
    return {name: Timed(statistics.median(each.seconds for each in timed), timed[-1].rows) for name, timed in found.items()}


async def _cockpit(spec: PairSpec) -> Timed:
    loop = asyncio.get_running_loop()
    looker = Looker(spec, Side.BLUE)
    began = loop.time()
    try:
        found = await looker.look(lambda shown: shown == f"public.{TABLE}")
    finally:
        await looker.close()
    if found.by_hand:
        raise RuntimeError(f"not compared: {found.by_hand}")
    return Timed(loop.time() - began, len(found.fixes))


async def _scan(spec: PairSpec) -> Timed:
    lines = {side: Line(side, spec.side(side).control, settings={"statement_timeout": "0"}) for side in Side}
    try:
        table = (await catalog.read(lines, (), Side.BLUE))["public", TABLE]
        return await _both(lines, statements.whole(table))
    finally:
        await asyncio.gather(*(line.close() for line in lines.values()))


async def _pgcopydb(spec: PairSpec) -> Timed:
    settings = {"statement_timeout": "0", "search_path": "public"}
    lines = {side: Line(side, spec.side(side).control, settings=settings) for side in Side}
    try:
        return await _both(lines, PGCOPYDB)
    finally:
        await asyncio.gather(*(line.close() for line in lines.values()))


async def _both(lines: dict[Side, Line], sql: str) -> Timed:
    """The statement on both sides at the same time; they must answer alike."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(line.fetch("SELECT 1") for line in lines.values()))
    began = loop.time()
    blue, green = await asyncio.gather(*(line.fetch(sql, deadline=600.0) for line in lines.values()))
    took = loop.time() - began
    if [tuple(row.values()) for row in blue] != [tuple(row.values()) for row in green]:
        raise RuntimeError(f"the sides do not answer alike: {sql}")
    return Timed(took)


async def _reladiff(spec: PairSpec) -> Timed:
    return await asyncio.to_thread(peer.diff, (spec.blue.control, spec.green.control), TABLE, KEY, COLUMNS)


async def _run(end: Endpoint, *wanted: str) -> None:
    password = end.password.reveal() if end.password else None
    connection = await asyncpg.connect(host=end.host, port=end.port, database=end.database, user=end.user, password=password, ssl=False)
    try:
        for statement in wanted:
            await connection.execute(statement)
    finally:
        await connection.close()
