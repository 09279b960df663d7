"""Tables that change faster than both sides can be read at about one time: read at one commit of both instead (`meeting`).

All of them are read in one round, in the snapshots of one meeting, as far as the lease reaches; resting is inside. A table that is equal
there is proven there: what came later is known by its transactions, as after any other proof (`tails`), so that inside the window its
new rows are enough. A table in which a transaction fell between the serving side's snapshot and the row is left for the next meeting,
before it is read. One that is unequal twice running, and by nothing that was under way, differs: a table without a key is told so as a
whole, any other is settled key by key as before.

"Under way" is: a stranger's write on the other side that may not have come back yet, and a table that was emptied or rewritten meanwhile,
which snapshots do not keep from a reader ("Caveats" of MVCC in the manual); its file is another one then. A table's lock is given back
when it is read, by a savepoint: a TRUNCATE waits for the reading of its own table at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cockpit.errors import SystemFault
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.compare import CROWDED, Comparison, Ended
from cockpit.reconcile.ledger import Ledger, Pass, Standing
from cockpit.reconcile.meeting import Meeting, Meetings, Missed
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.schedule import AGAIN_S
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tails import Tail
from cockpit.reconcile.tap import hidden, visible
from cockpit.reconcile.taps import Tap
from cockpit.reconcile.watch import Watch

LEASE_S = 300.0
"""Seconds that both snapshots of a round are held at most: they hold back vacuum."""
MEETINGS = 5
"""In one round, until a table is found into which no transaction fell."""
TOLD_S = 6.0
"""Seconds the taps have to show the row's place: two rounds of the watch."""
CERTAIN = 2
"""Unequal readings, one after the other, that make a difference."""
POLL_S = 0.02
_NOW = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS s"
_FILES = (
    "SELECT ARRAY(SELECT coalesce(pg_catalog.pg_relation_filenode(to_regclass(w.name)), 0)::pg_catalog.int8"
    " FROM unnest($1::pg_catalog.text[]) WITH ORDINALITY AS w(name, n) ORDER BY w.n) AS files"
)

Refused = Callable[[Standing, SystemFault], None]


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of a table before its side's snapshots."""

    standing: Standing
    work: Pass
    tail: Tail
    lost: int
    files: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Calm:
    """What the other side had committed of its own when the round began; `back`: and whether that had reached the serving side."""

    snapshot: str
    back: bool


class Aligned:
    """`pauses` are the seconds that apply waited in the newest meetings."""

    def __init__(
        self, ledger: Ledger, taps: Mapping[Side, Tap], watch: Watch, passage: Passage, comparison: Comparison, scan: Mapping[Side, Line],
        gates: Mapping[Side, Line], free: asyncio.Event, refused: Refused,
    ) -> None:  # fmt: skip
        self.pauses: list[float] = []
        self._ledger = ledger
        self._taps = taps
        self._watch = watch
        self._passage = passage
        self._comparison = comparison
        self._scan = scan
        self._gates = gates
        self._meetings = Meetings(scan, gates)
        self._free = free
        self._refused = refused

    async def prove(self, first: Standing, serving: Side, share: float) -> float | None:
        """`first`, and every other table that waits for the same, is proven, found unequal or left for the next round; returns the seconds
        the servers were busy beside what was rested already. None where `first` cannot be read at one commit, which it then says."""
        if self._comparison.cost(first) > LEASE_S * share:
            first.apart = f"reading it takes longer than the {LEASE_S:g} s that a snapshot is held; raise the load limit"
            return None
        chosen = self._chosen(first, share)
        reached, why = await self._reached(chosen, serving)
        if first not in reached:
            first.apart = why
            return None
        for standing in reached:
            standing.apart = ""
        try:
            return await self._round(reached, serving)
        except Missed as err:
            for standing in reached:
                standing.waiting = f"{CROWDED}; not yet read at one commit: {plain(err.brief, 150)}"
            return 0.0
        finally:
            for standing in reached:  # from the end on: a round that takes long leaves a turn to others
                standing.attempted_mono = asyncio.get_running_loop().time()

    def _chosen(self, first: Standing, share: float) -> list[Standing]:
        """Tables that wait for it, as many as the lease has room for at the present load limit; `first` in any case."""
        now = asyncio.get_running_loop().time()
        due = [s for s in self._ledger.provable() if waits(s) and s is not first and now - s.attempted_mono >= AGAIN_S]
        room, chosen = LEASE_S / 2 * share - self._comparison.cost(first), [first]
        for standing in sorted(due, key=self._comparison.cost):
            room -= self._comparison.cost(standing)
            if room > 0:
                chosen.append(standing)
        return chosen

    async def _reached(self, chosen: list[Standing], serving: Side) -> tuple[list[Standing], str]:
        watched = [s for s in chosen if all(tap.carries(s.table.name) for tap in self._taps.values())]
        if not watched:
            return [], "a tap does not show its changes"
        names, why = await self._meetings.reach(serving, [s.table.name for s in watched])
        return [s for s in watched if s.table.name in names], why or "a tap does not show its changes"

    async def _round(self, reached: list[Standing], serving: Side) -> float:
        calm = await self._calm(serving)
        for _ in range(MEETINGS):
            before = await self._before(reached)
            if not self._free.is_set():
                raise Missed("a window begins", where=str(serving), remedy="read inside it")
            async with self._meetings.meet(serving, LEASE_S) as met:
                drains = self._watch.drains
                self.pauses = [*self.pauses[-99:], met.pause_s]
                whole = self._whole(before, serving, met, await self._place(met))
                if whole:
                    return await self._read(whole, serving, met, calm, drains)
        raise Missed("between its snapshot and the row a transaction wrote to it every time", where=str(serving), remedy="tried again")

    async def _calm(self, serving: Side) -> Calm:
        (row,) = await self._gates[serving.other].run(_NOW)
        return Calm(row["s"], await self._passage.passed(serving.other, 1.0) is not False)

    async def _before(self, reached: Iterable[Standing]) -> list[Before]:
        standings = list(reached)
        files = await self._files(standings)
        return [Before(s, Pass(s.epoch, s.hard, aligned=True), s.tail, s.tail.lost, each) for s, each in zip(standings, files, strict=True)]

    async def _files(self, standings: list[Standing]) -> list[tuple[int, ...]]:
        """The number of each table's file on either side: another one when its rows were all thrown away or rewritten."""
        names = [s.table.sql for s in standings]
        found = await asyncio.gather(*(self._gates[side].run(_FILES, names) for side in Side))
        return list(zip(*(rows[0]["files"] for rows in found), strict=True))

    async def _place(self, met: Meeting) -> int:
        """Where the row committed; everything that committed before it is in the ledger then."""
        return await self._until(lambda: self._ledger.marks.get(met.mark), "the tap did not show the row")

    async def _until(self, found: Callable[[], int | None], why: str) -> int:
        try:
            async with asyncio.timeout(TOLD_S):
                while True:
                    if (value := found()) is not None:
                        return value
                    await asyncio.sleep(POLL_S)
        except TimeoutError as err:
            raise Missed(f"{why} within {TOLD_S:g} s", remedy="tried again") from err

    def _whole(self, before: list[Before], serving: Side, met: Meeting, place: int) -> list[Before]:
        """The tables into which no transaction fell; of one with a key that is seen when it is read."""
        return [b for b in before if b.standing.table.key or (_known(b) and not b.tail.between(serving, met.snapshots[serving], place))]

    async def _read(self, whole: list[Before], serving: Side, met: Meeting, calm: Calm, drains: int) -> float:
        busy, unequal = 0.0, []
        for each in whole:
            started = asyncio.get_running_loop().time()
            at_once = self._comparison.at_once(each.standing.table)
            try:
                read = await self._sums(each.standing)
            except SystemFault as err:
                self._refused(each.standing, err)
                continue
            busy += asyncio.get_running_loop().time() - started if at_once else 0.0
            each.work.read.update({side: ended[0][0] for side, ended in read.items()})
            if read[Side.BLUE][0] == read[Side.GREEN][0]:
                self._equal(each, read)
            else:
                unequal.append(each)
        if unequal:
            await self._unequal(unequal, serving, met, calm, drains)
        return busy

    async def _sums(self, standing: Standing) -> dict[Side, Ended]:
        read = await asyncio.gather(*(self._apart(standing, side) for side in Side), return_exceptions=True)
        for ended in read:
            if isinstance(ended, BaseException):
                raise ended
        return {side: ended for side, ended in zip(Side, read, strict=True) if not isinstance(ended, BaseException)}

    async def _apart(self, standing: Standing, side: Side) -> Ended:
        """One side's sum; neither its lock nor its failure outlasts it."""
        line = self._scan[side]
        await line.fetch("SAVEPOINT one")
        try:
            return await self._comparison.read_in(standing.table, line)
        finally:
            await line.fetch("ROLLBACK TO SAVEPOINT one")

    def _equal(self, each: Before, read: Mapping[Side, Ended]) -> None:
        standing = each.standing
        standing.differs, standing.waiting, standing.unequal, standing.work = "", "", 0, None
        if not standing.table.key:
            standing.tail.proven({side: ended[1] for side, ended in read.items()})
        standing.proven_whole(each.work, asyncio.get_running_loop().time())

    async def _unequal(self, unequal: list[Before], serving: Side, met: Meeting, calm: Calm, drains: int) -> None:
        # One drain may have been under way when the snapshots were taken; the next one has seen all that they show.
        await self._until(lambda: self._watch.drains if self._watch.drains >= drains + 2 else None, "the taps were not drained")
        files = await self._files([each.standing for each in unequal])
        for each, now in zip(unequal, files, strict=True):
            standing = each.standing
            standing.unequal += 1
            if standing.table.key:
                standing.crowded = False  # key by key, as any other: the next reading settles which
            elif now != each.files or not _known(each) or self._strange(each, serving, met, calm):
                standing.waiting = f"{CROWDED}; unequal at one commit while something else was under way: looked at again"
            else:
                self._differs(each)

    def _strange(self, each: Before, serving: Side, met: Meeting, calm: Calm) -> bool:
        """Whether the other side shows a write of its own that may be under way to the serving side."""
        other = serving.other
        own = set(each.tail.seen[other]) - set(hidden(each.tail.seen[other], met.snapshots[other]))
        return bool(own) and not (calm.back and visible(own, calm.snapshot))

    def _differs(self, each: Before) -> None:
        standing, read = each.standing, each.work.read
        standing.off += 1
        standing.waiting = f"unequal at one commit, {standing.off} of {CERTAIN} times"
        if standing.off >= CERTAIN:
            counts = f"{read[Side.BLUE]} rows on blue, {read[Side.GREEN]} on green at one commit"
            standing.differs = f"{counts}, contents differ; without a key the rows cannot be named"
            standing.rows = dict(read)


def waits(standing: Standing) -> bool:
    """Whether the table is to be read at one commit."""
    return standing.crowded and standing.content and not standing.proven


def _known(each: Before) -> bool:
    """Whether everything that its taps showed since is still remembered."""
    return each.standing.tail is each.tail and each.tail.lost == each.lost
