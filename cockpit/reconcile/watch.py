"""The watch: drains both taps and proves what they show, so that little is left for the window.

Keys that a drain brings are proven when the next one did not bring them again: by then the other side has usually applied them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping

from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.keys import Bundles
from cockpit.reconcile.ledger import Ledger
from cockpit.reconcile.pace import KeyPace
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.suspects import settle
from cockpit.reconcile.tap import Batch, Key, Name
from cockpit.reconcile.taps import Tap

MOST_KEYS = 20_000
"""Keys proven in one cycle."""
FEW = 200
"""Fewer keys tell what a look takes at least, and nothing of how many fit into a second."""
SHARE = 0.3
"""Of the load limit, what the watch takes; the scan has what is left."""
LONGEST_REST_S = 0.6
"""It takes more where a round is so long that even this rest is too short for its part: what the pane says is to stay young."""
MOST_SETTLED = 200
RETRY_S = 2.0
BUDGET_S = 5.0


async def drain(ledger: Ledger, taps: Mapping[Side, Tap], *, fenced: bool = False, in_turn: bool = False) -> int:
    """What every tap that is up shows is marked; with `fenced`, all that was committed before now. Returns the number of changes. Where both
    servers share a machine, half of it is left to the apps while the taps are drained `in_turn`.

    Where one tap fails, or the drain is cut short, a tap may have given what nobody marked: then nothing counts as proven any more."""
    loop, up = asyncio.get_running_loop(), [tap for tap in taps.values() if tap.up]
    try:
        marks = [secrets.token_hex(8) if fenced else None for _ in up]
        if in_turn:
            batches = [(await asyncio.gather(tap.drain(mark), return_exceptions=True))[0] for tap, mark in zip(up, marks, strict=True)]
        else:
            batches = await asyncio.gather(*(tap.drain(mark) for tap, mark in zip(up, marks, strict=True)), return_exceptions=True)
    except asyncio.CancelledError:
        ledger.stale(loop.time())
        raise
    failed = [batch for batch in batches if isinstance(batch, BaseException)]
    if failed:
        ledger.stale(loop.time())
    for tap, batch in zip(up, batches, strict=True):
        if isinstance(batch, Batch):
            ledger.dirty(tap.side, batch, loop.time())
            tap.marked()
    _void(ledger, taps)
    if failed:
        raise failed[0]
    return sum(batch.changes for batch in batches if isinstance(batch, Batch))


def _void(ledger: Ledger, taps: Mapping[Side, Tap]) -> None:
    """What was proven of tables whose changes may not have shown is void."""
    for name in set().union(*(tap.unsure() for tap in taps.values())):
        ledger.unwatched(name, asyncio.get_running_loop().time())


class Watch:
    """`pace` and `round_trip_s` are measured: keys proven a second, seconds of one look at few keys."""

    EVERY_S = 0.4
    """Seconds between two rounds, at least."""

    def __init__(
        self, ledger: Ledger, taps: Mapping[Side, Tap], bundles: Bundles, passage: Passage, take_up: Callable[[], Awaitable[None]]
    ) -> None:
        """`take_up`: before a tap is made, what another process left of taps and proof may be gone on with."""
        self.turn = asyncio.Lock()
        """Held by whoever drains, proves keys or changes which tables there are; the window takes it."""
        self.serving = Side.BLUE
        self.drains = 0
        """How often both taps were drained."""
        self.pace = KeyPace(50_000.0)
        self.round_trip_s = 0.01
        self.busy_s = 0.0
        """Seconds that the servers were busy with the last round, but for rows that were settled one by one."""
        self._ledger = ledger
        self._taps = taps
        self._bundles = bundles
        self._passage = passage
        self._take_up = take_up
        self._tried_mono = float("-inf")
        self._budget_mono = float("-inf")
        self._refused: set[Name] = set()
        """Tables that a side refused in the last round: asked for last."""

    async def ensure(self, tables: Mapping[Name, Table]) -> None:
        """Taps that can be had are up; a new one makes stale what was proven without it."""
        self._tried_mono = asyncio.get_running_loop().time()
        await self._take_up()
        fresh = await asyncio.gather(*(tap.ensure(tables) for tap in self._taps.values()))
        now = asyncio.get_running_loop().time()
        if any(fresh):
            self._ledger.stale(now)
        _void(self._ledger, self._taps)

    def renew(self) -> None:
        """The next drain sees to it that the taps carry the tables that there are now."""
        self._tried_mono = float("-inf")

    async def drain(self, tables: Mapping[Name, Table], *, in_turn: bool = False) -> None:
        """Taps are kept, drained, and what changed is marked; what the drain before brought is old now. `in_turn` is for the background: the
        sides are asked one after the other."""
        async with self.turn:
            await self._keep(tables)
            await self._drain(in_turn)

    async def prove(self, free: asyncio.Event, *, in_turn: bool = False) -> None:
        """What is old is proven or stays dirty. `free` is cleared when the window begins: then nothing more is looked at. `SystemFault` where
        a side refuses a table: all others were asked before."""
        async with self.turn:
            await self._prove(free, in_turn)

    async def look(self) -> None:
        """It is known which of the tables each tap carries now, whatever the catalogs said when they were read."""
        async with self.turn:
            await asyncio.gather(*(tap.look() for tap in self._taps.values()))

    def rest_s(self, share: float) -> float:
        """Seconds to the next round: by the watch's part of the load limit `share`, within its bounds."""
        part = share * SHARE
        return max(min(self.busy_s * (1 - part) / part, LONGEST_REST_S), self.EVERY_S)

    def load(self, share: float) -> float:
        """Of the time, in how much of it one of the servers works for the watch within the load limit `share`."""
        return self.busy_s / (self.busy_s + self.rest_s(share))

    async def _keep(self, tables: Mapping[Name, Table]) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._budget_mono > BUDGET_S:
            self._budget_mono = now
            kept = await asyncio.gather(*(tap.within_budget() for tap in self._taps.values() if tap.up))
            if not all(kept):
                self._ledger.stale(now)
        if now - self._tried_mono > RETRY_S:
            await self.ensure(tables)

    async def _drain(self, in_turn: bool) -> None:
        for standing in self._ledger.standings.values():
            if standing.young:
                standing.age_keys()
        loop = asyncio.get_running_loop()
        started = loop.time()
        await drain(self._ledger, self._taps, in_turn=in_turn)
        blind = self._taps[self.serving].blind()
        for name, standing in self._ledger.standings.items():
            standing.unwatched = name in blind
            if standing.unwatched:
                self._ledger.unwatched(name, loop.time())
        self.busy_s = loop.time() - started
        self.drains += 1

    def _asked(self) -> dict[Name, list[Key]]:
        """What is old enough to be proven, within the cycle's limit; confirmed differences too, for somebody may have repaired them."""
        asked: dict[Name, list[Key]] = {}
        left = MOST_KEYS
        for standing in sorted(self._ledger.provable(), key=lambda s: s.table.name in self._refused):
            if not standing.content or not (standing.old or standing.differing):
                continue
            keys = [key for key in (standing.old | dict.fromkeys(standing.differing)) if key not in standing.young][:left]
            if keys and standing.table.key:
                asked[standing.table.name] = keys
                left -= len(keys)
            if left <= 0:
                break
        return asked

    async def _prove(self, free: asyncio.Event, in_turn: bool) -> None:
        asked = self._asked()
        if not asked:
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            proven = await self._bundles.prove(asked, in_turn=in_turn)
        except SystemFault:
            self._refused = set(asked)
            raise
        self._refused = set(proven.refused)
        self.busy_s += loop.time() - started
        self._measured(proven.keys, proven.seconds)
        for name, keys in proven.equal.items():
            if (standing := self._ledger.standings.get(name)) is not None:
                standing.proven_keys(keys, loop.time())
        for name, keys in proven.unequal.items():
            if not free.is_set():
                return
            await self._look(name, keys)
        if proven.refused:
            raise next(iter(proven.refused.values()))

    def window_took(self, keys: int, seconds: float) -> None:
        """So many rows were proven by their keys in the window, in which nothing else is read."""
        if keys >= FEW:
            self.pace.took(keys, seconds, window=True)

    def _measured(self, keys: int, seconds: float) -> None:
        if keys >= FEW:
            self.pace.took(keys, seconds)
        self.round_trip_s += 0.3 * (min(seconds, 0.05) - self.round_trip_s) if keys < FEW else 0.0

    async def _look(self, name: Name, keys: list[Key]) -> None:
        """Row by row: most are equal, the rest are settled or stay dirty."""
        standing = self._ledger.standings.get(name)
        if standing is None:
            return
        table = standing.table
        blue, green = await asyncio.gather(*(self._bundles.hashes(table, keys, side) for side in Side))
        now = asyncio.get_running_loop().time()
        standing.proven_keys([k for k in keys if blue.get(k) == green.get(k)], now)
        suspects = [k for k in keys if blue.get(k) != green.get(k)][:MOST_SETTLED]
        if not suspects:
            return
        settled = await settle(self._bundles, self._passage, table, suspects, self.serving, rounds=2, wait_s=0.3)
        standing.proven_keys(settled.clean, asyncio.get_running_loop().time())
        standing.differing.update(settled.confirmed)
        for key in set(suspects).difference(settled.hot):
            standing.old.pop(key, None)
