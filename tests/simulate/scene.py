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
from cockpit.model.state import replay
from cockpit.model.telemetry import Sample
from cockpit.model.words import Direction, Side
from cockpit.scenario import load_scenario
from cockpit.systems.memory import Faults, MemoryWorld, WarpLoop
from cockpit.systems.memory.cluster import now
from cockpit.systems.memory.faults import Fault
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from tests.simulate import oracles
from tests.simulate.disk import Disk, WallClock, replaced
from tests.simulate.lead import Lead
from tests.simulate.process import Process, factory, outside
from tests.simulate.story import Move, Story
from tests.simulate.troubles import Outages, Triggers

T = TypeVar("T")
PID = 4711
PACE = Pace(lag=0.5, routing=1.0, server=1.0, pooler=1.0, gates=0.5, readiness=5.0, pulse=30.0, shape=5.0, alarms=2.0)
"""Half as often as in the air: what is measured decides by its age alone, and a run's time is the machine's."""
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

    pid: int
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
        self.child = Child(PID)
        self.taken_up = 0
        """How often somebody took the run up again after both processes were gone."""
        self.disk, self.clock = Disk(), WallClock()
        self.outages = Outages()
        self.happened: list[str] = []
        self.over = False
        self.restarted: set[str] = set()
        self.mirrors_broken: set[Side] = set()
        self.changed_by_hand: dict[str, float] = {}
        self.hand_opened: list[tuple[Side, float]] = []
        self.flown: Pilot | None = None
        self.flights: list[tuple[float, float]] = []
        """Of every pilot, from when until when it lived."""
        self.struck: list[Fault] = []
        """Faults that are over."""
        self.came_back: list[float] = []
        """When green answered the cockpit again."""
        self.kept: tuple[str, ...] = ()
        """What green's slot kept when the run had ended, of an ungraceful rollback."""
        self.recorder: Recorder | None = None
        self.code: int | None = None
        self._ended = asyncio.Event()
        self._watching: Guardian | None = None
        self._graves: list[Process] = []
        self._mend: list[Callable[[], object]] = []
        """What is broken for a while, as what mends it."""
        self._fate = Random(f"fate {story.seed}")
        self.pilot.survives = self.guardian.survives = self._survives

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
        broken = await self._until_left(self.story.moves)
        # A guardian that lives owes the end of the run; only where it was killed a person comes, and once more where that failed.
        while not broken and (self.guardian.dead or self.taken_up) and oracles.left_open(self) and self.taken_up < 2:
            broken = await self._take_up()
        return broken

    async def _until_left(self, moves: tuple[Move, ...]) -> list[str]:
        """Guardian and pilot have flown what the lead said, and both are gone."""
        watching = self.guardian.run(self._guard())
        lead = asyncio.get_running_loop().create_task(Lead(self, moves).run())
        broken: list[str] = []
        if not await self._ends_within(GIVE_UP_S) and self.pilot.frozen and (self.guardian.dead or self._settled):
            self.kill_pilot()
        if not await self._ends_within(PATIENCE_S):
            broken.append("never ended: neither the pilot nor the guardian has closed the run")
        lead.cancel()
        said = (await asyncio.gather(lead, return_exceptions=True))[0]
        if isinstance(said, Exception):
            broken.append(f"the lead's session broke: {said!r}")
        if not self.guardian.dead and watching.done() and watching.exception() is not None:
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
        process = self.guardian
        self._watching = guardian = Guardian(self._world(self.guardian), self.timeline, self.scenario.budgets.downtime, owner)
        self.guardian.at_death += [lambda: self._close(guardian._end), lambda: self._unlock(owner(1))]
        try:
            self.code = await guardian.watch(self._spawn)  # type: ignore[arg-type]
        finally:
            process.leave()
            self._ended.set()

    async def _take_up(self) -> list[str]:
        """Both processes were gone: somebody takes the run up, at once, and once more when everything works again."""
        self.taken_up += 1
        if self.taken_up == 2:
            self._mend_all()
        self._graves += [self.pilot, self.guardian]
        self.pilot, self.guardian = Process("pilot", survives=self._survives), Process("guardian", survives=self._survives)
        self.child, self.flown, self._ended = Child(PID + self.taken_up), None, asyncio.Event()
        word = self._fate.choice(("resume", "abort-left"))
        return await self._until_left((Move(word), Move("abort-left"), Move("close")))

    def _world(self, process: Process) -> Any:
        return self.memory.world(Wires(self.memory.faults, process))

    async def _spawn(self, theirs: socket.socket) -> Child:
        end = theirs.dup()
        self.pilot.at_death.append(lambda: self._close(end))
        self.pilot.run(self._fly(end))
        return self.child

    async def _fly(self, end: socket.socket) -> None:
        """The pilot's process, from its first instruction to its exit code."""
        code, process, seated = 1, self.pilot, now()
        process.at_death.append(lambda: self.flights.append((seated, now())))
        try:
            code = await self._flight(end)
        finally:
            process.leave()
            self.child.ended(code)
            if self.guardian.dead:
                self._ended.set()

    async def _flight(self, end: socket.socket) -> int:
        watch = Watch(end)
        thread = asyncio.create_task(watch.run())
        pid, plans = self.child.pid, plans_of(self.memory, self.scenario)
        recorder, journal = self._recorded(plans)
        self.pilot.at_death += [journal.close, lambda: self._unlock(owner(pid))]
        self.recorder = recorder
        try:
            recorder.record(ev.PilotSeated("pilot", pid, ""))
            orders = Orders(
                self.memory.pair, self.scenario, plans, ungraceful_of(self.memory, self.scenario), self.folder / "pilot.sock", owner(pid)
            )
            self.flown = Pilot(self._world(self.pilot), orders, recorder, Unkept(), watch=watch)
            self.flown.telemetry.pace = PACE
            return await self.flown.fly()
        finally:
            thread.cancel()
            await asyncio.gather(thread, return_exceptions=True)
            journal.close()
            end.close()

    def _recorded(self, plans: dict[Direction, Plan]) -> tuple[Recorder, Journal]:
        """The run's timeline: begun, or taken up where another pilot left it."""
        clock = asyncio.get_running_loop().time
        if self.timeline.exists():
            journal, reading = Journal.take_up(self.timeline, "pilot", clock)
            recorder = Recorder(journal, replay(reading.events))
            self.pilot.at_death.append(journal.close)
            recorder.record(ev.RunTakenUp("ben", "bastion-2", reading.torn))
            return recorder, journal
        journal = Journal.create(self.timeline, "pilot", clock)
        self.pilot.at_death.append(journal.close)
        recorder = Recorder(journal)
        recorder.record(opened(plans, self.memory.pair.name))
        return recorder, journal

    def _survives(self) -> bool:
        return self._fate.random() < 0.5

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

    def _unlock(self, whose: str) -> None:
        """The servers give a session's lock away with the session."""
        if self.memory.cluster.owner == whose:
            self.memory.cluster.owner = ""

    def _mend_all(self) -> None:
        """Everything works again."""
        self.struck += self.memory.faults.faults
        self.memory.faults.clear()
        self.disk.ache = None
        for act in tuple(self._mend):
            act()
        self._mend.clear()
        for stream in self.memory.cluster.streams.values():
            stream.stalled = False

    # --- afterwards -----------------------------------------------------------------------------------------------

    async def _afterwards(self) -> list[str]:
        """Everything works again, each app has tried, replication has caught up."""
        self.over = True
        self._mend_all()
        await asyncio.sleep(1.0)
        broken = await oracles.reached(self)
        await self.memory.settle()
        return broken + oracles.contents(self)

    async def _bury(self) -> None:
        self.memory.faults.heard.clear()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited")  # what a killed process was about to do
            for process in (*self._graves, self.pilot, self.guardian):
                await process.bury()
        gc.enable()


def owner(pid: int) -> str:
    """How a process names itself to the lock on the servers."""
    return f"ana@bastion pid {pid}"


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


def ungraceful_of(memory: MemoryWorld, scenario: Scenario) -> Plan:
    return make_plan(memory.world(), memory.pair, scenario, "config", Direction.ROLLBACK, ungraceful=True)


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
