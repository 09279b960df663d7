"""The twin of a pooler: clients wait while it is paused, server connections stay with the side they were opened on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cockpit.errors import LinkError, StepError, SystemFault
from cockpit.handover.ports import Action, Probe
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.telemetry import PoolerSample
from cockpit.model.words import Known, Severity, Side
from cockpit.systems.memory.action import RTT_S, MemoryAction, seen
from cockpit.systems.memory.cluster import Cluster, MemorySession, now, told
from cockpit.systems.memory.faults import Faults


@dataclass(slots=True, eq=False)
class PoolerState:
    """What lives in the pooler's own process; outlives every cockpit. `crash()` is that process killed and restarted."""

    name: str
    cluster: Cluster
    side: Side = Side.BLUE
    """What its databases file says."""
    paused: bool = False
    pausing: bool = False
    up: bool = True
    pool_mode: str = "transaction"
    query_wait_s: float = 120.0
    waiting: int = 0
    idle: list[MemorySession] = field(default_factory=list)
    busy: list[MemorySession] = field(default_factory=list)
    loaded: Side = Side.BLUE
    """Where new server connections go."""
    _flow: asyncio.Event = field(default_factory=asyncio.Event)
    _calm: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.loaded = self.side
        self._turn()

    @asynccontextmanager
    async def server(self, role: str, application: str) -> AsyncIterator[MemorySession]:
        """A server connection for one transaction; waits while paused."""
        await self._admitted()
        session = self._take(role, application)
        try:
            yield session
        finally:
            self._give_back(session)

    async def _admitted(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self.query_wait_s):
                while self.up and (self.paused or self.pausing):
                    await self._flow.wait()
        except TimeoutError:
            raise SystemFault("query_wait_timeout", where=self.name, code="08P01") from None
        finally:
            self.waiting -= 1
        if not self.up:
            raise LinkError("connection refused", where=self.name)

    def _take(self, role: str, application: str) -> MemorySession:
        self.idle = [s for s in self.idle if s.alive]
        fitting = next((s for s in self.idle if s.role == role), None)
        if fitting is None:
            fitting = self.cluster.nodes[self.loaded].login(role, application, self.name)
        else:
            self.idle.remove(fitting)
        self.busy.append(fitting)
        self._turn()
        return fitting

    def _give_back(self, session: MemorySession) -> None:
        if session in self.busy:
            self.busy.remove(session)
        if session.alive and not self.paused and not self.pausing and session.side is self.loaded:
            self.idle.append(session)
        elif session.alive:
            self.cluster.nodes[session.side].leave(session)
        self._turn()

    async def pause(self, attempt_s: float) -> None:
        """Paused and no server connection left; or, after `attempt_s`, flowing again and `StepError` names who was in the way."""
        self._reach()
        self.pausing = True
        self._turn()
        try:
            async with asyncio.timeout(attempt_s):
                while self.busy and self.pausing:
                    await self._calm.wait()
            self._still_wanted()
            self.paused = True
        except TimeoutError:
            raise self._blocked(f"pause {self.name}") from None
        finally:
            self.pausing = False
            self._turn()
        self._retire(self.idle)

    def cut(self) -> None:
        """Every connection is gone, and who comes waits."""
        self._reach()
        self._retire([*self.idle, *self.busy])
        self.busy.clear()
        self.paused, self.pausing = True, False
        self._turn()

    def resume(self) -> None:
        self._reach()
        self.paused = self.pausing = False
        self._turn()

    def _still_wanted(self) -> None:
        if not (self.up and self.pausing):
            raise LinkError("the pause was taken back by somebody else, or the pooler ended", where=self.name)

    def reload(self) -> None:
        """New connections go where the file says; idle ones to the other side are closed, busy ones when their transaction ends."""
        self._reach()
        self.loaded = self.side
        self._retire([s for s in self.idle if s.side is not self.loaded])

    def crash(self) -> None:
        """The process was killed and started again: nothing is paused, every connection is gone, the file is read anew."""
        self._retire([*self.idle, *self.busy])
        self.busy.clear()
        self.paused = self.pausing = False
        self.loaded = self.side
        self._turn()

    def go_down(self) -> None:
        """The process was killed and nobody starts it again, until `come_up`."""
        self.up = False
        self.crash()

    def come_up(self) -> None:
        self.up = True
        self.crash()

    def connections(self, side: Side) -> int:
        return sum(1 for s in (*self.idle, *self.busy) if s.alive and s.side is side)

    def _reach(self) -> None:
        if not self.up:
            raise LinkError("connection refused", where=self.name)

    def _retire(self, sessions: list[MemorySession]) -> None:
        for session in tuple(sessions):
            self.cluster.nodes[session.side].leave(session)
        self.idle = [s for s in self.idle if s.alive]

    def _turn(self) -> None:
        (self._flow.clear if self.up and (self.paused or self.pausing) else self._flow.set)()
        (self._calm.clear if self.busy and self.pausing else self._calm.set)()

    def _blocked(self, where: str) -> StepError:
        named = (f"pid {s.pid} of {s.application} on {s.side}, {now() - (s.xact_at or now()):.1f} s" for s in self.busy)
        pids = tuple(s.pid for s in self.busy)
        return StepError(
            "clients in a transaction: " + "; ".join(named), where=where, remedy="end these transactions or have them ended", pids=pids
        )


@dataclass(slots=True)
class MemoryPooler:
    """`Pooler` on a `PoolerState`, as one cockpit process sees it."""

    state: PoolerState
    faults: Faults
    attempt_s: float = 2.0
    findings: tuple[FindingSeen, ...] = ()

    @property
    def name(self) -> str:
        return self.state.name

    async def open(self) -> None:
        await self.faults.around(f"{self.name}.open", self._touch)

    async def close(self) -> None:
        return None

    async def _touch(self) -> None:
        await asyncio.sleep(RTT_S)
        self.state._reach()

    def pause(self) -> Action:
        async def make() -> Evidence:
            if not self.state.paused:
                await self.state.pause(self.attempt_s)
            return {"paused": True, "waiting": self.state.waiting}

        return self._action(f"pause {self.name}", lambda: self._seen(self.state.paused), make, "PAUSE arp")

    def cut(self) -> Action:
        async def make() -> Evidence:
            self.state.cut()
            return {"paused": True}

        return self._action(f"cut {self.name}", lambda: self._seen(self.state.paused), make, "KILL arp")

    def resume(self) -> Action:
        async def make() -> Evidence:
            self.state.resume()
            return {"paused": False}

        return self._action(f"resume {self.name}", lambda: self._seen(not self.state.paused), make, "RESUME arp")

    def route(self, side: Side) -> Action:
        async def make() -> Evidence:
            self.state.side = side
            self.state.reload()
            until = now() + self.attempt_s
            while self.state.connections(side.other):
                if now() > until:
                    raise self.state._blocked(f"route {self.name}")
                await asyncio.sleep(0.001)
            return {"answers": str(side)}

        def see() -> Probe:
            return self._seen(self.state.side is side and self.state.loaded is side and not self.state.connections(side.other))

        def half() -> None:
            self.state.side = side  # the file is written, the RELOAD never came

        return self._action(f"route {self.name} to {side}", see, make, "RELOAD", half)

    async def sample(self) -> PoolerSample:
        async def look() -> PoolerSample:
            await self._touch()
            state = self.state
            clients = len(state.busy) + state.waiting
            return PoolerSample(told(), self.name, True, state.paused, state.loaded, clients, state.waiting, state.pool_mode)

        try:
            return await self.faults.around(f"{self.name}.sample", look)
        except LinkError as err:
            return PoolerSample(told(), self.name, False, None, None, None, None, "", error=err.what)

    async def preflight(self, window_s: float) -> tuple[FindingSeen, ...]:
        async def look() -> tuple[FindingSeen, ...]:
            await self._touch()
            short = self.state.query_wait_s <= window_s
            wait = FindingSeen(
                "P5", self.name, Severity.BLOCK if short else Severity.GOOD, f"query_wait_timeout = {self.state.query_wait_s:g}",
                "SHOW CONFIG", f"set it above {window_s:g}" if short else "",
            )  # fmt: skip
            return (wait, *self.findings)

        return await self.faults.around(f"{self.name}.preflight", look)

    def _seen(self, is_so: bool) -> Probe:
        if not self.state.up:
            return Probe(Known.UNKNOWN, {"error": "connection refused"})
        return seen(is_so, paused=self.state.paused, routes_to=str(self.state.loaded))

    def _action(
        self,
        name: str,
        see: Callable[[], Probe],
        make: Callable[[], Awaitable[Evidence]],
        text: str,
        half: Callable[[], None] | None = None,
    ) -> Action:
        return MemoryAction(name, self.faults, see, make, ((f"pgbouncer {self.name}", text),), half=half)
