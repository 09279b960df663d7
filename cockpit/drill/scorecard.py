"""The scorecard: what the apps felt of each handover, and whether the data came through, as one JSON object.

Lost: acknowledged to an app, absent from the side that serves in the end. Duplicated: there more than once. Overlap: how long,
at least, both sides took writes: from an acknowledgement by the new side to the last COMMIT sent that the old side took after it.
A write belongs to the handover before whose successor it was acknowledged; writes before the first belong to the first.
"""

from __future__ import annotations

import asyncio
import bisect
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cockpit.drill import evidence
from cockpit.drill.fleet import App, Path
from cockpit.drill.ledger import Ack, Felt, quantile
from cockpit.model.state import HandoverView
from cockpit.model.words import Outcome, Side, StepState

if TYPE_CHECKING:
    from cockpit.drill.rig import Rig


@dataclass(frozen=True, slots=True)
class Flown:
    """A handover that was flown, and what each app felt of it."""

    view: HandoverView
    felt: Mapping[str, Felt]


@dataclass(frozen=True, slots=True)
class Stall:
    """Over the pooled apps' longest waits, in milliseconds."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class AppCard:
    name: str
    channel: str
    stall_ms: float
    errors: int
    lost: int
    duplicated: int
    breaks: int
    """Connections that a direct app lost and made again."""


@dataclass(frozen=True, slots=True)
class StepCard:
    id: str
    ms: float


@dataclass(frozen=True, slots=True)
class HandoverCard:
    direction: str
    outcome: str
    seconds: float
    downtime_ms: float | None
    stall_ms: Stall
    errors: int
    lost: int
    duplicated: int
    overlap_ms: float
    steps: tuple[StepCard, ...]
    apps: tuple[AppCard, ...]


@dataclass(frozen=True, slots=True)
class FaultCard:
    """The fault that the drill was flown under. Which handover it struck is forgiven how it ended and what its apps heard, nothing else."""

    name: str
    what: str
    struck_in: str
    """Mode and step; empty when it never struck."""
    handover: int | None
    """The number of the handover that was in the air, from 1."""
    handled: str
    safe_s: float | None
    """From the strike until the last write that it held up was answered."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The whole drill. `verdict` is `pass` or `fail`; `why` names what failed."""

    verdict: str
    why: tuple[str, ...]
    handovers: tuple[HandoverCard, ...]
    sides_equal: bool
    differing: tuple[str, ...]
    sums: Mapping[str, Mapping[str, int]]
    rig: Mapping[str, Any]
    fault: FaultCard | None = None

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found after the drill."""

    acks: Mapping[str, Sequence[Ack]]
    written: Mapping[UUID, int]
    """How often each op_id is on the side that serves."""
    blue: Mapping[str, evidence.Sum]
    green: Mapping[str, evidence.Sum]


async def scorecard(rig: Rig, flown: Sequence[Flown], fault: FaultCard | None = None, serving: Side | None = None) -> Scorecard:
    """The apps are stopped, both sides are at rest, and judged. `serving`: where the run says more than its handovers do."""
    assert rig.site is not None
    await rig.control.stop()
    servers = {Side.BLUE: rig.site.blue, Side.GREEN: rig.site.green}
    serving = serving or serving_after(flown)
    await evidence.caught_up(servers[serving].superuser)
    blue, green, written, acks = await asyncio.gather(
        evidence.sums(servers[Side.BLUE].superuser),
        evidence.sums(servers[Side.GREEN].superuser),
        evidence.written(servers[serving].superuser),
        asyncio.to_thread(evidence.acknowledged, rig.folder, rig.site.apps),
    )
    return judge(flown, Facts(acks, written, blue, green), rig.site.apps, rig.described(), fault)


def serving_after(flown: Sequence[Flown]) -> Side:
    """The side that serves when all these handovers are over; blue where there was none."""
    serving = Side.BLUE
    for each in flown:
        direction = each.view.direction
        # A handover that got stuck past the point of no return has left the new side serving.
        serving = direction.target if each.view.past_return else direction.origin
    return serving


def judge(flown: Sequence[Flown], facts: Facts, apps: Sequence[App], rig: Mapping[str, Any], fault: FaultCard | None = None) -> Scorecard:
    """The scorecard of these facts."""
    starts = [each.view.opened_mono for each in flown]
    periods = {name: _by_period(acks, starts) for name, acks in facts.acks.items()}
    cards = tuple(_handover(each, number, periods, facts.written, apps) for number, each in enumerate(flown))
    unknown = [why for number, each in enumerate(flown) for why in _unknown(each, number, periods, apps)]
    different = evidence.differing(facts.blue, facts.green)
    twice = sum(times > 1 for times in facts.written.values())
    why = (*_complaints(cards, twice, fault), *unknown, *([f"the sides differ in {', '.join(different[:5])}"] if different else []))
    return Scorecard(
        verdict="fail" if why else "pass",
        why=why,
        handovers=cards,
        sides_equal=not different,
        differing=different,
        sums={"blue": _total(facts.blue), "green": _total(facts.green)},
        rig={**rig, "writes": sum(len(acks) for acks in facts.acks.values())},
        fault=fault,
    )


def _by_period(acks: Sequence[Ack], starts: Sequence[float]) -> list[list[Ack]]:
    periods: list[list[Ack]] = [[] for _ in (starts or (0.0,))]
    for ack in acks:
        periods[max(bisect.bisect_right(starts, ack.acked) - 1, 0)].append(ack)
    return periods


def _handover(
    each: Flown, number: int, periods: Mapping[str, list[list[Ack]]], written: Mapping[UUID, int], apps: Sequence[App]
) -> HandoverCard:
    mine = {name: acks[number] for name, acks in periods.items()}
    cards = tuple(_app(app, each.felt.get(app.name), mine.get(app.name, []), written) for app in apps)
    pooled = [card for card in cards if card.channel == Path.POOL]
    waits = sorted(card.stall_ms for card in pooled)
    view = each.view
    return HandoverCard(
        direction=view.direction,
        outcome=view.outcome or "unfinished",
        seconds=round(view.seconds or 0.0, 3),
        downtime_ms=round(view.downtime_s * 1000, 1) if view.downtime_s is not None else None,
        stall_ms=Stall(quantile(waits, 0.5), quantile(waits, 0.99), waits[-1] if waits else 0.0),
        errors=sum(card.errors for card in pooled),
        lost=sum(card.lost for card in cards),
        duplicated=sum(card.duplicated for card in cards),
        overlap_ms=overlap_ms([ack for acks in mine.values() for ack in acks], view.direction.origin),
        steps=tuple(StepCard(step.id, round(step.ms, 3)) for step in view.steps if step.state is StepState.DONE and step.ms is not None),
        apps=cards,
    )


def _unknown(each: Flown, number: int, periods: Mapping[str, list[list[Ack]]], apps: Sequence[App]) -> Iterable[str]:
    """What is not known of a handover: the card's zeros stand for nothing that was measured."""
    for app in apps:
        if app.name not in each.felt:
            yield f"no figures of app {app.name} in handover {number + 1}"
    if not any(acks[number] for acks in periods.values()):
        yield f"no write was acknowledged in handover {number + 1}"


def _app(app: App, felt: Felt | None, acks: Sequence[Ack], written: Mapping[UUID, int]) -> AppCard:
    return AppCard(
        name=app.name,
        channel=str(app.path),
        stall_ms=felt.stall_ms if felt else 0.0,
        errors=felt.errors if felt else 0,
        lost=lost(acks, written),
        duplicated=duplicated(acks, written),
        breaks=felt.breaks if felt else 0,
    )


def lost(acks: Iterable[Ack], written: Mapping[UUID, int]) -> int:
    """How many acknowledged writes are not there."""
    return sum(written.get(ack.op, 0) == 0 for ack in acks)


def duplicated(acks: Iterable[Ack], written: Mapping[UUID, int]) -> int:
    """How many acknowledged writes are there more than once, or were acknowledged more than once."""
    seen = Counter(ack.op for ack in acks)
    return sum(max(written.get(op, 0), times) > 1 for op, times in seen.items())


def overlap_ms(acks: Iterable[Ack], origin: Side) -> float:
    """How long both sides are proven to have taken writes; 0 when `origin` took none that was sent after the other's first answer."""
    first_there: float | None = None
    last_here: float | None = None
    for ack in acks:
        if ack.side == origin:
            last_here = ack.sent if last_here is None else max(last_here, ack.sent)
        else:
            first_there = ack.acked if first_there is None else min(first_there, ack.acked)
    if first_there is None or last_here is None:
        return 0.0
    return round(max(last_here - first_there, 0.0) * 1000, 3)


def _complaints(cards: Sequence[HandoverCard], twice: int, fault: FaultCard | None) -> Iterable[str]:
    if fault is not None and not fault.struck_in:
        yield f"{fault.name} never struck"
    if twice > sum(card.duplicated for card in cards):
        yield f"{twice} writes stand twice, also such as were never acknowledged"
    for number, card in enumerate(cards, 1):
        about = f"{number}. {card.direction}"
        struck = fault is not None and fault.handover == number
        if card.outcome != (Outcome.ABORTED if struck and card.outcome == Outcome.ABORTED else Outcome.DONE):
            yield f"{about} {card.outcome}"
        for what, count in (("errors", 0 if struck else card.errors), ("writes lost", card.lost), ("writes duplicated", card.duplicated)):
            if count:
                yield f"{about}: {count} {what}"
        if card.overlap_ms:
            yield f"{about}: both sides took writes for {card.overlap_ms:g} ms"


def _total(tables: Mapping[str, evidence.Sum]) -> dict[str, int]:
    return {"tables": len(tables), "rows": sum(t.rows for t in tables.values()), "digest": sum(t.digest for t in tables.values()) % 2**63}
