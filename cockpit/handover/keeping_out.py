"""What is owed of a side that an ungraceful handover left and that may come back open, once its pilot has died: it is looked for, and shut out
as soon as it answers. Until then run and pair are free: whoever takes the run up does the same, and more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cockpit.errors import JournalError, Superseded
from cockpit.handover import parting
from cockpit.handover.home import HOME_S, until_shut_out
from cockpit.handover.lease import Lease
from cockpit.handover.ports import World
from cockpit.handover.record import Recorder
from cockpit.handover.ungraceful import BACK_S, SLOWEST_S, answers
from cockpit.model import events as ev
from cockpit.model.state import RunState
from cockpit.model.words import Direction, Mode
from cockpit.timeline.journal import is_flown, read


async def shut_out_seen(world: World, direction: Direction, recorder: Recorder) -> None:
    """That the origin is shut out is on record; and the bill, which can be counted now, while nobody has read it."""
    recorder.try_record(ev.ShutOut(direction.origin))
    fence = f"open: {world.servers.fence(direction.origin, on=True).name}"
    if any(alarm.id == fence for alarm in recorder.state.alarms):
        recorder.try_record(ev.AlarmCleared(fence))
    if recorder.state.owed is not None:
        await parting.tell(world, direction, recorder)


@dataclass(frozen=True, slots=True)
class KeepingOut:
    """One guardian's watch for the side that was left."""

    world: World
    direction: Direction
    lease: Lease
    timeline: Path
    take_up: Callable[[], tuple[RunState, Recorder]]
    told: asyncio.Event
    """Set when this process is to end."""

    async def done(self, recorder: Recorder) -> Recorder | None:
        """The run's recorder once the side is shut out, which is on record; None where the run is left open, what is open on record by name:
        this process was told to end, or somebody else has taken the run or the pair up."""
        held: Recorder | None = recorder
        left_at, pause = 0, BACK_S
        while True:
            back = await self._back()
            if back and held is None:
                held = self._again()
                if self._is_anothers(left_at):
                    if held is not None:
                        held.let_go()
                    return None
            if back and held is not None:
                try:
                    if await self._shut_out(held):
                        return held
                except Superseded as err:
                    self._leave(held, err.brief)
                    return None
            if held is not None:
                left_at = self._leave(held, "the guardian shuts it out as soon as it answers") or left_at
                await self.world.servers.close()  # and with the connections the pair's lock
                held = None
            if self.told.is_set():
                return None
            await self._pause(pause)
            pause = min(pause * 2, SLOWEST_S) if back else BACK_S

    async def _back(self) -> bool:
        """The side answers, whatever it says."""
        try:
            return await answers(self.world.servers.fence(self.direction.origin, on=True)) is not None
        except Exception:  # one that is just starting refuses
            return False

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.told.wait()

    def _leave(self, held: Recorder, what: str) -> int:
        """The number of the newest record: the run is open for whoever takes it up."""
        said = "; ".join(held.state.open_words)
        why = f"{self.direction.origin} was left and is not shut out: {what}. Open: {said}"
        if held.state.mode_why != why:
            held.try_record(ev.ModeChanged(Mode.STUCK, why))
        held.let_go()
        return held.state.seq

    def _again(self) -> Recorder | None:
        """The run's recorder; None while another process writes its timeline. Where that cannot be read it goes without."""
        state, recorder = self.take_up()
        return None if not state.run and is_flown(self.timeline) else recorder

    def _is_anothers(self, left_at: int) -> bool:
        """Since it was left another pilot flies the run, or has flown it; or it was closed."""
        try:
            events = read(self.timeline).events
        except JournalError:
            return False
        return any(e.seq > left_at and isinstance(e.fact, ev.RunTakenUp | ev.PilotSeated | ev.RunClosed) for e in events)

    async def _shut_out(self, held: Recorder) -> bool:
        """It was shut out in one go; not where it fell silent again or would not be. `Superseded` where the pair is another's."""
        try:
            async with asyncio.timeout(HOME_S):
                await self.lease.ask()
                await until_shut_out(self.world, self.direction, held, self.lease)
            await shut_out_seen(self.world, self.direction, held)
        except Superseded:
            raise
        except Exception:  # whatever a server that is just coming back says: it is looked for again
            return False
        return True
