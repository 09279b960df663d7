"""Both sides at one commit: a snapshot of each, the same commits in both, while the apps go on writing.

On the serving side a snapshot is taken and at the same moment a row is written (`systems.postgres.hold`); the other side's apply worker
waits before that row until a snapshot is taken there, then goes on. The other side then shows exactly what committed before the row. The
serving side's snapshot may still be on the wrong side of a transaction that committed within the same fraction of a millisecond; which
ones, its tap tells (`Tail.between`), because the row's transaction carries a mark of which the tap knows the place.

Measured (`make bench ARGS=aligned`, 16 and 18 on two cores that others used too, 400 transactions a second, 60 meetings): apply waits
2.0 ms (median, 3.3 at most), 78 % of the meetings had no transaction between, and a canary took 2.2 ms to the other side while the sides
met ten times a second, 1.6 ms before: nothing that a gate sees. It was 12 ms on those cores, busier, while a process beside the server did
the waiting by round trips. Apply waits `hold.HOLD_MS` at most, whatever becomes of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from cockpit.errors import CockpitError, SystemFault
from cockpit.model.words import Side
from cockpit.reconcile.sessions import Line, Row
from cockpit.reconcile.tap import FENCE, Name
from cockpit.systems.postgres import hold

OUTCOME_S = 3.0
POLL_S = 0.0005
_SNAPSHOT = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS s"
SETTINGS = {"synchronous_commit": "local"}
"""Of the lines that write the row: nobody waits for a standby."""


class Missed(CockpitError):
    """The sides did not meet: what was read would prove nothing."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """The text of both snapshots, the mark in the serving side's log, and the seconds that apply waited."""

    snapshots: Mapping[Side, str]
    mark: str
    pause_s: float


class Meetings:
    """`readers` hold the snapshots, and the target's holds apply; `gates` write the row, on connections that do nothing else."""

    def __init__(self, readers: Mapping[Side, Line], gates: Mapping[Side, Line]) -> None:
        self._readers = readers
        self._gates = gates

    async def reach(self, origin: Side, names: Sequence[Name]) -> tuple[set[Name], str]:
        """Those of the tables that can be read at one commit, because they come the way the row comes; and why the others cannot."""
        arguments = [name[0] for name in names], [name[1] for name in names]
        (here,), (there,) = await asyncio.gather(
            self._gates[origin].run(hold.WRITABLE_HERE), self._gates[origin.other].run(hold.CARRIED, *arguments)
        )
        if not there["fires"]:
            return set(), f"the trigger that holds apply is not on {origin.other}: it is made when the pair is armed"
        if not here["published"] or there["ours"] != 1:
            return set(), f"no running subscription on {origin.other} carries the row that apply is held at"
        reached = {names[n - 1] for n in there["carried"]}
        return reached, "" if len(reached) == len(names) else f"another subscription carries it to {origin.other}"

    @contextlib.asynccontextmanager
    async def meet(self, origin: Side, lease_s: float) -> AsyncIterator[Meeting]:
        """Inside the block both readers are in their snapshots, for at most `lease_s` seconds; apply goes on already. `Missed` where they
        did not meet."""
        here, there = self._readers[origin], self._readers[origin.other]
        gate = secrets.randbits(62) | 1 << 62
        mark = f"hold {gate}"
        await self._warm(origin)
        async with here.snapshot(lease_s):
            await there.run(hold.TAKE, gate)
            written = asyncio.create_task(self._written(origin, gate, mark))
            try:
                async with self._late(there.snapshot(lease_s, hold.SNAPSHOT), there.side):
                    snapshots = {origin: await written, origin.other: (await there.run(_SNAPSHOT))[0]["s"]}
                    yield Meeting(snapshots, mark, await self._outcome(self._gates[origin.other], gate))
            finally:
                written.cancel()
                await asyncio.gather(written, return_exceptions=True)

    async def _warm(self, origin: Side) -> None:
        """What is sent between the snapshot and its counterpart is one round trip each."""
        readers = (line.warm(_SNAPSHOT, hold.TAKE) for line in self._readers.values())
        await asyncio.gather(self._gates[origin].warm(hold.WRITE), *readers)

    async def _written(self, origin: Side, gate: int, mark: str) -> str:
        """The serving side's snapshot, taken when the row is written."""
        writing = self._gates[origin].run(hold.WRITE, gate, str(origin), FENCE, mark)
        taken, _ = await asyncio.gather(self._readers[origin].run(_SNAPSHOT), writing)
        return str(taken[0]["s"])

    @contextlib.asynccontextmanager
    async def _late(self, snapshot: contextlib.AbstractAsyncContextManager[Line], side: Side) -> AsyncIterator[None]:
        """The snapshot that apply is held for; where the row does not come, that is `Missed`."""
        try:
            async with snapshot:
                yield
        except SystemFault as err:
            if hold.LATE not in err.what:
                raise
            why = f"the row was not there within {hold.PARK_MS / 1000:g} s"
            raise Missed(why, where=str(side), remedy="replication is behind") from err

    async def _outcome(self, holder: Line, gate: int) -> float:
        """Seconds that apply waited, to the end of our reading: the row says so itself."""
        rows = await self._applied(holder, gate)
        if not rows[0]["held"]:
            raise Missed(f"apply went on after {hold.HOLD_MS} ms, before it was read", where=str(holder.side), remedy="tried again")
        return float(rows[0]["waited"])

    async def _applied(self, holder: Line, gate: int) -> list[Row]:
        try:
            async with asyncio.timeout(OUTCOME_S):
                while True:
                    if rows := await holder.run(hold.OUTCOME, gate):
                        return rows
                    await asyncio.sleep(POLL_S)
        except TimeoutError as err:
            raise Missed(f"the row was not applied within {OUTCOME_S:g} s", where=str(holder.side), remedy="replication is behind") from err
