"""R: whether logical replication can run both ways, and whether it does ("Logical Replication", "Configuration Settings")."""

from __future__ import annotations

from cockpit.model.events import FindingSeen
from cockpit.model.telemetry import LagSample
from cockpit.model.words import Side
from cockpit.systems.postgres import catalogue, lag
from cockpit.systems.postgres.catalogue import Table
from cockpit.systems.postgres.lag import Meter
from cockpit.systems.postgres.names import SCHEMA, ident, table
from cockpit.systems.postgres.preflight.look import Look, block, good, unless, warn
from cockpit.systems.postgres.replicate import FILTERED_SINCE, TARGET
from cockpit.systems.postgres.wires import SIDES

ORIGIN_LIMIT_SINCE = 180000


async def wal_level(look: Look) -> list[FindingSeen]:
    """R1: both sides write a log that can be decoded."""
    found = []
    for side in SIDES:
        level = look.settings[side]["wal_level"]
        if level == "logical":
            found.append(good("R1", str(side), "wal_level = logical", "SHOW wal_level"))
        else:
            remedy = "ALTER SYSTEM SET wal_level = logical, then restart the server"
            found.append(block("R1", str(side), f"wal_level = {level}", "SHOW wal_level", remedy))
    return found


_USED = """\
SELECT (SELECT count(*) FROM pg_replication_slots) AS slots, (SELECT count(*) FROM pg_stat_replication) AS senders,
  (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL) AS workers,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type NOT IN ('client backend', 'walsender', 'autovacuum worker', 'autovacuum launcher',
    'background writer', 'checkpointer', 'walwriter', 'startup', 'archiver', 'walsummarizer', 'io worker', 'slotsync worker')) AS background,
  (SELECT count(*) FROM pg_replication_origin) AS origins,
  EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1) AS outward, EXISTS (SELECT FROM pg_subscription WHERE subname = $2) AS inward"""


async def headroom(look: Look) -> list[FindingSeen]:
    """R2: slots, senders, workers and origins are free for both directions and the initial copy, on both sides."""
    found = []
    for side in SIDES:
        row = (await look.rows(side, _USED, look.wires.names.link(side), look.wires.names.link(side.other)))[0]
        sync = {each: look.number(each, "max_sync_workers_per_subscription") for each in SIDES}
        copies_out = 0 if side is not look.serving or row["outward"] else sync[side.other]
        copies_in = 0 if side is look.serving or row["inward"] else sync[side]
        outward, inward = (0 if row["outward"] else 1) + copies_out, (0 if row["inward"] else 1) + copies_in
        origins = "max_active_replication_origins" if look.wires.work[side].version_num >= ORIGIN_LIMIT_SINCE else "max_replication_slots"
        needs = (
            ("max_replication_slots", row["slots"], outward),
            ("max_wal_senders", row["senders"], outward),
            ("max_logical_replication_workers", row["workers"], inward),
            ("max_worker_processes", row["background"], inward),
            (origins, row["origins"], inward),
        )
        found += [_room(look, side, *need) for need in needs]
    return found


def _room(look: Look, side: Side, setting: str, used: int, needed: int) -> FindingSeen:
    limit = look.number(side, setting)
    seen = f"{setting} = {limit}, {used} in use, {needed} more needed"
    if limit - used >= needed:
        return good("R2", f"{side} {setting}", seen, _USED)
    return block("R2", f"{side} {setting}", seen, _USED, f"ALTER SYSTEM SET {setting} = {used + needed + 4}, then restart {side}")


async def running(look: Look) -> list[FindingSeen]:
    """R3 to R8: what already replicates is whole, live and near; what is not made yet is said to be so."""
    found = []
    for origin in SIDES:
        name = look.wires.names.link(origin)
        made = (await look.rows(origin.other, TARGET, name))[0]["subscription"]
        if not made:
            found.append(good("R3", f"{origin} to {origin.other}", "not set up yet: made when the run arms", TARGET))
            continue
        meter = Meter(look.wires, origin, origin.other)
        sample = await meter.sample()
        found += _live(look, sample, meter.counted_errors) if sample.slot_state != "unknown" else [_unread(sample)]
    return found


def _unread(sample: LagSample) -> FindingSeen:
    return block(
        "R8", f"{sample.origin} to {sample.target}", sample.error, lag.ORIGIN, "the lag must be readable before anything can be judged"
    )


def _live(look: Look, sample: LagSample, errors: int | None) -> list[FindingSeen]:
    about = f"{sample.origin} to {sample.target}"
    waiting = ", ".join(f"{each.table} ({each.state})" for each in sample.not_ready[:5])
    age = sample.last_message_age_s
    lag_bytes = sample.lag_bytes
    facts = (
        ("R3", not sample.not_ready, f"{sample.tables_ready} of {sample.tables_total} tables ready {waiting}", "wait, or read the server log of the target"),
        ("R4", sample.slot_state == "active", f"slot {sample.slot} is {sample.slot_state}", "a lost slot needs a new copy: `cockpit cleanup`, then start again"),
        ("R5", lag_bytes is not None and lag_bytes <= lag.GATE_BYTES, f"{lag_bytes} bytes behind", "let it catch up; look for a long transaction or a lock on the target"),
        ("R8", sample.worker == "running" and sample.sender == "streaming" and (age is None or age < 60),
         f"worker {sample.worker}, sender {sample.sender}, last message {age if age is None else round(age, 1)} s ago", "the server log of the target names the cause"),
    )  # fmt: skip
    found = [good(c, about, seen, sample.query) if ok else block(c, about, seen, sample.query, remedy) for c, ok, seen, remedy in facts]
    shows = "SELECT * FROM pg_stat_subscription_stats"
    if errors:
        found.append(
            warn(
                "R7",
                about,
                f"{errors} apply or copy errors since the counters were reset",
                shows,
                "see the server log; reset with pg_stat_reset_subscription_stats",
            )
        )
    else:
        found.append(good("R7", about, "no apply error" if errors == 0 else "not counted before PostgreSQL 15", shows))
    return found


async def slots(look: Look) -> list[FindingSeen]:
    """R4: how much log a slot may keep."""
    found = []
    for side in SIDES:
        keep = look.number(side, "max_slot_wal_keep_size")
        query = "SHOW max_slot_wal_keep_size"
        if keep < 0:
            found.append(good("R4", str(side), "max_slot_wal_keep_size = -1: a slot is never lost, so watch the disk", query))
        else:
            seen = f"max_slot_wal_keep_size = {keep} MB: a slot further behind is lost, and with it the mirror"
            found.append(
                warn("R4", str(side), seen, query, "raise it above what is written in the longest pause, or set -1 while the move lasts")
            )
        found += await _idle_limit(look, side)
    return found


async def _idle_limit(look: Look, side: Side) -> list[FindingSeen]:
    """18 and later end a slot that nobody reads: the mirror's while it stands still, and what an ungraceful rollback left behind."""
    query = "SELECT setting FROM pg_settings WHERE name = 'idle_replication_slot_timeout'"
    rows = await look.wires.work[side].rows(query)
    if not rows or rows[0]["setting"] == "0":
        return []
    seen = "idle_replication_slot_timeout is set: a slot that nobody reads for so long is lost, and with it the mirror and any bill"
    return [warn("R4", f"{side} idle limit", seen, query, "set it to 0 while the move lasts")]


async def sane(look: Look) -> list[FindingSeen]:
    """R9: time-outs and decoding memory; and whether both directions can stand at once."""
    found = []
    for side in SIDES:
        timeout, memory = look.number(side, "wal_sender_timeout"), look.number(side, "logical_decoding_work_mem")
        query = "SELECT name, setting FROM pg_settings WHERE name IN ('wal_sender_timeout', 'logical_decoding_work_mem')"
        if timeout == 0 or not 5_000 <= timeout <= 300_000:
            found.append(
                warn(
                    "R9",
                    f"{side} wal_sender_timeout",
                    f"{timeout} ms",
                    query,
                    "between 5 s and 5 min: a dead link must be noticed, a slow one not cut",
                )
            )
        if memory < 16_384:
            found.append(
                warn("R9", f"{side} logical_decoding_work_mem", f"{memory} kB", query, "64 MB or more, else transactions spill to disk")
            )
        if look.wires.work[side].version_num < FILTERED_SINCE:
            seen = (
                f"both servers must be PostgreSQL 16 or later: {look.wires.work[side].version} cannot tell what was written on it from"
                " what was replicated to it (origin = none), so the way back cannot stand beside the mirror, and cannot be tested"
            )
            found.append(block("R9", f"{side} version", seen, "SHOW server_version", f"upgrade {side} to 16 or later first (pg_upgrade)"))
    return unless(found, good("R9", "both", "time-outs, decoding memory and versions are fit", "SHOW wal_sender_timeout"))


_FOREIGN = """\
SELECT slot_name::text AS name, coalesce(plugin, '')::text AS plugin, active, slot_type FROM pg_replication_slots
WHERE slot_type = 'logical' AND database = current_database() AND slot_name !~ '^(cockpit_|pg_[0-9]+_sync_)'"""
_FOREIGN_SUBSCRIPTIONS = """\
SELECT subname::text AS name, subenabled AS active FROM pg_subscription
WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND subname !~ '^cockpit_'"""


async def consumers(look: Look) -> list[FindingSeen]:
    """R10: who else reads the log of this database, or writes into it by replication."""
    found = []
    for side in SIDES:
        for row in await look.rows(side, _FOREIGN):
            seen = f"logical slot {row['name']} ({row['plugin']}), {'active' if row['active'] else 'inactive'}"
            make = block if row["active"] and side is look.serving else warn
            remedy = (
                "its consumer loses its place at the handover: make its slot on the other side before the first write there, or drop it"
            )
            found.append(make("R10", f"{side} {row['name']}", seen, _FOREIGN, remedy))
        for row in await look.rows(side, _FOREIGN_SUBSCRIPTIONS):
            seen = f"subscription {row['name']}, {'enabled' if row['active'] else 'disabled'}: it goes on writing here after the handover"
            found.append(
                block("R10", f"{side} {row['name']}", seen, _FOREIGN_SUBSCRIPTIONS, "move it to the other side, or disable and waive it")
            )
    return unless(found, good("R10", "both", "no foreign slot or subscription", _FOREIGN))


async def whole(look: Look) -> list[FindingSeen]:
    """R11: every table stands on both sides and is in the publication that exists; exclusions are shown."""
    found = []
    for side in SIDES:
        for each in catalogue.missing(look.spec, look.tables[side], look.tables[side.other]):
            remedy = f"make it on {side.other} from the schema dump, or exclude it"
            found.append(block("R11", each.dotted, f"stands on {side} only", catalogue.TABLES, remedy))
    names = {t.dotted for t in look.tables[look.serving]}
    found += [
        warn("R11", name, "excluded by the config: not replicated, not compared" if name in names else "excluded, but there is no such table",
             catalogue.TABLES, "copy it by hand, or take it off the list")
        for name in look.spec.exclude_tables
    ]  # fmt: skip
    found += [
        warn(
            "R11",
            each.dotted,
            "a foreign table: its rows live elsewhere",
            catalogue.TABLES,
            f"check its server and user mapping on {look.other}",
        )
        for each in look.tables[look.serving]
        if each.kind == "f"
    ]
    found += await _unpublished(look)
    return unless(found, good("R11", "both", f"{len(look.carried(look.serving))} tables stand on both sides", catalogue.TABLES))


async def _unpublished(look: Look) -> list[FindingSeen]:
    sql = "SELECT schemaname::text AS schema, tablename::text AS name FROM pg_publication_tables WHERE pubname = $1"
    rows = await look.rows(look.serving, sql, look.wires.names.link(look.serving))
    listed = {(row["schema"], row["name"]) for row in rows if row["schema"] != SCHEMA}
    roots = {t.oid: t.key for t in look.tables[look.serving]}
    remedy = f"arm again: ALTER PUBLICATION {ident(look.wires.names.link(look.serving))} SET TABLE is sent with every table"
    absent = [t for t in look.carried(look.serving) if rows and not listed & {t.key, roots.get(t.root, t.key)}]
    return [block("R11", t.dotted, "not in the publication", sql, remedy) for t in absent]


async def empty(look: Look) -> list[FindingSeen]:
    """R12: the first copy goes into empty tables. Only while blue serves and green has no subscription of ours is there a copy to come."""
    about, query = str(look.other), "EXISTS (SELECT FROM ..) of each table"
    if look.serving is not Side.BLUE or (await look.rows(look.other, TARGET, look.wires.names.link(look.serving)))[0]["subscription"]:
        return [good("R12", about, "no copy is to come", TARGET)]
    into = catalogue.copied_into(look.spec, look.tables[look.serving], look.tables[look.other])
    held = await catalogue.filled(look.wires.work[look.other], into)
    return unless([_holds_rows(look, t) for t in held], good("R12", about, f"{len(into)} tables are empty, ready for the copy", query))


def _holds_rows(look: Look, held: Table) -> FindingSeen:
    name = table(held.schema, held.name)
    seen = f"holds rows on {look.other} before the copy is made: it would double them, or end at the first key that is there already"
    remedy = f"on {look.other}: TRUNCATE {name} (with those that refer to it), or exclude it; a waiver lets the copy add to its rows"
    return block("R12", held.dotted, seen, f"SELECT EXISTS (SELECT FROM {name})", remedy)
