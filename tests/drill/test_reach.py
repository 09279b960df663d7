"""A direct app finds its server again: by a new address at once, by the same one only after a while, through torn files too."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import psycopg
import pytest

from cockpit.drill import reach
from cockpit.drill.fleet import fleet
from cockpit.drill.reach import Address, Finder, InFile

APP = fleet(15)[11]


class Fake:
    """Stands in for `connect`: answers at the addresses that are open."""

    def __init__(self, *open_ports: int) -> None:
        self.open = set(open_ports)
        self.tried: list[int] = []
        self.knocked = asyncio.Event()

    async def until(self, times: int) -> None:
        while len(self.tried) < times:
            self.knocked.clear()
            await self.knocked.wait()

    async def __call__(self, app: object, address: Address) -> object:
        self.tried.append(address.port)
        self.knocked.set()
        if address.port not in self.open:
            raise psycopg.OperationalError("refused")
        return object()


def told(file: Path, port: int) -> None:
    file.write_text(json.dumps({"host": "127.0.0.1", "port": port, "database": "arp"}), encoding="utf-8")


def torn(file: Path) -> None:
    file.write_text('{"host": "127.', encoding="utf-8")


def gone(file: Path) -> None:
    file.unlink()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    told(tmp_path / "address.json", 1)
    return tmp_path / "address.json"


@pytest.fixture
def finder(file: Path) -> Finder:
    return Finder(APP, InFile(file, "app", "word"), random.Random(1))


async def test_it_connects_where_the_file_says(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(1)
    monkeypatch.setattr(reach, "connect", fake)
    await finder.connection()
    assert (finder.address and finder.address.port, fake.tried) == (1, [1])


async def test_a_refused_address_is_left_when_the_file_names_another(finder: Finder, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(2)
    monkeypatch.setattr(reach, "connect", fake)
    looking = asyncio.create_task(finder.connection())
    await fake.until(1)
    told(file, 2)
    async with asyncio.timeout(5):
        await looking
    assert fake.tried == [1, 2]


async def test_a_refused_address_is_tried_again_after_a_while(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    monkeypatch.setattr(reach, "connect", fake)
    loop = asyncio.get_running_loop()
    start = loop.time()
    looking = asyncio.create_task(finder.connection())
    await fake.until(3)
    assert loop.time() - start >= 2 * reach.AGAIN_S[0]
    fake.open.add(1)
    async with asyncio.timeout(5):
        await looking


async def test_a_torn_or_missing_file_is_read_again(finder: Finder, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "connect", Fake(1))
    torn(file)
    looking = asyncio.create_task(finder.connection())
    await asyncio.sleep(0)
    gone(file)
    await asyncio.sleep(0)
    told(file, 1)
    async with asyncio.timeout(5):
        await looking


async def test_a_stale_refusal_does_not_undo_a_newer_address(finder: Finder, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "connect", Fake(2))
    told(file, 2)
    await finder.connection()
    finder.refused(Address("127.0.0.1", 1, "arp", "app", "word"))
    assert finder.address is not None
    assert finder.address.port == 2


async def test_workers_that_waited_for_one_anothers_look_connect_all_at_once(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = asyncio.Barrier(4)

    async def slow(app: object, address: Address) -> object:
        if finder.address is not None:
            # Passes only when all four who waited are connecting at the same time.
            await at_once.wait()
        return object()

    monkeypatch.setattr(reach, "connect", slow)
    async with asyncio.timeout(5):
        await asyncio.gather(*(finder.connection() for _ in range(5)))


async def test_a_password_is_in_no_representation() -> None:
    assert "word" not in repr(Address("h", 1, "d", "u", "word"))
    assert "word" not in repr(InFile(Path("x"), "u", "word"))
