"""The sides part: after an ungraceful handover neither applies anything of the other, and what one has alone is kept there.

A subscription that stayed enabled would bring the origin's last changes into a target that has gone on without them, whenever the
origin comes back; and the origin would be changed by what the target writes now. The slot on the origin is not touched: it is what
the bill is read from. The one on the target is dropped once that one serves: nobody will read it, and it would hold back its log.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cockpit.errors import CockpitError, StepTimeout, SystemFault
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.text import plain
from cockpit.model.words import Known, Side
from cockpit.systems.postgres.bill import applied
from cockpit.systems.postgres.names import ident, literal
from cockpit.systems.postgres.wires import Wires

ASK_S = 1.5
"""Seconds the origin has to answer: it may be dead."""
PART_S = 5.0
LEAVE_S = 0.2
"""Seconds a worker has to leave by itself. One that waits for a lock, perhaps the very cause of the lag, does not look whether it should:
it is ended, and what it had begun to apply is rolled back there and stays on the bill."""
POLL_S = 0.01

_FOLLOWS = (
    "SELECT s.subenabled AS enabled, EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.pid IS NOT NULL) AS worker"
    " FROM pg_subscription s WHERE s.subname = $1 AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
SIGN_S = 5.0
"""Seconds a living origin has to answer a worker that asks it for a sign of life."""
# A worker that hears nothing asks for a sign after half of `wal_receiver_timeout` (apply loop, `worker.c`): an idle mirror is silent that long.
_HEARD = (
    "SELECT age FROM (SELECT extract(epoch FROM clock_timestamp() - max(w.last_msg_receipt_time))::float8 AS age FROM pg_stat_subscription w"
    " WHERE w.subname = $1 AND w.pid IS NOT NULL) seen, (SELECT setting::float8 / 1000 AS patience FROM pg_settings"
    f" WHERE name = 'wal_receiver_timeout') set WHERE patience = 0 OR age < patience / 2 + {SIGN_S}"
)
_END_WORKERS = "SELECT pg_terminate_backend(w.pid) FROM pg_stat_subscription w WHERE w.subname = $1 AND w.pid IS NOT NULL"
_SLOT = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()"
_END = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL"
_DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()"
_COULD_FOLLOW = (
    "SELECT 1 FROM pg_subscription WHERE subname = $1 AND subslotname IS NOT NULL"
    " AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_IN_USE = "55006"


@dataclass(frozen=True, slots=True)
class Parted:
    """`target` follows `origin` no more, and where `origin` answers it follows `target` no more."""

    wires: Wires
    origin: Side
    target: Side

    @property
    def name(self) -> str:
        return f"part {self.target} from {self.origin}"

    def describe(self) -> tuple[Statement, ...]:
        ended = _END_WORKERS.replace("$1", literal(self.wires.names.link(self.origin)))
        workers = Statement(self.target, f"{ended} -- where one does not leave by itself")
        return (
            Statement(self.target, self._off(self.origin)),
            workers,
            Statement(self.origin, f"{self._off(self.target)} -- where it answers"),
        )

    async def probe(self) -> Probe:
        follows = await self._follows("watch")
        return Probe(Known.PENDING if follows else Known.DONE, {"follows": follows})

    async def apply(self) -> Evidence:
        """Seen on the target when it returns: the subscription is off and no worker of it is left."""
        link, now = self.wires.act[self.target], asyncio.get_running_loop().time
        if await link.rows(_FOLLOWS, self.wires.names.link(self.origin)):
            await link.run(self._off(self.origin))
        began = now()
        while await self._follows("act"):
            if now() > began + PART_S:
                raise StepTimeout(f"the worker of {self.wires.names.link(self.origin)} does not end", where=str(self.target))
            if now() > began + LEAVE_S:
                await link.change(_END_WORKERS, self.wires.names.link(self.origin))
            await asyncio.sleep(POLL_S)
        has = await applied(link, self.wires.names.link(self.origin))
        return {"applied": has, "origin": await self._origin()}

    async def _follows(self, use: str) -> bool:
        link = self.wires.act[self.target] if use == "act" else self.wires.watch[self.target]
        return any(row["enabled"] or row["worker"] for row in await link.rows(_FOLLOWS, self.wires.names.link(self.origin)))

    async def _origin(self) -> str:
        """What became of the origin's own subscription."""
        link, name = self.wires.act[self.origin], self.wires.names.link(self.target)
        try:
            if await link.rows(_FOLLOWS, name, within=ASK_S):
                await link.run(self._off(self.target), within=ASK_S)
        except CockpitError as err:
            return f"not asked: {plain(err.brief, 200)}"
        return "follows no more"

    def _off(self, followed: Side) -> str:
        return f"ALTER SUBSCRIPTION {ident(self.wires.names.link(followed))} DISABLE"


@dataclass(frozen=True, slots=True)
class Released:
    """The slot through which the other side followed `side` is gone, and `side` can follow the other one no more: its own subscription is
    parted from its slot there, so that nobody who enables it (a later run that arms, a person) takes away what that slot keeps."""

    wires: Wires
    side: Side

    @property
    def name(self) -> str:
        return f"keep no log on {self.side}"

    def describe(self) -> tuple[Statement, ...]:
        slot = literal(self.wires.names.link(self.side))
        return (*(Statement(self.side, text.replace("$1", slot)) for text in (_END, _DROP)), Statement(self.side, self._sever()))

    async def probe(self) -> Probe:
        link = self.wires.watch[self.side]
        there = await link.rows(_SLOT, self.wires.names.link(self.side))
        could = await link.rows(_COULD_FOLLOW, self.wires.names.link(self.side.other))
        return Probe(Known.PENDING if there or could else Known.DONE, {"slot": bool(there), "could_follow": bool(could)})

    async def apply(self) -> Evidence:
        link, slot, now = self.wires.act[self.side], self.wires.names.link(self.side), asyncio.get_running_loop().time
        until = now() + PART_S
        while await link.rows(_SLOT, slot):
            try:
                await link.change(_END, slot)
                await link.change(_DROP, slot)
            except SystemFault as err:
                if err.code != _IN_USE or now() > until:
                    raise
            await asyncio.sleep(POLL_S)
        if await link.rows(_COULD_FOLLOW, self.wires.names.link(self.side.other)):
            await link.run(self._sever())
        return {"slot": False, "could_follow": False}

    def _sever(self) -> str:
        return f"ALTER SUBSCRIPTION {ident(self.wires.names.link(self.side.other))} SET (slot_name = NONE)"


async def heard(wires: Wires, by: Side, of: Side) -> float | None:
    """Seconds since the apply worker of `by` received anything of `of`; None while it is not connected, or has asked in vain."""
    rows = await wires.watch[by].rows(_HEARD, wires.names.link(of), within=ASK_S)
    return None if not rows or rows[0]["age"] is None else float(rows[0]["age"])
