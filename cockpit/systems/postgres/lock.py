"""One cockpit flies a pair: a session-level advisory lock on both sides, held by connections of its own ("Advisory Locks")."""

from __future__ import annotations

import asyncio

from cockpit.errors import CockpitError, Flown
from cockpit.model.settings import PairSpec
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres.link import Link
from cockpit.systems.postgres.names import Names
from cockpit.systems.postgres.wires import SIDES

_TAKE = "SELECT pg_try_advisory_lock($1) AS got"
_HELD = """\
SELECT a.pid = pg_backend_pid() AS mine, a.application_name AS who, a.backend_start::text AS since, coalesce(host(a.client_addr), 'local') AS client
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND ((l.classid::bigint << 32) | l.objid::bigint) = $1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class PairLock:
    """The pair's lock; while it is held no other cockpit gets it. It goes when its connections go."""

    def __init__(self, spec: PairSpec, names: Names) -> None:
        self._spec = spec
        self._key = names.lock_key
        self._links: dict[Side, Link] = {}

    async def take(self, owner: str) -> None:
        """Held on both sides, blue first. Asked of the servers each time: what broke is taken anew, or `Flown` names who has it now.

        A first take that fails leaves nothing held; a later one keeps the side it still has, so that nobody slips in between."""
        first = not self._links
        for side in SIDES:
            link = self._links.get(side) or Link(side, self._spec.side(side).control, plain(owner, 55).removeprefix("cockpit "))
            self._links[side] = link
            try:
                await self._take(link)
            except CockpitError:
                if first:
                    await self.release()
                raise

    async def _take(self, link: Link) -> None:
        if any(row["mine"] for row in await link.rows(_HELD, self._key)):
            return
        if (await link.change(_TAKE, self._key))[0]["got"]:
            return
        holders = await link.rows(_HELD, self._key)
        who = plain(holders[0]["who"], 80) if holders else "another cockpit that has just left"
        seen = f", since {holders[0]['since']}, from {plain(holders[0]['client'])}" if holders else ""
        raise Flown(
            f"this pair is flown by {who}{seen}",
            owner=plain(holders[0]["who"], 80).removeprefix("cockpit ") if holders else "",
            where=link.where,
            remedy="`cockpit join` opens it where its run is kept (--runs), `cockpit watch` looks at it; a second pilot is not possible",
        )

    async def release(self) -> None:
        """Not held by this process; also when the servers are gone."""
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))
