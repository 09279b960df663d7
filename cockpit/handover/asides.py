"""What a person may ask at any time, and what moves nothing of a handover: a note, an announcement, a load limit, what a command did."""

from __future__ import annotations

import contextlib
from datetime import datetime

import msgspec

from cockpit.handover.ports import World
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.announced import start_of
from cockpit.model.intents import Ask

DUTY_STEP = 0.05
Aside = ev.BillExported | ev.RepairBegun | ev.RepairDone
ASIDE: dict[str, type[Aside]] = {ev.FACT_KINDS[kind]: kind for kind in (ev.BillExported, ev.RepairBegun, ev.RepairDone)}
"""Facts of commands beside the pilot, which it writes down for them."""


def aside(ask: Ask, by: str, argument: str, recorder: Recorder, world: World) -> str:
    """It is done and on record; what is to be said of it beyond that."""
    match ask:
        case Ask.NOTE:
            recorder.record(ev.NoteTaken(by, argument))
        case Ask.ANNOUNCE:
            recorder.record(ev.StartAnnounced(by, start_of(argument, _now(recorder))))
        case Ask.BILLED | Ask.REPAIRED:
            _told(argument, recorder)
        case Ask.DUTY:
            return f"reconciliation: load at most {world.reconciler.duty(DUTY_STEP if argument == '+' else -DUTY_STEP):.0%}"
    return ""


def _now(recorder: Recorder) -> datetime:
    """As the timeline has it for the intent that was just taken, in this machine's zone."""
    return datetime.fromisoformat(recorder.state.tail[-1].at).astimezone()


def _told(argument: str, recorder: Recorder) -> None:
    """What a command beside the pilot did is on record; words that are no such fact change nothing."""
    with contextlib.suppress(msgspec.MsgspecError, KeyError, TypeError):
        said = msgspec.json.decode(argument)
        fact = msgspec.convert(said["fact"], ASIDE[said["kind"]])
        recorder.record(fact)
        if isinstance(fact, ev.BillExported):
            recorder.clear("bill")
