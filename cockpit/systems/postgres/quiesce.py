"""Quiesce: on a fenced side no session is left that could still commit, and the position after the last one is known.

A login that passed the fence a moment before it stood may not show in `pg_stat_activity` yet. It holds a RowExclusiveLock on the
database object until its start-up transaction ends (`InitPostgres` in the server's source), which `pg_locks` shows: those are
waited for too. Prepared transactions outlive their session and pass any fence (COMMIT PREPARED), so none may be left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cockpit.errors import StepError
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.text import plain
from cockpit.model.words import Known, Side
from cockpit.systems.postgres import seat
from cockpit.systems.postgres.link import Link, Row
from cockpit.systems.postgres.names import text_array
from cockpit.systems.postgres.wires import Wires

QUIESCE_S = 5.0
POLL_S = 0.001
AGAIN_S = 0.25
"""After that long a session that is still there is terminated again."""

_APP_BACKEND = """\
a.datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL
  AND a.backend_type NOT LIKE 'logical replication%' AND a.backend_type NOT IN ('walsender', 'autovacuum worker', 'parallel worker')
  AND a.usesysid <> ALL (ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($1::text[]) OR (rolsuper AND rolname <> ALL ($2::text[]))))"""

TERMINATE = f"SELECT a.pid, pg_terminate_backend(a.pid) AS sent FROM pg_stat_activity a WHERE {_APP_BACKEND}"

TERMINATE_OURS = f"{TERMINATE} AND {seat.ours(3)}"
"""By who flies: whoever stood still and wakes in the middle of this ends no session of whoever took the pair up since."""

END = f"{TERMINATE} AND a.pid = ANY ($3::int[])"
_END_OURS = f"{END} AND {seat.ours(4)}"
STAYING = f"SELECT a.pid FROM pg_stat_activity a WHERE {_APP_BACKEND} AND a.pid = ANY ($3::int[])"

STILL = f"SELECT count(*) AS sessions FROM pg_stat_activity a WHERE {_APP_BACKEND}"
"""Cheap enough to ask every millisecond while a hundred backends share the processors to exit."""

LEFT = f"""\
WITH app AS (SELECT a.pid, a.usename, a.application_name, a.state, a.xact_start FROM pg_stat_activity a WHERE {_APP_BACKEND}),
starting AS (SELECT l.pid FROM pg_locks l WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.mode = 'RowExclusiveLock'
    AND l.objid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid
      AND (a.backend_type LIKE 'logical replication%' OR a.backend_type IN ('walsender', 'autovacuum worker', 'parallel worker')))),
writer AS (SELECT a.pid, a.usename, a.application_name, a.state, a.xact_start FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xid IS NOT NULL
    AND a.backend_type NOT LIKE 'logical replication%' AND a.backend_type NOT IN ('walsender', 'autovacuum worker', 'parallel worker')
    AND NOT (a.usename = $3 AND a.application_name LIKE 'cockpit%') AND a.pid NOT IN (SELECT pid FROM app)),
named AS (SELECT 'session' AS what, * FROM app UNION ALL SELECT 'exempt writer', * FROM writer)
SELECT pg_current_wal_insert_lsn()::text AS lsn, (SELECT count(*) FROM app) AS sessions, (SELECT count(*) FROM starting) AS starting,
  (SELECT count(*) FROM writer) AS writers, ARRAY(SELECT gid FROM pg_prepared_xacts WHERE database = current_database()) AS prepared,
  ARRAY(SELECT format('%s pid %s, %s, %s, %s, open %s s', what, pid, usename, coalesce(nullif(application_name, ''), '-'), coalesce(state, '-'),
    coalesce(round(extract(epoch FROM clock_timestamp() - xact_start), 1)::text, '-')) FROM named LIMIT 20) AS blockers"""


@dataclass(frozen=True, slots=True)
class Quiesce:
    """No app session is left on the fenced `side`, no prepared transaction, no exempt session in the middle of a write."""

    wires: Wires
    side: Side

    @property
    def name(self) -> str:
        return f"quiesce {self.side}"

    def describe(self) -> tuple[Statement, ...]:
        exempt, apps = (text_array(roles) for roles in (self.wires.exempt(self.side), self.wires.app_roles))
        user = text_array((self.wires.spec.side(self.side).control.user,)) + "[1]"
        texts = (text.replace("$1::text[]", exempt).replace("$2::text[]", apps).replace("$3", user) for text in (TERMINATE, STILL, LEFT))
        return tuple(Statement(self.side, text) for text in texts)

    async def probe(self) -> Probe:
        row = await self._left(self.wires.watch[self.side])
        return Probe(Known.DONE if _clear(row) else Known.PENDING, _evidence(row, 0))

    async def apply(self) -> Evidence:
        """Terminates, then looks until two readings in a row are clear; the second one's position counts. `lsn` is `X/Y`."""
        loop = asyncio.get_running_loop()
        link, ends = self.wires.act[self.side], loop.time() + QUIESCE_S
        terminated = await self._terminate(link)
        await self._gone(link, ends)
        row = await self._left(link)
        while not _clear(row) or not _clear(row := await self._left(link)):
            if loop.time() > ends:
                raise _blocked(self.side, row)
            await asyncio.sleep(POLL_S)
            if row["sessions"]:
                terminated |= await self._terminate(link)
                await self._gone(link, ends)
            row = await self._left(link)
        self.wires.fence_lsn[self.side] = row["lsn"]
        return _evidence(row, len(terminated))

    async def _gone(self, link: Link, ends: float) -> None:
        """The terminated sessions are gone, or it is time to look what they are."""
        now = asyncio.get_running_loop().time
        until = min(ends, now() + AGAIN_S)
        args = (list(self.wires.exempt(self.side)), list(self.wires.app_roles))
        while now() < until:
            if not (await link.row(STILL, *args))["sessions"]:
                return
            await asyncio.sleep(POLL_S)

    async def _terminate(self, link: Link) -> set[int]:
        rows = await _told_to_end(
            self.wires, link, TERMINATE, TERMINATE_OURS, list(self.wires.exempt(self.side)), list(self.wires.app_roles)
        )
        return {int(row["pid"]) for row in rows}

    async def _left(self, link: Link) -> Row:
        exempt, user = list(self.wires.exempt(self.side)), self.wires.spec.side(self.side).control.user
        return await link.row(LEFT, exempt, list(self.wires.app_roles), user)


@dataclass(frozen=True, slots=True)
class Terminated:
    """The app sessions with these process ids are gone from `side`; a pid that is no app session is left alone."""

    wires: Wires
    side: Side
    pids: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"terminate {len(self.pids)} session(s) on {self.side}"

    def describe(self) -> tuple[Statement, ...]:
        exempt, apps = (text_array(roles) for roles in (self.wires.exempt(self.side), self.wires.app_roles))
        chosen = f"ARRAY[{', '.join(str(pid) for pid in self.pids)}]::int[]"
        return (Statement(self.side, END.replace("$1::text[]", exempt).replace("$2::text[]", apps).replace("$3::int[]", chosen)),)

    async def probe(self) -> Probe:
        left = await self._left(self.wires.watch[self.side])
        return Probe(Known.PENDING if left else Known.DONE, {"left": left})

    async def apply(self) -> Evidence:
        loop = asyncio.get_running_loop()
        link, ends = self.wires.act[self.side], loop.time() + QUIESCE_S
        await _told_to_end(
            self.wires, link, END, _END_OURS, list(self.wires.exempt(self.side)), list(self.wires.app_roles), list(self.pids)
        )
        while left := await self._left(link):
            if loop.time() > ends:
                raise StepError(
                    f"{self.side}: pids {left} do not end", where="terminate", remedy="look at what they wait for", pids=tuple(left)
                )
            await asyncio.sleep(POLL_S)
        return {"terminated": list(self.pids)}

    async def _left(self, link: Link) -> list[int]:
        rows = await link.rows(STAYING, list(self.wires.exempt(self.side)), list(self.wires.app_roles), list(self.pids))
        return [int(row["pid"]) for row in rows]


async def _told_to_end(wires: Wires, link: Link, sql: str, by_who_flies: str, *args: object) -> list[Row]:
    """The sessions that were told to end; none where the side has somebody else on record."""
    mine = wires.seat
    return await (link.change(by_who_flies, *args, mine.name, mine.epoch) if mine.name else link.change(sql, *args))


def _clear(row: Row) -> bool:
    return not (row["sessions"] or row["starting"] or row["writers"] or row["prepared"])


def _evidence(row: Row, terminated: int) -> Evidence:
    return {
        "lsn": row["lsn"],
        "terminated": terminated,
        "sessions": row["sessions"],
        "starting": row["starting"],
        "prepared": [plain(gid, 80) for gid in row["prepared"]],
        "blockers": [plain(text, 200) for text in row["blockers"]],
    }


def _blocked(side: Side, row: Row) -> StepError:
    names: Sequence[str] = [
        *(plain(text, 200) for text in row["blockers"]),
        *(f"prepared transaction {plain(gid, 80)}" for gid in row["prepared"]),
    ]
    if row["starting"]:
        names = [*names, f"{row['starting']} session(s) still logging in"]
    return StepError(
        f"{side} is not quiet after {QUIESCE_S:g} s: {'; '.join(names) or 'a session came and went'}",
        where="quiesce",
        remedy="end what is named (pg_terminate_backend, ROLLBACK PREPARED), then try again",
    )
