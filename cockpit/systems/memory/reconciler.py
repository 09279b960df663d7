"""The twin of reconciliation: it knows every row of both sides, and takes time to look at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace

from cockpit.errors import CockpitError, LinkError
from cockpit.handover.ports import Action, Verification
from cockpit.model.checks import CheckResult, Checks, CheckVerdict, Difference, Metric, Spot
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.parity import Parity
from cockpit.model.plan import Statement
from cockpit.model.telemetry import ReconSample, TableProof
from cockpit.model.words import Exactness, ProofState, Severity, Side
from cockpit.systems.memory.action import RTT_S, MemoryAction, seen
from cockpit.systems.memory.cluster import Cluster, now, told
from cockpit.systems.memory.faults import Faults


@dataclass(slots=True)
class MemoryReconciler:
    """`Reconciler` on a `Cluster`: one table, `public.orders`. `key_s` seconds a key is what verifying costs."""

    cluster: Cluster
    faults: Faults
    key_s: float = 0.00001
    limit: float = 0.10
    held: bool = False
    proven: int = 0
    """Rows of the serving side's log that were proven."""
    serving: Side = Side.BLUE
    findings: tuple[FindingSeen, ...] = ()
    differs: Parity = field(default_factory=Parity)
    """What the parity of everything but rows is; told, for the twins have no catalogues."""
    asked: Checks = field(default_factory=Checks)
    """Business checks: each is answered with the number of operations that either side holds."""
    beside: Parity | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while a window has the servers for itself."""

    async def open(self, serving: Side) -> None:
        self.serving = serving
        await self.faults.around("reconciler.open", self._touch, Side)

    async def close(self) -> None:
        return None

    async def _touch(self) -> None:
        await asyncio.sleep(RTT_S)

    async def samples(self) -> AsyncIterator[ReconSample]:
        while True:
            if not self.held:
                yield await self.faults.around("reconciler.samples", self._sample)
            await asyncio.sleep(1.0)

    async def _sample(self) -> ReconSample:
        """The background pass: what is settled on both sides now is proven, or shown to differ."""
        await self._touch()
        self.cluster.pump()
        different = self._differing(settled=True)
        here, there = (len(self.cluster.nodes[side].counts) for side in Side)
        dirty = max(len(self.cluster.nodes[self.serving].rows) - self.proven, 0)
        self.proven = len(self.cluster.nodes[self.serving].rows)
        state = ProofState.DIFFERS if different else ProofState.EQUAL
        proof = TableProof("public.orders", here, there, state, Exactness.EXACT, 1.0, told(), ", ".join(different[:3]))
        return ReconSample(
            told(),
            self.proven,
            self.proven,
            0 if different else 1,
            1,
            dirty,
            len(different),
            told(),
            dirty * self.key_s,
            self.limit,
            (proof,),
        )

    def hold(self) -> None:
        self.held = True
        self.stopped.set()

    def quieted(self, origin: Side) -> None:
        return None

    def release(self, serving: Side) -> None:
        self.held, self.serving = False, serving
        self.stopped.clear()
        self.proven = len(self.cluster.nodes[serving].rows)

    def duty(self, change: float) -> float:
        self.limit = min(max(self.limit + change, 0.01), 1.0)
        return self.limit

    def describe(self) -> tuple[Statement, ...]:
        return (Statement("blue and green", "SELECT ... FROM public.orders"),)

    async def catch_up(self, box_s: float) -> Evidence:
        async def prove() -> Evidence:
            await asyncio.sleep(min(RTT_S, box_s))
            return {"dirty_after": 0}

        return await self.faults.around("reconciler.catch_up", prove, tuple(Side))

    async def verify_changed(self, origin: Side, target: Side, box_s: float) -> Verification:
        async def verify() -> Verification:
            self.cluster.pump()
            keys = max(len(self.cluster.nodes[origin].rows) - self.proven, 0)
            cost = RTT_S + keys * self.key_s
            await asyncio.sleep(min(cost, box_s))
            if cost > box_s:
                return Verification(None, 0, 1, unproven=("public.orders",), seconds=box_s, evidence={"owed": 1, "proven": 0})
            differing = self._differing(settled=False)
            rows = len(self.cluster.nodes[origin].rows)
            follow = {"metrics_follow": len(self.asked.metrics), "spots_follow": len(self.asked.spots)}
            proven = {"owed": 1, "proven": int(not differing), "counted": 0, "rows_proven": rows, "oldest_s": 0.0, **follow}
            return Verification(
                not differing, keys, 1, ("public.orders",) if differing else (), seconds=cost, evidence={"rows": differing[:5], **proven}
            )

        for side in (origin, target):
            if not self.cluster.nodes[side].up:
                raise LinkError("connection refused", where=str(side))
        return await self.faults.around("reconciler.verify_changed", verify, (origin, target))

    def _differing(self, *, settled: bool) -> list[str]:
        """Operations that are not once on each side; `settled` leaves out what is younger than a second."""
        blue, green = (self.cluster.nodes[side] for side in Side)
        young = {row.op for node in (blue, green) for row in node.rows[-2000:] if row.at > now() - 1.0} if settled else set()
        ops = {row.op for node in (blue, green) for row in node.rows if not row.ours}
        return sorted(op for op in ops - young if blue.counts.get(op) != 1 or green.counts.get(op) != 1)

    async def parity(self) -> Parity:
        async def look() -> Parity:
            await self._touch()
            return self.differs

        for side in Side:
            if not self.cluster.nodes[side].up:
                raise LinkError("connection refused", where=str(side))
        return await self.faults.around("reconciler.parity", look, Side)

    def seen_beside(self) -> Parity | None:
        return self.beside

    async def checks(self, box_s: float, patience_s: float = 0.0) -> tuple[CheckResult, ...]:
        async def read() -> tuple[CheckResult, ...]:
            await asyncio.sleep(RTT_S)
            return tuple(self._answer(asked) for asked in self._all_asked)

        if self.stopped.is_set():
            return self._unread("given up for the window of a handover")
        if not self._all_asked:
            return ()
        try:
            return await self._unless_stopped(self.faults.around("reconciler.checks", read, Side), box_s)
        except (CockpitError, TimeoutError) as err:
            return self._unread(str(err) or "no answer in time")

    @property
    def _all_asked(self) -> tuple[Metric | Spot, ...]:
        return (*self.asked.metrics, *self.asked.spots)

    async def _unless_stopped(self, work: Coroutine[None, None, tuple[CheckResult, ...]], box_s: float) -> tuple[CheckResult, ...]:
        reading, stopped = asyncio.create_task(work), asyncio.create_task(self.stopped.wait())
        try:
            async with asyncio.timeout(box_s):
                await asyncio.wait({reading, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else self._unread("given up for the window of a handover")
        finally:
            for task in (reading, stopped):
                task.cancel()
            await asyncio.gather(reading, stopped, return_exceptions=True)

    def _answer(self, asked: Metric | Spot) -> CheckResult:
        """What is settled on both sides is counted; an operation that is not once on each is a group that differs, unless
        the other side does not follow: then that says nothing."""
        self.cluster.pump()
        different, stream = self._differing(settled=True), self.cluster.streams[self.serving]
        follows = stream.exists and stream.subscribed and stream.enabled and not stream.severed and not stream.stalled
        if different and not follows:
            return self._unread(f"unequal, and {self.serving.other} does not follow {self.serving}", asked)[0]
        verdict = CheckVerdict.DIFFERS if different else CheckVerdict.EQUAL
        apart = tuple(Difference(op, *(str(self.cluster.nodes[side].counts.get(op, 0)) for side in Side)) for op in different[:3])
        groups = len(self.cluster.nodes[self.serving].counts)
        return replace(self._unread("", asked)[0], verdict=verdict, differing=apart, differing_keys=len(different), groups=groups)

    def _unread(self, why: str, *asked: Metric | Spot) -> tuple[CheckResult, ...]:
        return tuple(
            CheckResult(a.name, "spot" if isinstance(a, Spot) else "metric", CheckVerdict.FAILED, a.sql, a.title, why)
            for a in (asked or self._all_asked)
        )

    async def preflight(self) -> tuple[FindingSeen, ...]:
        good = FindingSeen("P11", "public.orders", Severity.GOOD, "every table can be compared", "SELECT ...", "")

        async def look() -> tuple[FindingSeen, ...]:
            await self._touch()
            self.beside = self.differs
            return (good, *self.findings)

        return await self.faults.around("reconciler.preflight", look, Side)

    def objects(self) -> tuple[str, ...]:
        return tuple(f"{side}: table cockpit_control.dirty" for side in Side)

    def gone(self, side: Side) -> Action:
        async def make() -> Evidence:
            return {"left": 0}

        return MemoryAction(f"reconciliation gone {side}", self.faults, lambda: seen(True), make, ((str(side), "DROP TABLE ..."),), (side,))
