"""What is measured all the time, each at its own pace, written to the samples file and kept as the newest picture.

A measurement that fails is a sample that says so; nothing here ends a run: what no port may raise is an alarm with its type until
the measurement comes again. Each system has a deadline of its own, so that one that hangs costs no other its sample. Heartbeats stop
inside the window (`quiet`), so that the fence LSN stands still.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cockpit.errors import CockpitError
from cockpit.handover.alarms import Alarms
from cockpit.handover.gates import SCHEMA_QUERY, SEQUENCE_QUERY, Gates, Picture, aged, changed_sides
from cockpit.handover.plan import gates_of
from cockpit.handover.ports import Channel, Pooler, Session, World
from cockpit.handover.readiness import readiness
from cockpit.handover.record import Recorder, in_words
from cockpit.handover.routing import routing_sample
from cockpit.model import events as ev
from cockpit.model.settings import PairSpec, Scenario
from cockpit.model.telemetry import (
    GateReading,
    GatesSample,
    LagSample,
    PoolerSample,
    PulseSample,
    Sample,
    ServerSample,
)
from cockpit.model.words import Light, Mode, Side
from cockpit.timeline.follow import Latest
from cockpit.timeline.samples import Samples

T = TypeVar("T")
TURNING = frozenset({Mode.WINDOW, Mode.LANDING, Mode.ABORTING})
LULL_S = 0.3
"""Seconds of a window in which nothing is measured: most are over by then, and no screen could have shown their middle."""
REPORT = "the run goes on without it; say so to whoever keeps this part"
SAME_THERE = "make the same change on the other side before the next handover, then run the preflight again (r)"
SET_ON = "setval() it beyond the highest number in use: the apps' next ones collide, and a handover would carry it over so"
AT_REST = frozenset({Mode.READY, Mode.ARMED, Mode.STUCK})
"""Modes in which a side that does not answer is news: a flight tells what it meets by itself."""
CENSUS_QUERY = "SELECT usename, application_name, client_addr, state, backend_xid, xact_start FROM pg_stat_activity"


@dataclass(slots=True)
class Pace:
    """Seconds between two measurements of a kind."""

    lag: float = 0.25
    routing: float = 0.5
    server: float = 1.0
    pooler: float = 1.0
    gates: float = 0.25
    readiness: float = 1.0
    pulse: float = 0.5
    shape: float = 1.0
    alarms: float = 2.0
    deadline: float = 2.0
    """Seconds one measurement may take."""
    answer: float = 1.5
    """Seconds one system may take to answer within it."""
    reading: float = 60.0
    """Seconds the schemas may take: a large one is read whole when it has changed."""


@dataclass(slots=True)
class Telemetry:
    """The loops. `run` runs them all until cancelled."""

    world: World
    spec: PairSpec
    scenario: Scenario
    recorder: Recorder
    samples: Samples
    guardian: Callable[[], str]
    """Why there is no guardian; empty while there is one."""
    latest: Latest = field(default_factory=Latest)
    pace: Pace = field(default_factory=Pace)
    shape_now: Mapping[Side, str] | None = None
    shape_at_preflight: Mapping[Side, str] | None = None
    shape_mono: float | None = None
    readings: tuple[GateReading, ...] = ()
    _read_at: float = 0.0
    _missed: dict[Side, int] = field(default_factory=dict)
    """How often in a row a side did not answer."""
    _quiet: bool = False
    _turning: float = 0.0
    """When a window was seen last: what it turns is no news."""
    _hushed: float = -LULL_S
    """When it became quiet last."""
    _gates: Gates = field(default_factory=Gates)

    async def run(self) -> None:
        """Never returns; cancel it."""
        beats: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (self.pace.lag, self._lag),
            (self.pace.routing, self._routing),
            (self.pace.server, self._servers),
            (self.pace.pooler, self._poolers),
            (self.pace.gates, self._read_gates),
            (self.pace.readiness, self._readiness),
            (self.pace.pulse, self._pulse),
            (self.pace.shape, self._shape),
            (self.pace.alarms, self._alarms),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for period, measure in beats:
                    deadline = self.pace.reading if measure == self._shape else self.pace.deadline
                    group.create_task(self._every(period, measure, measure.__name__.strip("_").replace("_", " "), deadline))
                group.create_task(self._reconcile())
        finally:
            gc.enable()

    def quiet(self, quiet: bool) -> None:
        """True: heartbeats, schema digests and background reading stop. False: they go on for the side that serves now.

        While it is quiet this process collects no garbage either: a full collection stands in the way of a step (measured: the longest
        stall of 20 handovers was 158 ms without and 175 to 200 with it)."""
        self._quiet = quiet
        if quiet:
            self._turning = self._hushed = asyncio.get_running_loop().time()
            gc.disable()
            self.world.reconciler.hold()
        else:
            gc.enable()
            self.world.reconciler.release(self._serving)

    async def read_shape(self) -> None:
        """The schemas' digest is read now and is what the preflight stands for."""
        await self._read_shape()
        self.shape_at_preflight = self.shape_now

    async def _read_shape(self) -> None:
        asked = asyncio.get_running_loop().time()
        self.shape_now = await self.world.servers.shape()
        self.shape_mono = asked

    def readings_now(self) -> tuple[GateReading, ...]:
        """The gates as read last, unknown where that is too long ago."""
        return aged(self.readings, self._read_at, asyncio.get_running_loop().time(), self.scenario.tuning.stale_after)

    @property
    def _serving(self) -> Side:
        return self.recorder.state.serving or Side.BLUE

    @property
    def _flowing(self) -> float:
        """When writes flowed again after the window that was seen last; 0 while none was."""
        handover = self.recorder.state.handover
        if not self._turning or handover is None or handover.downtime_mono is None or handover.downtime_s is None:
            return 0.0
        return min(handover.downtime_mono + handover.downtime_s, asyncio.get_running_loop().time())

    def _put(self, sample: Sample) -> None:
        self.samples.write(sample)
        self.latest.take(sample)

    async def _every(self, period: float, measure: Callable[[], Awaitable[None]], what: str, deadline: float) -> None:
        """Measures every `period` seconds; a slow measurement is not caught up with. The poller's boundary for whatever is raised."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                async with asyncio.timeout(deadline):
                    await measure()
                self._went_well(what)
            except Exception as err:
                self._went_wrong(what, err)
            await asyncio.sleep(max(period - (loop.time() - started), 0.005))
            if (lull := self._hushed + LULL_S - loop.time()) > 0:
                await asyncio.sleep(lull)

    def _went_well(self, what: str) -> None:
        if any(alarm.id == f"measure {what}" for alarm in self.recorder.state.alarms):
            self.recorder.try_record(ev.AlarmCleared(f"measure {what}"))

    def _went_wrong(self, what: str, err: Exception) -> None:
        """An error that a port may raise needs no word: the missing sample grows old, and old is unknown. Any other is named, once."""
        known = isinstance(err, (CockpitError, TimeoutError))
        if not known and not any(alarm.id == f"measure {what}" for alarm in self.recorder.state.alarms):
            self.recorder.try_record(ev.AlarmRaised(f"measure {what}", f"{what} cannot be measured: {in_words(err)}", remedy=REPORT))

    async def _lag(self) -> None:
        serving = self._serving
        if not self._quiet:
            await self._beat(serving)
        try:
            sample = await self.world.servers.lag(serving, serving.other)
        except CockpitError as err:
            sample = _no_lag(asyncio.get_running_loop().time(), serving, str(err))
        self._put(sample)

    async def _beat(self, serving: Side) -> None:
        try:
            await self.world.servers.beat(serving)
        except CockpitError:
            pass  # the heartbeat's age shows it

    async def _routing(self) -> None:
        sessions = dict(zip(Side, await asyncio.gather(*(self._census(side) for side in Side)), strict=True))
        channels = self.world.channels
        said = await asyncio.gather(*(self._intended(channel) for channel in channels))
        intended = {channel.name: side for channel, side in zip(channels, said, strict=True)}
        intended |= {name: pooler.routes_to if pooler.mono > self._flowing else None for name, pooler in self.latest.poolers.items()}
        writes = await self._answer("activity feed", self.world.feed.writes_s()) or {}
        now = asyncio.get_running_loop().time()
        self._put(routing_sample(now, self.spec.apps, self._serving, intended, sessions, writes, CENSUS_QUERY))

    async def _census(self, side: Side) -> Sequence[Session] | None:
        return await self._answer(f"sessions of {side}", self.world.servers.census(side))

    async def _intended(self, channel: Channel) -> Side | None:
        return await self._answer(channel.name, channel.intended())

    async def _answer(self, what: str, asked: Awaitable[T]) -> T | None:
        """What a system said within its own deadline; None where it did not."""
        try:
            async with asyncio.timeout(self.pace.answer):
                said = await asked
        except Exception as err:
            self._went_wrong(what, err)
            return None
        self._went_well(what)
        return said

    async def _servers(self) -> None:
        await asyncio.gather(*(self._server(side) for side in Side))
        self._say_set_back()
        if self.recorder.state.mode in AT_REST:
            for side in Side:
                self._say_down(side)

    def _say_down(self, side: Side) -> None:
        """An alarm stands while a side does not answer, from the second look in a row on."""
        server = self.latest.servers.get(side)
        if server is None:
            return
        self._missed[side] = 0 if server.up else self._missed.get(side, 0) + 1
        raised = any(alarm.id == f"down: {side}" for alarm in self.recorder.state.alarms)
        if self._missed[side] >= 2 and not raised:
            serves = side is self.recorder.state.serving
            what = f"{side} {'SERVES AND ' if serves else ''}DOES NOT ANSWER: {server.error or 'no answer'}"
            self.recorder.record(
                ev.AlarmRaised(f"down: {side}", what, remedy=_ways(side) if serves else f"start {side} again"), durable=False
            )
        if raised and server.up:
            self.recorder.record(ev.AlarmCleared(f"down: {side}"), durable=False)

    def _say_set_back(self) -> None:
        """An alarm stands while a sequence of the serving side is behind where it was: its next numbers are taken."""
        server = self.latest.servers.get(self._serving)
        behind = server.set_back if server is not None else ()
        what = f"a sequence of {self._serving} was set back: {'; '.join(behind[:3])}"
        raised = next((alarm for alarm in self.recorder.state.alarms if alarm.id == "sequences"), None)
        if behind and raised is None:
            self.recorder.record(ev.AlarmRaised("sequences", what, SEQUENCE_QUERY, SET_ON), durable=False)
        if raised is not None and not behind and server is not None and server.up:
            self.recorder.record(ev.AlarmCleared("sequences"), durable=False)

    async def _server(self, side: Side) -> None:
        try:
            async with asyncio.timeout(self.pace.answer):
                sample = await self.world.servers.server(side)
        except Exception as err:
            now = asyncio.get_running_loop().time()
            sample = ServerSample(now, side, False, "", None, None, None, None, in_words(err))
        self._put(sample)

    async def _poolers(self) -> None:
        await asyncio.gather(*(self._pooler(pooler) for pooler in self.world.poolers))

    async def _pooler(self, pooler: Pooler) -> None:
        try:
            async with asyncio.timeout(self.pace.answer):
                sample = await pooler.sample()
        except Exception as err:
            now = asyncio.get_running_loop().time()
            sample = PoolerSample(now, pooler.name, False, None, None, None, None, "", in_words(err))
        self._put(sample)

    async def _read_gates(self) -> None:
        now = asyncio.get_running_loop().time()
        state = self.recorder.state
        shapes = (self.shape_at_preflight, self.shape_now, self.shape_mono)
        names = tuple(pooler.name for pooler in self.world.poolers)
        if state.mode in TURNING:
            self._turning = now
        since = 0.0 if state.mode in TURNING else max(self._turning, self._flowing)
        picture = Picture(now, state, self.latest, self.scenario.tuning, *shapes, self.guardian(), names, since)
        readings = self._gates.read(gates_of(self.scenario, picture.direction), picture)
        self.readings, self._read_at = readings, now
        self._record_turns(readings)
        self._put(GatesSample(now, readings))

    def _record_turns(self, readings: Sequence[GateReading]) -> None:
        """A gate that turned is an event, but not inside the window, where they turn because the window turns them; nor that one is
        unknown right after it, until what it reads should have been measured again."""
        if self.recorder.state.mode in TURNING:
            return
        settling = (
            self._turning and asyncio.get_running_loop().time() - max(self._turning, self._flowing) <= self.scenario.tuning.stale_after
        )
        shown = {gate.id: gate.light for gate in self.recorder.state.gates}
        for reading in readings:
            if settling and reading.light is Light.UNKNOWN:
                continue
            if shown.get(reading.id) is not reading.light and (reading.id in shown or reading.light is not Light.UNKNOWN):
                fact = ev.GateTurned(reading.id, reading.light, reading.reason, reading.query)
                self.recorder.record(fact, durable=False)

    async def _readiness(self) -> None:
        now = asyncio.get_running_loop().time()
        stale = self.scenario.tuning.stale_after
        self._put(readiness(now, self.recorder.state, self.scenario, self.latest, stale))

    async def _pulse(self) -> None:
        self._put(PulseSample(asyncio.get_running_loop().time(), os.getpid(), self.recorder.state.seq))

    async def _shape(self) -> None:
        if not self._quiet:
            await self._read_shape()
            self._say_changed()

    def _say_changed(self) -> None:
        """Where no gate of the next handover asks for the schemas, an alarm says that one has changed: the way back may not fit it."""
        state = self.recorder.state
        gated = any(gate.id == "schema" for gate in gates_of(self.scenario, state.next_direction))
        known = self.shape_at_preflight is not None and self.shape_now is not None
        changed = changed_sides(self.shape_at_preflight or {}, self.shape_now or {}) if known else ""
        what = f"the schema of {changed} changed since the preflight"
        raised = next((alarm.what for alarm in state.alarms if alarm.id == "schema"), None)
        if changed and not gated and raised != what:
            self.recorder.record(ev.AlarmRaised("schema", what, SCHEMA_QUERY, SAME_THERE), durable=False)
        if raised is not None and (gated or not changed):
            self.recorder.record(ev.AlarmCleared("schema"), durable=False)

    async def _alarms(self) -> None:
        if not self._quiet:
            await Alarms(self.world, self.recorder, self.latest).clear_seen()

    async def _reconcile(self) -> None:
        """Background reconciliation, taken up again when something breaks under it."""
        while True:
            try:
                async for sample in self.world.reconciler.samples():
                    self._put(sample)
                    self._went_well("reconciliation")
            except Exception as err:
                self._went_wrong("reconciliation", err)
            await asyncio.sleep(1.0)


def _ways(side: Side) -> str:
    """What a lead can do while the serving side is gone."""
    return "start green again; or U: blue takes over without what it has not" if side is Side.GREEN else "start blue again"


def _no_lag(now: float, serving: Side, error: str) -> LagSample:
    return LagSample(
        mono=now,
        origin=serving,
        target=serving.other,
        lag_bytes=None,
        lag_s=None,
        apply_bytes_s=None,
        forecast_s=None,
        slot="",
        slot_state="missing",
        retained_bytes=None,
        sender="missing",
        worker="missing",
        last_message_age_s=None,
        apply_errors=None,
        tables_ready=0,
        tables_total=0,
        error=error,
    )
