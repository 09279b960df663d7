"""A pair of databases on real 16 and 18 with a small hostile schema, an app role, and the room under test."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import pytest

from cockpit.drill.servers import Server
from cockpit.model.secret import Secret
from cockpit.model.settings import AppSpec, Endpoint, PairSpec, SideSpec, Tuning, Waiver
from cockpit.model.words import Side
from cockpit.systems.postgres import PostgresPair

BLUE, GREEN = Side.BLUE, Side.GREEN
PASSWORD = "app-secret-canary"

SCHEMA = '''
CREATE SCHEMA "Кадры ""и"" кадры";
CREATE TABLE plain (id bigserial PRIMARY KEY, note text, doubled int GENERATED ALWAYS AS (length(note) * 2) STORED);
CREATE TABLE "Кадры ""и"" кадры"."a.b "" %s $1 ; --" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Wert ""x""" text);
CREATE TABLE "прописные_имена_таблиц_63_байт_xxxx" (id int PRIMARY KEY);
CREATE TABLE parted (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parted_25 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parted_26 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY);
'''


@dataclass
class Rig:
    """Two databases, their spec, raw connections and app sessions; `pair` is the room under test."""

    blue: Endpoint
    green: Endpoint
    role: str
    spec: PairSpec
    tuning: Tuning
    pair: PostgresPair
    opened: list[Any] = field(default_factory=list)

    def endpoint(self, side: Side) -> Endpoint:
        return self.blue if side is BLUE else self.green

    async def admin(self, side: Side) -> Any:
        return await self._connect(self.endpoint(side), {"default_transaction_read_only": "off", "application_name": "cockpit test"})

    async def app(self, side: Side, **settings: str) -> Any:
        end = replace(self.endpoint(side), user=self.role, password=Secret(PASSWORD))
        return await self._connect(end, {"application_name": "billing", **settings})

    async def _connect(self, end: Endpoint, settings: dict[str, str]) -> Any:
        assert end.password is not None
        conn = await asyncpg.connect(
            host=end.host,
            port=end.port,
            user=end.user,
            password=end.password.reveal(),
            database=end.database,
            ssl=False,
            timeout=10,
            command_timeout=20,
            server_settings=settings,
        )
        self.opened.append(conn)
        return conn

    async def run(self, side: Side, sql: str, *args: object) -> None:
        conn = await self.admin(side)
        try:
            await conn.execute(sql, *args)
        finally:
            await conn.close()

    async def fetch(self, side: Side, sql: str, *args: object) -> list[Any]:
        conn = await self.admin(side)
        try:
            return list(await conn.fetch(sql, *args))
        finally:
            await conn.close()

    async def value(self, side: Side, sql: str, *args: object) -> Any:
        return (await self.fetch(side, sql, *args))[0][0]

    async def remade(self, **changes: Any) -> PostgresPair:
        """The room anew with a changed spec."""
        await self.pair.close()
        self.spec = replace(self.spec, **changes)
        self.pair = PostgresPair(self.spec, self.tuning)
        await self.pair.open()
        return self.pair

    async def mesh(self) -> None:
        for side in (BLUE, GREEN):
            await self.pair.install(side).apply()
        await self.pair.replicate(BLUE, GREEN, copy=True).apply()
        await self.pair.replicate(GREEN, BLUE, copy=False).apply()


async def until(seen: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
    """Waits for a condition; fails when it does not come."""
    async with asyncio.timeout(within):
        while not await seen():  # noqa: ASYNC110 - a server's state sends no event
            await asyncio.sleep(0.01)


def spec_of(blue: Endpoint, green: Endpoint, role: str, name: str) -> PairSpec:
    app = AppSpec("billing", role, "pool")
    return PairSpec(name, SideSpec(blue, blue), SideSpec(green, green), (app,), ())


@pytest.fixture
async def bare(blue16: Server, green18: Server, make_database: Any) -> AsyncIterator[Rig]:
    """Two empty databases and an app role `Апп "o'x` on both; the room is not opened."""
    mark = uuid.uuid4().hex[:8]
    blue, green = await make_database(blue16, f"d {mark}"), await make_database(green18, f"d {mark}")
    role = f"app \"o'x {mark}"
    spec, tuning = spec_of(blue, green, role, f"T{mark}"), Tuning(sequence_stride=100)
    rig = Rig(blue, green, role, spec, tuning, PostgresPair(spec, tuning))
    for side in (BLUE, GREEN):
        await rig.run(side, f"CREATE ROLE {quoted(role)} LOGIN PASSWORD '{PASSWORD}'")
    yield rig
    for conn in rig.opened:
        conn.terminate()
    await rig.pair.close()
    for side in (BLUE, GREEN):
        await rig.run(side, f"REASSIGN OWNED BY {quoted(role)} TO postgres; DROP OWNED BY {quoted(role)}; DROP ROLE {quoted(role)}")


@pytest.fixture
async def rig(bare: Rig) -> Rig:
    """`bare` with the schema on both sides and the room open."""
    for side in (BLUE, GREEN):
        await bare.run(side, SCHEMA)
        names = ("public", '"Кадры ""и"" кадры"')
        grants = (
            f"GRANT USAGE ON SCHEMA {n} TO {quoted(bare.role)}; GRANT ALL ON ALL TABLES IN SCHEMA {n} TO {quoted(bare.role)}" for n in names
        )
        await bare.run(side, "; ".join(grants))
        await bare.run(side, f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {quoted(bare.role)}")
    await bare.pair.open()
    return bare


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


__all__ = ["BLUE", "GREEN", "PASSWORD", "Rig", "Waiver", "quoted", "until"]
