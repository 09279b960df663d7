"""PgBouncer itself, in front of PostgreSQL 16 and 18."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from cockpit.drill.folders import Claim
from cockpit.drill.servers import HOST, Server
from cockpit.errors import CockpitError, LinkError, OutcomeUnknown, StepError
from cockpit.model.secret import Secret
from cockpit.model.settings import ChannelSpec, Endpoint, PairSpec, SideSpec, Tuning
from cockpit.model.words import Known, Severity, Side
from cockpit.systems import kinds
from cockpit.systems.pgbouncer import Admin, Alias, Options, PgBouncer
from tests.systems.channels import bouncer
from tests.systems.channels.conformance import POOLER, PoolerCase, waits

pytestmark = [
    pytest.mark.servers,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not Path(bouncer.BINARY).exists(), reason="PgBouncer is not installed"),
]
DATABASE = "chan arp"
USERS = {"chan_app": "app-secret", "chan_control": "control-secret"}


@dataclass
class Bed:
    """An instance before two servers, the port on it, and an app."""

    instance: bouncer.Bouncer
    port: PgBouncer
    blue: Server
    green: Server
    pair: PairSpec
    options: Options

    def side(self, port: int) -> Side:
        return Side.BLUE if port == self.blue.port else Side.GREEN

    async def connect(self, name: str = "billing") -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            host=HOST, port=self.instance.port, dbname="arp_pool", user="chan_app", password=USERS["chan_app"], application_name=name,
            autocommit=True, prepare_threshold=None, sslmode="disable",
        )  # fmt: skip

    async def transact(self) -> Side:
        async with await self.connect() as conn:
            row = await (await conn.execute("SELECT inet_server_port()")).fetchone()
            assert row is not None
            return self.side(row[0])

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[int]:
        conn = await self.connect("slow\x1b[31mapp")
        try:
            await conn.execute("BEGIN")
            row = await (await conn.execute("SELECT pg_backend_pid()")).fetchone()
            assert row is not None
            yield row[0]
            await conn.execute("ROLLBACK")
        finally:
            await conn.close()

    def again(self, pause_attempt_s: float = 0.4, **changes: Any) -> PgBouncer:
        return PgBouncer("pool-1", self.pair, self.options.model_copy(update=changes), pause_attempt_s)

    @property
    def case(self) -> PoolerCase:
        return PoolerCase(self.port, self.transact, self.holding)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def pair(blue16: Server, green18: Server) -> AsyncIterator[PairSpec]:
    for server in (blue16, green18):
        await _run(
            server, [f"CREATE ROLE {user} LOGIN PASSWORD '{word}'" for user, word in USERS.items()] + [f'CREATE DATABASE "{DATABASE}"']
        )
    ends = [Endpoint(HOST, s.port, DATABASE, "chan_control", Secret(USERS["chan_control"]), "disable") for s in (blue16, green18)]
    yield PairSpec("arp", SideSpec(ends[0], ends[0]), SideSpec(ends[1], ends[1]), (), ())
    for server in (blue16, green18):
        await _run(server, [f'DROP DATABASE "{DATABASE}" WITH (FORCE)'] + [f"DROP ROLE {user}" for user in USERS])


async def _run(server: Server, statements: list[str]) -> None:
    password = server.superuser.password.reveal() if server.superuser.password else None
    conn = await psycopg.AsyncConnection.connect(
        host=HOST, port=server.port, dbname="postgres", user=server.superuser.user, password=password, autocommit=True, sslmode="disable"
    )
    async with conn:
        for statement in statements:
            await conn.execute(statement)


def _databases(server: Server) -> str:
    name = f"'{DATABASE}'"
    return (
        "; written by hand: keep me\n"
        + bouncer.entry("arp_pool", server, extra=" pool_size=7", dbname=name)
        + bouncer.entry("cockpit_probe", server, dbname=name)
        + bouncer.entry("elsewhere", server, dbname="postgres")
    )


Start = Callable[..., Awaitable[Bed]]


@pytest_asyncio.fixture(loop_scope="session")
async def start(_servers_folder: Claim, pair: PairSpec, blue16: Server, green18: Server) -> AsyncIterator[Start]:
    made: list[Bed] = []

    async def begin(*, probe: bool = True, **how: Any) -> Bed:
        instance = await bouncer.start(_servers_folder, f"pool-{len(made)}", _databases(blue16), USERS, **how)
        options = Options(
            admin=Admin(host=HOST, port=instance.port, user=bouncer.ADMIN, password=Secret(bouncer.PASSWORD), sslmode="disable"),
            databases_file=instance.databases, database="arp_pool", probe=Alias() if probe else None, deadline=2.0,
        )  # fmt: skip
        port = PgBouncer("pool-1", pair, options, 0.4)
        made.append(Bed(instance, port, blue16, green18, pair, options))
        await port.open()
        return made[-1]

    yield begin
    for bed in made:
        bed.instance.process.send_signal(signal.SIGCONT)
        await bed.port.close()
        bed.instance.stop()


@pytest.mark.parametrize("case", POOLER, ids=lambda case: case.__name__)
async def test_it_is_a_pooler(start: Start, case: Callable[[PoolerCase], Awaitable[None]]) -> None:
    await case((await start()).case)


async def test_the_file_keeps_everything_else_and_its_owner(start: Start) -> None:
    bed = await start()
    before = bed.instance.databases.stat()
    await bed.port.route(Side.GREEN).apply()
    text = bed.instance.databases.read_text()
    assert "; written by hand: keep me" in text
    assert f"port={bed.green.port} dbname='{DATABASE}' pool_size=7" in text
    assert f"elsewhere = host={HOST} port={bed.blue.port}" in text
    after = bed.instance.databases.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    await bed.port.close()
    assert not list(bed.instance.folder.glob(".*"))


async def test_blockers_are_named_without_their_escapes(start: Start) -> None:
    bed = await start()
    async with bed.holding():
        with pytest.raises(StepError) as caught:
            await bed.port.pause().apply()
    assert "slow" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "chan_app" in str(caught.value)


async def test_the_scenario_says_how_long_an_attempt_to_pause_may_take(start: Start) -> None:
    bed = await start()
    kind, spec = kinds.load("pgbouncer"), ChannelSpec("pool-1", "pgbouncer")
    with pytest.raises(ValueError, match="pause_attempt"):
        kind.options.model_validate(bed.options.model_dump() | {"pause_attempt": 9.0})
    port = kind.make(spec, bed.pair, bed.options, Tuning(pause_attempt=0.15))
    assert isinstance(port, PgBouncer)
    await port.open()
    loop = asyncio.get_running_loop()
    async with bed.holding():
        began = loop.time()
        with pytest.raises(StepError, match=r"not paused within 0\.15 s"):
            await port.pause().apply()
    assert loop.time() - began < 2.0  # the default of a scenario
    await port.close()


async def test_a_file_the_instance_does_not_read_is_no_route(start: Start, tmp_path: Path) -> None:
    bed = await start()
    other = tmp_path / "databases.ini"
    other.write_text(bed.instance.databases.read_text())
    port = bed.again(databases_file=other)
    await port.open()
    with pytest.raises(StepError, match="still leads to"):
        await port.route(Side.GREEN).apply()
    assert (await port.route(Side.GREEN).probe()).known is Known.PENDING
    assert any(f.severity is Severity.BLOCK and "does not say" in f.seen for f in await port.preflight(10))
    await port.close()


async def test_the_lines_that_the_file_lacks_are_said(start: Start) -> None:
    bed = await start()
    port, path = bed.again(), bed.instance.databases
    whole = path.read_text().splitlines()
    probe = next(line for line in whole if line.startswith(f"{port.routes.names[1]} ="))
    path.write_text("\n".join(line for line in whole if line != probe) + "\n")
    await port.open()
    found = [f for f in await port.preflight(10) if f.severity is Severity.BLOCK and f.check == "P5"]
    assert [f.seen for f in found] == [f"{path} has no entry {port.routes.names[1]}"]
    address = port.routes.addresses[Side.BLUE]
    assert f"{port.routes.names[1]} = host={address.host} port={address.port} dbname=" in found[0].remedy
    await port.close()


async def test_an_alias_that_leads_elsewhere_is_no_proof(start: Start) -> None:
    """The entry says green and the pool's other door shows blue: the route is not proven."""
    bed = await start()
    fixed = bed.instance.databases.read_text().replace("elsewhere", "fixed")
    bed.instance.databases.write_text(fixed.replace("dbname=postgres", f"dbname='{DATABASE}'"))
    port = bed.again(probe=Alias(name="fixed"))
    port.routes.names = ("arp_pool",)
    await port.open()
    with pytest.raises(StepError, match="do not resume"):
        await port.route(Side.GREEN).apply()
    assert (await port.route(Side.GREEN).probe()).known is Known.PENDING
    await port.close()


async def test_without_an_alias_it_says_so(start: Start) -> None:
    bed = await start(probe=False)
    evidence = await bed.port.route(Side.GREEN).apply()
    assert "only" in str(evidence["proof"])
    assert any(f.check == "P6" and f.severity is Severity.WARN for f in await bed.port.preflight(10))


@pytest.mark.parametrize(("leads_to", "severity"), [("green", Severity.GOOD), ("blue", Severity.BLOCK), (None, Severity.WARN)])
async def test_the_side_ahead_is_reached_before_the_window_or_said_not_to_be_known(
    start: Start, leads_to: str | None, severity: Severity
) -> None:
    bed = await start()
    if leads_to is not None:
        server = bed.green if leads_to == "green" else bed.blue
        text = bed.instance.databases.read_text() + bouncer.entry("fixed", server, dbname=f"'{DATABASE}'")
        bed.instance.databases.write_text(text)
        await bed.port.console.ask("RELOAD", 2)
    port = bed.again(probe=Alias(green="fixed" if leads_to else None))
    await port.open()
    found = [f for f in await port.preflight(10) if f.check == "P6"]
    assert [f.severity for f in found] == [Severity.GOOD, severity]
    await port.close()


async def test_an_entry_beside_the_routed_ones_is_a_way_around_unless_it_is_ours(start: Start) -> None:
    bed = await start()
    text = bed.instance.databases.read_text() + bouncer.entry("beside", bed.green, dbname=f"'{DATABASE}'")
    bed.instance.databases.write_text(text)
    await bed.port.console.ask("RELOAD", 2)
    assert [f.severity for f in await bed.port.preflight(10) if "beside leads there too" in f.seen] == [Severity.WARN]
    port = bed.again(probe=Alias(green="beside"))
    await port.open()
    assert not [f for f in await port.preflight(10) if "leads there too" in f.seen]
    await port.close()


async def test_session_pooling_blocks(start: Start) -> None:
    bed = await start(pool_mode="session")
    await bed.transact()
    assert any(f.severity is Severity.BLOCK and "session" in f.seen for f in await bed.port.preflight(10))


async def test_killed_while_paused_it_is_not_paused(start: Start) -> None:
    bed = await start()
    await bed.port.pause().apply()
    bed.instance.stop()
    assert (await bed.port.pause().probe()).known is Known.UNKNOWN
    assert (await bed.port.sample()).up is False
    bed.instance.process = bouncer.launch(bed.instance.folder)
    await bouncer.answers(bed.instance)
    assert (await bed.port.pause().probe()).known is Known.PENDING
    assert (await bed.port.route(Side.BLUE).probe()).done
    await bed.port.pause().apply()
    assert (await bed.port.pause().probe()).done


async def test_frozen_it_is_unknown_and_nothing_hangs(start: Start) -> None:
    bed = await start()
    port = bed.again(0.2, deadline=0.3)
    await port.open()
    bed.instance.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        await port.pause().apply()
    assert (await port.resume().probe()).known is Known.UNKNOWN
    with pytest.raises(LinkError):
        await port.route(Side.GREEN).apply()
    assert time.monotonic() - began < 5
    bed.instance.process.send_signal(signal.SIGCONT)
    await port.close()


async def test_a_wrong_password_is_one_clear_finding(start: Start) -> None:
    bed = await start()
    port = bed.again(admin=bed.options.admin.model_copy(update={"password": Secret("wrong-pass-word")}))
    with pytest.raises(LinkError) as caught:
        await port.open()
    found = await port.preflight(10)
    assert len(found) == 1
    assert found[0].severity is Severity.BLOCK
    assert "wrong-pass-word" not in str(caught.value) + str(found)
    await port.close()


async def test_describe_says_what_is_sent_and_no_secret(start: Start) -> None:
    bed = await start()
    texts = [s.text for action in (bed.port.pause(), bed.port.route(Side.GREEN), bed.port.resume()) for s in action.describe()]
    assert texts[0] == 'PAUSE "arp_pool"'
    assert "RELOAD" in texts
    assert not any(word in text for text in texts for word in (*USERS.values(), bouncer.PASSWORD))


async def test_a_file_that_cannot_be_written_blocks_and_changes_nothing(start: Start) -> None:
    bed = await start()
    missing = bed.again(databases_file=bed.instance.folder / "not-there.ini")
    with pytest.raises(CockpitError):
        await missing.open()
    assert any(f.severity is Severity.BLOCK and "not-there" in f.seen for f in await missing.preflight(10))
    await missing.close()


async def test_clients_lose_nothing_over_many_routes(start: Start) -> None:
    """Four clients that never stop, ten routes under pause: no error, and never an answer from the side that was left."""
    bed = await start()
    answers: list[tuple[float, Side]] = []
    stop = asyncio.Event()

    async def client() -> None:
        async with await bed.connect() as conn:
            while not stop.is_set():
                row = await (await conn.execute("SELECT inet_server_port()")).fetchone()
                assert row is not None
                answers.append((time.monotonic(), bed.side(row[0])))
                await asyncio.sleep(0.001)

    clients = [asyncio.ensure_future(client()) for _ in range(4)]
    spent, at = [], []
    for number in range(10):
        side = (Side.GREEN, Side.BLUE)[number % 2]
        began = time.monotonic()
        await bed.port.pause().apply()
        paused = time.monotonic()
        await bed.port.route(side).apply()
        at.append((paused, side))
        await bed.port.resume().apply()
        spent.append(1000 * (time.monotonic() - began))
        count = len(answers)
        async with asyncio.timeout(5):
            while len(answers) < count + 20:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    stop.set()
    await asyncio.gather(*clients)
    for when, seen in answers:
        expected = next((side for start_at, side in reversed(at) if when > start_at), Side.BLUE)
        assert seen is expected
    if os.environ.get("COCKPIT_FIGURES"):
        print("pause+route+resume ms", sorted(round(ms, 1) for ms in spent))


async def test_waiting_clients_wait_through_the_route(start: Start) -> None:
    bed = await start()
    await bed.port.pause().apply()
    waiting = [await waits(bed.transact) for _ in range(3)]
    await bed.port.route(Side.GREEN).apply()
    await bed.port.resume().apply()
    assert [await asyncio.wait_for(task, 5) for task in waiting] == [Side.GREEN] * 3
