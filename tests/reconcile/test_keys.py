"""Proving given keys: what is found belongs to the table that was asked for, whatever is adopted meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.errors import SystemFault
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile import catalog
from cockpit.reconcile.catalog import KeyColumn, Table
from cockpit.reconcile.keys import KEY_SETTINGS, WIDTH, Bundles
from cockpit.reconcile.rows import Kind
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Name
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import connect, locked, run, until


def table(name: str) -> Table:
    key = KeyColumn("id", Kind("pg_catalog", "int4", "b"), "integer", "OPERATOR(pg_catalog.=)", True)
    return Table(("public", name), (key,), "r.id")


class SlowLine:
    """Answers when it is told to: every table holds one row for each key, and `wrong` is how far off the first table's sum is."""

    def __init__(self, wrong: int) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self._wrong = wrong

    async def run(self, sql: str, *arrays: list[str]) -> list[dict[str, Any]]:
        self.asked.set()
        await self.go.wait()
        return [{"t": t, "n": len(keys), "h": str(self._wrong if t == 0 else 0)} for t, keys in enumerate(arrays)]

    def forget(self, sqls: list[str]) -> None:
        pass


class Refusing:
    """Answers for one key, and takes too long for more."""

    def __init__(self) -> None:
        self.asked = 0

    async def run(self, sql: str, *arrays: list[str]) -> list[dict[str, Any]]:
        self.asked += 1
        if sum(len(keys) for keys in arrays) > 1:
            raise SystemFault("canceling statement due to statement timeout", code="57014")
        return [{"t": t, "n": len(keys), "h": "0"} for t, keys in enumerate(arrays)]

    again = run

    def forget(self, sqls: list[str]) -> None:
        pass


async def test_an_answer_is_credited_to_the_tables_that_were_asked_about() -> None:
    lines = {Side.BLUE: SlowLine(0), Side.GREEN: SlowLine(1)}
    bundles = Bundles(lines)  # type: ignore[arg-type]
    bundles.adopt([table("a"), table("b"), table("c")])
    proving = asyncio.create_task(bundles.prove({("public", "a"): [("1",)], ("public", "c"): [("2",), ("3",)]}))
    await asyncio.gather(*(line.asked.wait() for line in lines.values()))
    bundles.adopt([table("b")])
    for line in lines.values():
        line.go.set()
    found = await proving
    assert found.unequal == {("public", "a"): [("1",)]}
    assert found.equal == {("public", "c"): [("2",), ("3",)]}
    assert found.keys == 3


async def test_in_turn_one_side_is_asked_after_the_other() -> None:
    """The background asks so, and leaves half of a machine that both sides share."""
    blue, green = SlowLine(0), SlowLine(0)
    bundles = Bundles({Side.BLUE: blue, Side.GREEN: green})  # type: ignore[dict-item]
    bundles.adopt([table("a")])
    proving = asyncio.create_task(bundles.prove({("public", "a"): [("1",)]}, in_turn=True))
    await blue.asked.wait()
    assert not green.asked.is_set()
    blue.go.set()
    await green.asked.wait()
    green.go.set()
    found = await proving
    assert found.equal == {("public", "a"): [("1",)]}
    assert found.seconds > 0


@pytest.mark.servers
async def test_keys_are_looked_up_in_the_index_of_a_table_that_was_small_when_the_statement_was_planned(
    blue16: Server, green18: Server, make_database: MakeDatabase
) -> None:
    ends = {Side.BLUE: await make_database(blue16, "grown"), Side.GREEN: await make_database(green18, "grown")}
    for end in ends.values():
        await run(end, "CREATE TABLE t (id int PRIMARY KEY, v int) WITH (autovacuum_enabled = false)", "INSERT INTO t VALUES (1, 1)")
        await run(end, "VACUUM ANALYZE t")
    lines = {side: Line(side, end, settings=KEY_SETTINGS) for side, end in ends.items()}
    bundles, name, keys = Bundles(lines), ("public", "t"), [(str(n),) for n in range(1, 3001)]
    try:
        bundles.adopt(list((await catalog.read(lines, (), Side.BLUE)).values()))
        await bundles.warm()
        for end in ends.values():
            await run(end, "INSERT INTO t SELECT i, i FROM generate_series(2, 3000) i")
        assert (await bundles.prove({name: keys})).equal == {name: keys}
    finally:
        for line in lines.values():
            await line.close()
    for end in ends.values():
        await until(lambda end=end: _read(end, "seq_scan + idx_scan >= 3000"))
        assert await _read(end, "seq_scan < 50"), f"read as a whole for each key on {end.port}"


TABLES = 2 * WIDTH + 2


@pytest_asyncio.fixture
async def ends(blue16: Server, green18: Server, make_database: MakeDatabase) -> dict[Side, Endpoint]:
    """Tables enough for three statements, a row in each; of `t0` another one on green than on blue."""
    ends = {Side.BLUE: await make_database(blue16, "bundled"), Side.GREEN: await make_database(green18, "bundled")}
    for side, end in ends.items():
        await run(
            end,
            *(f"CREATE TABLE t{n:03} (id int PRIMARY KEY, v text)" for n in range(TABLES)),
            *(f"INSERT INTO t{n:03} VALUES (1, 'v')" for n in range(TABLES)),
            f"UPDATE t000 SET v = '{side}'",
        )
    return ends


@contextlib.asynccontextmanager
async def bundled(ends: dict[Side, Endpoint]) -> AsyncIterator[Bundles]:
    lines = {side: Line(side, end, settings=KEY_SETTINGS) for side, end in ends.items()}
    try:
        bundles = Bundles(lines)
        bundles.adopt(list((await catalog.read(lines, (), Side.BLUE)).values()))
        await bundles.warm()
        yield bundles
    finally:
        for line in lines.values():
            await line.close()


def names(*numbers: int) -> set[Name]:
    return {("public", f"t{n:03}") for n in numbers}


ALL = {name: [("1",)] for name in names(*range(TABLES))}


@pytest.mark.servers
@pytest.mark.parametrize("sides", [(Side.GREEN,), (Side.BLUE, Side.GREEN)])
@pytest.mark.parametrize("in_turn", [False, True])
async def test_a_table_that_is_gone_leaves_the_others_to_be_proven(
    ends: dict[Side, Endpoint], sides: tuple[Side, ...], in_turn: bool
) -> None:
    """Dropped since the catalogs were read: an answer that both sides lack makes nothing equal."""
    async with bundled(ends) as bundles:
        for side in sides:
            await run(ends[side], "DROP TABLE t007", f"DROP TABLE t{WIDTH:03}")
        found = await bundles.prove(ALL, in_turn=in_turn)
        assert found.unequal.keys() == names(0)
        assert found.refused.keys() == names(7, WIDTH)
        assert found.equal.keys() == names(*range(TABLES)) - names(0, 7, WIDTH)
        assert found.keys == TABLES - 2
        assert 'relation "public.t007" does not exist' in found.refused["public", "t007"].what
        with pytest.raises(SystemFault, match="t007"):
            await bundles.prove({("public", "t007"): [("1",)]})


@pytest.mark.servers
async def test_tables_that_are_locked_cost_one_lock_timeout_in_all(ends: dict[Side, Endpoint]) -> None:
    """Among them one that nobody asked for, and in each of the statements one at least."""
    shut = [*range(5, WIDTH), WIDTH + 1, 2 * WIDTH]
    asked = {name: keys for name, keys in ALL.items() if name not in names(WIDTH + 1)}
    async with bundled(ends) as bundles, locked(ends[Side.GREEN], "; ".join(f"LOCK TABLE t{n:03}" for n in shut)):
        started = asyncio.get_running_loop().time()
        found = await bundles.prove(asked)
        took = asyncio.get_running_loop().time() - started
        assert found.refused.keys() == names(*shut) - names(WIDTH + 1)
        assert found.unequal.keys() == names(0)
        assert found.equal.keys() == asked.keys() - names(0, *shut)
        assert 0.5 < took < 2.0
        assert found.seconds < 0.5, "what the answers took, not the waiting"
    async with bundled(ends) as bundles:
        assert not (await bundles.prove(ALL)).refused


async def test_the_tables_of_refused_bundles_are_asked_for_until_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fewer keys the sooner: a statement that takes too long takes long each time."""
    monkeypatch.setattr("cockpit.reconcile.keys.PATIENCE_S", -1.0)
    lines = {side: Refusing() for side in Side}
    bundles = Bundles(lines)  # type: ignore[arg-type]
    bundles.adopt([table("a"), table("b")])
    asked = {("public", "a"): [("1",), ("2",)], ("public", "b"): [("1",)]}
    with pytest.raises(SystemFault):
        await bundles.prove(asked)
    assert [line.asked for line in lines.values()] == [1, 1]
    monkeypatch.setattr("cockpit.reconcile.keys.PATIENCE_S", 60.0)
    found = await bundles.prove(asked)
    assert (found.equal, set(found.refused)) == ({("public", "b"): [("1",)]}, {("public", "a")})


async def _read(end: Endpoint, condition: str) -> bool:
    """Whether that holds for how often the table was read: sessions tell the server of it late."""
    connection = await connect(end)
    try:
        return bool(await connection.fetchval(f"SELECT {condition} FROM pg_stat_user_tables WHERE relname = 't'"))
    finally:
        await connection.close()
