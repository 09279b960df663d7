"""Tables and their standing: what they are, how they are split, inherited, identified, guarded and stored."""

from __future__ import annotations

import shlex

from cockpit.reconcile.parity.facts import BAD, LOOK, About, Aspect, Family, words
from cockpit.reconcile.parity.oneline import literal
from cockpit.reconcile.sessions import Row

_IDENTITY = {"default": "DEFAULT", "full": "FULL", "nothing": "NOTHING"}
_SECURITY = {
    "off": "DISABLE ROW LEVEL SECURITY",
    "on": "ENABLE ROW LEVEL SECURITY",
    "off, forced": "DISABLE ROW LEVEL SECURITY",
    "on, forced": "ENABLE ROW LEVEL SECURITY",
}


def _dump(here: Row, there: Row | None, about: About) -> str:
    if there is not None:
        return f"it is a {here['what']} on {about.side.other}: move its rows and make it anew"
    return f"pg_dump --schema-only --table={shlex.quote(here['rel'])} of {about.side.other}, into {about.side}"


def _persistence(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER TABLE {here['rel']} SET {'LOGGED' if here['persistence'] == 'permanent' else 'UNLOGGED'}"


def _identity(here: Row, there: Row | None, about: About) -> str:
    by = here["identity"]
    how = _IDENTITY.get(by) or "USING INDEX" + by.removeprefix("using index")
    return f"ALTER TABLE {here['rel']} REPLICA IDENTITY {how}"


def _security(here: Row, there: Row | None, about: About) -> str:
    force = "FORCE" if here["security"].endswith("forced") else "NO FORCE"
    return f"ALTER TABLE {here['rel']} {_SECURITY[here['security']]}, {force} ROW LEVEL SECURITY"


def _partition(here: Row, there: Row | None, about: About) -> str:
    attach = f"ALTER TABLE {here['parent']} ATTACH PARTITION {here['rel']} {here['bound']}"
    if there is None or not there["parent"]:
        return attach
    detach = f"ALTER TABLE {there['parent']} DETACH PARTITION {here['rel']}"
    return f"{detach}; {attach}" if here["parent"] else detach


def _typed(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER TABLE {here['rel']} {'OF ' + here['typed'] if here['typed'] else 'NOT OF'}"


def _place(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER TABLE {here['rel']} SET TABLESPACE {here['place'] or 'pg_default'}"


TABLES = Family(
    """WITH {rel} SELECT r.shown AS rel, '' AS name,
  CASE r.relkind WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS what,
  CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END AS persistence,
  CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing'
    ELSE 'using index' || coalesce((SELECT ' ' || quote_ident(x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND i.indisreplident), '') END AS identity,
  CASE WHEN c.relrowsecurity THEN 'on' ELSE 'off' END || CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END AS security,
  coalesce(pg_get_expr(c.relpartbound, c.oid), '') AS bound,
  CASE WHEN c.relispartition THEN (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid) ELSE '' END AS parent,
  CASE WHEN c.relispartition THEN (SELECT 'PARTITION OF ' || h.inhparent::regclass::text || ' ' FROM pg_inherits h WHERE h.inhrelid = c.oid)
    || pg_get_expr(c.relpartbound, c.oid) ELSE '' END AS part,
  coalesce(pg_get_partkeydef(c.oid), '') AS split,
  coalesce((SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '') AS columns,
  CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::regtype::text END AS typed,
  coalesce((SELECT m.amname FROM pg_am m WHERE m.oid = c.relam AND r.relkind = 'r'), '')::text AS method,
  coalesce((SELECT quote_ident(t.spcname) FROM pg_tablespace t WHERE t.oid = c.reltablespace), '') AS place
FROM rel r JOIN pg_class c ON c.oid = r.oid WHERE r.relkind IN ('r', 'p', 'f')""",
    (
        Aspect("what", "table", BAD, _dump),
        Aspect("persistence", "persistence", BAD, _persistence),
        Aspect("identity", "replica identity", BAD, _identity),
        Aspect("security", "row security", BAD, _security),
        Aspect("part", "partition", BAD, _partition),
        Aspect("split", "partition key", BAD, words("a partition key cannot be changed: make <rel> anew and move its rows")),
        Aspect("columns", "column order", BAD, words("name the columns in every INSERT and SELECT *, or make <rel> anew in that order")),
        Aspect("typed", "table type", BAD, _typed),
        Aspect("method", "access method", LOOK, lambda here, there, about: f"ALTER TABLE {here['rel']} SET ACCESS METHOD {here['method']}"),
        Aspect("place", "tablespace", LOOK, _place),
    ),
    "SELECT relkind, relpersistence, relreplident, relrowsecurity, relforcerowsecurity, pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid)"
    " FROM pg_class WHERE oid = to_regclass(<rel>)",
    holds=True,
)


INHERITANCE = Family(
    """WITH {rel} SELECT r.shown AS rel, p.shown AS name, 'child of it' AS value FROM pg_inherits h JOIN rel r ON r.oid = h.inhrelid
JOIN rel p ON p.oid = h.inhparent JOIN pg_class c ON c.oid = h.inhrelid WHERE NOT c.relispartition AND r.relkind IN ('r', 'f')""",
    (Aspect("value", "inheritance", BAD, lambda here, there, about: f"ALTER TABLE {here['rel']} INHERIT {here['name']}"),),
    "SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = to_regclass(<rel>)",
)

_KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW"}


def _option(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER {_KINDS.get(here['relkind'], 'TABLE')} {here['rel']} SET ({here['name']} = {literal(here['value'])})"


_OPTIONS = """WITH {rel} SELECT r.shown AS rel, o.prefix || quote_ident(split_part(o.option, '=', 1)) AS name,
  substr(o.option, strpos(o.option, '=') + 1) AS value, r.relkind::text AS relkind
FROM rel r JOIN pg_class c ON c.oid = r.oid LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
CROSS JOIN LATERAL (SELECT '' AS prefix, unnest(c.reloptions) AS option UNION ALL SELECT 'toast.', unnest(t.reloptions)) o"""

OPTIONS = Family(
    _OPTIONS + " WHERE r.relkind <> 'v'",
    (Aspect("value", "storage option", LOOK, _option, lost=LOOK),),
    "SELECT reloptions, (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid) FROM pg_class c WHERE oid = to_regclass(<rel>)",
)
VIEW_OPTIONS = Family(
    _OPTIONS + " WHERE r.relkind = 'v'",
    (Aspect("value", "view option", BAD, _option),),
    "SELECT reloptions FROM pg_class WHERE oid = to_regclass(<rel>)",
)

SCHEMAS = Family(
    "SELECT quote_ident(n.nspname) AS rel, '' AS name, 'made' AS value FROM pg_namespace n WHERE {user} AND {own:pg_namespace:n.oid}",
    (Aspect("value", "schema", BAD, lambda here, there, about: f"CREATE SCHEMA {here['rel']}"),),
    "SELECT nspname, nspowner::regrole FROM pg_namespace WHERE quote_ident(nspname) = <rel>",
    holds=True,
)

FAMILIES = (SCHEMAS, TABLES, INHERITANCE, OPTIONS, VIEW_OPTIONS)
