"""How a process leaves: what keeps the run open without the lead's word, and every connection closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cockpit.handover.ports import World
from cockpit.model.state import RunState

CLOSE_S = 5.0


def stays_open(state: RunState, why: str) -> str:
    """What stays open of the run when its pilot ends, which it does because of `why`; empty where nothing does."""
    left = state.half_way
    if left is not None:
        return f"{why}: {left.direction} {left.number} stays half way"
    if state.at_large is None:
        return ""
    return f"{why}: {state.at_large} was left and is not shut out, the next pilot does it. Open: {'; '.join(state.open_words)}"


async def close(world: World) -> None:
    """Every connection is closed; what does not close within `CLOSE_S` is left to the end of the process."""
    ends = [world.reconciler.close, world.servers.close, *(p.close for p in world.poolers), *(c.close for c in world.channels)]
    await asyncio.gather(*(_closed(end) for end in ends), return_exceptions=True)


async def _closed(end: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(CLOSE_S):
        await end()
