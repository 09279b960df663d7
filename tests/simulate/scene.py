"""One run of one story: apps, a guardian, its pilot, a lead and the troubles, on a clock that jumps; then the judgement."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from cockpit.errors import LinkError
from cockpit.handover.guardian import Guardian
from cockpit.handover.pilot import Orders, Pilot
from cockpit.handover.plan import lines, make_plan
from cockpit.handover.record import Recorder
from cockpit.handover.telemetry import Pace
from cockpit.handover.watch import Stage, Watch
from cockpit.model import events as ev
from cockpit.model.plan import Plan
from cockpit.model.settings import Scenario
from cockpit.model.telemetry import Sample
from cockpit.model.words import Direction, Side
from cockpit.scenario import load_scenario
from cockpit.systems.memory import Faults, MemoryWorld, WarpLoop
from cockpit.systems.memory.cluster import now
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from tests.simulate import oracles
from tests.simulate.disk import Disk, WallClock, replaced
from tests.simulate.lead import Lead
from tests.simulate.process import Process, factory, outside
from tests.simulate.story import Story
from tests.simulate.troubles import Outages, Triggers

T = TypeVar("T")
PACE = Pace(lag=0.5, routing=1.0, server=1.0, pooler=1.0, gates=0.5, readiness=5.0, pulse=30.0, shape=5.0, alarms=2.0)
"""Half as often as in the air: what is measured decides by its age alone, and a run's time is the machine's."""
OWNER = "ana@bastion pid 4711"
PATIENCE_S = 2500.0
"""Seconds of the run's own time within which every run must have ended by itself."""
GIVE_UP_S = 600.0
"""After this a person ends a pilot that stands still where no guardian ends it: there is none, or nothing is in the air."""


class Wires(Faults):
    """One process's own way to the world. What it sends is the world's from then on."""

    def __init__(self, base: Faults, process: Process) -> None:
        super().__init__(base.faults, base.calls, base.cut, base.link_timeout_s, base.heard)
        self._base = base
        self._process = process

    async def around(
        self, call: str, effect: Callable[[], Awaitable[T]], sides: Iterable[Side] = (), half: Callable[[], None] | None = None
    ) -> T:
        if self._process.dead:
            raise LinkError("the process is gone", where=call)
        if not call.startswith("apply "):
            return await self._base.around(call, effect, sides, half)
        request = outside(self._base.around(call, effect, sides, half))
        self._process.requests.append(request)
        request.add_done_callback(self._answered)
        return await request

    def _answered(self, request: asyncio.Task[Any]) -> None:
        if not self._process.dead:
            self._process.requests.remove(request)
        if not request.cancelled():
            request.exception()


class Unkept(Samples):
    """Telemetry decides nothing by its file."""

    def __init__(self) -> None:
        pass

    def write(self, sample: Sample) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Child:
    """The pilot's process as its parent has it."""

    pid: int = 4711
    returncode: int | None = None
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    def ended(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = code
            self._gone.set()

    async def wait(self) -> int:
        await self._gone.wait()
        assert self.returncode is not None
        return self.returncode


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run came to."""

    story: Story
    broken: tuple[str, ...]
    """Every law that was broken; empty is good."""
    happened: tuple[str, ...]
    timeline: bytes
    ended: str
    """How it ended, in a word: for the statistics that show what the seeds cover."""


class Scene:
    """A story as it runs. `fly` is the whole of it."""

    def __init__(self, story: Story, folder: Path) -> None:
        self.story = story
        self.folder = folder
        self.memory = MemoryWorld(
            story.seed, apps=story.apps, poolers=story.poolers, channels=story.channels, delay_s=story.delay_s, pause_attempt_s=2.0
        )
        self.scenario = scenario()
        self.pilot = Process("pilot")
        self.guardian = Process("guardian")
        self.recovery = Process("recovery")
        self.child = Child()
        self.disk, self.clock = Disk(), WallClock()
        self.outages = Outages()
        self.happened: list[str] = []
        self.over = False
        self.restarted: set[str] = set()
        self.mirrors_broken: set[Side] = set()
        self.changed_by_hand: dict[str, float] = {}
        self.hand_opened: list[tuple[Side, float]] = []
        self.flown: Pilot | None = None
        self.recorder: Recorder | None = None
        self.code: int | None = None
        self._ended = asyncio.Event()
        self._watching: Guardian | None = None
        self._mend: list[Callable[[], object]] = []
        """What is broken for a while, as what mends it."""
        fate = Random(f"fate {story.seed}")
        self.pilot.survives = self.guardian.survives = lambda: fate.random() < 0.5

    @property
    def timeline(self) -> Path:
        return self.folder / "timeline.jsonl"

    @property
    def _settled(self) -> bool:
        """Nothing was in the air, by the last word that the guardian had."""
        return self._watching is not None and self._watching._stage is Stage.SETTLED

    @property
    def last_written(self) -> Side:
        """The side that took the last write of an app."""
        switches = self.memory.watch.switches
        return switches[-1][1] if switches else Side.BLUE

    # --- the run -------------------------------------------------------------------------------------------

    async def fly(self) -> Verdict:
        asyncio.get_running_loop().set_task_factory(factory)  # type: ignore[arg-type]
        with replaced(self.disk, self.clock, lambda pid, signal: self.kill_pilot()):
            async with self.memory:
                broken = await self._until_over()
                broken += oracles.standing(self)
                broken += await self._afterwards()
            text = self.timeline.read_bytes() if self.timeline.exists() else b""
            verdict = Verdict(self.story, tuple(broken), tuple(self.happened), text, oracles.ending(self))
            await self._bury()
        return verdict

    async def _until_over(self) -> list[str]:
        triggers = Triggers(self, self.story.troubles)
        self.memory.faults.heard.append(triggers.hear)
        watching = self.guardian.run(self._guard())
        lead = asyncio.get_running_loop().create_task(Lead(self).run())
        broken: list[str] = []
        if not await self._ends_within(GIVE_UP_S) and self.pilot.frozen and (self.guardian.dead or self._settled):
            self.kill_pilot()
        if not await self._ends_within(PATIENCE_S):
            broken.append("never ended: neither the pilot nor the guardian has closed the run")
        lead.cancel()
        said = (await asyncio.gather(lead, return_exceptions=True))[0]
        if isinstance(said, Exception):
            broken.append(f"the lead's session broke: {said!r}")
        if self.guardian.dead and not broken:
            await self._take_up()
        elif watching.done() and watching.exception() is not None:
            broken.append(f"the guardian died of {watching.exception()!r}")
        return broken

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def _guard(self) -> None:
        self._watching = guardian = Guardian(self._world(self.guardian), self.timeline, self.scenario.budgets.downtime)
        self.guardian.at_death.append(lambda: self._close(guardian._end))
        try:
            self.code = await guardian.watch(self._spawn)  # type: ignore[arg-type]
        finally:
            self._close(guardian._end)
            self._ended.set()

    async def _take_up(self) -> None:
        """Both processes are gone: what a new one does with the run that they left."""
        guardian = Guardian(self._world(self.recovery), self.timeline, self.scenario.budgets.downtime)
        self.code = await self.recovery.run(guardian._after(self.child, "pilot and guardian were gone"))  # type: ignore[arg-type]

    def _world(self, process: Process) -> Any:
        return self.memory.world(Wires(self.memory.faults, process))

    async def _spawn(self, theirs: socket.socket) -> Child:
        end = theirs.dup()
        self.pilot.at_death.append(lambda: self._close(end))
        self.pilot.run(self._fly(end))
        return self.child

    async def _fly(self, end: socket.socket) -> None:
        """The pilot's process, from its first instruction to its exit code."""
        code = 1
        try:
            code = await self._flight(end)
        finally:
            self.child.ended(code)
            if self.guardian.dead:
                self._ended.set()

    async def _flight(self, end: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        watch = Watch(end)
        thread = asyncio.create_task(watch.run())
        journal = Journal.create(self.timeline, "pilot", loop.time)
        self.pilot.at_death += [journal.close, self._unlock]
        self.recorder = recorder = Recorder(journal)
        try:
            plans = plans_of(self.memory, self.scenario)
            recorder.record(opened(plans, self.memory.pair.name))
            recorder.record(ev.PilotSeated("pilot", self.child.pid, ""))
            orders = Orders(self.memory.pair, self.scenario, plans, self.folder / "pilot.sock", OWNER)
            self.flown = Pilot(self._world(self.pilot), orders, recorder, Unkept(), watch=watch)
            self.flown.telemetry.pace = PACE
            return await self.flown.fly()
        finally:
            thread.cancel()
            await asyncio.gather(thread, return_exceptions=True)
            journal.close()
            end.close()

    # --- what may be done to it -----------------------------------------------------------------------------

    def kill_pilot(self) -> None:
        if self.child.returncode is None:
            self.pilot.kill()
            self.child.ended(-9)
            if self.guardian.dead:
                self._ended.set()

    def kill_guardian(self) -> None:
        self.guardian.kill()
        if self.child.returncode is not None:
            self._ended.set()

    def cut_timeline(self) -> None:
        """What no fsync brought to the disk is gone."""
        if self.timeline.exists():
            with self.timeline.open("r+b") as file:
                file.truncate(self.disk.safe)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """`act` happens then, or when everything is made whole for the judgement."""
        self._mend.append(act)
        if seconds < PATIENCE_S:
            asyncio.get_running_loop().call_later(seconds, self._once(act))

    def opened_by_hand(self, side: Side) -> None:
        self.hand_opened.append((side, now()))

    def _once(self, act: Callable[[], object]) -> Callable[[], None]:
        def do() -> None:
            if act in self._mend:
                self._mend.remove(act)
                act()

        return do

    def _close(self, end: socket.socket | None) -> None:
        if end is not None and end.fileno() >= 0:
            asyncio.get_running_loop()._remove_reader(end.fileno())  # type: ignore[attr-defined]
            end.close()

    def _unlock(self) -> None:
        self.memory.cluster.owner = ""

    # --- afterwards -----------------------------------------------------------------------------------------------

    async def _afterwards(self) -> list[str]:
        """Everything works again, each app has tried, replication has caught up."""
        self.over = True
        self.memory.faults.clear()
        for act in tuple(self._mend):
            act()
        for stream in self.memory.cluster.streams.values():
            stream.stalled = False
        await asyncio.sleep(1.0)
        broken = await oracles.reached(self)
        await self.memory.settle()
        return broken + oracles.contents(self)

    async def _bury(self) -> None:
        self.memory.faults.heard.clear()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited")  # what a killed process was about to do
            for process in (self.pilot, self.guardian, self.recovery):
                await process.bury()
        gc.enable()


_SCENARIO: list[Scenario] = []


def scenario() -> Scenario:
    """The shipped scenario, with gates that need to hold for a second at most: a run's time is the machine's."""
    if not _SCENARIO:
        shipped = load_scenario("arp")
        gates, back = (tuple(replace(g, hold=min(g.hold, 1.0)) for g in found) for found in (shipped.gates, shipped.rollback_gates))
        _SCENARIO.append(replace(shipped, gates=gates, rollback_gates=back))
    return _SCENARIO[0]


def plans_of(memory: MemoryWorld, scenario: Scenario) -> dict[Direction, Plan]:
    return {d: make_plan(memory.world(), memory.pair, scenario, "config", d) for d in Direction}


def opened(plans: dict[Direction, Plan], pair: str) -> ev.RunOpened:
    return ev.RunOpened(
        "run", pair, "arp", "s", "c", "p", "ana", "bastion", "0", True, 300, 300,
        lines(plans[Direction.CUTOVER]), lines(plans[Direction.ROLLBACK]),
    )  # fmt: skip


def fly(story: Story) -> Verdict:
    """The story, flown and judged."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="cockpit-sim-", dir=shm if shm.is_dir() else None))

    async def main() -> Verdict:
        return await Scene(story, folder).fly()

    try:
        with asyncio.Runner(loop_factory=WarpLoop) as runner:
            return runner.run(main())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
