"""Keeping the proof: from the ledger and the taps into the file as they go, and back from the file into a new process's ledger.

What is left by another process counts only once both taps were seen to stand where the file says (`durable`); until then nothing of it is
in the ledger. A table's proof comes back where its columns, its key and the way the taps carry it are the same, and where it was not
rewritten as a whole meanwhile, which no tap shows. What a table without a key held at its last proof does not come back: it stays proven
while no change of it shows, and after one it is read whole. Walks by blocks begin anew: they add up only within one snapshot.

Tables of whose key the config calls a column sensitive are never in the file: they are read again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from cockpit.errors import CockpitError
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.columns import Sensitive
from cockpit.reconcile.durable import Change, Kept, Position, Proof, Store, Unusable
from cockpit.reconcile.ledger import NEVER, Ledger, Pass, Standing
from cockpit.reconcile.tap import Batch, Key, Name
from cockpit.reconcile.taps import Tap

PATIENCE_S = 60.0
"""How long a side may be out of reach before what another process left is given up."""
MOST_DIFFERING = 2000
"""Confirmed differences of one table that are kept; with more of them the table is read again."""
STRIDE = 200
"""Tables looked at before the event loop has its turn."""
ALL_S = 5.0
"""Seconds after which tables that nobody said to have moved are looked at too: for a difference that was named."""


class Keeper:
    """Writes what changed when it is told to; `note` says what stands in the way. Without a path it does nothing."""

    def __init__(self, path: Path | None, ledger: Ledger, taps: Mapping[Side, Tap], sensitive: Sensitive) -> None:
        self._store = Store(path) if path is not None else None
        self._ledger = ledger
        self._taps = taps
        self._sensitive = sensitive
        self._opened = False
        self._left: Kept | None = None
        """What another process left, as long as it is not known whether it counts."""
        self._asked_mono: float | None = None
        self._told = asyncio.Event()
        self._all_mono = NEVER
        """When all tables were last looked at."""
        self._anew = True
        """The file's content is not what was last seen to be written."""
        self._seen: dict[Name, tuple[Standing, tuple[Any, ...], Mapping[Key, str]]] = {}
        """As it was last written, by table."""
        self._prints: dict[Name, tuple[Table, str]] = {}
        self._failed = ""
        self._why = ""

    @property
    def note(self) -> str:
        if self._failed:
            return f"proof in memory only: {plain(self._failed, 150)}"
        if self._why and any(not s.proven for s in self._ledger.provable()):
            return f"everything is read again: {plain(self._why, 150)}"
        return ""

    async def open(self) -> None:
        """What another process left is read, nothing of it counts yet. Where the file cannot be had, the note says why."""
        if self._store is None or self._opened:
            return
        self._opened = True
        try:
            self._left = await self._store.open()
        except Unusable as err:
            self._why = str(err)
            if "set aside" not in self._why:
                await self._fail(err)

    async def close(self) -> None:
        """The file is gone with the taps, which are gone before: nothing can be taken up. One that was never looked at stays."""
        if self._store is not None:
            store, self._store = self._store, None
            await store.close(remove=self._opened and self._left is None)

    # --- back from the file ---------------------------------------------------------------

    async def take_up(self) -> None:
        """What another process left is in the ledger and its taps are up; or it is given up, and the note says why. `LinkError`,
        `SystemFault` while that cannot be told, for at most `PATIENCE_S`."""
        if self._left is None:
            return
        left, now = self._left, asyncio.get_running_loop().time()
        self._asked_mono = self._asked_mono if self._asked_mono is not None else now
        try:
            self._why = await self._why_not(left)
            if not self._why:
                await asyncio.gather(*(self._taps[side].take_up(left.positions[side]) for side in Side))
        except CockpitError as err:
            self._why = str(err)
            if now - self._asked_mono <= PATIENCE_S:
                raise
        self._left = None
        # Without their taps tables may have been proven meanwhile.
        self._ledger.stale(asyncio.get_running_loop().time())
        if not self._why:
            self._restore(left)

    async def _why_not(self, left: Kept) -> str:
        if missing := [side for side in Side if side not in left.positions]:
            return f"no position of the tap on {missing[0]}"
        answers = await asyncio.gather(*(self._taps[side].why_not(left.positions[side]) for side in Side))
        return next((f"{side}: {why}" for side, why in zip(Side, answers, strict=True) if why), "")

    def _restore(self, left: Kept) -> None:
        unbroken = set.intersection(*(self._taps[side].unbroken(left.positions[side]) for side in Side))
        ahead = asyncio.get_running_loop().time() - time.time()
        for name, proof in left.proofs.items():
            standing = self._ledger.standings.get(name)
            if standing is not None and name in unbroken and self._print(standing) == proof.fingerprint:
                _restore(standing, proof, left.dirty.get(name, ()), left.differing.get(name, {}), ahead)

    # --- into the file --------------------------------------------------------------------

    def tell(self) -> None:
        """Something may have changed: it is in the file soon."""
        self._told.set()

    async def keep(self, calm: asyncio.Event) -> None:
        """Works until it is cancelled, but for the times that are not `calm`: they belong to a window, which shares its processors."""
        while True:
            await self._told.wait()
            await calm.wait()
            self._told.clear()
            await self.save()

    async def save(self) -> None:
        """What changed since the last call is in the file, or the note says why not. While a tap is down nothing is written: what the file
        says of before is then as true as it was, or the tap's slot has moved on and nobody believes it."""
        if self._store is None or not self._opened or self._left is not None:
            return
        # Before the tables: they may go on being dirtied meanwhile, the positions may not.
        positions = {side: position for side, tap in self._taps.items() if (position := tap.position) is not None}
        if len(positions) < len(self._taps):
            return
        anew, self._anew = self._anew, True
        try:
            changes = await self._changes(anew)
            hidden = self._ledger.standings.keys() - self._prints.keys()
            await self._store.write({side: _masked(p, hidden) for side, p in positions.items()}, changes, anew=anew)
        except Unusable as err:
            await self._fail(err)
        else:
            self._anew = False

    async def _fail(self, err: Unusable) -> None:
        self._failed = str(err)
        if self._store is not None:
            store, self._store = self._store, None
            await store.close(remove=True)
        for standing in self._ledger.standings.values():
            standing.unsaved = None

    async def _changes(self, anew: bool) -> dict[Name, Change]:
        now = asyncio.get_running_loop().time()
        every = anew or now - self._all_mono > ALL_S
        if anew:
            self._seen = {}
        changes: dict[Name, Change] = {}
        # Whatever was dirtied since the positions were taken, and before, is among those that say so themselves.
        looked = [(n, s) for n, s in self._ledger.standings.items() if every or s.unsaved or s.unsaved is None or s.wiped or s.moved]
        for number, (name, standing) in enumerate(looked):
            if number % STRIDE == STRIDE - 1:
                await asyncio.sleep(0)
            if (fingerprint := self._print(standing)) and (change := self._change(name, standing, fingerprint, anew)):
                changes[name] = change
        if every:
            self._all_mono = now
        for name in self._seen.keys() - (self._ledger.standings.keys() & self._prints.keys()):
            del self._seen[name]
            changes[name] = Change(None)
        return changes

    def _change(self, name: Name, standing: Standing, fingerprint: str, anew: bool) -> Change | None:
        """What is to be written of the table; it counts as written."""
        before, facts = self._seen.get(name), (fingerprint, *_facts(standing))
        differing = dict(islice(standing.differing.items(), MOST_DIFFERING))
        first = anew or before is None or before[0] is not standing or standing.unsaved is None
        dirty = dict.fromkeys((*standing.old, *standing.young), True) if first else standing.unsaved or {}
        wiped, standing.wiped, standing.moved, standing.unsaved = first or standing.wiped, False, False, {}
        told = first or before is None or before[2] != differing
        if not (wiped or dirty or told) and before is not None and before[1] == facts:
            return None
        self._seen[name] = (standing, facts, differing)
        return Change(_proof(standing, fingerprint), wiped, dirty, differing if told else None)

    def _print(self, standing: Standing) -> str:
        """What must be the same for the proof to mean the same; empty where it is not kept at all."""
        table = standing.table
        if standing.unprovable or standing.missing or not standing.content:
            self._prints.pop(table.name, None)
            return ""
        known = self._prints.get(table.name)
        if known is not None and known[0] is table:
            return known[1]
        if any(self._sensitive(f"{table.shown}.{column}") for column in table.key_names()):
            self._prints.pop(table.name, None)
            return ""
        rule = (
            table.hash_sql,
            table.key_hash_sql,
            [(c.name, c.type_sql, c.ordered) for c in table.key],
            sorted((table.tapped or {}).items()),
        )
        made = hashlib.sha256(repr(rule).encode()).hexdigest()
        self._prints[table.name] = (table, made)
        return made


def _facts(standing: Standing) -> tuple[Any, ...]:
    work = standing.work
    rows = tuple(standing.rows.items())
    reached = (work.low, work.epoch, tuple(work.read.values())) if work is not None else None
    return standing.proven, standing.proven_mono, rows, reached, standing.more, standing.differs


def _proof(standing: Standing, fingerprint: str) -> Proof:
    """The proof as it may be taken up; the wall clock is read now."""
    named = len(standing.differing) <= MOST_DIFFERING
    work, rows = standing.work, standing.rows
    goes_on = work is not None and named and standing.table.ordered and (work.epoch, work.hard) == (standing.epoch, standing.hard)
    read = work.read if work is not None and goes_on else {}
    wall = time.time() - asyncio.get_running_loop().time()
    return Proof(
        fingerprint,
        proven=standing.proven and named,
        proven_at=None if standing.proven_mono is None else standing.proven_mono + wall,
        rows=(rows[Side.BLUE], rows[Side.GREEN]) if len(rows) == len(Side) else None,
        low=work.low if work is not None and goes_on else None,
        read=(read.get(Side.BLUE, 0), read.get(Side.GREEN, 0)),
        more=standing.more or not named,
        differs=standing.differs,
    )


def _restore(standing: Standing, proof: Proof, dirty: Collection[Key], differing: Mapping[Key, str], ahead: float) -> None:
    """The table stands as it stood; the wall clock being `-ahead` seconds before the loop's, a proof from its future is from now."""
    now = asyncio.get_running_loop().time()
    standing.proven_mono = None if proof.proven_at is None else min(proof.proven_at + ahead, now)
    standing.attempted_mono = NEVER if standing.proven_mono is None else standing.proven_mono
    standing.rows = {} if proof.rows is None else {Side.BLUE: proof.rows[0], Side.GREEN: proof.rows[1]}
    standing.proven, standing.whole_since = proof.proven, None if proof.proven else NEVER
    standing.old, standing.old_since = dict.fromkeys(dirty), NEVER if dirty else None
    standing.differing, standing.more, standing.differs = dict(differing), proof.more, proof.differs
    if proof.low is not None and standing.table.ordered:
        read = {Side.BLUE: proof.read[0], Side.GREEN: proof.read[1]}
        standing.work = Pass(standing.epoch, standing.hard, proof.low, read=read)


def _masked(position: Position, hidden: Collection[Name]) -> Position:
    """Without the keys of tables that are not in the file: of those any row may have changed."""
    if not any(name in hidden for batch in position.unseen for name in batch.keys):
        return position
    return replace(position, unseen=tuple(_mask(batch, hidden) for batch in position.unseen))


def _mask(batch: Batch, hidden: Collection[Name]) -> Batch:
    return Batch(
        keys={name: keys for name, keys in batch.keys.items() if name not in hidden},
        whole=batch.whole | (batch.keys.keys() & set(hidden)),
        unkeyed=batch.unkeyed,
        xids=batch.xids,
        reshaped=batch.reshaped,
    )
