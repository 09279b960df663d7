"""P12 of preflight: whether the scenario as it is now was rehearsed, there and back, and whether the way back fits its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cockpit.errors import JournalError
from cockpit.model.events import FindingSeen, RunOpened
from cockpit.model.settings import Scenario, Waiver
from cockpit.model.state import HandoverView, RunState, replay
from cockpit.model.text import plain
from cockpit.model.words import Direction, Outcome, Severity
from cockpit.timeline.folder import RunFolder, every
from cockpit.timeline.journal import read, verify

CHECK = "P12"


def rehearsed(runs: Path, scenario: Scenario, waivers: Sequence[Waiver] = ()) -> FindingSeen:
    """What the newest drill of this very scenario under `runs` says. A warning at most: a drill proves the procedure, not these servers."""
    severity, seen = _said(_newest(runs, scenario.digest), scenario)
    remedy = "" if severity is Severity.GOOD else f"cockpit drill {plain(scenario.name)} --runs {plain(runs)}, there and back"
    found = FindingSeen(CHECK, plain(scenario.name, 200), severity, plain(seen, 400), f"cockpit runs --runs {plain(runs)}", remedy)
    accepted = next((w for w in waivers if w.check == CHECK and w.object in {"*", found.object}), None)
    return replace(found, waived=accepted.reason) if accepted and remedy else found


def _said(drill: RunState | None, scenario: Scenario) -> tuple[Severity, str]:
    if drill is None:
        return Severity.WARN, f"no drill of {scenario.name} as it is now has handed over and is on record here"
    there, back = _last(drill, Direction.CUTOVER), _last(drill, Direction.ROLLBACK)
    for direction, view in ((Direction.CUTOVER, there), (Direction.ROLLBACK, back)):
        if view is None or view.outcome is not Outcome.DONE:
            return (
                Severity.WARN,
                f"in the newest drill, {drill.run}, the {direction} {'was not flown' if view is None else f'ended {view.outcome}'}",
            )
    took, budget = back.downtime_s if back else None, scenario.budgets.rollback
    if took is None:
        return Severity.WARN, f"the newest drill, {drill.run}, went back, and nobody measured how long writes stalled"
    seen = f"the newest drill, {drill.run}, handed over and went back: writes stalled for {took:.1f} s, the rollback budget is {budget:g} s"
    return (Severity.GOOD if took < budget else Severity.WARN), seen


def _last(drill: RunState, direction: Direction) -> HandoverView | None:
    return next((view for view in reversed(drill.past) if view.direction is direction), None)


def _newest(runs: Path, digest: str) -> RunState | None:
    """The newest drill of that scenario in which a handover ended. Only the first record is read of any other run."""
    for folder in reversed(tuple(every(runs))):
        if _is_drill_of(folder, digest):
            try:
                state = replay(read(folder.timeline).events)
            except JournalError:
                continue
            if state.past:
                return state
    return None


def _is_drill_of(folder: RunFolder, digest: str) -> bool:
    try:
        with folder.timeline.open("rb") as file:
            opened = verify(file.readline()).events
    except OSError:
        return False
    return any(isinstance(each.fact, RunOpened) and each.fact.drill and each.fact.scenario_digest == digest for each in opened)
