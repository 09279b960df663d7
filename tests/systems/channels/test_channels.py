"""Every channel kind and its twin against the one conformance suite, and what is special to files."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cockpit.errors import ConfigError, SystemFault
from cockpit.model.secret import Secret
from cockpit.model.settings import ChannelSpec, Endpoint, PairSpec, SideSpec, Tuning
from cockpit.model.words import Known, Severity, Side
from cockpit.systems import kinds
from cockpit.systems.file import FileChannel, Options, Values
from cockpit.systems.memory import MemoryWorld
from cockpit.systems.memory.channel import ChannelState
from tests.systems.channels.conformance import CHANNEL, POOLER, ChannelCase, PoolerCase

ENDS = [Endpoint(f"{side}.example", 5432, "arp", "cockpit") for side in Side]
PAIR = PairSpec("arp", SideSpec(ENDS[0], ENDS[0]), SideSpec(ENDS[1], ENDS[1]), (), ())


def twin() -> tuple[MemoryWorld, ChannelState]:
    memory = MemoryWorld(1, apps=0)
    return memory, memory.channels[0]


@pytest.mark.parametrize("case", POOLER, ids=lambda case: case.__name__)
async def test_the_twin_is_a_pooler(case: Callable[[PoolerCase], Awaitable[None]]) -> None:
    import asyncio
    from contextlib import asynccontextmanager

    memory = MemoryWorld(1, apps=0, pause_attempt_s=0.3)
    state = memory.poolers[0]

    async def transact() -> Side:
        async with state.server("app_role", "billing") as session:
            return session.side

    @asynccontextmanager
    async def holding() -> AsyncIterator[int]:
        async with state.server("slow_role", "slow") as session:
            session.xact_at = asyncio.get_running_loop().time()
            yield session.pid

    await case(PoolerCase(memory.world().poolers[0], transact, holding))


async def memory_case(folder: Path) -> ChannelCase:
    memory, state = twin()

    async def sees() -> Side:
        assert state.side is not None
        return state.side

    async def sets(side: Side) -> None:
        state.change(side)

    return ChannelCase(memory.world().channels[0], sees, sets)


async def template_case(folder: Path) -> ChannelCase:
    path = folder / "app.conf"

    def write(side: Side) -> None:
        path.write_text(f"# mine\nurl=postgres://{side}.example:5432/arp\n")

    async def sees() -> Side:
        return Side.BLUE if "//blue.example" in path.read_text() else Side.GREEN

    async def sets(side: Side) -> None:
        write(side)

    write(Side.BLUE)
    template = "# mine\nurl=postgres://{host}:{port}/{database}\n"
    return ChannelCase(FileChannel("reports", PAIR, Options(path=path, template=template)), sees, sets)


async def json_case(folder: Path) -> ChannelCase:
    path = folder / "app.json"

    def write(side: Side) -> None:
        path.write_text(json.dumps({"db": {"host": f"{side}.example", "port": 5432, "pool": 5}, "других": "полей"}))

    async def sees() -> Side:
        content = json.loads(path.read_text())
        assert content["db"]["pool"] == 5
        assert content["других"] == "полей"
        return Side(content["db"]["host"].split(".")[0])

    async def sets(side: Side) -> None:
        write(side)

    write(Side.BLUE)
    return ChannelCase(
        FileChannel("reports", PAIR, Options(path=path, format="json", keys={"host": "db.host", "port": "db.port"})), sees, sets
    )


@pytest.mark.parametrize("make", [memory_case, template_case, json_case], ids=["twin", "template", "json"])
@pytest.mark.parametrize("case", CHANNEL, ids=lambda case: case.__name__)
async def test_it_is_a_channel(
    case: Callable[[ChannelCase], Awaitable[None]], make: Callable[[Path], Awaitable[ChannelCase]], tmp_path: Path
) -> None:
    subject = await make(tmp_path)
    await subject.port.open()
    await case(subject)
    await subject.port.close()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("make", [memory_case, template_case, json_case], ids=["twin", "template", "json"])
async def test_a_change_between_stage_and_route_is_refused_once(make: Callable[[Path], Awaitable[ChannelCase]], tmp_path: Path) -> None:
    subject = await make(tmp_path)
    await subject.port.open()
    await subject.port.stage().apply()
    await subject.somebody_sets(Side.GREEN)
    if make is not memory_case:
        (name,) = [name for name in os.listdir(tmp_path) if not name.startswith(".")]
        path = tmp_path / name
        path.write_text(path.read_text().replace("5432", "6000"))
    await subject.somebody_sets(Side.GREEN)
    with pytest.raises(SystemFault) as caught:
        await subject.port.route(Side.BLUE).apply()
    assert caught.value.code == "conflict"
    await subject.port.route(Side.BLUE).apply()
    assert await subject.app_sees() is Side.BLUE
    await subject.port.close()


async def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "release" / "app.conf", tmp_path / "app.conf"
    real.parent.mkdir()
    real.write_text("host=blue.example\nport=5432\n")
    real.chmod(0o640)
    link.symlink_to(real)
    channel = FileChannel("reports", PAIR, Options(path=link))
    await channel.open()
    await channel.route(Side.GREEN).apply()
    assert link.is_symlink()
    assert real.read_text() == "host=green.example\nport=5432\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    await channel.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "app.conf"
    path.write_text("host=blue.example\nport=5432\n")
    os.chown(path, 4242, 4243)
    channel = FileChannel("reports", PAIR, Options(path=path))
    await channel.open()
    await channel.route(Side.GREEN).apply()
    assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4243)
    await channel.close()


async def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.conf"
    path.write_text("host=blue.example\nport=5432\n")
    channel = FileChannel("reports", PAIR, Options(path=path))
    await channel.open()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemFault, match="No space left"):
        await channel.route(Side.GREEN).apply()
    assert path.read_text() == "host=blue.example\nport=5432\n"
    assert os.listdir(tmp_path) == ["app.conf"]


@pytest.mark.parametrize("content", ["", "garbage\n", "host=blue.example\n", "host=other.example\nport=5432\n"])
async def test_a_file_that_names_neither_side_is_said_to(tmp_path: Path, content: str) -> None:
    path = tmp_path / "app.conf"
    path.write_text(content)
    channel = FileChannel("reports", PAIR, Options(path=path))
    await channel.open()
    assert await channel.intended() is None
    assert (await channel.route(Side.BLUE).probe()).known is Known.PENDING
    assert any(f.severity is Severity.BLOCK for f in await channel.preflight())


@pytest.mark.parametrize("what", ["missing", "folder", "fifo", "no json"])
async def test_what_is_no_such_file_is_one_finding(tmp_path: Path, what: str) -> None:
    path = tmp_path / "app.conf"
    if what == "folder":
        path.mkdir()
    if what == "fifo":
        os.mkfifo(path)
    if what == "no json":
        path.write_text("{")
    channel = FileChannel("reports", PAIR, Options(path=path, format="json"))
    (found,) = await channel.preflight()
    assert found.severity is Severity.BLOCK
    assert found.remedy


def test_a_secret_is_written_and_never_shown(tmp_path: Path) -> None:
    values = {side: Values(user="app", password=Secret(f"word-of-{side}")) for side in Side}
    options = Options(path=tmp_path / "a", template="{host} {user} {password}\n", blue=values[Side.BLUE], green=values[Side.GREEN])
    channel = FileChannel("reports", PAIR, options)
    shown = str([action.describe() for action in (channel.stage(), channel.route(Side.GREEN))]) + repr(options)
    assert "word-of" not in shown
    assert "•••" in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"template": "{hots}\n"}, "no {hots}"),
        ({"template": "{password}\n"}, "gives no password"),
        ({"template": "{port}\n"}, "the same text"),
        ({"template": "{host\n"}, "template"),
    ],
)
def test_a_text_that_cannot_be_made_is_refused_before_anything_runs(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FileChannel("reports", PAIR, Options(path=tmp_path / "a", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pgbouncer", "file", "aws-secret"])
def test_kinds_are_found_by_their_entry_point(name: str) -> None:
    assert name in kinds.kinds()
    kind = kinds.load(name)
    assert kind.pooler is (name == "pgbouncer")


def test_a_kind_makes_its_channel(tmp_path: Path) -> None:
    kind = kinds.load("file")
    options = kind.options.model_validate({"path": "app.conf"}, context={"folder": tmp_path})
    channel = kind.make(ChannelSpec("reports", "file"), PAIR, options, Tuning())
    assert channel.name == "reports"
    assert str(tmp_path / "app.conf") in str(channel.route(Side.GREEN).describe())  # type: ignore[arg-type]


def test_loading_kinds_imports_no_driver() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from cockpit.systems import kinds\n"
        "[kinds.load(name) for name in kinds.kinds()]\n"
        "print([name for name in ('psycopg', 'aioboto3', 'botocore', 'aiohttp', 'asyncpg') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
