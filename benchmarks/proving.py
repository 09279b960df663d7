"""A reconciler at work on a pair, its newest sample, and whatever it ever called different."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from cockpit.model.settings import PairSpec, Tuning
from cockpit.model.telemetry import ReconSample
from cockpit.model.words import ProofState, Side
from cockpit.reconcile.reconciler import PostgresReconciler


@dataclass(slots=True)
class Proving:
    reconciler: PostgresReconciler
    latest: ReconSample | None = None
    called_different: set[str] = field(default_factory=set)
    samples: int = 0
    _fresh: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        async for sample in self.reconciler.samples():
            self.latest, self.samples = sample, self.samples + 1
            self.called_different |= {table.table for table in sample.tables if table.state is ProofState.DIFFERS}
            if sample.differences and not self.called_different:
                self.called_different.add("?")
            self._fresh.set()

    async def until(self, holds: Callable[[ReconSample], bool], within_s: float = 600.0) -> ReconSample:
        """The first sample for which it holds."""
        async with asyncio.timeout(within_s):
            while self.latest is None or not holds(self.latest):
                self._fresh.clear()
                await self._fresh.wait()
        return self.latest

    async def proven(self, within_s: float = 600.0) -> ReconSample:
        """Every table is proven equal and no key is dirty."""
        return await self.until(lambda s: s.tables_total > 0 and s.tables_equal == s.tables_total and s.dirty_keys == 0, within_s)


@contextlib.asynccontextmanager
async def proving(spec: PairSpec, duty: float) -> AsyncIterator[Proving]:
    """The background works while the block does, at that share of time."""
    made = Proving(PostgresReconciler(spec, Tuning(recon_duty=duty)))
    await made.reconciler.open(Side.BLUE)
    task = asyncio.create_task(made.watch())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.reconciler.close()
