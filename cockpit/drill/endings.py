"""How a drill's run ended before it flew: why, in its processes' own words, and nothing of it left."""

from __future__ import annotations

import shutil

from cockpit.model import events as ev
from cockpit.model.state import RunState, replay
from cockpit.model.words import Mode
from cockpit.timeline.folder import RunFolder, last_words
from cockpit.timeline.journal import is_flown, read


def never_flew(folder: RunFolder) -> bool:
    """Whether the run was never opened, or failed before its pilot was ready for the first time; a run that is flown has a chance yet."""
    if not folder.timeline.exists():
        return True
    if is_flown(folder.timeline):
        return False
    events = read(folder.timeline).events
    ready = any(isinstance(e.fact, ev.ModeChanged) and e.fact.mode is Mode.READY for e in events)
    state = replay(events)
    return not ready and state.handover is None and state.outcome in ("", "failed")


def why(folder: RunFolder, state: RunState | None) -> str:
    """What the run's processes printed last, and what the run itself says; empty where neither says anything."""
    alarms = "; ".join(alarm.what for alarm in state.alarms) if state is not None else ""
    told = alarms or (state.mode_why if state is not None else "")
    return "; ".join(part for part in (last_words(folder), told) if part)


def discard(folder: RunFolder) -> None:
    """Nothing of the run is left: what it had to say has been told."""
    shutil.rmtree(folder.root, ignore_errors=True)
