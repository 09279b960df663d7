"""Roles that matter here (owners, grantees, the apps', and whose members they are), their memberships, and settings of roles and of the
database.

Passwords cannot be read and are not compared. Before 16 whether a member inherits is said by the member, from then on by the membership.
"""

from __future__ import annotations

from cockpit.reconcile.parity.facts import BAD, LOOK, About, Aspect, Family
from cockpit.reconcile.parity.oneline import literal
from cockpit.reconcile.sessions import Row
from cockpit.systems.postgres.names import ident

THAT_MATTER = """WITH RECURSIVE named AS (
  SELECT d.refobjid AS oid FROM pg_shdepend d JOIN pg_database b ON b.datname = current_database() WHERE d.refclassid = 'pg_authid'::regclass
    AND (d.dbid = b.oid OR (d.classid = 'pg_database'::regclass AND d.objid = b.oid))
  UNION SELECT r.oid FROM pg_roles r WHERE r.rolname = ANY ($1::text[])
  UNION SELECT m.roleid FROM named n JOIN pg_auth_members m ON m.member = n.oid)
SELECT DISTINCT r.rolname::text AS name FROM named n JOIN pg_roles r ON r.oid = n.oid
WHERE r.rolname !~ '^(pg_|cockpit_)' AND r.rolname <> session_user"""


def _role(here: Row, there: Row | None, about: About) -> str:
    if there is not None:
        return f"ALTER ROLE {here['rel']} {here['attributes']}"
    password = " -- and give it its password" if here["login"] else ""
    return f"CREATE ROLE {here['rel']} {here['attributes']}{password}"


ROLES = Family(
    """SELECT quote_ident(r.rolname) AS rel, '' AS name, r.rolcanlogin AS login, concat_ws(' ', CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
  CASE WHEN r.rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END, CASE WHEN r.rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
  CASE WHEN r.rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
  CASE WHEN r.rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
  'CONNECTION LIMIT ' || r.rolconnlimit, 'VALID UNTIL ' || quote_literal(coalesce(r.rolvaliduntil::text, 'infinity'))) AS attributes
FROM pg_roles r WHERE r.rolname = ANY ($2::text[]) AND $1::text[] IS NOT NULL""",
    (Aspect("attributes", "role", BAD, _role),),
    "SELECT * FROM pg_roles WHERE quote_ident(rolname) = <rel>",
)


def _member(here: Row, there: Row | None, about: About) -> str:
    options = [("ADMIN", here["admin"]), ("INHERIT", here["inherits"]), ("SET", here["sets"])]
    grant = f"GRANT {here['role']} TO {here['rel']}"
    if about.version >= 160000:
        return f"{grant} WITH {', '.join(f'{word} {str(bool(value)).upper()}' for word, value in options)}"
    if there is not None and there["admin"] and not here["admin"]:
        return f"REVOKE ADMIN OPTION FOR {here['role']} FROM {here['rel']}"
    return f"{grant} WITH ADMIN OPTION" if here["admin"] else grant


MEMBERSHIPS = Family(
    """SELECT quote_ident(m.rolname) AS rel, 'in ' || quote_ident(g.rolname) AS name, quote_ident(g.rolname) AS role, bool_or(a.admin_option) AS admin,
  bool_or({16:a.inherit_option else m.rolinherit}) AS inherits, bool_or({16:a.set_option else true}) AS sets,
  concat_ws(', ', 'member', CASE WHEN bool_or(a.admin_option) THEN 'admin' END, CASE WHEN NOT bool_or({16:a.inherit_option else m.rolinherit}) THEN 'not inheriting' END,
    CASE WHEN NOT bool_or({16:a.set_option else true}) THEN 'no SET ROLE' END) AS membership
FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
WHERE m.rolname = ANY ($2::text[]) AND $1::text[] IS NOT NULL GROUP BY 1, 2, 3""",
    (Aspect("membership", "membership", BAD, _member, undo=lambda row, about: f"REVOKE {row['role']} FROM {row['rel']}"),),
    "SELECT a.* FROM pg_auth_members a WHERE quote_ident(pg_get_userbyid(a.member)) = <rel> AND 'in ' || quote_ident(pg_get_userbyid(a.roleid)) = <name>",
    joint=" ",
)

_LISTS = {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}


def _setting(here: Row, there: Row | None, about: About) -> str:
    """Settings that are lists of names keep them quoted one by one ("GUC_LIST_QUOTE" in the sources)."""
    value = here["value"] if here["name"] in _LISTS and here["value"] else literal(here["value"])
    return f"{_whose(here, about)} SET {here['name']} TO {value}"


def _reset(row: Row, about: About) -> str:
    return f"{_whose(row, about)} RESET {row['name']}"


def _whose(row: Row, about: About) -> str:
    if row["here"] and not row["role"]:
        return f"ALTER DATABASE {ident(about.database)}"
    return f"ALTER ROLE {row['role'] or 'ALL'}" + (f" IN DATABASE {ident(about.database)}" if row["here"] else "")


SETTINGS = Family(
    """WITH fence AS ({fence}), told AS (
  SELECT s.setrole, s.setdatabase, split_part(v, '=', 1) AS name, substr(v, strpos(v, '=') + 1) AS value FROM pg_db_role_setting s, unnest(s.setconfig) v
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
kept AS (
  SELECT t.* FROM told t WHERE NOT (t.setrole = 0 AND t.setdatabase <> 0 AND t.name = 'default_transaction_read_only' AND EXISTS (SELECT FROM fence))
  UNION ALL SELECT 0, d.oid, 'default_transaction_read_only', f.read_only FROM fence f JOIN pg_database d ON d.datname = current_database() WHERE f.read_only IS NOT NULL)
SELECT CASE WHEN k.setrole = 0 AND k.setdatabase <> 0 THEN '(database)' ELSE coalesce(quote_ident(r.rolname), '(all roles)')
  || CASE k.setdatabase WHEN 0 THEN '' ELSE ' in (database)' END END AS rel, k.name, k.value, k.setdatabase <> 0 AS here, coalesce(quote_ident(r.rolname), '') AS role
FROM kept k LEFT JOIN pg_roles r ON r.oid = k.setrole WHERE (k.setrole = 0 OR r.rolname = ANY ($2::text[])) AND $1::text[] IS NOT NULL""",
    (Aspect("value", "role or database setting", LOOK, _setting, lost=LOOK, undo=_reset),),
    "SELECT setdatabase, setrole, setconfig FROM pg_db_role_setting WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
    " AND EXISTS (SELECT FROM unnest(setconfig) v WHERE split_part(v, '=', 1) = <name>)",
    joint=": ",
)

FAMILIES = (ROLES, MEMBERSHIPS, SETTINGS)
