"""The pilot: flies one run. It measures, answers intents and runs handovers; it owns the timeline and needs no terminal.

It starts by looking: which side serves is read from the servers, never assumed. Intents are judged by `model.intents.refusal`
against the newest state, taken or refused in the timeline, and only then acted on.

A run that was left by a crash is taken up again on its own timeline: the world is looked at step by step, what is so and what is not
is on record, and nothing is touched before a person says how to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cockpit.errors import CockpitError, JournalError, Refused
from cockpit.handover.approvals import SecondDoor, SecondPerson
from cockpit.handover.confirming import Asked
from cockpit.handover.findings import Rehearsed, look, summary
from cockpit.handover.flight import Flight
from cockpit.handover.forced import Forced
from cockpit.handover.lease import Lease
from cockpit.handover.parting import tell
from cockpit.handover.ports import World
from cockpit.handover.record import Recorder, in_words, remedy_of
from cockpit.handover.runner import Runner
from cockpit.handover.serving import what_is_seen, who_serves
from cockpit.handover.surroundings import Surroundings
from cockpit.handover.telemetry import Telemetry
from cockpit.handover.ungraceful import made_so, shut_out
from cockpit.handover.watch import UNRECORDABLE, Watch
from cockpit.model import events as ev
from cockpit.model.intents import Ask, Intent, refusal
from cockpit.model.plan import Plan
from cockpit.model.settings import PairSpec, Scenario
from cockpit.model.state import HandoverView
from cockpit.model.text import plain
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.timeline.samples import Samples
from cockpit.timeline.sidedoor import SideDoor
from cockpit.timeline.wire import Door, Reply

DUTY_STEP = 0.05
Aside = ev.BillExported | ev.RepairBegun | ev.RepairDone
ASIDE: dict[str, type[Aside]] = {ev.FACT_KINDS[kind]: kind for kind in (ev.BillExported, ev.RepairBegun, ev.RepairDone)}
"""Facts of commands beside the pilot, which it writes down for them."""
CLOSE_S = 5.0
OPEN_S = 2.0
"""Seconds a system has to be connected when a run is taken up: one that is dead must not keep the others from being seen."""
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Orders:
    """What one pilot is to fly."""

    spec: PairSpec
    scenario: Scenario
    plans: dict[Direction, Plan]
    ungraceful: Plan
    socket: Path
    owner: str
    """Who flies, for the lock on the servers: `ana@bastion pid 4711`."""
    second: SecondDoor | None = None
    """Where a second person comes in; None where the scenario asks for none."""
    rehearsed: Rehearsed | None = None
    """None in a drill: it is the rehearsal."""


class Pilot:
    """Flies a run from opening to closing. `fly` is its whole life."""

    def __init__(
        self,
        world: World,
        orders: Orders,
        recorder: Recorder,
        samples: Samples,
        *,
        watch: Watch,
    ) -> None:
        self._world = world
        self._orders = orders
        self._recorder = recorder
        self._watch = watch
        self._lease = Lease(self._lock)
        self._flight: Flight | None = None
        self._apart: list[asyncio.Task[None]] = []
        self._flying: asyncio.Task[Outcome] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self.telemetry = Telemetry(world, orders.spec, orders.scenario, recorder, samples, watch.missing)

    async def fly(self) -> int:
        """The exit code of the run, once it is closed; `UNRECORDABLE` where its timeline takes no record of that: the guardian closes it."""
        telemetry: asyncio.Task[None] | None = None
        door, side_door = Door(self.answer), self._side_door()
        try:
            left = self._left_half_way()
            alone = left is None and self._recorder.state.parted is not None
            await (self._open_again() if left is not None or alone else self._open())
            telemetry = asyncio.create_task(self.telemetry.run())
            await door.open(self._orders.socket)
            if side_door is not None and self._orders.second is not None:
                await side_door.open(self._orders.second.place, self._recorder.state.run)
            await (self._look_around(left) if left is not None else self._look_back() if alone else self._first_look())
            await self._until_closed(telemetry)
        except Exception as err:
            self._recorder.try_record(ev.AlarmRaised("pilot", in_words(err), remedy=remedy_of(err)))
            self._give_up(err)
        finally:
            await self._leave(telemetry, *(end for end in (door, side_door) if end is not None))
        state = self._recorder.state
        if self._recorder.broken:
            return UNRECORDABLE
        return (state.exit_code or 0) if state.mode is Mode.CLOSED else 1

    def _give_up(self, err: Exception) -> None:
        """The run is closed, unless a handover is half way: that one stays open for whoever takes it up."""
        handover = self._recorder.state.handover
        if self._flight is None and handover is not None and handover.half_way:
            return
        self._close("failed", err.exit_code if isinstance(err, CockpitError) else 1)

    def close(self, why: str) -> None:
        """The run is to end: what is in the air goes home or lands first."""
        if self._flight is not None:
            self._flight.abort(why)
        self._closing.set()

    # --- opening and leaving ---------------------------------------------------------------------

    async def _open(self) -> None:
        world = self._world
        await world.servers.open()
        await self._lease.renew()
        await asyncio.gather(*(pooler.open() for pooler in world.poolers), *(channel.open() for channel in world.channels))
        serving, evidence = await who_serves(world, self._orders.spec)
        versions = await world.servers.versions()
        self._recorder.record(ev.SidesSeen(serving, versions[Side.BLUE], versions[Side.GREEN], evidence))
        await world.reconciler.open(serving)

    def _left_half_way(self) -> HandoverView | None:
        """The handover that an earlier pilot of this run left half way. One that it left before anything was touched is over."""
        handover = self._recorder.state.handover
        if handover is None or handover.half_way:
            return handover
        if handover.outcome is None:
            seconds = round(max(asyncio.get_running_loop().time() - handover.opened_mono, 0.0), 4)
            why = "its pilot died before anything was touched"
            self._recorder.record(ev.HandoverClosed(handover.number, Outcome.ABORTED, seconds, handover.direction.origin, why))
        return None

    async def _open_again(self) -> None:
        """What answers is connected; what does not is named. The pair's lock is this process's, or `Refused` says whose."""
        try:
            await self._lease.renew()
        except Refused:
            raise
        except Exception as err:
            self._recorder.try_record(ev.AlarmRaised("lock", f"the pair's lock could not be seen: {in_words(err)}", remedy=remedy_of(err)))
        world = self._world
        opening = [self._open_servers(), *(p.open() for p in world.poolers), *(c.open() for c in world.channels)]
        tasks = [self._errand(each) for each in opening]
        await asyncio.wait(tasks, timeout=OPEN_S)  # who is slower is opened all the same, and seen when it is

    async def _open_servers(self) -> None:
        """Both servers are connected and known, as soon as both answer."""
        while True:
            with contextlib.suppress(CockpitError):
                return await self._world.servers.open()
            await asyncio.sleep(OPEN_S)

    async def _look_around(self, left: HandoverView) -> None:
        """Every step as the world shows it is on record; the lead is asked how to go on."""
        flight = self._flight_of(left.direction, ungraceful=left.ungraceful)
        flight.adopt(left)
        serving = left.direction.target if left.past_return else left.direction.origin
        seen, found = await asyncio.gather(what_is_seen(self._world, self._orders.spec), flight.look())
        self._recorder.record(ev.SidesSeen(serving, *self._recorder.state.versions, seen))
        for fact in found:
            self._recorder.record(fact, durable=False)
        self._flight = flight
        why = "left half way: " + ("it goes forward" if left.past_return else "go on, or home")
        self._recorder.record(ev.ModeChanged(Mode.STUCK, why))
        self._errand(self._reconcile(serving))

    async def _look_back(self) -> None:
        """An ungraceful handover was flown before: its origin may be dead, and what is owed of it is owed still."""
        state = self._recorder.state
        seen = await what_is_seen(self._world, self._orders.spec)
        self._recorder.record(ev.SidesSeen(state.serving or Side.BLUE, *state.versions, seen))
        self._recorder.record(ev.ModeChanged(Mode.READY))
        self._stay_apart()
        self._errand(self._reconcile(state.serving or Side.BLUE))
        self._errand(self._preflight())

    async def _reconcile(self, serving: Side) -> None:
        """Reconciliation begins anew, as soon as both sides answer."""
        while True:
            try:
                await self._world.reconciler.open(serving)
            except Exception as err:
                self._recorder.try_record(ev.AlarmRaised("reconciliation", in_words(err), remedy=remedy_of(err)))
                await asyncio.sleep(OPEN_S)
            else:
                return

    async def _first_look(self) -> None:
        await self._preflight()
        self._recorder.record(ev.ModeChanged(Mode.READY))

    async def _until_closed(self, telemetry: asyncio.Task[None]) -> None:
        closing = asyncio.create_task(self._closing.wait())
        broken = asyncio.create_task(self._until_unrecordable())
        await asyncio.wait({closing, telemetry, broken}, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        broken.cancel()
        if self._flying is not None:
            await asyncio.wait({self._flying})
        if telemetry.done() and not telemetry.cancelled():
            telemetry.result()
        self._close(*self._outcome())

    async def _until_unrecordable(self) -> None:
        """A pilot that can record nothing can do nothing: what is in the air comes down, and the run is left to whoever can close it."""
        while not self._recorder.broken:  # noqa: ASYNC110 (a disk tells nobody by itself)
            await asyncio.sleep(LOOK_S)

    def _outcome(self) -> tuple[str, int]:
        """`rolled-back` (5) when the last handover that was done went back, `aborted` (4) when the last one was, else `done`."""
        past = self._recorder.state.past
        if not past:
            return "done", 0
        last = past[-1]
        if last.outcome is Outcome.STUCK:
            return "failed", 1
        if last.outcome is Outcome.ABORTED:
            return "aborted", 4
        return ("rolled-back", 5) if last.direction is Direction.ROLLBACK else ("done", 0)

    def _close(self, outcome: str, exit_code: int) -> None:
        if self._recorder.state.mode is Mode.CLOSED:
            return
        open_ends = tuple(alarm.what for alarm in self._recorder.state.alarms)
        self._recorder.try_record(ev.RunClosed(outcome, exit_code, self._recorder.state.serving, open_ends))

    def _side_door(self) -> SideDoor | None:
        if self._orders.second is None:
            return None
        second = SecondPerson(self._recorder, self.telemetry.latest, self.telemetry.readings_now, self._orders.second)
        return SideDoor(second.answer, second.closed)

    async def _leave(self, telemetry: asyncio.Task[None] | None, *doors: Door | SideDoor) -> None:
        for door in doors:
            await door.close()
        for task in (telemetry, *self._errands):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (telemetry, *self._errands) if task is not None), return_exceptions=True)
        await close(self._world)

    # --- intents ------------------------------------------------------------------------------------

    async def answer(self, intent: Intent) -> Reply:
        """The reply to an intent; what it asks has begun when it is taken."""
        state = self._recorder.state
        by, argument = plain(intent.by, 80), plain(intent.argument, 2000)
        uid = os.geteuid() if intent.uid is None else intent.uid
        why = refusal(state, intent.ask, argument) or self._outdated(intent) or self._same_person(intent.ask, uid) or self._ending(intent)
        why = why or self._too_late(intent)
        try:
            if why:
                self._recorder.record(ev.IntentRefused(intent.ask, by, intent.saw, why))
                return Reply(False, self._recorder.state.seq, why)
            self._recorder.record(ev.IntentTaken(intent.ask, by, intent.saw, argument))
            said = self._act(intent.ask, by, uid, argument)
        except JournalError as err:
            return Reply(False, self._recorder.state.seq, str(err))
        return Reply(True, self._recorder.state.seq, said)

    def _outdated(self, intent: Intent) -> str:
        """A go or a way back that was said on a picture of another handover is refused."""
        handover = self._recorder.state.handover
        if intent.ask not in {Ask.GO, Ask.BACK, Ask.RESUME} or handover is None:
            return ""
        return "" if intent.saw >= handover.opened_seq else "said on an older picture: look again"

    def _same_person(self, ask: Ask, uid: int) -> str:
        """Who approved a handover does not confirm it as well."""
        handover = self._recorder.state.handover
        approval = handover.approval if handover else None
        same = ask is Ask.GO and approval is not None and approval.uid == uid
        return "you approved it: another person must confirm it" if same else ""

    def _too_late(self, intent: Intent) -> str:
        """A handover before its return goes on only while the downtime budget is not used up; home it goes at any time."""
        handover, budget = self._recorder.state.handover, self._orders.scenario.budgets.downtime
        if intent.ask is not Ask.RESUME or handover is None or handover.past_return:
            return ""
        if handover.downtime_mono is None or handover.downtime_s is not None:
            return ""
        used = asyncio.get_running_loop().time() - handover.downtime_mono
        return f"the downtime budget of {budget:g} s is used up: A, then Y brings it home" if used > budget else ""

    def _ending(self, intent: Intent) -> str:
        """Nothing takes off any more once the run was asked to end."""
        flies = intent.ask in {Ask.ARM, Ask.GO, Ask.BACK, Ask.RESUME}
        return "the run is about to close" if flies and self._closing.is_set() else ""

    def _act(self, ask: Ask, by: str, uid: int, argument: str) -> str:
        match ask:
            case Ask.ARM:
                self._take_off(self._recorder.state.next_direction, by, uid)
            case Ask.GO if self._flight is not None:
                self._flight.go()
            case Ask.ABORT if self._flight is not None and self._recorder.state.mode is Mode.STUCK:
                self._take_up(self._flight, by)
            case Ask.RESUME if self._flight is not None:
                self._go_on(self._flight, by)
            case Ask.DISARM | Ask.ABORT if self._flight is not None:
                self._flight.abort(f"{ask} by {by}")
            case Ask.BACK:
                self._back(by, uid)
            case Ask.FORCE:
                self._take_off(Direction.ROLLBACK, by, uid, ungraceful=True)
            case Ask.RECHECK:
                self._errand(self._preflight())
            case Ask.CLOSE:
                self.close(f"closed by {by}")
            case _:
                return self._aside(ask, by, argument)
        return ""

    def _aside(self, ask: Ask, by: str, argument: str) -> str:
        """What fits at any time and moves nothing of a handover."""
        match ask:
            case Ask.NOTE:
                self._recorder.record(ev.NoteTaken(by, argument))
            case Ask.BILLED | Ask.REPAIRED:
                self._told(argument)
            case Ask.DUTY:
                return f"reconciliation: load at most {self._world.reconciler.duty(DUTY_STEP if argument == '+' else -DUTY_STEP):.0%}"
        return ""

    def _told(self, argument: str) -> None:
        """What a command beside the pilot did is on record; words that are no such fact change nothing."""
        with contextlib.suppress(msgspec.MsgspecError, KeyError, TypeError):
            said = msgspec.json.decode(argument)
            fact = msgspec.convert(said["fact"], ASIDE[said["kind"]])
            self._recorder.record(fact)
            if isinstance(fact, ev.BillExported) and any(alarm.id == "bill" for alarm in self._recorder.state.alarms):
                self._recorder.record(ev.AlarmCleared("bill"))

    def _back(self, by: str, uid: int) -> None:
        """Back to blue: what is in the air towards green is aborted; where green serves, a rollback takes off and needs no second word."""
        if self._flight is not None and self._flying is not None and not self._flying.done():
            if self._flight.direction is Direction.CUTOVER:
                self._flight.abort(f"back by {by}")
            else:
                self._flight.go()
            return
        self._take_off(Direction.ROLLBACK, by, uid).go()

    def _flight_of(self, direction: Direction, *, ungraceful: bool = False) -> Flight:
        around = Surroundings(self.telemetry.readings_now, self.telemetry.quiet, self._watch.stage, self._lease, self._shut_out)
        kind = Forced if ungraceful else Flight
        return kind(self._world, self._orders.spec, self._orders.scenario, self._recorder, around, direction)

    def _take_off(self, direction: Direction, by: str, uid: int, *, ungraceful: bool = False) -> Flight:
        """The flight, in the air and on record when this returns: a second one is refused by what the state says."""
        self._let_go()
        flight = self._flight_of(direction, ungraceful=ungraceful)
        asked = Asked(by, uid, self._orders.second.command if self._orders.second else "")
        plan = self._orders.ungraceful if ungraceful else self._orders.plans[direction]
        flight.open(len(self._recorder.state.past) + 1, plan.digest, asked)
        self._flight = flight
        self._flying = asyncio.create_task(self._fly_one(flight.fly()))
        return flight

    def _take_up(self, flight: Flight, by: str) -> None:
        """The stuck handover is in the air again: home, or forward where the return is passed."""
        self._let_go()
        flight.take_up(by)
        self._flying = asyncio.create_task(self._fly_one(flight.fly_again()))

    def _go_on(self, flight: Flight, by: str) -> None:
        """The handover that was left half way flies on: forward where its return is passed, else through its window again."""
        if flight.past_return:
            self._take_up(flight, by)
            return
        flight.take_on(by)
        self._flying = asyncio.create_task(self._fly_one(flight.fly_on()))

    async def _lock(self) -> None:
        await self._world.servers.lock(self._orders.owner)

    async def _fly_one(self, flight: Coroutine[None, None, Outcome]) -> Outcome:
        """The boundary of last resort: a flight goes home by itself from whatever is raised; what escapes it all the same is named."""
        try:
            outcome = await flight
        except Exception as err:
            self._recorder.try_record(ev.AlarmRaised("flight", in_words(err), remedy=remedy_of(err)))
            self._recorder.try_record(ev.ModeChanged(Mode.STUCK, in_words(err)))
            return Outcome.STUCK
        self._stay_apart()
        return outcome

    def _stay_apart(self) -> None:
        """What an ungraceful handover owes after its landing goes on until it is so, or another handover takes off, or this one again."""
        parted = self._recorder.state.parted
        if parted is not None:
            self._shut_out()
            self._apart.append(self._errand(self._released(parted.direction)))

    def _shut_out(self) -> None:
        """The side that was left is shut out as soon as it answers."""
        parted = self._recorder.state.parted
        if parted is not None and not self._apart:
            self._apart.append(self._errand(self._kept_out(parted.direction)))

    async def _kept_out(self, direction: Direction) -> None:
        await shut_out(self._world, direction, self._lease, Runner(self._recorder, self._orders.scenario.steps, self._lease).action)
        if self._recorder.state.owed is not None:
            await tell(self._world, direction, self._recorder)  # now it can be counted

    async def _released(self, direction: Direction) -> None:
        runner = Runner(self._recorder, self._orders.scenario.steps, self._lease)
        await made_so(self._world.servers.released(direction.target), self._lease, runner.action)
        if any(alarm.id == "mirror" for alarm in self._recorder.state.alarms):
            self._recorder.record(ev.AlarmCleared("mirror"))

    def _let_go(self) -> None:
        """A flight decides about the origin now, and nobody else."""
        for task in self._apart:
            task.cancel()
        self._apart.clear()

    def _errand(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        """What an errand raised was seen: a system that is not there is told by its samples and probes."""
        self._errands.discard(task)
        if not task.cancelled():
            task.exception()

    # --- preflight ---------------------------------------------------------------------------------------

    async def _preflight(self) -> None:
        """Every finding is in the timeline, and the schemas' digest is what the findings stand for."""
        state = self._recorder.state
        try:
            findings = await look(self._world, state.serving or Side.BLUE, self._orders.scenario, self._orders.rehearsed)
            await self.telemetry.read_shape()
            self._recorder.record(ev.PreflightStarted(), durable=False)
            for finding in findings:
                self._recorder.record(finding, durable=False)
            self._recorder.record(summary(findings))
            if any(alarm.id == "preflight" for alarm in self._recorder.state.alarms):
                self._recorder.record(ev.AlarmCleared("preflight"))
        except Exception as err:
            self._recorder.try_record(ev.AlarmRaised("preflight", in_words(err), remedy=remedy_of(err)))


async def close(world: World) -> None:
    """Every connection is closed; what does not close within `CLOSE_S` is left to the end of the process."""
    ends = [world.reconciler.close, world.servers.close, *(p.close for p in world.poolers), *(c.close for c in world.channels)]
    await asyncio.gather(*(_closed(end) for end in ends), return_exceptions=True)


async def _closed(end: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(CLOSE_S):
        await end()
