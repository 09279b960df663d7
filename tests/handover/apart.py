"""An ungraceful rollback: green has what blue has not, or is dead, and blue takes over without it."""

from __future__ import annotations

import asyncio

from cockpit.model.bill import phrase
from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld
from tests.handover.crashed import bury
from tests.handover.harness import Seat

WORDS = phrase("arp")
TAIL = ("apply fence blue off", "apply resume*", "apply keep no log on blue")
"""Calls behind the point of no return."""
WINDOW = ("apply route channel* to blue", "apply pause*", "apply part blue*", "apply sequences*", "apply route pooler* to blue")
"""Calls before it."""


def world(**changes: object) -> MemoryWorld:
    """Apps that write often enough for green to have soon what blue has not."""
    return MemoryWorld(**{"seed": 31, "apps": 4, "poolers": 2, "channels": 1, "rate": 4.0} | changes)  # type: ignore[arg-type]


async def on_green(seat: Seat, *, ahead_s: float = 0.0, dead: bool = False) -> None:
    """Green serves; the mirror held up for `ahead_s` what green has and blue has not; and it may be `dead` now."""
    await seat.cut_over()
    await asyncio.sleep(5)
    if ahead_s:
        seat.memory.cluster.streams[Side.GREEN].stalled = True
        await asyncio.sleep(ahead_s)
    if dead:
        seat.memory.cluster.nodes[Side.GREEN].crash()
        await asyncio.sleep(1)


async def arm_force(seat: Seat) -> None:
    """Asks for it, and reads the bill; the phrase is not typed yet."""
    assert (await seat.ask(Ask.FORCE)).ok, seat.tail()
    await seat.until(lambda s: s.mode is Mode.ARMED)


async def forced(seat: Seat) -> Outcome:
    """Asks for it, reads the bill, types the phrase, and waits until it is closed."""
    number = len(seat.state.past)
    assert (await seat.ask(Ask.FORCE)).ok, seat.tail()
    await seat.until(lambda s: s.mode is Mode.ARMED or len(s.past) > number)
    if len(seat.state.past) == number:
        assert (await seat.ask(Ask.GO, WORDS)).ok, seat.tail()
    return await seat.landed(number)


async def parted(seat: Seat, *, ahead_s: float = 0.0, dead: bool = False) -> None:
    """Blue has taken over from green, as `on_green` has it."""
    await on_green(seat, ahead_s=ahead_s, dead=dead)
    assert await forced(seat) is Outcome.DONE, seat.tail()


async def die_forced(memory: MemoryWorld, seat: Seat, call: str, *, green_dead: bool) -> None:
    """The pilot of an ungraceful rollback is killed at its first `call`."""
    await on_green(seat, ahead_s=2, dead=green_dead)
    await arm_force(seat)
    fault = memory.faults.add(call, "hang")
    assert (await seat.ask(Ask.GO, WORDS)).ok
    await seat.until(lambda s: bool(fault.seen))
    bury(memory, seat)


def follows(memory: MemoryWorld) -> list[str]:
    """Which side still follows the other, or could when the other comes back."""
    return [f"{side.other} follows {side}" for side, stream in memory.cluster.streams.items() if stream.enabled]
