"""Runs that a crash left: found, and started again on their own timelines."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cockpit import wiring
from cockpit.errors import CockpitError, Refused
from cockpit.model import events as ev
from cockpit.model.state import RunState, replay
from cockpit.model.words import Mode
from cockpit.timeline.folder import RunFolder, every
from cockpit.timeline.journal import is_closed, is_flown, read
from cockpit.timeline.room import check_room


def left_open(runs: Path, config: Path, pair: str) -> RunFolder | None:
    """The newest run of this config's pair that is neither closed nor flown: a crash left it. None where there is none.

    `JournalDamaged` where its timeline cannot be trusted: nobody goes on with that, and a new run would fly over it."""
    for folder in reversed(list(every(runs))):
        if is_closed(folder.timeline) or is_flown(folder.timeline):
            continue
        launch = _launch_of(folder)
        if launch is not None and not launch.drill and (launch.pair, launch.config) == (pair, str(config.resolve())):
            read(folder.timeline).trusted(str(folder.timeline))
            return folder
    return None


def flown_here(runs: Path, config: Path, pair: str) -> RunFolder | None:
    """The run of this config's pair that is flown on this machine; None where none is."""
    for folder in reversed(list(every(runs))):
        launch = _launch_of(folder) if is_flown(folder.timeline) else None
        if launch is not None and (launch.pair, launch.config) == (pair, str(config.resolve())):
            return folder
    return None


async def check_unflown(folder: RunFolder) -> None:
    """`Flown` where another process flies the run's pair, told before anything of the run is started. A server that does not answer says
    nothing: what is left of the pair can be taken up all the same."""
    _, order = wiring.order_of(folder)
    try:
        await wiring.check_reachable(order)
    except Refused:
        raise
    except CockpitError:
        pass


def _launch_of(folder: RunFolder) -> wiring.Launch | None:
    try:
        return msgspec.json.decode(folder.launch.read_bytes(), type=wiring.Launch)
    except (OSError, msgspec.DecodeError):
        return None


def check_left(folder: RunFolder) -> None:
    """`Refused` where the run is over or cannot be started again, `JournalDamaged` where its timeline cannot be trusted, `JournalError` where
    its folder takes nothing more: a pilot that is started there could not even say so."""
    state = replay(read(folder.timeline).trusted(str(folder.timeline)).events)
    if state.mode is Mode.CLOSED and state.half_way is None:
        what = f"the run is closed: {state.outcome}, {state.serving or 'nobody'} serves"
        raise Refused(what, where=folder.name, remedy="`cockpit export` reads it, `cockpit run` opens a new one")
    if _launch_of(folder) is None:
        raise Refused("it does not say how it was started", where=str(folder.launch), remedy="`cockpit run` opens a new run")
    check_room(folder)


def take_up(folder: RunFolder) -> subprocess.Popen[bytes]:
    """The processes of a run that nobody flies any more are started again; what `check_left` raises says why they are not."""
    check_left(folder)
    return wiring.start(folder)


def owing(runs: Path, config: Path, pair: str) -> RunFolder | None:
    """The newest run of this config's pair after which a side still keeps what nobody has read (`cockpit bill`); None where there is none."""
    return next((folder for folder, state in _forced(runs, config, pair) if state.owed is not None), None)


def billed(runs: Path, config: Path, pair: str) -> bool:
    """What the newest ungraceful rollback of this config's pair left behind has been read."""
    return next((state.bill_exported is not None for _, state in _forced(runs, config, pair) if state.parted is not None), False)


def _forced(runs: Path, config: Path, pair: str) -> Iterator[tuple[RunFolder, RunState]]:
    """Runs in which an ungraceful rollback was opened, the newest first."""
    for folder in reversed(list(every(runs))):
        launch = _launch_of(folder)
        if launch is None or (launch.pair, launch.config) != (pair, str(config.resolve())):
            continue
        events = read(folder.timeline).events
        if any(isinstance(event.fact, ev.HandoverOpened) and event.fact.ungraceful for event in events):
            yield folder, replay(events)
