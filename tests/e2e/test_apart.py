"""Real servers: a green that comes back is shut out by a guardian whose pilot is dead; and beside a silent one the truth still comes in time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit.drill import arp
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.links import connection
from cockpit.drill.rig import Rig
from cockpit.model.state import RunState, replay
from cockpit.model.words import Mode, Side
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import is_flown, read
from tests.e2e.test_guardian import SMALL, _settled, until_writing
from tests.e2e.test_taken_up import LOOKED_UNDER_LOAD_S, cockpit, left_by_a_crash, looked_after_s
from tests.e2e.test_ungraceful import WORDS, flown, mirror_held_up, until_behind, until_pooled_write

FENCED = """\
SELECT bool_or('default_transaction_read_only=on' = ANY (s.setconfig)) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE d.datname = current_database() AND s.setrole = 0"""
pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]


async def _until(folder: RunFolder, holds: Callable[[RunState], bool], within_s: float) -> RunState:
    async with asyncio.timeout(within_s):
        while not holds(state := replay(read(folder.timeline).events)):  # noqa: ASYNC110 (a file tells nobody)
            await asyncio.sleep(0.1)
    return state


async def test_a_guardian_whose_pilot_was_killed_shuts_green_out(tmp_path: Path) -> None:
    async with Rig(claim(new_folder("test-")), SMALL) as rig, flown(rig, tmp_path) as (folder, lead):
        assert rig.site is not None
        async with mirror_held_up(rig):
            await until_behind(rig, 50)
            await rig.site.green.kill()
        back = await cockpit("rollback", str(folder.root), "--ungraceful", "--confirm", WORDS, "--json")
        assert back.card["serving"] == "blue", back
        os.kill(lead.state.owner_pid, signal.SIGKILL)
        state = await _until(folder, lambda s: s.mode is Mode.STUCK and not is_flown(folder.timeline), 60)
        assert "green did not answer and may not be fenced" in state.mode_why
        assert "green holds what blue has not: " in state.mode_why
        assert "nobody knows what" not in state.mode_why
        await rig.site.green.start()
        state = await _until(folder, lambda s: s.mode is Mode.CLOSED, 60)
        assert state.at_large is None
        assert not any("may not be fenced" in end for end in state.open_ends)
        async with connection(rig.site.green.superuser, database=arp.DATABASE) as conn:
            assert await conn.fetchval(FENCED)
        await until_pooled_write(rig)


async def test_beside_a_silent_green_the_truth_comes_in_time(tmp_path: Path) -> None:
    """Its port takes connections and nobody answers there: the server's first process stands still."""
    async with Rig(claim(new_folder("test-")), SMALL) as rig:
        assert rig.site is not None
        folder = await left_by_a_crash(rig, tmp_path, "quiesce")
        os.kill(rig.site.green.pid, signal.SIGSTOP)
        try:
            told = await cockpit("abort", str(folder.root))
        finally:
            os.kill(rig.site.green.pid, signal.SIGCONT)
        assert "say --confirm arp" in told.err, told
        assert "pause      was done     is so" in told.err
        assert looked_after_s(folder) < LOOKED_UNDER_LOAD_S / 2
        told = await cockpit("abort", str(folder.root), "--confirm", "arp", "--json")
        assert (told.code, told.card["serving"]) == (4, "blue"), told.err
        await until_writing(rig, time.monotonic())
        await _settled(rig, Side.BLUE)
