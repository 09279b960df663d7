"""A drill flown unattended: the rig in this process, guardian and pilot in theirs, the lead a client, the scorecard at the end.

The handovers alternate from whichever side serves: cutover, rollback, cutover, and so on, `repeat` times the scenario's number.
What an app felt of a handover is taken from `BEFORE_S` before writes were stalled until `AFTER_S` after the handover closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cockpit import wiring
from cockpit.drill import endings, evidence
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.environment import PAIR
from cockpit.drill.faults import READY, Fault
from cockpit.drill.folders import Claim
from cockpit.drill.lead import LAND_S, Lead
from cockpit.drill.ledger import Felt
from cockpit.drill.rig import Rig, Wanted
from cockpit.drill.rounds import flowed_s, handled, named
from cockpit.drill.scorecard import FaultCard, Flown, Scorecard, scorecard
from cockpit.drill.striker import Striker, due_of
from cockpit.errors import CockpitError, StepTimeout
from cockpit.model.intents import Ask
from cockpit.model.settings import DrillSpec
from cockpit.model.state import HandoverView, RunState
from cockpit.model.words import Mode
from cockpit.timeline.folder import RunFolder, create

BEFORE_S = 0.5
AFTER_S = 2.0
SEEN_S = 15.0
"""Seconds an unattended lead waits for what others do to show."""


@dataclass(frozen=True, slots=True)
class Flight:
    """What an unattended drill is asked to fly."""

    scenario: str
    drill: DrillSpec
    seed: int
    repeat: int
    runs: Path
    fault: Fault | None = None
    """Strikes once, at its first chance."""


async def fly(claim: Claim, flight: Flight, tell: Callable[[str], None]) -> Scorecard:
    """The scorecard of the whole drill; the rig is gone again. `tell` hears one line for each thing that happens.

    Of a drill that did not fly no folder is left."""
    wanted = Wanted(rows=flight.drill.rows, apps=flight.drill.apps, rate=flight.drill.rate, seed=flight.seed, runs=flight.runs)
    wanted = replace(wanted, proxied=flight.fault is not None)
    folder = create(flight.runs, PAIR)
    tell(f"bringing up the rig: {wanted.rows:,} rows, {wanted.apps} apps, {wanted.rate:g} transactions a second")
    try:
        async with Rig(claim, wanted) as rig:
            card = await _flown(rig, claim, folder, flight, tell)
    finally:
        if endings.never_flew(folder):
            endings.discard(folder)
    _keep(card, folder, tell)
    return card


async def _flown(rig: Rig, claim: Claim, folder: RunFolder, flight: Flight, tell: Callable[[str], None]) -> Scorecard:
    wiring.write_launch(folder, rig.config, flight.scenario, PAIR, drill=True)
    tell(f"run {folder.name}")
    guardian = launch_guardian(claim, folder)
    assert rig.site is not None
    striker = Striker(rig.site, claim, folder, guardian.pid, flight.fault, due_of(flight.fault)) if flight.fault else None
    try:
        flown, state = await _handovers(rig, folder, flight, striker, tell)
        card = await _fault_card(rig, striker, state) if striker else None
        return await scorecard(rig, flown, card, state.serving if striker else None)
    finally:
        await end_guardian(guardian, told_to=False)


async def _fault_card(rig: Rig, striker: Striker, state: RunState) -> FaultCard:
    assert rig.site is not None
    fault, struck = striker.fault, striker.struck
    if struck is None:
        return FaultCard(fault.name, fault.what, "", None, "", None)
    acks = await asyncio.to_thread(evidence.acknowledged, rig.folder, rig.site.apps)
    safe = flowed_s([ack for each in acks.values() for ack in each], struck.mono)
    return FaultCard(fault.name, fault.what, struck.where, struck.handover, handled(state, struck), round(safe, 3) if safe else None)


def _keep(card: Scorecard, folder: RunFolder, tell: Callable[[str], None]) -> None:
    """The card is in the run's folder; what was flown stands also where it cannot be kept there."""
    try:
        folder.scorecard.write_bytes(card.to_json().encode())
    except OSError as err:
        tell(f"{folder.scorecard}: the scorecard could not be kept there: {err.strerror}")


async def _handovers(
    rig: Rig, folder: RunFolder, flight: Flight, striker: Striker | None, tell: Callable[[str], None]
) -> tuple[tuple[Flown, ...], RunState]:
    lead = Lead(folder)
    flown: list[Flown] = []
    striking = asyncio.create_task(striker.run()) if striker else None
    try:
        await lead.ready()
        for _ in range(len(flight.drill.handovers) * flight.repeat):
            view = await (lead.hand_over() if striker is None else _under_fault(lead, striker))
            tell(_line(view))
            await asyncio.sleep(max(flight.drill.soak, AFTER_S))
            flown.append(Flown(view, await _felt(rig, view)))
            if lead.state.mode is Mode.CLOSED:
                break
        await lead.close_run()
    finally:
        await _relieve(striker, striking)
        await lead.leave()
    return tuple(flown), lead.state


async def _under_fault(lead: Lead, striker: Striker) -> HandoverView:
    """The handover as it ended, also where the run ended with it; a stuck one is taken up again when the fault is over."""
    if striker.fault.at == READY and striker.struck is None:
        await lead.until(lambda s: striker.struck is not None, SEEN_S, f"{striker.fault.name}")
        with suppress(StepTimeout):
            await lead.until(lambda s: named(s, striker.fault) is not None, SEEN_S, "a closed gate")
        await striker.undo()
    try:
        view = await lead.hand_over()
    except CockpitError:
        if lead.state.mode is not Mode.CLOSED or not lead.state.past:
            raise
        return lead.state.past[-1]
    if lead.state.mode is Mode.STUCK:
        await striker.undo()
        await lead.ask(Ask.ABORT)
        await lead.until(lambda s: s.mode in {Mode.READY, Mode.CLOSED}, LAND_S, "a settled handover")
        view = lead.state.past[-1]
    return view


async def _relieve(striker: Striker | None, striking: asyncio.Task[None] | None) -> None:
    """What was struck is whole again, and nothing strikes any more."""
    if striker is None or striking is None:
        return
    if striker.struck is None:
        striking.cancel()
    await asyncio.gather(striking, return_exceptions=True)
    await striker.undo()


async def _felt(rig: Rig, view: HandoverView) -> dict[str, Felt]:
    start = view.downtime_mono if view.downtime_mono is not None else view.opened_mono
    end = view.opened_mono + (view.seconds or 0.0)
    return await rig.control.interval(start - BEFORE_S, end + AFTER_S)


def _line(view: HandoverView) -> str:
    stalled = f", writes stalled {view.downtime_s * 1000:.0f} ms" if view.downtime_s is not None else ""
    why = f": {view.why}" if view.why else ""
    return f"{view.number}. {view.direction} {view.outcome} in {view.seconds or 0:.1f} s{stalled}{why}"
