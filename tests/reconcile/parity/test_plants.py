"""One difference of each kind planted: parity sees exactly it, shows it by its query, and its remedy, run as it stands, makes it disappear."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.parity import Difference, Parity, Weight
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.parity import parity
from cockpit.reconcile.sessions import Line
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import connect
from tests.reconcile.parity.schema import ROLES, SCHEMA

pytestmark = pytest.mark.servers

PLANNED = {"plan_cache_mode": "force_generic_plan"}
"""The tests ask the same over and over."""
ODD = 's."a.b "" %s $1 ; --"'
KADRY = '"Кадры ""и"" кадры"'


@dataclass
class Both:
    """Two databases made alike, each with the reconciliation's line and an administrator's connection that finds nothing unqualified."""

    lines: dict[Side, Line]
    admins: dict[Side, asyncpg.Connection]

    async def parity(self) -> Parity:
        return await parity(self.lines, ("s.left out",))

    async def run(self, side: Side, *statements: str) -> None:
        for statement in statements:
            await self.admins[side].execute(statement)


@pytest_asyncio.fixture
async def both(blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[Both]:
    ends = {side: await make_database(server, "parity d") for side, server in zip(Side, (blue16, green18), strict=True)}
    made = Both(
        {side: Line(side, end, settings=PLANNED) for side, end in ends.items()}, {side: await connect(end) for side, end in ends.items()}
    )
    for side in Side:
        await made.run(side, "SET search_path = pg_catalog; SET allow_system_table_mods = on", ROLES, SCHEMA)
    yield made
    for side in Side:
        for role in ("parity_owner", "parity_app", "parity_readers", '"parity ""x"" o\'ne"'):
            await made.run(side, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")
        await made.run(side, "DROP ROLE IF EXISTS parity_new")
        await made.lines[side].close()
        await made.admins[side].close()


@dataclass(frozen=True)
class Plant:
    """`sql` run on green (or blue) makes these differences; those of `words` have no statement that could be run."""

    sql: str
    seen: tuple[tuple[str, str], ...]
    on: Side = Side.GREEN
    look: bool = False
    words: str = ""
    """Undoes it by hand, where the remedy is words; `-`: by making everything anew."""
    rounds: int = 1
    """What stands inside a missing object is seen once that is there."""


def one(sql: str, kind: str, name: str, **how: object) -> Plant:
    return Plant(sql, ((kind, name),), **how)  # type: ignore[arg-type]


TABLES = (
    one("CREATE SCHEMA extra", "schema", "extra"),
    one("DROP TABLE s.zero", "table", "s.zero", words="CREATE TABLE s.zero ()", rounds=2),
    one(f"DROP TABLE {ODD}", "table", ODD, words="-"),
    one("ALTER TABLE s.guarded SET UNLOGGED", "persistence", "s.guarded"),
    one("ALTER TABLE s.scratch SET LOGGED", "persistence", "s.scratch"),
    one("ALTER TABLE s.base REPLICA IDENTITY FULL", "replica identity", "s.base"),
    one("ALTER TABLE s.base REPLICA IDENTITY USING INDEX base_pkey", "replica identity", "s.base", on=Side.BLUE),
    one("ALTER TABLE s.guarded DISABLE ROW LEVEL SECURITY", "row security", "s.guarded"),
    one("ALTER TABLE s.guarded FORCE ROW LEVEL SECURITY", "row security", "s.guarded"),
    one("ALTER TABLE s.parted DETACH PARTITION s.parted_26", "partition", "s.parted_26"),
    one(
        "ALTER TABLE s.parted DETACH PARTITION s.parted_26; ALTER TABLE s.parted ATTACH PARTITION s.parted_26 FOR VALUES FROM ('2026-01-01') TO ('2028-01-01')",
        "partition",
        "s.parted_26",
    ),
    one("ALTER TABLE s.child NO INHERIT s.base", "inheritance", "s.child.s.base"),
    one("ALTER TABLE s.base RESET (fillfactor)", "storage option", "s.base.fillfactor", look=True),
    one("ALTER TABLE s.base SET (autovacuum_enabled = off)", "storage option", "s.base.autovacuum_enabled", look=True),
    one("ALTER VIEW s.checked SET (security_barrier = false)", "view option", "s.checked.security_barrier"),
    one("ALTER VIEW s.checked RESET (check_option)", "view option", "s.checked.check_option"),
    one("DROP VIEW s.wide", "view", "s.wide", rounds=2),
    one("CREATE OR REPLACE VIEW s.v AS SELECT p.id, p.v FROM s.base p WHERE p.n > 2", "view", "s.v", look=True),
)

COLUMNS = (
    one("ALTER TABLE s.ident ADD COLUMN made int GENERATED ALWAYS AS (other + 1) STORED", "column", "s.ident.made", on=Side.BLUE),
    one("ALTER TABLE s.base ADD COLUMN new varchar(7) COLLATE \"C\" DEFAULT 'x''y' NOT NULL", "column", "s.base.new"),
    one(f'ALTER TABLE {ODD} DROP COLUMN "c\\d"', "column", f'{ODD}."c\\d"'),
    one("ALTER TABLE s.child ALTER COLUMN extra TYPE bigint", "column", "s.child.extra"),
    one(
        f"""ALTER TABLE {KADRY}.t ALTER COLUMN "line\nbreak" SET DEFAULT E'two\nother lines'""",
        "column default",
        f'{KADRY}.t."line\nbreak"',
    ),
    Plant("ALTER TABLE s.base ALTER COLUMN at DROP DEFAULT", (("column default", "s.base.at"), ("column default", "s.child.at"))),
    one("ALTER TABLE s.guarded ALTER COLUMN who SET DEFAULT '{}'", "column default", "s.guarded.who"),
    one("ALTER TABLE s.guarded ALTER COLUMN who SET NOT NULL", "column nullability", "s.guarded.who"),
    Plant("ALTER TABLE s.base ALTER COLUMN n DROP NOT NULL", (("column nullability", "s.base.n"), ("column nullability", "s.child.n"))),
    one("ALTER TABLE s.guarded ADD CONSTRAINT nn NOT NULL who NOT VALID", "column nullability", "s.guarded.who"),
    Plant(
        "ALTER TABLE s.base ALTER COLUMN twice SET EXPRESSION AS (n * 3)",
        (("column generation", "s.base.twice"), ("column generation", "s.child.twice")),
    ),
    Plant(
        "ALTER TABLE s.base ALTER COLUMN twice DROP EXPRESSION",
        (("column generation", "s.base.twice"), ("column generation", "s.child.twice")),
        words="-",
    ),
    one("ALTER TABLE s.ident ALTER COLUMN id SET GENERATED BY DEFAULT", "column identity", "s.ident.id"),
    one('ALTER TABLE s.guarded ALTER COLUMN note TYPE text COLLATE "C"', "column collation", "s.guarded.note"),
    Plant(
        "ALTER TABLE s.base ALTER COLUMN w SET STORAGE EXTENDED",
        (("column storage", "s.base.w"), ("column storage", "s.child.w")),
        look=True,
    ),
    one("ALTER TABLE s.base ALTER COLUMN v SET COMPRESSION pglz", "column compression", "s.base.v", look=True),
    Plant(
        "ALTER TABLE s.base ALTER COLUMN v SET STATISTICS -1",
        (("column statistics target", "s.base.v"), ("column statistics target", "s.child.v")),
        look=True,
    ),
    one("ALTER TABLE s.base ALTER COLUMN v SET (n_distinct = -0.5)", "column option", "s.base.v", look=True),
    one("ALTER TYPE s.address ADD ATTRIBUTE city text", "column", "s.address.city"),
)

CONSTRAINTS = (
    one("ALTER TABLE s.base DROP CONSTRAINT n_positive", "constraint", "s.base.n_positive"),
    one("ALTER TABLE s.base DROP CONSTRAINT once", "constraint", "s.base.once"),
    one("ALTER TABLE s.ident DROP CONSTRAINT ident_pkey", "constraint", "s.ident.ident_pkey", rounds=2),
    one("ALTER TABLE s.ident DROP CONSTRAINT ident_base_fkey", "constraint", "s.ident.ident_base_fkey"),
    one(
        "ALTER TABLE s.base DROP CONSTRAINT n_positive; ALTER TABLE s.base ADD CONSTRAINT n_positive CHECK (n > 0) NOT VALID",
        "constraint validity",
        "s.base.n_positive",
    ),
    one(
        "ALTER TABLE s.ident DROP CONSTRAINT ident_base_fkey, ADD CONSTRAINT ident_base_fkey FOREIGN KEY (base) REFERENCES s.base NOT VALID",
        "constraint validity",
        "s.ident.ident_base_fkey",
        on=Side.BLUE,
    ),
    one(
        "ALTER TABLE s.ident DROP CONSTRAINT ident_base_fkey, ADD CONSTRAINT ident_base_fkey FOREIGN KEY (base) REFERENCES s.base ON DELETE CASCADE",
        "constraint",
        "s.ident.ident_base_fkey",
    ),
    one(
        "ALTER TABLE s.ident DROP CONSTRAINT ident_base_fkey, ADD CONSTRAINT ident_base_fkey FOREIGN KEY (base) REFERENCES s.base NOT ENFORCED",
        "constraint",
        "s.ident.ident_base_fkey",
    ),
    one("ALTER TABLE s.ident DISABLE TRIGGER ALL", "constraint enforcement", "s.ident.ident_base_fkey"),
    one("ALTER DOMAIN s.percent DROP CONSTRAINT sane", "constraint", "s.percent.sane"),
    one("ALTER DOMAIN s.plain_text ADD CONSTRAINT short CHECK (length(VALUE) < 9)", "constraint", "s.plain_text.short"),
    one("DROP INDEX s.by_lower", "index", "s.base.by_lower"),
    one('DROP INDEX s."weird ""i"" x"', "index", f'{ODD}."weird ""i"" x"'),
    one("DROP INDEX s.by_lower; CREATE INDEX by_lower ON s.base (lower(v)) WHERE n > 3", "index", "s.base.by_lower"),
    one("DROP INDEX s.parted_day", "index", "s.parted.parted_day"),
    one("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 's.by_lower'::regclass", "index validity", "s.base.by_lower"),
    one("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 's.once'::regclass", "index validity", "s.base.once", on=Side.BLUE),
)

PROGRAMS = (
    one("DROP TRIGGER touch ON s.base", "trigger", "s.base.touch"),
    one(f'DROP TRIGGER "odd ""trigger""" ON {ODD}', "trigger", f'{ODD}."odd ""trigger"""'),
    one(
        "DROP TRIGGER touch ON s.base; CREATE TRIGGER touch BEFORE UPDATE ON s.base FOR EACH ROW EXECUTE FUNCTION s.touch()",
        "trigger",
        "s.base.touch",
    ),
    one("ALTER TABLE s.base DISABLE TRIGGER touch", "trigger firing", "s.base.touch"),
    one("ALTER TABLE s.base ENABLE ALWAYS TRIGGER touch", "trigger firing", "s.base.touch", on=Side.BLUE),
    one("CREATE OR REPLACE FUNCTION s.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "function", "s.touch()"),
    one("ALTER FUNCTION s.add(int, int) VOLATILE SECURITY DEFINER", "function", "s.add(integer,integer)"),
    one(
        "CREATE OR REPLACE FUNCTION s.atomic(a int) RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM s.base WHERE base.n > a + 1; END",
        "function",
        "s.atomic(integer)",
    ),
    one(
        "CREATE OR REPLACE PROCEDURE s.proc(a int, INOUT b int) LANGUAGE plpgsql AS 'BEGIN b := 0; END'",
        "function",
        "s.proc(integer,integer)",
    ),
    Plant(
        "DROP FUNCTION s.add(int, int); CREATE FUNCTION s.add(a int, b int) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        (("function", "s.add(integer,integer)"), ("grant", "s.add(integer,integer) to PUBLIC")),
    ),
    one("CREATE OR REPLACE AGGREGATE s.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '5')", "function", "s.total(integer)"),
    one("DROP AGGREGATE s.total(int)", "function", "s.total(integer)"),
    one("DROP RULE no_delete ON s.guarded", "rule", "s.guarded.no_delete"),
    one("ALTER TABLE s.guarded DISABLE RULE no_delete", "rule firing", "s.guarded.no_delete"),
    one("DROP POLICY own_rows ON s.guarded", "policy", "s.guarded.own_rows"),
    one("ALTER POLICY own_rows ON s.guarded USING (true)", "policy", "s.guarded.own_rows"),
    one("DROP EVENT TRIGGER parity_ddl", "event trigger", "parity_ddl"),
    one("ALTER EVENT TRIGGER parity_ddl DISABLE", "event trigger firing", "parity_ddl"),
)

TYPES = (
    one("ALTER TYPE s.mood ADD VALUE 'angry' BEFORE 'glad'", "type", "s.mood", on=Side.BLUE),
    one("ALTER TYPE s.mood ADD VALUE 'first' BEFORE 'sad'", "type", "s.mood", words="-"),
    one("DROP TYPE s.span", "type", "s.span"),
    one("CREATE TYPE s.colour AS ENUM ('red', E'gr\neen')", "type", "s.colour"),
    one('CREATE TYPE s.pt AS (x int, "y z" text COLLATE "C")', "type", "s.pt"),
    one("ALTER DOMAIN s.percent SET DEFAULT 1", "domain default", "s.percent"),
    one("ALTER DOMAIN s.percent DROP NOT NULL", "domain nullability", "s.percent"),
    one("DROP DOMAIN s.plain_text", "type", "s.plain_text"),
    one("ALTER SEQUENCE s.numbers INCREMENT 4 CYCLE", "sequence", "s.numbers"),
    one("ALTER SEQUENCE s.ident_other_seq CACHE 1", "sequence", "s.ident.other"),
    one("DROP SEQUENCE s.numbers", "sequence", "s.numbers", rounds=2),
    one("ALTER SEQUENCE s.numbers OWNED BY s.guarded.id", "sequence owner", "s.numbers"),
    one("ALTER SEQUENCE s.base_id_seq AS int", "sequence", "s.base_id_seq"),
    one("CREATE COLLATION s.more (PROVIDER = libc, LC_COLLATE = 'C', LC_CTYPE = 'C')", "collation", "s.more"),
    one("CREATE EXTENSION vector", "extension", "vector"),
    Plant("DROP SERVER parity_srv CASCADE", (("foreign server", "parity_srv"), ("table", "s.far")), words="-"),
    one(
        "DROP USER MAPPING FOR parity_app SERVER parity_srv",
        "user mapping",
        "parity_srv for parity_app",
        words="CREATE USER MAPPING FOR parity_app SERVER parity_srv",
    ),
    one(
        "ALTER SERVER parity_srv OPTIONS (SET host 'elsewhere')",
        "foreign server",
        "parity_srv",
        words="ALTER SERVER parity_srv OPTIONS (SET host 'there')",
    ),
    one(
        "ALTER FOREIGN TABLE s.far OPTIONS (SET t 'y')",
        "foreign table source",
        "s.far",
        words="ALTER FOREIGN TABLE s.far OPTIONS (SET t 'x')",
    ),
    one(
        "ALTER FOREIGN TABLE s.far ALTER COLUMN id OPTIONS (column_name 'x')",
        "foreign column option",
        "s.far.id",
        words="ALTER FOREIGN TABLE s.far ALTER COLUMN id OPTIONS (DROP column_name)",
    ),
    one("CREATE FOREIGN DATA WRAPPER another", "foreign data wrapper", "another"),
    one("DROP STATISTICS s.pair_stats", "extended statistics", "s.pair_stats", look=True),
    one("COMMENT ON COLUMN s.base.n IS NULL", "comment", "s.base.n: table column", look=True),
    one("COMMENT ON CONSTRAINT ident_pkey ON s.ident IS E'other\twords'", "comment", "ident_pkey on s.ident: table constraint", look=True),
    one(
        "DROP OPERATOR s.=== (int, int)",
        "other object",
        "s.===(integer,integer)",
        words="CREATE OPERATOR s.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    ),
    one("SELECT lo_create(0)", "large objects", "(database)", look=True, words="SELECT lo_unlink(oid) FROM pg_largeobject_metadata"),
)

RIGHTS = (
    one("ALTER TABLE s.guarded OWNER TO parity_owner", "owner", "s.guarded"),
    one("ALTER FUNCTION s.add(int, int) OWNER TO parity_owner", "owner", "s.add(integer,integer)"),
    one("ALTER TYPE s.mood OWNER TO parity_owner", "owner", "s.mood"),
    one(f"ALTER SCHEMA {KADRY} OWNER TO parity_owner", "owner", KADRY),
    one('ALTER DATABASE "parity d" OWNER TO parity_owner', "owner", "(database)"),
    one("REVOKE SELECT ON s.base FROM parity_app", "grant", "s.base to parity_app"),
    one("REVOKE ALL ON s.base FROM parity_app", "grant", "s.base to parity_app"),
    one("REVOKE GRANT OPTION FOR SELECT ON s.base FROM parity_app", "grant", "s.base to parity_app"),
    one("REVOKE ALL ON s.base FROM parity_owner", "grant", "s.base to (owner)"),
    one("REVOKE ALL ON s.scratch FROM postgres", "grant", "s.scratch to (owner)"),
    one("GRANT DELETE, TRUNCATE ON s.guarded TO PUBLIC", "grant", "s.guarded to PUBLIC"),
    one("REVOKE UPDATE (v) ON s.base FROM parity_readers", "grant", "s.base (v) to parity_readers"),
    one("REVOKE USAGE ON SCHEMA s FROM parity_app", "grant", "s to parity_app"),
    one('REVOKE SELECT ON s.guarded FROM "parity ""x"" o\'ne"', "grant", 's.guarded to "parity ""x"" o\'ne"'),
    one("GRANT EXECUTE ON FUNCTION s.add(int, int) TO PUBLIC", "grant", "s.add(integer,integer) to PUBLIC"),
    one("REVOKE USAGE ON TYPE s.mood FROM PUBLIC", "grant", "s.mood to PUBLIC"),
    one("REVOKE USAGE ON SEQUENCE s.numbers FROM parity_app", "grant", "s.numbers to parity_app"),
    one('REVOKE TEMP ON DATABASE "parity d" FROM PUBLIC', "grant", "(database) to PUBLIC"),
    one('GRANT CREATE ON DATABASE "parity d" TO parity_app', "grant", "(database) to parity_app"),
    one(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s REVOKE SELECT ON TABLES FROM parity_readers",
        "default privilege",
        "postgres in s: TABLES to parity_readers",
    ),
    one(
        "ALTER DEFAULT PRIVILEGES FOR ROLE parity_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
        "default privilege",
        "parity_owner: FUNCTIONS to PUBLIC",
    ),
    one(
        "ALTER DEFAULT PRIVILEGES FOR ROLE parity_owner GRANT USAGE ON SEQUENCES TO parity_app",
        "default privilege",
        "parity_owner: SEQUENCES to parity_app",
    ),
    one("ALTER ROLE parity_app CONNECTION LIMIT 7 BYPASSRLS", "role", "parity_app"),
    one("GRANT parity_readers TO parity_app", "membership", "parity_app in parity_readers"),
    one("GRANT parity_readers TO parity_app WITH ADMIN OPTION", "membership", "parity_app in parity_readers", on=Side.BLUE),
    Plant(
        "CREATE ROLE parity_new; GRANT SELECT ON s.guarded TO parity_new", (("role", "parity_new"), ("grant", "s.guarded to parity_new"))
    ),
    one('ALTER ROLE parity_app SET search_path = s, "$user", "Odd x"', "role or database setting", "parity_app: search_path", look=True),
    one(
        "ALTER ROLE parity_app IN DATABASE \"parity d\" SET work_mem = '7MB'",
        "role or database setting",
        "parity_app in (database): work_mem",
        look=True,
    ),
    one(
        "ALTER DATABASE \"parity d\" SET application_name = E'it''s\n\\me'",
        "role or database setting",
        "(database): application_name",
        look=True,
    ),
    one('ALTER DATABASE "parity d" CONNECTION LIMIT 50', "database connection limit", "(database)", look=True),
)


async def planted(both: Both, plants: tuple[Plant, ...]) -> None:
    for plant in plants:
        await both.run(plant.on, plant.sql)
        found = (await both.parity()).differences
        # Exactly it: what the plant before left behind would be here too.
        assert sorted((d.kind, d.object) for d in found) == sorted(plant.seen), (plant.sql, found)
        assert {d.weight for d in found} == {Weight.LOOK if plant.look else Weight.BAD}, plant.sql
        for difference in found:
            assert "canary" not in repr(difference)
            await _shown(both, difference)
        await _undone(both, plant, found)
    assert (await both.parity()).differences == ()


async def _shown(both: Both, difference: Difference) -> None:
    """The query runs on both sides as it stands, and finds something where there is something to see."""
    assert plain(difference.query) == difference.query
    for side, value in ((Side.BLUE, difference.blue), (Side.GREEN, difference.green)):
        rows = await both.admins[side].fetch(difference.query)
        assert rows or not value or difference.kind == "owner", difference


async def _undone(both: Both, plant: Plant, found: tuple[Difference, ...]) -> None:
    if plant.words == "-":
        for side in Side:
            await both.run(side, "DROP EVENT TRIGGER parity_ddl; DROP SERVER IF EXISTS parity_srv CASCADE")
            await both.run(side, "DROP FOREIGN DATA WRAPPER parity_fdw CASCADE", f"DROP SCHEMA s, {KADRY}, cockpit_control CASCADE", SCHEMA)
    elif plant.words:
        await both.run(plant.on, plant.words)
    else:
        await _remedied(both, found)
    if plant.rounds > 1:
        await _remedied(both, (await both.parity()).differences)


async def _remedied(both: Both, found: tuple[Difference, ...]) -> None:
    for difference in sorted(found, key=lambda d: d.kind != "role"):
        assert difference.on is not None
        assert plain(difference.remedy) == difference.remedy
        try:
            await both.run(difference.on, difference.remedy)
        except asyncpg.PostgresError as err:
            raise AssertionError(f"{difference.remedy}: {err}") from err


GROUPS = {"tables": TABLES, "columns": COLUMNS, "constraints": CONSTRAINTS, "programs": PROGRAMS, "types": TYPES, "rights": RIGHTS}
PARTS = {f"{name} {n // 8 + 1}": plants[n : n + 8] for name, plants in GROUPS.items() for n in range(0, len(plants), 8)}


@pytest.mark.parametrize("plants", PARTS.values(), ids=PARTS.keys())
async def test_each_difference_is_seen_alone_and_its_remedy_ends_it(both: Both, plants: tuple[Plant, ...]) -> None:
    await planted(both, plants)
