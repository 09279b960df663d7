"""A drill flown unattended: the rig in this process, guardian and pilot in theirs, the lead a client, the scorecard at the end.

The handovers alternate from whichever side serves: cutover, rollback, cutover, and so on, `repeat` times the scenario's number.
What an app felt of a handover is taken from `BEFORE_S` before writes were stalled until `AFTER_S` after the handover closed.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cockpit import wiring
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.environment import PAIR
from cockpit.drill.folders import Claim
from cockpit.drill.lead import Lead
from cockpit.drill.ledger import Felt
from cockpit.drill.rig import Rig, Wanted
from cockpit.drill.scorecard import Flown, Scorecard, scorecard
from cockpit.model.settings import DrillSpec
from cockpit.model.state import HandoverView
from cockpit.timeline.folder import RunFolder, create

BEFORE_S = 0.5
AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Flight:
    """What an unattended drill is asked to fly."""

    scenario: str
    drill: DrillSpec
    seed: int
    repeat: int
    runs: Path


async def fly(claim: Claim, flight: Flight, tell: Callable[[str], None]) -> Scorecard:
    """The scorecard of the whole drill; the rig is gone again. `tell` hears one line for each thing that happens.

    Of a drill that did not fly no folder is left."""
    wanted = Wanted(rows=flight.drill.rows, apps=flight.drill.apps, rate=flight.drill.rate, seed=flight.seed, runs=flight.runs)
    folder = create(flight.runs, PAIR)
    tell(f"bringing up the rig: {wanted.rows:,} rows, {wanted.apps} apps, {wanted.rate:g} transactions a second")
    try:
        async with Rig(claim, wanted) as rig:
            card = await _flown(rig, claim, folder, flight, tell)
    finally:
        if not folder.timeline.exists():
            shutil.rmtree(folder.root, ignore_errors=True)
    _keep(card, folder, tell)
    return card


async def _flown(rig: Rig, claim: Claim, folder: RunFolder, flight: Flight, tell: Callable[[str], None]) -> Scorecard:
    wiring.write_launch(folder, rig.config, flight.scenario, PAIR, drill=True)
    tell(f"run {folder.name}")
    guardian = launch_guardian(claim, folder)
    try:
        return await scorecard(rig, await _handovers(rig, folder, flight, tell))
    finally:
        await end_guardian(guardian, told_to=False)


def _keep(card: Scorecard, folder: RunFolder, tell: Callable[[str], None]) -> None:
    """The card is in the run's folder; what was flown stands also where it cannot be kept there."""
    try:
        folder.scorecard.write_bytes(card.to_json().encode())
    except OSError as err:
        tell(f"{folder.scorecard}: the scorecard could not be kept there: {err.strerror}")


async def _handovers(rig: Rig, folder: RunFolder, flight: Flight, tell: Callable[[str], None]) -> tuple[Flown, ...]:
    lead = Lead(folder)
    flown: list[Flown] = []
    try:
        await lead.ready()
        for _ in range(len(flight.drill.handovers) * flight.repeat):
            view = await lead.hand_over()
            tell(_line(view))
            await asyncio.sleep(max(flight.drill.soak, AFTER_S))
            flown.append(Flown(view, await _felt(rig, view)))
        await lead.close_run()
    finally:
        await lead.leave()
    return tuple(flown)


async def _felt(rig: Rig, view: HandoverView) -> dict[str, Felt]:
    start = view.downtime_mono if view.downtime_mono is not None else view.opened_mono
    end = view.opened_mono + (view.seconds or 0.0)
    return await rig.control.interval(start - BEFORE_S, end + AFTER_S)


def _line(view: HandoverView) -> str:
    stalled = f", writes stalled {view.downtime_s * 1000:.0f} ms" if view.downtime_s is not None else ""
    why = f": {view.why}" if view.why else ""
    return f"{view.number}. {view.direction} {view.outcome} in {view.seconds or 0:.1f} s{stalled}{why}"
