"""What the world shows of every step of a handover, whatever the timeline has of it: for a run that a crash left half way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cockpit.handover.ports import Action, Probe
from cockpit.handover.procedure import Step
from cockpit.handover.record import in_words
from cockpit.model import events as ev
from cockpit.model.words import Known

LOOK_S = 2.5
"""Seconds in which a system must say what is so."""


async def look(steps: Iterable[Step]) -> list[ev.StepFound]:
    """What is so of every step that acts, within about `LOOK_S`; what does not answer is unknown. Nothing is touched."""
    return await asyncio.gather(*(_look_at(step) for step in steps if step.doings))


async def _look_at(step: Step) -> ev.StepFound:
    """Judged by what the step itself would look for, where there is such: a canary is sent, not found."""
    probes = [(doing, await _seen(doing.action)) for doing in step.doings]
    lasting = [probe.known for doing, probe in probes if doing.find] or [probe.known for _, probe in probes]
    known = next((k for k in (Known.UNKNOWN, Known.PENDING) if k in lasting), Known.DONE)
    return ev.StepFound(step.id, known, {doing.action.name: {"known": probe.known, **probe.evidence} for doing, probe in probes})


async def _seen(action: Action) -> Probe:
    try:
        async with asyncio.timeout(LOOK_S):
            return await action.probe()
    except Exception as err:
        return Probe(Known.UNKNOWN, {"why": in_words(err)})
