"""A pilot that died in a flight, the guardian that has the pair from there, and the pilot that takes the run up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cockpit.handover.guardian import Guardian
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.state import RunState, replay
from cockpit.model.words import Mode
from cockpit.systems.memory import Faults, MemoryWorld
from cockpit.timeline.journal import read
from tests.handover.harness import Seat, quick_scenario, seated

BEFORE = (
    "apply route channel*",
    "reconciler.catch_up",
    "apply pause*",
    "apply fence blue on",
    "apply quiesce blue",
    "apply drain*",
    "reconciler.verify_changed",
    "apply sequences*",
    "apply route pooler*",
)
"""Calls of a cutover before its return."""
AFTER = ("apply fence green off", "apply resume*")
"""Calls of a cutover behind its return."""
KILLED = "the pilot was killed by signal 9"
LOOKED_S = 5.0
"""Seconds within which a run that is taken up shows what is so."""


class Dead:
    """A pilot's process that was killed, or that ended with another code."""

    pid = 1

    def __init__(self, returncode: int = -9) -> None:
        self.returncode = returncode


async def die_at(memory: MemoryWorld, seat: Seat, call: str, kind: str) -> None:
    """The pilot stands still at its first `call` for ever, its timeline unlocked, as a killed process leaves it."""
    await seat.armed()
    await seat.go_into(memory.faults.add(call, kind))
    bury(memory, seat)


def bury(memory: MemoryWorld, seat: Seat) -> None:
    """The pilot touches nothing any more, and its timeline is free; the world's next user has troubles of its own."""
    memory.faults.clear()
    memory.faults.add("*", "hang", times=0)
    memory.faults = Faults()
    seat.journal.close()


async def gone(seat: Seat) -> None:
    """Nothing of the pilot runs any more."""
    seat.task.cancel()
    await asyncio.gather(seat.task, return_exceptions=True)


@asynccontextmanager
async def killed(memory: MemoryWorld, folder: Path, call: str, kind: str = "hang") -> AsyncIterator[Seat]:
    """A pilot that was killed at the first `call` of its cutover; the world goes on while the block does."""
    async with memory:
        seat = Seat(memory, folder, quick_scenario())
        await die_at(memory, seat, call, kind)
        yield seat


def looked_at(memory: MemoryWorld, seconds: float) -> None:
    """Another cockpit got the pair's lock, which is free: it looks for so long, sits down nowhere, and leaves."""

    def leave() -> None:
        memory.cluster.owner = ""

    memory.cluster.owner = "ben@there pid 9"
    asyncio.get_running_loop().call_later(seconds, leave)


def owner(pid: int) -> str:
    return f"ana@bastion pid {pid}"


def guardian_of(memory: MemoryWorld, seat: Seat) -> Guardian:
    """A guardian that heard every stage."""
    guardian = Guardian(memory.world(), seat.timeline, 300.0, owner, seat.seat)
    for stage, direction in seat.watched.stages:
        guardian._enter(stage, direction)
    return guardian


async def take_over(memory: MemoryWorld, seat: Seat, returncode: int = -9, why: str = KILLED) -> int:
    """The exit code of the guardian; its process is gone then, and the timeline free."""
    guardian, taken = guardian_of(memory, seat), []
    take = guardian._take_timeline

    def noted() -> tuple[RunState, Recorder]:
        taken.append(take())
        return taken[-1]

    guardian._take_timeline = noted  # type: ignore[method-assign]
    try:
        return await guardian._after(Dead(returncode), why)  # type: ignore[arg-type]
    finally:
        for _, recorder in taken:
            recorder.let_go()


@asynccontextmanager
async def taking_up(memory: MemoryWorld, first: Seat, folder: Path) -> AsyncIterator[Seat]:
    """The pilot that takes the run of a dead one up, from its first moment; it has ended afterwards."""
    await gone(first)
    async with seated(memory, folder) as seat:
        yield seat


@asynccontextmanager
async def taken_up(memory: MemoryWorld, first: Seat, folder: Path) -> AsyncIterator[Seat]:
    """The pilot that took the run of a dead one up, having looked, and in time."""
    began = asyncio.get_running_loop().time()
    async with taking_up(memory, first, folder) as seat:
        await seat.until(lambda s: s.mode in {Mode.STUCK, Mode.READY})
        assert asyncio.get_running_loop().time() - began < LOOKED_S or seat.state.mode is Mode.READY
        yield seat


@asynccontextmanager
async def left(folder: Path, call: str, kind: str = "hang", **world: object) -> AsyncIterator[tuple[MemoryWorld, Seat]]:
    """A run whose pilot was killed at `call`, with nobody left to bring it home, and the pilot that took it up, having looked."""
    memory = MemoryWorld(**{"seed": 21, "apps": 4, "poolers": 2, "channels": 1, "rate": 2.0} | world)  # type: ignore[arg-type]
    async with killed(memory, folder, call, kind) as first, taken_up(memory, first, folder) as seat:
        yield memory, seat


def kept(seat: Seat) -> RunState:
    """The run as its timeline has it, whoever wrote there."""
    return replay(read(seat.timeline).events)


def since_taken_up(seat: Seat) -> list[ev.Event]:
    """What the timeline says since the run was taken up last."""
    events = read(seat.timeline).events
    start = max(e.seq for e in events if isinstance(e.fact, ev.RunTakenUp))
    return [e for e in events if e.seq > start]


def picture(memory: MemoryWorld) -> list[object]:
    """What a pilot could have touched."""
    return [
        [(node.fenced, node.fence_kept) for node in memory.cluster.nodes.values()],
        [(pooler.paused, pooler.pausing, pooler.side, pooler.loaded) for pooler in memory.poolers],
        [channel.side for channel in memory.channels],
    ]
