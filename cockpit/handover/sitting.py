"""By what right a run acts on the pair: on record in its timeline first, then on the servers, and compared with what stands there."""

from __future__ import annotations

from datetime import UTC, datetime

from cockpit.handover.ports import Claim, World
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.intents import SUPERSEDED


class Sitting:
    """The right of one pilot. `claim` is None until its run acts on the pair: who only looks takes it from nobody."""

    def __init__(self, world: World, recorder: Recorder, seat: str) -> None:
        self._world = world
        self._recorder = recorder
        self._seat = seat
        self._seen: frozenset[str] = frozenset()
        """Who was on record when this pilot read which side serves."""
        self.claim: Claim | None = None

    def take(self) -> bool:
        """The run acts on the pair from here on, and the next question for the lock puts that on record there; whether that is new. That is
        so only while nobody else sat down since it was seen which side serves, or since what is half way was left. The timeline says first who
        sits: a later one knows its own."""
        if self.claim is not None or not self._seat:
            return False
        state = self._recorder.state
        taken = ev.SeatTaken(self._seat, round(datetime.now(UTC).timestamp() * 1000))
        self._recorder.try_record(taken)
        kept = self._recorder.state.seats or (taken,)
        before = self._seen | {seat.seat for seat in state.seats}
        self.claim = Claim(kept[-1].seat, taken.epoch, before)  # on a full disk the seat of the one before: nobody else has it
        return True

    async def look(self) -> None:
        """Whoever sits there now has done with the pair: what is read of it next is what was left."""
        self._seen = frozenset(sat.seat for sat in (await self._world.servers.seated()).values())

    async def stands(self) -> bool:
        """Whether what was left is this run's own still, by what the servers that answer say; if not, that is on record."""
        ours = {seat.seat for seat in self._recorder.state.seats}
        for side, sat in (await self._world.servers.seated()).items():
            if ours and sat.seat not in ours:
                self.lost(f"{side}: this pair was taken up by {sat.owner} at {sat.at}")
                return False
        return True

    def lost(self, why: str) -> None:
        """Somebody else took the pair up since: on record, and nothing flies of this run any more."""
        self._recorder.try_record(ev.AlarmRaised(SUPERSEDED, why, remedy="look at the run that was flown since; Q closes this one"))
