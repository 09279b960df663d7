"""Nothing of the cockpit is left on a side: subscription, publication, slots, schema; each only if it is there, in that order.

Works while the other side is down: a subscription is parted from its slot before it is dropped (`slot_name = NONE`), and each
slot is dropped where it stands. A fence that still stands is left standing (lifting it could make two sides writable); its
ledger goes with the schema, so `probe` and `apply` have the statements that put back what it changed: from then on nobody else knows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cockpit.errors import CockpitError, StepError, SystemFault
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.text import plain
from cockpit.model.words import Known, Side
from cockpit.systems.postgres.fence import FENCED
from cockpit.systems.postgres.names import SCHEMA, ident, literal
from cockpit.systems.postgres.wires import SIDES, Wires

SLOT_S = 15.0
STATEMENT_S = 30.0
POLL_S = 0.02

WRITABLE = "SET default_transaction_read_only = off"
"""Comes before any statement that somebody pastes into a fenced database: its sessions begin read-only."""

_LEFT = f"""\
SELECT 'subscription ' || subname AS what FROM pg_subscription
  WHERE subname = ANY ($1::text[]) AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT 'publication ' || pubname FROM pg_publication WHERE pubname = ANY ($1::text[])
UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE slot_name = ANY ($1::text[]) AND database = current_database()
UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = '{SCHEMA}' ORDER BY 1"""

_SUBSCRIPTION = (
    "SELECT oid::bigint AS oid, subslotname FROM pg_subscription WHERE subname = $1"
    " AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_SLOTS = (
    "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = current_database() AND (slot_name = $1 OR slot_name LIKE $2)"
)
_FREE = "SELECT pg_terminate_backend(active_pid) AS sent FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL"
_DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NULL"
_REOPEN = f"""\
WITH d AS (SELECT oid, datname, datdba, coalesce(datacl, acldefault('d', datdba)) AS acl FROM pg_database WHERE datname = current_database()),
was AS (SELECT w.* FROM {SCHEMA}.fence f, jsonb_to_recordset(f.acl) AS w(grantor oid, grantee oid, option boolean)),
more AS (SELECT a.grantor, a.grantee FROM {SCHEMA}.fence, d, aclexplode(d.acl) a WHERE a.privilege_type = 'CONNECT'
  AND NOT EXISTS (SELECT FROM was w WHERE (w.grantor, w.grantee) = (a.grantor, a.grantee))),
wanted AS (
  SELECT 0 AS turn, NULL::oid AS giver, CASE WHEN f.read_only IS NULL THEN format('ALTER DATABASE %I RESET default_transaction_read_only', d.datname)
    ELSE format('ALTER DATABASE %I SET default_transaction_read_only = %L', d.datname, f.read_only) END AS text FROM {SCHEMA}.fence f, d
  UNION ALL SELECT 1, m.grantor, format('REVOKE CONNECT ON DATABASE %I FROM %s CASCADE', d.datname, coalesce(quote_ident(r.rolname), 'PUBLIC'))
    FROM d, more m LEFT JOIN pg_roles r ON r.oid = m.grantee
  UNION ALL SELECT 2 + (w.grantor <> d.datdba)::int, w.grantor, format('GRANT CONNECT ON DATABASE %I TO %s%s', d.datname,
    coalesce(quote_ident(r.rolname), 'PUBLIC'), CASE WHEN w.option THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM d, was w LEFT JOIN pg_roles r ON r.oid = w.grantee WHERE w.grantee = 0 OR r.oid IS NOT NULL)
SELECT CASE WHEN giver IS NULL OR giver = d.datdba THEN text ELSE format('SET ROLE %I; %s; RESET ROLE', g.rolname, text) END AS text
FROM d, wanted LEFT JOIN pg_roles g ON g.oid = giver ORDER BY turn, text"""
_HAS_FENCE = f"SELECT to_regclass('{SCHEMA}.fence') IS NOT NULL AS made"
_SHUT_OUT = """\
SELECT rolname::text AS name FROM pg_roles WHERE rolname = ANY ($1::text[]) AND NOT has_database_privilege(oid, current_database(), 'CONNECT')
ORDER BY rolname"""
_NEVER = "-"


async def unrecorded(wires: Wires, side: Side) -> tuple[list[str], list[str]]:
    """A fence that nobody has on record, as an earlier clean-up leaves one standing: the app roles that it shuts out, and the statements that
    open it to them. What else could log in before it, nobody knows any more. Both empty where the side is not read-only, or open to every app."""
    link, database = wires.work[side], ident(wires.spec.side(side).control.database)
    if not (await link.row(FENCED, list(wires.exempt(side)), []))["read_only"]:
        return [], []
    shut_out = [str(row["name"]) for row in await link.rows(_SHUT_OUT, list(wires.app_roles))]
    grants = [f"GRANT CONNECT ON DATABASE {database} TO {ident(role)}" for role in shut_out]
    opens = [WRITABLE, f"ALTER DATABASE {database} RESET default_transaction_read_only", *grants]
    return shut_out, [plain(statement) for statement in opens] if shut_out else []


_ON_RECORD = (
    "stays fenced: apps cannot log in there. Its record goes with our schema, so keep these statements. To open it as it was found:"
)
_OFF_RECORD = (
    "stays fenced: it is read-only and {roles} cannot log in there, as an earlier clean-up leaves a fence; no record says what was there"
    " before it. To open it to the config's apps:"
)


@dataclass(frozen=True, slots=True)
class Gone:
    """No object of the cockpit is left on `side`."""

    wires: Wires
    side: Side

    @property
    def name(self) -> str:
        return f"clean up {self.side}"

    def describe(self) -> tuple[Statement, ...]:
        inward, outward = self.wires.names.link(self.side.other), self.wires.names.link(self.side)
        texts = (
            *_parting(inward),
            f"DROP PUBLICATION IF EXISTS {ident(outward)}",
            _FREE.replace("$1", literal(outward)),
            _DROP.replace("$1", literal(outward)),
            f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE",
        )
        return tuple(Statement(self.side, text) for text in texts)

    async def probe(self) -> Probe:
        left = await self._left()
        return Probe(Known.PENDING if left else Known.DONE, {"left": left, **await self._fence(), **await self._parted()})

    async def apply(self) -> Evidence:
        """Ends with `StepError` naming what is left when a slot stays in use."""
        was = await self._left()
        fence = await self._fence()
        sync_slots = await self._drop_subscription()
        await self.wires.work[self.side].run(f"DROP PUBLICATION IF EXISTS {ident(self.wires.names.link(self.side))}", within=STATEMENT_S)
        await self._drop_slots(self.side, self.wires.names.link(self.side), _NEVER)
        await self.wires.work[self.side].run(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", within=STATEMENT_S)
        left = await self._left()
        if left:
            raise StepError(f"left on {self.side}: {', '.join(left)}", where="cleanup", remedy="try again when they are no longer in use")
        return {"removed": was, **fence, **sync_slots}

    async def _left(self) -> list[str]:
        names = [self.wires.names.link(side) for side in SIDES]
        return [plain(row["what"]) for row in await self.wires.work[self.side].rows(_LEFT, names)]

    async def _fence(self) -> dict[str, object]:
        """What is said of a fence that stays, and the statements, for the owner's or a superuser's hand, that put back what it changed; of one
        that is not on record any more, those that open the side to the config's apps."""
        link = self.wires.work[self.side]
        rows = await link.rows(_REOPEN) if (await link.row(_HAS_FENCE))["made"] else []
        if rows:
            return {"fence": _ON_RECORD, "fence_stays": [WRITABLE, *(plain(row["text"]) for row in rows)]}
        shut_out, opens = await unrecorded(self.wires, self.side)
        return {"fence": _OFF_RECORD.format(roles=plain(", ".join(shut_out))), "fence_stays": opens} if shut_out else {}

    async def _parted(self) -> dict[str, object]:
        """Whether this side was parted for good from what the other one's slot keeps for it."""
        rows = await self.wires.work[self.side].rows(_SUBSCRIPTION, self.wires.names.link(self.side.other))
        return {"parted": True} if rows and rows[0]["subslotname"] is None else {}

    async def _drop_subscription(self) -> dict[str, object]:
        link, name = self.wires.work[self.side], self.wires.names.link(self.side.other)
        rows = await link.rows(_SUBSCRIPTION, name)
        if not rows:
            return {}
        for statement in _parting(name):
            await link.run(statement, within=STATEMENT_S)
        # Slots of an unfinished initial copy stand on the other side; their name holds the subscription's oid ("Replication Slot Management").
        try:
            await self._drop_slots(self.side.other, _NEVER, f"pg\\_{rows[0]['oid']}\\_sync\\_%")
        except CockpitError:
            return {"sync_slots": f"could not be looked for on {self.side.other}: pg_{rows[0]['oid']}_sync_*"}
        return {}

    async def _drop_slots(self, side: Side, name: str, pattern: str) -> None:
        now = asyncio.get_running_loop().time
        link, ends = self.wires.work[side], now() + SLOT_S
        while slots := await link.rows(_SLOTS, name, pattern):
            if now() > ends:
                return
            for slot in slots:
                await self._drop_slot(side, str(slot["slot_name"]))
            await asyncio.sleep(POLL_S)

    async def _drop_slot(self, side: Side, name: str) -> None:
        link = self.wires.work[side]
        await link.change(_FREE, name)
        try:
            await link.change(_DROP, name)
        except SystemFault as err:
            if err.code not in {"55006", "42704"}:  # in use again, or gone meanwhile
                raise


def _parting(name: str) -> tuple[str, ...]:
    quoted = ident(name)
    return (f"ALTER SUBSCRIPTION {quoted} DISABLE", f"ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE)", f"DROP SUBSCRIPTION {quoted}")
