"""Whether what one side committed has reached the other: told from the subscription's own position, without writing anything.

`pg_replication_origin_status.remote_lsn` is the end of the last commit that was applied; a slot's `confirmed_flush_lsn` moves past it
when nothing is left to send. Either one past a position means that everything before it is applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cockpit.errors import SystemFault
from cockpit.model import lsn
from cockpit.model.words import Side
from cockpit.reconcile.sessions import Line, Row

POLL_S = 0.01

_SUBSCRIPTIONS = """
SELECT s.subslotname::text AS slot, s.subenabled AS enabled, {applied} AS applied
FROM pg_subscription s {join} WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_WITH_ORIGIN = _SUBSCRIPTIONS.format(
    applied="coalesce(o.remote_lsn, '0/0')::text", join="LEFT JOIN pg_replication_origin_status o ON o.external_id = 'pg_' || s.oid"
)
_WITHOUT_ORIGIN = _SUBSCRIPTIONS.format(applied="'0/0'", join="")
_SLOTS = """
SELECT slot_name::text AS slot, coalesce(confirmed_flush_lsn, '0/0')::text AS confirmed
FROM pg_replication_slots WHERE database = current_database() AND slot_type = 'logical'
"""
_NOT_READY = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_subscription_rel r
JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.srsubstate <> 'r'
"""


class Passage:
    """Between two sides, over one line each."""

    def __init__(self, lines: Mapping[Side, Line]) -> None:
        self._lines = lines
        self._origins = True

    async def passed(self, origin: Side, deadline_s: float) -> bool | None:
        """True once everything that `origin` has committed by now is applied on the other side; False when the deadline came first;
        None where nothing is replicated from it, so that nothing can be under way."""
        return await self.beyond(origin, await self.mark(origin), deadline_s)

    async def mark(self, origin: Side) -> int:
        """Behind everything that `origin` has committed by now."""
        (row,) = await self._lines[origin].run("SELECT pg_current_wal_insert_lsn()::text AS lsn")
        return lsn.parse(row["lsn"])

    async def beyond(self, origin: Side, mark: int, deadline_s: float) -> bool | None:
        """As `passed`, for what `origin` had committed at that mark."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._await(origin, mark)
        except TimeoutError:
            return False

    async def _await(self, origin: Side, mark: int) -> bool | None:
        while True:
            reached = await self.reached(origin)
            if reached is None or reached >= mark:
                return None if reached is None else True
            await asyncio.sleep(POLL_S)

    async def reached(self, origin: Side) -> int | None:
        """The position up to which the slowest subscription to `origin` has applied; None where there is none."""
        subscriptions, slots = await asyncio.gather(self._subscriptions(origin.other), self._lines[origin].run(_SLOTS))
        if not subscriptions:
            return None
        confirmed = {row["slot"]: lsn.parse(row["confirmed"]) for row in slots}
        ours = [max(lsn.parse(s["applied"]), confirmed[s["slot"]]) for s in subscriptions if s["slot"] in confirmed]
        return min(ours) if ours else 0

    async def _subscriptions(self, side: Side) -> list[Row]:
        try:
            return await self._lines[side].run(_WITH_ORIGIN if self._origins else _WITHOUT_ORIGIN)
        except SystemFault as err:
            if err.code != "42501":
                raise
            self._origins = False
            return await self._lines[side].run(_WITHOUT_ORIGIN)

    async def carries_all(self, origin: Side) -> bool:
        """Whether the other side follows `origin` with every table that its subscriptions have, each copied to its end."""
        subscriptions, waiting = await asyncio.gather(self._subscriptions(origin.other), self.not_ready(origin.other))
        return bool(subscriptions) and all(s["enabled"] for s in subscriptions) and not waiting

    async def not_ready(self, side: Side) -> set[tuple[str, str]]:
        """Tables of `side` whose initial copy is not finished."""
        return {(row["schema"], row["name"]) for row in await self._lines[side].run(_NOT_READY)}
