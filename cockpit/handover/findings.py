"""What preflight finds: of a pair that a pilot has opened, and of one that nobody flies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cockpit.errors import CockpitError, LinkError
from cockpit.handover import business
from cockpit.handover.ports import Channel, Pooler, World
from cockpit.handover.procedure import WINDOW
from cockpit.handover.serving import seems_to_serve
from cockpit.model import events as ev
from cockpit.model.settings import PairSpec, Scenario
from cockpit.model.text import plain
from cockpit.model.words import Severity, Side

Rehearsed = Callable[[], ev.FindingSeen]
"""Whether what is to be flown was rehearsed; reads files, so it is called beside the loop."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a preflight found, and the facts beside the findings: the business checks as read, and in what else both sides differ."""

    findings: tuple[ev.FindingSeen, ...]
    checks: tuple[ev.CheckRead, ...] = ()
    beside: ev.ParityRead | None = None

    @property
    def facts(self) -> tuple[ev.FindingSeen | ev.ParityRead, ...]:
        return (*self.findings, *((self.beside,) if self.beside else ()))


async def look_alone(world: World, spec: PairSpec, scenario: Scenario, rehearsed: Rehearsed | None = None) -> tuple[ev.FindingSeen, ...]:
    """Every finding of a world that is opened for it. A pooler or a channel that is not as it should be is a finding, while all others are
    looked at; `LinkError` only for servers that cannot be reached, a line each."""
    await _open_both(world)
    unopened = await _unopened(world)
    serving, unsure = await seems_to_serve(world, spec)
    await world.reconciler.open(serving)
    found = (await look(world, spec, serving, scenario, rehearsed)).findings
    told = {finding.object for finding in found if finding.severity is Severity.BLOCK}
    doubts = (blocked("P7", "serving", unsure),) if unsure is not None else ()
    return (*doubts, *(finding for finding in unopened if finding.object not in told), *found)


async def _open_both(world: World) -> None:
    try:
        await world.servers.open()
    except LinkError as err:
        raise LinkError("\n".join((str(err), *getattr(err, "__notes__", ())))) from None


async def _unopened(world: World) -> list[ev.FindingSeen]:
    """Every pooler and channel is open, but those that are told of."""
    ends: list[tuple[str, Pooler | Channel]] = [
        *(("P5", pooler) for pooler in world.poolers),
        *(("P8", channel) for channel in world.channels),
    ]
    outcomes = await asyncio.gather(*(end.open() for _, end in ends), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, CockpitError):
            raise outcome
    failed = zip(ends, outcomes, strict=True)
    return [blocked(check, end.name, outcome) for (check, end), outcome in failed if isinstance(outcome, CockpitError)]


async def look(world: World, spec: PairSpec, serving: Side, scenario: Scenario, rehearsed: Rehearsed | None = None) -> Looked:
    """Every finding of every system, in the systems' order, then the business checks and whether it was rehearsed. Changes nothing."""
    checks, found = await asyncio.gather(business.preflight(world), _of_systems(world, serving, scenario))
    told = () if rehearsed is None else (await asyncio.to_thread(rehearsed),)
    parity = world.reconciler.seen_beside()
    return Looked((*found, *business.findings(checks, spec.waivers), *told), checks, business.beside(parity) if parity else None)


async def _of_systems(world: World, serving: Side, scenario: Scenario) -> tuple[ev.FindingSeen, ...]:
    window = sum(scenario.steps[step].planned for step in WINDOW)
    found = await asyncio.gather(
        world.servers.preflight(serving),
        world.reconciler.preflight(),
        *(_or_blocks("P5", pooler.name, pooler.preflight(window)) for pooler in world.poolers),
        *(_or_blocks("P8", channel.name, channel.preflight()) for channel in world.channels),
    )
    return tuple(finding for findings in found for finding in findings)


async def _or_blocks(check: str, name: str, findings: Awaitable[tuple[ev.FindingSeen, ...]]) -> tuple[ev.FindingSeen, ...]:
    """The findings of a pooler or a channel; one that could not be asked is a finding itself, while all others are looked at."""
    try:
        return await findings
    except CockpitError as err:
        return (blocked(check, name, err),)


def blocked(check: str, name: str, err: CockpitError) -> ev.FindingSeen:
    """A system's own error as a finding."""
    remedy = err.remedy or f"see that {name} answers as the config says"
    return ev.FindingSeen(check, plain(name, 200), Severity.BLOCK, plain(err.brief, 400), "", plain(remedy, 400))


def summary(findings: tuple[ev.FindingSeen, ...]) -> ev.PreflightDone:
    """How many findings block, warn, are good, are waived."""
    blocks = sum(f.severity is Severity.BLOCK and not f.waived for f in findings)
    warnings = sum(f.severity is Severity.WARN and not f.waived for f in findings)
    return ev.PreflightDone(blocks, warnings, sum(f.severity is Severity.GOOD for f in findings), sum(bool(f.waived) for f in findings))
