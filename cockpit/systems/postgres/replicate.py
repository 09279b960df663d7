"""Replication of one direction: publication and slot on the origin, subscription on the target, running, every table ready.

Both directions stand at once: `origin = none` (16 on both sides) lets a subscription carry only what was written on its origin
itself ("CREATE SUBSCRIPTION"). Older servers have no such filter, and two enabled directions would send a row round for ever.
There the second direction can only be made inside the window, when its target is fenced and drained: until then its `probe` is
`pending` with `postponed` in the evidence and `apply` changes nothing; in the window `apply` first disables the opposite direction.

A slot that is gone under a standing subscription is never made anew: what was written in between would be missing without a trace.
The slot is made by its SQL function with a deadline, because one open write transaction on the origin holds it up without bound.
Tables are published leaf by leaf (`publish_via_partition_root = false`, so a TRUNCATE of one partition is carried) unless the
target lacks a leaf of the same name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cockpit.errors import StepTimeout, SystemFault
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.text import plain
from cockpit.model.words import Known, Side
from cockpit.systems.postgres import catalogue
from cockpit.systems.postgres.catalogue import Table
from cockpit.systems.postgres.control import REPLICATED
from cockpit.systems.postgres.link import Row
from cockpit.systems.postgres.names import SCHEMA, conninfo, ident, literal, table
from cockpit.systems.postgres.wires import Wires

SLOT_S = 20.0
STALL_S = 60.0
SETUP_S = 60.0
POLL_S = 0.02
FILTERED_SINCE = 160000

ORIGIN = """\
SELECT s.active, s.wal_status, s.database = current_database() AS ours, s.slot_name IS NOT NULL AS slot,
  ARRAY(SELECT t.schemaname || '.' || t.tablename FROM pg_publication_tables t WHERE t.pubname = $1 ORDER BY 1) AS published,
  EXISTS (SELECT FROM pg_publication p WHERE p.pubname = $1) AS publication
FROM (SELECT 1) one LEFT JOIN pg_replication_slots s ON s.slot_name = $1"""

TARGET = """\
SELECT u.oid IS NOT NULL AS subscription, u.subenabled AS enabled, w.pid IS NOT NULL AS worker,
  u.oid IS NOT NULL AND u.subslotname IS NULL AS parted,
  ARRAY(SELECT n.nspname || '.' || c.relname FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.srsubid = u.oid ORDER BY 1) AS subscribed,
  ARRAY(SELECT n.nspname || '.' || c.relname || ' ' || r.srsubstate::text FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.srsubid = u.oid AND r.srsubstate <> 'r' ORDER BY 1) AS unready
FROM (SELECT 1) one LEFT JOIN pg_subscription u ON u.subname = $1 AND u.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
LEFT JOIN pg_stat_subscription w ON w.subid = u.oid AND w.relid IS NULL AND w.pid IS NOT NULL
LIMIT 1"""

_COPIED = "SELECT coalesce(sum(bytes_processed), 0)::bigint AS bytes FROM pg_stat_progress_copy WHERE datname = current_database()"
_ERRORS = (
    "SELECT coalesce(sum(apply_error_count + sync_error_count), 0)::bigint AS errors FROM pg_stat_subscription_stats WHERE subname = $1"
)
_MAKE_SLOT = "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')"
_HOLDERS = """\
SELECT format('pid %s, %s, %s, open %s s', pid, usename, coalesce(nullif(application_name, ''), '-'),
  round(extract(epoch FROM clock_timestamp() - xact_start))) AS who FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
UNION ALL SELECT format('prepared transaction %s of %s', gid, owner) FROM pg_prepared_xacts LIMIT 10"""
QUIET = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_min_error_statement": "panic",
    "track_activities": "off",
    "pg_stat_statements.track_utility": "off",
    "pgaudit.log": "none",
}
"""Settings under which a statement is neither logged nor kept nor shown to others. All of them are a superuser's to set, or granted."""


def may_set(version_num: int) -> str:
    """Which of the settings the server has and the current role may change. A single one can be granted since 15."""
    mine = (
        "has_parameter_privilege(name, 'SET')"
        if version_num >= 150000
        else "EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper)"
    )
    return f"SELECT name FROM pg_settings WHERE name = ANY ($1::text[]) AND {mine}"


_FENCED = f"SELECT to_regclass('{SCHEMA}.fence') IS NOT NULL AS made"


@dataclass(frozen=True, slots=True)
class Replicate:
    """`target` applies what is written on `origin`; `copy`: a new subscription copies what is there first."""

    wires: Wires
    origin: Side
    target: Side
    copy: bool
    known: Mapping[Side, tuple[Table, ...]]
    """The tables as last read, for `describe`."""

    @property
    def name(self) -> str:
        return f"replicate {self.origin} to {self.target}"

    @property
    def link(self) -> str:
        return self.wires.names.link(self.origin)

    def describe(self) -> tuple[Statement, ...]:
        found = self.known.get(self.origin)
        listed = [t.key for t in catalogue.publishable(self.wires.spec, found)] if found is not None else None
        via_root = self._via_root(found or (), self.known.get(self.target, ()))
        return (
            Statement(self.origin, self._publication(listed, via_root)),
            Statement(self.origin, _MAKE_SLOT.replace("$1", literal(self.link))),
            Statement(self.target, self._subscription(masked=True)),
        )

    async def probe(self) -> Probe:
        here, there = await asyncio.gather(
            self.wires.watch[self.origin].row(ORIGIN, self.link), self.wires.watch[self.target].row(TARGET, self.link)
        )
        evidence = _evidence(here, there) | {"unpublished": self._unpublished(list(here["published"]))}
        if not there["subscription"] and not await self._filtered():
            evidence |= {"postponed": "made inside the window: no origin filter before PostgreSQL 16"}
        whole = _running(here, there) and not evidence["unpublished"]
        return Probe(Known.DONE if whole else Known.PENDING, evidence)

    def _unpublished(self, published: Sequence[str]) -> list[str]:
        """Tables of both sides, as last read, that the publication leaves out: they were made after it."""
        here, there = (self.known.get(side, ()) for side in (self.origin, self.target))
        roots, names = {t.oid: t.dotted for t in here}, {t.key for t in there}
        both = [t for t in catalogue.carried(self.wires.spec, here) if t.key in names]
        return [plain(t.dotted, 200) for t in both if not {t.dotted, roots.get(t.root)} & {*published}]

    async def apply(self) -> Evidence:
        """Long where data are copied: it ends with `StepTimeout` when nothing moves for a minute, naming the tables that wait."""
        if not await self._filtered() and not await self._only_direction():
            return {"postponed": "made inside the window: no origin filter before PostgreSQL 16"}
        await self._room_for_copy()
        await self._publish()
        await self._slot()
        await self._subscribe()
        return await self._until_running()

    async def _filtered(self) -> bool:
        links = [self.wires.work[side] for side in (self.origin, self.target)]
        await asyncio.gather(*(link.open() for link in links if not link.version_num))
        return all(link.version_num >= FILTERED_SINCE for link in links)

    async def _only_direction(self) -> bool:
        """The opposite direction does not run: it was not there, or the target is fenced and it was disabled."""
        back = self.wires.names.link(self.target)
        opposite = await self.wires.work[self.origin].row(TARGET, back)
        if not opposite["enabled"]:
            return True
        fenced = await self._fenced(self.target)
        if fenced:
            await self.wires.act[self.origin].run(f"ALTER SUBSCRIPTION {ident(back)} DISABLE")
        return fenced

    async def _room_for_copy(self) -> None:
        """A new subscription that copies finds no row where it writes: it would double those of a table without a key, and end at any other."""
        link = self.wires.work[self.target]
        if not self.copy or (await link.row(TARGET, self.link))["subscription"]:
            return
        here, there = await catalogue.tables(self.wires.work[self.origin]), await catalogue.tables(link)
        waived = {w.object for w in self.wires.spec.waivers if w.check == "R12"}
        held = await catalogue.filled(link, catalogue.copied_into(self.wires.spec, here, there))
        _refuse("hold rows already", tuple(t for t in held if not waived & {"*", t.dotted}), self.target, "R12")

    async def _publish(self) -> None:
        spec, link = self.wires.spec, self.wires.work[self.origin]
        here, there = await catalogue.tables(link), await catalogue.tables(self.wires.work[self.target])
        _refuse("cannot carry UPDATE or DELETE", catalogue.hazards(spec, here), self.origin, "D1")
        _refuse(f"stand on {self.origin} only", catalogue.missing(spec, here, there), self.target, "R11")
        listed = [t.key for t in catalogue.publishable(spec, here)]
        row = await link.row(ORIGIN, self.link)
        if not row["publication"]:
            await link.run(self._publication(listed, self._via_root(here, there)), within=SETUP_S)
        elif not await self._same(listed):
            await link.run(f"ALTER PUBLICATION {ident(self.link)} SET TABLE {self._table_list(listed)}", within=SETUP_S)

    async def _same(self, listed: list[tuple[str, str]]) -> bool:
        sql = (
            "SELECT n.nspname::text AS schema, c.relname::text AS name FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid"
            " JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = $1"
        )
        there = {(row["schema"], row["name"]) for row in await self.wires.work[self.origin].rows(sql, self.link)}
        return there == {*listed, *catalogue.control_tables(REPLICATED)}

    def _via_root(self, here: tuple[Table, ...], there: tuple[Table, ...]) -> bool:
        names = {t.key for t in there}
        return any(t.part and t.key not in names for t in catalogue.carried(self.wires.spec, here)) if there else False

    def _publication(self, listed: list[tuple[str, str]] | None, via_root: bool) -> str:
        root = str(via_root).lower()
        return f"CREATE PUBLICATION {ident(self.link)} FOR TABLE {self._table_list(listed)} WITH (publish_via_partition_root = {root})"

    def _table_list(self, listed: list[tuple[str, str]] | None) -> str:
        if listed is None:
            return "<every table that can be replicated>"
        return ", ".join(table(schema, name) for schema, name in [*listed, *catalogue.control_tables(REPLICATED)])

    async def _slot(self) -> None:
        link, where = self.wires.work[self.origin], str(self.origin)
        here = await link.row(ORIGIN, self.link)
        there = await self.wires.work[self.target].row(TARGET, self.link)
        if there["parted"]:
            raise SystemFault(
                f"subscription {self.link} was parted from its slot: {self.origin} keeps what {self.target} has not",
                where=str(self.target),
                remedy="`cockpit bill` reads it, then `cockpit cleanup` and a new copy",
                code="slot",
            )
        if here["slot"] and here["wal_status"] != "lost" and here["ours"]:
            return
        if here["slot"] and not here["ours"]:
            raise SystemFault(
                f"slot {self.link} belongs to another database", where=where, remedy="give the pair another name", code="slot"
            )
        if there["subscription"]:
            state = "lost its WAL" if here["slot"] else "is gone"
            raise SystemFault(
                f"slot {self.link} {state}: what was written since is missing on {self.target}",
                where=where,
                remedy="`cockpit cleanup`, then start again with a new copy",
                code="slot",
            )
        await self._make_slot()

    async def _make_slot(self) -> None:
        link = self.wires.work[self.origin]
        try:
            await link.run(f"SET statement_timeout = '{round(SLOT_S * 1000)}ms'; SET lock_timeout = 0")
            await link.change(_MAKE_SLOT, self.link, within=SLOT_S + 5)
        except SystemFault as err:
            if err.code != "57014":
                raise
            who = [plain(row["who"], 160) for row in await self.wires.watch[self.origin].rows(_HOLDERS)]
            raise SystemFault(
                f"slot {self.link} could not be made within {SLOT_S:g} s, held up by: {'; '.join(who) or 'a transaction that ended since'}",
                where=str(self.origin),
                remedy="end these transactions, then try again",
                code=err.code,
            ) from None
        finally:
            await link.close()  # the session's own limits go with it

    async def _subscribe(self) -> None:
        link = self.wires.work[self.target]
        there = await link.row(TARGET, self.link)
        if not there["subscription"]:
            await link.script((*await self._quiet(), self._subscription(masked=False)), within=SETUP_S)
            return
        published = (await self.wires.work[self.origin].row(ORIGIN, self.link))["published"]
        if list(published) != list(there["subscribed"]):
            if not there["enabled"]:
                await link.run(f"ALTER SUBSCRIPTION {ident(self.link)} ENABLE")
            copy = str(await self._copies(set(published) - set(there["subscribed"]))).lower()
            await link.run(f"ALTER SUBSCRIPTION {ident(self.link)} REFRESH PUBLICATION WITH (copy_data = {copy})", within=SETUP_S)
        elif not there["enabled"]:
            await link.run(f"ALTER SUBSCRIPTION {ident(self.link)} ENABLE")

    async def _copies(self, new: set[str]) -> bool:
        """Whether a refresh copies the tables that are new to the subscription.

        A table that was made since, and that apps fill on the unfenced origin, stands empty on the target: nothing else would bring
        the rows it has already. Where the origin is fenced, what it has came from the target.
        """
        if self.copy or not new or await self._fenced(self.origin):
            return self.copy
        filled = await self._filled(new)
        if filled and len(filled) < len(new):
            raise SystemFault(
                f"new tables that hold rows on {self.target} already: {plain(', '.join(filled), 300)}",
                where=str(self.target),
                remedy=f"empty them on {self.target}, so that all new tables can be copied, or exclude them",
                code="copy",
            )
        return not filled

    async def _filled(self, names: set[str]) -> list[str]:
        link = self.wires.work[self.target]
        return [t.dotted for t in await catalogue.filled(link, [t for t in await catalogue.tables(link) if t.dotted in names])]

    async def _fenced(self, side: Side) -> bool:
        link = self.wires.work[side]
        return bool((await link.row(_FENCED))["made"] and await link.rows(f"SELECT 1 FROM {SCHEMA}.fence"))

    async def _quiet(self) -> tuple[str, ...]:
        """The subscription's password stays out of what the server writes down or shows, as far as the control role may say so."""
        link = self.wires.work[self.target]
        names = [str(row["name"]) for row in await link.rows(may_set(link.version_num), list(QUIET))]
        return tuple(f"SET LOCAL {name} = {literal(value)}" for name, value in QUIET.items() if name in names)

    def _subscription(self, *, masked: bool) -> str:
        wanted = {"create_slot": "false", "slot_name": literal(self.link), "copy_data": str(self.copy).lower(), "streaming": "on"}
        if self.wires.work[self.target].version_num >= FILTERED_SINCE or not self.wires.work[self.target].version_num:
            wanted["origin"] = "none"
        options = ", ".join(f"{key} = {value}" for key, value in wanted.items())
        dsn = literal(conninfo(self.wires.spec.side(self.origin).peer, self.link, masked=masked))
        return f"CREATE SUBSCRIPTION {ident(self.link)} CONNECTION {dsn} PUBLICATION {ident(self.link)} WITH ({options})"

    async def _until_running(self) -> Evidence:
        now = asyncio.get_running_loop().time
        moved, last, first_errors = now(), (0, 0), await self._errors()
        while True:
            here, there = await asyncio.gather(
                self.wires.work[self.origin].row(ORIGIN, self.link), self.wires.work[self.target].row(TARGET, self.link)
            )
            if _running(here, there):
                return _evidence(here, there)
            copied = int((await self.wires.work[self.target].row(_COPIED))["bytes"])
            if (len(there["unready"]), copied) != last:
                moved, last = now(), (len(there["unready"]), copied)
            errors = await self._errors() - first_errors
            if errors >= 3 or now() - moved > STALL_S:
                raise self._stuck(here, there, errors)
            await asyncio.sleep(POLL_S)

    async def _errors(self) -> int:
        link = self.wires.work[self.target]
        return int((await link.row(_ERRORS, self.link))["errors"]) if link.version_num >= 150000 else 0

    def _stuck(self, here: Row, there: Row, errors: int) -> StepTimeout:
        waiting = ", ".join(plain(text, 120) for text in there["unready"][:5]) or "no table"
        slot = "active" if here["active"] else "not active"
        return StepTimeout(
            f"subscription {self.link} does not come up: worker {'running' if there['worker'] else 'missing'}, slot {slot}, "
            f"{errors} errors, not ready: {waiting}",
            where="replicate",
            remedy=f"the server log of {self.target} names the cause",
        )


def _running(here: Row, there: Row) -> bool:
    whole = list(here["published"]) == list(there["subscribed"]) and bool(here["published"])
    return bool(here["active"] and there["enabled"] and there["worker"] and whole and not there["unready"])


def _evidence(here: Row, there: Row) -> dict[str, object]:
    return {
        "slot": "missing" if not here["slot"] else "lost" if here["wal_status"] == "lost" else "active" if here["active"] else "inactive",
        "worker": "running" if there["worker"] else "disabled" if there["subscription"] and not there["enabled"] else "missing",
        "tables": len(there["subscribed"]),
        "published": len(here["published"]),
        "not_ready": [plain(text, 200) for text in there["unready"][:20]],
    }


def _refuse(why: str, tables: tuple[Table, ...], side: Side, check: str) -> None:
    """Nothing is made on a live server while a table says no; every one of them is named."""
    if not tables:
        return
    names = ", ".join(plain(t.dotted) for t in tables[:10]) + (f" and {len(tables) - 10} more" if len(tables) > 10 else "")
    remedies = {
        "D1": "per table: a primary key, `ALTER TABLE .. REPLICA IDENTITY USING INDEX ..` or `FULL`, "
        "or exclude it, or waive `D1` for one that only ever takes INSERT",
        "R11": f"create them on {side} from the schema dump, or exclude them",
        "R12": f"TRUNCATE them on {side}, or exclude them; a waiver of `R12` lets the copy add to their rows",
    }
    raise SystemFault(f"{len(tables)} table(s) {why}: {names}", where=str(side), remedy=remedies[check], code=check)
