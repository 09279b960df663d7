"""One machine of a scene: a guardian, its pilot, the folder that they keep the run in, a disk, and clocks that stand still when it does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cockpit.errors import LinkError, Refused
from cockpit.handover.guardian import Guardian
from cockpit.handover.orders import Orders
from cockpit.handover.pilot import Pilot
from cockpit.handover.plan import lines, make_plan
from cockpit.handover.ports import Claim
from cockpit.handover.record import Recorder
from cockpit.handover.telemetry import Pace
from cockpit.handover.watch import Stage, Watch
from cockpit.model import events as ev
from cockpit.model.plan import Plan
from cockpit.model.settings import Scenario
from cockpit.model.state import replay
from cockpit.model.telemetry import Sample
from cockpit.model.words import Direction, Side
from cockpit.systems.memory import Faults, MemoryWorld
from cockpit.systems.memory.cluster import Cluster, Node, now
from cockpit.systems.memory.lock import MemoryLock
from cockpit.systems.memory.servers import MemoryServers
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from tests.simulate.clocks import Clock, loop
from tests.simulate.disk import Disk
from tests.simulate.process import Process, outside

if TYPE_CHECKING:
    from tests.simulate.scene import Scene

T = TypeVar("T")
PIDS = (4711, 8711)
PEOPLE = ("ana@bastion", "ben@bastion-2")
PACE = Pace(lag=0.5, routing=1.0, server=1.0, pooler=1.0, gates=0.5, readiness=5.0, pulse=30.0, shape=5.0, alarms=2.0)
"""Half as often as in the air: what is measured decides by its age alone, and a run's time is the machine's."""


class Wires(Faults):
    """One process's own way to the world. What it sends is the world's from then on, and so is what is answered about the lock: who stands
    still reads it when it wakes."""

    def __init__(self, base: Faults, process: Process, machine: Machine) -> None:
        super().__init__(base.faults, base.calls, base.cut, base.link_timeout_s, base.heard)
        self._base = base
        self._process = process
        self._machine = machine

    async def around(
        self, call: str, effect: Callable[[], Awaitable[T]], sides: Iterable[Side] = (), half: Callable[[], None] | None = None
    ) -> T:
        if self._process.dead:
            raise LinkError("the process is gone", where=call)
        if not call.startswith("apply ") and call != "servers.lock":
            return await self._base.around(call, effect, sides, half)
        sent = now()

        async def made() -> T:
            result = await effect()
            if call != "servers.lock":
                self._machine.did.append(Did(sent, call))
            return result

        def begun() -> None:
            if half is not None:
                half()
                self._machine.did.append(Did(sent, f"half of {call}"))

        request = outside(self._base.around(call, made, sides, begun))
        self._process.requests.append(request)
        request.add_done_callback(self._answered)
        return await request

    def _answered(self, request: asyncio.Task[Any]) -> None:
        if not self._process.dead:
            self._process.requests.remove(request)
        if not request.cancelled():
            request.exception()


class Lock(MemoryLock):
    """The twin of the lock, which tells the scene whose the pair was when somebody asked."""

    machine: Machine
    process: Process

    def ask(self, cluster: Cluster, answering: Sequence[Node], owner: str, claim: Claim | None) -> None:
        try:
            super().ask(cluster, answering, owner, claim)
        except Refused:
            self.machine.heard(Answer.REFUSED)
            raise
        self.machine.heard(Answer.OURS if answering else Answer.SILENT)

    def take(self, cluster: Cluster, owner: str) -> None:
        """A question that outlives its process may be answered; the session that then has the lock ends with the answer."""
        if not self.process.dead:
            super().take(cluster, owner)


class Servers(MemoryServers):
    """The twin of the servers; a machine that was suspended has heard nothing of a connection that was ended meanwhile."""

    machine: Machine

    async def lock(self, owner: str, claim: Claim | None = None) -> None:
        before = len(self.machine.answers)
        try:
            await super().lock(owner, claim)
        except BaseException:
            if len(self.machine.answers) == before:
                self.machine.heard(Answer.SILENT)
            raise

    @property
    def lock_lost(self) -> bool:
        return not self.machine.deaf and self._lock.lost(self.cluster)


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


class Answer(StrEnum):
    """What the servers said when they were asked whose the pair is."""

    OURS = "ours"
    REFUSED = "another's"
    SILENT = "nothing"


@dataclass(frozen=True, slots=True)
class Did:
    """One action that took effect, and when it had been sent."""

    sent: float
    call: str


class Machine:
    """Guardian and pilot of one run folder, and what they have of their machine. `number`: 0 is where the run was begun."""

    def __init__(self, scene: Scene, number: int, folder: Path) -> None:
        self.scene = scene
        self.number = number
        self.folder = folder
        self.disk, self.clock = Disk(), Clock()
        self.taken_up = 0
        """How often somebody took the run up here after both processes were gone."""
        self.child = Child(PIDS[number])
        self.pilot, self.guardian = self._process("pilot"), self._process("guardian")
        self.flown: Pilot | None = None
        self.recorder: Recorder | None = None
        self.flights: list[tuple[float, float]] = []
        """Of every pilot, from when until when it lived and no machine stood still."""
        self.did: list[Did] = []
        self.answers: list[tuple[float, Answer]] = []
        self.stood: list[tuple[float, float]] = []
        """From when until when this machine stood still."""
        self.woke_at_record = 0
        """How many records the timeline had when it woke."""
        self.deaf = False
        """It was suspended, and has not asked a server since."""
        self.awake = asyncio.Event()
        self.awake.set()
        self.ended = asyncio.Event()
        self.watching: Guardian | None = None
        self._graves: list[Process] = []

    @property
    def timeline(self) -> Path:
        return self.folder / "timeline.jsonl"

    @property
    def told(self) -> bytes:
        """Its timeline as it is now."""
        return self.timeline.read_bytes() if self.timeline.exists() else b""

    @property
    def _settled(self) -> bool:
        """Nothing was in the air, by the last word that the guardian had."""
        return self.watching is not None and self.watching._stage is Stage.SETTLED

    @property
    def _seat(self) -> str:
        """Whoever takes the run up sits down anew."""
        return f"seat {self.number}.{self.taken_up}"

    def owner(self, pid: int) -> str:
        """How a process names itself to the lock on the servers."""
        return f"{PEOPLE[self.number]} pid {pid}"

    @property
    def name(self) -> str:
        return PEOPLE[self.number]

    @property
    def killed(self) -> bool:
        """Nobody was left who could have said what it knew."""
        return self.guardian.dead and self.child.returncode == -9

    def heard(self, answer: Answer) -> None:
        self.deaf = self.deaf and not self.awake.is_set()
        self.answers.append((now(), answer))
        if answer is Answer.OURS:
            self.scene.owned_by(self)

    # --- its processes ---------------------------------------------------------------------------------------

    def begin(self) -> asyncio.Task[None]:
        """The guardian starts, and with it the pilot."""
        return self.guardian.run(self._guard())

    def take_up(self) -> None:
        """Both processes were gone: two others stand ready to `begin`."""
        self.taken_up += 1
        self._graves += [self.pilot, self.guardian]
        self.pilot, self.guardian = self._process("pilot"), self._process("guardian")
        self.child, self.ended = Child(PIDS[self.number] + self.taken_up), asyncio.Event()
        self.flown = self.recorder = None

    def _process(self, name: str) -> Process:
        return Process(name, survives=self.scene.survives, machine=self)

    async def _guard(self) -> None:
        process, end = self.guardian, self._close
        self.watching = guardian = Guardian(
            self._world(process), self.timeline, self.scene.scenario.budgets.downtime, self.owner, self._seat
        )
        process.at_death += [lambda: end(guardian._end), lambda: self._unlock(self.owner(1))]
        try:
            await guardian.watch(self._spawn)  # type: ignore[arg-type]
        finally:
            process.leave()
            self.ended.set()

    def _world(self, process: Process) -> Any:
        memory = self.scene.memory
        wires = Wires(memory.faults, process, self)
        servers = Servers(memory.cluster, wires, memory.stride, _lock=Lock())
        servers.machine = servers._lock.machine = self  # type: ignore[attr-defined]
        servers._lock.process = process  # type: ignore[attr-defined]
        return replace(memory.world(wires), servers=servers)

    async def _spawn(self, theirs: socket.socket) -> Child:
        end = theirs.dup()
        self.pilot.at_death.append(lambda: self._close(end))
        self.pilot.run(self._fly(end))
        return self.child

    async def _fly(self, end: socket.socket) -> None:
        """The pilot's process, from its first instruction to its exit code."""
        code, process, seated = 1, self.pilot, now()
        process.at_death.append(lambda: self._flew(seated))
        try:
            code = await self._flight(end)
        finally:
            process.leave()
            self.child.ended(code)
            if self.guardian.dead:
                self.ended.set()

    def _flew(self, seated: float) -> None:
        until = next((still for still, _ in self.stood if still >= seated), now())
        self.flights.append((seated, until))

    async def _flight(self, end: socket.socket) -> int:
        watch = Watch(end)
        thread = asyncio.create_task(watch.run())
        scene, pid = self.scene, self.child.pid
        plans = plans_of(scene.memory, scene.scenario)
        recorder, journal = self._recorded(plans)
        self.pilot.at_death += [journal.close, lambda: self._unlock(self.owner(pid))]
        self.recorder = recorder
        try:
            recorder.record(ev.PilotSeated("pilot", pid, ""))
            force, sock = ungraceful_of(scene.memory, scene.scenario), self.folder / "pilot.sock"
            orders = Orders(scene.memory.pair, scene.scenario, plans, force, sock, self.owner(pid), seat=self._seat)
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
        recorder.record(opened(plans, self.scene.memory.pair.name))
        return recorder, journal

    # --- what may be done to it -------------------------------------------------------------------------------

    def kill_pilot(self) -> None:
        if self.child.returncode is None:
            self.pilot.kill()
            self.child.ended(-9)
            if self.guardian.dead:
                self.ended.set()

    def kill_guardian(self) -> None:
        self.guardian.kill()
        if self.child.returncode is not None:
            self.ended.set()

    def cut_timeline(self) -> None:
        """What no fsync brought to the disk is gone."""
        if self.timeline.exists():
            with self.timeline.open("r+b") as file:
                file.truncate(self.disk.safe)

    def stand_still(self, *, suspended: bool) -> None:
        """No process of it takes a step; `suspended`: nor does the clock that its timers go by."""
        self.awake.clear()
        self.stood.append((now(), float("inf")))
        self.pilot.asleep = self.guardian.asleep = True
        if suspended:
            self.deaf = True
            loop().suspend(self.clock)

    def cut_off(self) -> None:
        """The servers end the sessions of a machine that has been silent for too long."""
        if not self.awake.is_set():
            self._unlock(self.owner(self.child.pid))
            self._unlock(self.owner(1))

    def wake(self, *which: str) -> None:
        """It goes on where it was; or those of its processes that are named do."""
        if self.awake.is_set():
            return
        self.stood[-1] = (self.stood[-1][0], now())
        self.woke_at_record = self.records()
        loop().resume(self.clock)
        self.awake.set()
        for process in (self.guardian, self.pilot):
            if not which or process.name in which:
                process.wake()

    def records(self) -> int:
        return self.told.count(b"\n")

    def slept(self, since: float, until: float) -> float:
        """For how many seconds of this time it stood still."""
        return sum(max(min(b, until) - max(a, since), 0.0) for a, b in self.stood)

    async def ends_within(self, seconds: float) -> bool:
        """Both processes are gone; while the machine stands still no second counts."""
        while True:
            try:
                async with asyncio.timeout(seconds):
                    await self.ended.wait()
            except TimeoutError:
                if self.awake.is_set():
                    return False
                await self.awake.wait()
            else:
                return True

    def give_up(self) -> None:
        """A person ends what stands still where nobody else does."""
        if self.guardian.asleep:
            self.kill_guardian()
        if self.pilot.halted and (self.guardian.dead or self._settled):
            self.kill_pilot()

    async def bury(self) -> None:
        for process in (*self._graves, self.pilot, self.guardian):
            await process.bury()

    def _close(self, end: socket.socket | None) -> None:
        if end is not None and end.fileno() >= 0:
            asyncio.get_running_loop()._remove_reader(end.fileno())  # type: ignore[attr-defined]
            end.close()

    def _unlock(self, whose: str) -> None:
        """The servers give a session's lock away with the session."""
        if self.scene.memory.cluster.owner == whose:
            self.scene.memory.cluster.owner = ""


def plans_of(memory: MemoryWorld, scenario: Scenario) -> dict[Direction, Plan]:
    return {d: make_plan(memory.world(), memory.pair, scenario, "config", d) for d in Direction}


def ungraceful_of(memory: MemoryWorld, scenario: Scenario) -> Plan:
    return make_plan(memory.world(), memory.pair, scenario, "config", Direction.ROLLBACK, ungraceful=True)


def opened(plans: dict[Direction, Plan], pair: str) -> ev.RunOpened:
    return ev.RunOpened(
        "run", pair, "arp", "s", "c", "p", "ana", "bastion", "0", True, 300, 300,
        lines(plans[Direction.CUTOVER]), lines(plans[Direction.ROLLBACK]),
    )  # fmt: skip
