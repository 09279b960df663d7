"""What comes from outside: extensions, collations, foreign servers and tables; and extended statistics, comments, other objects by name."""

from __future__ import annotations

import re

from cockpit.reconcile.parity.facts import BAD, LOOK, About, Aspect, Family, Remedy, words
from cockpit.reconcile.parity.oneline import literal
from cockpit.reconcile.sessions import Row


def _extension(here: Row, there: Row | None, about: About) -> str:
    return f"CREATE EXTENSION {here['rel']} SCHEMA {here['schema']} VERSION {literal(here['version'])}"


def _version(here: Row, there: Row | None, about: About) -> str:
    if there is not None and _ordered(there["version"]) > _ordered(here["version"]):
        return f"{about.side} has the newer one: ALTER EXTENSION {here['rel']} UPDATE TO {literal(there['version'])} on {about.side.other}, or leave it"
    return f"ALTER EXTENSION {here['rel']} UPDATE TO {literal(here['version'])}"


def _ordered(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


EXTENSIONS = Family(
    """SELECT quote_ident(e.extname) AS rel, '' AS name, 'installed' AS there, e.extversion AS version, quote_ident(n.nspname) AS schema
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
    (
        Aspect("there", "extension", BAD, _extension),
        Aspect("version", "extension version", LOOK, _version),
        Aspect("schema", "extension schema", BAD, lambda here, there, about: f"ALTER EXTENSION {here['rel']} SET SCHEMA {here['schema']}"),
    ),
    "SELECT extversion, extnamespace::regnamespace FROM pg_extension WHERE quote_ident(extname) = <rel>",
)


def _collation(here: Row, there: Row | None, about: About) -> str:
    made = f"CREATE COLLATION {here['rel']} ({here['def']})"
    return made if there is None else f"drop what uses it and it, then: {made}"


_COLLATION = """SELECT format('%I.%I', n.nspname, c.collname) AS rel, '' AS name, coalesce(c.collversion, '') AS version,
  'PROVIDER = ' || CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' WHEN 'd' THEN 'default' ELSE 'libc' END
  || coalesce(', LOCALE = ' || quote_literal(coalesce(j ->> 'colllocale', j ->> 'colliculocale', CASE c.collprovider WHEN 'c' THEN NULL ELSE j ->> 'collcollate' END)), '')
  || CASE c.collprovider WHEN 'c' THEN format(', LC_COLLATE = %L, LC_CTYPE = %L', j ->> 'collcollate', j ->> 'collctype') ELSE '' END
  || CASE WHEN c.collisdeterministic THEN '' ELSE ', DETERMINISTIC = false' END || coalesce(', RULES = ' || quote_literal(j ->> 'collicurules'), '') AS def
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace CROSS JOIN LATERAL to_jsonb(c) j WHERE """

COLLATIONS = Family(
    _COLLATION + "{user} AND {own:pg_collation:c.oid}",
    (
        Aspect("def", "collation", BAD, _collation),
        Aspect(
            "version",
            "collation version",
            LOOK,
            words("text may sort otherwise: REINDEX what uses it, then ALTER COLLATION <rel> REFRESH VERSION"),
        ),
    ),
    "SELECT * FROM pg_collation WHERE oid = to_regcollation(<rel>)",
)
USED_COLLATIONS = Family(
    _COLLATION
    + "n.nspname = 'pg_catalog' AND c.collname <> 'default' AND c.oid IN (SELECT attcollation FROM pg_attribute WHERE attrelid >= 16384)",
    (
        Aspect("def", "collation", LOOK, words("the server's own: nothing can be run")),
        Aspect(
            "version",
            "collation version",
            LOOK,
            words("text may sort otherwise: REINDEX what uses it, then ALTER COLLATION <rel> REFRESH VERSION"),
        ),
    ),
    "SELECT * FROM pg_collation WHERE oid = to_regcollation(<rel>)",
    implied=lambda row: True,
)

_MASK = "CASE WHEN o.option_name ~* '(pass|secret|token|key)' THEN '•••' ELSE o.option_value END"


def _options(source: str) -> str:
    """Options in order of their names, secrets masked."""
    listed = f"string_agg(quote_ident(o.option_name) || ' ' || quote_literal({_MASK}), ', ' ORDER BY o.option_name)"
    return f"coalesce((SELECT ' OPTIONS (' || {listed} || ')' FROM pg_options_to_table({source}) o), '')"


def _remade(verb: str) -> Remedy:
    def remedy(here: Row, there: Row | None, about: About) -> str:
        made = f"CREATE {verb} {here['rel']}{here['def']}"
        if "•••" in made:
            return f"with its secret: {made}"
        return made if there is None else f"ALTER {verb} {here['rel']} OPTIONS (SET ..), or drop it and make it anew: {made}"

    return remedy


FOREIGN = (
    Family(
        "SELECT quote_ident(w.fdwname) AS rel, '' AS name, CASE w.fdwhandler WHEN 0 THEN '' ELSE ' HANDLER ' || w.fdwhandler::regproc END"
        " || CASE w.fdwvalidator WHEN 0 THEN '' ELSE ' VALIDATOR ' || w.fdwvalidator::regproc END || "
        + _options("w.fdwoptions")
        + " AS def"
        " FROM pg_foreign_data_wrapper w WHERE {own:pg_foreign_data_wrapper:w.oid}",
        (Aspect("def", "foreign data wrapper", BAD, _remade("FOREIGN DATA WRAPPER")),),
        "SELECT fdwhandler::regproc, fdwvalidator::regproc FROM pg_foreign_data_wrapper WHERE quote_ident(fdwname) = <rel>",
        holds=True,
    ),
    Family(
        "SELECT quote_ident(s.srvname) AS rel, '' AS name, coalesce(' TYPE ' || quote_literal(s.srvtype), '') || coalesce(' VERSION ' || quote_literal(s.srvversion), '')"
        " || ' FOREIGN DATA WRAPPER ' || quote_ident(w.fdwname) || " + _options("s.srvoptions") + " AS def"
        " FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE {own:pg_foreign_server:s.oid}",
        (Aspect("def", "foreign server", BAD, _remade("SERVER")),),
        "SELECT srvtype, srvversion, srvfdw FROM pg_foreign_server WHERE quote_ident(srvname) = <rel>",
        holds=True,
    ),
    Family(
        "SELECT quote_ident(m.srvname) AS rel, 'for ' || CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(m.usename) END AS name, 'mapped' AS value"
        " FROM pg_user_mappings m",
        (
            Aspect(
                "value",
                "user mapping",
                BAD,
                lambda here, there, about: (
                    f"CREATE USER MAPPING {here['name'].upper() if here['name'] == 'for PUBLIC' else 'FOR' + here['name'][3:]} SERVER {here['rel']} OPTIONS (..), with its password"
                ),
            ),
        ),
        "SELECT srvname, usename FROM pg_user_mappings WHERE quote_ident(srvname) = <rel>",
        joint=" ",
    ),
    Family(
        "WITH {rel} SELECT r.shown AS rel, '' AS name, ' SERVER ' || quote_ident(s.srvname) || " + _options("t.ftoptions") + " AS def"
        " FROM pg_foreign_table t JOIN rel r ON r.oid = t.ftrelid JOIN pg_foreign_server s ON s.oid = t.ftserver",
        (Aspect("def", "foreign table source", BAD, words("ALTER FOREIGN TABLE <rel> OPTIONS (..), or make it anew")),),
        "SELECT s.srvname FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE t.ftrelid = to_regclass(<rel>)",
        implied=lambda row: True,
    ),
)


def _statistics(here: Row, there: Row | None, about: About) -> str:
    return str(here["def"]) if there is None else f"DROP STATISTICS {here['rel']}; {here['def']}"


STATISTICS = Family(
    """WITH {rel} SELECT format('%I.%I', n.nspname, s.stxname) AS rel, '' AS name, pg_get_statisticsobjdef(s.oid) AS def FROM pg_statistic_ext s
JOIN pg_namespace n ON n.oid = s.stxnamespace JOIN rel r ON r.oid = s.stxrelid WHERE {own:pg_statistic_ext:s.oid}""",
    (Aspect("def", "extended statistics", LOOK, _statistics, lost=LOOK),),
    "SELECT pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE format('%I.%I', n.nspname, s.stxname) = <rel>",
)


def _comment(here: Row, there: Row | None, about: About) -> str:
    return f"COMMENT ON {here['word']} IS {literal(here['text'])}"


COMMENTS = Family(
    """SELECT i.identity AS rel, i.type AS name, d.description AS text, CASE i.type WHEN 'table column' THEN 'COLUMN ' || i.identity WHEN 'view column' THEN 'COLUMN ' || i.identity
  WHEN 'composite type column' THEN 'COLUMN ' || i.identity WHEN 'table constraint' THEN 'CONSTRAINT ' || i.identity WHEN 'statistics object' THEN 'STATISTICS ' || i.identity
  WHEN 'domain constraint' THEN 'CONSTRAINT ' || replace(i.identity, ' on ', ' ON DOMAIN ') ELSE upper(i.type) || ' ' || i.identity END AS word
FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
WHERE d.objoid >= 16384 AND i.identity IS NOT NULL AND coalesce(i.schema, '') !~ '^(pg_|cockpit_)' AND d.classoid <> 'pg_extension'::regclass
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')""",
    (Aspect("text", "comment", LOOK, _comment, lost=LOOK),),
    "SELECT d.description FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i WHERE i.identity = <rel> AND i.type = <name>",
    joint=": ",
)

OTHERS = Family(
    """SELECT i.identity AS rel, '' AS name, i.type AS value FROM (
  SELECT 'pg_operator'::regclass AS class, oid FROM pg_operator UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast
  UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
  UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
  UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
  UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
  UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am) o
CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i WHERE o.oid >= 16384 AND coalesce(i.schema, '') !~ '^(pg_|cockpit_)'
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype IN ('e', 'i'))""",
    (Aspect("value", "other object", BAD, words("take its definition from pg_dump --schema-only of the side that has it: <rel>")),),
    "SELECT i.type, i.identity FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) i WHERE i.identity = <rel>",
)

FAMILIES = (EXTENSIONS, COLLATIONS, USED_COLLATIONS, *FOREIGN, STATISTICS, COMMENTS, OTHERS)
