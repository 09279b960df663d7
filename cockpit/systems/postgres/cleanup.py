"""Nothing of the cockpit is left on a side: subscription, publication, slots, schema; each only if it is there, in that order.

Works while the other side is down: a subscription is parted from its slot before it is dropped (`slot_name = NONE`), and each
slot is dropped where it stands. A fence that still stands is left standing (lifting it could make two sides writable); its
ledger goes with the schema, so the statements that would lift it by hand are in the evidence.
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
from cockpit.systems.postgres.names import SCHEMA, ident, literal
from cockpit.systems.postgres.wires import SIDES, Wires

SLOT_S = 15.0
STATEMENT_S = 30.0
POLL_S = 0.02

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
_FENCE = f"SELECT former, read_only FROM {SCHEMA}.fence"
_HAS_FENCE = f"SELECT to_regclass('{SCHEMA}.fence') IS NOT NULL AS made"
_NEVER = "-"


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
        return Probe(Known.PENDING if left else Known.DONE, {"left": left})

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
        link = self.wires.work[self.side]
        rows = await link.rows(_FENCE) if (await link.row(_HAS_FENCE))["made"] else []
        if not rows:
            return {}
        database = ident(self.wires.spec.side(self.side).control.database)
        reset = f"ALTER DATABASE {database} RESET default_transaction_read_only"
        if rows[0]["read_only"] is not None:
            reset = f"ALTER DATABASE {database} SET default_transaction_read_only = {literal(rows[0]['read_only'])}"
        former = "PUBLIC" if rows[0]["former"] is None else f"those of {plain(rows[0]['former'])}"
        return {"fence_stays": [reset, f"GRANT CONNECT ON DATABASE {plain(database)} TO {former}"]}

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
