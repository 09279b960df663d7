"""The pair's two PostgreSQL servers behind the port `Servers`."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cockpit.errors import CockpitError
from cockpit.handover.ports import Action, Claim, Sat, Session
from cockpit.model.bill import Bill
from cockpit.model.events import FindingSeen
from cockpit.model.settings import PairSpec, Tuning
from cockpit.model.telemetry import LagSample, ServerSample
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres import activity, bill, catalogue, control, fence, part, quiesce, seat, sequences
from cockpit.systems.postgres.catalogue import Table
from cockpit.systems.postgres.cleanup import Gone
from cockpit.systems.postgres.control import Canary, Install
from cockpit.systems.postgres.drain import POSITION, Drain
from cockpit.systems.postgres.fence import Fence
from cockpit.systems.postgres.lag import Meter
from cockpit.systems.postgres.lock import PairLock
from cockpit.systems.postgres.names import SCHEMA
from cockpit.systems.postgres.preflight import findings
from cockpit.systems.postgres.quiesce import Quiesce, Terminated
from cockpit.systems.postgres.replicate import Replicate
from cockpit.systems.postgres.sequences import Atlas, Sequences
from cockpit.systems.postgres.shape import Shape
from cockpit.systems.postgres.wires import SIDES, Wires

SAT_S = 2.0
"""Seconds that a side is asked who sat down on the pair."""


class PostgresPair:
    """Blue and green, each behind warm connections; every method is one of the port's."""

    def __init__(self, spec: PairSpec, tuning: Tuning) -> None:
        self._wires = Wires.of(spec, tuning)
        self._lock = PairLock(spec, self._wires.names, self._wires.seat)
        self._atlas = Atlas({})
        self._tables: dict[Side, tuple[Table, ...]] = {}
        self._meters = {side: Meter(self._wires, side, side.other) for side in SIDES}
        self._shapes = {side: Shape(self._wires.work[side]) for side in SIDES}
        self._marks = {side: sequences.Watermarks() for side in SIDES}
        self._seen_shape: dict[Side, str] = {}
        self._ours_warm = False

    async def open(self) -> None:
        """Act and watch connections stand and are warm, catalogues are read. `LinkError` names the first side that fails,
        its notes the other; what the other side answered on stays up, and so does the pair's lock."""
        links = [links[side] for links in (self._wires.act, self._wires.watch, self._wires.work) for side in SIDES]
        outcomes = await asyncio.gather(*(link.open() for link in links), return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failed:
            broken = (link for link, said in zip(links, outcomes, strict=True) if isinstance(said, BaseException))
            await asyncio.gather(*(link.close() for link in broken))
            for line in dict.fromkeys(str(other) for other in failed if str(other) != str(failed[0])):
                failed[0].add_note(line)
            raise failed[0]
        await self.refresh()
        await asyncio.gather(*(self._warm(side) for side in SIDES))

    async def refresh(self) -> None:
        """The tables and sequences of both sides are read anew."""
        work = self._wires.work
        for side in SIDES:
            self._tables[side] = await catalogue.tables(work[side])
        self._atlas.sides = {side: await sequences.catalogue(work[side]) for side in SIDES}
        for side in SIDES:
            self._meters[side].follow(self._common(side), self._lone(side), self._lone(side.other))

    def _common(self, origin: Side) -> list[tuple[str, int, int]]:
        there = {t.key: t.oid for t in self._tables[origin.other]}
        return [(t.dotted, t.oid, there[t.key]) for t in catalogue.carried(self._wires.spec, self._tables[origin]) if t.key in there]

    def _lone(self, origin: Side) -> tuple[str, ...]:
        return tuple(t.dotted for t in catalogue.missing(self._wires.spec, self._tables[origin], self._tables[origin.other]))

    async def _warm(self, side: Side) -> None:
        numbering = sequences.reading(list(self._atlas.sides[side].values()))
        seen = (
            fence.FENCED,
            quiesce.TERMINATE,
            quiesce.STILL,
            quiesce.LEFT,
            control.WRITE_CANARY,
            control.SEE_CANARY,
            control.FLUSH,
            POSITION,
        )
        await self._wires.act[side].warm(*seen, sequences.SETTING, numbering)
        await self._wires.watch[side].warm(activity.CENSUS, activity.STANDING, sequences.STANDS)

    async def close(self) -> None:
        """Every connection is ended, the lock with them."""
        links = [link for links in (self._wires.act, self._wires.watch, self._wires.work) for link in links.values()]
        await asyncio.gather(self._lock.release(), *(link.close() for link in links))

    async def versions(self) -> dict[Side, str]:
        for side in SIDES:
            await self._wires.watch[side].open()
        return {side: self._wires.watch[side].version for side in SIDES}

    async def lock(self, owner: str, claim: Claim | None = None) -> None:
        await self._lock.take(owner, claim)
        if claim is not None and not claim.heir and not self._ours_warm and all(map(self._wires.seat.on_record, SIDES)):
            await self._warm_ours()

    async def _warm_ours(self) -> None:
        """What compares the seat is prepared, so that the window does not. Only where both sides have just answered: a way home waits for none."""
        with suppress(CockpitError):
            await asyncio.gather(*(self._wires.act[side].warm(quiesce.TERMINATE_OURS, sequences.SETTING_OURS) for side in SIDES))
            self._ours_warm = True

    async def seated(self) -> dict[Side, Sat]:
        found = await asyncio.gather(*(self._sat(side) for side in SIDES))
        return {side: sat for side, sat in zip(SIDES, found, strict=True) if sat is not None}

    async def _sat(self, side: Side) -> Sat | None:
        try:
            async with asyncio.timeout(SAT_S):
                row = await seat.read(self._wires.watch[side])
        except (CockpitError, TimeoutError):
            return None
        return Sat(row["name"], plain(row["owner"], 80), plain(row["at"])) if row and row["name"] else None

    @property
    def lock_lost(self) -> bool:
        return self._lock.lost

    def objects(self) -> tuple[str, ...]:
        listed = []
        for side in SIDES:
            out, inward = self._wires.names.link(side), self._wires.names.link(side.other)
            listed += [
                f"{side}: schema {SCHEMA}",
                f"{side}: publication {out}",
                f"{side}: replication slot {out}",
                f"{side}: subscription {inward}",
            ]
        listed.append(f"{Side.GREEN}: replication slot {bill.COPY}* (temporary, while a bill is read)")
        return tuple(listed)

    def install(self, side: Side) -> Action:
        return Install(self._wires, side)

    def replicate(self, origin: Side, target: Side, *, copy: bool) -> Action:
        return Replicate(self._wires, origin, target, copy, self._tables)

    def canary(self, origin: Side, target: Side) -> Action:
        return Canary(self._wires, origin, target)

    def fence(self, side: Side, *, on: bool) -> Action:
        return Fence(self._wires, side, on)

    def quiesce(self, side: Side) -> Action:
        return Quiesce(self._wires, side)

    def terminate(self, side: Side, pids: tuple[int, ...]) -> Action:
        return Terminated(self._wires, side, pids)

    def drain(self, origin: Side, target: Side) -> Action:
        return Drain(self._wires, origin, target)

    def sequences(self, origin: Side, target: Side) -> Action:
        return Sequences(self._wires, origin, target, self._atlas)

    def sequences_beyond(self, origin: Side, target: Side) -> Action:
        return sequences.Beyond(self._wires, origin, target, self._atlas, self._marks[origin])

    async def bill(self, origin: Side, target: Side) -> Bill:
        return await bill.draw(self._wires, origin, target, self._meters[origin])

    async def heard(self, by: Side, of: Side) -> float | None:
        return await part.heard(self._wires, by, of)

    def parted(self, origin: Side, target: Side) -> Action:
        return part.Parted(self._wires, origin, target)

    def released(self, side: Side) -> Action:
        return part.Released(self._wires, side)

    async def census(self, side: Side) -> tuple[Session, ...]:
        return await activity.census(self._wires, side)

    async def server(self, side: Side) -> ServerSample:
        return await activity.server(self._wires, side, self._marks[side])

    async def lag(self, origin: Side, target: Side) -> LagSample:
        return await self._meters[origin].sample()

    async def beat(self, side: Side) -> None:
        await control.beat(self._wires, side)

    async def preflight(self, serving: Side) -> tuple[FindingSeen, ...]:
        await self.refresh()
        return await findings(self._wires, serving)

    async def shape(self) -> dict[Side, str]:
        """Also reads the catalogues anew when a digest has changed, so that the window's caches are true."""
        digests = await asyncio.gather(*(self._shapes[side].read() for side in SIDES))
        found = dict(zip(SIDES, digests, strict=True))
        if found != self._seen_shape:
            await self.refresh()
            self._seen_shape = found
        return found

    def gone(self, side: Side) -> Action:
        return Gone(self._wires, side)
