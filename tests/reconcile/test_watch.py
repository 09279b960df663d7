"""Whose turn it is in a round of the watch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.reconcile.catalog import KeyColumn, Table
from cockpit.reconcile.keys import Bundles, Proven
from cockpit.reconcile.ledger import Ledger, Standing
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.rows import Kind
from cockpit.reconcile.tap import Key, Name
from cockpit.reconcile.watch import MOST_KEYS, Watch

LARGE, SMALL = ("public", "a_large"), ("public", "small")


class OneIsRefused:
    """The large table takes too long, whatever is asked of it."""

    async def prove(self, asked: Mapping[Name, Sequence[Key]], *, in_turn: bool) -> Proven:
        refused = {LARGE: SystemFault("canceling statement due to statement timeout", code="57014")} if LARGE in asked else {}
        found = Proven(equal={name: list(keys) for name, keys in asked.items() if name != LARGE}, refused=refused)
        if not found.equal:
            raise refused[LARGE]
        return found


def standing(name: Name, keys: int) -> Standing:
    key = KeyColumn("id", Kind("pg_catalog", "int4", "b"), "integer", "OPERATOR(pg_catalog.=)", True)
    made = Standing(Table(name, (key,)), proven=True)
    made.old = dict.fromkeys((str(number),) for number in range(keys))
    return made


async def test_a_table_that_is_refused_and_fills_a_round_lets_the_others_go_first() -> None:
    ledger, free = Ledger(), asyncio.Event()
    ledger.standings = {LARGE: standing(LARGE, MOST_KEYS + 1), SMALL: standing(SMALL, 5)}
    free.set()
    taps: dict[Side, Any] = {}
    watch = Watch(ledger, taps, cast(Bundles, OneIsRefused()), cast(Passage, None), asyncio.Event().wait)  # type: ignore[arg-type]
    for left in (5, 0):
        with pytest.raises(SystemFault):
            await watch.prove(free)
        assert ledger.standings[SMALL].dirty == left
    assert ledger.standings[LARGE].dirty == MOST_KEYS + 1
