"""Preflight's findings of the moment and of what the servers are: each is planted, found, named, and has a query and a remedy."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from cockpit.model.events import FindingSeen
from cockpit.model.words import Severity
from cockpit.systems.postgres.preflight import moment
from cockpit.systems.postgres.preflight.look import Look
from tests.systems.postgres.conftest import BLUE, GREEN, Rig, quoted, until

pytestmark = pytest.mark.servers


async def found_of(rig: Rig, check: str) -> list[FindingSeen]:
    return [f for f in await rig.pair.preflight(BLUE) if f.check == check]


async def test_an_idle_transaction_behind_which_a_pause_would_hang(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await rig.app(BLUE)
    await app.execute("BEGIN; SELECT 1")
    assert await found_of(rig, "M3") == []
    monkeypatch.setattr(moment, "IDLE_S", 0.0)
    (found,) = await found_of(rig, "M3")
    pid = app.get_server_pid()
    assert (found.object, found.severity) == (f"pid {pid}", Severity.BLOCK)
    assert re.fullmatch(re.escape(f"{rig.role}, billing: idle in transaction for ") + r"\d+ s", found.seen), found.seen
    assert "FROM pg_stat_activity" in found.query
    assert found.remedy == f"let it finish, or SELECT pg_terminate_backend({pid})"
    await app.execute("ROLLBACK")
    assert await found_of(rig, "M3") == []


async def test_an_index_build_that_runs(rig: Rig) -> None:
    (good,) = await found_of(rig, "M5")
    assert good.severity is Severity.GOOD
    app, builder = await rig.app(BLUE), await rig.admin(BLUE)
    await app.execute("BEGIN; INSERT INTO plain (note) VALUES ('held')")
    build = asyncio.create_task(builder.execute("CREATE INDEX CONCURRENTLY slow ON plain (note)"))  # waits for who writes the table
    try:
        await until(lambda: _builds(rig))
        (found,) = await found_of(rig, "M5")
    finally:
        await app.execute("ROLLBACK")
        await build
    assert (found.object, found.severity, found.seen) == ("blue", Severity.WARN, "an index build runs")
    assert "pg_stat_progress_create_index" in found.query
    assert found.remedy == "let it finish or stop it before the window"
    assert [f.severity for f in await found_of(rig, "M5")] == [Severity.GOOD]


async def _builds(rig: Rig) -> bool:
    query = "SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE datname = current_database()"
    return bool(await rig.value(BLUE, query))


async def test_a_job_of_pg_cron_that_would_start(rig: Rig) -> None:
    """The table as the extension makes it: the extension itself needs a server of its own."""
    assert [f.severity for f in await found_of(rig, "M7")] == [Severity.GOOD]
    await rig.run(
        GREEN,
        "CREATE SCHEMA cron; CREATE TABLE cron.job (jobid bigint PRIMARY KEY, schedule text NOT NULL, command text NOT NULL, database text NOT NULL"
        " DEFAULT current_database(), active boolean NOT NULL DEFAULT true, jobname text);"
        "INSERT INTO cron.job (jobid, schedule, command, jobname) VALUES (7, '0 3 * * *', 'VACUUM', 'nightly'), (8, '* * * * *', 'SELECT 1', NULL);"
        "INSERT INTO cron.job (jobid, schedule, command, database) VALUES (9, '* * * * *', 'SELECT 2', 'elsewhere');"
        "INSERT INTO cron.job (jobid, schedule, command, active) VALUES (10, '* * * * *', 'SELECT 3', false)",
    )
    found = await found_of(rig, "M7")
    assert [(f.object, f.severity, f.seen) for f in found] == [
        ("green job 7", Severity.WARN, "nightly at 0 3 * * *"),
        ("green job 8", Severity.WARN, "SELECT 1 at * * * * *"),
    ]
    assert all("FROM cron.job WHERE active" in f.query for f in found)
    assert found[0].remedy == "UPDATE cron.job SET active = false WHERE jobid = 7"
    for each in found:
        await rig.run(GREEN, each.remedy)
    assert [f.severity for f in await found_of(rig, "M7")] == [Severity.GOOD]


async def test_a_target_that_is_set_smaller(rig: Rig) -> None:
    assert [f.severity for f in await found_of(rig, "P9")] == [Severity.GOOD]
    await rig.run(BLUE, f"ALTER DATABASE {quoted(rig.blue.database)} SET work_mem = '64MB'")
    await rig.remade()
    (found,) = await found_of(rig, "P9")
    assert (found.object, found.severity, found.seen) == ("work_mem", Severity.WARN, "65536 on blue, 4096 on green")
    assert (found.query, found.remedy) == ("SELECT name, setting FROM pg_settings", "raise it on green")


async def test_a_target_without_room_for_the_sessions(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Look.number
    monkeypatch.setattr(
        Look, "number", lambda look, side, name: 3 if (side, name) == (GREEN, "max_connections") else real(look, side, name)
    )
    found = {f.object: f for f in await found_of(rig, "P9")}
    assert {name: f.severity for name, f in found.items()} == {"max_connections": Severity.WARN, "sessions": Severity.BLOCK}
    assert found["sessions"].seen.endswith(" sessions on blue, room for 3 on green")
    assert found["sessions"].query == "SELECT name, setting FROM pg_settings"
    assert found["sessions"].remedy == "ALTER SYSTEM SET max_connections on green, then restart it"


ENCODES, SORTS = "make green again with the encoding of blue", "text may sort differently: check ordered queries and range partitions"
DIFFERS = [
    ("ENCODING 'LATIN1' LOCALE 'C'", {"encoding": (Severity.BLOCK, "UTF8 on blue, LATIN1 on green", ENCODES)}),
    (
        "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
        {
            "provider": (Severity.WARN, "c on blue, b on green", SORTS),
            "locale": (Severity.WARN, "- on blue, C.UTF-8 on green", SORTS),
            "version": (Severity.WARN, "- on blue, 1 on green", SORTS),
        },
    ),
]


@pytest.mark.parametrize(("made", "told"), DIFFERS)
async def test_a_target_that_encodes_or_sorts_otherwise(rig: Rig, made: str, told: dict[str, tuple[Severity, str, str]]) -> None:
    assert [f.severity for f in await found_of(rig, "D12")] == [Severity.GOOD]
    other = replace(rig.green, database=f"{rig.green.database} other")
    await rig.run(GREEN, f"CREATE DATABASE {quoted(other.database)} TEMPLATE template0 {made}")
    try:
        await rig.remade(green=replace(rig.spec.green, control=other, peer=other))
        found = await found_of(rig, "D12")
    finally:
        await rig.pair.close()
        await rig.run(GREEN, f"DROP DATABASE {quoted(other.database)} WITH (FORCE)")
    assert {f.object: (f.severity, f.seen, f.remedy) for f in found} == told
    assert all("FROM pg_database" in f.query for f in found)
