"""Columns of tables and attributes of composite types, aspect by aspect."""

from __future__ import annotations

from cockpit.reconcile.parity.facts import BAD, LOOK, About, Aspect, Family, words
from cockpit.reconcile.sessions import Row

_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}


def _declared(row: Row) -> str:
    """The column as ADD COLUMN takes it."""
    parts = [row["name"], _typed(row)]
    if row["generated"]:
        parts.append(row["generated"])
    elif row["identity"]:
        parts.append(f"GENERATED {row['identity']} AS IDENTITY")
    elif row["fallback"]:
        parts.append(f"DEFAULT {row['fallback']}")
    if row["required"].startswith("NOT NULL"):
        parts.append("NOT NULL")
    return " ".join(parts)


def _typed(row: Row) -> str:
    return f"{row['type']} COLLATE {row['collation']}" if row["collation"] else str(row["type"])


def _type(here: Row, there: Row | None, about: About) -> str:
    if there is None:
        return f"ALTER TYPE {here['rel']} ADD ATTRIBUTE {here['name']} {_typed(here)}" if _composite(here) else _add(here)
    if _composite(here):
        return f"ALTER TYPE {here['rel']} ALTER ATTRIBUTE {here['name']} TYPE {_typed(here)}"
    using = "" if here["generated"] else f" USING {here['name']}::{here['type']}"
    return _alter(here, f"TYPE {_typed(here)}{using}")


def _add(row: Row) -> str:
    return f"ALTER TABLE {row['rel']} ADD COLUMN {_declared(row)}"


def _composite(row: Row) -> bool:
    return bool(row["relkind"] == "c")


def _alter(row: Row, change: str) -> str:
    return f"ALTER TABLE {row['rel']} ALTER COLUMN {row['name']} {change}"


def _fallback(here: Row, there: Row | None, about: About) -> str:
    return _alter(here, f"SET DEFAULT {here['fallback']}" if here["fallback"] else "DROP DEFAULT")


def _generated(here: Row, there: Row | None, about: About) -> str:
    if not here["generated"]:
        return _alter(here, "DROP EXPRESSION")
    alike = there is not None and there["generated"].rpartition(" ")[2] == here["generated"].rpartition(" ")[2]
    if alike and about.version >= 170000:
        return _alter(here, f"SET EXPRESSION AS ({here['expression']})")
    return f"drop it and add it again: ALTER TABLE {here['rel']} ADD COLUMN {_declared(here)}"


def _required(here: Row, there: Row | None, about: About) -> str:
    return _alter(here, "DROP NOT NULL" if here["required"] == "NULL" else "SET NOT NULL")


def _identity(here: Row, there: Row | None, about: About) -> str:
    if not here["identity"]:
        return _alter(here, "DROP IDENTITY")
    verb = "SET GENERATED {}" if there is not None and there["identity"] else "ADD GENERATED {} AS IDENTITY"
    return _alter(here, verb.format(here["identity"]))


def _storage(here: Row, there: Row | None, about: About) -> str:
    return _alter(here, f"SET STORAGE {_STORAGE[here['storage']]}")


def _compression(here: Row, there: Row | None, about: About) -> str:
    return _alter(here, f"SET COMPRESSION {here['compression'] or 'default'}")


def _target(here: Row, there: Row | None, about: About) -> str:
    return _alter(here, f"SET STATISTICS {here['target'] or '-1'}")


def _options(here: Row, there: Row | None, about: About) -> str:
    if here["options"]:
        return _alter(here, f"SET ({here['options']})")
    names = ", ".join(part.partition("=")[0] for part in there["options"].split(", ")) if there is not None else ""
    return _alter(here, f"RESET ({names})")


COLUMNS = Family(
    """WITH {rel} SELECT r.shown AS rel, quote_ident(a.attname) AS name, r.relkind::text AS relkind, format_type(a.atttypid, a.atttypmod) AS type,
  CASE WHEN NOT a.attnotnull THEN 'NULL' WHEN k.att IS NOT NULL THEN 'NOT NULL NOT VALID' ELSE 'NOT NULL' END AS required,
  CASE a.attgenerated WHEN '' THEN '' ELSE 'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') '
    || CASE a.attgenerated WHEN 'v' THEN 'VIRTUAL' ELSE 'STORED' END END AS generated,
  CASE a.attgenerated WHEN '' THEN '' ELSE pg_get_expr(d.adbin, d.adrelid) END AS expression,
  CASE a.attgenerated WHEN '' THEN coalesce(pg_get_expr(d.adbin, d.adrelid), '') ELSE '' END AS fallback,
  CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' ELSE '' END AS identity,
  coalesce(cn.nspname::text || '.' || quote_ident(co.collname), '') AS collation,
  CASE WHEN r.relkind IN ('r', 'p') THEN a.attstorage::text ELSE '' END AS storage,
  {14:a.attcompression::text else ''} AS compression, coalesce(nullif(a.attstattarget, -1)::text, '') AS target,
  coalesce(array_to_string(a.attoptions, ', '), '') AS options, coalesce(array_to_string(a.attfdwoptions, ', '), '') AS far, a.attinhcount > 0 AND NOT a.attislocal AS inherited
FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN (SELECT conrelid, conkey[1] AS att FROM pg_constraint WHERE contype = 'n' AND NOT convalidated) k ON (k.conrelid, k.att) = (a.attrelid, a.attnum)
LEFT JOIN (pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace) ON co.oid = a.attcollation
WHERE r.relkind IN ('r', 'p', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped""",
    (
        Aspect("type", "column", BAD, _type, follows="inherited"),
        Aspect("collation", "column collation", BAD, _type, follows="inherited"),
        Aspect("generated", "column generation", BAD, _generated),
        Aspect("fallback", "column default", BAD, _fallback),
        Aspect("required", "column nullability", BAD, _required, broken="NOT NULL NOT VALID"),
        Aspect("identity", "column identity", BAD, _identity),
        Aspect("storage", "column storage", LOOK, _storage),
        Aspect("compression", "column compression", LOOK, _compression),
        Aspect("target", "column statistics target", LOOK, _target),
        Aspect("options", "column option", LOOK, _options),
        Aspect("far", "foreign column option", BAD, words("ALTER FOREIGN TABLE <rel> ALTER COLUMN <name> OPTIONS (..)")),
    ),
    "SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation,"
    " pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE a.attrelid = to_regclass(<rel>) AND quote_ident(a.attname) = <name> AND a.attnum > 0 AND NOT a.attisdropped",
    implied=lambda row: bool(row["inherited"]),
)

FAMILIES = (COLUMNS,)
