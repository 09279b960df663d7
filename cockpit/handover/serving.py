"""Which side serves, from what can be seen; and who still goes to a side that is about to be fenced.

Four witnesses speak: the fences, the poolers, the channels, the sessions of the configured apps. Each names a side or says nothing (it
sees neither, or both); where two disagree nobody guesses, for arming fences the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cockpit.errors import CockpitError, StepError
from cockpit.handover.ports import Action, Probe, World
from cockpit.handover.record import in_words
from cockpit.handover.routing import belongs
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.settings import PairSpec
from cockpit.model.text import plain
from cockpit.model.words import Known, Side

SEEN_S = 2.5
"""Seconds a kind of witness has to speak."""
SHOWN = 3
"""How many names of a kind are said."""


@dataclass(frozen=True, slots=True)
class Witness:
    """What one kind of evidence says."""

    what: str
    says: Side | None
    seen: str


async def who_serves(world: World, spec: PairSpec) -> tuple[Side, dict[str, object]]:
    """The side that every witness who speaks names, and what each saw; `StepError` with the evidence where they disagree or none speaks."""
    fences, poolers, channels, sessions = await asyncio.gather(_fences(world), _poolers(world), _channels(world), _sessions(world, spec))
    witnesses = (fences, _lead("poolers", poolers), _lead("channels", channels), _lead("sessions", sessions))
    said = {witness.says for witness in witnesses if witness.says is not None}
    if len(said) != 1:
        raise StepError(
            f"cannot tell which side serves: {'; '.join(f'{w.what}: {w.seen}' for w in witnesses)}",
            where="opening",
            remedy="bring poolers, channels and fences to the side that is to serve, then open a new run",
        )
    return said.pop(), {witness.what: witness.seen for witness in witnesses}


async def seems_to_serve(world: World, spec: PairSpec) -> tuple[Side, CockpitError | None]:
    """For looking, never for doing: the side that is named by whoever can be asked, system by system; blue where they name none or
    disagree, with what is wrong."""
    poolers = [_poolers(replace(world, poolers=(one,))) for one in world.poolers]
    channels = [_channels(replace(world, channels=(one,))) for one in world.channels]
    asked = await asyncio.gather(_fences(world), _sessions(world, spec), *poolers, *channels, return_exceptions=True)
    for failed in asked:
        if isinstance(failed, StepError):
            return Side.BLUE, failed
        if isinstance(failed, BaseException) and not isinstance(failed, CockpitError):
            raise failed
    fences, sessions, *others = asked
    kinds = [sessions], others[: len(poolers)], others[len(poolers) :]
    said = {fences.says if isinstance(fences, Witness) else None, *(_lead("", _together(kind)).says for kind in kinds)} - {None}
    if len(said) == 1:
        return next(side for side in said if side is not None), None
    seen = "; ".join(f"{what}: {how}" for what, how in (await what_is_seen(world, spec)).items())
    remedy = "bring poolers, channels and fences to the side that is to serve"
    return Side.BLUE, StepError(f"cannot tell which side serves, looked at as if blue did: {seen}", where="serving", remedy=remedy)


def _together(answers: Iterable[object]) -> Named:
    named: Named = {}
    for answer in answers:
        for side, names in answer.items() if isinstance(answer, dict) else ():
            named.setdefault(side, []).extend(names)
    return named


async def what_is_seen(world: World, spec: PairSpec) -> dict[str, object]:
    """What each witness sees, whatever they agree on; what cannot be asked says why. For a handover that was left half way."""

    async def told(what: str, ask: Coroutine[Any, Any, Witness | Named]) -> str:
        try:
            async with asyncio.timeout(SEEN_S):
                seen = await ask
        except Exception as err:
            return f"not seen: {in_words(err)}"
        return seen.seen if isinstance(seen, Witness) else _lead(what, seen).seen

    asked: Mapping[str, Coroutine[Any, Any, Witness | Named]] = {
        "fences": _fences_as_seen(world), "poolers": _poolers(world), "channels": _channels(world), "sessions": _sessions(world, spec)
    }  # fmt: skip
    seen = await asyncio.gather(*(told(what, ask) for what, ask in asked.items()))
    return dict(zip(asked, seen, strict=True))


async def _fences_as_seen(world: World) -> Witness:
    kept = {side: _fence_of(await world.servers.fence(side, on=True).probe()) for side in Side}
    return Witness("fences", None, ", ".join(f"{side} {how or 'is open'}" for side, how in kept.items()))


async def _fences(world: World) -> Witness:
    """A side with a fence does not serve, also where the fence is no longer whole: its ledger row, or read-only sessions, is enough."""
    probes = {side: await world.servers.fence(side, on=True).probe() for side in Side}
    kept = {side: _fence_of(probe) for side, probe in probes.items()}
    if all(kept.values()):
        raise StepError(
            f"cannot tell which side serves: both sides are fenced ({', '.join(f'{side}: {how}' for side, how in kept.items())})",
            where="opening",
            remedy="a handover was interrupted: `cockpit runs` shows the run it was left in, `cockpit join` takes that up again",
        )
    fenced = [side for side, how in kept.items() if how]
    seen = f"{fenced[0]} {kept[fenced[0]]}" if fenced else "no side is fenced"
    return Witness("fences", fenced[0].other if fenced else None, seen)


def _fence_of(probe: Probe) -> str:
    """What is there of a fence; empty when nothing is."""
    if probe.known is Known.DONE:
        return "fenced"
    parts = [name for name in ("fenced_since", "read_only") if probe.evidence.get(name)]
    return f"fenced in part ({', '.join(parts)})" if parts else ""


Named = dict[Side, list[str]]
"""By side, the names of what leads there or is there."""


async def _poolers(world: World) -> Named:
    samples = await asyncio.gather(*(pooler.sample() for pooler in world.poolers))
    return _by_side((sample.pooler, sample.routes_to) for sample in samples)


async def _channels(world: World) -> Named:
    sides = await asyncio.gather(*(channel.intended() for channel in world.channels))
    return _by_side((channel.name, side) for channel, side in zip(world.channels, sides, strict=True))


async def _sessions(world: World, spec: PairSpec, sides: Sequence[Side] = tuple(Side)) -> Named:
    sessions = [session for found in await asyncio.gather(*map(world.servers.census, sides)) for session in found]
    apps = ((plain(app.name), side, app) for side in sides for app in spec.apps)
    return _by_side((name, side) for name, side, app in apps if any(s.side is side and belongs(app, s) for s in sessions))


def _by_side(where: Iterable[tuple[str, Side | None]]) -> Named:
    names: Named = {}
    for name, side in where:
        if side is not None:
            names.setdefault(side, []).append(name)
    return names


def _lead(what: str, names: Named) -> Witness:
    seen = ", ".join(f"{_some(names[side])} on {side}" for side in Side if side in names)
    return Witness(what, next(iter(names)) if len(names) == 1 else None, seen or "on neither side")


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@dataclass(frozen=True, slots=True)
class FenceOfTheIdle:
    """The fence of a side that no app goes to. Where one still does, the side may be serving: it is not fenced, and who goes there is named."""

    world: World
    spec: PairSpec
    side: Side

    @property
    def fence(self) -> Action:
        return self.world.servers.fence(self.side, on=True)

    @property
    def name(self) -> str:
        return self.fence.name

    def describe(self) -> tuple[Statement, ...]:
        look = f"only where no pooler and no channel leads to {self.side}, and no configured app has a session there:"
        return (Statement(self.side, f"-- {look}"), *self.fence.describe())

    async def probe(self) -> Probe:
        return await self.fence.probe()

    async def apply(self) -> Evidence:
        there = await self._going_there()
        if there:
            raise StepError(
                f"{self.side} is not idle: {'; '.join(there)}",
                where=self.name,
                remedy=f"find out whether {self.side} serves; lead them to {self.side.other}, then arm again",
            )
        return await self.fence.apply()

    async def _going_there(self) -> list[str]:
        poolers, channels, apps = await asyncio.gather(
            _poolers(self.world), _channels(self.world), _sessions(self.world, self.spec, (self.side,))
        )
        named = {"poolers lead there": poolers, "channels lead there": channels, "apps have sessions there": apps}
        return [f"{what}: {_some(names[self.side])}" for what, names in named.items() if self.side in names]
