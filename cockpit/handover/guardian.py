"""The guardian: the pilot's parent, in a session of its own, that outlives terminal, screen and pilot.

It watches the pilot's beat and the downtime budget. A pilot that dies, hangs while writes are stalled or overruns the budget is
killed for certain (it is a child on the same machine) and its timeline taken over. Before the point of no return the guardian goes
home; after it, it goes forward: the target is unfenced only while the origin is seen to be fenced, and nothing stays paused. It
needs no disk for that: where the timeline cannot be read, the last stage the pilot announced says which way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from cockpit.errors import CockpitError, JournalError
from cockpit.handover.actions import Together
from cockpit.handover.home import go_home
from cockpit.handover.pilot import close
from cockpit.handover.ports import Action, World
from cockpit.handover.record import Recorder, Unrecorded
from cockpit.handover.watch import BEAT_S, SILENT_S, Stage
from cockpit.model import events as ev
from cockpit.model.state import EMPTY, RunState, replay
from cockpit.model.words import Direction, Mode, Outcome
from cockpit.timeline.journal import Journal

HOME_S = 60.0
GRACE_S = 5.0
"""Seconds beyond the downtime budget that the pilot has to go home by itself."""

Spawn = Callable[[socket.socket], Awaitable[asyncio.subprocess.Process]]


class Guardian:
    """Watches one pilot. `watch` returns the run's exit code."""

    def __init__(self, world: World, timeline: Path, budget_s: float) -> None:
        self._world = world
        self._timeline = timeline
        self._budget_s = budget_s
        self._stage = Stage.SETTLED
        self._direction = Direction.CUTOVER
        self._stalled_since: float | None = None
        self._heard = 0.0
        self._end: socket.socket | None = None

    async def watch(self, spawn: Spawn) -> int:
        """Starts the pilot with its end of the thread, watches it, and takes over where it must."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._end = ours
        pilot = await spawn(theirs)
        theirs.close()
        self._heard = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(work) for work in (self._listen(ours), self._beat(ours), self._get_ready(ours))]
        try:
            why = await self._until_lost(pilot)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        code = await self._after(pilot, why)
        await close(self._world)
        return code

    async def _get_ready(self, end: socket.socket) -> None:
        """The pilot's gate opens when this process could take over: its own connections are up."""
        while True:
            with contextlib.suppress(CockpitError):
                await self._world.servers.open()
                await asyncio.gather(*(p.open() for p in self._world.poolers), *(c.open() for c in self._world.channels))
                break
            await asyncio.sleep(1)
        _send(end, {"ready": True})

    async def _beat(self, end: socket.socket) -> None:
        while True:
            _send(end, {"beat": asyncio.get_running_loop().time()})
            await asyncio.sleep(BEAT_S)

    async def _listen(self, end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        while chunk := await loop.sock_recv(end, 65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._heard = loop.time()
                message = json.loads(line)
                if "stage" in message:
                    self._enter(Stage(message["stage"]), Direction(message["direction"]))

    def _enter(self, stage: Stage, direction: Direction) -> None:
        if stage is Stage.STALLED:
            self._stalled_since = asyncio.get_running_loop().time()
        elif stage is Stage.SETTLED:
            self._stalled_since = None
        self._stage, self._direction = stage, direction

    async def _until_lost(self, pilot: asyncio.subprocess.Process) -> str:
        """Why the pilot no longer flies; empty when it left by itself."""
        gone = asyncio.create_task(pilot.wait())
        while True:
            done, _ = await asyncio.wait({gone}, timeout=BEAT_S)
            if done:
                return (
                    ""
                    if pilot.returncode is not None and pilot.returncode >= 0
                    else f"the pilot was killed by signal {-(pilot.returncode or 0)}"
                )
            why = self._overdue()
            if why:
                gone.cancel()
                return why

    def _overdue(self) -> str:
        now = asyncio.get_running_loop().time()
        if self._stalled_since is None:
            return ""
        if now - self._heard > SILENT_S:
            return f"the pilot has been silent for {now - self._heard:.1f} s while writes are stalled"
        if self._stage is Stage.STALLED and now - self._stalled_since > self._budget_s + GRACE_S + HOME_S:
            return f"writes were stalled for {now - self._stalled_since:.0f} s, the budget is {self._budget_s:g} s"
        return ""

    # --- taking over ---------------------------------------------------------------------------

    async def _after(self, pilot: asyncio.subprocess.Process, why: str) -> int:
        if why and pilot.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pilot.pid, signal.SIGKILL)
            await pilot.wait()
        state, recorder = self._take_timeline()
        if state.mode is Mode.CLOSED:
            return state.exit_code or 0
        why = why or f"the pilot ended with code {pilot.returncode} and left the run open"
        recorder.try_record(ev.PilotSeated("guardian", os.getpid(), ""))
        recorder.try_record(ev.AlarmRaised("guardian", why, remedy="the timeline says what the guardian did"))
        if self._past_return(state):
            return await self._forward(recorder, state)
        if self._may_be_stalled(state):
            return await self._home(recorder, state, why)
        return self._nothing_in_the_air(recorder, state, why)

    def _take_timeline(self) -> tuple[RunState, Recorder]:
        """The state as the timeline has it, and a recorder on it; without a usable timeline, what the pilot announced last."""
        try:
            journal, reading = Journal.take_up(self._timeline, "guardian")
        except JournalError:
            return EMPTY, Unrecorded()
        state = replay(reading.events)
        return state, Recorder(journal, state)

    def _past_return(self, state: RunState) -> bool:
        if state.run:
            handover = state.handover
            return handover is not None and handover.past_return and handover.outcome is None
        return self._stage is Stage.RETURNED

    def _may_be_stalled(self, state: RunState) -> bool:
        if state.run:
            handover = state.handover
            return handover is not None and handover.outcome is None and state.mode in {Mode.WINDOW, Mode.ABORTING}
        return self._stage is Stage.STALLED

    async def _home(self, recorder: Recorder, state: RunState, why: str) -> int:
        direction = state.handover.direction if state.handover else self._direction
        recorder.try_record(ev.ModeChanged(Mode.ABORTING, why))
        open_ends = await go_home(self._world, direction, recorder, HOME_S)
        self._end_handover(recorder, Outcome.STUCK if open_ends else Outcome.ABORTED, direction, why)
        outcome, code = ("failed", 1) if open_ends else ("aborted", 4)
        recorder.try_record(ev.RunClosed(outcome, code, direction.origin, open_ends))
        return code

    async def _forward(self, recorder: Recorder, state: RunState) -> int:
        """Past the return: the target takes writes and nothing stays paused; what is not so is named."""
        direction = state.handover.direction if state.handover else self._direction
        why = await self._reach(recorder, direction)
        target = direction.target
        self._end_handover(recorder, Outcome.STUCK if why else Outcome.DONE, direction, why or "finished by the guardian")
        open_ends = (why,) if why else ()
        code = 1
        recorder.try_record(ev.RunClosed("failed" if why else "done", code if why else 0, target, open_ends))
        return code if why else 0

    async def _reach(self, recorder: Recorder, direction: Direction) -> str:
        world, origin, target = self._world, direction.origin, direction.target
        resume = Together("resume every pooler", tuple(pooler.resume() for pooler in world.poolers))
        try:
            async with asyncio.timeout(HOME_S):
                if not (await world.servers.fence(origin, on=True).probe()).done:
                    return f"{origin} is not seen fenced: {target} was left as it is; poolers may be paused"
                for action in (world.servers.fence(target, on=False), *(p.route(target) for p in world.poolers), resume):
                    await _apply(recorder, action)
        except (CockpitError, TimeoutError) as err:
            return str(err) or f"not settled within {HOME_S:g} s"
        return ""

    def _end_handover(self, recorder: Recorder, outcome: Outcome, direction: Direction, why: str) -> None:
        handover = recorder.state.handover
        serving = direction.target if outcome is Outcome.DONE or self._past_return(recorder.state) else direction.origin
        if handover is None or handover.outcome is not None:
            return
        now = asyncio.get_running_loop().time()
        downtime = None if handover.downtime_mono is None else round(now - handover.downtime_mono, 4)
        if downtime is not None:
            recorder.try_record(ev.DowntimeEnded(downtime))
        seconds = round(now - handover.opened_mono, 4)
        recorder.try_record(ev.HandoverClosed(handover.number, outcome, seconds, serving, why, downtime))

    def _nothing_in_the_air(self, recorder: Recorder, state: RunState, why: str) -> int:
        self._end_handover(recorder, Outcome.ABORTED, state.handover.direction if state.handover else self._direction, why)
        recorder.try_record(ev.RunClosed("failed", 1, state.serving, (why,)))
        return 1


async def _apply(recorder: Recorder, action: Action) -> None:
    started = asyncio.get_running_loop().time()
    recorder.try_record(ev.ActionIntended(action.name, action.describe()))
    evidence = await action.apply()
    ms = round((asyncio.get_running_loop().time() - started) * 1000, 3)
    recorder.try_record(ev.ActionDone(action.name, ms, evidence))


def _send(end: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        end.send(json.dumps(message).encode() + b"\n")
