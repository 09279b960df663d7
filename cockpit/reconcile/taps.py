"""The tap of one side: a logical slot and a publication of our own, drained by plain SQL, that name every row written there.

With the output option `origin none` (PostgreSQL 16 and later) what a subscription applied does not count, so the tap of the side
that does not serve shows only strangers' writes. The tap is disposable: it is never allowed to hold back more WAL than its budget;
then its own slot is dropped and everything is proven anew. Creating the slot waits for every running transaction
("Logical Decoding", `pg_create_logical_replication_slot`), so it has a deadline and is tried again later.

Every run's tap has a name of its own, so that nobody takes it for his. Each drain sees whether the slot still stands where the last one
left it and the publications are still those that were made: whoever else read or replaced them took changes that nobody proved.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

from cockpit.errors import CockpitError, LinkError, SystemFault
from cockpit.model.plan import Statement
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.durable import Member, Position
from cockpit.reconcile.pace import DrainPace
from cockpit.reconcile.publications import Publications, inserts_name, mark_of, members_of, named
from cockpit.reconcile.rows import quoted
from cockpit.reconcile.sessions import Line, Row
from cockpit.reconcile.tap import FENCE, Batch, Decoder, Name, visible
from cockpit.systems.postgres.pgoutput import Garbled

RETAINED_BUDGET = 1 << 30
"""Bytes of WAL the tap may hold back on a server."""

_LEFT = """
SELECT confirmed_flush_lsn::text AS at, active, coalesce(wal_status, '') AS wal_status, plugin, database = current_database() AS here
FROM pg_replication_slots WHERE slot_name = $1
"""
_DATABASE = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' || (SELECT timeline_id::text FROM pg_control_checkpoint()) || '/'
       || (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS database
"""
_SLOT = """
SELECT active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 AS retained,
       current_setting('server_version_num')::int AS version
FROM pg_replication_slots WHERE slot_name = $1
"""
_OURS = "slot_name ~ $1 AND database = current_database()"
_DROP_SLOTS = f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {_OURS}"  # noqa: S608
_STANDS = "(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1)::pg_catalog.text AS at"
_BEHIND = (
    "(SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn) FROM pg_replication_slots WHERE slot_name = $1)::int8 AS behind"
)
_AFTER = f"""
SELECT pg_current_snapshot()::text AS s, {_STANDS},
       (SELECT count(*) FROM pg_publication WHERE oid = ANY ($2::pg_catalog.oid[]))::int AS publications,
       (SELECT count(*) FROM pg_publication_rel WHERE prpubid = ANY ($2::pg_catalog.oid[]))::int AS tables
"""  # noqa: S608


SETTINGS = {"statement_timeout": "4s", "synchronous_commit": "local", "plan_cache_mode": "force_generic_plan"}
"""Of the line beside the one that reads a slot: nobody waits for a standby, and what is asked twice a second is planned once."""


FED = 1000
"""Messages that are read before others of this process have their turn: some 5 ms."""
LITTLE = 4 << 20
"""Bytes of log, from where a slot's decoding begins, whose changes fit into memory: every change that it showed when that was asked is in them."""


def tap_name(pair: str) -> str:
    """What the names of all taps of the pair begin with: slot names allow only lower case letters, digits and `_`."""
    slug = re.sub(r"[^a-z0-9_]", "_", pair.lower())
    return f"cockpit_{slug[:34]}_tap"


OPTIONS = ("messages", "true", "origin", "none")
"""Of the decoder, from 16 on."""


def changes_sql(options: Sequence[str]) -> str:
    """What drains a tap: $1 is its slot, $2 its publications."""
    more = "".join(f", '{option}'" for option in options)
    return f"SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2{more})"  # noqa: S608


def any_run(tap: str) -> str:
    """What matches the slot and the publications of every run's tap of the pair."""
    return f"^{tap}(_[0-9a-f]{{8}})?(_inserts)?$"


def removal(side: Side, tap: str) -> tuple[Statement, ...]:
    """What removes the pair's taps from a side."""
    return (
        Statement(str(side), f"{_DROP_SLOTS.replace('$1', repr(any_run(tap)))}"),
        Statement(str(side), f"DROP PUBLICATION IF EXISTS every publication whose name matches '{any_run(tap)}'"),
    )


async def remains(line: Line, pattern: str) -> list[str]:
    """What of the taps that match exists on the line's side."""
    sql = f"""SELECT 'slot ' || slot_name AS what FROM pg_replication_slots WHERE {_OURS}
             UNION ALL SELECT 'publication ' || pubname FROM pg_publication WHERE pubname ~ $1"""  # noqa: S608
    return [row["what"] for row in await line.fetch(sql, pattern)]


async def remove(line: Line, pattern: str, *, idle: bool = False) -> None:
    """Neither slots nor publications that match exist in the line's database; `SystemFault` while another process reads a slot.
    With `idle` a slot that is being read stays."""
    await line.fetch(f"{_DROP_SLOTS} AND NOT active" if idle else _DROP_SLOTS, pattern)
    found = await line.fetch("SELECT pubname FROM pg_publication WHERE pubname ~ $1", pattern)
    if found:
        await line.fetch(f"DROP PUBLICATION IF EXISTS {', '.join(quoted(row['pubname']) for row in found)}")


class Tap:
    """`up` says whether every change since `ensure` returned True has been or will be seen; `why` says why not."""

    def __init__(self, side: Side, endpoint: Endpoint, pair: str, run: str) -> None:
        self.side = side
        self.name = f"{tap_name(pair)}_{run}"
        self._pair = tap_name(pair)
        self.up = False
        self.why = "not made yet"
        self.pace = DrainPace()
        self._line = Line(side, endpoint, writes=True, settings={"statement_timeout": "20s"})
        """Reads the slot, and nothing else: decoding begins by forgetting what the session knows of the catalogs, plans too (`logicalfuncs.c`)."""
        self._admin = Line(side, endpoint, writes=True, settings=SETTINGS)
        self._decoder = Decoder({})
        self._publications = Publications(side, self._admin, self.name)
        self._options: tuple[str, ...] = ()
        self._nudges = True
        self._unseen: list[Batch] = []
        self._tried = False
        self._at = ""
        """Where the slot stood after the last drain."""
        self._swept = False
        self._database = ""
        self._position: Position | None = None
        self._found: Mapping[Name, Member] = {}
        """In the publications that another process left."""

    @property
    def position(self) -> Position | None:
        """From where another process could go on; None where none could."""
        return self._position if self.up else None

    def marked(self) -> None:
        """What the last drain brought is marked: what is kept of it is complete up to here."""
        carried, unseen = self._publications, tuple(self._unseen)
        whole = self._database and carried.whole
        self._position = Position(self.name, self._database, carried.mark, self._at, unseen, carried.members) if whole else None

    async def why_not(self, left: Position) -> str:
        """Why it is not certain that the tap shows every change since `left`; empty where it is. Nothing is changed. `LinkError` where
        that cannot be seen now, though it may be soon."""
        if not re.fullmatch(f"{self._pair}_[0-9a-f]{{8}}", left.name):
            return "it is another pair's"
        found = await self._admin.fetch(_LEFT, left.name)
        if not found or not found[0]["here"] or found[0]["plugin"] != "pgoutput":
            return "the tap's slot is gone"
        slot = found[0]
        if slot["active"]:
            raise LinkError("the tap's slot is still being read", where=str(self.side), remedy="it is looked at again")
        if slot["wal_status"] not in {"reserved", "extended"}:
            return f"the tap's slot is {slot['wal_status'] or 'of no use'}"
        if slot["at"] != left.at:
            return "changes were taken from the tap's slot that are not in the file"
        if await self._identity() != left.database:
            return "it is another database"
        if await mark_of(self._admin, left.name) != left.publications:
            return "the tap's publications are not as they were"
        members = await members_of(self._admin, left.name, left.members)
        if any(name not in left.members or _placed(left.members[name]) != _placed(member) for name, member in members.items()):
            return "the tap's publications carry other tables"
        self._found = members
        return ""

    async def take_up(self, left: Position) -> None:
        """The tap is the one that another process left, `why_not` having nothing against it: up, with what is still to be seen again."""
        self.name, self._tried, self._at, self._unseen = left.name, True, left.at, list(left.unseen)
        self._database = left.database
        await self._publications.take_up(left.name, left.publications, self._found)
        await self._learn()
        self.up, self.why = True, ""

    def unbroken(self, left: Position) -> set[Name]:
        """The tables whose every change since `left` the tap shows: carried all the time, and not rewritten as a whole meanwhile."""
        return {name for name, member in self._publications.members.items() if member == left.members.get(name)}

    async def ensure(self, tables: Mapping[Name, Table]) -> bool:
        """Slot and publication exist and carry every table that can be carried. True when it is new: what was proven before is stale."""
        self._decoder.keys = {name: table.key_names() for name, table in tables.items()}
        fresh = not self.up
        try:
            await self._sweep()
            if fresh:
                await self._make(tables)
            else:
                await self._publications.publish(tables)
        except CockpitError as err:
            self._broken(err)
            return False
        return fresh

    def carries(self, name: Name) -> bool:
        """Whether changes of the table show."""
        return self.up and self._publications.carries(name)

    def unsure(self) -> set[Name]:
        """The tables of which, since the last call, changes may have happened that did not show."""
        return self._publications.unsure()

    async def look(self) -> None:
        """It is known which tables it carries now: one that was renamed shows by its new name. Where that cannot be asked the tap is down."""
        try:
            if self.up:
                await self._publications.look()
        except CockpitError as err:
            self._broken(err)

    def blind(self) -> set[Name]:
        """The tables whose changes do not all show, though they should; for a tap that is up."""
        return self._publications.blind() if self.up else set()

    @property
    def held(self) -> set[Name]:
        """Those of them that something else holds (VACUUM, ANALYZE, CREATE INDEX CONCURRENTLY)."""
        return self._publications.held if self.up else set()

    @property
    def outdated(self) -> bool:
        """Whether a table was dropped since the catalogs were read that the publications were made by."""
        return self.up and self._publications.outdated

    async def drain(self, fence: str | None = None) -> Batch:
        """What was dirtied since the last drain; with `fence`, up to a mark written now, behind which nothing older can follow.

        A drain that fails half way may have taken changes that nobody saw: the tap is down then and what was proven is stale."""
        started = asyncio.get_running_loop().time()
        try:
            oldest = await self._publications.oldest()
            if fence is None:
                await self._pull(little=await self._nudge() <= LITTLE)
            else:
                await self._pull_to(fence)
            batch = await self._seen(wait=fence is not None)
            self._publications.settle(oldest)
        except Garbled as err:
            self._broken(err)
            raise LinkError(str(err), where=str(self.side), remedy="the tap is made anew") from err
        except (CockpitError, asyncio.CancelledError) as err:
            self._broken(err)
            raise
        ended = asyncio.get_running_loop().time()
        self.pace.took(batch.changes, ended - started, ended)
        return batch

    async def within_budget(self) -> bool:
        """Whether the slot is well and holds back less WAL than it may; a slot that is not is dropped."""
        rows = await self._admin.fetch(_SLOT, self.name)
        if rows and rows[0]["wal_status"] not in {"lost", "unreserved"} and (rows[0]["retained"] or 0) <= RETAINED_BUDGET:
            return True
        await remove(self._admin, self._mine())
        self.up, self.why = False, "the slot held back too much WAL or was lost: made anew, everything is proven again"
        return False

    async def close(self, *, keep: bool = False) -> None:
        """Connections are closed; what this tap made is gone too unless `keep`, for nobody would drain it. A tap that was never made
        leaves the server as it is."""
        try:
            if self._tried and not keep:
                await self._line.close()
                async with asyncio.timeout(3.0):
                    await remove(self._admin, self._mine())
        except (CockpitError, TimeoutError) as err:
            self.why = f"the tap could not be removed: {err}"
        finally:
            self.up = False
            await self._line.close()
            await self._admin.close()

    def _broken(self, err: BaseException) -> None:
        self.up = False
        self.why = str(err) or "interrupted"
        self._decoder.take()
        self._unseen = []

    async def _learn(self) -> None:
        """What the server can do is known."""
        (row,) = await self._admin.fetch("SELECT current_setting('server_version_num')::int AS version")
        version = int(row["version"])
        self._options = OPTIONS if version >= 160000 else ("messages", "true") if version >= 140000 else ()
        self._nudges = version >= 160000

    async def _identity(self) -> str:
        """Empty where the server does not say: then nobody can go on where this process ends."""
        try:
            (row,) = await self._admin.fetch(_DATABASE)
        except SystemFault:
            return ""
        return str(row["database"])

    async def _make(self, tables: Mapping[Name, Table]) -> None:
        """The slot comes last: making it waits for every transaction that is under way, so that all changes of what is published by then show."""
        self._position, self._tried = None, True
        await self._admin.fetch(_DROP_SLOTS, self._mine())
        await self._learn()
        self._database = await self._identity()
        await self._publications.make(tables)
        (row,) = await self._admin.fetch("SELECT lsn::text AS at FROM pg_create_logical_replication_slot($1, 'pgoutput')", self.name)
        self._at, self.up, self.why = row["at"], True, ""

    async def _sweep(self) -> None:
        """Nothing of dead runs' taps exists: whoever makes a tap is the pair's one pilot."""
        if not self._swept:
            await remove(self._admin, f"^(?!{self.name}(_inserts)?$){any_run(self._pair).removeprefix('^')}", idle=True)
            self._swept = True

    def _mine(self) -> str:
        return named(self.name)

    async def _nudge(self) -> int:
        """Bytes of the log that is decoded next, more than `LITTLE` where the server does not say.

        Lets the slot's restart point move on, which otherwise only happens every 15 s, and flushes the log up to a whole record: decoding
        waits for the rest of a record that asynchronous commits left half flushed (up to `wal_writer_delay`)."""
        mark = f"pg_logical_emit_message(true, $2, '')::pg_catalog.text, {_STANDS}, {_BEHIND}"
        sql = f"SELECT pg_log_standby_snapshot()::pg_catalog.text, {mark}" if self._nudges else f"SELECT {mark}"
        try:
            (row,) = await self._admin.run(sql, self.name, FENCE)
        except SystemFault as err:
            if err.code != "42501" or not self._nudges:
                raise
            self._nudges = False
            return LITTLE + 1
        self._untouched(row["at"])
        return LITTLE + 1 if row["behind"] is None else int(row["behind"])

    def _untouched(self, at: str | None) -> None:
        """`LinkError` where the slot does not stand where the last drain left it."""
        if at != self._at:
            what = "the tap's slot is gone" if at is None else "somebody else read or replaced the tap's slot"
            raise LinkError(what, where=str(self.side), remedy="the tap is made anew and everything is proven again")

    def _names(self) -> str:
        return f"{quoted(self.name)},{quoted(inserts_name(self.name))}"

    def _changes(self) -> str:
        return changes_sql(self._options)

    async def _pull(self, *, little: bool) -> None:
        """What was committed is in the decoder; `little` is asked for at once, in a quarter of the round trips."""
        if little:
            await self._feed(await self._line.run(self._changes(), self.name, self._names(), deadline=30.0))
            return
        async for rows in self._line.stream(self._changes(), self.name, self._names()):
            await self._feed(rows)

    async def _feed(self, rows: Sequence[Row]) -> None:
        for number, row in enumerate(rows, 1):
            self._decoder.feed(row["data"])
            if number % FED == 0:
                await asyncio.sleep(0)

    async def _pull_to(self, fence: str) -> None:
        """The mark is a transactional message: it commits, flushed, behind everything that committed before it was written."""
        sql = f"SELECT pg_logical_emit_message(true, $2, $3)::pg_catalog.text, {_STANDS}"
        (row,) = await self._admin.run(sql, self.name, FENCE, fence)
        self._untouched(row["at"])
        while True:
            await self._feed(await self._line.run(self._changes(), self.name, self._names()))
            if not self._options or self._decoder.saw(fence):
                return

    async def _seen(self, *, wait: bool) -> Batch:
        """The batch, and again what came before it and was not visible to other sessions then: a reading may have missed it."""
        fresh = self._decoder.take()
        batch = Batch(changes=fresh.changes, end_lsn=fresh.end_lsn, fences=fresh.fences)
        self._unseen.append(fresh)
        while True:
            (row,) = await self._admin.run(_AFTER, self.name, self._publications.oids)
            self._at = row["at"]
            if row["publications"] != len(self._publications.oids):
                remedy = "the tap is made anew and everything is proven again"
                raise LinkError("a publication of the tap is gone", where=str(self.side), remedy=remedy)
            await self._publications.seen(row["tables"])
            for earlier in self._unseen:
                batch.absorb(earlier)
            self._unseen = [b for b in self._unseen if not visible(b.xids, row["s"])]
            if not (wait and self._unseen):
                return batch


def _placed(member: Member) -> tuple[int, str]:
    return member.oid, member.mark
