"""A whole world in memory: a pair of servers, poolers, channels and apps, and the oracle that judges what was done to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from cockpit.handover.ports import World
from cockpit.model.checks import Checks, Metric
from cockpit.model.settings import AppSpec, ChannelSpec, Endpoint, PairSpec, SideSpec
from cockpit.model.words import Side
from cockpit.systems.memory import oracle
from cockpit.systems.memory.apps import AppPlan, Ledger, MemoryApp
from cockpit.systems.memory.channel import ChannelState, MemoryChannel
from cockpit.systems.memory.cluster import Cluster, Row, now
from cockpit.systems.memory.faults import Faults
from cockpit.systems.memory.pooler import MemoryPooler, PoolerState
from cockpit.systems.memory.reconciler import MemoryReconciler
from cockpit.systems.memory.servers import MemoryServers


@dataclass(slots=True)
class MemoryFeed:
    """The apps' own counters over the last second."""

    ledger: Ledger
    apps: tuple[str, ...]

    async def writes_s(self) -> dict[str, float]:
        counts = dict.fromkeys(self.apps, 0.0)
        for ack in reversed(self.ledger.acks):
            if ack.acknowledged < now() - 1.0:
                break
            counts[ack.app] += 1.0
        return counts


ASKED = Checks((Metric("operations", "SELECT app, count(*) FROM public.orders GROUP BY 1", ("app",)),))
"""What the twins are asked to agree on beside their rows, where nothing else is named."""
HARDCODED = "hard-coded"
"""The channel that is none: an address inside an app, which nobody can change."""


class MemoryWorld:
    """A seeded world. Two with the same arguments, flown the same way on a `WarpLoop`, do exactly the same.

    `apps`: a number (spread over the poolers, every fourth on a channel) or plans; `delay_s`: how late replication is.
    `world()` may be called again: another cockpit process on
    the same servers, as after a crash.
    """

    def __init__(
        self, seed: int = 0, *, apps: int | Sequence[AppPlan] = 4, poolers: int = 1, channels: int = 1, delay_s: float = 0.005,
        rate: float = 5.0, serving: Side = Side.BLUE, pause_attempt_s: float = 2.0, stride: int = 1000, checks: Checks = ASKED,
    ) -> None:  # fmt: skip
        self.seed = seed
        self.stride = stride
        self.checks = checks
        self.pause_attempt_s = pause_attempt_s
        self.faults = Faults()
        self.ledger = Ledger()
        self.cluster = Cluster.make(self._commit, delay_s)
        self.watch = oracle.Watch(self.cluster)
        self.poolers = [PoolerState(f"pooler-{n + 1}", self.cluster, side=serving) for n in range(poolers)]
        self.channels = [ChannelState(f"channel-{n + 1}", side=serving) for n in range(channels)]
        self.hardcoded = ChannelState(HARDCODED, side=serving)
        self.apps = [self._app(plan) for plan in (self._spread(apps, rate) if isinstance(apps, int) else apps)]
        self._tasks: list[asyncio.Task[None]] = []

    def _commit(self, row: Row) -> None:
        self.watch.commit(row)

    def _spread(self, count: int, rate: float) -> Iterable[AppPlan]:
        for n in range(count):
            paths = self.channels if self.channels and (n % 4 == 3 or not self.poolers) else self.poolers
            yield AppPlan(f"app-{n + 1:02d}", paths[n % len(paths)].name, rate=rate)

    def _app(self, plan: AppPlan) -> MemoryApp:
        paths: dict[str, PoolerState | ChannelState] = {pooler.name: pooler for pooler in self.poolers}
        paths.update((channel.name, channel) for channel in (*self.channels, self.hardcoded))
        pace = Random(f"{self.seed}/{plan.name}")  # noqa: S311 (a simulated app's pace, no secret)
        return MemoryApp(plan, self.cluster, paths[plan.channel], self.ledger, pace)

    @property
    def pair(self) -> PairSpec:
        """This world as a config would name it."""
        specs = tuple(AppSpec(app.plan.name, app.role, app.plan.channel, app.plan.name) for app in self.apps)
        kinds = [ChannelSpec(p.name, "memory-pooler") for p in self.poolers] + [
            ChannelSpec(c.name, "memory-channel") for c in self.channels
        ]
        ends = [Endpoint("memory", 5432 + n, "arp", "cockpit") for n in range(2)]
        return PairSpec("arp", SideSpec(ends[0], ends[0]), SideSpec(ends[1], ends[1]), specs, tuple(kinds))

    def world(self, wires: Faults | None = None) -> World:
        """The ports, as one cockpit process holds them; `wires` are that process's own way to the world."""
        faults = wires or self.faults
        return World(
            servers=MemoryServers(self.cluster, faults, self.stride),
            poolers=tuple(MemoryPooler(state, faults, self.pause_attempt_s) for state in self.poolers),
            channels=tuple(MemoryChannel(state, faults) for state in self.channels),
            reconciler=MemoryReconciler(self.cluster, faults, asked=self.checks),
            feed=MemoryFeed(self.ledger, tuple(app.plan.name for app in self.apps)),
        )

    async def __aenter__(self) -> MemoryWorld:
        """The apps write from here on."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(app.run(), name=app.plan.name) for app in self.apps]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.settle(0.0)

    async def settle(self, seconds: float = 1.0) -> None:
        """The apps have stopped, those that wait for a paused pooler were ended, and replication had `seconds` to catch up."""
        for app in self.apps:
            app.running = False
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.faults.stop()
        await asyncio.sleep(seconds)
        self.cluster.pump()

    @property
    def serving(self) -> Side | None:
        """The side whose app writes count now, by what the servers let in; None where both or none can be written."""
        open_sides = [side for side, node in self.cluster.nodes.items() if node.writable]
        return open_sides[0] if len(open_sides) == 1 else None

    def oracle(self, *, expect: Side | None = None, equal: bool = False) -> list[str]:
        """Every law that was broken, in words; empty is good.

        `expect`: the side that must serve at the end (without it, whichever took the last app write). `equal`: both sides must
        hold the same app rows (ask after `settle`, with replication the other way running). Replication is taken as it was last seen.
        """
        side = expect or (self.watch.switches[-1][1] if self.watch.switches else Side.BLUE)
        found = list(self.watch.violations)
        found += [f"lost: {op} was acknowledged and {side} does not have it" for op in oracle.lost(self.cluster, self.ledger, side)]
        found += [f"duplicated: {what}" for what in oracle.duplicated(self.cluster)]
        found += [f"unequal: {op}" for op in oracle.unequal(self.cluster)] if equal else []
        return found + self._ends(side)

    def _ends(self, side: Side) -> list[str]:
        """Where everything stands when nobody flies any more."""
        found = [f"{p.name} is left paused" for p in self.poolers if p.paused or p.pausing]
        found += [f"{p.name} goes to {p.loaded}, not {side}" for p in self.poolers if p.loaded is not side or p.side is not side]
        found += [f"{c.name} names {c.side}, not {side}" for c in self.channels if c.side is not side]
        if self.cluster.nodes[side].fenced:
            found.append(f"{side} is left fenced")
        return found

    async def probe_apps(self) -> list[str]:
        """Apps whose own path does not take a write now: an abort is done only when this is empty."""
        failed = []
        for app in self.apps:
            try:
                async with asyncio.timeout(1.0):
                    await app.write()
            except Exception as err:
                failed.append(f"{app.plan.name}: {err or type(err).__name__}")
        return failed

    def stalls_ms(self) -> dict[str, float]:
        """The longest time between two acknowledged writes, by app, in milliseconds."""
        return {name: gap * 1000 for name, gap in self.ledger.stalls.items()}
