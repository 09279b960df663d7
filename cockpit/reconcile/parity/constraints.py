"""Constraints of tables and domains, and whether they hold for the rows that are there; indexes and whether they are usable.

PostgreSQL 18 lists NOT NULL as constraints, earlier servers do not: they are compared as the columns' nullability. What a partition or
a child has from its parent comes with the parent's.
"""

from __future__ import annotations

import re

from cockpit.reconcile.parity.facts import BAD, About, Aspect, Family
from cockpit.reconcile.sessions import Row


def _constraint(here: Row, there: Row | None, about: About) -> str:
    alter, add = f"ALTER {here['word']} {here['rel']}", f"ADD CONSTRAINT {here['name']} {here['full']}"
    if there is None:
        return f"{alter} {add}"
    drop = f"DROP CONSTRAINT {here['name']}"
    return f"{alter} {drop}, {add}" if here["word"] == "TABLE" else f"{alter} {drop}; {alter} {add}"


def _validity(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER {here['word']} {here['rel']} VALIDATE CONSTRAINT {here['name']}"


def _firing(here: Row, there: Row | None, about: About) -> str:
    return str(there["mend"]) if there is not None else ""


CONSTRAINTS = Family(
    """WITH {rel}, k AS MATERIALIZED (SELECT k.oid, k.conname, k.conparentid, k.conrelid, k.contypid, k.coninhcount, k.conislocal, pg_get_constraintdef(k.oid) AS def
  FROM pg_constraint k WHERE k.contype IN ('p', 'u', 'f', 'c', 'x'))
SELECT o.rel, quote_ident(k.conname) AS name, o.word, k.def AS full, regexp_replace(k.def, ' NOT VALID$', '') AS def,
  CASE WHEN k.def ~ ' NOT VALID$' THEN 'NOT VALID' ELSE 'valid' END AS validity,
  CASE WHEN f.mend IS NULL THEN 'enforced' ELSE 'DISABLED' END AS firing, coalesce(f.mend, '') AS mend,
  k.conparentid <> 0 OR (k.coninhcount > 0 AND NOT k.conislocal) AS inherited
FROM k JOIN (SELECT r.oid, 0::oid AS typ, r.shown AS rel, 'TABLE' AS word FROM rel r
  UNION ALL SELECT 0, t.oid, format('%I.%I', n.nspname, t.typname), 'DOMAIN' FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'd' AND {user} AND {own:pg_type:t.oid}) o ON o.oid = k.conrelid AND o.typ = k.contypid
LEFT JOIN (SELECT t.tgconstraint, string_agg(format('ALTER TABLE %s ENABLE TRIGGER %I', t.tgrelid::regclass, t.tgname), '; ') AS mend
  FROM pg_trigger t WHERE t.tgisinternal AND t.tgconstraint <> 0 AND t.tgenabled <> 'O' GROUP BY 1) f ON f.tgconstraint = k.oid""",
    (
        Aspect("def", "constraint", BAD, _constraint, follows="inherited"),
        Aspect("validity", "constraint validity", BAD, _validity, broken="NOT VALID", follows="inherited"),
        Aspect("firing", "constraint enforcement", BAD, _firing, broken="DISABLED"),
    ),
    "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE <rel> IN (conrelid::regclass::text, contypid::regtype::text)"
    " AND quote_ident(conname) = <name>",
    implied=lambda row: bool(row["inherited"]),
)


def _index(here: Row, there: Row | None, about: About) -> str:
    if here["owned"]:
        return "it belongs to a constraint: drop that and add it again over an index made like the other side's"
    made = here["def"]
    if here["relkind"] == "I":
        made = made.replace(" ON ONLY ", " ON ", 1)
    if there is not None:
        return f"DROP INDEX {here['at']}; {made}"
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX)", r"\1 CONCURRENTLY", made) if here["relkind"] == "i" else made


def _usable(here: Row, there: Row | None, about: About) -> str:
    if here["relkind"] == "I":
        return f"ALTER INDEX {here['at']} ATTACH PARTITION each index that its partitions lack, which they then make"
    return f"REINDEX INDEX CONCURRENTLY {here['at']}"


INDEXES = Family(
    """WITH {rel} SELECT r.shown AS rel, quote_ident(x.relname) AS name, format('%I.%I', n.nspname, x.relname) AS at, x.relkind::text AS relkind,
  pg_get_indexdef(i.indexrelid) AS def, CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'INVALID' END AS validity,
  o.conindid IS NOT NULL AS owned, x.relispartition AS attached, o.conindid IS NOT NULL OR x.relispartition AS implied
FROM pg_index i JOIN rel r ON r.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
LEFT JOIN (SELECT DISTINCT conindid FROM pg_constraint WHERE contype IN ('p', 'u', 'x')) o ON o.conindid = i.indexrelid""",
    (
        Aspect("def", "index", BAD, _index, follows="attached"),
        Aspect("validity", "index validity", BAD, _usable, broken="INVALID"),
    ),
    "SELECT pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
    " WHERE i.indrelid = to_regclass(<rel>) AND quote_ident(x.relname) = <name>",
    implied=lambda row: bool(row["implied"]),
)

FAMILIES = (CONSTRAINTS, INDEXES)
