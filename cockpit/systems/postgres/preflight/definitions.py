"""D7 to D14: whether the other side is defined like the serving one: columns, indexes, statistics, triggers, extensions, collations, rights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cockpit.model.events import FindingSeen
from cockpit.model.words import Side
from cockpit.systems.postgres.catalogue import USER_SCHEMA
from cockpit.systems.postgres.cleanup import WRITABLE, unrecorded
from cockpit.systems.postgres.fence import FENCED
from cockpit.systems.postgres.names import SCHEMA, dotted, ident, table
from cockpit.systems.postgres.preflight.look import Look, block, good, unless, warn
from cockpit.systems.postgres.wires import SIDES

ANALYZED_FROM = 10_000
"""Live rows from which a table without statistics is a danger to the first queries after the handover."""

_COLUMNS = """\
SELECT n.nspname::text AS schema, c.relname::text AS rel, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
  a.attnotnull AS required, a.attgenerated::text AS generated, a.attidentity::text AS identity, a.atthasdef AS has_default
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attrelid = ANY ($1::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped"""
_Columns = dict[tuple[str, str], dict[str, Mapping[str, Any]]]


async def columns(look: Look) -> list[FindingSeen]:
    """D7, D13: each replicated column stands on the other side with the same type, generated there where it is generated here."""
    here, there = await _columns(look, look.serving), await _columns(look, look.other)
    found = []
    for key in sorted(here.keys() & there.keys()):
        found += _differences(look, dotted(*key), here[key], there[key])
    made = sum(1 for cols in here.values() for col in cols.values() if col["generated"] or col["identity"] == "a")
    seen = f"the columns of {len(here)} tables agree; {made} of them generated or GENERATED ALWAYS"
    return unless(found, good("D7", "both", seen, _COLUMNS))


async def _columns(look: Look, side: Side) -> _Columns:
    found: _Columns = {}
    for row in await look.rows(side, _COLUMNS, [t.oid for t in look.carried(side)]):
        found.setdefault((row["schema"], row["rel"]), {})[row["name"]] = row
    return found


def _differences(
    look: Look, about: str, here: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]
) -> list[FindingSeen]:
    found = []
    for name, col in here.items():
        other, where = there.get(name), f"{about}.{name}"
        if other is None and not col["generated"]:
            found.append(block("D7", where, f"missing on {look.other}", _COLUMNS, f"add it there: {name} {col['type']}"))
        elif other is not None and other["type"] != col["type"]:
            found.append(
                block("D7", where, f"{col['type']} on {look.serving}, {other['type']} on {look.other}", _COLUMNS, "make the types equal")
            )
        elif other is not None and bool(other["generated"]) != bool(col["generated"]):
            which = look.serving if col["generated"] else look.other
            found.append(
                block("D13", where, f"generated on {which} only: a generated column is not replicated", _COLUMNS, "make both sides alike")
            )
    for name, col in there.items():
        if name not in here and col["required"] and not (col["has_default"] or col["identity"] or col["generated"]):
            seen = f"stands on {look.other} only, NOT NULL without a default: applying an INSERT fails"
            found.append(block("D7", f"{about}.{name}", seen, _COLUMNS, "give it a default, or drop it"))
    return found


_INVALID = f"""\
SELECT n.nspname::text AS schema, c.relname::text AS name, 'index is invalid' AS why FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT (i.indisvalid AND i.indisready) AND {USER_SCHEMA}
UNION ALL SELECT n.nspname, format('%s on %s', k.conname, c.relname), 'constraint is NOT VALID' FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = k.connamespace WHERE NOT k.convalidated AND {USER_SCHEMA}"""


async def validity(look: Look) -> list[FindingSeen]:
    """D8: no invalid index and no constraint that old rows may break (the copy of such a table would stay in state `d` for ever)."""
    found = []
    for side in SIDES:
        for row in await look.rows(side, _INVALID):
            make = block if side is look.other else warn
            remedy = (
                "REINDEX INDEX CONCURRENTLY"
                if "index" in row["why"]
                else "mend the rows, then VALIDATE CONSTRAINT; or drop it until the copy is done"
            )
            found.append(make("D8", dotted(row["schema"], row["name"]), f"{row['why']} on {side}", _INVALID, remedy))
    return unless(found, good("D8", "both", "every index and constraint is valid", _INVALID))


_STATISTICS = """\
SELECT c.oid::bigint AS oid, greatest(c.reltuples, pg_stat_get_live_tuples(c.oid))::bigint AS n,
  coalesce(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) IS NULL AND NOT EXISTS (
    SELECT FROM pg_statistic s WHERE s.starelid = c.oid) AS never FROM pg_class c WHERE c.oid = ANY ($1::bigint[]::oid[])"""


async def statistics(look: Look) -> list[FindingSeen]:
    """D9: the planner of the side that will serve knows its tables. A block: no ANALYZE belongs into the window."""
    names = {t.oid: t for t in look.carried(look.other)}
    rows = await look.rows(look.other, _STATISTICS, list(names))
    found = [
        block(
            "D9",
            names[row["oid"]].dotted,
            f"{row['n']} rows on {look.other} and never analyzed",
            _STATISTICS,
            f"ANALYZE {table(*names[row['oid']].key)}",
        )
        for row in rows
        if row["never"] and row["n"] >= ANALYZED_FROM
    ]
    return unless(found, good("D9", str(look.other), f"no table of {ANALYZED_FROM} rows or more without statistics", _STATISTICS))


_FIRING = f"""\
SELECT n.nspname::text AS schema, c.relname::text AS rel, t.tgname::text AS name, t.tgenabled::text AS enabled FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND {USER_SCHEMA}
UNION ALL SELECT '', 'event trigger', evtname, evtenabled::text FROM pg_event_trigger WHERE evtenabled IN ('A', 'R')"""
_ROWS = f"""\
SELECT n.nspname::text AS schema, c.relname::text AS name, (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS passes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relrowsecurity AND {USER_SCHEMA}"""


async def triggers(look: Look) -> list[FindingSeen]:
    """D10: what fires while changes are applied fires a second time, on both sides in turn; row security must not stop the apply."""
    found = []
    for side in SIDES:
        for row in await look.rows(side, _FIRING):
            about = f"{dotted(row['schema'], row['rel'])} {row['name']}".lstrip(".")
            seen = f"fires on {side} for replicated rows too (ENABLE {'ALWAYS' if row['enabled'] == 'A' else 'REPLICA'})"
            found.append(warn("D10", about, seen, _FIRING, "ALTER TABLE .. ENABLE TRIGGER (origin only), unless it is meant so"))
        if look.settings[side].get("session_replication_role", "origin") != "origin":
            found.append(
                block(
                    "D10",
                    str(side),
                    "session_replication_role is not origin: triggers and foreign keys rest",
                    "SHOW session_replication_role",
                    "reset it",
                )
            )
        for row in await look.rows(side, _ROWS):
            if not row["passes"]:
                seen = f"row security on {side} and the subscription's owner is bound by it: the apply fails"
                found.append(block("D10", dotted(row["schema"], row["name"]), seen, _ROWS, "ALTER ROLE .. BYPASSRLS for the control role"))
    return unless(found, good("D10", "both", "no trigger fires for replicated rows", _FIRING))


_EXTENSIONS = "SELECT extname::text AS name, extversion AS version FROM pg_extension"


async def extensions(look: Look) -> list[FindingSeen]:
    """D11: the same extensions in the same versions."""
    there = {row["name"]: row["version"] for row in await look.rows(look.other, _EXTENSIONS)}
    found = []
    for row in await look.rows(look.serving, _EXTENSIONS):
        name, version = row["name"], row["version"]
        if name not in there:
            found.append(block("D11", name, f"missing on {look.other}", _EXTENSIONS, f"CREATE EXTENSION {ident(name)} on {look.other}"))
        elif there[name] != version:
            seen = f"{version} on {look.serving}, {there[name]} on {look.other}"
            found.append(
                block(
                    "D11",
                    name,
                    seen,
                    _EXTENSIONS,
                    "ALTER EXTENSION .. UPDATE where it is older, or waive D11 after reading its release notes",
                )
            )
    return unless(found, good("D11", "both", "the same extensions in the same versions", _EXTENSIONS))


_LOCALE = """\
SELECT pg_encoding_to_char(d.encoding) AS encoding, d.datcollate::text AS collate, d.datctype::text AS ctype,
  coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS provider, coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', '') AS locale,
  coalesce(to_jsonb(d) ->> 'datcollversion', '') AS version FROM pg_database d WHERE d.datname = current_database()"""


async def collation(look: Look) -> list[FindingSeen]:
    """D12: both sides sort and encode alike; else an index copied as files is corrupt and comparisons in order raise false alarms."""
    here, there = (await look.rows(look.serving, _LOCALE))[0], (await look.rows(look.other, _LOCALE))[0]
    found = []
    if here["encoding"] != there["encoding"]:
        found.append(
            block(
                "D12",
                "encoding",
                f"{here['encoding']} on {look.serving}, {there['encoding']} on {look.other}",
                _LOCALE,
                f"make {look.other} again with the encoding of {look.serving}",
            )
        )
    for key in ("collate", "ctype", "provider", "locale", "version"):
        if here[key] != there[key]:
            seen = f"{here[key] or '-'} on {look.serving}, {there[key] or '-'} on {look.other}"
            found.append(warn("D12", key, seen, _LOCALE, "text may sort differently: check ordered queries and range partitions"))
    return unless(found, good("D12", "both", f"same encoding and collation ({here['collate']})", _LOCALE))


_ROLES = """\
SELECT r.rolname::text AS name, r.rolcanlogin AS login, r.rolconnlimit AS sessions, r.rolvaliduntil < now() AS expired,
  has_database_privilege(r.oid, current_database(), 'CONNECT') AS connects,
  ARRAY(SELECT s FROM pg_db_role_setting d, unnest(d.setconfig) s WHERE d.setrole = r.oid
    AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1) AS settings
FROM pg_roles r WHERE r.rolname = ANY ($1::text[])"""


async def roles(look: Look) -> list[FindingSeen]:
    """D14: each app's role stands on the other side, may log in there, and has the same settings."""
    here = {row["name"]: row for row in await look.rows(look.serving, _ROLES, list(look.wires.app_roles))}
    there = {row["name"]: row for row in await look.rows(look.other, _ROLES, list(look.wires.app_roles))}
    fenced = (await look.rows(look.other, FENCED, list(look.wires.exempt(look.other)), []))[0]["read_only"]
    found = []
    for name in look.wires.app_roles:
        other = there.get(name)
        if name not in here:
            found.append(block("D14", name, f"no such role on {look.serving}", _ROLES, "correct the app's role in the config"))
        if other is None:
            found.append(
                block("D14", name, f"no such role on {look.other}", _ROLES, "make it from `pg_dumpall --roles-only`, with its password")
            )
            continue
        found += _shut_out(look, other, fenced=fenced)
        if name in here and (list(here[name]["settings"]), here[name]["sessions"]) != (list(other["settings"]), other["sessions"]):
            seen = f"settings or connection limit differ: {look.serving} {here[name]['settings']}, {look.other} {other['settings']}"
            found.append(warn("D14", name, seen, _ROLES, "ALTER ROLE .. SET as on the serving side"))
    return unless(found, good("D14", "roles", f"{len(there)} app roles stand on both sides and may log in", _ROLES))


def _shut_out(look: Look, role: Mapping[str, Any], *, fenced: bool) -> list[FindingSeen]:
    """Why the role cannot log in on the other side, and what lets it; that the fence took its CONNECT is no fault."""
    name, database = ident(role["name"]), ident(look.spec.side(look.other).control.database)
    faults = [
        (not role["login"], "NOLOGIN", f"ALTER ROLE {name} LOGIN"),
        (role["expired"], "its password has expired", f"ALTER ROLE {name} VALID UNTIL 'infinity'"),
        (not (role["connects"] or fenced), "no CONNECT", f"GRANT CONNECT ON DATABASE {database} TO {name}"),
    ]
    why, remedies = [why for bad, why, _ in faults if bad], [remedy for bad, _, remedy in faults if bad]
    return [block("D14", role["name"], f"may not log in on {look.other}: {', '.join(why)}", _ROLES, "; ".join(remedies))] if why else []


_GRANTS = f"""\
SELECT r.rolname::text AS role, n.nspname::text AS schema, c.relname::text AS name, p.privilege FROM pg_roles r
CROSS JOIN pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(CASE WHEN c.relkind = 'S' THEN ARRAY['USAGE'] ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] END) AS p(privilege)
WHERE r.rolname = ANY ($1::text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition AND {USER_SCHEMA}
  AND has_schema_privilege(r.oid, n.oid, 'USAGE')
  AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(r.oid, c.oid, 'USAGE') ELSE has_table_privilege(r.oid, c.oid, p.privilege) END"""


async def grants(look: Look) -> list[FindingSeen]:
    """D14: what an app may do with a table or sequence on the serving side it may do on the other."""
    here, there = await _grants(look, look.serving), await _grants(look, look.other)
    known = {t.key for t in look.tables[look.other]} | set(look.numbering[look.other])
    found = []
    for (role, schema, name), privileges in sorted(here.items()):
        lacking = sorted(privileges - there.get((role, schema, name), set()))
        if lacking and (schema, name) in known:
            kind = "SEQUENCE" if (schema, name) in look.numbering[look.other] else "TABLE"
            remedy = f"GRANT USAGE ON SCHEMA {ident(schema)} TO {ident(role)}; GRANT {', '.join(lacking)} ON {kind} {table(schema, name)} TO {ident(role)}"
            found.append(
                block("D14", f"{dotted(schema, name)} {role}", f"on {look.other} {role} lacks {', '.join(lacking)}", _GRANTS, remedy)
            )
    return unless(found, good("D14", "grants", f"{len(here)} grants of app roles stand on both sides", _GRANTS))


async def _grants(look: Look, side: Side) -> dict[tuple[str, str, str], set[str]]:
    held: dict[tuple[str, str, str], set[str]] = {}
    for row in await look.rows(side, _GRANTS, list(look.wires.app_roles)):
        held.setdefault((row["role"], row["schema"], row["name"]), set()).add(row["privilege"])
    return held


_LEDGER = f"SELECT to_regclass('{SCHEMA}.fence') IS NOT NULL AS made"


async def writable(look: Look) -> list[FindingSeen]:
    """D14: no setting of somebody else's would keep a side read-only after the fence is lifted."""
    found = []
    for side in SIDES:
        row = (await look.rows(side, FENCED, list(look.wires.exempt(side)), []))[0]
        ours = (await look.rows(side, _LEDGER))[0]["made"] and await look.rows(
            side, f"SELECT 1 FROM {SCHEMA}.fence WHERE read_only IS NULL"
        )
        if row["read_only"] and not ours:
            found.append(await _read_only(look, side))
        if (await look.rows(side, "SELECT pg_is_in_recovery() AS standby"))[0]["standby"]:
            found.append(
                block(
                    "D14",
                    f"{side} standby",
                    "the server is a standby: it takes no write",
                    "SELECT pg_is_in_recovery()",
                    "promote it, or point at the primary",
                )
            )
    return unless(found, good("D14", "writable", "no side is read-only but by the cockpit's own fence", FENCED))


async def _read_only(look: Look, side: Side) -> FindingSeen:
    """A setting alone is somebody's own; with CONNECT taken from apps it is a fence as `cockpit cleanup` leaves one standing."""
    about = f"{side} read-only"
    shut_out, opens = await unrecorded(look.wires, side)
    if shut_out:
        seen = f"read-only, and {', '.join(shut_out)} cannot log in: a fence that is on no record, as `cockpit cleanup` leaves one standing"
        return block("D14", about, seen, FENCED, "; ".join(opens))
    remedy = f"{WRITABLE}; ALTER DATABASE {ident(look.spec.side(side).control.database)} RESET default_transaction_read_only"
    return block("D14", about, "the database is read-only by a setting that is not the cockpit's", FENCED, remedy)
