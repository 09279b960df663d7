"""A small pair for tests: two databases under hand-made logical replication, both ways with `origin = none`, and a light load."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg

from cockpit.model.checks import Checks
from cockpit.model.settings import Endpoint, PairSpec, SideSpec, Tuning
from cockpit.model.telemetry import ReconSample, TableProof
from cockpit.model.words import ProofState, Side
from cockpit.reconcile import PostgresReconciler
from cockpit.reconcile.reconciler import NO_CHECKS

SCHEMA = """
CREATE SCHEMA "Odd Schema";
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE account (id int PRIMARY KEY, owner text, balance numeric, changed timestamptz DEFAULT now(), m mood, j jsonb);
CREATE TABLE entry (account int, n int, amount numeric(12,2), note text, PRIMARY KEY (account, n));
CREATE TABLE "Odd Schema"."Täble" ("Key" text PRIMARY KEY, "a b" int[]);
CREATE TABLE part (id bigint, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE log (at timestamptz, line text);
ALTER TABLE log REPLICA IDENTITY FULL;
CREATE TABLE click (at timestamptz, payload json);
CREATE UNLOGGED TABLE scratch (id int);
CREATE TABLE "left out" (id int PRIMARY KEY);
"""

ROWS = """
INSERT INTO account SELECT i, 'owner ' || i, i * 1.50, now(), 'glad', jsonb_build_object('i', i) FROM generate_series(1, 5000) i;
INSERT INTO entry SELECT i, n, i + n, 'note' FROM generate_series(1, 500) i, generate_series(1, 4) n;
INSERT INTO "Odd Schema"."Täble" SELECT 'k' || i, ARRAY[i, NULL] FROM generate_series(1, 300) i;
INSERT INTO part SELECT i, date '2024-06-01' + (i % 2) * 365, 'v' FROM generate_series(1, 1000) i;
INSERT INTO click SELECT now(), json_build_object('x', i) FROM generate_series(1, 3000) i;
INSERT INTO log SELECT now(), 'line ' || (i / 2) FROM generate_series(1, 400) i;
"""


def pair(blue: Endpoint, green: Endpoint, name: str = "arp", excluded: tuple[str, ...] = ("public.left out",)) -> PairSpec:
    return PairSpec(
        name, SideSpec(blue, blue), SideSpec(green, green), (), (), exclude_tables=excluded, sensitive_columns=("*.account.balance",)
    )


async def connect(endpoint: Endpoint) -> asyncpg.Connection:
    password = endpoint.password.reveal() if endpoint.password else None
    return await asyncpg.connect(
        host=endpoint.host, port=endpoint.port, database=endpoint.database, user=endpoint.user, password=password, ssl=False
    )


async def run(endpoint: Endpoint, *statements: str) -> None:
    connection = await connect(endpoint)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def silently(endpoint: Endpoint, *statements: str) -> None:
    """As the apply worker writes, so that the stranger's tap does not see it."""
    connection = await connect(endpoint)
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_replication_origin WHERE roname = 'drift'"):
            await connection.execute("SELECT pg_replication_origin_create('drift')")
        await connection.execute("SELECT pg_replication_origin_session_setup('drift')")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def copy_rows(blue: Endpoint, green: Endpoint) -> None:
    """Green has blue's rows of `ROWS`, byte for byte."""
    here, there = await connect(blue), await connect(green)
    try:
        for schema, table in (
            ("public", "account"),
            ("public", "entry"),
            ("Odd Schema", "Täble"),
            ("public", "part"),
            ("public", "click"),
            ("public", "log"),
        ):
            rows = io.BytesIO()
            await here.copy_from_query(f'SELECT * FROM "{schema}"."{table}"', output=rows, format="binary")
            rows.seek(0)
            await there.copy_to_table(table, schema_name=schema, source=rows, format="binary")
    finally:
        await here.close()
        await there.close()


async def replicate(blue: Endpoint, green: Endpoint, mark: str = "t", *, copied: bool = False) -> None:
    """Forward with a copy, unless green has it `copied` already, and back without: a mesh."""
    for origin, target, name, copy in (
        (blue, green, f"cockpit_{mark}_fwd", not copied),
        (green, blue, f"cockpit_{mark}_rev", False),
    ):
        password = origin.password.reveal() if origin.password else ""
        dsn = f"host={origin.host} port={origin.port} dbname={origin.database} user={origin.user} password={password}"
        await run(origin, f"CREATE PUBLICATION {name} FOR ALL TABLES")
        await run(origin, f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
        await run(
            target,
            f"CREATE SUBSCRIPTION {name} CONNECTION '{dsn}' PUBLICATION {name}"
            f" WITH (create_slot = false, copy_data = {str(copy).lower()}, origin = none)",
        )
        await until(lambda t=target: _ready(t))


async def _ready(endpoint: Endpoint) -> bool:
    connection = await connect(endpoint)
    try:
        return not await connection.fetchval("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'")
    finally:
        await connection.close()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def locked(end: Endpoint, held: str, awaited: str = "") -> AsyncIterator[None]:
    """A transaction that did what `held` says is open, and another one waits to do what `awaited` says."""
    holder, waiter, looker = [await connect(end) for _ in range(3)]
    waiting: asyncio.Task[str] | None = None

    async def waits() -> bool:
        return bool(await looker.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE pid = $1 AND NOT granted", waiter.get_server_pid()))

    try:
        await holder.execute(f"BEGIN; {held}")
        if awaited:
            waiting = asyncio.create_task(waiter.execute(f"BEGIN; {awaited}"))
            await until(waits)
        yield
    finally:
        await holder.execute("ROLLBACK")
        if waiting is not None:
            await waiting
        for connection in (holder, waiter, looker):
            await connection.close()


async def drained(origin: Endpoint, target: Endpoint) -> None:
    """Everything that `origin` committed is applied on `target`."""
    here, there = await connect(origin), await connect(target)
    try:
        mark = await here.fetchval(
            "INSERT INTO account VALUES (-1, 'mark', 0) ON CONFLICT (id) DO UPDATE SET balance = account.balance + 1 RETURNING balance"
        )

        async def seen() -> bool:
            return bool(await there.fetchval("SELECT balance >= $1 FROM account WHERE id = -1", mark))

        await until(seen)
    finally:
        await here.close()
        await there.close()


@dataclass
class Load:
    """Counts what it committed."""

    transactions: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def load(endpoint: Endpoint, rate: float = 200.0) -> AsyncIterator[Load]:
    """Transactions of several statements at about `rate` a second while the block runs."""
    connection = await connect(endpoint)
    running = Load()

    async def work() -> None:
        number = 0
        while not running.stop.is_set():
            number += 1
            async with connection.transaction():
                await connection.execute(
                    "UPDATE account SET balance = balance + 1, changed = clock_timestamp() WHERE id = $1", number * 37 % 5000 + 1
                )
                await connection.execute("INSERT INTO entry VALUES (100000 + $1, 1, 3, 'new')", number)
                await connection.execute("DELETE FROM entry WHERE account = $1", 100000 + number - 50)
                if number % 20 == 0:
                    await connection.execute("INSERT INTO log VALUES (now(), 'x')")
                    await connection.execute("INSERT INTO click VALUES (now(), '{}')")
            running.transactions += 1
            await asyncio.sleep(1 / rate)

    task = asyncio.create_task(work())
    try:
        yield running
    finally:
        running.stop.set()
        await task
        await connection.close()


@dataclass
class Pane:
    """What a screen would hold: the newest headline and the newest proof of each table."""

    reconciler: PostgresReconciler
    blue: Endpoint
    green: Endpoint
    tables: dict[str, TableProof] = field(default_factory=dict)
    last: ReconSample | None = None
    differing_ever: set[str] = field(default_factory=set)

    async def watch(self) -> None:
        async for sample in self.reconciler.samples():
            self.last = sample
            self.tables.update({t.table: t for t in sample.tables})
            self.differing_ever |= {t.table for t in sample.tables if t.state is ProofState.DIFFERS}

    async def until(self, condition: Callable[[ReconSample], bool], seconds: float = 30.0) -> ReconSample:
        async def met() -> bool:
            return self.last is not None and condition(self.last)

        await until(met, seconds)
        assert self.last is not None
        return self.last

    async def all_equal(self) -> ReconSample:
        return await self.until(lambda s: s.tables_total > 0 and s.tables_equal == s.tables_total and s.dirty_keys is not None)


@contextlib.asynccontextmanager
async def reconciling(blue: Endpoint, green: Endpoint, checks: Checks = NO_CHECKS, duty: float = 0.5) -> AsyncIterator[Pane]:
    """A reconciler works on the pair while the block does, blue serving, and what it tells is watched."""
    reconciler = PostgresReconciler(pair(blue, green), Tuning(recon_duty=duty), checks=checks)
    await reconciler.open(Side.BLUE)
    made = Pane(reconciler, blue, green)
    task = asyncio.create_task(made.watch())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await reconciler.close()


SIDES = (Side.BLUE, Side.GREEN)
