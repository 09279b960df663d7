"""Green drifted: the run shows it, `cockpit repair` writes down what would mend it, and mends it when it is told to."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from cockpit import wiring
from cockpit.drill import arp
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.lead import Lead
from cockpit.drill.links import connection
from cockpit.drill.rig import Rig
from cockpit.model import events as ev
from cockpit.model.words import ProofState
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Follower
from cockpit.timeline.journal import read
from tests.e2e.test_guardian import SMALL
from tests.e2e.test_taken_up import cockpit

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]


async def drifted(rig: Rig, *statements: str) -> None:
    """Written on green as an apply worker writes: no tap sees it."""
    assert rig.site is not None
    async with connection(rig.site.green.superuser, database=arp.DATABASE) as conn:
        await conn.execute("SET default_transaction_read_only = off; SELECT pg_replication_origin_create('drift')")
        await conn.execute("SELECT pg_replication_origin_session_setup('drift')")
        for statement in statements:
            await conn.execute(statement)


async def until(folder: RunFolder, table: str, state: ProofState) -> None:
    follower = Follower(folder)
    try:
        async with asyncio.timeout(90):
            while True:
                while follower.poll():
                    pass
                proof = follower.latest.tables.get(table)
                if proof is not None and proof.state is state:
                    return
                await asyncio.sleep(0.05)
    finally:
        follower.close()


async def test_drift_is_shown_and_mended_on_the_leads_word(tmp_path: Path) -> None:
    async with Rig(claim(new_folder("test-")), SMALL) as rig:
        folder = wiring.open_run(tmp_path, rig.config, "arp", wiring.read_order(rig.config, "arp", None).spec, drill=True)
        guardian = launch_guardian(rig.claim, folder)
        lead = Lead(folder)
        try:
            await lead.ready()
            early = await cockpit("repair", str(folder.root))
            assert (early.code, early.out) == (2, "")
            assert "showed no table as different" in early.err
            await until(folder, "core.country", ProofState.EQUAL)
            await drifted(rig, "UPDATE core.country SET name = 'Nowhere' WHERE code = (SELECT min(code) FROM core.country)")
            await until(folder, "core.country", ProofState.DIFFERS)
            planned = await cockpit("repair", str(folder.root), "--json")
            assert planned.code == 0, planned
            assert planned.card["rows"] == {"core.country": {"update": 1}}
            assert not planned.card["applied"]
            written = Path(planned.card["path"])
            assert stat.S_IMODE((await asyncio.to_thread(written.stat)).st_mode) == 0o600
            assert "UPDATE ONLY" in await asyncio.to_thread(written.read_text)
            unsaid = await cockpit("repair", str(folder.root), "--apply")
            assert (unsaid.code, unsaid.out) == (2, "")
            mended = await cockpit("repair", str(folder.root), "--apply", "--confirm", "arp", "--json")
            assert (mended.code, mended.card["done"], mended.card["left"]) == (0, 1, 0), mended
            await until(folder, "core.country", ProofState.EQUAL)
            facts = [event.fact for event in read(folder.timeline).events]
            begun = next(fact for fact in facts if isinstance(fact, ev.RepairBegun))
            done = next(fact for fact in facts if isinstance(fact, ev.RepairDone))
            assert facts.index(begun) < facts.index(done)
            assert (begun.rows, done.done, done.failed) == ({"core.country": 1}, 1, "")
            assert "Nowhere" not in folder.timeline.read_text()
            await lead.close_run()
        finally:
            await lead.leave()
            await end_guardian(guardian)
