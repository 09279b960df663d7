"""Types of the users' own: enums with their labels in order, domains, composite types, ranges, base types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cockpit.reconcile.parity.facts import BAD, About, Aspect, Family
from cockpit.reconcile.parity.oneline import literal
from cockpit.reconcile.sessions import Row


def _type(here: Row, there: Row | None, about: About) -> str:
    if here["word"] == "base type":
        return f"install what makes the type {here['rel']} on {about.side}"
    if there is None:
        return f"CREATE {here['make']}"
    if here["word"] == there["word"] == "enum" and (added := list(_added(here["rel"], here["labels"], there["labels"]))):
        return "; ".join(added)
    return f"every column of it has to be moved to a type made anew: CREATE {here['make']}"


def _added(rel: str, wanted: Sequence[str], have: Sequence[str]) -> Iterator[str]:
    """What gives the enum the labels it lacks; nothing where it has others, or the same in another order."""
    if [label for label in wanted if label in have] != list(have):
        return
    for n, label in enumerate(wanted):
        if label not in have:
            place = f" AFTER {literal(wanted[n - 1])}" if n else f" BEFORE {literal(have[0])}" if have else ""
            yield f"ALTER TYPE {rel} ADD VALUE {literal(label)}{place}"


def _fallback(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER DOMAIN {here['rel']} " + (f"SET DEFAULT {here['fallback']}" if here["fallback"] else "DROP DEFAULT")


def _required(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER DOMAIN {here['rel']} {'SET' if here['required'] == 'NOT NULL' else 'DROP'} NOT NULL"


TYPES = Family(
    """SELECT t.rel, '' AS name, t.word, t.word || ' ' || t.def AS def, t.fallback, t.required, t.labels,
  CASE t.word WHEN 'enum' THEN format('TYPE %s AS ENUM (%s)', t.rel, t.def) WHEN 'range' THEN format('TYPE %s AS RANGE (%s)', t.rel, t.def || t.multi)
    WHEN 'composite type' THEN format('TYPE %s AS (%s)', t.rel, t.attributes)
    ELSE format('DOMAIN %s AS %s', t.rel, t.def) || CASE t.fallback WHEN '' THEN '' ELSE ' DEFAULT ' || t.fallback END
      || CASE t.required WHEN 'NULL' THEN '' ELSE ' NOT NULL' END END AS make
FROM (SELECT format('%I.%I', n.nspname, t.typname) AS rel,
    CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' WHEN 'c' THEN 'composite type' ELSE 'base type' END AS word,
    CASE t.typtype WHEN 'e' THEN coalesce((SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), '')
      WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typcollation <> b.typcollation THEN ' COLLATE ' || t.typcollation::regcollation ELSE '' END
      WHEN 'r' THEN 'SUBTYPE = ' || format_type(g.rngsubtype, NULL) || ', SUBTYPE_OPCLASS = '
        || (SELECT format('%I.%I', on_.nspname, o.opcname) FROM pg_opclass o JOIN pg_namespace on_ ON on_.oid = o.opcnamespace WHERE o.oid = g.rngsubopc)
        || CASE WHEN g.rngcollation <> 0 THEN ', COLLATION = ' || g.rngcollation::regcollation ELSE '' END
        || CASE WHEN g.rngcanonical <> 0 THEN ', CANONICAL = ' || g.rngcanonical ELSE '' END
        || CASE WHEN g.rngsubdiff <> 0 THEN ', SUBTYPE_DIFF = ' || g.rngsubdiff ELSE '' END
      ELSE '' END AS def,
    {14:coalesce((SELECT ', MULTIRANGE_TYPE_NAME = ' || quote_ident(m.typname) FROM pg_type m WHERE m.oid = g.rngmultitypid), '') else ''} AS multi,
    CASE WHEN t.typtype = 'd' THEN coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault, '') ELSE '' END AS fallback,
    CASE WHEN t.typnotnull THEN 'NOT NULL' ELSE 'NULL' END AS required,
    ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
    (SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
      || CASE WHEN a.attcollation NOT IN (0, 100) THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END, ', ' ORDER BY a.attnum)
      FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_range g ON g.rngtypid = t.oid
  WHERE t.typtype IN ('e', 'd', 'r', 'c', 'b') AND {user} AND {own:pg_type:t.oid} AND t.typisdefined
    AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c' AND {own:pg_class:c.oid}))
    AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)) t""",
    (
        Aspect("def", "type", BAD, _type),
        Aspect("fallback", "domain default", BAD, _fallback),
        Aspect("required", "domain nullability", BAD, _required),
    ),
    "SELECT typtype, format_type(typbasetype, typtypmod), typdefault, typnotnull, ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid"
    " ORDER BY enumsortorder) FROM pg_type t WHERE oid = to_regtype(<rel>)",
    holds=True,
)

FAMILIES = (TYPES,)
