"""P1, P3, P4, P9, P11, P13: rights of the cockpit and of replication, who may pass the fence, whether the other side is as large,
and whether a password would be written down."""

from __future__ import annotations

from collections.abc import Callable

from cockpit.errors import LinkError
from cockpit.model.events import FindingSeen
from cockpit.model.text import plain
from cockpit.systems.postgres.link import Link
from cockpit.systems.postgres.names import ident
from cockpit.systems.postgres.preflight.look import Look, block, good, unless, warn
from cockpit.systems.postgres.replicate import QUIET, may_set
from cockpit.systems.postgres.wires import SIDES

_PEER = """\
SELECT r.rolsuper OR r.rolreplication AS replicates, r.rolsuper AS super,
  ARRAY(SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = ANY ($1::bigint[]::oid[])
    AND NOT (has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) ORDER BY 1) AS unreadable
FROM pg_roles r WHERE r.rolname = current_user"""


async def peers(look: Look) -> list[FindingSeen]:
    """P1: the role that subscriptions connect as may log in, replicate and read every table. The way between the servers is
    proven by the subscriptions themselves."""
    found = []
    for side in SIDES:
        end = look.spec.side(side).peer
        link = Link(side, end, "peer")
        try:
            row = await link.row(_PEER, [t.oid for t in look.carried(side)])
        except LinkError as err:
            remedy = "check peer host, user and password, and that the other server may connect (pg_hba.conf)"
            found.append(block("P1", f"{side} {end.user}", plain(err, 300), "connect as the peer", remedy))
            continue
        finally:
            await link.close()
        if not row["replicates"]:
            found.append(block("P1", f"{side} {end.user}", "the peer role may not replicate", _PEER, "ALTER ROLE .. REPLICATION"))
        if row["unreadable"]:
            seen = f"the peer role cannot read {len(row['unreadable'])} tables: {', '.join(row['unreadable'][:5])}"
            found.append(
                block("P1", f"{side} {end.user}", seen, _PEER, "GRANT USAGE ON SCHEMA .., GRANT SELECT ON ALL TABLES IN SCHEMA .. to it")
            )
    return unless(found, good("P1", "both", "the peer roles may log in, replicate and read every table", _PEER))


async def readable(look: Look) -> list[FindingSeen]:
    """P11: the control role reads every table, because it proves that both sides hold the same."""
    found = []
    for side in SIDES:
        row, user = (await look.rows(side, _PEER, [t.oid for t in look.carried(side)]))[0], look.spec.side(side).control.user
        if row["unreadable"]:
            seen = f"the control role cannot read {len(row['unreadable'])} tables: {', '.join(row['unreadable'][:5])}"
            found.append(
                block(
                    "P11", f"{side} {user}", seen, _PEER, "GRANT pg_read_all_data to it, or USAGE on the schemas and SELECT on the tables"
                )
            )
    return unless(found, good("P11", "both", "the control roles may read every table that is compared", _PEER))


def _shows(value: str, *words: str) -> bool:
    return bool({word.strip() for word in value.lower().split(",")} & {*words})


_TELLS: dict[str, tuple[Callable[[str], bool], bool, str]] = {
    "log_statement": (lambda v: _shows(v, "ddl", "mod", "all"), True, "every CREATE SUBSCRIPTION is logged"),
    "pgaudit.log": (lambda v: _shows(v, "ddl", "all"), True, "every CREATE SUBSCRIPTION is audited"),
    "log_min_duration_statement": (lambda v: int(v) >= 0, False, "one that takes longer is logged"),
    "log_min_error_statement": (lambda v: not _shows(v, "fatal", "panic"), False, "one that fails is logged"),
    "pg_stat_statements.track_utility": (lambda v: _shows(v, "on"), False, "it is kept in pg_stat_statements"),
}
"""By setting: whether its value tells the text of a CREATE SUBSCRIPTION, whether it always does, and how."""


async def unsaid(look: Look) -> list[FindingSeen]:
    """P13: the password that a subscription connects with is written down nowhere: not in the log, not in a view."""
    found = []
    for side in SIDES:
        if look.spec.side(side.other).peer.password is None:
            continue
        user = look.spec.side(side).control.user
        query = may_set(look.wires.work[side].version_num)
        mine = {str(row["name"]) for row in await look.rows(side, query, list(QUIET))}
        for name, (tells, always, how) in _TELLS.items():
            value = look.settings[side].get(name)
            if value is None or name in mine or not tells(value):
                continue
            seen = f"{name} = {value}, which {user} may not change for itself: {how}, with the replication password in it"
            remedy = (
                f"on {side}: GRANT SET ON PARAMETER {name} TO {ident(user)} (15 and later), or set it to {QUIET[name]} while the run arms"
            )
            found.append((block if always else warn)("P13", f"{side} {name}", seen, query, remedy))
    return unless(found, good("P13", "both", "the replication password is written down nowhere", "SELECT name, setting FROM pg_settings"))


_RIGHTS = """\
SELECT r.rolsuper AS super, d.datdba = r.oid OR pg_has_role(r.oid, d.datdba, 'USAGE') AS owner, r.rolreplication AS replicates,
  EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'pg_create_subscription' AND pg_has_role(r.oid, m.oid, 'USAGE')) AS subscribes,
  pg_has_role(r.oid, 'pg_signal_backend', 'USAGE') AS signals, pg_has_role(r.oid, 'pg_monitor', 'USAGE') AS monitors
FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()"""

_NEEDED = {
    "owner": "own the database (fence: ALTER DATABASE, REVOKE CONNECT)",
    "replicates": "REPLICATION (slots)",
    "subscribes": "pg_create_subscription (16+; before, a superuser)",
    "signals": "pg_signal_backend (quiesce)",
    "monitors": "pg_monitor (sessions, lag)",
}


async def rights(look: Look) -> list[FindingSeen]:
    """P3: the control role may do all that the handover asks of it."""
    found = []
    for side in SIDES:
        row, user = (await look.rows(side, _RIGHTS))[0], look.spec.side(side).control.user
        lacking = [] if row["super"] else [what for key, what in _NEEDED.items() if not row[key]]
        if lacking:
            found.append(
                block(
                    "P3",
                    f"{side} {user}",
                    f"lacks: {'; '.join(lacking)}",
                    _RIGHTS,
                    "grant it, or make the role a superuser for the time of the move",
                )
            )
    return unless(found, good("P3", "both", "the control roles have every right that is needed", _RIGHTS))


_PASSERS = """\
SELECT r.rolname::text AS name, r.rolsuper AS super, r.rolname = ANY ($2::text[]) AS exempt,
  ARRAY(SELECT e.rolname::text FROM pg_roles e WHERE e.rolname = ANY ($2::text[]) AND NOT r.rolsuper AND e.oid <> r.oid
    AND pg_has_role(r.oid, e.oid, 'USAGE')) AS through,
  ARRAY(SELECT s FROM pg_db_role_setting d, unnest(d.setconfig) s WHERE d.setrole = r.oid AND s LIKE 'default\\_transaction\\_read\\_only=%'
    AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS overrides
FROM pg_roles r WHERE r.rolname = ANY ($1::text[]) OR (r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> ALL ($2::text[])
  AND EXISTS (SELECT FROM pg_roles e WHERE e.rolname = ANY ($2::text[]) AND e.oid <> r.oid AND pg_has_role(r.oid, e.oid, 'USAGE')))"""


async def fence(look: Look) -> list[FindingSeen]:
    """P4: no role passes the fence: as a superuser app, as an exempt role or a member of one; role settings that weaken it are shown."""
    found = []
    for side in SIDES:
        for row in await look.rows(side, _PASSERS, list(look.wires.app_roles), list(look.wires.exempt(side))):
            about = f"{side} {row['name']}"
            if row["super"]:
                found.append(
                    block("P4", about, "an app is a superuser: no fence binds it", _PASSERS, f'ALTER ROLE "{row["name"]}" NOSUPERUSER')
                )
            if row["exempt"]:
                found.append(
                    block(
                        "P4",
                        about,
                        "an app uses an exempt role, or the cockpit's or replication's own",
                        _PASSERS,
                        "give the app a role of its own",
                    )
                )
            if row["through"]:
                seen = f"it is a member of exempt {', '.join(row['through'])} and connects through it"
                found.append(block("P4", about, seen, _PASSERS, "revoke the membership, or name it in exempt_roles"))
            if row["overrides"]:
                seen = f"{', '.join(row['overrides'])} of the role overrides the database's: only the CONNECT revocation fences it"
                found.append(warn("P4", about, seen, _PASSERS, "ALTER ROLE .. RESET default_transaction_read_only"))
    return unless(found, good("P4", "both", "no app role passes the fence", _PASSERS))


_LARGER = (
    "max_connections",
    "shared_buffers",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "work_mem",
    "effective_cache_size",
)


async def capacity(look: Look) -> list[FindingSeen]:
    """P9: the side that will serve is not set smaller than the one that does."""
    query = "SELECT name, setting FROM pg_settings"
    found = [
        warn(
            "P9",
            name,
            f"{look.number(look.serving, name)} on {look.serving}, {look.number(look.other, name)} on {look.other}",
            query,
            f"raise it on {look.other}",
        )
        for name in _LARGER
        if look.number(look.other, name) < look.number(look.serving, name)
    ]
    used = await look.rows(look.serving, "SELECT count(*) AS n FROM pg_stat_activity WHERE backend_type = 'client backend'")
    if int(used[0]["n"]) + 10 > look.number(look.other, "max_connections"):
        seen = f"{used[0]['n']} sessions on {look.serving}, room for {look.number(look.other, 'max_connections')} on {look.other}"
        found.append(block("P9", "sessions", seen, query, f"ALTER SYSTEM SET max_connections on {look.other}, then restart it"))
    return unless(found, good("P9", str(look.other), "set no smaller than the serving side", query))
