"""The whole order on real servers: install, mesh, fence, quiesce, drain, sequences, and back; with the round-trip times."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from cockpit.errors import SystemFault
from cockpit.model.secret import Secret
from cockpit.model.settings import SideSpec
from cockpit.model.words import Severity
from cockpit.systems.postgres import shape
from tests.systems.postgres.conftest import BLUE, GREEN, PASSWORD, Rig, quoted, until

pytestmark = pytest.mark.servers


async def test_both_ways_without_a_loop(rig: Rig) -> None:
    await rig.run(BLUE, "INSERT INTO plain (note) SELECT 'row ' || g FROM generate_series(1, 500) g")
    await rig.run(BLUE, "INSERT INTO parted VALUES (1, '2025-05-05'), (2, '2026-05-05')")
    await rig.mesh()
    for origin in (BLUE, GREEN):
        for copy in (True, False):
            assert (await rig.pair.replicate(origin, origin.other, copy=copy).probe()).done
    assert await rig.value(GREEN, "SELECT count(*) FROM plain") == 500
    await rig.run(BLUE, "INSERT INTO plain (note) VALUES ('from blue')")
    await rig.run(GREEN, "INSERT INTO plain (id, note) VALUES (900000, 'from green')")
    await rig.run(BLUE, "TRUNCATE parted_25")
    for origin in (BLUE, GREEN):
        assert (await rig.pair.canary(origin, origin.other).apply())["round_trip_ms"]
        assert (await rig.pair.canary(origin, origin.other).probe()).done
    for side in (BLUE, GREEN):
        assert await rig.value(side, "SELECT count(*) FROM plain") == 502
        assert await rig.value(side, "SELECT count(*) FROM parted") == 1
    for origin in (BLUE, GREEN):
        await rig.pair.replicate(origin, origin.other, copy=True).apply()
    sample = await rig.pair.lag(BLUE, GREEN)
    assert sample.apply_errors in (0, None)


async def test_handover_times(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.mesh()
    pair, app = rig.pair, await rig.app(BLUE)
    await app.execute("INSERT INTO plain (note) VALUES ('before')")
    times: dict[str, list[float]] = {}
    origin = BLUE
    for _ in range(6):
        target = origin.other
        steps = (
            ("fence on", pair.fence(origin, on=True)),
            ("quiesce", pair.quiesce(origin)),
            ("drain", pair.drain(origin, target)),
            ("sequences", pair.sequences(origin, target)),
            ("fence off", pair.fence(target, on=False)),
        )
        for name, action in steps:
            started = time.perf_counter()
            await action.apply()
            times.setdefault(name, []).append((time.perf_counter() - started) * 1000)
            assert (await action.probe()).done, name
        origin = target
    with capsys.disabled():
        for name, ms in times.items():
            print(f"\n  {name:10} ms: " + " ".join(f"{value:.1f}" for value in ms), end="")
        print()
    assert await rig.value(GREEN, "SELECT count(*) FROM plain") == 1


async def test_lag_sees_everything(rig: Rig) -> None:
    await rig.mesh()
    await rig.pair.beat(BLUE)
    await rig.pair.canary(BLUE, GREEN).apply()
    await rig.pair.canary(GREEN, BLUE).apply()
    await rig.pair.beat(BLUE)

    async def fresh() -> bool:
        sample = await rig.pair.lag(BLUE, GREEN)
        return sample.lag_s is not None and sample.sender == "streaming" and sample.reverse_armed is True

    await until(fresh)
    sample = await rig.pair.lag(BLUE, GREEN)
    assert (sample.slot_state, sample.worker, sample.error) == ("active", "running", "")
    assert sample.tables_ready == sample.tables_total > 0
    assert sample.lag_bytes is not None
    assert sample.retained_bytes is not None
    assert sample.forecast_s == 0.0
    await rig.run(GREEN, f"ALTER SUBSCRIPTION {rig.pair._wires.names.link(BLUE)} DISABLE")
    await rig.run(BLUE, "INSERT INTO plain (note) SELECT repeat('x', 1000) FROM generate_series(1, 3000)")

    async def behind() -> bool:
        sample = await rig.pair.lag(BLUE, GREEN)
        return sample.worker == "disabled" and (sample.lag_bytes or 0) > 2_000_000 and sample.worst_table == "public.plain"

    await until(behind)
    sample = await rig.pair.lag(BLUE, GREEN)
    assert "inactive" in sample.error
    assert sample.forecast_s is None
    assert sample.worst_behind == 3000


FRESH = "CREATE TABLE fresh (id int PRIMARY KEY); CREATE TABLE halves (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE halves_1 PARTITION OF halves FOR VALUES FROM (0) TO (9)"


async def test_a_table_made_since_is_named_until_it_is_carried_both_ways(rig: Rig) -> None:
    await rig.mesh()
    for origin in (BLUE, GREEN):
        await rig.pair.canary(origin, origin.other).apply()
    await rig.pair.fence(GREEN, on=True).apply()
    ways = [(way, rig.pair.replicate(*way, copy=False)) for way in ((BLUE, GREEN), (GREEN, BLUE))]
    before = await rig.pair.lag(BLUE, GREEN)
    assert (before.not_ready, before.reverse_missing, before.reverse_armed) == ((), (), True)

    await rig.run(BLUE, f"{FRESH}; INSERT INTO fresh VALUES (1); INSERT INTO halves VALUES (1)")
    await rig.pair.shape()
    sample = await rig.pair.lag(BLUE, GREEN)
    assert {(t.table, t.state) for t in sample.not_ready} == {("public.fresh", "missing"), ("public.halves_1", "missing")}
    assert "2 table(s) of blue are not mirrored: public.fresh" in sample.error
    assert sample.reverse_armed is True

    await rig.run(GREEN, FRESH)
    await rig.pair.shape()
    sample = await rig.pair.lag(BLUE, GREEN)
    assert sample.tables_total - sample.tables_ready == 2
    assert (sample.reverse_missing, sample.reverse_armed) == (("public.fresh", "public.halves_1"), False)
    for _, action in ways:
        probe = await action.probe()
        assert not probe.done
        assert probe.evidence["unpublished"] == ["public.fresh", "public.halves_1"]
        await action.apply()
        assert (await action.probe()).done
    sample = await rig.pair.lag(BLUE, GREEN)
    assert (sample.not_ready, sample.reverse_missing, sample.reverse_armed, sample.error) == ((), (), True, "")
    assert await rig.value(GREEN, "SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM halves)") == 2
    await rig.run(BLUE, "INSERT INTO fresh VALUES (2)")
    await rig.pair.canary(BLUE, GREEN).apply()
    assert await rig.value(GREEN, "SELECT count(*) FROM fresh") == 2


async def test_new_tables_of_which_some_are_filled_are_refused_by_name(rig: Rig) -> None:
    await rig.mesh()
    await rig.pair.fence(GREEN, on=True).apply()
    for side in (BLUE, GREEN):
        await rig.run(side, FRESH)
    await rig.run(GREEN, "INSERT INTO fresh VALUES (7)")
    with pytest.raises(SystemFault, match=r"hold rows on green already: public\.fresh"):
        await rig.pair.replicate(BLUE, GREEN, copy=False).apply()
    await rig.run(GREEN, "TRUNCATE fresh")
    await rig.pair.replicate(BLUE, GREEN, copy=False).apply()


async def test_activity(rig: Rig) -> None:
    app = await rig.app(BLUE)
    await app.execute("BEGIN; INSERT INTO plain (note) VALUES ('open')")
    sessions = await rig.pair.census(BLUE)
    assert [(s.role, s.application, s.has_xid) for s in sessions] == [(rig.role, "billing", True)]
    assert sessions[0].xact_age_s is not None
    sample = await rig.pair.server(BLUE)
    assert (sample.up, sample.fenced, sample.app_sessions, sample.prepared) == (True, False, 1, 0)
    assert sample.version.startswith("16")
    versions = await rig.pair.versions()
    assert (versions[BLUE][:2], versions[GREEN][:2]) == ("16", "18")
    await rig.pair.install(BLUE).apply()
    await rig.pair.fence(BLUE, on=True).apply()
    assert (await rig.pair.server(BLUE)).fenced is True


async def test_shape_turns_with_ddl_only(rig: Rig) -> None:
    first = await rig.pair.shape()
    await rig.run(BLUE, "INSERT INTO plain (note) VALUES ('x'); SELECT nextval('plain_id_seq'); ANALYZE plain; REINDEX TABLE plain")
    assert await rig.pair.shape() == first
    seen = [first]
    for side, ddl in (
        (BLUE, "ALTER TABLE plain ADD extra int"),
        (GREEN, "CREATE INDEX ON plain (note)"),
        (BLUE, "ALTER TABLE plain REPLICA IDENTITY FULL"),
        (GREEN, "CREATE VIEW seen AS SELECT 1"),
        (BLUE, "ALTER TABLE plain DISABLE TRIGGER ALL; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ):
        await rig.run(side, ddl)
        now = await rig.pair.shape()
        assert [each for each in (BLUE, GREEN) if now[each] != seen[-1][each]] == [side], ddl
        seen.append(now)


async def test_a_schema_that_stands_still_costs_a_mark_and_no_digest(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.pair.shape()
    monkeypatch.setattr(shape, "_DIGEST", "SELECT 1 / 0 AS digest")
    await rig.run(BLUE, "INSERT INTO plain (note) VALUES ('x'); SELECT nextval('plain_id_seq'); ANALYZE plain")
    await rig.run(BLUE, "VACUUM plain")
    await rig.run(BLUE, "CREATE TEMPORARY TABLE passing (id serial PRIMARY KEY, note text DEFAULT 'x', CHECK (id > 0))")
    await rig.pair.shape()
    await rig.run(GREEN, "ALTER SEQUENCE plain_id_seq INCREMENT 2")
    with pytest.raises(SystemFault, match="division by zero"):
        await rig.pair.shape()


async def test_a_sequence_that_was_set_back_is_named_until_it_has_passed_where_it_stood(rig: Rig) -> None:
    assert (await rig.pair.server(BLUE)).set_back == ()
    await rig.run(BLUE, "SELECT setval('plain_id_seq', 700)")
    assert (await rig.pair.server(BLUE)).set_back == ()
    await rig.run(BLUE, "SELECT setval('plain_id_seq', 200)")
    assert (await rig.pair.server(BLUE)).set_back == ("public.plain_id_seq stood at 700, stands at 200",)
    await rig.run(BLUE, "ALTER SEQUENCE plain_id_seq RESTART")
    assert (await rig.pair.server(BLUE)).set_back == ("public.plain_id_seq stood at 700, stands at its start",)
    assert (await rig.pair.server(GREEN)).set_back == ()
    await rig.run(BLUE, "SELECT setval('plain_id_seq', 701)")
    assert (await rig.pair.server(BLUE)).set_back == ()
    await rig.run(BLUE, "CREATE SEQUENCE down INCREMENT -1; SELECT setval('down', -50)")
    await rig.pair.server(BLUE)
    await rig.run(BLUE, "SELECT setval('down', -10)")
    assert (await rig.pair.server(BLUE)).set_back == ("public.down stood at -50, stands at -10",)


async def test_a_digest_that_took_long_is_not_read_again_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "_DIGEST", "SELECT '1' AS digest FROM pg_sleep(0.05)")
    await rig.pair.shape()
    await rig.run(BLUE, "ALTER TABLE plain ADD extra int")
    started = time.monotonic()
    await rig.pair.shape()
    assert time.monotonic() - started > 0.05 * (shape.REST - 5)


async def test_a_cancelled_call_leaves_the_link_usable(rig: Rig) -> None:
    link = rig.pair._wires.act[BLUE]
    task = asyncio.create_task(link.rows("SELECT pg_sleep(20)"))
    await until(lambda: _sleeping(rig))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await link.row("SELECT 1 AS one"))["one"] == 1


async def _sleeping(rig: Rig) -> bool:
    return bool(await rig.value(BLUE, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)' AND state = 'active'"))


async def test_a_control_role_that_is_no_superuser(bare: Rig) -> None:
    """The rights that preflight asks for are enough: owner of the database and its tables, replication, four predefined roles."""
    owner = f"owner_{bare.spec.name.lower()}"
    rights = "pg_create_subscription, pg_signal_backend, pg_monitor, pg_read_all_data"
    for side in (BLUE, GREEN):
        await bare.run(side, f"CREATE ROLE {owner} LOGIN REPLICATION PASSWORD '{PASSWORD}'; GRANT {rights} TO {owner}")
        await bare.run(side, f"ALTER DATABASE {quoted(bare.blue.database)} OWNER TO {owner}")
        await bare.run(
            side,
            f"SET ROLE {owner}; CREATE SCHEMA s; CREATE TABLE s.t (id serial PRIMARY KEY); GRANT USAGE ON SCHEMA s TO {quoted(bare.role)}",
        )
        await bare.run(side, f"GRANT ALL ON s.t TO {quoted(bare.role)}; GRANT ALL ON ALL SEQUENCES IN SCHEMA s TO {quoted(bare.role)}")
    ends = [replace(end, user=owner, password=Secret(PASSWORD)) for end in (bare.blue, bare.green)]
    pair = await bare.remade(blue=SideSpec(ends[0], ends[0]), green=SideSpec(ends[1], ends[1]))
    assert [f for f in await pair.preflight(BLUE) if f.severity is Severity.BLOCK] == []
    await bare.mesh()
    app = await bare.app(BLUE)
    await app.execute("INSERT INTO s.t DEFAULT VALUES")
    for origin in (BLUE, GREEN):
        target = origin.other
        await pair.fence(target, on=True).apply()
        for action in (pair.fence(origin, on=True), pair.quiesce(origin), pair.drain(origin, target), pair.sequences(origin, target)):
            await action.apply()
        await pair.fence(target, on=False).apply()
        app = await bare.app(target)
        await app.execute("INSERT INTO s.t DEFAULT VALUES")
    await pair.canary(BLUE, GREEN).apply()
    assert [await bare.value(side, "SELECT count(*) FROM s.t") for side in (BLUE, GREEN)] == [3, 3]
    for side in (BLUE, GREEN):
        await pair.gone(side).apply()
    await pair.close()
    for side in (BLUE, GREEN):
        await bare.run(side, f"REASSIGN OWNED BY {owner} TO postgres; DROP OWNED BY {owner}; DROP ROLE {owner}")
