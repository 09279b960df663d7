"""The pilot: flies one run. It measures, answers intents and runs handovers; it owns the timeline and needs no terminal.

It starts by looking: which side serves is read from the servers, never assumed. Intents are judged by `judging.refused` against the
newest state, taken or refused in the timeline, and only then acted on.

A run that was left by a crash is taken up again on its own timeline: the world is looked at step by step, what is so and what is not
is on record, and nothing is touched before a person says how to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from typing import Any

from cockpit.errors import CockpitError, JournalError, Refused
from cockpit.handover import business
from cockpit.handover.approvals import SecondPerson
from cockpit.handover.asides import aside
from cockpit.handover.confirming import Asked
from cockpit.handover.findings import look, summary
from cockpit.handover.flight import Flight
from cockpit.handover.forced import Forced
from cockpit.handover.judging import refused
from cockpit.handover.keeping_out import shut_out_seen
from cockpit.handover.lease import Lease
from cockpit.handover.leaving import close, stays_open
from cockpit.handover.orders import Orders
from cockpit.handover.ports import World
from cockpit.handover.record import Recorder, in_words, remedy_of
from cockpit.handover.runner import Runner
from cockpit.handover.serving import what_is_seen, who_serves
from cockpit.handover.sitting import Sitting
from cockpit.handover.surroundings import Surroundings
from cockpit.handover.telemetry import Telemetry
from cockpit.handover.ungraceful import made_so, shut_out
from cockpit.handover.watch import HALF_WAY, UNRECORDABLE, Watch
from cockpit.model import events as ev
from cockpit.model.intents import Ask, Intent, goes_on, superseded
from cockpit.model.state import HandoverView
from cockpit.model.text import plain
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.timeline.samples import Samples
from cockpit.timeline.sidedoor import SideDoor
from cockpit.timeline.wire import Door, Reply

OPEN_S = 2.0
"""Seconds a system has to be connected when a run is taken up: one that is dead must not keep the others from being seen."""
LOOK_S = 0.2
APART_S = 2.0
"""Seconds that a run which is to end waits until a side that it left, and that answers, is seen shut out."""


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
        self._lease = Lease(self._lock, lambda: world.servers.lock_lost)
        self._flight: Flight | None = None
        self._apart: list[asyncio.Task[None]] = []
        self._flying: asyncio.Task[Outcome] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._checking: set[asyncio.Task[None]] = set()
        self._sitting = Sitting(world, recorder, orders.seat)
        self._closing = asyncio.Event()
        self._asked_to_close = False
        self._refused: Refused | None = None
        """Whose the pair is, where that was said when this pilot had begun to look."""
        self.telemetry = Telemetry(world, orders.spec, orders.scenario, recorder, samples, watch.missing)

    async def fly(self) -> int:
        """The exit code of the run, once it is closed; `UNRECORDABLE` where its timeline takes no record of that: the guardian closes it.
        `HALF_WAY` where a handover is, or where a side that was left may come back open: the run stays open."""
        telemetry: asyncio.Task[None] | None = None
        door, side_door = Door(self.answer), self._side_door()
        self._errand(self._lease.awake.run())
        try:
            left = self._left_half_way()
            alone = left is None and self._recorder.state.parted is not None
            await (self._open_again() if left is not None or alone else self._open())
            await door.open(self._orders.socket)
            if side_door is not None and self._orders.second is not None:
                await side_door.open(self._orders.second.place, self._recorder.state.run)
            if left is not None or alone:  # a lead waits for what is seen: measuring would share its time
                await (self._look_around(left) if left is not None else self._look_back())
            telemetry = asyncio.create_task(self.telemetry.run())
            if left is None and not alone:
                await self._first_look()
            if not await self._until_closed(telemetry):
                return HALF_WAY
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
        """The run is closed, unless a handover is half way, or a side at large: that one stays open for whoever takes it up."""
        if self._recorder.state.half_way is None and self._recorder.state.at_large is None:
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
        await self._sitting.look()
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
        return self._recorder.state.half_way

    async def _open_again(self) -> None:
        """What answers is connected; what does not is named. The pair's lock is this process's, or `Refused` says whose."""
        world = self._world
        opening = [self._locked(), self._open_servers(), *(p.open() for p in world.poolers), *(c.open() for c in world.channels)]
        tasks = [self._errand(each) for each in opening]
        await asyncio.wait(tasks, timeout=OPEN_S)  # who is slower is opened all the same, and seen when it is
        if self._refused is not None:
            raise self._refused
        if not tasks[0].done():
            self._no_lock(TimeoutError())

    async def _locked(self) -> None:
        """The pair's lock is this process's, or it is said that nobody could say so; where it is another's this process ends."""
        try:
            await self._lease.renew()
        except Refused as err:
            self._refused = err
            self._closing.set()
        except Exception as err:
            self._no_lock(err)
        else:
            self._recorder.clear("lock")

    def _no_lock(self, err: Exception) -> None:
        self._recorder.try_record(ev.AlarmRaised("lock", f"the pair's lock could not be seen: {in_words(err)}", remedy=remedy_of(err)))

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
        by_return = left.direction.target if left.past_return else left.direction.origin
        serving = by_return if left.outcome is None else self._recorder.state.serving or by_return
        seen, found, ours = await asyncio.gather(what_is_seen(self._world, self._orders.spec), flight.look(), self._sitting.stands())
        self._recorder.record(ev.SidesSeen(serving, *self._recorder.state.versions, seen))
        for fact in found:
            self._recorder.record(fact, durable=False)
        self._flight = flight
        ways = "A settles it" if left.outcome is not None else "it goes forward" if left.past_return else "go on, or home"
        ways = ways if ours else "not this run's own any more"
        self._recorder.record(ev.ModeChanged(Mode.STUCK, f"left half way: {ways}"))
        self._errand(self._reconcile(serving))

    async def _look_back(self) -> None:
        """An ungraceful handover was flown before: its origin may be dead, and what is owed of it is owed still."""
        state = self._recorder.state
        seen, ours = await asyncio.gather(what_is_seen(self._world, self._orders.spec), self._sitting.stands())
        self._recorder.record(ev.SidesSeen(state.serving or Side.BLUE, *state.versions, seen))
        self._recorder.record(ev.ModeChanged(Mode.READY))
        if ours:
            self._sit()
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

    async def _until_closed(self, telemetry: asyncio.Task[None]) -> bool:
        """The run is closed; or a handover is half way, or a side that was left may come back open, and the run is left open as it is, on
        record. Then only the lead's word closes it."""
        closing = asyncio.create_task(self._closing.wait())
        broken = asyncio.create_task(self._until_unrecordable())
        await asyncio.wait({closing, telemetry, broken}, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        broken.cancel()
        if self._flying is not None:
            await asyncio.wait({self._flying})
        if telemetry.done() and not telemetry.cancelled():
            telemetry.result()
        await self._seen_apart()
        await self._told()
        refused = self._refused.brief if self._refused is not None else ""
        stays = stays_open(self._recorder.state, refused or "the pilot was told to end") or refused
        if not stays or self._asked_to_close:
            telemetry.cancel()
            self._close(*self._outcome())
            return True
        self._recorder.record(ev.ModeChanged(Mode.STUCK, stays))
        return False

    async def _seen_apart(self) -> None:
        """A side that was left and answers is shut out a moment after the landing: that moment is waited for."""
        state = self._recorder.state
        known_open = any(alarm.id == f"open: fence {state.at_large} on" for alarm in state.alarms)
        if self._apart and state.at_large is not None and not known_open:
            await asyncio.wait(self._apart, timeout=APART_S)

    async def _told(self) -> None:
        """Business checks that were read for a handover and kept back for the next one are told a moment after it."""
        if self._checking:
            await asyncio.wait(set(self._checking), timeout=2 * business.REST_S)

    async def _until_unrecordable(self) -> None:
        """A pilot that can record nothing can do nothing: what is in the air comes down, and the run is left to whoever can close it."""
        while not self._recorder.broken:  # noqa: ASYNC110 (a disk tells nobody by itself)
            await asyncio.sleep(LOOK_S)

    def _outcome(self) -> tuple[str, int]:
        """`rolled-back` (5) when the last handover that was done went back, `aborted` (4) when the last one was, `failed` (1) while one is half
        way, else `done`."""
        past = self._recorder.state.past
        if self._recorder.state.half_way is not None:
            return "failed", 1
        if not past:
            return "done", 0
        last = past[-1]
        if last.outcome is Outcome.ABORTED:
            return "aborted", 4
        return ("rolled-back", 5) if last.direction is Direction.ROLLBACK else ("done", 0)

    def _close(self, outcome: str, exit_code: int) -> None:
        """The run's end is on record, and nothing behind it: whoever looks for a run's end looks at its last record."""
        state = self._recorder.state
        if state.mode is Mode.CLOSED:
            return
        for errand in self._errands:
            errand.cancel()
        serving = None if superseded(state) else state.serving
        self._recorder.try_record(ev.RunClosed(outcome, exit_code, serving, state.open_words))

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
        self._lease.close()
        await close(self._world)

    # --- intents ------------------------------------------------------------------------------------

    async def answer(self, intent: Intent) -> Reply:
        """The reply to an intent; what it asks has begun when it is taken."""
        state = self._recorder.state
        by, argument = plain(intent.by, 80), plain(intent.argument, 2000)
        uid = os.geteuid() if intent.uid is None else intent.uid
        now = asyncio.get_running_loop().time()
        why = refused(state, intent, argument, uid, self._orders, now, closing=self._closing.is_set())
        try:
            if why:
                self._recorder.record(ev.IntentRefused(intent.ask, by, intent.saw, why))
                return Reply(False, self._recorder.state.seq, why)
            self._recorder.record(ev.IntentTaken(intent.ask, by, intent.saw, argument))
            said = self._act(intent.ask, by, uid, argument)
        except JournalError as err:
            return Reply(False, self._recorder.state.seq, str(err))
        return Reply(True, self._recorder.state.seq, said)

    def _act(self, ask: Ask, by: str, uid: int, argument: str) -> str:
        match ask:
            case Ask.ARM:
                self._take_off(self._recorder.state.next_direction, by, uid)
            case Ask.GO if self._flight is not None:
                self._flight.go()
            case Ask.ABORT if self._flight is not None and self._recorder.state.mode is Mode.STUCK:
                self._take_up(self._of_the_left(self._flight), by)
            case Ask.RESUME if self._flight is not None:
                self._go_on(self._of_the_left(self._flight), by)
            case Ask.BACK if self._flight is not None and goes_on(self._recorder.state):
                self._go_on(self._of_the_left(self._flight), by)
            case Ask.DISARM | Ask.ABORT if self._flight is not None:
                self._flight.abort(f"{ask} by {by}")
            case Ask.BACK:
                self._back(by, uid)
            case Ask.FORCE:
                self._take_off(Direction.ROLLBACK, by, uid, ungraceful=True)
            case Ask.RECHECK:
                self._errand(self._preflight())
            case Ask.CLOSE:
                self._asked_to_close = True
                self.close(f"closed by {by}")
            case _:
                return aside(ask, by, argument, self._recorder, self._world)
        return ""

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

    def _of_the_left(self, flight: Flight) -> Flight:
        """The flight of the handover that is half way: `flight`, unless that was of a later one which touched nothing."""
        left = self._recorder.state.half_way
        if left is not None and left.number != flight.number:
            flight = self._flight = self._flight_of(left.direction, ungraceful=left.ungraceful)
            flight.adopt(left)
        return flight

    def _take_off(self, direction: Direction, by: str, uid: int, *, ungraceful: bool = False) -> Flight:
        """The flight, in the air and on record when this returns: a second one is refused by what the state says."""
        self._let_go()
        self._sit()
        flight = self._flight_of(direction, ungraceful=ungraceful)
        asked = Asked(by, uid, self._orders.second.command if self._orders.second else "")
        plan = self._orders.plan(direction, ungraceful=ungraceful)
        flight.open(len(self._recorder.state.past) + 1, plan.digest, asked)
        self._flight = flight
        self._flying = asyncio.create_task(self._fly_one(flight.fly()))
        return flight

    def _take_up(self, flight: Flight, by: str) -> None:
        """The stuck handover is in the air again: home, or forward where the return is passed."""
        self._let_go()
        self._sit()
        flight.take_up(by)
        self._flying = asyncio.create_task(self._fly_one(flight.fly_again()))

    def _go_on(self, flight: Flight, by: str) -> None:
        """The handover that was left half way flies on: forward where its return is passed, else through its window again."""
        if flight.past_return:
            self._take_up(flight, by)
            return
        self._sit()
        flight.take_on(by)
        self._flying = asyncio.create_task(self._fly_one(flight.fly_on()))

    async def _lock(self) -> None:
        await self._world.servers.lock(self._orders.owner, self._sitting.claim)

    def _sit(self) -> None:
        if self._sitting.take():
            self._lease.void()

    async def _fly_one(self, flight: Coroutine[None, None, Outcome]) -> Outcome:
        """The boundary of last resort: a flight goes home by itself from whatever is raised; what escapes it all the same is named."""
        try:
            outcome = await flight
        except Exception as err:
            self._recorder.try_record(ev.AlarmRaised("flight", in_words(err), remedy=remedy_of(err)))
            self._recorder.try_record(ev.ModeChanged(Mode.STUCK, in_words(err)))
            return Outcome.STUCK
        if self._lease.superseded:
            self._sitting.lost(self._lease.superseded)
        self._stay_apart()
        if outcome is Outcome.DONE:
            self._checking.add(self._errand(business.read_after(self._world, self._recorder)))
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
        if self._recorder.state.at_large is not None:
            await shut_out_seen(self._world, direction, self._recorder)

    async def _released(self, direction: Direction) -> None:
        runner = Runner(self._recorder, self._orders.scenario.steps, self._lease)
        await made_so(self._world.servers.released(direction.target), self._lease, runner.action)
        self._recorder.clear("mirror")

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
        self._checking.discard(task)
        if not task.cancelled():
            task.exception()

    # --- preflight ---------------------------------------------------------------------------------------

    async def _preflight(self) -> None:
        """Every finding is in the timeline, and the schemas' digest is what the findings stand for."""
        state = self._recorder.state
        try:
            orders = self._orders
            found = await look(self._world, orders.spec, state.serving or Side.BLUE, orders.scenario, orders.rehearsed)
            await self.telemetry.read_shape()
            self._recorder.record(ev.PreflightStarted(), durable=False)
            for fact in found.facts:
                self._recorder.record(fact, durable=False)
            business.record(self._recorder, found.checks)
            self._recorder.record(summary(found.findings))
            self._recorder.clear("preflight")
        except Exception as err:
            self._recorder.try_record(ev.AlarmRaised("preflight", in_words(err), remedy=remedy_of(err)))
