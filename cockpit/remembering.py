"""What a command did beside a run is told in the run's timeline: by its pilot's hand while one flies, else by its own."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from cockpit.errors import CockpitError
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.intents import Ask, Intent
from cockpit.model.state import RunState, replay
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import Journal, is_flown
from cockpit.timeline.wire import PilotLink

Aside = ev.BillExported | ev.RepairBegun | ev.RepairDone
_ASKS = {ev.BillExported: Ask.BILLED, ev.RepairBegun: Ask.REPAIRED, ev.RepairDone: Ask.REPAIRED}


async def remember(folder: RunFolder, state: RunState, fact: Aside) -> None:
    """The fact is in the timeline; `CockpitError` says why it is not. `state`: what the caller saw of the run."""
    if is_flown(folder.timeline):
        await _tell_pilot(folder, state, fact)
    else:
        _append(folder, fact)


async def _tell_pilot(folder: RunFolder, state: RunState, fact: Aside) -> None:
    said = {"kind": ev.FACT_KINDS[type(fact)], "fact": asdict(fact)}
    link = PilotLink(folder.socket)
    try:
        reply = await link.ask(Intent(_ASKS[type(fact)], fact.by, state.seq, msgspec.json.encode(said).decode()))
    finally:
        await link.close()
    if not reply.ok:
        raise CockpitError(reply.reason, where=folder.name)


def _append(folder: RunFolder, fact: Aside) -> None:
    journal, reading = Journal.take_up(folder.timeline, "aside")
    try:
        recorder = Recorder(journal, replay(reading.events))
        recorder.record(fact)
        if isinstance(fact, ev.BillExported) and any(alarm.id == "bill" for alarm in recorder.state.alarms):
            recorder.record(ev.AlarmCleared("bill"))
    finally:
        journal.close()
