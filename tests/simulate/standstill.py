"""A whole machine stands still in the air, the servers end its sessions, from another one somebody takes up a copy of the run; then it wakes.

The oracle of it: who no longer owns the pair changes nothing in the world, and its own timeline says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from cockpit.model import events as ev
from cockpit.model.words import Mode
from cockpit.timeline.journal import verify
from tests.simulate import troubles as tr
from tests.simulate.machine import Answer, Did, Machine
from tests.simulate.moves import Move
from tests.simulate.troubles import CANARY, Triggers, Trouble, When

if TYPE_CHECKING:
    from tests.simulate.scene import Scene

KEEPALIVE_S = 25.0
"""After so long a server ends the sessions of a machine that answers nothing."""
NAMES_IT = ("taken up by", "flies this pair")
"""What says that the pair is another's, in the twins' words."""

UNASKED = {"arm", "gates", "confirm"}
"""Steps that may find everything as it should be and touch nothing: nobody is asked for that."""


class Wakes(StrEnum):
    EARLY = "before anybody comes"
    FLYING = "while the other flies"
    AFTER = "when the other has left"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Standstill:
    """`ended_s`, `copied_s`: after so many seconds the servers end its sessions, and somebody takes the copy up and does `moves`.

    It wakes at `when`: counted from the start (`EARLY`), from the other's start (`FLYING`), from the other's end (`AFTER`)."""

    suspended: bool
    wakes: Wakes
    when: When = field(default_factory=When)
    ended_s: float = KEEPALIVE_S
    copied_s: float = 30.0
    moves: tuple[Move, ...] = (Move("resume"), Move("abort-left"), Move("close"))
    which: tuple[str, ...] = ()
    """Those of its processes that go on; all where none is named."""
    troubles: tuple[Trouble, ...] = ()
    """What befalls the other one; its calls are counted from its start."""

    def __str__(self) -> str:
        how = "is suspended" if self.suspended else "is stopped"
        who = f", only its {' and '.join(self.which)}" if self.which else ""
        more = "".join(f"; there {trouble}" for trouble in self.troubles)
        first = f"the machine {how}, its sessions end after {self.ended_s:g} s, a copy is taken up after {self.copied_s:g} s"
        wakes = "" if self.wakes is Wakes.NEVER else f" {self.when}"
        return f"{first} ({', '.join(map(str, self.moves))}), it wakes {self.wakes}{wakes}{who}{more}"

    def begin(self, scene: Scene) -> None:
        """Once in a scene: no third machine comes."""
        machine = scene.here
        if scene.elsewhere is None and not machine.ended.is_set() and machine.timeline.exists():
            machine.stand_still(suspended=self.suspended)
            scene.elsewhere = asyncio.get_running_loop().create_task(self._told(scene, machine))

    async def _told(self, scene: Scene, first: Machine) -> list[str]:
        loop = asyncio.get_running_loop()
        loop.call_later(self.ended_s, first.cut_off)
        if self.wakes is Wakes.EARLY:
            loop.call_later(self.when.delay, self._wake, scene, first)
        await asyncio.sleep(self.copied_s)
        second, broken = scene.copied(), []
        if second is not None:
            waking = (Trouble("it wakes", self.when, lambda scene: self._wake(scene, first)),) if self.wakes is Wakes.FLYING else ()
            scene.memory.faults.heard.append(Triggers(scene, (*waking, *self.troubles)).hear)
            broken = await scene.flown_by(second, self.moves)
        if self.wakes is Wakes.NEVER:
            tr.machine_lost(first)
        else:
            await asyncio.sleep(self.when.delay)
        self._wake(scene, first)
        return broken

    def _wake(self, scene: Scene, machine: Machine) -> None:
        if not machine.awake.is_set():
            scene.happened.append(f"{tr.now():.4f} {machine.name} wakes, the pair is {scene.owner.name}'s")
            machine.wake(*self.which)


# --- as a seed draws it ------------------------------------------------------------------------------------

SECOND = ("probe *", "servers.lock", "servers.census*", "apply pause*", "apply fence * on", "apply drain*", "apply route pooler*",
          "apply fence * off", "apply resume*", "probe resume*", "apply route channel*")  # fmt: skip
"""Calls of whoever goes on with a run, or home."""


def drawn(dice: Random, when: When) -> Trouble:
    """A standstill that comes `when`."""
    suspended = dice.random() < 0.5
    wakes = dice.choice((Wakes.EARLY, Wakes.FLYING, Wakes.FLYING, Wakes.AFTER, Wakes.AFTER, Wakes.AFTER, Wakes.NEVER))
    ended_s = KEEPALIVE_S if suspended else dice.choice((0.0, 1.0, KEEPALIVE_S))
    copied_s = ended_s + dice.choice((-0.5, 0.0, 0.01, 5.0, 60.0))
    still = Standstill(
        suspended, wakes, _wakes_at(dice, wakes), ended_s, max(copied_s, 0.0), _moves(dice), _which(dice, suspended), _there(dice)
    )
    return Trouble(str(still), when, still.begin)


def _wakes_at(dice: Random, wakes: Wakes) -> When:
    if wakes is Wakes.EARLY:
        return When("", 1, dice.choice((0.5, 2.0, 4.0, 10.0, 24.0, 40.0)))
    if wakes is Wakes.FLYING and dice.random() < 0.7:
        return When(dice.choice(SECOND), dice.choice((1, 1, 2, 3)), dice.choice((0.0, 0.0, 0.0002, 0.001, 0.5)))
    return When("", 1, dice.choice((0.0, 0.001, 0.01, 0.3, 1.0, 3.0, 8.0)))


def _moves(dice: Random) -> tuple[Move, ...]:
    first = dice.choice((("resume",), ("abort-left",), ("resume", "back"), ("abort-left", "fly"), ("resume", "fly")))
    return (*(Move(what, 0.1) for what in first), Move("abort-left"), Move("close"))


def _which(dice: Random, suspended: bool) -> tuple[str, ...]:
    return () if suspended else dice.choice(((), (), ("guardian",), ("pilot",)))


def _there(dice: Random) -> tuple[Trouble, ...]:
    if dice.random() < 0.8:
        return ()
    said, act = dice.choice((("the pilot is killed", tr.pilot_killed), ("both are killed", tr.both_killed)))
    return (Trouble(said, When(dice.choice(SECOND), dice.choice((1, 2)), dice.choice((0.0, 0.0002, 0.5))), act),)


# --- what must hold ---------------------------------------------------------------------------------------------


def standing(scene: Scene) -> Iterator[str]:
    """Law 11: of every machine that does not own the pair any more, or never did."""
    for machine in scene.machines:
        if machine is not scene.owner:
            yield from (f"law 11: {machine.name} did {did.call!r} when the pair was {scene.owner.name}'s" for did in _did(scene, machine))
            yield from _says_so(machine, scene.owned_since)


def _did(scene: Scene, machine: Machine) -> Iterator[Did]:
    """What it changed although the pair was another's by then. Excused is what no server's word is needed for, while none answered."""
    for did in machine.did:
        if did.sent > scene.owned_since and not (_deaf(machine, did.sent) and ("pooler" in did.call or "channel" in did.call)):
            yield did


def _deaf(machine: Machine, at: float) -> bool:
    """The last time that it asked whose the pair is, no server answered."""
    woke = max((until for _, until in machine.stood if until <= at), default=0.0)
    asked = [answer for when, answer in machine.answers if woke <= when <= at]
    return bool(asked) and asked[-1] is Answer.SILENT


def _says_so(machine: Machine, lost_at: float) -> Iterator[str]:
    """Law 7: it verifies; where it went on with what was in the air, it names whose the pair is."""
    content = machine.told
    reading = verify(content)
    if not reading.intact:
        yield f"O7: the timeline of {machine.name} is damaged: record {reading.damaged_record} {reading.damage}"
    if CANARY.encode() in content:
        yield f"O10: a secret is in the timeline of {machine.name}"
    woken = reading.events[machine.woke_at_record :] if machine.stood else ()
    later = [event for event in woken if event.mono + machine.clock.behind > lost_at]
    if not any(map(_went_on, later)) or machine.disk.failed:
        return
    since = [event.fact for event in later]
    if not any(words in repr(fact) for fact in since for words in NAMES_IT) and not machine.killed:
        yield f"law 7: {machine.name} went on and its timeline does not say whose the pair is"


def _went_on(event: ev.Event) -> bool:
    """With a step that changes something, an action, or the way home of a guardian."""
    match event.fact:
        case ev.StepStarted(step=step):
            return step not in UNASKED
        case ev.ModeChanged(mode=Mode.ABORTING):
            return event.by == "guardian"
        case fact:
            return isinstance(fact, ev.ActionIntended)
