"""ARP, the legacy database of the drill: its schema on both sides, its rows on blue, its roles on both.

The rows are made on the server, by `generate_series`, the same for the same seed; triggers and foreign keys rest meanwhile
(`session_replication_role = replica`), the statements keep them true by how they count.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from cockpit.drill.links import connection, literal, quoted
from cockpit.model.settings import Endpoint

DATABASE = "arp"
PILOT = "cockpit"
PEER = "cockpit_peer"
EXCLUDED = ("audit.session_cache",)
"""Tables that are not moved: unlogged, a cache that fills itself again."""
APPEND_ONLY = ("sales.click",)
"""Tables that only ever take INSERT and can have no replica identity."""

SCHEMAS = ("public", "core", "sales", "billing", "audit", "Reporting", "HR & Payroll", "Склад")
_LANES = 3
_HEAD = re.compile(r"^-- fill (?P<name>\w+) (?P<share>[\d.]+) (?P<least>\d+) (?P<table>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fill:
    """One table's rows: the share of all rows it gets, the least it gets, and the statement that makes them."""

    name: str
    table: str
    share: float
    least: int
    statement: str

    def rows(self, total: int) -> int:
        return max(self.least, round(total * self.share))


def schema() -> str:
    """The statements that make ARP's schema."""
    return (files("cockpit.drill") / "arp_schema.sql").read_text(encoding="utf-8")


def fills() -> tuple[Fill, ...]:
    """What fills ARP, in the order of the file."""
    text = (files("cockpit.drill") / "arp_fill.sql").read_text(encoding="utf-8")
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return tuple(
        Fill(head["name"], head["table"], float(head["share"]), int(head["least"]), text[head.end() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    )


def sizes(total: int) -> dict[str, int]:
    """Rows by table for about `total` rows in all."""
    return {fill.table: fill.rows(total) for fill in fills()}


async def create(server: Endpoint, passwords: Mapping[str, str]) -> None:
    """The database exists on the server with ARP's schema, the apps' roles (`passwords` by role) and the cockpit's own two.

    `server` is a superuser's endpoint on any database.
    """
    async with connection(server) as conn:
        for role, password in passwords.items():
            await conn.execute(f"CREATE ROLE {quoted(role)} LOGIN {_rights(role)} PASSWORD {literal(password)}")
        await conn.execute(f"GRANT pg_read_all_data TO {quoted(PEER)}")
        await conn.execute(f"CREATE DATABASE {quoted(DATABASE)}")
    apps = [role for role in passwords if role not in {PILOT, PEER}]
    async with connection(server, database=DATABASE) as conn:
        await conn.execute(schema())
        await conn.execute(_grants(apps))


def _rights(role: str) -> str:
    return {PILOT: "SUPERUSER", PEER: "REPLICATION"}.get(role, "")


def _grants(roles: Sequence[str]) -> str:
    who = ", ".join(quoted(role) for role in roles)
    where = ", ".join(quoted(name) for name in SCHEMAS)
    if not roles:
        return "SELECT 1"
    return f"""
        GRANT USAGE ON SCHEMA {where} TO {who};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {where} TO {who};
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {where} TO {who};
    """


async def fill(server: Endpoint, total: int, seed: int) -> int:
    """ARP on this server holds about `total` rows, the same for the same `seed`; returns how many there are."""
    counts = {item.name: item.rows(total) for item in fills()}
    waiting = sorted(fills(), key=lambda item: -counts[item.name])
    async with asyncio.TaskGroup() as lanes:
        for _ in range(_LANES):
            lanes.create_task(_lane(server, waiting, counts, seed))
    return sum(counts.values())


async def _lane(server: Endpoint, waiting: list[Fill], counts: Mapping[str, int], seed: int) -> None:
    async with connection(server, database=DATABASE, settings={"session_replication_role": "replica", "synchronous_commit": "off"}) as conn:
        while waiting:
            item = waiting.pop(0)
            await conn.execute(_filled_in(item, counts, seed))


def _filled_in(item: Fill, counts: Mapping[str, int], seed: int) -> str:
    values = {**counts, "n": counts[item.name], "seed": seed}
    return re.sub(r"@(\w+)", lambda found: str(int(values[found[1]])) if found[1] in values else found[0], item.statement)


async def settle(server: Endpoint) -> None:
    """Statistics are fresh and the materialized view holds what its tables hold."""
    async with connection(server, database=DATABASE) as conn:
        await conn.execute('REFRESH MATERIALIZED VIEW "Reporting"."Monthly"')
        await conn.execute("ANALYZE")


async def tables(conn: asyncpg.Connection) -> tuple[tuple[str, str], ...]:
    """Every ordinary table (partitions, not their parents) outside the system's and the cockpit's schemas, as (schema, name)."""
    rows = await conn.fetch(
        """
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'cockpit_control')
        ORDER BY 1, 2
        """
    )
    return tuple((row[0], row[1]) for row in rows)
