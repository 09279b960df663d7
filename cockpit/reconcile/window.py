"""The verification inside the window: writers are stopped, everything is applied, and what changed since it was proven is proven now.

Both taps are drained up to a mark written since the origin is quiet, so that nothing that was committed can be missed. Then the dirty keys of all tables are
compared by sums, one round trip a side. Beside it come the tables that are dirty as a whole, smallest first, as far as the time box
reaches: those without a key by their new rows alone where they only grew, the rest by all their rows; tables without a key of which it is
known beforehand that they changed are read while the taps are drained and judged afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from cockpit.errors import CockpitError, SystemFault
from cockpit.handover.ports import Verification
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.compare import Comparison
from cockpit.reconcile.keyless import Keyless, Reading
from cockpit.reconcile.keys import Bundles
from cockpit.reconcile.ledger import Ledger, Pass, Standing
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.suspects import how
from cockpit.reconcile.tails import read_whole
from cockpit.reconcile.tap import Key, Name
from cockpit.reconcile.taps import Tap
from cockpit.reconcile.watch import drain

MOST_NAMED = 20
RESERVE = 0.9
"""Share of the time box that a whole table's predicted cost may fill."""


@dataclass(slots=True)
class Tally:
    """What is known so far: complete or not when the time box ends."""

    keys: int = 0
    rows: int = 0
    tails: int = 0
    changes: int = 0
    differing: list[str] = field(default_factory=list)
    open_keys: dict[Name, list[Key]] = field(default_factory=dict)
    open_tables: list[Standing] = field(default_factory=list)
    touched: set[Name] = field(default_factory=set)
    asked: bool = False
    """Whether it is known which tables have to be looked at; until then all have."""
    drained: bool = False
    drain_s: float = 0.0
    keys_s: float = 0.0
    tables_s: float = 0.0
    trouble: str = ""


class Window:
    """One verification; `probe` lines look up keys, `scan` lines read whole tables. `turn` is held by whoever drains or proves."""

    def __init__(
        self,
        ledger: Ledger,
        taps: Mapping[Side, Tap],
        bundles: Bundles,
        comparison: Comparison,
        scan: Mapping[Side, Line],
        turn: asyncio.Lock,
        follows: Callable[[Collection[Name]], Mapping[str, object]] = lambda proven: {},
    ) -> None:
        """`follows`: what else is so where every row of these tables is proven equal; asks nobody."""
        self._ledger = ledger
        self._taps = taps
        self._bundles = bundles
        self._comparison = comparison
        self._scan = scan
        self._turn = turn
        self._follows = follows
        self._keyless = Keyless(ledger, taps, comparison, scan)
        self._tally = Tally()

    @property
    def keys_proven(self) -> tuple[int, float]:
        """How many rows were proven by their keys, and the seconds that took."""
        return self._tally.keys, self._tally.keys_s

    async def verify(self, origin: Side, target: Side, box_s: float, last: asyncio.Task[int] | None = None) -> Verification:
        """The proof, at the latest after `box_s` seconds; what it could not reach is `unproven`. `last` is the drain of both taps that was
        begun when the origin was quiet, where one was."""
        loop = asyncio.get_running_loop()
        started, tally = loop.time(), self._tally
        try:
            async with asyncio.timeout(box_s):
                await self._prove(origin, started + box_s * RESERVE, last)
        except TimeoutError:
            tally.trouble = f"the time box of {box_s:g} s ended{'' if tally.asked else ' while the taps were being drained'}"
        except CockpitError as err:
            tally.trouble = plain(err, 200)
        return self._verdict(origin, target, loop.time() - started)

    async def _prove(self, origin: Side, until: float, last: asyncio.Task[int] | None) -> None:
        early = asyncio.create_task(self._keyless.read_early(origin, until))
        tasks: list[asyncio.Task[Any]] = [early]
        try:
            if last is not None:
                await asyncio.wait({last})
            async with self._turn:
                await self._drain(origin, last)
                self._ask(origin)
                tasks += [asyncio.create_task(work) for work in (self._prove_keys(origin), self._prove_tables(origin, until, early))]
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, origin: Side, last: asyncio.Task[int] | None) -> None:
        """The serving side's tap decides; the other one shows what strangers wrote and is evidence where it is missing."""
        started = asyncio.get_running_loop().time()
        done = last is not None and last.done() and not last.cancelled() and last.exception() is None
        self._tally.changes = last.result() if last is not None and done else await drain(self._ledger, self._taps, fenced=True)
        self._tally.drained = self._taps[origin].up
        self._tally.drain_s = asyncio.get_running_loop().time() - started

    def _ask(self, origin: Side) -> None:
        tally, tap = self._tally, self._taps[origin]
        for standing in self._ledger.provable():
            name = standing.table.name
            tracked = tally.drained and tap.carries(name)
            if not (standing.proven and tracked and standing.content) or (standing.differs and not standing.table.key):
                tally.open_tables.append(standing)
            elif keys := list(standing.old | standing.young | dict.fromkeys(standing.differing)):
                tally.open_keys[name] = keys
        tally.asked = True
        tally.open_tables.sort(key=lambda s: (s.count(), s.table.size))
        tally.touched = {*tally.open_keys, *(s.table.name for s in tally.open_tables)}

    async def _prove_keys(self, origin: Side) -> None:
        tally, loop = self._tally, asyncio.get_running_loop()
        started = loop.time()
        if not tally.open_keys:
            return
        try:
            proven = await self._bundles.prove(tally.open_keys)
        except SystemFault as err:  # of all that was asked: their keys stay open, and whole tables may still be read
            tally.trouble = plain(err.brief, 200)
            return
        tally.keys = proven.keys
        for name, keys in proven.equal.items():
            self._close_keys(name, keys, loop.time())
        for name, keys in proven.unequal.items():
            try:
                await self._name_differing(name, keys, origin)
            except SystemFault as err:
                proven.refused[name] = err
        for name, why in proven.refused.items():
            self._refused(name, why)
        tally.keys_s = loop.time() - started

    def _refused(self, name: Name, why: SystemFault) -> None:
        """The table stays unproven; all others are looked at."""
        self._tally.trouble = plain(f"{self._ledger.standings[name].table.shown}: {why.brief}", 200)

    async def _name_differing(self, name: Name, keys: list[Key], origin: Side) -> None:
        standing = self._ledger.standings[name]
        here, there = await asyncio.gather(*(self._bundles.hashes(standing.table, keys, side) for side in (origin, origin.other)))
        wrong = [key for key in keys if here.get(key) != there.get(key)]
        stored = await self._bundles.stored(standing.table, wrong, origin) if wrong else {}
        standing.differing.update({stored[key]: how(here.get(key), there.get(key), origin.other) for key in wrong})
        self._close_keys(name, [key for key in keys if key not in set(wrong)], asyncio.get_running_loop().time())
        if wrong:
            self._tally.differing.extend(f"{plain(standing.table.shown, 100)} {text}" for text in standing.named(MOST_NAMED))
            self._tally.open_keys.pop(name, None)

    def _close_keys(self, name: Name, keys: list[Key], now: float) -> None:
        """Both sides are quiet: a key that is equal now is proven, also one that changed a moment ago."""
        standing = self._ledger.standings[name]
        for key in keys:
            standing.young.pop(key, None)
        standing.proven_keys(keys, now)
        done = set(keys)
        if left := [key for key in self._tally.open_keys.get(name, ()) if key not in done]:
            self._tally.open_keys[name] = left
        else:
            self._tally.open_keys.pop(name, None)

    async def _prove_tables(self, origin: Side, until: float, early: Awaitable[Mapping[Name, Reading]]) -> None:
        tally, loop = self._tally, asyncio.get_running_loop()
        started = loop.time()
        readings = await early
        for standing in list(tally.open_tables):
            if not standing.table.key and await self._without_key(standing, origin, until, readings.get(standing.table.name)):
                tally.open_tables.remove(standing)
            elif standing.table.name in self._keyless.refused:
                self._refused(standing.table.name, self._keyless.refused[standing.table.name])
            elif standing.content and loop.time() + self._comparison.cost(standing) <= until:
                try:
                    await self._prove_table(standing)
                except SystemFault as err:
                    self._refused(standing.table.name, err)
            tally.tables_s = loop.time() - started

    async def _without_key(self, standing: Standing, origin: Side, until: float, early: Reading | None) -> bool:
        """Whether the table is proven by what was read of it early, or is read of it now."""
        reading = early or await self._keyless.read(standing, origin, until)
        if reading is None or not self._keyless.proves(standing, reading, origin):
            return False
        if reading.whole:
            self._tally.rows += max(growth.count for growth in reading.found.values())
        else:
            self._tally.tails += 1
        return True

    async def _prove_table(self, standing: Standing) -> None:
        """All of the table is equal on both sides, or it differs."""
        work, table = Pass(standing.epoch, standing.hard), standing.table
        read = await asyncio.gather(*(read_whole(self._scan[side], table, keep=not table.key) for side in Side))
        found = dict(zip(Side, read, strict=True))
        work.read = {side: part.count for side, part in found.items()}
        self._tally.rows += max(work.read.values())
        self._tally.open_tables.remove(standing)
        if found[Side.BLUE].total == found[Side.GREEN].total and work.read[Side.BLUE] == work.read[Side.GREEN]:
            standing.differs = ""
            standing.differing = {}
            standing.tail.proven({side: part.now for side, part in found.items()})
            standing.proven_whole(work, asyncio.get_running_loop().time())
            return
        standing.differs = f"{work.read[Side.BLUE]} rows on blue, {work.read[Side.GREEN]} on green, contents differ"
        standing.rows = dict(work.read)
        self._tally.differing.append(f"{plain(standing.table.shown, 100)}: {standing.differs}")

    def _verdict(self, origin: Side, target: Side, seconds: float) -> Verification:
        tally = self._tally
        missing = [s for s in self._ledger.standings.values() if s.missing]
        differing = [*tally.differing, *(f"{plain(s.table.shown, 100)}: {s.table.unprovable}" for s in missing)]
        unproven = sorted(plain(s.table.shown, 100) for s in self._open())
        finished = not unproven and not tally.trouble
        equal = False if differing else True if finished else None
        return Verification(
            equal, tally.keys, len(tally.touched), tuple(differing), tuple(unproven), seconds, self._evidence(origin, target, seconds)
        )

    def _open(self) -> list[Standing]:
        """The tables that are not proven."""
        tally, owing = self._tally, self._ledger.owing()
        if not tally.asked:
            return [*self._ledger.provable(), *owing]
        return [*(self._ledger.standings[name] for name in tally.open_keys), *tally.open_tables, *owing]

    def _standing(self) -> dict[str, object]:
        """How much of everything is proven now, and how old the oldest of the proofs is."""
        still_open = {s.table.name for s in self._open()}
        proven = [s for s in self._ledger.provable() if s.table.name not in still_open and not s.differences]
        ages = [asyncio.get_running_loop().time() - s.proven_mono for s in proven if s.proven_mono is not None]
        left = self._ledger.left_out()
        return {
            "owed": len(self._ledger.provable()) + len(self._ledger.owing()),
            "proven": len(proven),
            "counted": sum(not s.content for s in proven),
            "at_one_commit": sum(s.aligned for s in proven),
            "rows_proven": sum(s.count() for s in proven),
            "oldest_s": round(max(ages), 1) if ages else None,
            "accepted": [f"{plain(s.table.shown, 100)}: {plain(s.unprovable, 150)}" for s in left[:MOST_NAMED]],
            **self._follows([s.table.name for s in proven if s.content]),
        }

    def _evidence(self, origin: Side, target: Side, seconds: float) -> dict[str, object]:
        tally = self._tally
        evidence: dict[str, object] = {
            "changes_drained": tally.changes,
            "drain_ms": round(tally.drain_s * 1000, 2),
            "keys_ms": round(tally.keys_s * 1000, 2),
            "tables_ms": round(tally.tables_s * 1000, 2),
            "keys_s": round(tally.keys / tally.keys_s) if tally.keys_s else None,
            "rows_read_whole": tally.rows,
            "tables_by_new_rows": tally.tails,
            "seconds": round(seconds, 4),
            **self._standing(),
        }
        if owing := self._ledger.owing():
            evidence["cannot_be_proven"] = [f"{plain(s.table.shown, 100)}: {plain(s.unprovable, 150)}" for s in owing[:MOST_NAMED]]
        if not tally.drained:
            evidence["tap"] = f"no tap on {origin}: every table had to be read whole"
        if not self._taps[target].up:
            evidence["unwatched"] = f"no tap on {target}: rows that strangers wrote there were not looked for"
        if tally.trouble:
            evidence["trouble"] = tally.trouble
        return evidence
