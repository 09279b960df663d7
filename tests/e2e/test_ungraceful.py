"""Green dies with writes that blue has not: the way back without them, and every one of them read from green when it is back."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cockpit import wiring
from cockpit.drill import arp
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.evidence import acknowledged, written
from cockpit.drill.fleet import Path as Way
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.lead import Lead
from cockpit.drill.links import connection
from cockpit.drill.rig import Rig
from cockpit.model.state import replay
from cockpit.model.words import Mode, Side
from cockpit.timeline.export import export
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import is_closed, read
from tests.e2e.test_guardian import SMALL
from tests.e2e.test_taken_up import cockpit
from tests.quick import quick

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]

WORDS = "arp ungraceful"
TABLE = "public.app_ledger"


@asynccontextmanager
async def flown(rig: Rig, runs: Path) -> AsyncIterator[tuple[RunFolder, Lead]]:
    """A run on the rig, with green serving."""
    scenario = str(quick(runs))
    folder = wiring.open_run(runs, rig.config, scenario, wiring.read_order(rig.config, scenario, None).spec, drill=True)
    guardian = launch_guardian(rig.claim, folder)
    lead = Lead(folder)
    try:
        await lead.ready()
        await lead.hand_over()
        assert lead.state.serving is Side.GREEN
        await until_pooled_write(rig)
        yield folder, lead
    finally:
        await lead.leave()
        await end_guardian(guardian)


@asynccontextmanager
async def mirror_held_up(rig: Rig) -> AsyncIterator[None]:
    """Nothing that the apps note reaches blue."""
    assert rig.site is not None
    async with connection(rig.site.blue.superuser, database=arp.DATABASE) as conn, conn.transaction():
        await conn.execute(f"SET LOCAL default_transaction_read_only = off; LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        yield


async def until_pooled_write(rig: Rig) -> None:
    """Every app behind the pooler has had another write answered."""
    assert rig.site is not None
    pooled = {app.name for app in rig.site.apps if app.path is Way.POOL}
    before = await rig.control.totals()
    async with asyncio.timeout(30):
        while True:
            now = await rig.control.totals()
            if all(now[name].writes > before[name].writes for name in pooled):
                return
            await asyncio.sleep(0.02)


async def until_behind(rig: Rig, rows: int) -> None:
    """Green has that many notes that blue has not."""
    assert rig.site is not None
    async with connection(rig.site.green.superuser, database=arp.DATABASE) as conn:
        wanted = await conn.fetchval(f"SELECT count(*) FROM {TABLE}") + rows
        async with asyncio.timeout(60):
            while True:
                if await conn.fetchval(f"SELECT count(*) FROM {TABLE}") >= wanted:
                    return
                await asyncio.sleep(0.02)


def changes(card: dict[str, Any]) -> list[dict[str, Any]]:
    """The exported changes, which nobody but this user may read."""
    assert stat.S_IMODE(Path(card["path"]).stat().st_mode) == 0o600
    return [json.loads(line) for line in Path(card["path"]).read_text().splitlines()]


async def test_green_dies_and_what_it_had_alone_is_read_when_it_is_back(tmp_path: Path) -> None:
    async with Rig(claim(new_folder("test-")), SMALL) as rig, flown(rig, tmp_path) as (folder, lead):
        assert rig.site is not None
        async with mirror_held_up(rig):
            await until_behind(rig, 200)
            await rig.site.green.kill()
        unsaid = await cockpit("rollback", str(folder.root), "--ungraceful")
        assert unsaid.code == 2, unsaid
        assert "green has, and blue has not: at least" in unsaid.err
        assert f"say --confirm '{WORDS}'" in unsaid.err
        await lead.until(lambda s: s.mode is Mode.READY, 30, "the run as it was")

        back = await cockpit("rollback", str(folder.root), "--ungraceful", "--confirm", WORDS, "--json")
        assert back.card["serving"] == "blue", back
        await until_pooled_write(rig)
        early = await cockpit("bill", str(folder.root))
        assert early.code != 0
        assert early.err.count("\n") == 1, early.err
        assert "green" in early.err

        await rig.site.green.start()
        await lead.until(lambda s: all(alarm.id != "open: fence green on" for alarm in s.alarms), 30, "a fenced green")
        told = await cockpit("bill", str(folder.root), "--json")
        assert told.code == 0, told
        found = changes(told.card)
        assert told.card["changes"] == len(found) > 200
        assert told.card["certain"]
        again = await cockpit("bill", str(folder.root), "--json")
        assert again.card["sha256"] == told.card["sha256"], "reading takes nothing away"
        await until_pooled_write(rig)
        await _nothing_is_lost(rig, found)
        await _nothing_flows(rig)
        await lead.close_run()
        state = replay(read(folder.timeline).events)
        assert state.bill_exported is not None
        assert state.bill_exported.changes == len(found)
        assert is_closed(folder.timeline)
        report = export(folder, "md")
        assert "ungraceful rollback" in report
        assert f"{len(found)} changes in" in report


async def _nothing_is_lost(rig: Rig, found: list[dict[str, Any]]) -> None:
    """Every write that was acknowledged to an app is on blue or on the bill, and none on both."""
    assert rig.site is not None
    await rig.control.stop()
    blue = set(await written(rig.site.blue.superuser))
    noted = {UUID(change["row"]["op_id"]) for change in found if change["table"] == TABLE}
    acked = {ack.op for acks in acknowledged(rig.folder, rig.site.apps).values() for ack in acks}
    assert not noted & blue, "what is on the bill is not on blue"
    assert acked <= noted | blue, f"{len(acked - noted - blue)} acknowledged writes are nowhere"
    assert acked & noted, "the bill was for something"


async def _nothing_flows(rig: Rig) -> None:
    """Blue keeps no log for green; green's slot stands where it stood; neither follows the other."""
    assert rig.site is not None
    for side, server in ((Side.BLUE, rig.site.blue), (Side.GREEN, rig.site.green)):
        async with connection(server.superuser, database=arp.DATABASE) as conn:
            slots = [
                row[0]
                for row in await conn.fetch(
                    "SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE '%_g2b' OR slot_name LIKE '%_b2g'"
                )
            ]
            assert slots == ([] if side is Side.BLUE else ["cockpit_arp_g2b"])
            assert not await conn.fetchval("SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL AND relid IS NULL")


async def test_a_mirror_that_does_not_drain_is_left_behind_with_green_fenced(tmp_path: Path) -> None:
    async with Rig(claim(new_folder("test-")), SMALL) as rig, flown(rig, tmp_path) as (folder, _):
        assert rig.site is not None
        async with mirror_held_up(rig):
            await until_behind(rig, 200)
            back = await cockpit("rollback", str(folder.root), "--ungraceful", "--confirm", WORDS, "--json")
        assert back.code == 5, back
        assert back.card["serving"] == "blue"
        assert is_closed(folder.timeline)
        await until_pooled_write(rig)
        told = await cockpit("bill", str(folder.root), "--json")
        found = changes(told.card)
        state = replay(read(folder.timeline).trusted("timeline").events)
        assert state.parted is not None
        assert state.parted.bill is not None
        assert state.parted.bill.exact
        assert state.parted.bill.total == len(found) == told.card["changes"] > 200
        assert is_closed(folder.timeline), "a closed run stays closed"
        await _nothing_is_lost(rig, found)
        async with connection(rig.site.green.superuser, database=arp.DATABASE) as conn:
            setting = await conn.fetchval(
                "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = 'arp'"
            )
        assert "default_transaction_read_only=on" in setting
