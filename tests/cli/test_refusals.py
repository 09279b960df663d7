"""What stands in the way of a flight: one line with the remedy, a documented exit code, nothing made, nothing left, no secret told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from cockpit import wiring
from cockpit.drill.folders import Claim
from cockpit.drill.links import connection
from cockpit.drill.servers import Server, launch
from cockpit.model.words import Mode
from cockpit.timeline.follow import Follower
from tests.cli.conftest import APP, APP_WORD, Pair
from tests.cli.typed import Answer, cockpit, files
from tests.conftest import QUICK
from tests.quick import SHIPPED
from tests.systems.channels import bouncer

pytestmark = pytest.mark.servers

WRONG = "wrong-word-canary"


async def refused(pair: Pair, command: str, *more: str) -> Answer:
    """The answer of a refusal, of which nothing is left anywhere."""
    config, before = pair.config, await pair.traces()
    had = files(pair.folder)
    told = await pair.type(command, *more)
    assert await pair.traces() == before
    assert [path for path in files(pair.folder) if path not in had] in ([], [pair.runs])
    assert config.exists()
    for secret in (*pair.words.values(), APP_WORD, WRONG):
        assert secret not in told.raw + told.out + told.err
    return told


async def test_nothing_stands_in_the_way_of_a_sound_pair(pair: Pair) -> None:
    before = await pair.traces()
    told = await pair.type("preflight")
    assert (told.code, told.err) == (0, ""), told.out + told.err
    assert told.out.splitlines()[-1].startswith("GO: 0 block")
    assert await pair.traces() == before


async def test_preflight_says_that_the_scenario_was_not_drilled(pair: Pair) -> None:
    found = json.loads((await pair.type("preflight", "--json")).out)["findings"]
    (told,) = [f for f in found if f["check"] == "P12"]
    assert (told["object"], told["severity"]) == ("arp", "warn")
    assert told["remedy"] == f"cockpit drill arp --runs {pair.runs}, there and back"


async def test_a_missing_dbt_project_is_told_before_the_rows_are_read(pair: Pair) -> None:
    told = await refused(pair, "reconcile", "--serving", "blue", "--dbt")
    assert (told.code, told.out) == (2, "")
    assert "names no dbt project" in told.err
    assert "rows" not in told.err, "no headline of a comparison before it"


async def test_a_pair_that_nobody_flies_is_compared_without_a_run(pair: Pair) -> None:
    scenario = pair.folder / "plain.toml"
    scenario.write_text(SHIPPED.read_text(encoding="utf-8").partition("# Business checks:")[0], encoding="utf-8")
    words = ("reconcile", str(scenario), "--config", str(pair.config), "--serving", "blue", "--json", "--duty", "0.5")
    told = await asyncio.to_thread(cockpit, *words, env=pair.words)
    assert told.code == 0, told.out + told.err
    found = json.loads(told.out)
    assert (found["verdict"], found["unproven"]) == ("equal", [])


# --- servers -----------------------------------------------------------------------------------------------------------

COMMANDS = pytest.mark.parametrize("command", ["preflight", "run"])


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that is taken and where nobody listens: no server of another test comes up there meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("command", ["preflight", "run", "cleanup"])
async def test_a_server_that_cannot_be_reached(pair: Pair, command: str) -> None:
    with refusing_port() as port:
        pair.said["blue_port"] = port
        told = await refused(pair, command)
    assert told.code == 1
    assert told.line.startswith(f"blue (127.0.0.1:{port}/cli): 127.0.0.1:{port} cannot be reached: ")
    assert told.line.endswith("; check the address and whether the server runs")


@COMMANDS
async def test_a_wrong_password(pair: Pair, command: str) -> None:
    pair.words["CLI_GREEN"] = WRONG
    told = await refused(pair, command)
    assert told.code == 1
    assert told.line.startswith("green (127.0.0.1:")
    assert told.line.endswith(": the password of role postgres was refused; check the password the config refers to")


@pytest.mark.parametrize("command", ["preflight", "run", "cleanup"])
async def test_a_server_without_tls(pair: Pair, command: str) -> None:
    pair.said["sslmode"] = "require"
    told = await refused(pair, command)
    assert told.code == 1
    port = pair.servers["blue"].port
    assert told.line == (
        f"blue (127.0.0.1:{port}/cli): 127.0.0.1:{port} speaks no TLS, which sslmode = require asks for;"
        " set up TLS on the server (ssl = on), or change sslmode in the config"
    )


@COMMANDS
async def test_a_wrong_database(pair: Pair, command: str) -> None:
    pair.said["database"] = "nosuch"
    told = await refused(pair, command)
    assert told.code == 1
    assert told.line.endswith(": there is no database nosuch; check the database's name in the config")


# --- what preflight finds --------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica16(_servers_folder: Claim) -> AsyncIterator[Server]:
    """A server whose log cannot be decoded."""
    server = await launch(_servers_folder.folder / "replica16", 16, name="replica16", settings={**QUICK, "wal_level": "replica"})
    _servers_folder.adopt(server.pid)
    async with connection(server.superuser, database="postgres") as conn:
        await conn.execute("CREATE DATABASE cli")
        await conn.execute(f"CREATE ROLE {APP} LOGIN PASSWORD '{APP_WORD}'")
    yield server
    await server.stop(immediate=True)


async def test_a_log_that_is_not_logical(pair: Pair, replica16: Server) -> None:
    async with connection(replica16.superuser, database="cli") as conn:
        await conn.execute("CREATE TABLE orders (id bigserial PRIMARY KEY, note text)")
        await conn.execute(f"GRANT ALL ON orders TO {APP}; GRANT ALL ON SEQUENCE orders_id_seq TO {APP}")
    pair.servers["blue"] = replica16
    assert replica16.superuser.password is not None
    pair.words["CLI_BLUE"] = pair.words["CLI_BLUE_PEER"] = replica16.superuser.password.reveal()
    pair.pooler.databases.write_text(bouncer.entry("cli", replica16))
    pair.pooler.process.send_signal(signal.SIGHUP)
    told = await refused(pair, "preflight")
    assert told.code == 3
    assert told.line.startswith("R1 blue: no-go: wal_level = replica")
    assert told.line.endswith("; ALTER SYSTEM SET wal_level = logical, then restart the server")


async def test_no_free_replication_slot(pair: Pair) -> None:
    await pair.do("blue", "SELECT pg_create_physical_replication_slot('taken_' || n) FROM generate_series(1, 30) n")
    try:
        told = await refused(pair, "preflight")
    finally:
        await pair.do("blue", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'taken%'")
    assert told.code == 3
    assert told.line.startswith("R2 blue max_replication_slots: no-go: max_replication_slots = 30, 30 in use")
    assert re.search(r"; ALTER SYSTEM SET max_replication_slots = \d+, then restart blue$", told.line)


async def test_a_table_that_cannot_be_replicated(pair: Pair) -> None:
    for side in ("blue", "green"):
        await pair.do(side, f"CREATE TABLE audit (at timestamptz, what json); GRANT ALL ON audit TO {APP}")
    told = await refused(pair, "preflight")
    assert told.code == 3
    assert told.line.startswith("D1 public.audit: no-go: ")
    assert "; " in told.line
    assert "remedy: " in told.out


async def test_a_pooler_in_session_mode(pair: Pair) -> None:
    entry = bouncer.entry("cli", pair.servers["blue"])
    session = await bouncer.start(pair.claim, "cli-session", entry, {APP: APP_WORD}, pool_mode="session")
    pair.pooler, transaction = session, pair.pooler
    try:
        told = await refused(pair, "preflight")
    finally:
        session.stop()
        pair.pooler = transaction
    assert told.code == 3
    assert "no-go: pool_mode = session" in told.line
    assert told.line.endswith("; set pool_mode = transaction for this entry")


MISSING = """
[[pairs.arp.channels]]
name = "reports"
kind = "file"
path = "{path}"
template = "{{host}}:{{port}}"
[[pairs.arp.apps]]
name = "reports"
role = "cli_reports"
channel = "reports"
"""


async def test_a_pooler_and_a_channel_that_are_not_there_are_two_findings_among_all(pair: Pair) -> None:
    with refusing_port() as port:
        pair.said["pool_port"] = port
        path = pair.config
        path.write_text(path.read_text() + MISSING.format(path=pair.folder / "reports.conf"))
        told = await asyncio.to_thread(cockpit, "preflight", "arp", "--config", str(path), "--json", env=pair.words)
    assert told.code == 3, told.out + told.err
    findings = json.loads(told.out)["findings"]
    blocks = {(f["check"], f["object"]): f for f in findings if f["severity"] == "block"}
    assert {("P5", "pool"), ("P8", "reports")} <= blocks.keys()
    assert "No such file" in blocks["P8", "reports"]["seen"]
    assert all(f["remedy"] for f in blocks.values())
    assert {"R1", "D1", "M1", "P1"} <= {f["check"] for f in findings}


async def test_two_servers_that_cannot_be_reached_are_two_lines(pair: Pair) -> None:
    with refusing_port() as one, refusing_port() as other:
        pair.said |= {"blue_port": one, "green_port": other}
        told = await asyncio.to_thread(cockpit, "preflight", "arp", "--config", str(pair.config), env=pair.words)
    assert (told.code, told.out) == (1, "")
    assert [line.split(" ")[0] for line in told.err.splitlines()] == ["blue", "green"]


async def test_a_clean_up_asks_for_no_secret_that_it_does_not_use(pair: Pair) -> None:
    words = {name: pair.words[name] for name in ("CLI_BLUE", "CLI_GREEN")}
    told = await asyncio.to_thread(cockpit, "cleanup", "arp", "--config", str(pair.config), "--json", env=words)
    assert told.code == 0, told.out + told.err
    assert json.loads(told.out) == {"failed": [], "stays": []}


# --- somebody else ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "cleanup"])
async def test_a_second_cockpit(
    pair: Pair, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for name, word in pair.words.items():
        monkeypatch.setenv(name, word)
    order = wiring.read_order(pair.config, "arp", None)
    folder = wiring.open_run(tmp_path_factory.mktemp("first"), pair.config, "arp", order.spec, drill=False)
    guardian = wiring.start(folder)
    follower = Follower(folder)
    try:
        async with asyncio.timeout(60):
            while follower.state.mode is not Mode.READY:
                follower.poll()
                assert guardian.poll() is None, folder.log.read_text()
                await asyncio.sleep(0.05)
        pilot = follower.state.owner_pid
        told = await pair.type(command)
        follower.poll()
        assert follower.state.mode is Mode.READY, "the first flies on"
    finally:
        follower.close()
        guardian.send_signal(signal.SIGTERM)
        await asyncio.to_thread(guardian.wait, 30)
    assert told.code == 2
    assert re.search(
        rf": this pair is flown by cockpit \S+@\S+ pid {pilot} [0-9a-f]{{8}}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d.*, from 127\.0\.0\.1; ",
        told.line,
    )
    assert "`cockpit watch" in told.line
    assert [path for path in files(pair.folder) if path.name not in {"my.toml", "runs"}] == []


# --- the runs folder -------------------------------------------------------------------------------------------------------


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of its own at `folder`; skips where this user may not mount one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_runs_on_a_full_disk(pair: Pair, tmp_path: Path) -> None:
    with mounted(tmp_path / "full", "size=64k") as runs:
        told = await refused(pair, "run", "--runs", str(runs))
        assert files(runs) == []
    assert told.code == 1
    assert told.line == f"{runs}: cannot write to the run folder: No space left on device; choose another folder with --runs or free it"


async def test_runs_where_files_may_not_grow(pair: Pair) -> None:
    """As a full disk, for who may not mount one."""
    had = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = pair.config
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, had[1]))
    try:
        told = await pair.type("run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, had)
    assert told.code == 1
    assert told.line == f"{pair.runs}: cannot write to the run folder: File too large; choose another folder with --runs or free it"
    assert files(pair.folder) == sorted([config, pair.runs])


async def test_runs_on_a_read_only_disk(pair: Pair, tmp_path: Path) -> None:
    with mounted(tmp_path / "fixed", "ro") as runs:
        told = await refused(pair, "run", "--runs", str(runs))
    assert told.code == 1
    assert told.line == f"{runs}: cannot make a run folder: Read-only file system; choose another folder with --runs or free it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write where the mode says no: the read-only disk and the file show the same")
async def test_runs_in_a_folder_that_is_not_to_be_written(pair: Pair) -> None:
    pair.runs.mkdir(mode=0o500)
    told = await refused(pair, "run")
    assert (told.code, "cannot make a run folder: Permission denied" in told.line) == (1, True)


async def test_runs_where_a_file_stands(pair: Pair) -> None:
    pair.runs.write_text("")
    told = await refused(pair, "run")
    assert told.code == 1
    assert told.line == f"{pair.runs}: cannot make a run folder: File exists; choose another folder with --runs or free it"
