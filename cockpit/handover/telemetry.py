"""What is measured all the time, each at its own pace, written to the samples file and kept as the newest picture.

A measurement that fails is a sample that says so; nothing here ends a run. Heartbeats stop inside the window (`quiet`), so that
the fence LSN stands still.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from cockpit.errors import CockpitError, LinkError
from cockpit.handover.gates import Gates, Picture
from cockpit.handover.plan import gates_of
from cockpit.handover.ports import Channel, Pooler, Session, World
from cockpit.handover.readiness import readiness
from cockpit.handover.record import Recorder
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
    shape: float = 5.0
    deadline: float = 2.0
    """Seconds one measurement may take."""


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
    shape_now: str | None = None
    shape_at_preflight: str | None = None
    readings: tuple[GateReading, ...] = ()
    _quiet: bool = False
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
        ]
        async with asyncio.TaskGroup() as group:
            for period, measure in beats:
                group.create_task(self._every(period, measure))
            group.create_task(self._reconcile())

    def quiet(self, quiet: bool) -> None:
        """True: heartbeats, schema digests and background reading stop. False: they go on for the side that serves now."""
        self._quiet = quiet
        if quiet:
            self.world.reconciler.hold()
        else:
            self.world.reconciler.release(self._serving)

    async def read_shape(self) -> None:
        """The schemas' digest is read now and is what the preflight stands for."""
        self.shape_now = self.shape_at_preflight = await self.world.servers.shape()

    @property
    def _serving(self) -> Side:
        return self.recorder.state.serving or Side.BLUE

    def _put(self, sample: Sample) -> None:
        self.samples.write(sample)
        self.latest.take(sample)

    async def _every(self, period: float, measure: Callable[[], Awaitable[None]]) -> None:
        """Measures every `period` seconds; a slow measurement is not caught up with. The poller's boundary for the world's errors."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                async with asyncio.timeout(self.pace.deadline):
                    await measure()
            except (CockpitError, TimeoutError):
                pass  # the missing sample grows old, and old is unknown
            await asyncio.sleep(max(period - (loop.time() - started), 0.005))

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
        intended |= {name: pooler.routes_to for name, pooler in self.latest.poolers.items()}
        writes = await self.world.feed.writes_s()
        now = asyncio.get_running_loop().time()
        self._put(routing_sample(now, self.spec.apps, self._serving, intended, sessions, writes, CENSUS_QUERY))

    async def _census(self, side: Side) -> Sequence[Session] | None:
        try:
            return await self.world.servers.census(side)
        except CockpitError:
            return None

    async def _intended(self, channel: Channel) -> Side | None:
        try:
            return await channel.intended()
        except CockpitError:
            return None

    async def _servers(self) -> None:
        for sample in await asyncio.gather(*(self._server(side) for side in Side)):
            self._put(sample)

    async def _server(self, side: Side) -> ServerSample:
        try:
            return await self.world.servers.server(side)
        except CockpitError as err:
            now = asyncio.get_running_loop().time()
            return ServerSample(now, side, False, "", None, None, None, None, str(err))

    async def _poolers(self) -> None:
        for sample in await asyncio.gather(*(self._pooler(pooler) for pooler in self.world.poolers)):
            self._put(sample)

    async def _pooler(self, pooler: Pooler) -> PoolerSample:
        try:
            return await pooler.sample()
        except CockpitError as err:
            now = asyncio.get_running_loop().time()
            return PoolerSample(now, pooler.name, False, None, None, None, None, "", str(err))

    async def _read_gates(self) -> None:
        now = asyncio.get_running_loop().time()
        state = self.recorder.state
        picture = Picture(now, state, self.latest, self.scenario.tuning, self.shape_at_preflight, self.shape_now, self.guardian())
        readings = self._gates.read(gates_of(self.scenario, picture.direction), picture)
        self._record_turns(readings)
        self.readings = readings
        self._put(GatesSample(now, readings))

    def _record_turns(self, readings: Sequence[GateReading]) -> None:
        """A gate that turned is an event, but not inside the window, where they turn because the window turns them."""
        if self.recorder.state.mode in {Mode.WINDOW, Mode.LANDING, Mode.ABORTING}:
            return
        shown = {gate.id: gate.light for gate in self.recorder.state.gates}
        for reading in readings:
            if shown.get(reading.id) is not reading.light and (reading.id in shown or reading.light is not Light.UNKNOWN):
                fact = ev.GateTurned(reading.id, reading.light, reading.reason, reading.query)
                self.recorder.record(fact, durable=False)

    async def _readiness(self) -> None:
        now = asyncio.get_running_loop().time()
        stale = self.scenario.tuning.stale_after
        self._put(readiness(now, self.recorder.state, self.scenario, self.latest.lag, self.latest.recon, stale))

    async def _pulse(self) -> None:
        self._put(PulseSample(asyncio.get_running_loop().time(), os.getpid(), self.recorder.state.seq))

    async def _shape(self) -> None:
        if not self._quiet:
            self.shape_now = await self.world.servers.shape()

    async def _reconcile(self) -> None:
        """Background reconciliation, taken up again when a server breaks under it."""
        while True:
            try:
                async for sample in self.world.reconciler.samples():
                    self._put(sample)
            except LinkError:
                pass  # its sample grows old, and old is unknown
            await asyncio.sleep(1.0)


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
