"""The guardian: the pilot's parent, in a session of its own, that outlives terminal, screen and pilot.

It watches the pilot's beat and the downtime budget. A pilot that dies, hangs in the middle of a handover or overruns the budget is
killed for certain (it is a child on the same machine) and its timeline taken over. Before the point of no return, and where the pilot
was on its way home already, the guardian goes home; after it, it goes forward: the target is unfenced only while the origin is seen
to be fenced, and nothing stays paused. It needs no disk for that: where the timeline cannot be read, the last stage the pilot
announced says which way.
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

from cockpit.errors import JournalError
from cockpit.handover.awake import Awake
from cockpit.handover.home import HOME_S, flowing_still, go_forward, go_home, left_behind, mirrored_again, pause_may_come
from cockpit.handover.keeping_out import KeepingOut
from cockpit.handover.lease import Inheritance
from cockpit.handover.leaving import close
from cockpit.handover.ports import Claim, World
from cockpit.handover.reality import target_took_over
from cockpit.handover.record import Recorder, Unrecorded
from cockpit.handover.watch import BEAT_S, HALF_WAY, SILENT_S, UNRECORDABLE, Stage
from cockpit.model import events as ev
from cockpit.model.intents import superseded
from cockpit.model.state import EMPTY, RunState, replay
from cockpit.model.values import replace
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.timeline.journal import Journal

GRACE_S = 5.0
"""Seconds beyond the downtime budget and the pilot's own way home (`HOME_S`) after which a pilot that still beats is taken for lost."""

Spawn = Callable[[socket.socket], Awaitable[asyncio.subprocess.Process]]


class Guardian:
    """Watches one pilot. `watch` returns the run's exit code."""

    def __init__(self, world: World, timeline: Path, budget_s: float, owner: Callable[[int], str], seat: str = "") -> None:
        """`owner`: how the process with that number names itself to the lock on the servers; `seat`: where its pilot sits."""
        self._world = world
        self._timeline = timeline
        self._budget_s = budget_s
        self._owner = owner
        self._seat = seat
        self._awake = Awake()
        self._lease = self._inherit("")
        self._stage = Stage.SETTLED
        self._direction = Direction.CUTOVER
        self._turned_back = False
        """The pilot went home after all, from beyond the return."""
        self._stalled_since: float | None = None
        self._heard = 0.0
        self._told = asyncio.Event()
        self._end: socket.socket | None = None

    def end(self) -> None:
        """Its process is to end: a side that may come back open is waited for no longer."""
        self._told.set()

    async def watch(self, spawn: Spawn) -> int:
        """Starts the pilot with its end of the thread, watches it, and takes over where it must."""
        turning = asyncio.create_task(self._awake.run())
        try:
            code = await self._after(*await self._watched(spawn))
        finally:
            turning.cancel()
        self._lease.close()
        await close(self._world)
        return code

    async def _watched(self, spawn: Spawn) -> tuple[asyncio.subprocess.Process, str]:
        """The pilot that was started, and why it flies no longer."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._end = ours
        pilot = await spawn(theirs)
        theirs.close()
        self._heard = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(work) for work in (self._listen(ours), self._beat(ours), self._get_ready(ours))]
        try:
            return pilot, await self._until_lost(pilot)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _get_ready(self, end: socket.socket) -> None:
        """The pilot's gate opens when this process could take over: its own connections are up."""
        while True:
            with contextlib.suppress(Exception):
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
                with contextlib.suppress(ValueError):  # its end was lost while this process stood still and the thread was full
                    message = json.loads(line)
                    if "stage" in message:
                        self._enter(Stage(message["stage"]), Direction(message["direction"]))

    def _enter(self, stage: Stage, direction: Direction) -> None:
        """Every beat says it again."""
        if (stage, direction) == (self._stage, self._direction):
            return
        if stage is Stage.STALLED and self._stalled_since is None:
            self._stalled_since = asyncio.get_running_loop().time()
        elif stage in {Stage.SETTLED, Stage.STEERING}:
            self._stalled_since = None
        self._turned_back = stage is Stage.STALLED and self._stage is Stage.RETURNED
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
        """Why the pilot is not waited for any longer; empty while it is."""
        if self._stage is Stage.SETTLED:
            return ""
        now = asyncio.get_running_loop().time()
        if now - self._heard > SILENT_S:
            return f"the pilot has been silent for {now - self._heard:.1f} s in the middle of a handover"
        if self._stage is not Stage.STALLED or self._stalled_since is None:
            return ""
        stalled = now - self._stalled_since
        if stalled > self._budget_s + HOME_S + GRACE_S:
            return f"writes were stalled for {stalled:.0f} s: the budget is {self._budget_s:g} s, the way home may take {HOME_S:g} s"
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
        if pilot.returncode == HALF_WAY and (state.half_way or state.at_large):
            return 1  # told to end, it left the run open as it was
        if self._never_its_own(state, pilot.pid, why):
            return pilot.returncode or 1
        self._lease = self._inherit(self._owner(pilot.pid), state)
        why = why or _left_open(pilot.returncode)
        recorder.try_record(ev.PilotSeated("guardian", os.getpid(), ""))
        recorder.try_record(ev.AlarmRaised("guardian", why, remedy="the timeline says what the guardian did"))
        state = self._without_untouched(recorder, state, why)
        if await self._is_contradicted(state):
            return self._leave_open(recorder, ("the target is open and the origin fenced: a person decides",))
        if self._goes_home(state):
            return await self._home(recorder, state, why)
        if self._past_return(state):
            return await self._forward(recorder, state)
        return await self._nothing_in_the_air(recorder, state, why)

    def _inherit(self, dead: str, state: RunState = EMPTY) -> Inheritance:
        servers = self._world.servers
        epoch = next((seat.epoch for seat in state.seats if seat.seat == self._seat), 0)
        claim = Claim(self._seat, epoch, heir=True) if self._seat else None
        return Inheritance(lambda: servers.lock(self._owner(os.getpid()), claim), dead, lambda: servers.lock_lost, self._awake)

    def _never_its_own(self, state: RunState, pid: int, killed: str) -> bool:
        """The pilot never sat down on this run, or left it again before anybody had said how to go on: what was left half way is as it was, and
        so is a side that may come back open. One that was killed, and not turned away, would have shut that one out."""
        if state.owner_pid not in {0, pid} or superseded(state):
            return True
        sat = not self._seat or not state.run or any(seat.seat == self._seat for seat in state.seats)
        if state.half_way is not None:
            return state.mode is Mode.OPENING or not sat
        return state.mode is Mode.OPENING and state.at_large is not None and not killed

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
            if handover is not None and handover.outcome is Outcome.STUCK:
                return state.serving is handover.direction.target
            return handover is not None and handover.past_return and (handover.outcome is None or state.mode is Mode.LANDING)
        return self._stage is Stage.RETURNED

    def _goes_home(self, state: RunState) -> bool:
        """Before the return something may be touched; or the pilot was going home already, from wherever."""
        if not state.run:
            return self._stage in {Stage.STEERING, Stage.STALLED}
        if state.mode is Mode.ABORTING or self._turned_back:
            return True
        in_air = state.handover is not None and state.handover.outcome is None and state.mode is Mode.WINDOW
        return (in_air or state.half_way is not None) and not self._past_return(state)

    async def _home(self, recorder: Recorder, state: RunState, why: str) -> int:
        direction = state.handover.direction if state.handover else self._direction
        recorder.try_record(ev.ModeChanged(Mode.ABORTING, why))
        open_ends = await go_home(self._world, direction, recorder, HOME_S, self._lease)
        apart: tuple[str, ...] = ()
        if _ungraceful(state) and not open_ends:
            apart = await mirrored_again(self._world, direction, recorder, self._lease)
        open_ends += await self._flowing_still(recorder, state)
        if open_ends:
            self._end_handover(recorder, Outcome.STUCK, direction.origin, f"{why}; still open: {'; '.join(open_ends)}")
            return self._leave_open(recorder, open_ends + apart)
        self._end_handover(recorder, Outcome.ABORTED, direction.origin, why)
        recorder.try_record(ev.RunClosed("aborted", 4, direction.origin, apart))
        return 4

    async def _forward(self, recorder: Recorder, state: RunState) -> int:
        """Past the return: the target takes writes and nothing stays paused; what is not so is named."""
        direction = state.handover.direction if state.handover else self._direction
        ungraceful = _ungraceful(state)
        serving, open_ends = await go_forward(self._world, direction, recorder, HOME_S, self._lease, ungraceful=ungraceful)
        home = serving is direction.origin
        owed: tuple[str, ...] = ()
        if ungraceful and not open_ends:
            finish = mirrored_again(self._world, direction, recorder, self._lease) if home else self._left_behind(recorder, direction)
            owed = await finish
        if not open_ends:
            self._end_downtime(recorder)
        open_ends += await self._flowing_still(recorder, state)
        outcome = Outcome.STUCK if open_ends else Outcome.ABORTED if home else Outcome.DONE
        self._end_handover(recorder, outcome, serving, "; ".join(open_ends) or "finished by the guardian")
        if open_ends:
            code = self._leave_open(recorder, open_ends + owed)
            return code if recorder.state.at_large is None else await self._keep_out(recorder, "", code)
        name, code = ("aborted", 4) if home else ("done", 0)
        if recorder.state.at_large is not None:
            return await self._keep_out(recorder, name, code)
        recorder.try_record(ev.RunClosed(name, code, serving, owed))
        return code

    async def _keep_out(self, recorder: Recorder, name: str, code: int, *why: str) -> int:
        """The run is closed as `name` once the side that an ungraceful handover left is shut out; left open (1) where it was not."""
        parted = recorder.state.parted
        direction = parted.direction if parted is not None else self._direction
        held = await KeepingOut(self._world, direction, self._lease, self._timeline, self._take_timeline, self._told).done(recorder)
        if held is None or not name:
            return 1
        ends = tuple(alarm.what for alarm in held.state.alarms if alarm.id != "guardian")
        held.try_record(ev.RunClosed(name, code, held.state.serving, (*why, *ends)))
        return code

    def _leave_open(self, recorder: Recorder, open_ends: tuple[str, ...]) -> int:
        """The handover stays half way and the run open, what is open on record: `cockpit resume` and `abort` take it up."""
        recorder.try_record(ev.ModeChanged(Mode.STUCK, f"the guardian could not settle it: {'; '.join(open_ends)}"))
        return 1

    def _without_untouched(self, recorder: Recorder, state: RunState, why: str) -> RunState:
        """A handover that was opened over one that is half way, and touched nothing, is over: the earlier one is what is in the air."""
        if state.unsettled is None or state.half_way is not state.unsettled:
            return state
        if state.handover is not None and state.handover.outcome is None:
            recorder.try_record(ev.HandoverClosed(state.handover.number, Outcome.ABORTED, 0.0, state.handover.direction.origin, why))
        return replace(state, handover=state.unsettled, unsettled=None, mode=Mode.STUCK)

    async def _is_contradicted(self, state: RunState) -> bool:
        """What was stuck before its return shows what no handover leaves there: going home could leave behind what apps wrote meanwhile."""
        stuck = state.handover is not None and state.handover.outcome is Outcome.STUCK and self._goes_home(state)
        return stuck and state.handover is not None and await target_took_over(self._world, state.handover.direction)

    async def _flowing_still(self, recorder: Recorder, state: RunState) -> tuple[str, ...]:
        """A pause that the pilot had sent and got no answer to leaves nothing paused; without a timeline there may have been one."""
        may_come = state.handover is None or pause_may_come(state, state.handover.opened_mono)
        return await flowing_still(self._world, recorder, self._lease) if may_come else ()

    async def _left_behind(self, recorder: Recorder, direction: Direction) -> tuple[str, ...]:
        return await left_behind(self._world, direction, recorder, HOME_S, self._lease)

    def _end_handover(self, recorder: Recorder, outcome: Outcome, serving: Side, why: str) -> None:
        handover = recorder.state.handover
        if handover is None or handover.outcome not in {None, Outcome.STUCK}:
            return
        if outcome is not Outcome.STUCK:
            self._end_downtime(recorder)  # where something stays open writes may stall still: then no end of it is told
            handover = recorder.state.handover or handover
        seconds = round(asyncio.get_running_loop().time() - handover.opened_mono, 4)
        recorder.try_record(ev.HandoverClosed(handover.number, outcome, seconds, serving, why, handover.downtime_s))

    def _end_downtime(self, recorder: Recorder) -> None:
        handover = recorder.state.handover
        if handover is not None and handover.downtime_mono is not None and handover.downtime_s is None:
            recorder.try_record(ev.DowntimeEnded(round(asyncio.get_running_loop().time() - handover.downtime_mono, 4)))

    async def _nothing_in_the_air(self, recorder: Recorder, state: RunState, why: str) -> int:
        if state.handover is not None and state.handover.outcome is None:
            self._end_handover(recorder, Outcome.ABORTED, state.handover.direction.origin, why)
        if state.at_large is not None:
            return await self._keep_out(recorder, "failed", 1, why)
        ends = tuple(alarm.what for alarm in state.alarms)
        recorder.try_record(ev.RunClosed("failed", 1, state.serving, (why, *ends)))
        return 1


def _ungraceful(state: RunState) -> bool:
    return state.handover is not None and state.handover.ungraceful


def _left_open(code: int | None) -> str:
    if code == UNRECORDABLE:
        return "the timeline took no record any more: the pilot brought down what was in the air and left"
    return f"the pilot ended with code {code} and left the run open"


def _send(end: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        end.send(json.dumps(message).encode() + b"\n")
