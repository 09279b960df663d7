"""The two ways out of a handover that broke: home, to "the side it started from serves", and forward, past the return.

Used by the pilot and by the guardian alike. Both must work with a full disk (an intent that cannot be recorded does not hold them
up) and with a system that does not answer or raises what it may not (the rest goes on, what stays open is named). Every pooler goes
its own way, so that a dead one keeps no other paused. Channels are routed back beside the unfence: an app whose channel still names
the fenced target is dark for a moment, which is safe, while waiting for a slow cloud would keep every other app dark.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cockpit.errors import Refused, StepError, Superseded
from cockpit.handover import parting
from cockpit.handover.actions import Together
from cockpit.handover.lease import Lease
from cockpit.handover.ports import Action, Pooler, World
from cockpit.handover.record import Recorder, in_words
from cockpit.handover.ungraceful import Silence, shut_out
from cockpit.model import events as ev
from cockpit.model.state import RunState
from cockpit.model.words import Direction, Known, Side

HOME_S = 60.0
"""Seconds a way out may take at least, whatever is left of the downtime budget."""
AGAIN_S = 10.0
"""Seconds in which the target's fence is tried again while the origin serves already: a broken connection leaves no handover half way."""
LATE_S = 5.0
"""Seconds a request whose answer was lost may still take effect: the admin connection is closed long before."""
LOOK_S = 0.02
LAST_S = 1.0
"""Seconds that every action has although another one used up the time: one lost answer leaves no pooler paused."""
TRY_S = 5.0
"""Seconds the first try of one action may take."""
LATER_TRY_S = 20.0
"""And a later one: giving up costs the connection, and with a server that answers 0.6 s late making it and asking took 10 s (measured).
With 5 s each it was begun again and again, for ever."""
PAUSE_S = 0.2

Act = Callable[[Action], Awaitable[object]]


async def go_home(world: World, direction: Direction, recorder: Recorder, within_s: float, lease: Lease) -> tuple[str, ...]:
    """What stays open, in words; empty when the origin serves, fenced nowhere, routed to and resumed.

    Ends within about `within_s` seconds. Never raises for a system's sake. Once the pair is seen to be another's nothing is touched.

    So it asks first whose the pair is, for a second where a side answers and for `lease.ASK_S` where none does: who was frozen may wake when
    another one has opened the target, closed and left. One side's word decides, for the other may never answer; whoever opened the target has
    its seat on record there. Where no side answers nobody is named, and the way is gone all the same: poolers and channels must not wait for
    servers, and what changes a side asks there again, in its own transaction. As long as they may, who knows that it stood still waits for
    a word, and who is told of another that has only the lock waits for its end."""
    origin, target = direction.origin, direction.target
    way = _Way(recorder, asyncio.get_running_loop().time() + within_s, lease)
    if not_ours := await way.asked():
        return not_ours
    fence = world.servers.fence(target, on=True)
    missed = await way.reach(fence, for_s=0.0)
    channels = tuple(channel.route(origin) for channel in world.channels)
    fenced, routed, serving = await asyncio.gather(
        way.reach(fence, for_s=AGAIN_S) if missed else _nothing(),
        way.reach(Together(f"route every channel to {origin}", channels)) if channels else _nothing(),
        _reopen(world, origin, way),
    )
    return (*fenced, *routed, *serving)


async def go_forward(
    world: World, direction: Direction, recorder: Recorder, within_s: float, lease: Lease, *, ungraceful: bool = False
) -> tuple[Side, tuple[str, ...]]:
    """The side that serves, and what stays open: past the return the target takes writes and nothing stays paused.

    The target is unfenced only while the origin is seen fenced, or, in an ungraceful handover, does not answer and nobody hears of it. An origin that is open again while the target still is fenced has
    taken the writes: then the way is home. Ends within about `within_s` seconds; never raises for a system's sake."""
    origin, target = direction.origin, direction.target
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    way = _Way(recorder, until, lease)
    known = await way.look(world.servers.fence(origin, on=True), once=ungraceful)
    if known is Known.UNKNOWN and ungraceful:
        open_ends = await _hand_over_silent(world, direction, way)
    elif known is Known.PENDING and await way.look(world.servers.fence(target, on=True)) is Known.DONE:
        return origin, await go_home(world, direction, recorder, max(until - loop.time(), TRY_S), lease)
    else:
        open_ends = await _hand_over(world, direction, way, known)
    apart = shut_out(world, direction, lease, way.made) if ungraceful and not open_ends else _nothing()
    async with _meanwhile(apart):
        for flowing in await asyncio.gather(*(_flow(pooler, target, way) for pooler in world.poolers)):
            open_ends += flowing
    return target, open_ends


async def _hand_over(world: World, direction: Direction, way: _Way, origin_fenced: Known) -> tuple[str, ...]:
    """The target takes writes and the origin does not; or why it was left as it is."""
    if origin_fenced is Known.UNKNOWN:
        return (way.alarm(f"fence {direction.origin} on", f"not seen: {direction.target} was left as it is"),)
    if origin_fenced is Known.PENDING:
        still_open = await way.reach(world.servers.fence(direction.origin, on=True))
        if still_open:
            return still_open
    return await way.reach(world.servers.fence(direction.target, on=False))


async def _hand_over_silent(world: World, direction: Direction, way: _Way) -> tuple[str, ...]:
    """The target takes writes while the origin does not answer and nobody hears of it; or why it was left as it is. One that takes them
    already is what the apps go to: of them nobody asks where they write."""
    opened = world.servers.fence(direction.target, on=False)
    if await way.look(opened, once=True) is not Known.DONE:
        try:
            await Silence(world, direction.origin, direction.target).seen()
        except Exception as err:
            return (way.alarm(f"fence {direction.origin} on", f"{in_words(err)}: {direction.target} was left as it is"),)
    parted = await way.reach(world.servers.parted(direction.origin, direction.target))
    return parted or await way.reach(opened)


async def mirrored_again(world: World, direction: Direction, recorder: Recorder, lease: Lease) -> tuple[str, ...]:
    """After an ungraceful handover went home: the sides that had begun to part follow each other again; empty, or what does not."""
    way = _Way(recorder, asyncio.get_running_loop().time() + 2 * parting.BILL_S, lease)
    return await parting.mirror_again(world, direction, recorder, way.held)


async def until_shut_out(world: World, direction: Direction, recorder: Recorder, lease: Lease) -> None:
    """The origin is fenced, emptied of app sessions and follows the target no more; looked for until it is so. `Superseded` where the pair is
    another's by now."""
    await shut_out(world, direction, lease, _Way(recorder, asyncio.get_running_loop().time(), lease).made)


async def left_behind(world: World, direction: Direction, recorder: Recorder, within_s: float, lease: Lease) -> tuple[str, ...]:
    """After an ungraceful handover was brought forward: the target keeps and takes nothing of the origin any more, and what is to be said of
    that one is raised; in words."""
    way = _Way(recorder, asyncio.get_running_loop().time() + within_s, lease)
    kept = await way.reach(world.servers.released(direction.target))
    return (*kept, *await parting.tell(world, direction, recorder))


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """The work goes on beside what is done here, and ends with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _nothing() -> tuple[str, ...]:
    return ()


async def _reopen(world: World, origin: Side, way: _Way) -> tuple[str, ...]:
    """The origin is unfenced, then poolers lead there and flow. They flow even when the rest failed: nothing stays paused."""
    open_ends = await way.reach(world.servers.fence(origin, on=False))
    for flowing in await asyncio.gather(*(_flow(pooler, origin, way) for pooler in world.poolers)):
        open_ends += flowing
    if not open_ends:
        way.flows()
    return open_ends


async def _flow(pooler: Pooler, side: Side, way: _Way) -> tuple[str, ...]:
    """The pooler leads to the side, then its clients flow. The route retires every server connection that was opened under a fence."""
    return (*await way.reach(pooler.route(side)), *await way.reach(pooler.resume()))


async def keep_flowing(world: World, recorder: Recorder, act: Act, since: float) -> None:
    """A pause, sent after `since`, whose answer was lost may still arrive: for `LATE_S` the poolers are looked at, and resumed when it did.
    `act` applies and records."""
    if pause_may_come(recorder.state, since):
        await _keep_flowing(world, recorder, act)


async def flowing_still(world: World, recorder: Recorder, lease: Lease) -> tuple[str, ...]:
    """The same for one that took over, who needs no disk for it: which poolers may be paused all the same, in words."""
    way = _Way(recorder, asyncio.get_running_loop().time() + LATE_S, lease)
    await _keep_flowing(world, recorder, way.held)
    return tuple(alarm.what for alarm in recorder.state.alarms if alarm.id.startswith("late "))


def pause_may_come(state: RunState, since: float) -> bool:
    """Since then a pause was sent whose answer nobody has."""
    facts = [event.fact for event in state.tail if event.mono >= since]
    words = (ev.ActionIntended, ev.ActionDone, ev.ActionFailed)
    pauses = [fact for fact in facts if isinstance(fact, words) and fact.action.startswith("pause")]
    under_way = bool(pauses) and isinstance(pauses[-1], ev.ActionIntended)
    return under_way or any(_unanswered(fact) for fact in pauses)


def _unanswered(fact: ev.Fact) -> bool:
    """A pause whose answer was lost; or one that was given up for a cut of the connections."""
    unknown = isinstance(fact, ev.ActionFailed) and fact.unknown
    return unknown or (isinstance(fact, ev.ActionDone) and "not_paused" in fact.evidence)


async def _keep_flowing(world: World, recorder: Recorder, act: Act) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + LATE_S
    while loop.time() < until:
        for pooler in world.poolers:
            await _flows(pooler, recorder, act)
        await asyncio.sleep(LOOK_S)


async def _flows(pooler: Pooler, recorder: Recorder, act: Act) -> None:
    """It flows; or it is said, once, that it may be paused."""
    resume, late = pooler.resume(), f"late {pooler.name}"
    told = any(alarm.id == late for alarm in recorder.state.alarms)
    try:
        async with asyncio.timeout(LATE_S):
            if (await resume.probe()).known is Known.PENDING:
                await act(resume)
    except Exception as err:
        if not told:
            recorder.try_record(ev.AlarmRaised(late, f"{pooler.name} may be paused: {in_words(err)}", remedy="RESUME it"))
        return
    if told:
        recorder.try_record(ev.AlarmCleared(late))


@dataclass(slots=True)
class _Missed:
    """Why the last try of an action failed, and since when an intent is on record that all further tries have in common."""

    why: str
    unknown: bool
    since: float | None = None


class _Way:
    """Tries until a time, records what it can. A server that stays dead is tried five times a second for minutes: the second try is on
    record until something else comes of one, so that the timeline can be read, and each took place after an intent."""

    def __init__(self, recorder: Recorder, until: float, lease: Lease) -> None:
        self._recorder = recorder
        self._until = until
        self._lease = lease
        self._misses: dict[str, _Missed] = {}

    async def reach(self, action: Action, *, for_s: float | None = None) -> tuple[str, ...]:
        """Empty when the action is seen to be so; else its name and why, after the last try: once with 0 s, until the end with None."""
        try:
            return await self._reached(action, for_s)
        finally:
            self._give_up(action)

    async def _reached(self, action: Action, for_s: float | None) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        until = max(self._until, loop.time() + LAST_S) if for_s is None else min(self._until, loop.time() + for_s)
        why, limit = "", TRY_S
        while not why or loop.time() < until:
            if why:
                await asyncio.sleep(PAUSE_S)
                limit = LATER_TRY_S
            try:
                await self._lease.hold()
                why = await self._try(action, limit)
            except Refused as err:
                if isinstance(err, Superseded):
                    self._lease.lose(err)
                return (self.alarm(action.name, f"not touched: {err.brief}"),)
            if not why:
                self._clear(action.name)
                return ()
        return (self.alarm(action.name, why),)

    async def asked(self) -> tuple[str, ...]:
        """Empty unless a server names another owner of the pair: then who. One who sat down since is its owner for good; who only has the
        lock may be looking, and leave: it is asked again as long as there is time. Who stood still waits for the first word of a server."""
        while True:
            try:
                await self._lease.ask()
            except Refused as err:
                if not isinstance(err, Superseded) and asyncio.get_running_loop().time() < self._until:
                    await asyncio.sleep(PAUSE_S)
                    continue
                return (self.alarm("the way out", f"nothing was touched: {err.brief}"),)
            return ()

    async def made(self, action: Action) -> None:
        """It is so, or `StepError`; with a full disk too."""
        try:
            why = await self._try(action)
            while why and asyncio.get_running_loop().time() < self._until:
                await asyncio.sleep(PAUSE_S)
                await self._lease.hold()
                why = await self._try(action)
        finally:
            self._give_up(action)
        if why:
            raise StepError(why, where=action.name)

    async def held(self, action: Action) -> None:
        """It is so, or `StepError`; `Refused` where the pair is another's by now."""
        await self._lease.hold()
        await self.made(action)

    def flows(self) -> None:
        """Writes flow, whatever else is still tried: the downtime ends here, where it has begun and is not on record yet."""
        handover = self._recorder.state.handover
        if handover is not None and handover.downtime_mono is not None and handover.downtime_s is None:
            stalled = max(asyncio.get_running_loop().time() - handover.downtime_mono, 0.0)
            self._recorder.try_record(ev.DowntimeEnded(round(stalled, 4)))

    async def look(self, action: Action, *, once: bool = False) -> Known:
        """What is known of it, asked again and again while nothing is, or `once`."""
        loop = asyncio.get_running_loop()
        while True:
            known = await self._probe(action)
            if once or known is not Known.UNKNOWN or loop.time() >= self._until:
                return known
            await asyncio.sleep(PAUSE_S)

    def alarm(self, name: str, why: str) -> str:
        """`name: why`, raised as an open end."""
        self._recorder.try_record(ev.AlarmRaised(f"open: {name}", f"{name}: {why}", remedy="do it by hand, then resume"))
        return f"{name}: {why}"

    def _clear(self, name: str) -> None:
        if any(alarm.id == f"open: {name}" for alarm in self._recorder.state.alarms):
            self._recorder.try_record(ev.AlarmCleared(f"open: {name}"))

    async def _probe(self, action: Action) -> Known:
        try:
            async with asyncio.timeout(TRY_S):
                probe = await action.probe()
        except Exception:
            return Known.UNKNOWN
        self._recorder.try_record(ev.ActionProbed(action.name, probe.known, probe.evidence))
        return probe.known

    async def _try(self, action: Action, limit_s: float = TRY_S) -> str:
        """Empty when it is seen to be so, else why not; `Refused` where it must not be tried again."""
        started = asyncio.get_running_loop().time()
        try:
            started = self._intend(action, started)
            async with asyncio.timeout(limit_s):
                evidence = await action.apply()
                probe = await action.probe()
            if probe.known is not Known.DONE:
                return self._missed(action, started, f"applied, but it shows {dict(probe.evidence)}", unknown=False)
            seen = {**evidence, "seen": dict(probe.evidence)}
        except TimeoutError:
            return self._missed(action, started, f"no answer within {limit_s:g} s", unknown=True)
        except Refused as err:
            self._missed(action, started, err.brief, unknown=False)
            raise
        except Exception as err:
            return self._missed(action, started, in_words(err), unknown=False)
        self._misses.pop(action.name, None)
        self._recorder.try_record(ev.ActionDone(action.name, _ms(started), seen))
        return ""

    def _intend(self, action: Action, now: float) -> float:
        """When the try began whose intent is on record, as far as one can be put there."""
        missed = self._misses.get(action.name)
        if missed is not None and missed.since is not None:
            return missed.since
        if self._recorder.try_record(ev.ActionIntended(action.name, action.describe())) and missed is not None:
            missed.since = now
        return now

    def _missed(self, action: Action, started: float, why: str, *, unknown: bool) -> str:
        before = self._misses.get(action.name)
        if before is None or before.why != why:
            self._misses[action.name] = _Missed(why, unknown)
            self._recorder.try_record(ev.ActionFailed(action.name, _ms(started), why, unknown=unknown))
        return why

    def _give_up(self, action: Action) -> None:
        """What the last tries had in common is on record; nothing where the last one did it."""
        missed = self._misses.pop(action.name, None)
        if missed is not None and missed.since is not None:
            self._recorder.try_record(ev.ActionFailed(action.name, _ms(missed.since), missed.why, unknown=missed.unknown))


def _ms(started: float) -> float:
    return round((asyncio.get_running_loop().time() - started) * 1000, 3)
