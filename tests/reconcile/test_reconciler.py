"""The reconciler on a real pair, 16 and 18, replicating under a light load."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.settings import Endpoint, Tuning
from cockpit.model.telemetry import ReconSample, TableProof
from cockpit.model.words import Known, ProofState, Severity, Side
from cockpit.reconcile import PostgresReconciler
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import ROWS, SCHEMA, drained, load, pair, replicate, run, until

pytestmark = pytest.mark.servers


@dataclass
class Pane:
    """What a screen would hold: the newest headline and the newest proof of each table."""

    reconciler: PostgresReconciler
    blue: Endpoint
    green: Endpoint
    tables: dict[str, TableProof] = field(default_factory=dict)
    last: ReconSample | None = None
    differing_ever: set[str] = field(default_factory=set)

    async def watch(self) -> None:
        async for sample in self.reconciler.samples():
            self.last = sample
            self.tables.update({t.table: t for t in sample.tables})
            self.differing_ever |= {t.table for t in sample.tables if t.state is ProofState.DIFFERS}

    async def until(self, condition: Callable[[ReconSample], bool], seconds: float = 30.0) -> ReconSample:
        async def met() -> bool:
            return self.last is not None and condition(self.last)

        await until(met, seconds)
        assert self.last is not None
        return self.last

    async def all_equal(self) -> ReconSample:
        return await self.until(lambda s: s.tables_total > 0 and s.tables_equal == s.tables_total and s.dirty_keys is not None)


@pytest_asyncio.fixture
async def pane(blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[Pane]:
    blue, green = await make_database(blue16, "recon"), await make_database(green18, "recon")
    await run(blue, SCHEMA, ROWS)
    # Other OIDs on green than on blue: what hashes them is found out.
    await run(green, "CREATE TYPE other AS ENUM ('x', 'y', 'z')", SCHEMA)
    await replicate(blue, green)
    await run(green, "ANALYZE")
    reconciler = PostgresReconciler(pair(blue, green), Tuning(recon_duty=0.5))
    await reconciler.open(Side.BLUE)
    made = Pane(reconciler, blue, green)
    task = asyncio.create_task(made.watch())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await reconciler.close()


async def test_a_replicating_pair_under_load_is_equal_and_stays_so(pane: Pane) -> None:
    async with load(pane.blue) as running:
        await pane.all_equal()
        begun = running.transactions
        await pane.until(lambda s: running.transactions > begun + 400)
        await pane.all_equal()
        pane.reconciler.hold()
    await drained(pane.blue, pane.green)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    print(
        f"\n{running.transactions} transactions; verified {verification.keys} keys in {verification.seconds * 1000:.1f} ms: {verification.evidence}"
    )
    assert verification.equal is True, verification
    assert verification.keys > 0
    assert not pane.differing_ever
    assert pane.tables["public.scratch"].state is ProofState.UNVERIFIABLE
    assert "unlogged" in pane.tables["public.scratch"].reason
    assert "excluded" in pane.tables["public.left out"].reason
    assert pane.tables["public.log"].rows_blue == pane.tables["public.log"].rows_green
