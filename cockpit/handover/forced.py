"""The flight of an ungraceful rollback: the same handover, with a bill instead of gates.

Its steps are `ungraceful.ungraceful_steps`; what a failure means is `flight.Flight`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from cockpit.handover import parting
from cockpit.handover.flight import Flight
from cockpit.handover.home import HOME_S, mirrored_again
from cockpit.handover.plan import planned
from cockpit.handover.procedure import Step
from cockpit.handover.ungraceful import FADE_S, ungraceful_steps
from cockpit.model import bill
from cockpit.model import events as ev
from cockpit.model.settings import Confirmation, StepSpec
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Outcome

READ_S = 60.0
"""Seconds a lead has at least to read a bill before the armed handover expires."""
ARM_S = FADE_S + 15.0
"""Seconds in which an origin that does not answer was listened for, and the bill drawn."""


class Forced(Flight):
    """One ungraceful rollback."""

    UNGRACEFUL = True

    @property
    def confirmation(self) -> Confirmation:
        said = self._scenario.rollback_confirmation
        return replace(said, gesture="typed", expires=max(said.expires, READ_S))

    @property
    def _specs(self) -> Mapping[str, StepSpec]:
        confirm = self._scenario.steps["confirm"]
        arm = self._scenario.steps["arm"]
        longer = {
            "arm": replace(arm, deadline=max(arm.deadline, ARM_S)),
            "confirm": replace(confirm, deadline=max(confirm.deadline, READ_S + 5)),
        }
        return {**self._scenario.steps, **longer}

    @property
    def _gates(self) -> Callable[[], Sequence[GateReading]] | None:
        """None speaks against it: what they guard is what it goes without."""
        return None

    def _course(self) -> Iterable[Step]:
        return ungraceful_steps(self._world, self._spec, self._scenario, self._around.lease.hold)

    def _opening(self, number: int, plan_digest: str) -> ev.HandoverOpened:
        lines = tuple(planned(step, self._scenario) for step in self._steps.values())
        words = self.confirmation.words(self._recorder.state.pair, ungraceful=True)
        return replace(super()._opening(number, plan_digest), confirmation=words, ungraceful=True, steps=lines)

    async def _lock(self) -> None:
        """A side that does not answer need not say that the pair is ours; nobody else may hold the other."""
        await self._around.lease.ask()

    async def _arm(self) -> None:
        await self._runner.step(self._steps["arm"], self._draw_bill)

    async def _arm_again(self) -> None:
        await self._arm()

    async def _draw_bill(self) -> ev.Evidence:
        """What the target has not is on record, as far as it can be known."""
        drawn = await self._world.servers.bill(self.direction.origin, self.direction.target)
        self._recorder.record(ev.BillDrawn(self._number, drawn))
        return {"bill": bill.in_words(drawn)}

    def _home_s(self) -> float:
        """Nobody waits out what is left of a budget for a side that may be dead: the lead can go without it again."""
        return HOME_S

    async def _home(self, why: str, open_ends: Sequence[str]) -> Outcome:
        """Before it is told, the sides that had begun to part follow each other again, as far as that can be."""
        if open_ends:
            origin, target = self.direction.origin, self.direction.target
            missing = f"replicate {origin} to {target} and replicate {target} to {origin} were not made again"
            self._alarm("mirror", f"the way home is not gone to its end: {missing}", "A, then Y settles it; or arm again")
        else:
            await mirrored_again(self._world, self.direction, self._recorder, self._around.lease)
        return await super()._home(why, open_ends)

    async def _touch_down(self, why: str) -> Outcome:
        if not why:
            self._around.apart()
        return await super()._touch_down(why)

    async def _mirrored(self) -> None:
        """The bill as it stands now that the sides have parted, and what is still to be done about the side that was left."""
        await self._tail("mirror", f"{self.direction.target} may hold back its log for {self.direction.origin}")
        await parting.tell(self._world, self.direction, self._recorder)
