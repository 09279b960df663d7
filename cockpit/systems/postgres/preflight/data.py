"""D1 to D6: what the data hold that logical replication does not carry ("Logical Replication", "Restrictions")."""

from __future__ import annotations

from cockpit.model.events import FindingSeen
from cockpit.model.text import plain
from cockpit.systems.postgres import catalogue, sequences
from cockpit.systems.postgres.catalogue import USER_SCHEMA, Table
from cockpit.systems.postgres.names import table
from cockpit.systems.postgres.preflight.look import Look, block, good, unless, warn
from cockpit.systems.postgres.sequences import NoHeadroom, Standing
from cockpit.systems.postgres.wires import SIDES

NO_EQUALITY = """\
WITH RECURSIVE part(rel, attname, typ) AS (
  SELECT a.attrelid, a.attname, a.atttypid FROM pg_attribute a
    WHERE a.attrelid = ANY ($1::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  UNION
  SELECT p.rel, p.attname, inner_type FROM part p JOIN pg_type t ON t.oid = p.typ, LATERAL (
    SELECT t.typbasetype AS inner_type WHERE t.typtype = 'd'
    UNION ALL SELECT t.typelem WHERE t.typcategory = 'A' AND t.typelem <> 0
    UNION ALL SELECT f.atttypid FROM pg_attribute f WHERE f.attrelid = t.typrelid AND t.typtype = 'c' AND f.attnum > 0 AND NOT f.attisdropped) deeper)
SELECT p.rel::bigint AS oid, string_agg(DISTINCT format('%s (%s)', p.attname, p.typ::regtype), ', ') AS columns FROM part p JOIN pg_type t ON t.oid = p.typ
WHERE t.typtype IN ('b', 'p') AND NOT (t.typcategory = 'A' AND t.typelem <> 0) AND NOT EXISTS (
  SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod WHERE m.amname IN ('btree', 'hash') AND o.opcdefault AND (o.opcintype = t.oid
    OR EXISTS (SELECT FROM pg_cast k WHERE k.castsource = t.oid AND k.casttarget = o.opcintype AND k.castmethod = 'b' AND k.castcontext = 'i')))
GROUP BY p.rel"""

_UNIQUE = """\
SELECT i.indrelid::bigint AS oid, min(c.relname::text) AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY ($1::bigint[]::oid[]) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull) GROUP BY 1"""


async def identity(look: Look) -> list[FindingSeen]:
    """D1, D2: each table tells its rows apart. Publishing one that does not makes the application's UPDATE and DELETE fail."""
    found: list[FindingSeen] = []
    for side in SIDES:
        carried = look.carried(side)
        oids = [t.oid for t in carried]
        unlike = {int(row["oid"]): plain(row["columns"]) for row in await look.rows(side, NO_EQUALITY, oids)}
        unique = {int(row["oid"]): str(row["name"]) for row in await look.rows(side, _UNIQUE, oids)}
        for t in carried:
            found += _identity(t, unlike.get(t.oid, ""), unique.get(t.oid, ""), str(side))
    return unless(found, good("D1", "both", f"all {len(look.carried(look.serving))} tables tell their rows apart", catalogue.TABLES))


def _identity(t: Table, unlike: str, unique: str, side: str) -> list[FindingSeen]:
    name = table(t.schema, t.name)
    if not t.identified:
        remedy = f"ALTER TABLE {name} REPLICA IDENTITY FULL"
        if unique:
            remedy = f'ALTER TABLE {name} REPLICA IDENTITY USING INDEX "{unique}"'
        elif unlike:
            remedy = f"give {name} a primary key or a unique index on NOT NULL columns (FULL cannot compare {unlike})"
        seen = f"on {side} no replica identity ({t.identity}): once published, its UPDATE and DELETE fail in the application"
        return [block("D1", t.dotted, seen, catalogue.TABLES, f"{remedy}; or waive D1 if it only ever takes INSERT")]
    if t.identity == "f" and unlike:
        remedy = "a primary key or a unique index on NOT NULL columns, then REPLICA IDENTITY USING INDEX"
        return [
            block("D1", t.dotted, f"on {side} REPLICA IDENTITY FULL cannot compare {unlike}: applying an UPDATE fails", NO_EQUALITY, remedy)
        ]
    if t.identity == "f":
        seen = f"on {side} rows are told apart by all columns: an UPDATE on the other side may read the whole table"
        return [warn("D2", t.dotted, seen, catalogue.TABLES, "a unique index on NOT NULL columns is faster")]
    return []


async def numbers(look: Look) -> list[FindingSeen]:
    """D3: every sequence has a namesake on the other side with room for the stride."""
    found = []
    here, there = look.numbering[look.serving], look.numbering[look.other]
    stands = await look.rows(look.serving, sequences.reading(list(here.values())))
    standing = {int(row["oid"]): Standing(int(row["last_value"]), bool(row["is_called"])) for row in stands}
    for key, seq in here.items():
        if key not in there:
            found.append(block("D3", seq.dotted, f"stands on {look.serving} only", sequences.CATALOGUE, f"make it on {look.other}"))
            continue
        try:
            sequences.goal(seq, standing[seq.oid], there[key], look.tuning.sequence_stride)
        except NoHeadroom:
            edge = there[key].high if seq.increment > 0 else there[key].low
            seen = f"at {standing[seq.oid].last}, its end is {edge}: no room for a stride of {look.tuning.sequence_stride}"
            found.append(
                block(
                    "D3",
                    seq.dotted,
                    seen,
                    sequences.CATALOGUE,
                    "ALTER SEQUENCE .. AS bigint MAXVALUE .., or waive D3 to carry it over exactly",
                )
            )
    found += [
        warn("D3", seq.dotted, f"stands on {look.other} only", sequences.CATALOGUE, "drop it, or leave it")
        for key, seq in there.items()
        if key not in here
    ]
    return unless(found, good("D3", "both", f"{len(here)} sequences with room for the stride", sequences.CATALOGUE))


async def unlogged(look: Look) -> list[FindingSeen]:
    """D4: unlogged tables never move."""
    shut = [t for t in look.tables[look.serving] if t.persistence == "u" and t.kind == "r" and not catalogue.excluded(look.spec, t)]
    found = [
        block(
            "D4",
            t.dotted,
            "unlogged: its rows are never replicated",
            catalogue.TABLES,
            f"ALTER TABLE {table(t.schema, t.name)} SET LOGGED, or exclude it",
        )
        for t in shut
    ]
    return unless(found, good("D4", str(look.serving), "no unlogged table", catalogue.TABLES))


_LARGE = "SELECT count(*) AS n FROM pg_largeobject_metadata"


async def large_objects(look: Look) -> list[FindingSeen]:
    """D5: large objects are not replicated."""
    n = int((await look.rows(look.serving, _LARGE))[0]["n"])
    if not n:
        return [good("D5", str(look.serving), "no large object", _LARGE)]
    remedy = "move them into bytea columns, or copy them by hand (pg_dump --large-objects) inside a window of their own and waive D5"
    return [block("D5", str(look.serving), f"{n} large objects, which are not replicated", _LARGE, remedy)]


_VIEWS = f"""\
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relispopulated AS populated FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND {USER_SCHEMA}"""


async def views(look: Look) -> list[FindingSeen]:
    """D6: materialized views hold what they were last refreshed with, on their own side."""
    there = {(row["schema"], row["name"]): row["populated"] for row in await look.rows(look.other, _VIEWS)}
    found = []
    for row in await look.rows(look.serving, _VIEWS):
        key, about = (row["schema"], row["name"]), f"{row['schema']}.{row['name']}"
        state = {None: f"missing on {look.other}", False: f"not populated on {look.other}", True: "its contents are not replicated"}[
            there.get(key)
        ]
        remedy = f"REFRESH MATERIALIZED VIEW {table(*key)} on {look.other} shortly before the handover"
        found.append(warn("D6", about, state, _VIEWS, remedy))
    return unless(found, good("D6", "both", "no materialized view", _VIEWS))
