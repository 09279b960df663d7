"""Striking a run with a fault at its time: the run is followed as any reader follows it, struck once, and relieved again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from cockpit.drill.environment import Site
from cockpit.drill.faults import FAR_S, READY, Fault
from cockpit.drill.folders import Claim
from cockpit.drill.harm import Relief, Scene, nothing
from cockpit.errors import CockpitError
from cockpit.model.state import RunState, StepView
from cockpit.model.text import plain
from cockpit.model.words import Mode
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Follower

LOOK_S = 0.002

Due = Callable[[RunState], bool]


def due_of(fault: Fault) -> Due:
    """When the fault strikes: its step has started, or the run has been ready for a while."""
    if fault.at == READY:
        return lambda state: state.mode is Mode.READY and len(state.gates) > 0
    return lambda state: any(s.id == fault.at and s.started_mono is not None for s in _steps(state))


def _steps(state: RunState) -> tuple[StepView, ...]:
    handover = state.handover
    return handover.steps if handover is not None and handover.outcome is None else ()


@dataclass(frozen=True, slots=True)
class Struck:
    """When and where a fault struck."""

    mono: float
    seq: int
    mode: str
    step: str
    handover: int | None
    """The number of the one in the air."""

    @property
    def where(self) -> str:
        return f"{self.mode} {self.step}".strip()


@dataclass(slots=True)
class Striker:
    """One fault on one run. `run` returns when it has struck and, where the fault lasts for a time, when it was undone."""

    site: Site
    claim: Claim
    folder: RunFolder
    guardian: int
    fault: Fault
    due: Due
    struck: Struck | None = None
    failure: str = ""
    """Why the harm or its relief could not be done; empty while they could."""
    _relief: Relief = nothing
    _undone: bool = field(default=False)

    async def run(self) -> None:
        follower = Follower(self.folder)
        self._sit(FAR_S if self.fault.at != READY else 0.0)
        try:
            while not self.due(follower.state):
                await asyncio.sleep(LOOK_S)
                follower.poll()
        finally:
            follower.close()
        await self._strike(follower.state)
        if self.fault.lasts_s is not None:
            await asyncio.sleep(self.fault.lasts_s)
            await self.undo()

    async def _strike(self, state: RunState) -> None:
        direction = state.handover.direction if _steps(state) and state.handover else state.next_direction
        scene = Scene(self.site, self.claim, self.folder, state.owner_pid, self.guardian, direction)
        flying = state.handover if _steps(state) else None
        step = flying.current.id if flying and flying.current else ""
        self.struck = Struck(asyncio.get_running_loop().time(), state.seq, state.mode, step, flying.number if flying else None)
        try:
            self._relief = await self.fault.harm(scene)
        except CockpitError as err:
            self.failure = plain(err, 200)

    async def undo(self) -> None:
        """The fault is over. Safe to repeat."""
        self._sit(0.0)
        relief, self._relief = self._relief, nothing
        try:
            await relief()
        except CockpitError as err:
            self.failure = self.failure or plain(err, 200)

    def _sit(self, far_s: float) -> None:
        """The cockpit sits that far from everything it speaks to, where the rig has proxies."""
        for name, way in self.site.ways.items():
            if not name.startswith("to-"):
                way.far_s = far_s
