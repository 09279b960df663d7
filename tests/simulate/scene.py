"""One run of one story: apps, a guardian, its pilot, a lead and the troubles, on a clock that jumps; then the judgement."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from cockpit.model.settings import Scenario
from cockpit.model.words import Side
from cockpit.scenario import load_scenario
from cockpit.systems.memory import MemoryWorld
from cockpit.systems.memory.cluster import now
from cockpit.systems.memory.faults import Fault
from cockpit.timeline.journal import is_closed
from tests.simulate import oracles, standstill
from tests.simulate.clocks import Loop
from tests.simulate.disk import WallClock, replaced
from tests.simulate.lead import Lead
from tests.simulate.machine import Machine
from tests.simulate.process import factory
from tests.simulate.story import Move, Story
from tests.simulate.troubles import Outages, Triggers

PATIENCE_S = 2500.0
"""Seconds of the run's own time within which every run must have ended by itself."""
WAIT_S = 60.0
"""A guardian waits as long, and up to twice that, for a side that may come back open."""
TAKE_UPS = 3
"""How often somebody comes to a run that was left open: at once, again when everything works, and once more where that one was killed."""
GIVE_UP_S = 600.0
"""After this a person ends a pilot that stands still where no guardian ends it: there is none, or nothing is in the air."""


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
    others: tuple[bytes, ...] = ()
    """The timelines of machines that do not own the pair."""


class Scene:
    """A story as it runs. `fly` is the whole of it."""

    def __init__(self, story: Story, folder: Path) -> None:
        self.story = story
        self.folder = folder
        self.memory = MemoryWorld(
            story.seed, apps=story.apps, poolers=story.poolers, channels=story.channels, delay_s=story.delay_s, pause_attempt_s=2.0
        )
        self.scenario = scenario()
        self._fate = Random(f"fate {story.seed}")
        self.clock = WallClock()
        self.machines = [Machine(self, 0, folder)]
        self.owner = self.machines[0]
        """Whose the pair was when a server was asked last."""
        self.owned_since = 0.0
        self.outages = Outages()
        self.happened: list[str] = []
        self.over = False
        self.restarted: set[str] = set()
        self.mirrors_broken: set[Side] = set()
        self.changed_by_hand: dict[str, float] = {}
        self.hand_opened: list[tuple[Side, float]] = []
        self.struck: list[Fault] = []
        """Faults that are over."""
        self.came_back: list[float] = []
        """When green answered the cockpit again."""
        self.kept: tuple[str, ...] = ()
        """What green's slot kept when the run had ended, of an ungraceful rollback."""
        self.elsewhere: asyncio.Task[list[str]] | None = None
        """What somebody does with a copy of the run, while the first machine stands still."""
        self._mend: list[Callable[[], object]] = []
        """What is broken for a while, as what mends it."""

    @property
    def here(self) -> Machine:
        """The machine that took the run up last: what befalls a cockpit befalls this one."""
        return self.machines[-1]

    @property
    def flights(self) -> list[tuple[float, float]]:
        """Of every pilot, from when until when it lived."""
        return [flight for machine in self.machines for flight in machine.flights]

    @property
    def last_written(self) -> Side:
        """The side that took the last write of an app."""
        switches = self.memory.watch.switches
        return switches[-1][1] if switches else Side.BLUE

    # --- the run -------------------------------------------------------------------------------------------

    async def fly(self) -> Verdict:
        asyncio.get_running_loop().set_task_factory(factory)  # type: ignore[arg-type]
        with replaced(self.clock):
            async with self.memory:
                broken = await self._until_over()
                broken += oracles.standing(self) + list(standstill.standing(self))
                broken += await self._afterwards()
            others = tuple(machine.told for machine in self.machines if machine is not self.owner)
            verdict = Verdict(self.story, tuple(broken), tuple(self.happened), self.owner.told, oracles.ending(self), others)
            await self._bury()
        return verdict

    async def _until_over(self) -> list[str]:
        triggers = Triggers(self, self.story.troubles)
        self.memory.faults.heard.append(triggers.hear)
        broken = await self.flown_by(self.machines[0], self.story.moves)
        if self.elsewhere is not None:
            broken += await self.elsewhere
        # A guardian that lives owes the end of the run; only where it was killed, could not settle what is half way, or had no disk to say it
        # on, a person comes, and once more where that failed.
        while not broken and self.owner.taken_up < TAKE_UPS and oracles.left_open(self):
            again = self.owner.taken_up or self.owner.number
            if not (self.owner.guardian.dead or again or oracles.kept_open(self) or self.owner.disk.failed):
                break
            broken = await self._take_up(self.owner)
        return broken

    async def flown_by(self, machine: Machine, moves: tuple[Move, ...]) -> list[str]:
        """Guardian and pilot have flown what the lead said, and both are gone; what was broken."""
        watching = machine.begin()
        lead = asyncio.get_running_loop().create_task(Lead(self, machine, moves).run())
        broken: list[str] = []
        waits = asyncio.get_running_loop().create_task(self._told_to_end(machine))
        if not await machine.ends_within(GIVE_UP_S):
            machine.give_up()
        if not await machine.ends_within(PATIENCE_S):
            broken.append("never ended: neither the pilot nor the guardian has closed the run")
        lead.cancel()
        waits.cancel()
        said = (await asyncio.gather(lead, return_exceptions=True))[0]
        if isinstance(said, Exception):
            broken.append(f"the lead's session broke: {said!r}")
        if not machine.guardian.dead and watching.done() and watching.exception() is not None:
            broken.append(f"the guardian died of {watching.exception()!r}")
        return broken

    async def _told_to_end(self, machine: Machine) -> None:
        """A guardian that waits for a side that may come back open is told to end, as by a shutdown, when nobody believes in that any more."""
        for _ in range(round(PATIENCE_S / WAIT_S)):
            await asyncio.sleep(WAIT_S)
            if machine.child.returncode is not None and not machine.guardian.dead and machine.watching is not None:
                machine.watching.end()  # heeded only where it waits for such a side

    async def _take_up(self, machine: Machine) -> list[str]:
        """Both processes were gone: somebody takes the run up, at once, and once more when everything works again."""
        machine.take_up()
        if machine.taken_up == 2:
            self._mend_all()
        word = self._fate.choice(("resume", "abort-left"))
        return await self.flown_by(machine, (Move(word), Move("abort-left"), Move("close")))

    def owned_by(self, machine: Machine) -> None:
        if machine is not self.owner:
            self.owner, self.owned_since = machine, now()

    def copied(self) -> Machine | None:
        """Another machine, with a copy of the run as it is now; None where there is no open run to take up."""
        timeline = self.here.timeline
        if not timeline.exists() or is_closed(timeline):
            return None
        machine = Machine(self, len(self.machines), self.folder / f"machine-{len(self.machines)}")
        machine.folder.mkdir()
        shutil.copy(timeline, machine.timeline)
        machine.disk.safe = machine.timeline.stat().st_size
        self.machines.append(machine)
        return machine

    def survives(self) -> bool:
        return self._fate.random() < 0.5

    # --- what may be done to it -----------------------------------------------------------------------------

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

    def _mend_all(self) -> None:
        """Everything works again."""
        self.struck += self.memory.faults.faults
        self.memory.faults.clear()
        for machine in self.machines:
            machine.disk.ache = None
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
            for machine in self.machines:
                await machine.bury()
        gc.enable()


_SCENARIO: list[Scenario] = []


def scenario() -> Scenario:
    """The shipped scenario, with gates that need to hold for a second at most: a run's time is the machine's."""
    if not _SCENARIO:
        shipped = load_scenario("arp")
        gates, back = (tuple(replace(g, hold=min(g.hold, 1.0)) for g in found) for found in (shipped.gates, shipped.rollback_gates))
        _SCENARIO.append(replace(shipped, gates=gates, rollback_gates=back))
    return _SCENARIO[0]


def fly(story: Story) -> Verdict:
    """The story, flown and judged."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="cockpit-sim-", dir=shm if shm.is_dir() else None))

    async def main() -> Verdict:
        return await Scene(story, folder).fly()

    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(main())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
