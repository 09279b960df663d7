"""What the two databases and the apps' ledgers say after a drill: the facts that a scorecard is made of.

Rows are compared by column name, never by position: each row becomes the text of its values in the order of the columns' names,
hashed on its server; a table's sum of hashes and its count do not depend on the order of rows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from cockpit.drill import arp
from cockpit.drill.fleet import App
from cockpit.drill.ledger import Ack, acks
from cockpit.drill.links import connection, quoted
from cockpit.errors import CockpitError
from cockpit.model.settings import Endpoint

CATCH_UP_S = 60.0
_POLL_S = 0.05

_BEHIND = """
    SELECT count(*) FROM pg_replication_slots
    WHERE database = current_database() AND active AND confirmed_flush_lsn < $1::text::pg_lsn
"""
_COLUMNS = """
    SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'cockpit_control')
    GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Sum:
    """A table's content: how many rows, and the sum of their hashes."""

    rows: int
    digest: int


async def caught_up(origin: Endpoint) -> None:
    """Everything `origin` has written so far is confirmed by every subscription that follows it. `CockpitError` when it takes too long."""
    async with connection(origin, database=arp.DATABASE) as conn:
        until = await conn.fetchval("SELECT pg_current_wal_insert_lsn()::text")
        end = asyncio.get_running_loop().time() + CATCH_UP_S
        while await conn.fetchval(_BEHIND, until):
            if asyncio.get_running_loop().time() > end:
                raise CockpitError(f"the other side did not catch up in {CATCH_UP_S:g} s", where=f"{origin.host}:{origin.port}")
            await asyncio.sleep(_POLL_S)


async def sums(server: Endpoint) -> dict[str, Sum]:
    """Each table's content by its name, but for those that are not moved."""
    async with connection(server, database=arp.DATABASE, settings={"extra_float_digits": "3", "timezone": "UTC"}) as conn:
        rows = await conn.fetch(_COLUMNS)
        found = {f"{row[0]}.{row[1]}": await _sum(conn, row[0], row[1], row[2]) for row in rows}
    return {name: total for name, total in found.items() if name not in arp.EXCLUDED}


async def _sum(conn: asyncpg.Connection, schema: str, name: str, columns: list[str]) -> Sum:
    values = ", ".join(quoted(column) for column in columns)
    # ONLY: a table that others inherit from counts its own rows, they count theirs.
    row = await conn.fetchrow(
        f"SELECT count(*), coalesce(sum(hashtextextended(ROW({values})::text, 1)::numeric), 0) FROM ONLY {quoted(schema)}.{quoted(name)}"  # noqa: S608
    )
    return Sum(int(row[0]), int(row[1]))


def differing(blue: Mapping[str, Sum], green: Mapping[str, Sum]) -> tuple[str, ...]:
    """The tables whose contents differ, or that are on one side only."""
    return tuple(sorted(name for name in blue.keys() | green.keys() if blue.get(name) != green.get(name)))


async def written(server: Endpoint) -> Counter[UUID]:
    """How often each op_id is in the side's ledger table."""
    async with connection(server, database=arp.DATABASE) as conn:
        rows = await conn.fetch("SELECT op_id, count(*) FROM public.app_ledger GROUP BY 1")
    # asyncpg's UUIDs are a subclass with the same hash and equality.
    return Counter({row[0]: int(row[1]) for row in rows})


def acknowledged(folder: Path, apps: tuple[App, ...]) -> dict[str, list[Ack]]:
    """What was acknowledged to each app, in order, from the rig's ledger files."""
    return {app.name: list(acks(folder / "ledger" / f"{app.number}.acks")) for app in apps}
