"""A run folder that was copied: another cockpit takes the copy up and flies it, and the first one does not know."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld
from tests.handover.crashed import killed
from tests.handover.harness import Seat, seated, whole


@asynccontextmanager
async def copy_taken_up(memory: MemoryWorld, folder: Path) -> AsyncIterator[Seat]:
    """The pilot that took up a copy of the folder, having looked; it has ended afterwards."""
    copy = folder / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("copy", "*.sock"))
    memory.cluster.owner = ""  # the servers ended the first one's sessions
    async with seated(memory, copy) as other:
        await other.until(lambda s: s.mode is Mode.STUCK)
        yield other


async def another_flies(memory: MemoryWorld, folder: Path) -> None:
    """The run, copied elsewhere, was taken up, flown to its end and closed: green serves, and nobody holds the lock."""
    async with copy_taken_up(memory, folder) as other:
        assert (await other.ask(Ask.RESUME, "arp")).ok
        await other.ready()
        assert other.state.past[-1].outcome is Outcome.DONE
    assert memory.cluster.owner == ""
    assert memory.serving is Side.GREEN


@asynccontextmanager
async def superseded(memory: MemoryWorld, folder: Path, call: str) -> AsyncIterator[Seat]:
    """A pilot that was killed at the first `call` of its cutover, and whose run was flown elsewhere since."""
    async with killed(memory, folder, call) as seat:
        await another_flies(memory, folder)
        yield seat


@asynccontextmanager
async def first_again(memory: MemoryWorld, folder: Path) -> AsyncIterator[Seat]:
    """The pilot that takes the first folder up again, having looked; it has ended afterwards."""
    async with seated(memory, folder) as seat:
        await seat.until(lambda s: s.mode is Mode.STUCK)
        yield seat


async def undisturbed(memory: MemoryWorld) -> None:
    """Green serves as the other one left it, and nothing is lost."""
    await whole(memory, Side.GREEN)
