"""The rig itself, small: real servers, a real pooler, an emulated cloud, apps of every path; and nothing of it afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from cockpit.config import load_config
from cockpit.drill import arp, evidence, hangar
from cockpit.drill.fleet import fleet
from cockpit.drill.folders import claim, new_folder, start_time, sweep
from cockpit.drill.links import connection
from cockpit.drill.rig import Rig, Wanted
from cockpit.drill.scorecard import scorecard

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

SMALL = Wanted(rows=3000, rate=60.0, settings={"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"})


def children(folder: Path) -> list[tuple[int, int]]:
    lines = (folder / "children.jsonl").read_text(encoding="utf-8").splitlines()
    return [(child["pid"], child["start"]) for child in map(json.loads, lines)]


def alive(pids: list[tuple[int, int]]) -> list[int]:
    return [pid for pid, start in pids if start_time(pid) == start]


async def until_gone(pids: list[tuple[int, int]], seconds: float = 20.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while left := alive(pids):
        assert asyncio.get_running_loop().time() < end, left
        await asyncio.sleep(0.05)


async def test_a_rig_flies_replicates_and_leaves_nothing() -> None:
    async with Rig(claim(new_folder("test-")), SMALL) as rig:
        assert rig.site is not None
        folder, pids = rig.folder, children(rig.folder)
        await _the_config_is_a_live_one(rig)
        await _it_holds_what_it_should(rig)
        await _until_written(rig, 200)
        felt = await rig.control.interval(0.0, asyncio.get_running_loop().time())
        assert set(felt) == {app.name for app in fleet(15)}
        card = await scorecard(rig, [])
        totals = sum(len(acks) for acks in evidence.acknowledged(folder, rig.site.apps).values())
    assert card.sides_equal, card.differing
    assert card.rig["writes"] == totals >= 200
    assert all(app.errors == 0 for app in felt.values())
    assert not folder.exists()
    assert alive(pids) == []


async def _until_written(rig: Rig, writes: int) -> None:
    end = asyncio.get_running_loop().time() + 30
    while (done := sum(app.writes for app in (await rig.control.totals()).values())) < writes:
        assert asyncio.get_running_loop().time() < end, done
        await asyncio.sleep(0.05)


async def _the_config_is_a_live_one(rig: Rig) -> None:
    pair = (await asyncio.to_thread(load_config, rig.config)).pairs["arp"]
    assert len(pair.apps) == 15
    assert {channel.kind for channel in pair.channels} == {"pgbouncer", "file", "aws-secret"}
    assert pair.exclude_tables == arp.EXCLUDED
    for file in (*(rig.folder / "secrets").iterdir(), rig.folder / "apps.spec.json", rig.folder / "cloud" / "cloud.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def _it_holds_what_it_should(rig: Rig) -> None:
    assert rig.site is not None
    wanted = arp.sizes(SMALL.rows)
    async with connection(rig.site.blue.superuser, database=arp.DATABASE) as blue:
        tables = await arp.tables(blue)
        assert len(tables) >= 40
        assert await blue.fetchval("SELECT count(*) FROM core.country") == wanted["core.country"]
        assert await blue.fetchval("SELECT count(*) FROM pg_sequences WHERE last_value IS NULL") >= 1
        broken = 'SELECT count(*) FROM sales."Order Line" l LEFT JOIN sales."Order" o ON o.id = l.order_id WHERE o.id IS NULL'
        assert await blue.fetchval(broken) == 0


async def test_two_rigs_stand_side_by_side_one_is_killed_and_one_is_told_to_end() -> None:
    """A killed supervisor takes its own children along and no others; what it leaves is swept."""
    wanted = Wanted(rows=1000, apps=2, rate=20.0, settings=SMALL.settings)
    killed, told = hangar.ask(wanted), hangar.ask(wanted)
    one, two = await asyncio.gather(killed.ready(), told.ready())
    assert one["servers"]["blue"]["port"] != two["servers"]["blue"]["port"]
    assert told.progress()[:2] == (6, 6)
    pids, others = children(killed.folder), children(told.folder)
    assert (len(alive(pids)), len(alive(others))) == (4, 4)
    os.kill(killed.pid, signal.SIGKILL)
    await until_gone(pids)
    sweep(killed.folder.parent)
    assert not killed.folder.exists()
    await killed.stop()
    assert (told.folder.exists(), len(alive(others))) == (True, 4)
    await told.stop()
    assert alive(others) == []
    assert not told.folder.exists()


async def test_a_rig_that_cannot_come_up_says_why_and_is_gone() -> None:
    standing = hangar.ask(Wanted(rows=1000, apps=2, settings={"shared_buffers": "nonsense"}))
    with pytest.raises(Exception, match="did not start"):
        await standing.ready()
    await standing.stop()
    assert not standing.folder.exists()
