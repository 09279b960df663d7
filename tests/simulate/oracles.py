"""What must hold after every run, read from the servers' rows, the apps' ledgers and the timeline; each excuse says why it is one.

standing    right when the run has ended, before anything is repaired
reached     after the repairs: each app's own path takes a write (O12)
contents    after the apps have stopped and replication caught up
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from cockpit.handover.guardian import GRACE_S
from cockpit.handover.home import HOME_S
from cockpit.model import events as ev
from cockpit.model.state import EMPTY, AlarmView, RunState, fold, replay
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.systems.memory import oracle
from cockpit.systems.memory.apps import MemoryApp
from cockpit.systems.memory.world import HARDCODED
from cockpit.timeline.journal import Reading, verify
from tests.simulate import parting
from tests.simulate.troubles import CANARY

if TYPE_CHECKING:
    from tests.simulate.scene import Scene

LOOKED_BACK_S = 30.0
MOSTLY_S = 15.0
"""An open end is excused where what it names was out of reach for so long of the last `LOOKED_BACK_S` seconds before it was given up."""
FENCE_LOOKED_BACK_S, FENCE_MOSTLY_S = 10.0, 5.0
"""The same for the target's fence, which is given up sooner: the side that is dead takes no write."""


def timeline(scene: Scene) -> tuple[Reading | None, RunState]:
    """Of whoever owned the pair last, in the world's time."""
    if not scene.owner.timeline.exists():
        return None, EMPTY
    machine = scene.owner
    reading, state = _read(machine.timeline.read_bytes())
    if not machine.clock.behind:
        return reading, state
    later = (replace(event, mono=event.mono + machine.clock.behind) for event in reading.events[machine.woke_at_record :])
    return replace(reading, events=(*reading.events[: machine.woke_at_record], *later)), state


@lru_cache(maxsize=1)
def _read(content: bytes) -> tuple[Reading, RunState]:
    """Once a run is over every oracle asks for the same bytes."""
    reading = verify(content)
    return reading, replay(reading.events)


def serving(scene: Scene, state: RunState) -> Side:
    """The side that must serve: what the timeline says; where the disk kept nothing more, the side without a fence."""
    if not scene.owner.disk.failed:
        return state.serving or scene.last_written
    open_sides = [side for side, node in scene.memory.cluster.nodes.items() if not node.fenced]
    return open_sides[0] if len(open_sides) == 1 else state.serving or scene.last_written


def left_open(scene: Scene) -> bool:
    """Both processes are gone and the run was begun and never ended."""
    reading, state = timeline(scene)
    return reading is not None and bool(reading.events) and state.mode is not Mode.CLOSED


def kept_open(scene: Scene) -> bool:
    """A handover is half way, or a side that was left may come back open, and pilot and guardian have left it to a person."""
    _, state = timeline(scene)
    return state.mode is Mode.STUCK and (state.half_way is not None or state.at_large is not None) and not scene.owner.disk.failed


def ending(scene: Scene) -> str:
    _, state = timeline(scene)
    who = (
        "elsewhere"
        if scene.owner.number
        else "taken up"
        if scene.owner.taken_up
        else "both gone"
        if scene.owner.guardian.dead
        else "guardian"
        if state.owner_role == "guardian"
        else "pilot"
    )
    return f"{who}: {state.outcome or state.mode}"


# --- when it has ended ------------------------------------------------------------------------------------------


def standing(scene: Scene) -> list[str]:
    reading, state = timeline(scene)
    events = reading.events if reading is not None else ()
    apart = parting.standing(scene, state, events, named(state))
    return [*_journal(scene, reading, state), *_ends(scene, state), *_open_ends(scene, reading), *_budgets(scene, state), *apart]


def _journal(scene: Scene, reading: Reading | None, state: RunState) -> Iterator[str]:
    """O7, O10: it verifies, it ends with the run, and no secret is in it."""
    if reading is None:
        return
    if not reading.intact:
        yield f"O7: the timeline is damaged: record {reading.damaged_record} {reading.damage}"
    if CANARY.encode() in scene.owner.timeline.read_bytes():
        yield "O10: a secret is in the timeline"
    # A disk that refused a record keeps none after it: then nobody can write the end.
    if state.mode is not Mode.CLOSED and not kept_open(scene) and not scene.owner.disk.failed and reading.events:
        yield f"O7: the run has ended and its timeline ends in {state.mode}"


def named(state: RunState) -> str:
    """Everything that screen and timeline say is not as it should be."""
    return " | ".join([*state.open_ends, *(f"{alarm.id}: {alarm.what}" for alarm in state.alarms)])


def _ends(scene: Scene, state: RunState) -> Iterator[str]:
    """O6, laws 1 and 3: the side that serves takes writes, the other takes none, all routes lead there, nothing is paused, or it is named."""
    side, said = serving(scene, state), named(state)
    if _contradicted(scene, side, said):
        return
    here, there = scene.memory.cluster.nodes[side], scene.memory.cluster.nodes[side.other]
    mute = scene.owner.disk.failed  # nothing can be named on a disk that takes no record: what is out of reach stays out of reach
    if here.fenced and not (f"fence {side} off" in said or f"{side} was left as it is" in said or (mute and _out(scene, str(side)))):
        yield f"law 3: {side} serves and is left fenced"
    told = state.parted is not None and parting.UNFENCED in said  # what it says of it, `parting` judges
    if scene.memory.watch.guarded and not there.fenced and not here.fenced and not _opened(scene, there.side) and there.up and not told:
        yield f"law 1: {side} serves and {there.side} is open"
    for pooler in scene.memory.poolers:
        named_here = pooler.name in said or (mute and _out(scene, pooler.name))
        if (pooler.paused or pooler.pausing) and not named_here and "resume" not in {a.id for a in state.alarms}:
            yield f"O6: {pooler.name} is left paused"
        if (pooler.loaded is not side or pooler.side is not side) and not named_here:
            yield f"O6: {pooler.name} goes to {pooler.loaded} (file: {pooler.side}), {side} serves"
    for channel in scene.memory.channels:
        by_hand = channel.name in scene.changed_by_hand  # somebody else's word is not overruled after the handover
        if channel.side is not side and not by_hand and "channel" not in said and not (mute and _out(scene, channel.name)):
            yield f"O6: {channel.name} names {channel.side}, {side} serves"


def _contradicted(scene: Scene, side: Side, said: str) -> bool:
    """A hand opened the other side while nobody flew: whether apps wrote there a person decides, and is told so."""
    return _opened(scene, side.other) and f"{side.other} is open and {side} fenced" in said


def _out(scene: Scene, system: str) -> bool:
    end = asyncio.get_running_loop().time()
    return scene.outages.seconds(system, end - LOOKED_BACK_S, end) > MOSTLY_S


def _opened(scene: Scene, side: Side) -> bool:
    """Somebody removed this fence by hand: the cockpit cannot keep him from it, only see it."""
    return any(opened is side for opened, _ in scene.hand_opened)


def _open_ends(scene: Scene, reading: Reading | None) -> Iterator[str]:
    """Law 3: what a way out left open was out of reach for most of the time that it was tried."""
    for alarm in _left_open(reading.events if reading is not None else ()):
        if parting.UNFENCED in alarm.what:
            continue  # no way out was tried: it is said of a green that is judged by what it does
        systems = _systems(scene, alarm.what)
        fence = alarm.id.startswith("open: fence") and alarm.id.endswith("on")
        back, mostly = (FENCE_LOOKED_BACK_S, FENCE_MOSTLY_S) if fence else (LOOKED_BACK_S, MOSTLY_S)
        out = max(scene.outages.seconds(system, alarm.mono - back, alarm.mono) for system in systems)
        if out + scene.owner.slept(alarm.mono - back, alarm.mono) < mostly:
            yield f"law 3: left open without a cause: {alarm.what}"


def _left_open(events: Sequence[ev.Event]) -> Iterator[AlarmView]:
    """Every open end that stood when a way out was over: one that was seen to be gone under way was none."""
    state = EMPTY
    for event in events:
        state = fold(state, event)
        if isinstance(event.fact, ev.HandoverClosed):
            yield from (alarm for alarm in state.alarms if alarm.id.startswith("open: "))


def _systems(scene: Scene, what: str) -> list[str]:
    """What an open end is about: the systems it names, or all channels where it could not say which of them."""
    channels = [channel.name for channel in scene.memory.channels]
    ours = [*(pooler.name for pooler in scene.memory.poolers), *channels, *map(str, Side)]
    found = [system for system in ours if system in what]
    return found + channels if "every channel" in what and not {*found} & {*channels} else found or ["?"]


def _budgets(scene: Scene, state: RunState) -> Iterator[str]:
    """O9 and the downtime budget, as far as the pilot or guardian measured them."""
    most = scene.scenario.budgets.downtime + HOME_S + GRACE_S
    for handover in state.past:
        # Pilot and guardian were gone, or stood still: the stall lasted until a person came, or they woke.
        nobody = scene.owner.taken_up or scene.elsewhere is not None
        if handover.downtime_s is not None and handover.downtime_s > most and not nobody:
            yield f"downtime: handover {handover.number} stalled writes for {handover.downtime_s:.0f} s"
        back = handover.direction is Direction.ROLLBACK and handover.outcome is Outcome.DONE
        if back and scene.elsewhere is None and (handover.seconds or 0.0) > scene.scenario.budgets.rollback:
            yield f"O9: rollback {handover.number} took {handover.seconds:.0f} s"


# --- after the repairs ----------------------------------------------------------------------------------------------


async def reached(scene: Scene) -> list[str]:
    """O12: every app's own path takes a write. Excused are those whose path was named, and the one whose address nobody can change."""
    _, state = timeline(scene)
    side, said = serving(scene, state), named(state)
    found: list[str] = []
    if _contradicted(scene, side, said):
        return found
    for app in scene.memory.apps:
        named_path = app.plan.channel in said or (app.plan.channel.startswith("channel") and "channel" in said)
        if named_path or f"fence {side} off" in said or "was left as it is" in said or app.plan.channel in scene.changed_by_hand:
            continue
        if app.plan.channel == HARDCODED and side is not Side.BLUE:
            continue
        found += [f"O12: {text}" for text in await _tries(scene, app)]
    return [text for text in found if not ("duplicate key" in text and _strays(scene))]


async def _tries(scene: Scene, app: MemoryApp) -> list[str]:
    """Its own connection may be one that died: a second try is what every app does."""
    why = ""
    trying = replace(app, plan=replace(app.plan, name=f"{app.plan.name}", long_every=0), _count=1_000_000)
    for _ in range(3):
        try:
            async with asyncio.timeout(5.0):
                await trying.write()
        except Exception as err:
            why = f"{app.plan.name} by {app.plan.channel}: {err or type(err).__name__}"
            await asyncio.sleep(0.1)
        else:
            return []
    return [why]


# --- after replication has caught up ----------------------------------------------------------------------------------


def contents(scene: Scene) -> list[str]:
    """O1, O2, O4, O5."""
    reading, state = timeline(scene)
    side, memory = serving(scene, state), scene.memory
    strays = _strays(scene)
    left = parting.parted(state, reading.events if reading is not None else ())
    if left is not None:
        return list(parting.contents(scene, left, strays, named(state)))
    found = [f"O2: {text}" for text in memory.watch.violations if not _by_hand(scene, text, strays)]
    found += [
        f"O1: {op} was acknowledged and {side} does not have it"
        for op in oracle.lost(memory.cluster, memory.ledger, side)
        if op not in strays
    ]
    found += [f"O4: {text}" for text in _doubles(scene, strays)]
    if _mirrored(scene, side):
        found += [f"O5: only one side has {op}" for op in oracle.unequal(memory.cluster) if op not in strays]
    return found


def _strays(scene: Scene) -> set[str]:
    """What apps wrote on a side that somebody had opened by hand: nobody can promise to keep it."""
    rows = (row for node in scene.memory.cluster.nodes.values() for row in node.rows)
    return {row.op for row in rows if any(row.origin is side and row.at >= at for side, at in scene.hand_opened)}


def _by_hand(scene: Scene, text: str, strays: set[str]) -> bool:
    """It says that a side could be written which somebody had opened by hand, or is about what was written there."""
    at = float(text.split()[0])
    two = "two sides writable" in text and any(at >= opened for _, opened in scene.hand_opened)
    return two or any(word.rstrip(",") in strays for word in text.split())


def _doubles(scene: Scene, strays: set[str]) -> list[str]:
    if strays:  # two sides gave out the same keys because somebody had opened both
        return []
    twice = oracle.duplicated(scene.memory.cluster)
    return twice + [f"{app}: {text}" for _, app, text in scene.memory.ledger.errors if "duplicate key" in text]


def _mirrored(scene: Scene, side: Side) -> bool:
    """Both directions were armed and nobody took one away: then both sides must come to hold the same."""
    streams = scene.memory.cluster.streams.values()
    return not scene.mirrors_broken and all(s.exists and s.subscribed and s.enabled for s in streams)
