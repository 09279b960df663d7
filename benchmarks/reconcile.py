"""Two servers, 16 and 18, with the same rows: how long it takes to prove them equal, and to locate ten rows that differ.

Two shapes: 10 million narrow rows, as pgbench makes them, and 5 million of 19 mixed columns. Cockpit is measured through the path of `cockpit repair`: its own tests of the hash, the catalogs, then the background's comparison piece
by piece, resting nowhere, without taps. Beside it, on the same data and in the same run: its hash as one plain scan, `reladiff`, and the
checksum of pgcopydb. `ROWS=300000` takes fewer rows: so many narrow ones, and half as many wide.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks import pair, peer
from benchmarks.peer import Timed
from benchmarks.table import Figure, show
from cockpit.model.settings import PairSpec
from cockpit.model.words import Side
from cockpit.reconcile import catalog, statements
from cockpit.reconcile.differing import Looker
from cockpit.reconcile.sessions import Line

ROWS = int(os.environ.get("ROWS", "10000000"))
ROUNDS = 3
PLANTED = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """A table, what fills it, and what was asked of comparing it: times faster than reladiff, equal and with rows to locate."""

    table: str
    key: str
    columns: tuple[str, ...]
    rows: int
    make: str
    values: str
    touched: str
    """What is changed in a row that shall differ."""
    asked: float
    asked_located: float | None = None

    def fill(self) -> tuple[str, ...]:
        return (
            *(f"DROP TABLE IF EXISTS {name}" for name in ("narrow", "wide")),
            f"CREATE TABLE {self.table} ({self.make})",
            f"INSERT INTO {self.table} SELECT {self.values} FROM generate_series(1, {self.rows}) i",
            f"ALTER TABLE {self.table} ADD PRIMARY KEY ({self.key})",
            f"VACUUM ANALYZE {self.table}",
        )

    def plant(self) -> tuple[str, ...]:
        """One row is missing, and the others of `PLANTED` differ."""
        step = max(self.rows // PLANTED, 1)
        return (
            f"UPDATE {self.table} SET {self.touched} WHERE {self.key} % {step} = {step // 2} AND {self.key} > {step}",
            f"DELETE FROM {self.table} WHERE {self.key} = {step // 2}",
        )


NARROW = Shape(
    "narrow", "aid", ("bid", "abalance", "filler"), ROWS,
    "aid int NOT NULL, bid int, abalance int, filler char(84)",
    "i, (i - 1) / 100000 + 1, i::int8 * 7919 % 1000 - 500, ''",
    "abalance = abalance + 1", 4, 4,
)  # fmt: skip
WIDE = Shape(
    "wide", "id", tuple("abcdefghijklmnopqr"), ROWS // 2,
    "id int8 NOT NULL, a uuid, b numeric(12,2), c numeric, d float8, e float4, f timestamp, g timestamptz, h date, i boolean, j text,"
    " k jsonb, l bytea, m int[], n mood, o inet, p interval, q amount, r varchar(40)",
    "i, md5(i::text)::uuid, i / 100.0, i * 1.5, i / 7.0, i % 1000 / 3.0, timestamp '2026-01-01' + i * interval '1 second',"
    " timestamptz '2026-01-01 UTC' + i * interval '1 second', date '2020-01-01' + i % 2000, i % 2 = 0, 'row ' || i,"
    " jsonb_build_object('n', i), decode(md5(i::text), 'hex'), ARRAY[i, i + 1], CASE WHEN i % 2 = 0 THEN 'glad' ELSE 'sad' END::mood,"
    " '10.0.0.1'::inet + i % 65536, i * interval '1 minute', i / 10.0, CASE WHEN i % 5 > 0 THEN 'v' || i END",
    "j = j || '!'", 3.5,
)  # fmt: skip
TYPES = ("CREATE TYPE mood AS ENUM ('glad', 'sad')", "CREATE DOMAIN amount AS numeric(12,3)")

Measured = Callable[[], Awaitable[Timed]]


def measure() -> bool:
    """Prints the figures; whether they are as asked."""
    return asyncio.run(_measured())


async def _measured() -> bool:
    if why := await asyncio.to_thread(peer.install):
        print(f"\n{peer.RELADIFF} is not measured, it cannot be installed: {why}")
    async with pair.servers() as spec:
        await pair.fill(spec, *TYPES)
        return all([await _compared(spec, shape, beside=not why) for shape in (NARROW, WIDE)])


async def _compared(spec: PairSpec, shape: Shape, *, beside: bool) -> bool:
    await pair.fill(spec, *shape.fill())
    works: dict[str, Measured] = {
        "cockpit": lambda: _cockpit(spec, shape),
        "plain scan": lambda: _scan(spec, shape),
        "pgcopydb": lambda: _pgcopydb(spec, shape),
        **({"reladiff": lambda: _reladiff(spec, shape)} if beside else {}),
    }
    equal = await _rounds(works)
    await pair.run(spec.green.control, *shape.plant())
    located = await _rounds({name: works[name] for name in ("cockpit", "reladiff") if name in works})
    what = f"{shape.rows:,} rows of {len(shape.columns) + 1} columns"
    met = [show(f"{what}, equal, both sides, median of {ROUNDS}", _equal(equal, shape), 2)]
    met.append(show(f"{what}, {PLANTED} of them differ, median of {ROUNDS}", _located(located, shape), 2))
    return all(met)


def _equal(took: dict[str, Timed], shape: Shape) -> list[Figure]:
    ours = took["cockpit"].seconds
    figures = [
        Figure("cockpit", ours, "s"),
        Figure("the same hash as one plain scan", took["plain scan"].seconds, "s"),
        Figure("sum(hashtext(row::text)), as pgcopydb", took["pgcopydb"].seconds, "s"),
        Figure("cockpit, times the plain scan", ours / took["plain scan"].seconds, "x", 1.3 if shape is NARROW else None),
        Figure("rows that cockpit calls different", took["cockpit"].rows, "", 0),
    ]
    return figures + _beside(took, shape.asked)


def _located(took: dict[str, Timed], shape: Shape) -> list[Figure]:
    ours = [
        Figure("cockpit", took["cockpit"].seconds, "s"),
        Figure("rows that cockpit located", took["cockpit"].rows, "", PLANTED, least=True),
    ]
    return ours + _beside(took, shape.asked_located)


def _beside(took: dict[str, Timed], asked: float | None) -> list[Figure]:
    if (theirs := took.get("reladiff")) is None:
        return []
    return [
        Figure("reladiff 0.6.0", theirs.seconds, "s"),
        Figure("rows that reladiff located", theirs.rows, ""),
        Figure("reladiff, times cockpit", theirs.seconds / took["cockpit"].seconds, "x", asked, least=True),
    ]


async def _rounds(works: dict[str, Measured]) -> dict[str, Timed]:
    """The median of each, in turn: what else the machine does meets all of them."""
    found: dict[str, list[Timed]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            found[name].append(await work())
    return {name: Timed(statistics.median(each.seconds for each in timed), timed[-1].rows) for name, timed in found.items()}


async def _cockpit(spec: PairSpec, shape: Shape) -> Timed:
    loop = asyncio.get_running_loop()
    looker = Looker(spec, Side.BLUE)
    began = loop.time()
    try:
        found = await looker.look(lambda shown: shown == f"public.{shape.table}")
    finally:
        await looker.close()
    if found.by_hand:
        raise RuntimeError(f"not compared: {found.by_hand}")
    return Timed(loop.time() - began, len(found.fixes))


async def _scan(spec: PairSpec, shape: Shape) -> Timed:
    lines = {side: Line(side, spec.side(side).control, settings={"statement_timeout": "0"}) for side in Side}
    try:
        table = (await catalog.read(lines, (), Side.BLUE))["public", shape.table]
        return await _both(lines, statements.whole(table))
    finally:
        await asyncio.gather(*(line.close() for line in lines.values()))


async def _pgcopydb(spec: PairSpec, shape: Shape) -> Timed:
    settings = {"statement_timeout": "0", "search_path": "public"}
    lines = {side: Line(side, spec.side(side).control, settings=settings) for side in Side}
    try:
        return await _both(lines, f"SELECT count(*), sum(hashtext(t::text)::bigint) FROM {shape.table} t")
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


async def _reladiff(spec: PairSpec, shape: Shape) -> Timed:
    return await asyncio.to_thread(peer.diff, (spec.blue.control, spec.green.control), shape.table, shape.key, shape.columns)
