"""A handover written by hand against the ports, in the order of the procedure, with steps that a test may leave out."""

from __future__ import annotations

import asyncio

from cockpit.handover.ports import Action, World
from cockpit.model.words import Side
from cockpit.systems.memory import MemoryWorld


async def arm(world: World, serving: Side) -> None:
    await world.servers.open()
    for part in (*world.poolers, *world.channels):
        await part.open()
    for side in Side:
        await world.servers.install(side).apply()
    await world.servers.fence(serving.other, on=True).apply()
    for origin in (serving, serving.other):
        await world.servers.replicate(origin, origin.other, copy=origin is serving).apply()
        await world.servers.canary(origin, origin.other).apply()


def steps(world: World, origin: Side) -> list[tuple[str, list[Action]]]:
    target, servers = origin.other, world.servers
    return [
        ("pause", [p.pause() for p in world.poolers]),
        ("fence", [servers.fence(origin, on=True)]),
        ("quiesce", [servers.quiesce(origin)]),
        ("drain", [servers.drain(origin, target)]),
        ("sequences", [servers.sequences(origin, target)]),
        ("route", [p.route(target) for p in world.poolers] + [c.route(target) for c in world.channels]),
        ("unfence", [servers.fence(target, on=False)]),
        ("resume", [p.resume() for p in world.poolers]),
    ]


async def handover(world: World, origin: Side, *, without: tuple[str, ...] = ()) -> None:
    for name, actions in steps(world, origin):
        if name not in without:
            for action in actions:
                await action.apply()


async def fly(memory: MemoryWorld, *, legs: int = 1, without: tuple[str, ...] = (), soak_s: float = 1.0) -> None:
    """`legs` handovers there and back under load; settled at the end."""
    world = memory.world()
    async with memory:
        await arm(world, Side.BLUE)
        for leg in range(legs):
            await asyncio.sleep(soak_s)
            await handover(world, Side.BLUE if leg % 2 == 0 else Side.GREEN, without=without)
        await asyncio.sleep(soak_s)
        await memory.settle()
