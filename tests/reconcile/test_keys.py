"""Proving given keys: what is found belongs to the table that was asked for, whatever is adopted meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cockpit.drill.servers import Server
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile import catalog
from cockpit.reconcile.catalog import KeyColumn, Table
from cockpit.reconcile.keys import KEY_SETTINGS, Bundles
from cockpit.reconcile.rows import Kind
from cockpit.reconcile.sessions import Line
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import connect, run, until


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


async def _read(end: Endpoint, condition: str) -> bool:
    """Whether that holds for how often the table was read: sessions tell the server of it late."""
    connection = await connect(end)
    try:
        return bool(await connection.fetchval(f"SELECT {condition} FROM pg_stat_user_tables WHERE relname = 't'"))
    finally:
        await connection.close()
