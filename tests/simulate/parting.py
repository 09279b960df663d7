"""What must hold once blue took over without what green has alone: the oracles of `oracles`, exact for two sides that have parted.

Excused are two things. Blue lacks what green's slot keeps: that is what the lead typed for. And green may be open for a moment, when it
has just come back: a pilot that flies has `SHUT_S` to shut it out, and where none flies the run must say that nobody will.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cockpit.model import events as ev
from cockpit.model.bill import phrase
from cockpit.model.intents import Ask
from cockpit.model.state import FIRST_TOUCH, HandoverView, RunState
from cockpit.model.words import Known, Outcome, Side
from cockpit.systems.memory import oracle
from cockpit.systems.memory.cluster import Row
from tests.simulate.disk import Fail

if TYPE_CHECKING:
    from tests.simulate.scene import Scene

SHUT_S = 1.0
"""Seconds in which a pilot that flies has fenced a green that came back."""
SEATED_S = 5.0
"""Seconds in which one that took the run up flies."""
UNFENCED = "did not answer and may not be fenced"
UNCOUNTED = "could not be drawn again"


@dataclass(frozen=True, slots=True)
class Parted:
    """An ungraceful rollback that is past its return."""

    view: HandoverView
    at: float
    """When: blue took no write before."""
    bills: tuple[ev.BillDrawn, ...]
    """As drawn since."""
    released: float
    """When blue let go of its log."""
    told_at: float
    """When it was said first that nobody may have shut green out: its machine may stand still from then on."""


def parted(state: RunState, events: Sequence[ev.Event]) -> Parted | None:
    """What the timeline tells; None while the sides follow each other."""
    view = state.parted
    if view is None:
        return None
    since = [event for event in events if event.seq > view.opened_seq]
    at = next(event.mono for event in since if isinstance(event.fact, ev.ReturnPassed))
    bills = tuple(e.fact for e in since if isinstance(e.fact, ev.BillDrawn) and e.mono > at)
    done = (event.mono for event in since if event.mono > at and _let_go(event.fact))
    told = (e.mono for e in since if isinstance(e.fact, ev.AlarmRaised) and UNFENCED in e.fact.what)
    return Parted(view, at, bills, next(done, float("inf")), next(told, float("inf")))


def _let_go(fact: ev.Fact) -> bool:
    """Blue was seen to keep no log: not where a look showed that it still does."""
    seen = isinstance(fact, ev.ActionDone) or (isinstance(fact, ev.ActionProbed) and fact.known is Known.DONE)
    return seen and fact.action.startswith("keep no log")  # type: ignore[union-attr]


def kept(scene: Scene) -> list[Row]:
    """What green's slot keeps of the apps."""
    stream = scene.memory.cluster.streams[Side.GREEN]
    return [row for row in stream.waiting() if not row.ours] if stream.exists else []


# --- when it has ended -----------------------------------------------------------------------------------


def standing(scene: Scene, state: RunState, events: Sequence[ev.Event], said: str) -> Iterator[str]:
    """Asked where an ungraceful rollback was opened at all."""
    if not any(isinstance(e.fact, ev.HandoverOpened) and e.fact.ungraceful for e in events):
        return
    yield from _word(state, events)
    if not scene.owner.disk.failed:
        yield from _explained(scene, events)
    left = parted(state, events)
    scene.kept = tuple(row.op for row in kept(scene)) if left else ()
    yield from _mirrored(scene, state, events, said) if left is None else _apart(scene, events, said)


def _word(state: RunState, events: Sequence[ev.Event]) -> Iterator[str]:
    """Law 2: nothing is touched before the bill was drawn and the phrase was typed, in this order."""
    handover, billed, typed = None, False, False
    for event in events:
        match event.fact:
            case ev.HandoverOpened() as opened:
                handover, billed, typed = opened, False, False
            case ev.BillDrawn():
                billed = True
            case ev.IntentTaken(intent=Ask.GO | Ask.RESUME, argument=argument):
                typed = billed and argument == phrase(state.pair)
            case ev.StepStarted(step=step) if step == FIRST_TOUCH and handover is not None and handover.ungraceful and not typed:
                yield f"law 2: ungraceful rollback {handover.number} flew without {'its phrase' if billed else 'a bill'}"


def _explained(scene: Scene, events: Sequence[ev.Event]) -> Iterator[str]:
    """O7: what the twins show of the mirrors is what the timeline says was meant."""
    meant = {event.fact.action for event in events if isinstance(event.fact, ev.ActionIntended)}
    for side, stream in scene.memory.cluster.streams.items():
        if side in scene.mirrors_broken or not stream.subscribed:
            continue
        if not stream.enabled and not any(name.startswith("part ") for name in meant):
            yield f"O7: {side.other} follows {side} no more and the timeline does not say why"
        if not stream.exists and f"keep no log on {side}" not in meant:
            yield f"O7: the slot of {side} is gone and the timeline does not say why"


def _mirrored(scene: Scene, state: RunState, events: Sequence[ev.Event], said: str) -> Iterator[str]:
    """Not flown to its end, the sides follow each other as before; or the handover is left half way, or it is said that they do not."""
    last = state.past[-1] if state.past else None
    stuck = last is not None and last.outcome is Outcome.STUCK
    if stuck or scene.owner.disk.failed:
        return
    for side, stream in scene.memory.cluster.streams.items():
        if side not in scene.mirrors_broken and not stream.enabled and f"replicate {side} to {side.other}" not in said:
            yield f"law 2: nothing was left behind, and {side.other} follows {side} no more"


def _apart(scene: Scene, events: Sequence[ev.Event], said: str) -> Iterator[str]:
    """Law 2: each side keeps to itself, blue keeps no log, and a green that nobody fenced is named."""
    theirs, ours = (scene.memory.cluster.streams[side] for side in (Side.GREEN, Side.BLUE))
    if theirs.enabled:
        yield "law 2: blue follows green still, and would take what it was told to go without"
    if ours.exists and "keep no log on blue" not in said and "may hold back its log" not in said and not _mute(scene):
        yield "law 9: blue keeps its log for a green that will not follow"
    told = UNFENCED in said or "fence green on" in said or _mute(scene) or _opened_since(scene, events)
    if not scene.memory.cluster.nodes[Side.GREEN].fenced and not told:
        yield "law 1: green may take writes when it comes back, and nobody says so"
    if "green holds what blue has not" not in said and not _mute(scene):
        yield "law 2: green holds what blue has not, and nobody says so"


def _opened_since(scene: Scene, events: Sequence[ev.Event]) -> bool:
    """Somebody removed green's fence by hand after it was seen shut out: the cockpit cannot keep him from it, only see it."""
    shut_out = min((e.mono for e in events if isinstance(e.fact, ev.ShutOut)), default=float("inf"))
    return any(side is Side.GREEN and at >= shut_out for side, at in scene.hand_opened)


def _mute(scene: Scene) -> bool:
    """Nothing can be named on a disk that takes no record."""
    return scene.owner.disk.failed


# --- after replication would have caught up -----------------------------------------------------------------


def contents(scene: Scene, left: Parted, strays: set[str], said: str) -> Iterator[str]:
    """O1, O2, O4 of two sides that have parted."""
    memory, keeps = scene.memory, kept(scene)
    ops = {row.op for row in keeps}
    dropped = (
        Side.GREEN in scene.mirrors_broken and not memory.cluster.streams[Side.GREEN].exists
    )  # a hand took the log away: the rows stay
    if dropped:
        ops = {row.op for row in memory.cluster.nodes[Side.GREEN].rows}
    yield from (
        f"O1: {op} was acknowledged, blue does not have it and green does not keep it"
        for op in oracle.lost(memory.cluster, memory.ledger, Side.BLUE)
        if op not in ops | strays
    )
    if not dropped:
        yield from (f"law 2: green's slot no longer keeps {op}" for op in scene.kept if op not in ops)
    yield from (f"law 2: {text}" for text in _crossed(scene, left, said))
    yield from (f"O2: {text}" for text in memory.watch.violations if not _excused(scene, left, text, ops | strays, said))
    if not strays:
        yield from _doubles(scene, left, keeps)
    if not (dropped or _mute(scene)):
        yield from _billed(left, keeps, said)


def _crossed(scene: Scene, left: Parted, said: str) -> Iterator[str]:
    """Neither side applied anything of the other since blue took writes; but green, where it is said that blue keeps its log for it still."""
    blue, green = (scene.memory.cluster.nodes[side].rows for side in (Side.BLUE, Side.GREEN))
    first = next((n for n, row in enumerate(blue) if row.origin is Side.BLUE and row.at > left.at and not row.ours), len(blue))
    yield from (f"blue applied {row.op} of green after its return" for row in blue[first:] if row.origin is Side.GREEN)
    if "may hold back its log" in said or "keep no log on blue" in said or _mute(scene):
        return
    late = [row for row in green if row.origin is Side.BLUE and row.at > left.at and not row.ours]
    yield from (f"green applied {row.op} of blue after its return" for row in late if not _let_in(scene, row, left))


def _let_in(scene: Scene, row: Row, left: Parted) -> bool:
    """Green came back to a log that blue had not let go of yet, and a pilot had not shut it out."""
    backs = [back for back in scene.came_back if left.at - SHUT_S < back <= left.released]
    return any(row.at <= back + SHUT_S for back in backs) or (bool(backs) and _asleep(scene, row.at))


def _excused(scene: Scene, left: Parted, text: str, ops: set[str], said: str) -> bool:
    at, words = float(text.split()[0]), text.replace(",", "").split()
    if any(word in ops for word in words) and "diverged" in text and "committed on blue" in text:
        return at >= left.at - 1e-3
    if "two sides writable" in text and any(at >= opened for _, opened in scene.hand_opened):
        return True
    if "two sides writable" not in text or "committed on blue" not in text or at < left.at - 1e-3:
        return False
    told = UNFENCED in said or (scene.elsewhere is not None and left.told_at < at) or _asleep(scene, at)
    return _back_at(scene, at, left.at, _shut_within(scene)) or (not _flown(scene, at) and (told or _mute(scene)))


def _back_at(scene: Scene, at: float, since: float, within: float) -> bool:
    """Green came back a moment before."""
    return any(back - 1e-3 <= at <= max(back, since) + within for back in scene.came_back)


def _shut_within(scene: Scene) -> float:
    """A call that hangs or fails on the way, a frozen pilot, a slow disk, keep a pilot from it: so long nobody can promise it."""
    struck = any(
        fault.seen and any(fnmatchcase(call, fault.on) for call in ("apply fence green on", "probe fence green on", "apply quiesce green"))
        for fault in [*scene.struck, *scene.memory.faults.faults]
    )
    frozen = any("frozen" in text for text in scene.happened)
    slow = any(str(Fail.SLOW) in text for text in scene.happened)
    return 60.0 if struck or frozen or slow else SHUT_S


def _flown(scene: Scene, at: float) -> bool:
    """A pilot flew then, and had for long enough to see green."""
    return any(seated + SEATED_S <= at <= end for seated, end in scene.flights)


def _asleep(scene: Scene, at: float) -> bool:
    """The machine stood still then, and nobody had taken its run up yet: who could shut green out?"""
    return not _flown(scene, at) and any(machine.slept(at - 1e-3, at + 1e-3) for machine in scene.machines)


def _doubles(scene: Scene, left: Parted, keeps: Iterable[Row]) -> Iterator[str]:
    """O4: blue hands out no number that green gave to what it keeps, and no row is there twice."""
    given = {row.key: row.op for row in keeps if row.key}
    for row in scene.memory.cluster.nodes[Side.BLUE].rows:
        if row.origin is Side.BLUE and row.at > left.at and row.key in given:
            yield f"O4: blue gave {row.op} the number {row.key} that green gave {given[row.key]}"
    yield from (f"O4: {text}" for text in oracle.duplicated(scene.memory.cluster))


def _billed(left: Parted, keeps: Sequence[Row], said: str) -> Iterator[str]:
    """Law 2: the bill, where it says that it is exact, is what green keeps; one that could not be drawn says so."""
    if not left.bills:
        if UNCOUNTED not in said:
            yield "law 2: no bill was drawn after the return, and nobody says so"
        return
    last = left.bills[-1].bill
    if last.exact and last.total != len(keeps):
        yield f"law 2: the bill says {last.total}, green keeps {len(keeps)}"
