"""Two servers, 16 and 18, replicating under 400 transactions a second: how long apply waits while both sides are read at one commit, how
often a transaction falls between, and whether replication is noticed to be slower: the round trip of a canary, with and without meetings.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator

import asyncpg

from benchmarks.table import Figure, show
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.servers import Server, launch
from cockpit.model.settings import Endpoint, PairSpec, SideSpec, Tuning
from cockpit.model.words import Side
from cockpit.reconcile.meeting import SETTINGS as GATE
from cockpit.reconcile.meeting import Meetings
from cockpit.reconcile.sessions import Line
from cockpit.systems.postgres import PostgresPair

RATE, WRITERS = 400, 4
ROUNDS, CANARIES = 60, 60
SETTINGS = {"shared_buffers": "256MB"}
FILL = ("CREATE TABLE entry (at timestamptz, n int)", "ALTER TABLE entry REPLICA IDENTITY FULL")
WRITE = "INSERT INTO entry VALUES (clock_timestamp(), $1)"
COUNT = "SELECT count(*) AS n FROM public.entry"


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
        return await _figures(PairSpec("bench", SideSpec(blue, blue), SideSpec(green, green), (), ()))
    finally:
        for server in servers:
            await server.stop(immediate=True)
        claimed.release()


async def _figures(spec: PairSpec) -> bool:
    pair = PostgresPair(spec, Tuning())
    for side in Side:
        await _run(spec.side(side).control, *FILL)
    await pair.open()
    try:
        await asyncio.gather(*(pair.install(side).apply() for side in Side))
        await pair.replicate(Side.BLUE, Side.GREEN, copy=True).apply()
        async with _load(spec.blue.control):
            alone = await _canaries(pair)
            meetings = asyncio.create_task(_meet(spec))
            beside = await _canaries(pair)
            pauses, same = await meetings
    finally:
        await pair.close()
    return show(f"{ROUNDS} meetings at {RATE} transactions a second", _shown(pauses, same, alone, beside), 2)


def _shown(pauses: list[float], same: int, alone: list[float], beside: list[float]) -> list[Figure]:
    return [
        Figure("apply waits, median", statistics.median(pauses) * 1000, "ms", 5),
        Figure("apply waits, longest", max(pauses) * 1000, "ms"),
        Figure("meetings without a transaction between", same / ROUNDS * 100, "%"),
        Figure("canary, blue to green, median, no meetings", statistics.median(alone), "ms"),
        Figure("the same while the sides meet ten times a second", statistics.median(beside), "ms"),
        Figure("longest of them", max(beside), "ms"),
    ]


async def _canaries(pair: PostgresPair) -> list[float]:
    trips = []
    for _ in range(CANARIES):
        evidence = await pair.canary(Side.BLUE, Side.GREEN).apply()
        trips.append(float(str(evidence["round_trip_ms"])))
        await asyncio.sleep(0.1)
    return trips


async def _meet(spec: PairSpec) -> tuple[list[float], int]:
    """Seconds that apply waited in each, and how many showed the same number of rows on both sides."""
    readers = {side: Line(side, spec.side(side).control) for side in Side}
    gates = {side: Line(side, spec.side(side).control, writes=True, settings=GATE) for side in Side}
    pauses, same, meetings = [], 0, Meetings(readers, gates)
    for _ in range(ROUNDS):
        async with meetings.meet(Side.BLUE, 10.0) as met:
            counts = await asyncio.gather(*(line.fetch(COUNT) for line in readers.values()))
        pauses.append(met.pause_s)
        same += counts[0][0]["n"] == counts[1][0]["n"]
        await asyncio.sleep(0.1)
    await asyncio.gather(*(line.close() for line in (*readers.values(), *gates.values())))
    return pauses, same


@contextlib.asynccontextmanager
async def _load(end: Endpoint) -> AsyncIterator[None]:
    stop = asyncio.Event()

    async def write() -> None:
        connection = await _connect(end)
        begun, number = asyncio.get_running_loop().time(), 0
        while not stop.is_set():
            number += 1
            await connection.execute(WRITE, number)
            await asyncio.sleep(max(begun + number * WRITERS / RATE - asyncio.get_running_loop().time(), 0))
        await connection.close()

    tasks = [asyncio.create_task(write()) for _ in range(WRITERS)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _run(end: Endpoint, *wanted: str) -> None:
    connection = await _connect(end)
    try:
        for statement in wanted:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _connect(end: Endpoint) -> asyncpg.Connection:
    password = end.password.reveal() if end.password else None
    return await asyncpg.connect(host=end.host, port=end.port, database=end.database, user=end.user, password=password, ssl=False)
