"""A pilot flying twins in memory on a warped clock, spoken to as a screen would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from cockpit.handover.approvals import SecondDoor
from cockpit.handover.orders import Orders
from cockpit.handover.pilot import Pilot
from cockpit.handover.plan import lines, make_plan
from cockpit.handover.record import Recorder
from cockpit.handover.watch import Stage
from cockpit.model import events as ev
from cockpit.model.intents import Ask, Intent
from cockpit.model.settings import Scenario
from cockpit.model.state import RunState, replay
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.scenario import load_scenario
from cockpit.systems.memory import Fault, Faults, MemoryWorld
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from cockpit.timeline.wire import Reply

SEATS = count()


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

    def __init__(
        self, memory: MemoryWorld, folder: Path, scenario: Scenario, second: SecondDoor | None = None, config: str = "config"
    ) -> None:
        loop = asyncio.get_running_loop()
        self.memory = memory
        self.watched = Watched()
        self.seat = f"seat-{next(SEATS)}"
        self.timeline = folder / "timeline.jsonl"
        spec = memory.pair
        plans = {d: make_plan(memory.world(), spec, scenario, config, d) for d in Direction}
        if self.timeline.exists():
            self.journal, reading = Journal.take_up(self.timeline, "pilot", loop.time)
            self.recorder = Recorder(self.journal, replay(reading.events))
            self.recorder.record(ev.RunTakenUp("ben", "bastion-2", reading.torn))
        else:
            self.journal = Journal.create(self.timeline, "pilot", loop.time)
            self.recorder = Recorder(self.journal)
            self.recorder.record(opened(plans, spec.name))
        ungraceful = make_plan(memory.world(), spec, scenario, "config", Direction.ROLLBACK, ungraceful=True)
        orders = Orders(spec, scenario, plans, ungraceful, folder / "pilot.sock", "ana@bastion pid 1", second, seat=self.seat)
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

    async def go_into(self, fault: Fault) -> None:
        """Armed already: the word is given, and the flight meets that trouble."""
        assert (await self.ask(Ask.GO, "arp")).ok, self.tail()
        await self.until(lambda s: bool(fault.seen))

    async def hand_over(self) -> Outcome:
        """Arms, confirms, and waits until the handover is closed."""
        number = len(self.state.past)
        assert (await self.ask(Ask.ARM)).ok, self.tail()
        await self.until(lambda s: s.mode is Mode.ARMED or len(s.past) > number)
        if len(self.state.past) == number:
            reply = await self.ask(Ask.GO, self.state.pair)
            assert reply.ok, reply
        return await self.landed(number)

    async def cut_over(self) -> None:
        """Ready, and handed over: green serves."""
        await self.ready()
        assert await self.hand_over() is Outcome.DONE, self.tail()

    async def abort(self) -> RunState:
        """Asks for it, as after A, then Y, and waits until the run is ready: home, or landed."""
        assert (await self.ask(Ask.ABORT)).ok, self.tail()
        return await self.ready()

    async def back(self) -> Outcome:
        number = len(self.state.past)
        assert (await self.ask(Ask.BACK)).ok, self.tail()
        return await self.landed(number)

    async def landed(self, number: int) -> Outcome:
        state = await self.until(lambda s: len(s.past) > number and s.mode in {Mode.READY, Mode.STUCK})
        outcome = state.past[-1].outcome
        assert outcome is not None
        return outcome

    async def end(self) -> None:
        """The pilot leaves, where it has not, and its files are closed."""
        if not self.task.done():
            self.pilot.close("the test is over")
        await asyncio.wait_for(asyncio.shield(self.task), 300)
        self.samples.close()
        self.journal.close()


def opened(plans: dict, pair: str) -> ev.RunOpened:
    return ev.RunOpened(
        "run", pair, "arp", "s", "c", "p", "ana", "bastion", "0", True, 300, 300,
        lines(plans[Direction.CUTOVER]), lines(plans[Direction.ROLLBACK]),
    )  # fmt: skip


def quick_scenario(**tuning: object) -> Scenario:
    """The shipped scenario; the warped clock makes its holds free."""
    scenario = load_scenario("arp")
    return replace(scenario, tuning=replace(scenario.tuning, **tuning)) if tuning else scenario


def applied(faults: Faults, since: int = 0) -> list[str]:
    """What was done to the world after that many calls."""
    return [call for call in faults.calls[since:] if call.startswith("apply")]


async def whole(memory: MemoryWorld, side: Side) -> None:
    """That side serves, every app writes, and nothing is lost."""
    assert memory.serving is side
    assert await memory.probe_apps() == []
    await memory.settle()
    assert memory.oracle(expect=side, equal=True) == []


@asynccontextmanager
async def seated(
    memory: MemoryWorld, folder: Path, scenario: Scenario | None = None, second: SecondDoor | None = None
) -> AsyncIterator[Seat]:
    """A pilot over a world that others use before or after; it has ended afterwards."""
    seat = Seat(memory, folder, scenario or quick_scenario(), second)
    try:
        yield seat
    finally:
        memory.faults.clear()
        await seat.end()


@asynccontextmanager
async def flying(
    memory: MemoryWorld, folder: Path, scenario: Scenario | None = None, second: SecondDoor | None = None
) -> AsyncIterator[Seat]:
    """A pilot over the world with its apps writing; both have ended afterwards."""
    async with memory, seated(memory, folder, scenario, second) as seat:
        yield seat
