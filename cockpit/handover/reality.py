"""What the world shows of every step of a handover, whatever the timeline has of it: for a run that a crash left half way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cockpit.handover.ports import Action, Probe, World
from cockpit.handover.procedure import Step
from cockpit.handover.record import in_words
from cockpit.model import events as ev
from cockpit.model.words import Direction, Known

LOOK_S = 2.5
"""Seconds in which every system must have said what is so."""


async def look(steps: Iterable[Step]) -> list[ev.StepFound]:
    """What is so of every step that acts, within `LOOK_S` of now; what does not answer is unknown. Nothing is touched."""
    until = asyncio.get_running_loop().time() + LOOK_S
    return await asyncio.gather(*(_look_at(step, until) for step in steps if step.doings))


async def target_took_over(world: World, direction: Direction) -> bool:
    """The world shows what no handover leaves before its return: the target is open and the origin fenced. Its writes may count."""
    origin, target = (world.servers.fence(side, on=True) for side in (direction.origin, direction.target))
    try:
        async with asyncio.timeout(LOOK_S):
            seen = await asyncio.gather(origin.probe(), target.probe())
    except Exception:
        return False  # a side that does not answer is no sign of it; what is done next meets what is wrong
    return [probe.known for probe in seen] == [Known.DONE, Known.PENDING]


async def _look_at(step: Step, until: float) -> ev.StepFound:
    """Judged by what the step itself would look for, where there is such: a canary is sent, not found."""
    seen = await asyncio.gather(*(_seen(doing.action, until) for doing in step.doings))
    probes = list(zip(step.doings, seen, strict=True))
    lasting = [probe.known for doing, probe in probes if doing.find] or [probe.known for _, probe in probes]
    known = next((k for k in (Known.UNKNOWN, Known.PENDING) if k in lasting), Known.DONE)
    return ev.StepFound(step.id, known, {doing.action.name: {"known": probe.known, **probe.evidence} for doing, probe in probes})


async def _seen(action: Action, until: float) -> Probe:
    try:
        async with asyncio.timeout_at(until):
            return await action.probe()
    except Exception as err:
        return Probe(Known.UNKNOWN, {"why": in_words(err)})
