"""Who is on a side: its app sessions by role and name, and the server's own standing, from `pg_stat_activity`."""

from __future__ import annotations

import asyncio

from cockpit.errors import CockpitError
from cockpit.handover.ports import Session
from cockpit.model.telemetry import ServerSample
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres.sequences import STANDS, Watermarks
from cockpit.systems.postgres.wires import Wires

_CLIENTS = "a.datname = current_database() AND a.backend_type = 'client backend' AND a.usename <> ALL ($1::text[])"

CENSUS = f"""\
SELECT a.pid, a.usename::text AS role, a.application_name AS application, coalesce(host(a.client_addr), 'local') AS client,
  coalesce(a.state, '') AS state, a.backend_xid IS NOT NULL AS has_xid,
  extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age, coalesce(left(a.query, 200), '') AS query
FROM pg_stat_activity a WHERE {_CLIENTS}"""

STANDING = f"""\
SELECT count(*) AS sessions, max(extract(epoch FROM clock_timestamp() - a.xact_start))::float8 AS oldest,
  (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()) AS prepared,
  (SELECT coalesce(bool_or(lower(split_part(s, '=', 2)) IN ('on', 'true', 'yes', '1')), false) FROM pg_database d
    JOIN pg_db_role_setting r ON r.setdatabase = d.oid AND r.setrole = 0, unnest(r.setconfig) s
    WHERE d.datname = current_database() AND s LIKE 'default\\_transaction\\_read\\_only=%') AS read_only,
  (SELECT EXISTS (SELECT FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x LEFT JOIN pg_roles g ON g.oid = x.grantee
    WHERE d.datname = current_database() AND x.privilege_type = 'CONNECT' AND NOT coalesce(g.rolname = ANY ($1::text[]), false))) AS admits
FROM pg_stat_activity a WHERE {_CLIENTS}"""


async def census(wires: Wires, side: Side) -> tuple[Session, ...]:
    """Every client session of the database that is neither the cockpit's, nor replication's, nor an exempt role's."""
    rows = await wires.watch[side].rows(CENSUS, list(wires.exempt(side)), within=2.0)
    return tuple(
        Session(
            side=side,
            pid=row["pid"],
            role=plain(row["role"], 80),
            application=plain(row["application"], 80),
            client=plain(row["client"], 80),
            state=plain(row["state"], 40),
            has_xid=row["has_xid"],
            xact_age_s=row["age"],
            query=plain(row["query"], 200),
        )
        for row in rows
    )


async def server(wires: Wires, side: Side, marks: Watermarks) -> ServerSample:
    """The side's standing now; `up` is false, with the reason, when it cannot be asked. `fenced`: read-only by default and no app admitted."""
    now, link = asyncio.get_running_loop().time(), wires.watch[side]
    try:
        row = await link.row(STANDING, list(wires.exempt(side)), within=2.0)
        numbers = await link.rows(STANDS, within=2.0)
    except CockpitError as err:
        return ServerSample(now, side, False, link.version, None, None, None, None, plain(err, 200))
    fenced = bool(row["read_only"]) and not row["admits"]
    return ServerSample(
        now, side, True, link.version, fenced, row["sessions"], row["oldest"], row["prepared"], set_back=marks.set_back(numbers)
    )
