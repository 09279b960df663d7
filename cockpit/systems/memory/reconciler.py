"""The twin of reconciliation: it knows every row of both sides, and takes time to look at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from cockpit.errors import LinkError
from cockpit.handover.ports import Action, Verification
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.parity import Parity
from cockpit.model.plan import Statement
from cockpit.model.telemetry import ReconSample, TableProof
from cockpit.model.words import Exactness, ProofState, Severity, Side
from cockpit.systems.memory.action import RTT_S, MemoryAction, seen
from cockpit.systems.memory.cluster import Cluster, now
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
        proof = TableProof("public.orders", here, there, state, Exactness.EXACT, 1.0, now(), ", ".join(different[:3]))
        return ReconSample(
            now(),
            self.proven,
            self.proven,
            0 if different else 1,
            1,
            dirty,
            len(different),
            now(),
            dirty * self.key_s,
            self.limit,
            (proof,),
        )

    def hold(self) -> None:
        self.held = True

    def release(self, serving: Side) -> None:
        self.held, self.serving = False, serving
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
            proven = {"owed": 1, "proven": int(not differing), "counted": 0, "rows_proven": rows, "oldest_s": 0.0}
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

    async def preflight(self) -> tuple[FindingSeen, ...]:
        good = FindingSeen("P11", "public.orders", Severity.GOOD, "every table can be compared", "SELECT ...", "")

        async def look() -> tuple[FindingSeen, ...]:
            await self._touch()
            return (good, *self.findings)

        return await self.faults.around("reconciler.preflight", look, Side)

    def objects(self) -> tuple[str, ...]:
        return tuple(f"{side}: table cockpit_control.dirty" for side in Side)

    def gone(self, side: Side) -> Action:
        async def make() -> Evidence:
            return {"left": 0}

        return MemoryAction(f"reconciliation gone {side}", self.faults, lambda: seen(True), make, ((str(side), "DROP TABLE ..."),), (side,))
