"""A pilot flying twins in memory on a warped clock, spoken to as a screen would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from cockpit.handover.approvals import SecondDoor
from cockpit.handover.pilot import Orders, Pilot
from cockpit.handover.plan import lines, make_plan
from cockpit.handover.record import Recorder
from cockpit.handover.watch import Stage
from cockpit.model import events as ev
from cockpit.model.intents import Ask, Intent
from cockpit.model.settings import Scenario
from cockpit.model.state import RunState, replay
from cockpit.model.words import Direction, Mode, Outcome
from cockpit.scenario import load_scenario
from cockpit.systems.memory import MemoryWorld
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from cockpit.timeline.wire import Reply


class Watched:
    """Stands where the thread to the guardian does; keeps the stages."""

    def __init__(self) -> None:
        self.stages: list[tuple[Stage, Direction]] = []
        self.gone = ""

    def missing(self) -> str:
        return self.gone

    def stage(self, stage: Stage, direction: Direction) -> None:
        self.stages.append((stage, direction))


class Seat:
    """A flying pilot and what a lead can do with it; of a timeline that is there already, one that takes it up."""

    def __init__(self, memory: MemoryWorld, folder: Path, scenario: Scenario, second: SecondDoor | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.memory = memory
        self.watched = Watched()
        self.timeline = folder / "timeline.jsonl"
        spec = memory.pair
        plans = {d: make_plan(memory.world(), spec, scenario, "config", d) for d in Direction}
        if self.timeline.exists():
            self.journal, reading = Journal.take_up(self.timeline, "pilot", loop.time)
            self.recorder = Recorder(self.journal, replay(reading.events))
            self.recorder.record(ev.RunTakenUp("ben", "bastion-2", reading.torn))
        else:
            self.journal = Journal.create(self.timeline, "pilot", loop.time)
            self.recorder = Recorder(self.journal)
            self.recorder.record(opened(plans, spec.name))
        ungraceful = make_plan(memory.world(), spec, scenario, "config", Direction.ROLLBACK, ungraceful=True)
        orders = Orders(spec, scenario, plans, ungraceful, folder / "pilot.sock", "ana@bastion pid 1", second)
        self.samples = Samples(folder / "samples.jsonl")
        self.pilot = Pilot(memory.world(), orders, self.recorder, self.samples, watch=self.watched)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.pilot.fly())

    @property
    def state(self) -> RunState:
        return self.recorder.state

    async def ask(self, ask: Ask, argument: str = "") -> Reply:
        return await self.pilot.answer(Intent(ask, "ana", self.state.seq, argument))

    async def until(self, holds: Callable[[RunState], bool], within_s: float = 600.0) -> RunState:
        """The state once `holds`; fails with the timeline's tail when it does not within that many (warped) seconds."""
        try:
            async with asyncio.timeout(within_s):
                while not holds(self.state):
                    if self.task.done():
                        self.task.result()
                        raise AssertionError(f"the pilot left: {self.tail()}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"never so: {self.tail()}") from None
        return self.state

    def tail(self) -> str:
        return "\n".join(f"{e.seq} {e.mono:.3f} {e.kind} {e.fact}" for e in self.state.tail[-25:])

    async def ready(self) -> RunState:
        return await self.until(lambda s: s.mode is Mode.READY)

    async def armed(self) -> RunState:
        """Ready, armed, and waiting for the word."""
        await self.ready()
        assert (await self.ask(Ask.ARM)).ok, self.tail()
        return await self.until(lambda s: s.mode is Mode.ARMED)

    async def hand_over(self) -> Outcome:
        """Arms, confirms, and waits until the handover is closed."""
        number = len(self.state.past)
        assert (await self.ask(Ask.ARM)).ok, self.tail()
        await self.until(lambda s: s.mode is Mode.ARMED or len(s.past) > number)
        if len(self.state.past) == number:
            reply = await self.ask(Ask.GO, self.state.pair)
            assert reply.ok, reply
        return await self.landed(number)

    async def back(self) -> Outcome:
        number = len(self.state.past)
        assert (await self.ask(Ask.BACK)).ok, self.tail()
        return await self.landed(number)

    async def landed(self, number: int) -> Outcome:
        state = await self.until(lambda s: len(s.past) > number and s.mode in {Mode.READY, Mode.STUCK})
        outcome = state.past[-1].outcome
        assert outcome is not None
        return outcome


def opened(plans: dict, pair: str) -> ev.RunOpened:
    return ev.RunOpened(
        "run", pair, "arp", "s", "c", "p", "ana", "bastion", "0", True, 300, 300,
        lines(plans[Direction.CUTOVER]), lines(plans[Direction.ROLLBACK]),
    )  # fmt: skip


def quick_scenario(**tuning: object) -> Scenario:
    """The shipped scenario; the warped clock makes its holds free."""
    scenario = load_scenario("arp")
    return replace(scenario, tuning=replace(scenario.tuning, **tuning)) if tuning else scenario


@asynccontextmanager
async def flying(
    memory: MemoryWorld, folder: Path, scenario: Scenario | None = None, second: SecondDoor | None = None
) -> AsyncIterator[Seat]:
    """A pilot over the world with its apps writing; both have ended afterwards."""
    async with memory:
        seat = Seat(memory, folder, scenario or quick_scenario(), second)
        try:
            yield seat
        finally:
            memory.faults.clear()
            if not seat.task.done():
                seat.pilot.close("the test is over")
                await asyncio.wait_for(asyncio.shield(seat.task), 300)
            seat.samples.close()
            seat.journal.close()
