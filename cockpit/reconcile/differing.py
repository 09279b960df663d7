"""Which rows of which tables differ now: a few tables compared once, by the same rules as in a run, without taps and without a load limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from cockpit.errors import StepError, SystemFault
from cockpit.model.settings import PairSpec
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile import catalog
from cockpit.reconcile.compare import Comparison
from cockpit.reconcile.keys import Bundles
from cockpit.reconcile.ledger import Ledger, Standing
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.repair import Fix, fixes
from cockpit.reconcile.selftest import faults
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Key

TRIES = 10
"""Readings of a table that moves before it is given up."""
NO_KEY = "no key names its rows: empty it and copy it anew"


@dataclass(slots=True)
class Found:
    """What would have to change on the other side; `by_hand`: tables for which that cannot be said row by row, and why."""

    fixes: tuple[Fix, ...] = ()
    by_hand: dict[str, str] = field(default_factory=dict)


class Looker:
    """Connections of its own to both sides."""

    def __init__(self, spec: PairSpec, serving: Side) -> None:
        self._spec = spec
        self._serving = serving
        self._lines = {side: Line(side, spec.side(side).control, settings={"statement_timeout": "60s"}) for side in Side}
        self._bundles = Bundles(self._lines)
        self._ledger = Ledger()
        self._comparison = Comparison(self._lines, self._bundles, Passage(self._lines), _at_once, heap=True)

    async def close(self) -> None:
        await asyncio.gather(*(line.close() for line in self._lines.values()))

    async def look(self, wanted: Callable[[str], bool]) -> Found:
        """The fixes of every wanted table that differs. `StepError` where the two servers do not hash alike."""
        if why := await faults(self._lines):
            raise StepError(f"the servers do not hash alike: {plain(why[0], 200)}", where="repair")
        tables = await catalog.read(self._lines, self._spec.exclude_tables, self._serving)
        self._ledger.adopt({name: table for name, table in tables.items() if wanted(table.shown)}, content=True)
        self._bundles.adopt([standing.table for standing in self._ledger.provable()])
        found = Found()
        for standing in self._ledger.standings.values():
            await self._look_at(standing, found)
        return found

    async def _look_at(self, standing: Standing, found: Found) -> None:
        shown = plain(standing.table.shown, 200)
        if standing.unprovable or standing.missing:
            found.by_hand[shown] = standing.unprovable or "it is on one side only"
            return
        try:
            await self._read(standing)
        except SystemFault as err:
            found.by_hand[shown] = plain(err.what, 200)
            return
        if standing.differs:
            found.by_hand[shown] = NO_KEY
        elif standing.differing:
            found.fixes += tuple(await fixes(self._lines, standing.table, list(standing.differing), self._serving))
        if not standing.proven and not standing.differs:
            found.by_hand.setdefault(shown, standing.waiting or "it moves too fast to be compared as a whole: look again")

    async def _read(self, standing: Standing) -> None:
        """The table was read to its end, once; or it moved each time, or the other side does not move on."""
        tries = 0
        while tries < TRIES and not standing.proven and not standing.differs:
            before = _reached(standing)
            await self._comparison.advance(standing, self._serving)
            tries += standing.work is None or _reached(standing) == before


def _reached(standing: Standing) -> tuple[Key | None, bool] | None:
    return None if standing.work is None else (standing.work.low, standing.work.closely)


async def _at_once(busy: float) -> None:
    """A command that a person waits for rests nowhere."""
