"""A first look at a server that no config knows yet: its version and settings, its tables, and who logs in to the database.

Everything is read in one read-only transaction under a statement timeout. What comes back is what the server said, word for word: role and
application names are anybody's text, and whoever shows or writes them makes them safe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.systems.postgres.catalogue import TABLES
from cockpit.systems.postgres.link import CONNECT_S, Link, Row

STATEMENT_S = 5.0
"""Seconds after which the server gives a statement of the look up by itself."""
WITHIN_S = CONNECT_S + STATEMENT_S + 2.0
"""Seconds for connecting and the whole look."""

AT_RESTART = (
    "wal_level", "max_replication_slots", "max_wal_senders", "max_logical_replication_workers", "max_worker_processes",
    "max_active_replication_origins",
)  # fmt: skip
"""Settings that logical replication needs and that a running server cannot change; the last one since PostgreSQL 18."""

_SERVER = """\
SELECT current_database()::text AS database, pg_database_size(current_database())::bigint AS size,
  coalesce((SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()), false) AS tls,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super"""

_SETTINGS = f"SELECT name::text AS name, setting::text AS setting FROM pg_settings WHERE name IN ({', '.join(map(repr, AT_RESTART))})"

# Who may log in here. `writes`: a right to change rows of any user table, asked only of those whom a monitoring role would be.
_ROLES = """\
SELECT r.rolname::text AS name, r.rolsuper AS super, r.rolreplication AS replication, watch.so AS watches,
  r.rolname = current_user AS ours,
  NOT r.rolsuper AND watch.so AND EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) AS writes
FROM pg_roles r, LATERAL (SELECT EXISTS (
    SELECT FROM pg_roles g WHERE g.rolname IN ('pg_monitor', 'pg_read_all_stats', 'pg_read_all_settings')
      AND pg_has_role(r.oid, g.oid, 'USAGE')) AS so) watch
WHERE r.rolcanlogin AND r.rolname !~ '^pg_' AND has_database_privilege(r.oid, current_database(), 'CONNECT') ORDER BY 1"""

_SESSIONS = """\
SELECT a.usename::text AS role, coalesce(a.application_name, '') AS application, host(a.client_addr)::text AS client, count(*) AS sessions
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.usename IS NOT NULL AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND a.application_name !~ '^cockpit( |$)'
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 NULLS LAST"""


@dataclass(frozen=True, slots=True)
class Role:
    """A role that may log in to the database. `watches`: it is one of the server's monitoring roles; `writes` is only known of those."""

    name: str
    super: bool
    replication: bool
    watches: bool
    writes: bool
    ours: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """Sessions of one role and application that were there at that moment; `clients` are their addresses, as far as we may see them."""

    role: str
    application: str
    clients: tuple[str, ...]
    sessions: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first look at one side found. `size` is in bytes; the tables are counted without partitions, temporary and foreign ones."""

    side: Side
    version: str
    version_num: int
    database: str
    size: int
    tls: bool
    super: bool
    settings: tuple[tuple[str, str], ...]
    schemas: tuple[str, ...]
    tables: int
    keyless: tuple[str, ...]
    roles: tuple[Role, ...]
    seen: tuple[Seen, ...]


async def survey(side: Side, endpoint: Endpoint) -> Survey:
    """The look at `endpoint`, within `WITHIN_S`; `LinkError` or `SystemFault` says why there is none. Nothing is changed, nothing is left."""
    link = Link(side, endpoint, "look", statement_s=STATEMENT_S)
    try:
        server, settings, tables, roles, sessions = await link.look((_SERVER, _SETTINGS, TABLES, _ROLES, _SESSIONS), within=WITHIN_S)
        whole = [row for row in tables if not row["part"] and row["kind"] != "f"]
        return Survey(
            side,
            version=link.version,
            version_num=link.version_num,
            settings=tuple(sorted((row["name"], row["setting"]) for row in settings)),
            schemas=tuple(sorted({row["schema"] for row in whole})),
            tables=len(whole),
            keyless=tuple(f"{row['schema']}.{row['name']}" for row in whole if not row["identified"]),
            roles=tuple(Role(**dict(row)) for row in roles),
            seen=_grouped(sessions),
            **dict(server[0]),
        )
    finally:
        await link.close()


def _grouped(rows: Iterable[Row]) -> tuple[Seen, ...]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["role"], row["application"]), []).append(row)
    return tuple(
        Seen(role, application, tuple(row["client"] for row in group if row["client"]), sum(row["sessions"] for row in group))
        for (role, application), group in found.items()
    )
