"""The way home: converge to "the side it started from serves". Used by the pilot's abort and by the guardian alike.

It must work with a full disk (an intent that cannot be recorded does not hold it up) and with a system that does not answer (the
rest goes on, what stays open is named). Channels are routed back beside the unfence: an app whose channel still names the fenced
target is dark for a moment, which is safe, while waiting for a slow cloud would keep every other app dark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cockpit.errors import CockpitError, JournalError
from cockpit.handover.actions import Together
from cockpit.handover.ports import Action, World
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.words import Direction, Known

TRY_S = 5.0
"""Seconds one try of one action may take."""
PAUSE_S = 0.2


async def go_home(world: World, direction: Direction, recorder: Recorder, within_s: float) -> tuple[str, ...]:
    """What stays open, in words; empty when the origin serves, fenced nowhere, routed to and resumed.

    Ends within about `within_s` seconds. Never raises for a system's sake."""
    origin, target = direction.origin, direction.target
    until = asyncio.get_running_loop().time() + within_s
    way = _Way(recorder, until)
    fenced = await way.reach(world.servers.fence(target, on=True), once=True)
    channels = tuple(channel.route(origin) for channel in world.channels)
    routed, serving = await asyncio.gather(
        way.reach(Together(f"route every channel to {origin}", channels)) if channels else _nothing(),
        _reopen(world, direction, way),
    )
    return tuple(open_end for open_end in (*fenced, *routed, *serving) if open_end)


async def _nothing() -> tuple[str, ...]:
    return ()


async def _reopen(world: World, direction: Direction, way: _Way) -> tuple[str, ...]:
    """The origin is unfenced, then poolers lead there and flow. They flow even when the rest failed: nothing stays paused."""
    open_ends = await way.reach(world.servers.fence(direction.origin, on=False))
    for pooler in world.poolers:
        open_ends += await way.reach(pooler.route(direction.origin))
        open_ends += await way.reach(pooler.resume())
    return open_ends


class _Way:
    """Tries until a time, records what it can."""

    def __init__(self, recorder: Recorder, until: float) -> None:
        self._recorder = recorder
        self._until = until

    async def reach(self, action: Action, *, once: bool = False) -> tuple[str, ...]:
        """Empty when the action is seen to be so; else its name and why, after the last try."""
        loop = asyncio.get_running_loop()
        why = ""
        while not why or (not once and loop.time() < self._until):
            if why:
                await asyncio.sleep(PAUSE_S)
            why = await self._try(action)
            if not why:
                return ()
        self._recorder.try_record(ev.AlarmRaised(f"open: {action.name}", f"{action.name}: {why}", remedy="do it by hand, then resume"))
        return (f"{action.name}: {why}",)

    async def _try(self, action: Action) -> str:
        started = asyncio.get_running_loop().time()
        self._recorder.try_record(ev.ActionIntended(action.name, action.describe()))
        try:
            async with asyncio.timeout(TRY_S):
                evidence = await action.apply()
                probe = await action.probe()
        except TimeoutError:
            return self._missed(action, started, f"no answer within {TRY_S:g} s", unknown=True)
        except JournalError:
            raise
        except CockpitError as err:
            return self._missed(action, started, err.brief, unknown=False)
        if probe.known is not Known.DONE:
            return self._missed(action, started, f"applied, but it shows {dict(probe.evidence)}", unknown=False)
        self._recorder.try_record(ev.ActionDone(action.name, _ms(started), {**evidence, "seen": dict(probe.evidence)}))
        return ""

    def _missed(self, action: Action, started: float, why: str, *, unknown: bool) -> str:
        self._recorder.try_record(ev.ActionFailed(action.name, _ms(started), why, unknown=unknown))
        return why


def _ms(started: float) -> float:
    return round((asyncio.get_running_loop().time() - started) * 1000, 3)


def describe_home(actions: Sequence[Action]) -> tuple[str, ...]:
    """The names of the desired states, in order, for the plan."""
    return tuple(action.name for action in actions)
