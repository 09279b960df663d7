"""How far the target is behind the origin: one round trip on each side.

Bytes: `pg_current_wal_lsn()` of the origin minus the slot's `confirmed_flush_lsn` (never `sent_lsn - replay_lsn`, which is 0 when
nothing is sent). Seconds: the origin's clock minus the newest heartbeat of the origin that the target shows; both stamps are the
origin's own, so clocks of two servers are never compared. It includes the heartbeat's period. What could not be had is None.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cockpit.errors import CockpitError, SystemFault
from cockpit.model import lsn
from cockpit.model.telemetry import LagSample, TableSync
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres.link import Link, Row
from cockpit.systems.postgres.names import SCHEMA, literal
from cockpit.systems.postgres.wires import Wires

GATE_BYTES = 1 << 20
"""The forecast is to this limit: the lag gate other systems use."""
UNDEFINED_TABLE = "42P01"
"""SQLSTATE of a pair on which the control schema was not made yet."""
_RATE_OVER_S = 10.0
ERRORS_OVER_S = 30.0
"""An apply error counts for so long: a worker that cannot go on fails again every few seconds, one that could has gone on."""

_CHANGES = (
    "ARRAY(SELECT pg_stat_get_tuples_inserted(o::oid) + pg_stat_get_tuples_updated(o::oid) + pg_stat_get_tuples_deleted(o::oid)"
    " FROM unnest($2::bigint[]) WITH ORDINALITY AS u(o, n) ORDER BY n)"
)


def _outside(catalog: str, member: str, owner: str, name: str) -> str:
    """Which of the tables a publication or subscription that exists does not hold, itself or by a partitioned table above it."""
    held = (
        f"SELECT coalesce(t.relid::oid, r.{member})::bigint FROM {catalog}_rel r JOIN {catalog} h ON h.oid = r.{owner}"
        f" LEFT JOIN LATERAL pg_partition_tree(r.{member}) t ON true WHERE h.{name}"
    )
    return f"ARRAY(SELECT o FROM unnest($2::bigint[]) AS u(o) WHERE EXISTS (SELECT FROM {catalog} h WHERE h.{name}) AND o NOT IN ({held}))"


def _unpublished(name: str) -> str:
    return _outside("pg_publication", "prrelid", "prpubid", f"pubname = {name}")


def _unsubscribed(name: str) -> str:
    here = "subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    return _outside("pg_subscription", "srrelid", "srsubid", f"subname = {name} AND h.{here}")


ORIGIN = f"""\
SELECT s.slot_name IS NOT NULL AS slot, s.active, s.wal_status,
  pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint AS behind,
  pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint AS retained,
  pg_wal_lsn_diff(s.confirmed_flush_lsn, '0/0')::bigint AS confirmed, r.state AS sender, clock_timestamp() AS at,
  EXISTS (SELECT FROM {SCHEMA}.canary WHERE side = $3) AS other_canary,
  (SELECT u.subenabled AND EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = u.oid AND w.relid IS NULL AND w.pid IS NOT NULL)
    AND NOT EXISTS (SELECT FROM pg_subscription_rel l WHERE l.srsubid = u.oid AND l.srsubstate <> 'r')
    FROM pg_subscription u WHERE u.subname = $4) AS other_worker,
  {_unpublished("$1")} AS outside, {_unsubscribed("$4")} AS other_outside, {_CHANGES} AS changes
FROM (SELECT 1) one LEFT JOIN pg_replication_slots s ON s.slot_name = $1 LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid"""

_ERRORS = "(SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats e WHERE e.subid = u.oid)"

TARGET = f"""\
SELECT u.oid IS NOT NULL AS subscription, u.subenabled AS enabled, w.pid IS NOT NULL AS worker,
  extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::float8 AS message_age, <errors> AS errors,
  (SELECT max(at) FROM {SCHEMA}.heartbeat WHERE side = $3) AS beat,
  (SELECT count(*) FROM pg_subscription_rel l WHERE l.srsubid = u.oid) AS tables,
  ARRAY(SELECT ARRAY[n.nspname || '.' || c.relname, l.srsubstate::text] FROM pg_subscription_rel l JOIN pg_class c ON c.oid = l.srrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE l.srsubid = u.oid AND l.srsubstate <> 'r' ORDER BY 1) AS unready,
  (SELECT active AND wal_status IN ('reserved', 'extended') FROM pg_replication_slots WHERE slot_name = $4) AS other_slot,
  {_unsubscribed("$1")} AS outside, {_unpublished("$4")} AS other_outside, {_CHANGES} AS changes
FROM (SELECT 1) one LEFT JOIN pg_subscription u ON u.subname = $1 AND u.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
LEFT JOIN pg_stat_subscription w ON w.subid = u.oid AND w.relid IS NULL AND w.pid IS NOT NULL LIMIT 1"""


_BARE = {
    f"EXISTS (SELECT FROM {SCHEMA}.canary WHERE side = $3)": "$3::text IS NULL",
    f"(SELECT max(at) FROM {SCHEMA}.heartbeat WHERE side = $3)": "(SELECT NULL::timestamptz WHERE $3::text IS NULL)",
}
"""What is asked of a side without our schema: there is no canary and no heartbeat."""


def bare(query: str) -> str:
    """The query for a side where nothing of ours was made yet."""
    for ours, instead in _BARE.items():
        query = query.replace(ours, instead)
    return query


def target_query(version_num: int) -> str:
    """`pg_stat_subscription_stats` exists since 15."""
    return TARGET.replace("<errors>", _ERRORS if version_num >= 150000 else "NULL::bigint")


@dataclass(frozen=True, slots=True)
class Seen:
    """What both sides showed the last time both answered: all that is left to know when one is gone."""

    mono: float
    applied: str
    end: str
    behind_s: float | None
    gaps: Mapping[str, int]
    """By table, row changes counted on the origin and not on the target."""


@dataclass(slots=True)
class Meter:
    """Measures one direction and keeps what successive samples need."""

    wires: Wires
    origin: Side
    target: Side
    tables: Sequence[tuple[str, int, int]] = ()
    """Name, oid on the origin, oid on the target."""
    lone: tuple[str, ...] = ()
    """Tables of the origin that the target does not have."""
    other_lone: tuple[str, ...] = ()
    """And the other way."""
    last: Seen | None = None
    _passed: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=64))
    """When, confirmed position, bytes behind."""
    _base: tuple[list[int], list[int]] | None = None
    _errors: deque[tuple[float, int]] = field(default_factory=deque)
    """When, and the server's count of apply errors since its statistics were reset."""

    def follow(self, tables: Sequence[tuple[str, int, int]], lone: tuple[str, ...] = (), other_lone: tuple[str, ...] = ()) -> None:
        """The tables that are to be carried, and whose changes are compared from now on."""
        self.tables, self._base = tables, None
        self.lone, self.other_lone = lone, other_lone

    async def sample(self) -> LagSample:
        """The lag now; a side that cannot be asked leaves its figures None and is named in `error`."""
        here, there = await asyncio.gather(self._ask(self.origin), self._ask(self.target), return_exceptions=True)
        sample = self._empty()
        errors = []
        for row, fill in ((here, self._with_origin), (there, self._with_target)):
            if isinstance(row, CockpitError):
                # What before where: a narrow pane shows the beginning.
                errors.append(plain(f"{row.what} ({row.where})", 200))
            elif isinstance(row, BaseException):
                raise row
            else:
                sample = fill(sample, row)
        if not isinstance(here, BaseException) and not isinstance(there, BaseException):
            sample = self._with_both(sample, here, there)
        return replace(sample, error=sample.error or "; ".join(errors))

    async def _ask(self, side: Side) -> Row:
        link: Link = self.wires.watch[side]
        query = ORIGIN if side is self.origin else target_query(link.version_num)
        mine, other = self.wires.names.link(self.origin), self.wires.names.link(self.target)
        there = self.target if side is self.origin else self.origin
        oids = [origin if side is self.origin else target for _, origin, target in self.tables]
        try:
            return await link.row(query, mine, oids, str(there), other, within=2.0)
        except SystemFault as err:
            if err.code != UNDEFINED_TABLE:
                raise
            return await link.row(bare(query), mine, oids, str(there), other, within=2.0)

    def _empty(self) -> LagSample:
        now, slot = asyncio.get_running_loop().time(), self.wires.names.link(self.origin)
        shows = (
            f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) FROM pg_replication_slots WHERE slot_name = {literal(slot)}"
        )
        return LagSample(
            mono=now,
            origin=self.origin,
            target=self.target,
            lag_bytes=None,
            lag_s=None,
            apply_bytes_s=None,
            forecast_s=None,
            slot=slot,
            slot_state="unknown",
            retained_bytes=None,
            sender="unknown",
            worker="unknown",
            last_message_age_s=None,
            apply_errors=None,
            tables_ready=0,
            tables_total=0,
            query=shows,
        )

    def _with_origin(self, sample: LagSample, row: Row) -> LagSample:
        state = slot_state(row)
        error = "" if state == "active" else f"slot {sample.slot} is {state} on {self.origin}"
        behind = None if row["behind"] is None else max(int(row["behind"]), 0)
        sample = replace(
            sample, slot_state=state, sender=row["sender"] or "missing", lag_bytes=behind, retained_bytes=row["retained"], error=error
        )
        if behind is not None and row["confirmed"] is not None:
            self._passed.append((sample.mono, int(row["confirmed"]), behind))
        return replace(sample, apply_bytes_s=self._rate(), forecast_s=self._forecast())

    def _with_target(self, sample: LagSample, row: Row) -> LagSample:
        worker = "running" if row["worker"] else "disabled" if row["subscription"] and not row["enabled"] else "missing"
        unready = tuple(TableSync(plain(name, 200), state) for name, state in row["unready"])
        sample = replace(
            sample,
            worker=worker,
            last_message_age_s=row["message_age"],
            apply_errors=self.fresh_errors(sample.mono, row["errors"]),
            not_ready=unready,
        )
        if worker != "running" and not sample.error:
            shows = f"SELECT * FROM pg_stat_subscription WHERE subname = {literal(sample.slot)}"
            sample = replace(sample, error=f"worker of {sample.slot} is {worker} on {self.target}", query=shows)
        return replace(sample, tables_total=row["tables"], tables_ready=row["tables"] - len(unready))

    @property
    def counted_errors(self) -> int | None:
        """The server's count at the last sample, since its statistics were reset; None before one, or where it does not count."""
        return self._errors[-1][1] if self._errors else None

    def fresh_errors(self, now: float, count: int | None) -> int | None:
        """The apply errors of the last `ERRORS_OVER_S` seconds, as far as they were watched; the server's own count never falls."""
        if count is None:
            return None
        if self._errors and count < self._errors[-1][1]:
            self._errors.clear()
        self._errors.append((now, count))
        while len(self._errors) > 1 and self._errors[1][0] <= now - ERRORS_OVER_S:
            self._errors.popleft()
        return count - self._errors[0][1]

    def _with_both(self, sample: LagSample, here: Row, there: Row) -> LagSample:
        age = None if there["beat"] is None else max((here["at"] - there["beat"]).total_seconds(), 0.0)
        back = self._left_out(here["other_outside"], there["other_outside"], self.other_lone if there["other_slot"] is not None else ())
        armed = bool(here["other_canary"] and here["other_worker"] and there["other_slot"] and not back)
        gaps = self._gaps(list(here["changes"]), list(there["changes"]))
        name, behind = max(gaps.items(), key=lambda gap: gap[1], default=(None, None))
        if here["confirmed"] is not None:
            confirmed = int(here["confirmed"])
            self.last = Seen(sample.mono, lsn.show(confirmed), lsn.show(confirmed + max(int(here["behind"]), 0)), age, gaps)
        sample = replace(sample, lag_s=age, reverse_armed=armed, reverse_missing=back, worst_table=name, worst_behind=behind)
        return self._with_missing(sample, self._left_out(here["outside"], there["outside"], self.lone if there["subscription"] else ()))

    def _with_missing(self, sample: LagSample, names: tuple[str, ...]) -> LagSample:
        """Tables made since the mirror was: they count as not ready, and say so."""
        if not names:
            return sample
        shown = ", ".join(names[:3])
        return replace(
            sample,
            not_ready=(*(TableSync(name, "missing") for name in names), *sample.not_ready),
            tables_total=sample.tables_total + len(names),
            error=sample.error or f"{len(names)} table(s) of {self.origin} are not mirrored: {shown}",
        )

    def _left_out(self, here: Sequence[int], there: Sequence[int], lone: tuple[str, ...]) -> tuple[str, ...]:
        """The tables that one side or the other leaves out, by name."""
        gone_here, gone_there = set(here), set(there)
        found = [name for name, origin, target in self.tables if origin in gone_here or target in gone_there]
        return tuple(plain(name, 200) for name in (*found, *lone))

    def _gaps(self, here: list[int], there: list[int]) -> dict[str, int]:
        """The tables that are behind, by how many row changes since they were first compared."""
        if not len(here) == len(there) == len(self.tables):
            return {}  # the tables were read anew while this sample was on its way
        if self._base is None:
            self._base = (here, there)
        counts = zip(self.tables, here, self._base[0], there, self._base[1], strict=True)
        gaps = ((name, (h - h0) - (t - t0)) for (name, _, _), h, h0, t, t0 in counts)
        return {plain(name, 200): gap for name, gap in gaps if gap > 0}

    def _span(self) -> tuple[tuple[float, int, int], tuple[float, int, int]] | None:
        if len(self._passed) < 2:
            return None
        last = self._passed[-1]
        first = next(p for p in self._passed if last[0] - p[0] <= _RATE_OVER_S)
        return (first, last) if last[0] > first[0] else None

    def _rate(self) -> float | None:
        span = self._span()
        return None if span is None else (span[1][1] - span[0][1]) / (span[1][0] - span[0][0])

    def _forecast(self) -> float | None:
        if self._passed and self._passed[-1][2] <= GATE_BYTES:
            return 0.0
        span = self._span()
        if span is None:
            return None
        shrinks = (span[0][2] - span[1][2]) / (span[1][0] - span[0][0])
        return (span[1][2] - GATE_BYTES) / shrinks if shrinks > 0 else None


def slot_state(row: Row) -> str:
    """`active`, `inactive`, `missing`, `lost` or `unreserved` of a row with slot, active and wal_status."""
    if not row["slot"]:
        return "missing"
    if row["wal_status"] in {"lost", "unreserved"}:
        return str(row["wal_status"])
    return "active" if row["active"] else "inactive"
