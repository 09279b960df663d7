"""A lead that never tires: asks a pilot over its wire, as a screen would, and waits for what the timeline shows."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable

from cockpit.drill import endings
from cockpit.errors import CockpitError, StepTimeout
from cockpit.model.intents import Ask, Intent
from cockpit.model.state import HandoverView, RunState
from cockpit.model.words import Direction, Mode, Side
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Follower
from cockpit.timeline.wire import PilotLink

POLL_S = 0.02
OPEN_S = 60.0
ARM_S = 240.0
LAND_S = 400.0


class Lead:
    """Flies handovers on the run in `folder`."""

    def __init__(self, folder: RunFolder) -> None:
        self._follower = Follower(folder)
        self._link = PilotLink(folder.socket)
        self._folder = folder

    @property
    def state(self) -> RunState:
        return self._follower.state

    async def until(self, holds: Callable[[RunState], bool], within_s: float, what: str) -> RunState:
        """The state once `holds`; `StepTimeout` when it does not in time, the last words of the run's processes in both cases."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while True:
            self._follower.poll()
            if self._follower.behind:
                continue  # half of a timeline shows a run as it was, not as it is
            if self._follower.damage:
                raise CockpitError(self._follower.damage, where=self._folder.name)
            if holds(self.state):
                return self.state
            if self.state.mode is Mode.CLOSED:
                raise CockpitError(f"the run closed while waiting for {what}", where=self._folder.name, remedy=self._last_words())
            if loop.time() > end:
                raise StepTimeout(f"{what} did not come within {within_s:g} s", where=self._folder.name, remedy=self._last_words())
            await asyncio.sleep(POLL_S)

    def _last_words(self) -> str:
        return endings.why(self._folder, self.state) or f"the pilot is {self.state.mode}"

    async def ready(self) -> RunState:
        """The pilot has looked and waits for intents."""
        state = await self.until(lambda s: s.mode in {Mode.READY, Mode.STUCK}, OPEN_S, "a ready pilot")
        await self.meet()
        return state

    async def meet(self) -> None:
        """Intents go to the pilot that flies now."""
        await self._link.close()
        self._link = PilotLink(self._folder.socket)

    async def ask(self, ask: Ask, argument: str = "") -> None:
        """The intent was taken; `CockpitError` with the pilot's reason when it was refused."""
        reply = await self._link.ask(Intent(ask, getpass.getuser(), self.state.seq, argument))
        if not reply.ok:
            raise CockpitError(f"{ask} was refused: {reply.reason}", where=self._folder.name)

    async def hand_over(self) -> HandoverView:
        """One handover to the other side, as closed: a cutover armed and confirmed by name, or a rollback by its key."""
        number = len(self.state.past)
        if self.state.serving is Side.GREEN:
            await self.ask(Ask.BACK)
        else:
            await self.ask(Ask.ARM)
            state = await self.until(lambda s: s.mode is Mode.ARMED or len(s.past) > number, ARM_S, "an armed handover")
            if state.mode is Mode.ARMED:
                await self.ask(Ask.GO, state.pair)
        state = await self.until(lambda s: len(s.past) > number and s.mode in {Mode.READY, Mode.STUCK}, LAND_S, "the handover's end")
        return state.past[-1]

    @property
    def next_direction(self) -> Direction:
        return self.state.next_direction

    async def close_run(self) -> int:
        """The run is closed; its exit code."""
        if self.state.mode is not Mode.CLOSED:
            await self.ask(Ask.CLOSE, self.state.pair)
        state = await self.until(lambda s: s.mode is Mode.CLOSED, OPEN_S, "the run's end")
        return state.exit_code or 0

    async def leave(self) -> None:
        """Nothing is held open."""
        await self._link.close()
        self._follower.close()
