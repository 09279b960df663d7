"""Who owns what and who may do what with it: owners, grants, default privileges.

An ACL that is NULL is the built-in default ("acldefault" in the PostgreSQL manual). MAINTAIN exists from 17 on and is left out. What the
owner itself may do is compared as `(owner)`: another owner is one difference, not two. While a fence stands, who could connect before
is read from where the fence keeps it.
"""

from __future__ import annotations

from cockpit.reconcile.parity.facts import BAD, About, Aspect, Family
from cockpit.reconcile.sessions import Row
from cockpit.systems.postgres.names import ident

DATABASE = "(database)"


def _at(row: Row, about: About) -> str:
    return ident(about.database) if row["rel"] == DATABASE else str(row["rel"])


def _owner(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER {here['word']} {_at(here, about)} OWNER TO {here['owner']}"


OWNERS = Family(
    """WITH {rel} SELECT o.rel, '' AS name, o.word, quote_ident(pg_get_userbyid(o.owner)) AS owner FROM (
  SELECT r.shown AS rel, CASE r.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE'
    WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS word, r.relowner AS owner FROM rel r WHERE r.relkind <> 'S' OR NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
  UNION ALL SELECT quote_ident(n.nspname), 'SCHEMA', n.nspowner FROM pg_namespace n WHERE {user} AND {own:pg_namespace:n.oid}
  UNION ALL SELECT p.oid::regprocedure::text, CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.proowner
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {user} AND {own:pg_proc:p.oid}
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'i')
  UNION ALL SELECT format('%I.%I', n.nspname, t.typname), CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.typowner
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r') AND {user} AND {own:pg_type:t.oid}
  UNION ALL SELECT format('%I.%I', n.nspname, t.stxname), 'STATISTICS', t.stxowner
    FROM pg_statistic_ext t JOIN pg_namespace n ON n.oid = t.stxnamespace WHERE {user} AND {own:pg_statistic_ext:t.oid}
  UNION ALL SELECT format('%I.%I', n.nspname, t.collname), 'COLLATION', t.collowner
    FROM pg_collation t JOIN pg_namespace n ON n.oid = t.collnamespace WHERE {user} AND {own:pg_collation:t.oid}
  UNION ALL SELECT quote_ident(t.evtname), 'EVENT TRIGGER', t.evtowner FROM pg_event_trigger t WHERE {own:pg_event_trigger:t.oid}
  UNION ALL SELECT quote_ident(t.fdwname), 'FOREIGN DATA WRAPPER', t.fdwowner FROM pg_foreign_data_wrapper t WHERE {own:pg_foreign_data_wrapper:t.oid}
  UNION ALL SELECT quote_ident(t.srvname), 'SERVER', t.srvowner FROM pg_foreign_server t WHERE {own:pg_foreign_server:t.oid}
  UNION ALL SELECT '(database)', 'DATABASE', d.datdba FROM pg_database d WHERE d.datname = current_database()) o""",
    (Aspect("owner", "owner", BAD, _owner),),
    "SELECT d.refobjid::regrole, pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_shdepend d WHERE d.deptype = 'o' AND d.dbid ="
    " (SELECT oid FROM pg_database WHERE datname = current_database()) AND (pg_identify_object(d.classid, d.objid, 0)).identity = <rel>",
    implied=lambda row: True,
)


def _grant(here: Row, there: Row | None, about: About) -> str:
    wanted, have = _privileges(here), _privileges(there)
    on = f"ON {here['word']} {_at(here, about)}"
    to = here["grantee"] if here["grantee"] != "(owner)" else (there or here)["owner"]
    return "; ".join(
        [f"REVOKE {_list(have - wanted, here)} {on} FROM {to}"] * bool(have - wanted)
        + [
            f"GRANT {_list(some, here)} {on} TO {to}{option}"
            for option, some in (
                ("", {p for p in wanted - have if not p.endswith("*")}),
                (" WITH GRANT OPTION", {p for p in wanted - have if p.endswith("*")}),
            )
            if some
        ]
    )


def _revoke(row: Row, about: About) -> str:
    return _grant({**row, "privileges": ""}, row, about)


def _privileges(row: Row | None) -> set[str]:
    return set(row["privileges"].split(", ")) - {"", "none"} if row is not None else set()


def _list(privileges: set[str], row: Row) -> str:
    part = f" ({row['part']})" if row["part"] else ""
    return ", ".join(f"{p.removesuffix('*')}{part}" for p in sorted(privileges))


_ACLS = """SELECT r.shown AS rel, '' AS part, CASE r.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS word, r.relowner AS owner,
    coalesce(r.relacl, acldefault(CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner)) AS acl FROM rel r WHERE r.relkind <> 'c'
  UNION ALL SELECT r.shown, quote_ident(a.attname), 'TABLE', r.relowner, a.attacl FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid
    WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT quote_ident(n.nspname), '', 'SCHEMA', n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner)) FROM pg_namespace n
    WHERE {user} AND {own:pg_namespace:n.oid}
  UNION ALL SELECT p.oid::regprocedure::text, '', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.proowner,
    coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {user} AND {own:pg_proc:p.oid}
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'i')
  UNION ALL SELECT format('%I.%I', n.nspname, t.typname), '', 'TYPE', t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {user} AND {own:pg_type:t.oid}
  UNION ALL SELECT quote_ident(t.fdwname), '', 'FOREIGN DATA WRAPPER', t.fdwowner, coalesce(t.fdwacl, acldefault('F', t.fdwowner))
    FROM pg_foreign_data_wrapper t WHERE {own:pg_foreign_data_wrapper:t.oid}
  UNION ALL SELECT quote_ident(t.srvname), '', 'FOREIGN SERVER', t.srvowner, coalesce(t.srvacl, acldefault('S', t.srvowner))
    FROM pg_foreign_server t WHERE {own:pg_foreign_server:t.oid}"""

GRANTS = Family(
    "WITH {rel} SELECT o.rel, CASE o.part WHEN '' THEN '' ELSE '(' || o.part || ') ' END || 'to ' || g.grantee AS name, o.part, o.word, quote_ident(pg_get_userbyid(o.owner)) AS owner, g.grantee,"
    " string_agg(DISTINCT g.privilege, ', ' ORDER BY g.privilege) AS privileges FROM ("
    + _ACLS
    + """) o CROSS JOIN LATERAL (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' WHEN o.owner THEN '(owner)' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee,
  a.privilege_type || CASE WHEN a.is_grantable AND a.grantee <> o.owner THEN '*' ELSE '' END AS privilege FROM aclexplode(o.acl) a WHERE a.privilege_type <> 'MAINTAIN') g
GROUP BY o.rel, o.part, o.word, o.owner, g.grantee""",
    (Aspect("privileges", "grant", BAD, _grant, undo=_revoke),),
    "SELECT relacl, ARRAY(SELECT attname || ' ' || attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL) FROM pg_class c"
    " WHERE oid = to_regclass(<rel>) UNION ALL SELECT nspacl, '{}' FROM pg_namespace WHERE quote_ident(nspname) = <rel> UNION ALL"
    " SELECT proacl, '{}' FROM pg_proc WHERE oid = to_regprocedure(<rel>) UNION ALL SELECT typacl, '{}' FROM pg_type WHERE oid = to_regtype(<rel>)"
    " AND typrelid = 0 UNION ALL SELECT fdwacl, '{}' FROM pg_foreign_data_wrapper WHERE quote_ident(fdwname) = <rel>"
    " UNION ALL SELECT srvacl, '{}' FROM pg_foreign_server WHERE quote_ident(srvname) = <rel>",
    joint=" ",
)

DATABASE_GRANTS = Family(
    """WITH fence AS ({fence}), entry AS (
  SELECT d.datdba, a.grantee, a.privilege_type AS privilege, a.is_grantable AS option FROM pg_database d
    CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    WHERE d.datname = current_database() AND NOT (a.privilege_type = 'CONNECT' AND EXISTS (SELECT FROM fence))
  UNION ALL SELECT d.datdba, w.grantee, 'CONNECT', w.option FROM fence f CROSS JOIN LATERAL jsonb_to_recordset(f.acl) AS w(grantee oid, option boolean)
    JOIN pg_database d ON d.datname = current_database())
SELECT '(database)' AS rel, 'to ' || CASE e.grantee WHEN 0 THEN 'PUBLIC' WHEN e.datdba THEN '(owner)' ELSE quote_ident(pg_get_userbyid(e.grantee)) END AS name,
  CASE e.grantee WHEN 0 THEN 'PUBLIC' WHEN e.datdba THEN '(owner)' ELSE quote_ident(pg_get_userbyid(e.grantee)) END AS grantee, '' AS part, 'DATABASE' AS word,
  quote_ident(pg_get_userbyid(e.datdba)) AS owner,
  string_agg(DISTINCT e.privilege || CASE WHEN e.option AND e.grantee <> e.datdba THEN '*' ELSE '' END, ', ') AS privileges FROM entry e GROUP BY e.grantee, e.datdba""",
    (Aspect("privileges", "grant", BAD, _grant, undo=_revoke),),
    "SELECT datacl FROM pg_database WHERE datname = current_database()",
    joint=" ",
)


def _default(here: Row, there: Row | None, about: About) -> str:
    wanted, built_in = _privileges(here), set(here["built_in"].split(", ")) - {""}
    have = _privileges(there) if there is not None else built_in
    alter = f"ALTER DEFAULT PRIVILEGES FOR ROLE {here['role']}" + (f" IN SCHEMA {here['schema']}" if here["schema"] else "")
    to = here["role"] if here["grantee"] == "(owner)" else here["grantee"]
    made = [f"{alter} REVOKE {_list(have - wanted, here)} ON {here['word']} FROM {to}"] if have - wanted else []
    for option, star in ((" WITH GRANT OPTION", True), ("", False)):
        if some := {p for p in wanted - have if p.endswith("*") is star}:
            made.append(f"{alter} GRANT {_list(some, here)} ON {here['word']} TO {to}{option}")
    return "; ".join(made)


def _default_again(row: Row, about: About) -> str:
    return _default({**row, "privileges": row["built_in"]}, row, about)


DEFAULTS = Family(
    """WITH entry AS (
  SELECT d.oid, d.defaclrole AS role, d.defaclnamespace AS schema, d.defaclobjtype AS type, d.defaclacl AS acl,
    CASE d.defaclnamespace WHEN 0 THEN acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END::"char", d.defaclrole) END AS built_in
  FROM pg_default_acl d),
told AS (SELECT coalesce(x.oid, y.oid) AS oid, coalesce(x.grantee, y.grantee) AS grantee, coalesce(x.list, 'none') AS list, coalesce(y.list, '') AS built_in
  FROM (SELECT e.oid, a.grantee, string_agg(a.privilege_type || CASE WHEN a.is_grantable AND a.grantee <> e.role THEN '*' ELSE '' END, ', ' ORDER BY a.privilege_type) AS list
    FROM entry e CROSS JOIN LATERAL aclexplode(e.acl) a WHERE a.privilege_type <> 'MAINTAIN' GROUP BY 1, 2) x
  FULL JOIN (SELECT e.oid, a.grantee, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS list
    FROM entry e CROSS JOIN LATERAL aclexplode(e.built_in) a WHERE a.privilege_type <> 'MAINTAIN' GROUP BY 1, 2) y ON (x.oid, x.grantee) = (y.oid, y.grantee))
SELECT quote_ident(pg_get_userbyid(e.role)) || coalesce(' in ' || quote_ident(n.nspname), '') AS rel, w.word || ' to ' || g.grantee AS name, w.word, g.grantee,
  quote_ident(pg_get_userbyid(e.role)) AS role, coalesce(quote_ident(n.nspname), '') AS schema, t.list AS privileges, t.built_in, '' AS part
FROM told t JOIN entry e ON e.oid = t.oid LEFT JOIN pg_namespace n ON n.oid = e.schema
CROSS JOIN LATERAL (SELECT CASE t.grantee WHEN 0 THEN 'PUBLIC' WHEN e.role THEN '(owner)' ELSE quote_ident(pg_get_userbyid(t.grantee)) END AS grantee) g
CROSS JOIN LATERAL (SELECT CASE e.type WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
  ELSE 'LARGE OBJECTS' END AS word) w
WHERE t.list IS DISTINCT FROM t.built_in AND (n.nspname IS NULL OR {user})""",
    (Aspect("privileges", "default privilege", BAD, _default, undo=_default_again),),
    "SELECT defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl FROM pg_default_acl WHERE <rel> IN"
    " (quote_ident(pg_get_userbyid(defaclrole)), quote_ident(pg_get_userbyid(defaclrole)) || ' in ' || defaclnamespace::regnamespace)",
    joint=": ",
)

FAMILIES = (OWNERS, GRANTS, DATABASE_GRANTS, DEFAULTS)
