"""Sequences by their definition; their values move and are carried over by a step of the handover.

The sequence of an identity column is known by its column: it may be called otherwise on the other side.
"""

from __future__ import annotations

from cockpit.reconcile.parity.facts import BAD, About, Aspect, Family
from cockpit.reconcile.sessions import Row


def _sequence(here: Row, there: Row | None, about: About) -> str:
    if there is not None:
        return f"ALTER SEQUENCE {there['at']} {here['def']}"
    owned = f"; ALTER SEQUENCE {here['at']} OWNED BY {here['owned']}" if here["owned"] != "NONE" else ""
    return f"CREATE SEQUENCE {here['at']} {here['def']}{owned}"


def _owned(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER SEQUENCE {here['at']} OWNED BY {here['owned']}"


SEQUENCES = Family(
    """WITH {rel} SELECT CASE d.deptype WHEN 'i' THEN d.refobjid::regclass::text ELSE r.shown END AS rel,
  CASE d.deptype WHEN 'i' THEN quote_ident(a.attname) ELSE '' END AS name, r.shown AS at, coalesce(d.deptype = 'i', false) AS identity,
  format('AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %s', s.seqtypid::regtype, s.seqincrement, s.seqmin, s.seqmax, s.seqstart,
    s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END) AS def,
  CASE d.deptype WHEN 'a' THEN d.refobjid::regclass || '.' || quote_ident(a.attname) WHEN 'i' THEN 'its column' ELSE 'NONE' END AS owned
FROM rel r JOIN pg_sequence s ON s.seqrelid = r.oid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid""",
    (
        Aspect("def", "sequence", BAD, _sequence),
        Aspect("owned", "sequence owner", BAD, _owned),
    ),
    "SELECT * FROM pg_sequence WHERE seqrelid = coalesce(to_regclass(CASE <name> WHEN '' THEN <rel> END),"
    " (SELECT objid FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
    " WHERE d.deptype = 'i' AND d.refobjid = to_regclass(<rel>) AND quote_ident(a.attname) = <name>))",
    implied=lambda row: bool(row["identity"]),
    holds=True,
)

FAMILIES = (SEQUENCES,)
