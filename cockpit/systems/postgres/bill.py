"""The bill of an ungraceful handover: what stands in the origin's log behind the point up to which the target has applied it.

It is read from a copy of the mirror's slot, a temporary one that goes with its session (`pg_copy_logical_replication_slot`, also of a
slot that is in use), so that the slot itself stays where it is and keeps the log until `cleanup`. How far the target is, its own
replication origin knows ("Replication Progress Tracking"); where the control role may not read that, the slot's `confirmed_flush_lsn`
stands for it, which is at most behind it: then a change may be listed that the target has already, never the other way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cockpit.errors import CockpitError, SystemFault
from cockpit.model import lsn
from cockpit.model.bill import Bill
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres.lag import Meter
from cockpit.systems.postgres.link import Link
from cockpit.systems.postgres.names import SCHEMA, dotted, ident
from cockpit.systems.postgres.pgoutput import UNFIT, Described, Garbled, Reader
from cockpit.systems.postgres.wires import Wires

COPY = "cockpit_bill_"
"""What the name of the slot's copy begins with."""
COUNT_S = 3.0
"""Seconds the counting for a confirmation may take; what it did not reach makes the count an `at least`."""
BATCH = 5000
"""Changes a reading asks for; it ends with the transaction that reaches them."""
READ_S = 120.0
"""Seconds one reading may take: decoding begins where the slot's oldest transaction began."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FILTERED_SINCE = 160000

_COPY = "SELECT slot_name FROM pg_copy_logical_replication_slot($1::text::name, $2::text::name, true)"
_SLOT = (
    "SELECT confirmed_flush_lsn::text AS confirmed, pg_current_wal_insert_lsn()::text AS here, wal_status, clock_timestamp() AS at"
    " FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()"
)
_APPLIED = (
    "SELECT o.remote_lsn::text AS lsn FROM pg_replication_origin_status o"
    " JOIN pg_subscription s ON o.external_id = 'pg_' || s.oid WHERE s.subname = $1"
)
_READ = "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, $2, 'proto_version', '1', 'publication_names', $3{filter})"


@dataclass(frozen=True, slots=True)
class Change:
    """One row change, as its transaction committed it. Values are text as PostgreSQL prints them, None for NULL."""

    lsn: str
    """Of the commit."""
    at: datetime
    xid: int
    table: str
    op: str
    """`insert`, `update`, `delete` or `truncate`."""
    key: dict[str, str | None]
    """What identified the row before the change, where that is told."""
    row: dict[str, str | None]
    """The row after it."""
    unsent: tuple[str, ...] = ()
    """Large values that did not change: they are not in the log."""


class Changes:
    """Reads the stream, message by message."""

    def __init__(self) -> None:
        self._described: dict[int, Described] = {}
        self._lsn, self._at, self._xid = 0, _EPOCH, 0

    def feed(self, message: bytes) -> list[Change]:
        """What the message changed; `Garbled` when it is not one."""
        try:
            return self._feed(message[:1], Reader(message))
        except UNFIT as err:
            raise Garbled(f"a pgoutput message of {len(message)} bytes cannot be read") from err

    def _feed(self, kind: bytes, reader: Reader) -> list[Change]:
        match kind:
            case b"B":
                self._lsn, micros, self._xid = reader.unpack(">qqI")
                self._at = _EPOCH + timedelta(microseconds=micros)
            case b"R":
                seen = reader.relation()
                self._described[seen.oid] = seen
            case b"I" | b"U" | b"D":
                return [self._row({b"I": "insert", b"U": "update", b"D": "delete"}[kind], reader)]
            case b"T":
                count, _ = reader.unpack(">IB")
                return [self._change(self._table(reader), "truncate", {}, {}) for _ in range(count)]
            case b"C" | b"M" | b"O" | b"Y":
                pass
            case _:
                raise Garbled(f"unknown pgoutput message {kind!r}")
        return []

    def _row(self, op: str, reader: Reader) -> Change:
        table = self._table(reader)
        key: dict[str, str | None] = {}
        row: dict[str, str | None] = {}
        unsent: tuple[str, ...] = ()
        while not reader.ended:
            part = reader.byte()
            cells = dict(zip(table.columns, reader.cells(), strict=True))
            if part == b"N":
                unsent = tuple(name for name, cell in cells.items() if not cell.sent)
                row = {name: cell.value for name, cell in cells.items() if cell.sent}
            elif part in (b"K", b"O"):
                wanted = table.key if part == b"K" else table.columns
                key = {name: cell.value for name, cell in cells.items() if name in wanted}
            else:
                raise Garbled(f"unknown part of a row {part!r}")
        return self._change(table, op, key or {name: row[name] for name in table.key if name in row}, row, unsent)

    def _table(self, reader: Reader) -> Described:
        (oid,) = reader.unpack(">I")
        if oid not in self._described:
            raise Garbled(f"a change of table {oid} before its description")
        return self._described[oid]

    def _change(
        self, table: Described, op: str, key: dict[str, str | None], row: dict[str, str | None], unsent: tuple[str, ...] = ()
    ) -> Change:
        return Change(lsn.show(self._lsn), self._at, self._xid, dotted(*table.name), op, key, row, unsent)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the mirror's slot says of itself."""

    confirmed: str
    end: str
    at: datetime
    """The server's clock: commits bear its time."""


class Keeper:
    """Reads what the slot `slot` of `origin` keeps, by a session of its own."""

    def __init__(self, origin: Side, endpoint: Endpoint, slot: str) -> None:
        self.slot = slot
        self._copy = f"{COPY}{secrets.token_hex(4)}"
        self._link = Link(origin, endpoint, "bill", statement_s=READ_S)

    async def kept(self) -> Kept:
        """`SystemFault` where the slot is gone or has lost its log; `LinkError` where the server does not answer."""
        rows = await self._link.rows(_SLOT, self.slot)
        lost = not rows or rows[0]["wal_status"] == "lost"
        if lost:
            what = f"slot {self.slot} {'has lost its log' if rows else 'is gone'}: what was left behind cannot be read from it"
            raise SystemFault(
                what, where=self._link.where, remedy=f"compare the tables of both sides; {self._link.side} has the rows", code="slot"
            )
        return Kept(str(rows[0]["confirmed"]), str(rows[0]["here"]), rows[0]["at"])

    async def changes(self, behind: str) -> AsyncIterator[Change]:
        """Every change committed behind the position `behind`, in the order of the commits, without those of our own tables."""
        messages, first = Changes(), lsn.parse(behind)
        async with self._copied() as copy:
            filtered = ", 'origin', 'none'" if self._link.version_num >= _FILTERED_SINCE else ""
            read = _READ.format(filter=filtered)
            while rows := await self._link.change(read, copy, BATCH, ident(self.slot), within=READ_S):
                for row in rows:
                    for change in self._read(messages, row["data"]):
                        if lsn.parse(change.lsn) >= first and not change.table.startswith(f"{SCHEMA}."):
                            yield change
                await asyncio.sleep(0)

    def _read(self, messages: Changes, data: bytes) -> list[Change]:
        try:
            return messages.feed(data)
        except Garbled as err:
            raise SystemFault(str(err), where=self._link.where, code="pgoutput") from err

    @asynccontextmanager
    async def _copied(self) -> AsyncIterator[str]:
        await self._link.change(_COPY, self.slot, self._copy, within=READ_S)
        try:
            yield self._copy
        finally:
            await self._link.close()  # the copy goes with its session

    async def close(self) -> None:
        await self._link.close()


async def applied(link: Link, subscription: str) -> str | None:
    """The origin's position up to which the subscription has applied its log; None where the role may not know, or there is none."""
    try:
        rows = await link.rows(_APPLIED, subscription)
    except SystemFault as err:
        if err.code != "42501":
            raise
        return None
    return str(rows[0]["lsn"]) if rows and rows[0]["lsn"] else None


async def draw(wires: Wires, origin: Side, target: Side, meter: Meter) -> Bill:
    """The bill now: counted where `origin` answers, else as `meter` saw it last; and whether anything keeps it, where that is seen."""
    try:
        return await _counted(wires, origin, target)
    except CockpitError as err:
        seen = await _remembered(wires, origin, target, meter)
        lost = isinstance(err, SystemFault) and err.code == "slot"
        return replace(seen, unkept=plain(err.what, 200)) if lost else seen


async def _counted(wires: Wires, origin: Side, target: Side) -> Bill:
    slot = wires.names.link(origin)
    keeper = Keeper(origin, wires.spec.side(origin).control, slot)
    rows: Counter[str] = Counter()
    oldest: datetime | None = None
    exact = True
    try:
        kept, has = await asyncio.gather(keeper.kept(), applied(wires.watch[target], slot))
        try:
            async with asyncio.timeout(COUNT_S):
                async for change in keeper.changes(has or kept.confirmed):
                    rows[plain(change.table, 200)] += 1
                    oldest = oldest or change.at
        except TimeoutError:
            exact = False
    finally:
        await keeper.close()
    behind = None if oldest is None else max((kept.at - oldest).total_seconds(), 0.0)
    return Bill(origin, target, dict(rows), has or kept.confirmed, kept.end, behind, 0.0, exact)


async def _remembered(wires: Wires, origin: Side, target: Side, meter: Meter) -> Bill:
    try:
        has = await applied(wires.watch[target], wires.names.link(origin))
    except CockpitError:
        has = None
    last = meter.last
    if last is None:
        return Bill(origin, target, None, has or "")
    now = asyncio.get_running_loop().time()
    return Bill(origin, target, last.gaps, has or last.applied, last.end, last.behind_s, now - last.mono)
