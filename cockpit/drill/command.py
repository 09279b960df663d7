"""`cockpit drill`: the rig, a pilot on it, and the screen or an unattended flight."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cockpit import wiring
from cockpit.drill import endings, hangar, headless
from cockpit.drill.environment import PAIR
from cockpit.drill.faults import fault, listed
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.rig import Wanted
from cockpit.drill.scorecard import Scorecard
from cockpit.errors import Refused
from cockpit.model.settings import DrillSpec, Scenario
from cockpit.model.state import RunState
from cockpit.places import runs_folder
from cockpit.scenario import load_scenario
from cockpit.timeline.folder import RunFolder, create

LINGER_S = 900.0
"""Seconds a drill flies on when its screen is gone without having ended it."""


def drill(arguments: argparse.Namespace) -> int:
    """The exit code: 0 when everything that was flown passed, or the lead left."""
    if arguments.fault == "list":
        from cockpit.cli import put

        put(listed())
        return 0
    scenario = load_scenario(arguments.scenario)
    spec = _asked(scenario, arguments)
    runs = (arguments.runs or runs_folder()).absolute()
    if arguments.headless:
        _nobody_is_asked(scenario)
        return asyncio.run(_unattended(arguments, spec, runs))
    if arguments.json or arguments.repeat != 1:
        raise Refused("--json and --repeat belong to an unattended drill", remedy="add --headless")
    from cockpit.onscreen import need_terminal

    need_terminal(arguments)
    return _on_screen(arguments, spec, runs)


def _nobody_is_asked(scenario: Scenario) -> None:
    if scenario.cutover_confirmation.second:
        raise Refused(
            f"the scenario {scenario.name} asks for a second person, and an unattended drill has none",
            remedy='fly it on screen, or give it approval = "none"',
        )


def _asked(scenario: Scenario, arguments: argparse.Namespace) -> DrillSpec:
    """The scenario's drill with what the command line says instead."""
    said = {name: getattr(arguments, name) for name in ("rows", "apps", "rate") if getattr(arguments, name) is not None}
    spec = replace(scenario.drill, **said)
    limits = (("rows", spec.rows, 1000, 50_000_000), ("apps", spec.apps, 1, 200), ("rate", spec.rate, 1, 20_000))
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise Refused(f"--{name} {value:g} is out of range", remedy=f"from {least:,} to {most:,}")
    if arguments.fault is not None:
        fault(arguments.fault)
    if not 1 <= arguments.repeat <= 1000:
        raise Refused(f"--repeat {arguments.repeat} is out of range", remedy="from 1 to 1,000")
    return spec


# --- unattended -----------------------------------------------------------------------------------------


async def _unattended(arguments: argparse.Namespace, spec: DrillSpec, runs: Path) -> int:
    from cockpit.cli import put

    flight = headless.Flight(
        arguments.scenario, spec, arguments.seed, arguments.repeat, runs, fault(arguments.fault) if arguments.fault else None
    )
    card = await headless.fly(claim(new_folder()), flight, _tell)
    put(card.to_json() if arguments.json else render(card))
    return 0 if card.verdict == "pass" else 1


def _tell(line: str) -> None:
    # Where the terminal is gone there is nobody to tell, and what is left to do is done all the same.
    with suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def render(card: Scorecard) -> str:
    """The scorecard as a table."""
    rows = [("handover", "outcome", "seconds", "writes stalled", "stall p50/p99/max", "errors", "lost", "doubled")]
    for number, each in enumerate(card.handovers, 1):
        stalled = f"{each.downtime_ms:.0f} ms" if each.downtime_ms is not None else "-"
        waits = f"{each.stall_ms.p50:.0f}/{each.stall_ms.p99:.0f}/{each.stall_ms.max:.0f} ms"
        counts = (str(each.errors), str(each.lost), str(each.duplicated))
        rows.append((f"{number} {each.direction}", each.outcome, f"{each.seconds:.1f}", stalled, waits, *counts))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    equal = "both sides hold the same rows" if card.sides_equal else f"the sides differ in {', '.join(card.differing[:5])}"
    return "\n".join([*table, *_fault_lines(card), "", equal, f"verdict: {card.verdict}" + "".join(f"\n  {why}" for why in card.why)])


def _fault_lines(card: Scorecard) -> list[str]:
    fault = card.fault
    if fault is None:
        return []
    safe = f"; writes flowed after {fault.safe_s:.1f} s" if fault.safe_s is not None else ""
    return ["", f"fault {fault.name}: {fault.what}", f"struck in {fault.struck_in or 'no step: it never came'}; {fault.handled}{safe}"]


# --- on screen ---------------------------------------------------------------------------------------------


def _on_screen(arguments: argparse.Namespace, spec: DrillSpec, runs: Path) -> int:
    from cockpit.onscreen import curtain, shown

    with curtain(arguments, drill=True) as raised:
        folder = create(runs, PAIR)
        wanted = Wanted(rows=spec.rows, apps=spec.apps, rate=spec.rate, seed=arguments.seed, runs=runs)
        wanted = replace(wanted, proxied=arguments.fault is not None)
        try:
            standing = hangar.ask(
                wanted,
                linger_s=LINGER_S,
                run=folder.root,
                fault=arguments.fault,
                before=lambda rig: _launch(folder, rig / "config.toml", arguments.scenario),
            )
        except BaseException:
            endings.discard(folder)
            raise
        ending = shown(folder, arguments, raised, drill=True, progress=standing.progress_file)
    if arguments.fault:
        flown = fault(arguments.fault)
        _tell(f"flown under {flown.name}, from {flown.at} on: {flown.what}")
    return _after_screen(folder, standing, ending)


def _after_screen(folder: RunFolder, standing: hangar.Standing, ending: int) -> int:
    """The drill is ended, or flies on: where its terminal went before its first event was there to be shown, nobody has seen it fly."""
    from cockpit.screen.options import Ending

    closed = wiring.closed_state(folder)
    unseen = ending == Ending.LOST and not folder.timeline.exists()
    if ending == Ending.END_DRILL or closed is not None or not standing.alive or unseen:
        return _end(folder, standing, closed)
    standing.lingers()
    minutes = LINGER_S / 60
    _tell(f"the drill flies on for {minutes:.0f} minutes: `cockpit join {folder.name}` opens it again, and it ends by itself")
    return 0


def _launch(folder: RunFolder, config: Path, scenario: str) -> None:
    wiring.write_launch(folder, config, scenario, PAIR, drill=True)


def _end(folder: RunFolder, standing: hangar.Standing, before: RunState | None) -> int:
    """Everything of the rig has ended; the folder of a run that flew stays. `before`: the run, where it closed before it was told to."""
    failure = asyncio.run(_stop(standing))
    closed = wiring.closed_state(folder)
    if closed is None or endings.never_flew(folder):
        # Where it was open until its end was asked for, its end is what the lead wanted, whatever its processes said of it.
        told_to = closed is not None and before is None
        return _never_flew(folder, failure or ("" if told_to else endings.why(folder, closed)))
    _tell(f"run {folder.name}: {closed.outcome}, {closed.serving or 'nobody'} served; `cockpit export {folder.name}` writes the report")
    return 1 if closed.outcome == "failed" and (closed.past or before is not None) else 0


def _never_flew(folder: RunFolder, why: str) -> int:
    """Nothing of the run is left; 0 when that is what the lead wanted, which is so where there is no `why`."""
    endings.discard(folder)
    _tell(why or "the drill was ended before it flew")
    return 1 if why else 0


async def _stop(standing: hangar.Standing) -> str:
    """Why the rig did not come up; empty when it did."""
    why = standing.failure()
    await standing.stop()
    return why
