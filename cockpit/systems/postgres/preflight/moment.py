"""M: what must not be going on at the moment of the handover, from the servers' own activity views."""

from __future__ import annotations

from cockpit.model.events import FindingSeen
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres import activity
from cockpit.systems.postgres.preflight.look import Look, block, good, unless, warn
from cockpit.systems.postgres.wires import SIDES

IDLE_S = 5.0

_LONG = """\
SELECT pid, usename::text AS role, application_name AS app, state, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age,
  extract(epoch FROM clock_timestamp() - state_change)::float8 AS idle FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
  AND NOT (usename = $1 AND application_name LIKE 'cockpit%')"""


async def transactions(look: Look) -> list[FindingSeen]:
    """M1, M3: no transaction on the serving side is long open or idle."""
    found = []
    for row in await look.rows(look.serving, _LONG, look.spec.side(look.serving).control.user):
        about, who = f"pid {row['pid']}", f"{row['role']}, {row['app'] or '-'}"
        end = f"let it finish, or SELECT pg_terminate_backend({row['pid']})"
        if row["age"] > look.tuning.long_transaction:
            found.append(block("M1", about, f"{who}: a transaction open for {row['age']:.0f} s", _LONG, end))
        elif str(row["state"]).startswith("idle in transaction") and row["idle"] > IDLE_S:
            found.append(block("M3", about, f"{who}: idle in transaction for {row['idle']:.0f} s", _LONG, end))
    return unless(found, good("M1", str(look.serving), f"no transaction over {look.tuning.long_transaction:g} s", _LONG))


_PREPARED = (
    "SELECT gid, owner::text AS owner, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age"
    " FROM pg_prepared_xacts WHERE database = current_database()"
)


async def prepared(look: Look) -> list[FindingSeen]:
    """M2: no prepared transaction on either side: COMMIT PREPARED passes every fence."""
    found = []
    for side in SIDES:
        for row in await look.rows(side, _PREPARED):
            seen = f"prepared transaction of {row['owner']}, {row['age']:.0f} s old"
            found.append(block("M2", f"{side} {row['gid']}", seen, _PREPARED, "its owner commits it, or ROLLBACK PREPARED"))
    return unless(found, good("M2", "both", "no prepared transaction", _PREPARED))


_BUSY = """\
SELECT 'a base backup runs' AS what, count(*) AS n FROM pg_stat_progress_basebackup
UNION ALL SELECT 'VACUUM FULL or CLUSTER runs', count(*) FROM pg_stat_progress_cluster WHERE datname = current_database()
UNION ALL SELECT 'an index build runs', count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()
UNION ALL SELECT 'archiving fails', count(*) FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity')"""

_ARCHIVING = {"archiving fails": "see the server's log and mend archive_command: until it works the log piles up"}


async def housekeeping(look: Look) -> list[FindingSeen]:
    """M5: no backup, rebuild or archive trouble."""
    found = []
    for side in SIDES:
        for row in await look.rows(side, _BUSY):
            if row["n"]:
                found.append(
                    warn("M5", str(side), row["what"], _BUSY, _ARCHIVING.get(row["what"], "let it finish or stop it before the window"))
                )
    return unless(found, good("M5", "both", "no backup, rebuild or failing archive", _BUSY))


async def quiet_target(look: Look) -> list[FindingSeen]:
    """M6: no app works on the side that does not serve."""
    found = []
    for session in await activity.census(look.wires, look.other):
        if session.role in {plain(role, 80) for role in look.wires.app_roles}:
            seen = f"{session.role} ({session.application or '-'}) from {session.client}: an app on the side that does not serve"
            found.append(
                block("M6", f"{look.other} pid {session.pid}", seen, activity.CENSUS, "find out where it has its address from; end it")
            )
    return unless(found, good("M6", str(look.other), "no app session", activity.CENSUS))


_CRON = "SELECT to_regclass('cron.job') IS NOT NULL AS made"
_JOBS = "SELECT jobid, schedule, coalesce(jobname, left(command, 60)) AS job FROM cron.job WHERE active AND database = current_database()"


async def jobs(look: Look) -> list[FindingSeen]:
    """M7: no job of pg_cron starts inside the window."""
    found = []
    for side in SIDES:
        if not (await look.rows(side, _CRON))[0]["made"]:
            continue
        for row in await look.rows(side, _JOBS):
            remedy = f"UPDATE cron.job SET active = false WHERE jobid = {row['jobid']}"
            found.append(warn("M7", f"{side} job {row['jobid']}", f"{row['job']} at {row['schedule']}", _JOBS, remedy))
    return unless(found, good("M7", "both", "no pg_cron job", _CRON))


async def everyone_known(look: Look) -> list[FindingSeen]:
    """M8: each session on the serving side belongs to a configured app."""
    known = {plain(role, 80) for role in look.wires.app_roles}
    groups: dict[tuple[str, str, str], int] = {}
    for session in await activity.census(look.wires, look.serving):
        if session.role not in known:
            key = (session.role, session.application, session.client)
            groups[key] = groups.get(key, 0) + 1
    supers = await _supers(look, look.serving)
    found = []
    for (role, app, client), n in sorted(groups.items()):
        seen = f"{n} session(s) of {role} ({app or '-'}) from {client}: no configured app explains them"
        make = warn if role in supers else block
        found.append(make("M8", role, seen, activity.CENSUS, "add it to the apps, name it in exempt_roles, or end it"))
    return unless(found, good("M8", str(look.serving), "every session belongs to a configured app", activity.CENSUS))


async def _supers(look: Look, side: Side) -> set[str]:
    return {plain(row["rolname"], 80) for row in await look.rows(side, "SELECT rolname FROM pg_roles WHERE rolsuper")}
