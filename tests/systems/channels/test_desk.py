"""A file system that hangs: nothing else is held up, the outcome is said to be unknown, and nothing lands late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.errors import OutcomeUnknown, SystemFault
from cockpit.model.words import Side
from cockpit.systems import replacing
from cockpit.systems.pgbouncer import Address
from cockpit.systems.pgbouncer.routes import Routes

ADDRESSES = {Side.BLUE: Address(host="blue", port=1), Side.GREEN: Address(host="green", port=2)}


class Hang:
    """While it hangs, reading a file does not come back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        self.reached = threading.Event()
        read = replacing.read

        def slow(path: Path) -> bytes:
            if not self.free.is_set():
                self.reached.set()
            self.free.wait(20)
            return read(path)

        monkeypatch.setattr(replacing, "read", slow)


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hang]:
    made = Hang(monkeypatch)
    yield made
    made.free.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "databases.ini"
    path.write_text("arp = host=blue port=1 dbname=arp\n")
    return path


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def text(path: Path) -> str:
    return path.read_text()


def routes(path: Path, deadline_s: float = 0.05) -> Routes:
    return Routes(path, ("arp",), ADDRESSES, "arp", replacing.Desk("pgbouncer pool-1", deadline_s))


async def test_a_route_that_hangs_is_unknown_and_the_loop_goes_on(path: Path, hang: Hang) -> None:
    await routes(path, 30.0).stage()
    made = routes(path)
    hang.free.clear()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    for use in (made.put(Side.GREEN), made.names_side(Side.GREEN), made.stage()):
        with pytest.raises(OutcomeUnknown, match="pgbouncer pool-1"):
            await use
    ticking.cancel()
    assert ticks > 10
    hang.free.set()  # the loop waits for its threads before the fixtures' turn comes


async def test_what_was_given_up_never_lands_after_what_was_asked_later(path: Path, hang: Hang) -> None:
    made = routes(path, 0.5)
    await made.stage()
    hang.free.clear()
    reading = asyncio.create_task(made.names_side(Side.BLUE))
    assert await asyncio.to_thread(hang.reached.wait, 5)
    with pytest.raises(OutcomeUnknown):
        await made.put(Side.GREEN)
    back = asyncio.create_task(made.put(Side.BLUE))
    hang.free.set()
    await asyncio.gather(reading, back, return_exceptions=True)
    await made.put(Side.BLUE)
    assert "host=blue" in text(path)
    await made.close()


async def test_a_route_waits_for_the_staging_before_it_within_its_deadline(path: Path, hang: Hang) -> None:
    made = routes(path, 1.0)
    await made.stage()
    await made.put(Side.GREEN)
    hang.free.clear()
    await made.settle()
    assert await asyncio.to_thread(hang.reached.wait, 5)
    with pytest.raises(OutcomeUnknown):
        await made.put(Side.BLUE)
    hang.free.set()
    await made.put(Side.BLUE)
    assert "host=blue" in text(path)
    await made.close()
    assert names(path.parent) == [path.name]


async def test_what_the_work_raises_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(SystemFault):
        await routes(tmp_path / "not there", 5).put(Side.GREEN)
