"""Proving given keys: what is found belongs to the table that was asked for, whatever is adopted meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

from cockpit.model.words import Side
from cockpit.reconcile.catalog import KeyColumn, Table
from cockpit.reconcile.keys import Bundles
from cockpit.reconcile.rows import Kind


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
