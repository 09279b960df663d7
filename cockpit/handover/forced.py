"""The flight of an ungraceful rollback: the same handover, with a bill instead of gates.

Its steps are `ungraceful.ungraceful_steps`; what a failure means is `flight.Flight`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from cockpit.handover.flight import Flight
from cockpit.handover.plan import planned
from cockpit.handover.procedure import Step
from cockpit.handover.record import in_words, remedy_of
from cockpit.handover.ungraceful import ungraceful_steps
from cockpit.model import bill
from cockpit.model import events as ev
from cockpit.model.settings import Confirmation, StepSpec
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Outcome

READ_S = 60.0
"""Seconds a lead has at least to read a bill before the armed handover expires."""
BILL_S = 10.0
"""Seconds in which the bill is drawn once more after the landing, and the mirror made again after an abort."""


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
        return {**self._scenario.steps, "confirm": replace(confirm, deadline=max(confirm.deadline, READ_S + 5))}

    @property
    def _gates(self) -> Callable[[], Sequence[GateReading]] | None:
        """None speaks against it: what they guard is what it goes without."""
        return None

    def _course(self) -> Iterable[Step]:
        return ungraceful_steps(self._world, self._spec, self._scenario)

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

    async def _home(self, why: str, open_ends: Sequence[str]) -> Outcome:
        """Before it is told, the sides that had begun to part follow each other again, as far as that can be."""
        if not open_ends:
            await self._mirror_again()
        return await super()._home(why, open_ends)

    async def _mirror_again(self) -> None:
        origin, target = self.direction.origin, self.direction.target
        for back in (self._world.servers.replicate(origin, target, copy=False), self._world.servers.replicate(target, origin, copy=False)):
            try:
                async with asyncio.timeout(BILL_S):
                    await self._runner.action(back)
            except Exception as err:
                self._alarm("mirror", f"{back.name}: {in_words(err)}", remedy_of(err))

    async def _mirrored(self) -> None:
        """The bill as it stands now that the sides have parted, and what is still to be done about the side that was left."""
        origin, target = self.direction.origin, self.direction.target
        await self._tail("mirror", f"{target} may hold back its log for {origin}")
        try:
            async with asyncio.timeout(BILL_S):
                told = (await self._draw_bill())["bill"]
        except Exception as err:
            told = f"it could not be drawn again: {in_words(err)}"
        run = self._recorder.state.run
        self._alarm("bill", f"{origin} holds what {target} has not: {told}", f"`cockpit bill {run}` exports it once {origin} answers")
        if await self._fenced(origin) is not True:
            self._alarm(f"open: fence {origin} on", f"{origin} did not answer and may not be fenced", "it is fenced as soon as it answers")
