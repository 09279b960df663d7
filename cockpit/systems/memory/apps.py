"""Simulated apps: each writes transactions of its own at its own pace and keeps a ledger of what was acknowledged to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from cockpit.errors import CockpitError, LinkError, SystemFault
from cockpit.model.words import Side
from cockpit.systems.memory.channel import ChannelState
from cockpit.systems.memory.cluster import Cluster, MemorySession, now
from cockpit.systems.memory.pooler import PoolerState


@dataclass(frozen=True, slots=True)
class AppPlan:
    """How one app behaves. `channel` names a pooler or a channel of the world; times are seconds."""

    name: str
    channel: str
    rate: float = 5.0
    """Transactions a second."""
    xact_s: float = 0.002
    ack_s: float = 0.001
    """From the commit on the server to the app knowing it."""
    long_every: int = 0
    """Every so many transactions one stays open for `long_s`; 0: never."""
    long_s: float = 0.0
    retry_s: float = 0.02
    """Pause after an error."""


@dataclass(frozen=True, slots=True)
class Ack:
    """A write that the app knows to be durable."""

    app: str
    op: str
    side: Side
    committed: float
    acknowledged: float


@dataclass(slots=True)
class Ledger:
    """What all apps know. `errors` are those an app saw, as (when, app, text)."""

    acks: list[Ack] = field(default_factory=list)
    errors: list[tuple[float, str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Operations that were committed or not: the answer was lost."""
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    stalls: dict[str, float] = field(default_factory=dict)
    """The longest time between two acknowledged writes, by app."""

    def acknowledge(self, ack: Ack) -> None:
        self.acks.append(ack)
        self.first.setdefault(ack.app, ack.acknowledged)
        gap = ack.acknowledged - self.last.get(ack.app, ack.acknowledged)
        self.stalls[ack.app] = max(gap, self.stalls.get(ack.app, 0.0))
        self.last[ack.app] = ack.acknowledged


@dataclass(slots=True)
class MemoryApp:
    """One running app."""

    plan: AppPlan
    cluster: Cluster
    path: PoolerState | ChannelState
    ledger: Ledger
    random: Random
    running: bool = True
    _count: int = 0
    _session: MemorySession | None = None

    @property
    def role(self) -> str:
        return f"{self.plan.name}_role"

    async def run(self) -> None:
        """Writes until `running` is false."""
        while self.running:
            await asyncio.sleep(self.random.expovariate(self.plan.rate))
            if not self.running:
                break
            try:
                await self.write()
            except CockpitError as err:
                self.ledger.errors.append((now(), self.plan.name, str(err)))
                await asyncio.sleep(self.plan.retry_s)

    async def write(self) -> None:
        """One transaction; acknowledged in the ledger when the app knows it is durable."""
        self._count += 1
        op = f"{self.plan.name}-{self._count}"
        async with self._connection() as session:
            node = self.cluster.nodes[session.side]
            node.begin(session)
            self.cluster.pump()
            try:
                key = node.write(session)
                await asyncio.sleep(self._length())
                row = node.commit(session, op, key)
            except BaseException:
                node.rollback(session)
                raise
            await asyncio.sleep(self.plan.ack_s)
            if not session.alive:
                self.ledger.unknown.append(op)
                raise LinkError("connection lost before the commit was acknowledged", where=str(session.side))
        self.ledger.acknowledge(Ack(self.plan.name, op, session.side, row.at, now()))

    def _length(self) -> float:
        every = self.plan.long_every
        return self.plan.long_s if every and self._count % every == 0 else self.plan.xact_s

    def _connection(self) -> AbstractAsyncContextManager[MemorySession]:
        return self._pooled(self.path) if isinstance(self.path, PoolerState) else self._direct(self.path)

    @asynccontextmanager
    async def _pooled(self, pooler: PoolerState) -> AsyncIterator[MemorySession]:
        async with pooler.server(self.role, self.plan.name) as session:
            yield session

    @asynccontextmanager
    async def _direct(self, channel: ChannelState) -> AsyncIterator[MemorySession]:
        """Its own session, kept until it breaks; where it goes is read again only then."""
        if self._session is None or not self._session.alive:
            if channel.side is None:
                raise SystemFault("no server named", where=channel.name)
            self._session = self.cluster.nodes[channel.side].login(self.role, self.plan.name, "direct")
        yield self._session
