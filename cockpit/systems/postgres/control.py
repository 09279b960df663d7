"""The control schema on both sides: heartbeat, canary and hold (replicated both ways), the fence ledger, the flush mark and who flies (local).

Heartbeats are a delete and an insert, never an update: an update whose row never came across would be skipped for ever
("Conflicts" in the manual's chapter on logical replication), an insert mends that by itself.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

from cockpit.errors import StepTimeout
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.words import Known, Side
from cockpit.systems.postgres import hold
from cockpit.systems.postgres.names import SCHEMA, ident, literal
from cockpit.systems.postgres.wires import Wires

REPLICATED = ("heartbeat", "canary", hold.TABLE)
CANARY_S = 10.0
POLL_S = 0.001

_OBJECTS = f"""\
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.heartbeat (side text, at timestamptz, PRIMARY KEY (side, at));
CREATE TABLE IF NOT EXISTS {SCHEMA}.canary (token uuid PRIMARY KEY, side text NOT NULL, purpose text NOT NULL, at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS {SCHEMA}.fence (one boolean PRIMARY KEY DEFAULT true CHECK (one), acl jsonb NOT NULL, former text, read_only text, at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS {SCHEMA}.mark (one boolean PRIMARY KEY DEFAULT true CHECK (one), n bigint NOT NULL);
INSERT INTO {SCHEMA}.mark VALUES (true, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS {SCHEMA}.seat (one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch bigint NOT NULL, name text NOT NULL, owner text NOT NULL, at timestamptz NOT NULL);
INSERT INTO {SCHEMA}.seat VALUES (true, 0, '', '', clock_timestamp()) ON CONFLICT DO NOTHING;
{hold.OBJECTS}"""

_EXIST = (
    "SELECT name FROM unnest(ARRAY['heartbeat', 'canary', 'fence', 'mark', 'hold', 'seat']) AS name"
    f" WHERE to_regclass('{SCHEMA}.' || name) IS NULL UNION ALL {hold.MISSING}"
)
BEAT = (
    f"WITH gone AS (DELETE FROM {SCHEMA}.heartbeat WHERE side = $1)"
    f" INSERT INTO {SCHEMA}.heartbeat (side, at) VALUES ($1, clock_timestamp())"
)
WRITE_CANARY = f"INSERT INTO {SCHEMA}.canary (token, side, purpose, at) VALUES ($1, $2, $3, clock_timestamp())"
SEE_CANARY = f"SELECT token FROM {SCHEMA}.canary WHERE token = $1"
NEWEST_CANARY = f"SELECT token::text, at::text FROM {SCHEMA}.canary WHERE side = $1 ORDER BY at DESC LIMIT 1"
_PRUNE = f"DELETE FROM {SCHEMA}.canary WHERE side = $1 AND at < now() - interval '1 day'"
FLUSH = f"UPDATE {SCHEMA}.mark SET n = n + 1"


@dataclass(frozen=True, slots=True)
class Install:
    """The control schema exists on `side`."""

    wires: Wires
    side: Side

    @property
    def name(self) -> str:
        return f"install control schema on {self.side}"

    def describe(self) -> tuple[Statement, ...]:
        return (Statement(self.side, self._script()),)

    async def probe(self) -> Probe:
        missing = [str(row["name"]) for row in await self.wires.work[self.side].rows(_EXIST)]
        return Probe(Known.PENDING if missing else Known.DONE, {"missing": missing})

    async def apply(self) -> Evidence:
        await self.wires.work[self.side].run(self._script(), within=30.0)
        return {"schema": SCHEMA}

    def _script(self) -> str:
        end = self.wires.spec.side(self.side)
        if end.peer.user == end.control.user:
            return _OBJECTS
        role = ident(end.peer.user)
        return f"{_OBJECTS}\nGRANT USAGE ON SCHEMA {SCHEMA} TO {role};\nGRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {role};"


@dataclass(frozen=True, slots=True)
class Canary:
    """A unique row written on `origin` was seen on `target`: the way the data really go works, now."""

    wires: Wires
    origin: Side
    target: Side

    @property
    def name(self) -> str:
        return f"canary {self.origin} to {self.target}"

    def describe(self) -> tuple[Statement, ...]:
        return canary_statements(self.origin, self.target, "test")

    async def probe(self) -> Probe:
        """Done when the newest canary of the origin stands on the target too."""
        here = await self.wires.watch[self.origin].rows(NEWEST_CANARY, str(self.origin))
        there = await self.wires.watch[self.target].rows(NEWEST_CANARY, str(self.origin))
        same = bool(here) and bool(there) and here[0]["token"] == there[0]["token"]
        return Probe(Known.DONE if same else Known.PENDING, {"written": here[0]["at"] if here else None})

    async def apply(self) -> Evidence:
        await self.wires.act[self.origin].change(_PRUNE, str(self.origin))
        return {"round_trip_ms": await send_canary(self.wires, self.origin, self.target, "test", CANARY_S)}


def canary_statements(origin: Side, target: Side, purpose: str) -> tuple[Statement, ...]:
    written = WRITE_CANARY.replace("$1", "<token>").replace("$2", literal(origin)).replace("$3", literal(purpose))
    return (Statement(origin, written), Statement(target, SEE_CANARY.replace("$1", "<token>")))


async def send_canary(wires: Wires, origin: Side, target: Side, purpose: str, within: float) -> float:
    """A canary committed on `origin` is visible on `target`; the milliseconds that took. `StepTimeout` when it does not come."""
    now = asyncio.get_running_loop().time
    token, started = uuid.uuid4(), now()
    await wires.act[origin].change(WRITE_CANARY, token, str(origin), purpose)
    while not await wires.act[target].rows(SEE_CANARY, token):
        if now() - started > within:
            raise StepTimeout(
                f"a row written on {origin} did not reach {target} within {within:g} s",
                where="canary",
                remedy=f"look at subscription {wires.names.link(origin)} on {target} and at the server log there",
            )
        await asyncio.sleep(POLL_S)
    return round((now() - started) * 1000, 2)


async def beat(wires: Wires, side: Side) -> None:
    """The side's heartbeat row says now, by its own clock."""
    await wires.watch[side].change(BEAT, str(side))
