"""Tables without a key inside the window: read while the taps are still being drained, judged when it is known what they must show.

A table that only grew is proven by its new rows (`tails`), any other by all of its rows. Reading early takes nothing from the proof: it
holds only where every change that a tap showed in the end was visible to the reading. Where it was not, the table is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.reconcile.compare import Comparison
from cockpit.reconcile.ledger import Ledger, Pass, Standing
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tails import End, Growth, Tail, read_growth, read_whole
from cockpit.reconcile.tap import Name
from cockpit.reconcile.taps import Tap


@dataclass(frozen=True, slots=True)
class Reading:
    """What both sides held of a table: its rows since `ends`, or all of them where there are none; and what was known before."""

    found: Mapping[Side, Growth]
    ends: Mapping[Side, End]
    tail: Tail
    lost: int
    hard: int

    @property
    def whole(self) -> bool:
        return not self.ends

    @property
    def now(self) -> dict[Side, End]:
        return {side: growth.now for side, growth in self.found.items()}


class Keyless:
    """Both sides' readings and what follows from them; `scan` lines read."""

    def __init__(self, ledger: Ledger, taps: Mapping[Side, Tap], comparison: Comparison, scan: Mapping[Side, Line]) -> None:
        self._ledger = ledger
        self._taps = taps
        self._comparison = comparison
        self._scan = scan
        self.refused: dict[Name, SystemFault] = {}
        """The tables that a side would not let be read; they are not asked for again."""

    async def read_early(self, origin: Side, until: float) -> dict[Name, Reading]:
        """The tables of which it is known already that they changed, smallest first, as far as the time reaches."""
        changed = [s for s in self._ledger.provable() if not s.table.key and not s.proven]
        changed.sort(key=lambda s: (s.count(), s.table.size))
        readings = {}
        for standing in changed:
            if (reading := await self.read(standing, origin, until)) is not None:
                readings[standing.table.name] = reading
        return readings

    async def read(self, standing: Standing, origin: Side, until: float) -> Reading | None:
        """The table on both sides; None where a tap does not show it, where it is known to differ, where it would take too long, or where a
        side refuses it."""
        name = standing.table.name
        watched = all(tap.up and tap.carries(name) for tap in self._taps.values())
        if not watched or not standing.content or standing.differs or name in self.refused:
            return None
        grown, tail = grows(standing, origin), standing.tail
        started = asyncio.get_running_loop().time()
        if started + self._comparison.cost(standing, grown=grown) > until:
            return None
        ends, lost, hard = (dict(tail.ends) if grown else {}), tail.lost, standing.hard
        try:
            found = await asyncio.gather(*(self._read(standing, side, ends) for side in Side))
        except SystemFault as err:
            self.refused[name] = err
            return None
        if grown:
            self._comparison.measured_growth(standing.count(), asyncio.get_running_loop().time() - started)
        return Reading(dict(zip(Side, found, strict=True)), ends, tail, lost, hard)

    async def _read(self, standing: Standing, side: Side, ends: Mapping[Side, End]) -> Growth:
        if ends:
            return await read_growth(self._scan[side], standing.table, ends[side])
        return await read_whole(self._scan[side], standing.table, keep=True)

    def proves(self, standing: Standing, reading: Reading, origin: Side) -> bool:
        """Whether the table is proven by the reading, now that the taps are drained; it is then marked so."""
        tail = standing.tail
        if tail is not reading.tail or tail.lost != reading.lost or standing.hard != reading.hard:
            return False
        if not (self._equal(tail, reading) if reading.whole else self._grew(tail, reading, origin)):
            return False
        gained = {side: growth.count for side, growth in reading.found.items()}
        rows = gained if reading.whole else {side: n + gained[side] for side, n in standing.rows.items()}
        tail.proven(reading.now)
        work = Pass(standing.epoch, standing.hard, read=rows, aligned=standing.aligned and not reading.whole)
        standing.proven_whole(work, asyncio.get_running_loop().time())
        return True

    def _grew(self, tail: Tail, reading: Reading, origin: Side) -> bool:
        expected = tail.expected(origin)
        return tail.ends == reading.ends and expected is not None and tail.agrees(reading.found, expected)

    def _equal(self, tail: Tail, reading: Reading) -> bool:
        blue, green = reading.found[Side.BLUE], reading.found[Side.GREEN]
        return (blue.count, blue.total) == (green.count, green.total) and tail.behind(reading.now)


def grows(standing: Standing, origin: Side) -> bool:
    """Whether, by all that was seen so far, the table is proven by its new rows alone."""
    return not standing.table.key and standing.tracked and standing.tail.expected(origin) is not None
