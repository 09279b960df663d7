"""Drain: a canary committed on the quiet origin is seen on the target, so everything before it was applied there.

Apply workers commit in the origin's commit order, so one visible row proves all before it in milliseconds, where the slot's
`confirmed_flush_lsn` waits for the subscriber's feedback. The apply worker commits asynchronously; a commit of our own on the
target with `synchronous_commit = on` flushes the log up to itself, thus everything applied before it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.words import Known, Side
from cockpit.systems.postgres.control import FLUSH, canary_statements, send_canary
from cockpit.systems.postgres.names import SCHEMA, literal
from cockpit.systems.postgres.wires import Wires

DRAIN_S = 60.0
POSITION = (
    "SELECT confirmed_flush_lsn::text AS confirmed, pg_current_wal_lsn()::text AS here,"
    " (SELECT pg_wal_lsn_diff(confirmed_flush_lsn, $2::text::pg_lsn) >= 0) AS passed FROM pg_replication_slots WHERE slot_name = $1"
)
_LAST = (
    f"SELECT token::text FROM {SCHEMA}.canary WHERE side = $1 AND purpose = 'drain'"
    f" AND at > (SELECT at FROM {SCHEMA}.fence) ORDER BY at DESC LIMIT 1"
)
_SEEN = f"SELECT token FROM {SCHEMA}.canary WHERE token = $1::text::uuid"


@dataclass(frozen=True, slots=True)
class Drain:
    """Everything committed on the fenced `origin` is applied and flushed on `target`."""

    wires: Wires
    origin: Side
    target: Side

    @property
    def name(self) -> str:
        return f"drain {self.origin} to {self.target}"

    def describe(self) -> tuple[Statement, ...]:
        slot = literal(self.wires.names.link(self.origin))
        position = POSITION.replace("$1", slot).replace("$2", "<fence lsn>")
        return (*canary_statements(self.origin, self.target, "drain"), Statement(self.target, FLUSH), Statement(self.origin, position))

    async def probe(self) -> Probe:
        """Done when the canary written since the fence went up stands on the target."""
        wrote = await self.wires.watch[self.origin].rows(_LAST, str(self.origin))
        seen = bool(wrote) and bool(await self.wires.watch[self.target].rows(_SEEN, wrote[0]["token"]))
        return Probe(Known.DONE if seen else Known.PENDING, {"canary_written": bool(wrote), "canary_seen": seen})

    async def apply(self) -> Evidence:
        """`canary_ms`: from the write on the origin to its sight on the target. The slot's position is recorded, not waited for."""
        canary_ms = await send_canary(self.wires, self.origin, self.target, "drain", DRAIN_S)
        fence_lsn = self.wires.fence_lsn.get(self.origin)
        _, position = await asyncio.gather(
            self.wires.act[self.target].change(FLUSH),
            self.wires.act[self.origin].rows(POSITION, self.wires.names.link(self.origin), fence_lsn),
        )
        row = position[0] if position else None
        return {
            "canary_ms": canary_ms,
            "fence_lsn": fence_lsn or (row["here"] if row else None),
            "confirmed_lsn": row["confirmed"] if row else None,
            "confirmed_passed_fence": row["passed"] if row else None,
        }
