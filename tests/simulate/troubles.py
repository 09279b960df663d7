"""What befalls a world: when it comes, what it does, what it says, and what it excuses.

An excuse is a system that was out of reach, from when to when. The oracles take no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.systems.memory.cluster import now
from tests.simulate.disk import Ache, Moment

if TYPE_CHECKING:
    from tests.simulate.machine import Machine
    from tests.simulate.scene import Scene

CANARY = "canary-7f3a-secret"
"""Stands in what a foreign driver says; may stand nowhere else."""
FOR_EVER = 1e9
OWN_S = 20.0
"""The deadline of its own that every port's call keeps."""


@dataclass(frozen=True, slots=True)
class When:
    """`delay` seconds after the `nth` call that `call` matches was about to be made; without a call, after the start."""

    call: str = ""
    nth: int = 1
    delay: float = 0.0

    def __str__(self) -> str:
        after = f" {self.delay:g} s after" if self.call and self.delay else ""
        return f"{after} call {self.nth} of {self.call!r}".strip() if self.call else f"at {self.delay:g} s"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`act` happens `when`; `said` tells a person what it is."""

    said: str
    when: When
    act: Callable[[Scene], None]

    def __str__(self) -> str:
        return f"{self.when}: {self.said}"


@dataclass(slots=True)
class Outages:
    """Which systems were out of the cockpit's reach, and when."""

    spans: list[tuple[str, float, float]] = field(default_factory=list)

    def add(self, system: str, seconds: float) -> None:
        self.spans.append((system, now(), now() + seconds))

    def seconds(self, system: str, since: float, until: float) -> float:
        """For how long of this time the system was out of reach."""
        clipped = sorted((max(a, since), min(b, until)) for name, a, b in self.spans if name == system and b > since and a < until)
        total, reached = 0.0, since
        for a, b in clipped:
            total += max(b - max(a, reached), 0.0)
            reached = max(reached, b)
        return total


class Triggers:
    """Lets each trouble come when its time has come."""

    def __init__(self, scene: Scene, troubles: tuple[Trouble, ...]) -> None:
        self._scene = scene
        self._waiting = [[trouble, 0] for trouble in troubles if trouble.when.call]
        loop = asyncio.get_running_loop()
        for trouble in troubles:
            if not trouble.when.call:
                loop.call_later(trouble.when.delay, self._come, trouble)

    def hear(self, call: str) -> None:
        for entry in tuple(self._waiting):
            trouble: Trouble = entry[0]  # type: ignore[assignment]
            if fnmatchcase(call, trouble.when.call):
                entry[1] += 1  # type: ignore[operator]
                if entry[1] == trouble.when.nth:
                    self._waiting.remove(entry)
                    Context().run(self._due, trouble)  # what comes is the world's, whoever made the call

    def _due(self, trouble: Trouble) -> None:
        if trouble.when.delay:
            asyncio.get_running_loop().call_later(trouble.when.delay, self._come, trouble)
        else:
            self._come(trouble)

    def _come(self, trouble: Trouble) -> None:
        if not self._scene.over:
            self._scene.happened.append(f"{now():.4f} {trouble.said}")
            trouble.act(self._scene)


# --- what may happen ---------------------------------------------------------------------------------------


def server_down(side: Side, seconds: float) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        node = scene.memory.cluster.nodes[side]
        node.crash()
        scene.outages.add(str(side), seconds)
        scene.later(seconds, lambda: recovered(scene, side))

    return act


def recovered(scene: Scene, side: Side) -> None:
    scene.memory.cluster.nodes[side].recover()
    _back(scene, side)


def reachable(scene: Scene, side: Side) -> None:
    scene.memory.faults.link_up(side)
    _back(scene, side)


def _back(scene: Scene, side: Side) -> None:
    if side is Side.GREEN:
        scene.came_back.append(now())


def link_cut(side: Side, seconds: float) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.memory.faults.link_down(side)
        scene.outages.add(str(side), seconds)
        scene.later(seconds, lambda: reachable(scene, side))

    return act


def pooler_down(number: int, seconds: float) -> Callable[[Scene], None]:
    """Killed, and started again after `seconds`: then it is not paused."""

    def act(scene: Scene) -> None:
        state = scene.memory.poolers[number]
        state.go_down()
        scene.outages.add(state.name, seconds)
        scene.restarted.add(state.name)
        scene.later(seconds, state.come_up)

    return act


def silent(system: str, kind: str, seconds: float) -> Callable[[Scene], None]:
    """Every call to the system fails or hangs for a while."""

    def act(scene: Scene) -> None:
        fault = scene.memory.faults.add(f"*{system}*", kind, times=0, seconds=OWN_S if kind == "hang" else 0.0)
        scene.outages.add(system, seconds)
        scene.later(seconds, lambda: setattr(fault, "on", "over"))

    return act


def stalled(origin: Side, seconds: float) -> Callable[[Scene], None]:
    """The walsender is gone or nothing moves, for a while."""

    def act(scene: Scene) -> None:
        stream = scene.memory.cluster.streams[origin]
        stream.pump()
        stream.stalled = True
        scene.later(seconds, lambda: setattr(stream, "stalled", False))

    return act


def pilot_killed(scene: Scene) -> None:
    scene.here.kill_pilot()


def pilot_frozen(seconds: float) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        pilot = scene.here.pilot
        pilot.freeze()
        scene.later(seconds, pilot.thaw)

    return act


def guardian_killed(scene: Scene) -> None:
    scene.here.kill_guardian()


def both_killed(scene: Scene) -> None:
    machine_lost(scene.here)


def power_cut(scene: Scene) -> None:
    """The cockpit's machine is gone, and with it what no fsync had brought to the disk."""
    both_killed(scene)
    scene.here.cut_timeline()


def machine_lost(machine: Machine) -> None:
    machine.kill_guardian()
    machine.kill_pilot()


def clock_moved(seconds: float) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.clock.moved += timedelta(seconds=seconds)

    return act


def disk_aches(ache: Ache) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.here.disk.ache = Ache(ache.fail, scene.here.disk.written + ache.nth, ache.times)

    return act


def killed_at_record(number: int, moment: Moment) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.here.disk.kills["pilot", number, moment] = scene.here.kill_pilot

    return act


def call_fails(on: str, kind: str, nth: int, times: int, seconds: float, error: str) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        made = {
            "": None,
            "refused": SystemFault("permission denied", where="somewhere", code="42501"),
            "foreign": RuntimeError(f"password={CANARY}"),
            "os": OSError(104, f"reset {CANARY}"),
        }[error]
        scene.memory.faults.add(on, kind, nth=nth, times=times, seconds=seconds, error=made)

    return act


# --- people and apps -----------------------------------------------------------------------------------------


def slot_dropped(origin: Side) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        stream = scene.memory.cluster.streams[origin]
        stream.pump()
        stream.exists = False
        scene.mirrors_broken.add(origin)

    return act


def subscription_disabled(origin: Side) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        stream = scene.memory.cluster.streams[origin]
        stream.pump()
        stream.enabled = False
        scene.mirrors_broken.add(origin)

    return act


def pooler_resumed(number: int) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.memory.poolers[number].resume()

    return act


def fence_removed(side: Side) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        node = scene.memory.cluster.nodes[side]
        if node.fenced:
            node.fenced = False
            scene.opened_by_hand(side)

    return act


def schema_changed(side: Side) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.memory.cluster.nodes[side].schema += 1

    return act


def sequence_moved(side: Side, by: int) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        sequences = scene.memory.cluster.nodes[side].sequences
        sequences["orders_id_seq"] = max(sequences["orders_id_seq"] + by, 0)

    return act


def channel_changed(number: int, side: Side) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        state = scene.memory.channels[number]
        if side is not scene.last_written and not scene.memory.cluster.nodes[side].fenced:
            return  # he would make the two sides differ without a cockpit
        state.change(side)
        scene.changed_by_hand[state.name] = now()

    return act


def prepared(side: Side, seconds: float) -> Callable[[Scene], None]:
    """A transaction manager prepared one where it could write; it is committed `seconds` later, or never."""

    def act(scene: Scene) -> None:
        node = scene.memory.cluster.nodes[side]
        gid = f"gid-{len(scene.happened)}"
        if not node.up or node.fenced or scene.last_written is not side:
            return
        node.prepare(gid, f"prepared-{gid}", "manager")
        scene.later(seconds, lambda: gid in node.prepared and node.up and node.finish_prepared(gid))

    return act
