"""Preflight on real servers: a sound pair is good throughout, and each planted fault is found, named and has a remedy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from cockpit.drill.servers import Server
from cockpit.errors import SystemFault
from cockpit.model.events import FindingSeen
from cockpit.model.secret import Secret
from cockpit.model.settings import AppSpec
from cockpit.model.words import Severity
from cockpit.systems.postgres import PostgresPair, replicate
from cockpit.systems.postgres.preflight import replication
from tests.systems.postgres.conftest import BLUE, GREEN, PASSWORD, Rig, Waiver, quoted, until

pytestmark = pytest.mark.servers


def blocks(found: tuple[FindingSeen, ...]) -> set[tuple[str, str]]:
    return {(f.check, f.object) for f in found if f.severity is Severity.BLOCK and not f.waived}


def warnings(found: tuple[FindingSeen, ...]) -> set[tuple[str, str]]:
    return {(f.check, f.object) for f in found if f.severity is Severity.WARN}


async def test_a_sound_pair_is_good(rig: Rig) -> None:
    pair = await rig.remade(exclude_tables=("public.scratch",))
    found = await pair.preflight(BLUE)
    assert blocks(found) == set()
    assert {f.check for f in found} >= {"R1", "R2", "R3", "R4", "R9", "R10", "R11", "D1", "D3", "D14", "M1", "M2", "P1", "P3", "P4"}
    assert ("R11", "public.scratch") in warnings(found)
    assert all(f.query for f in found)
    assert all(f.remedy for f in found if f.severity is not Severity.GOOD)
    await rig.mesh()
    await pair.canary(BLUE, GREEN).apply()
    found = await pair.preflight(BLUE)
    assert blocks(found) == set()
    assert {f.check for f in found} >= {"R3", "R4", "R5", "R7", "R8"}


async def test_planted_shape_faults_are_found(rig: Rig) -> None:
    for side in (BLUE, GREEN):
        await rig.run(
            side,
            """
            CREATE TABLE nokey (a int); CREATE TABLE unikey (a int NOT NULL UNIQUE); CREATE TABLE unlike (j json, p point);
            CREATE TABLE fulljson (j json[]); ALTER TABLE fulljson REPLICA IDENTITY FULL;
            CREATE TABLE fullok (v varchar, t text[], e interval, r int4range, n numeric, x "char", u uuid, b jsonb); ALTER TABLE fullok REPLICA IDENTITY FULL;
            CREATE TABLE deferred (a int PRIMARY KEY DEFERRABLE);
            CREATE SEQUENCE tight AS smallint; SELECT setval('tight', 32700);
            """,
        )
    await rig.run(
        BLUE, "CREATE TABLE blueonly (a int PRIMARY KEY); CREATE SEQUENCE blueseq; CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one"
    )
    await rig.run(BLUE, "SELECT lo_create(0); CREATE TABLE typed (a int PRIMARY KEY, b text, c int, d int GENERATED ALWAYS AS (1) STORED)")
    await rig.run(GREEN, "CREATE TABLE typed (a int PRIMARY KEY, b bytea, d int, e int NOT NULL)")
    await rig.run(GREEN, "ALTER TABLE plain ADD CONSTRAINT late CHECK (id > 0) NOT VALID; CREATE TABLE big (a int PRIMARY KEY)")
    await rig.run(BLUE, "CREATE TABLE big (a int PRIMARY KEY)")
    await rig.run(GREEN, "ALTER TABLE big SET (autovacuum_enabled = off); INSERT INTO big SELECT generate_series(1, 20000)")
    await rig.run(GREEN, f"REVOKE INSERT ON plain FROM {quoted(rig.role)}")
    await rig.run(GREEN, "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    await rig.run(
        GREEN, "CREATE TRIGGER tt BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tf(); ALTER TABLE plain ENABLE ALWAYS TRIGGER tt"
    )
    await rig.run(BLUE, "CREATE EXTENSION vector")
    found = await rig.pair.preflight(BLUE)
    assert blocks(found) == {
        *((("D1", f"public.{name}")) for name in ("nokey", "unikey", "unlike", "fulljson", "deferred")),
        ("R11", "public.blueonly"),
        ("D3", "public.blueseq"),
        ("D3", "public.tight"),
        ("D4", "public.scratch"),
        ("D5", "blue"),
        ("D7", "public.typed.b"),
        ("D7", "public.typed.c"),
        ("D7", "public.typed.e"),
        ("D13", "public.typed.d"),
        ("D8", "public.late on plain"),
        ("D9", "public.big"),
        ("R12", "public.big"),
        ("D11", "vector"),
        ("D14", f"public.plain {rig.role}"),
    }
    assert {("D6", "public.mv"), ("D10", "public.plain tt"), ("D2", "public.fullok")} <= warnings(found)
    remedies = {f.object: f.remedy for f in found if f.check == "D1"}
    assert "USING INDEX" in remedies["public.unikey"]
    assert "FULL" in remedies["public.nokey"]
    assert "json" in remedies["public.unlike"]


async def test_rows_where_the_copy_goes_are_found_before_it_is_made(rig: Rig) -> None:
    for side in (BLUE, GREEN):
        await rig.run(side, "CREATE TABLE keyless (a int); ALTER TABLE keyless REPLICA IDENTITY FULL; INSERT INTO keyless VALUES (1)")
    await rig.run(GREEN, "INSERT INTO parted VALUES (1, '2025-05-05'); INSERT INTO scratch VALUES (1)")
    rows = {("R12", "public.keyless"), ("R12", "public.parted_25")}
    pair = await rig.remade(exclude_tables=("public.scratch",))
    found = await pair.preflight(BLUE)
    assert blocks(found) == rows
    assert 'TRUNCATE "public"."keyless"' in next(f.remedy for f in found if f.object == "public.keyless")

    await pair.install(GREEN).apply()
    await pair.install(BLUE).apply()
    with pytest.raises(SystemFault, match=r"hold rows already: public\.keyless, public\.parted_25") as refused:
        await pair.replicate(BLUE, GREEN, copy=True).apply()
    assert refused.value.code == "R12"
    for side in (BLUE, GREEN):
        made = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_subscription WHERE subname LIKE $1) + (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE $1)"
        assert await rig.value(side, made, f"%{rig.spec.name.lower()}%") == 0

    await rig.run(GREEN, "TRUNCATE parted")
    pair = await rig.remade(waivers=(Waiver("R12", "public.keyless", "rows of green's own, which stay"),))
    assert blocks(await pair.preflight(BLUE)) == set()
    await rig.mesh()
    assert await rig.value(GREEN, "SELECT count(*) FROM keyless") == 2
    assert not any(f.check == "R12" and f.severity is Severity.BLOCK for f in await pair.preflight(BLUE))
    assert await rig.value(BLUE, "SELECT count(*) FROM keyless") == 1


async def test_waivers_need_check_and_object(rig: Rig) -> None:
    pair = await rig.remade(waivers=(Waiver("D4", "public.scratch", "a cache"), Waiver("D1", "public.other", "no such")))
    found = await pair.preflight(BLUE)
    assert [f.waived for f in found if f.check == "D4"] == ["a cache"]
    assert not any(f.waived for f in found if f.check != "D4")


async def test_planted_moment_faults_are_found(rig: Rig) -> None:
    rig.tuning = replace(rig.tuning, long_transaction=0.05)
    pair = await rig.remade()
    await rig.run(
        BLUE,
        "SELECT pg_create_logical_replication_slot(format('foreign_%s', oid), 'pgoutput') FROM pg_database WHERE datname = current_database()",
    )
    app, there = await rig.app(BLUE), await rig.app(GREEN)
    await app.execute("BEGIN; INSERT INTO plain (note) VALUES ('x'); PREPARE TRANSACTION 'p 1'")
    await app.execute("BEGIN; INSERT INTO plain (note) VALUES ('y')")
    stranger = f"stranger_{rig.spec.name.lower()}"
    await rig.run(BLUE, f"CREATE ROLE {stranger} LOGIN PASSWORD 'app-secret-canary'")
    role, rig.role = rig.role, stranger
    known = await rig.app(BLUE)
    rig.role = role
    found = await pair.preflight(BLUE)
    assert {
        ("M1", f"pid {app.get_server_pid()}"),
        ("M2", "blue p 1"),
        ("M6", f"green pid {there.get_server_pid()}"),
        ("M8", stranger),
    } <= blocks(found)
    assert any(check == "R10" for check, _ in warnings(found))
    await known.close()
    await app.execute("ROLLBACK")
    await rig.run(BLUE, f"DROP ROLE {stranger}")
    await rig.run(BLUE, "ROLLBACK PREPARED 'p 1'")


async def test_planted_rights_faults_are_found(rig: Rig) -> None:
    other, weak = f"{rig.spec.name}_super".lower(), f"{rig.spec.name}_weak".lower()
    apps = (*rig.spec.apps, AppSpec("dba", other, "pool"), AppSpec("ghost", "no such role", "pool"))
    for side in (BLUE, GREEN):
        await rig.run(
            side,
            f"CREATE ROLE {other} SUPERUSER LOGIN; CREATE ROLE {weak} LOGIN PASSWORD 'app-secret-canary'; GRANT {weak} TO {quoted(rig.role)}",
        )
    await rig.run(GREEN, f"ALTER ROLE {quoted(rig.role)} SET default_transaction_read_only = off")
    peer = replace(rig.spec.blue.peer, user=weak, password=rig.spec.blue.peer.password.__class__("app-secret-canary"))
    lost = replace(rig.spec.green.peer, password=peer.password)
    pair = await rig.remade(apps=apps, blue=replace(rig.spec.blue, peer=peer), green=replace(rig.spec.green, peer=lost))
    found = await pair.preflight(BLUE)
    wanted = {
        ("P4", f"blue {other}"),
        ("P4", f"blue {rig.role}"),
        ("P1", f"blue {weak}"),
        ("P1", "green postgres"),
        ("D14", "no such role"),
    }
    assert wanted <= blocks(found)
    assert ("P4", f"green {rig.role}") in warnings(found)
    assert "app-secret-canary" not in repr(found)
    for side in (BLUE, GREEN):
        await rig.run(side, f"DROP ROLE {other}; DROP ROLE {weak}")


@pytest.fixture
async def weak(rig: Rig) -> AsyncIterator[str]:
    """The pair is flown by a role that owns the databases and is no superuser."""
    role = f"weak_{rig.spec.name.lower()}"
    for side in (BLUE, GREEN):
        await rig.run(side, f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{PASSWORD}'; GRANT pg_monitor, pg_signal_backend TO {role}")
        await rig.run(side, f"ALTER DATABASE {quoted(rig.blue.database if side is BLUE else rig.green.database)} OWNER TO {role}")
    yield role
    await rig.pair.close()
    for side in (BLUE, GREEN):
        await rig.run(side, f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")


async def flown_by(rig: Rig, role: str) -> PostgresPair:
    ends = {side: replace(rig.endpoint(side), user=role, password=Secret(PASSWORD)) for side in (BLUE, GREEN)}
    return await rig.remade(blue=replace(rig.spec.blue, control=ends[BLUE]), green=replace(rig.spec.green, control=ends[GREEN]))


async def test_tables_that_the_control_role_cannot_read_block(rig: Rig, weak: str) -> None:
    for side in (BLUE, GREEN):
        await rig.run(side, f'GRANT USAGE ON SCHEMA "Кадры ""и"" кадры" TO {weak}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {weak}')
    pair = await flown_by(rig, weak)
    found = {f.object: f.seen for f in await pair.preflight(BLUE) if f.check == "P11" and f.severity is Severity.BLOCK}
    assert set(found) == {f"blue {weak}", f"green {weak}"}
    assert all("cannot read 1 tables" in seen for seen in found.values())
    for side in (BLUE, GREEN):
        await rig.run(side, f"GRANT pg_read_all_data TO {weak}")
    assert [f.severity for f in await pair.preflight(BLUE) if f.check == "P11"] == [Severity.GOOD]


async def test_a_log_that_would_hold_the_password_blocks(rig: Rig, weak: str) -> None:
    assert [f.severity for f in await rig.pair.preflight(BLUE) if f.check == "P13"] == [Severity.GOOD]
    await rig.run(GREEN, f"ALTER DATABASE {quoted(rig.green.database)} SET log_statement = 'mod'")
    pair = await flown_by(rig, weak)
    found = [f for f in await pair.preflight(BLUE) if f.check == "P13"]
    assert {(f.object, f.severity) for f in found} == {
        ("green log_statement", Severity.BLOCK),
        ("green log_min_error_statement", Severity.WARN),
        ("blue log_min_error_statement", Severity.WARN),
    }
    assert all("GRANT SET ON PARAMETER" in f.remedy for f in found)
    for side in (BLUE, GREEN):
        await rig.run(side, f"GRANT SET ON PARAMETER log_statement, log_min_error_statement TO {weak}")
    assert [f.severity for f in await pair.preflight(BLUE) if f.check == "P13"] == [Severity.GOOD]
    quiet = await pair.replicate(BLUE, GREEN, copy=False)._quiet()  # type: ignore[attr-defined]
    assert quiet == ("SET LOCAL log_statement = 'none'", "SET LOCAL log_min_error_statement = 'panic'")


async def test_the_password_is_in_no_log(rig: Rig, blue16: Server, green18: Server) -> None:
    password = rig.spec.blue.peer.password
    assert password is not None
    for name, value in (("log_statement", "all"), ("log_min_duration_statement", "0"), ("log_min_error_statement", "debug5")):
        await rig.run(GREEN, f"ALTER DATABASE {quoted(rig.green.database)} SET {name} = '{value}'")
    await rig.remade()
    await rig.mesh()
    subscription = rig.pair._wires.names.link(BLUE)
    again = replicate.Replicate(rig.pair._wires, BLUE, GREEN, False, {})
    with pytest.raises(SystemFault, match="already exists"):
        await rig.pair._wires.work[GREEN].script((*await again._quiet(), again._subscription(masked=False)))
    written = green18.log.read_text()
    assert subscription in written
    assert "SET LOCAL pg_stat_statements" not in written  # there is none: an unknown setting would fail on some servers
    assert password.reveal() not in written


async def test_limits_are_counted(rig: Rig) -> None:
    used = 30 - int(await rig.value(BLUE, "SELECT count(*) FROM pg_replication_slots"))
    make = "SELECT count(pg_create_physical_replication_slot('full_' || g)) FROM generate_series(1, $1::int) g"
    await asyncio.wait_for(rig.fetch(BLUE, make, used), 20)
    try:
        found = await rig.pair.preflight(BLUE)
        assert ("R2", "blue max_replication_slots") in blocks(found)
    finally:
        await rig.run(BLUE, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'full\\_%'")


async def test_an_idle_limit_on_slots_is_found(rig: Rig) -> None:
    """What an ungraceful rollback leaves behind is kept by a slot that nobody reads."""
    assert ("R4", "green idle limit") not in warnings(await rig.pair.preflight(BLUE))
    await rig.run(GREEN, "ALTER SYSTEM SET idle_replication_slot_timeout = '1d'")
    try:
        await rig.run(GREEN, "SELECT pg_reload_conf()")
        await until(lambda: _warned(rig))
    finally:
        await rig.run(GREEN, "ALTER SYSTEM RESET idle_replication_slot_timeout")
        await rig.run(GREEN, "SELECT pg_reload_conf()")


async def _warned(rig: Rig) -> bool:
    return ("R4", "green idle limit") in warnings(await rig.pair.preflight(BLUE))


async def test_a_server_without_the_origin_filter_blocks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "FILTERED_SINCE", 170000)  # so that blue's 16 is below it
    found = [f for f in await rig.pair.preflight(BLUE) if f.check == "R9" and f.severity is not Severity.GOOD]
    assert [(f.object, f.severity) for f in found] == [("blue version", Severity.BLOCK)]
    assert found[0].seen.startswith("both servers must be PostgreSQL 16 or later: 16.")
    assert "16 or later" in found[0].remedy


@pytest.mark.parametrize(
    "parts", [("NOLOGIN",), ("VALID UNTIL '2000-01-01'",), ("CONNECT",), ("NOLOGIN", "VALID UNTIL '2000-01-01'", "CONNECT")]
)
async def test_the_remedy_of_a_role_that_may_not_log_in_is_whole_and_no_more(rig: Rig, parts: tuple[str, ...]) -> None:
    role, database = quoted(rig.role), quoted(rig.green.database)
    lets = {
        "NOLOGIN": f"ALTER ROLE {role} LOGIN",
        "VALID UNTIL '2000-01-01'": f"ALTER ROLE {role} VALID UNTIL 'infinity'",
        "CONNECT": f"GRANT CONNECT ON DATABASE {database} TO {role}",
    }
    for part in parts:
        await rig.run(GREEN, f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC" if part == "CONNECT" else f"ALTER ROLE {role} {part}")
    (found,) = [f for f in await rig.pair.preflight(BLUE) if f.check == "D14" and f.object == rig.role]
    assert (found.severity, found.remedy) == (Severity.BLOCK, "; ".join(lets[part] for part in parts))
    await rig.run(GREEN, found.remedy)
    assert not any(check == "D14" for check, _ in blocks(await rig.pair.preflight(BLUE)))
    await (await rig.app(GREEN)).close()


async def test_the_query_of_every_finding_can_be_run(rig: Rig) -> None:
    """Whole and on one line: what has parameters is planned with them, all else is run, changing nothing."""
    await rig.run(GREEN, 'CREATE TABLE "two  blanks" (a int PRIMARY KEY); INSERT INTO "two  blanks" VALUES (1)')
    found = list(await rig.pair.preflight(BLUE))
    assert ("R12", "public.two  blanks") not in blocks(tuple(found)), "it stands on green alone"
    await rig.run(BLUE, 'CREATE TABLE "two  blanks" (a int PRIMARY KEY)')
    found += await rig.pair.preflight(BLUE)
    assert ("R12", "public.two  blanks") in blocks(tuple(found))
    await rig.run(GREEN, 'TRUNCATE "two  blanks"')
    await rig.mesh()
    found += await rig.pair.preflight(BLUE)
    queries = {f.query for f in found if f.query.split()[0] in {"SELECT", "WITH", "SHOW"}}
    assert len(queries) > 25
    assert {q for f in found if (q := f.query) not in queries} <= {"connect as the peer", "EXISTS (SELECT FROM ..) of each table"}
    for query in queries:
        assert "\\n" not in query
        await runs(rig, query)


async def runs(rig: Rig, query: str) -> None:
    conn = await rig.admin(GREEN)
    async with conn.transaction(readonly=True):
        prepared = await conn.prepare(query)
        if not prepared.get_parameters():
            await prepared.fetch()
    await conn.close()
