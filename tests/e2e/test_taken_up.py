"""Pilot and guardian are both killed in a real handover under load: the next command finds the run, tells the truth, and does as it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cockpit import wiring
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.lead import Lead
from cockpit.drill.privileges import until_ended
from cockpit.drill.rig import Rig
from cockpit.drill.scorecard import Flown, scorecard
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.state import replay
from cockpit.model.words import Mode, Side
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Follower
from cockpit.timeline.journal import is_flown, read
from tests.e2e.test_guardian import SMALL, _settled, until_writing
from tests.quick import quick

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]

LOOKED_S = 5.0
LOOKED_UNDER_LOAD_S = 20.0
"""The figure asked is five seconds, from the command to the truth, on a machine that does not build and test beside it."""


@dataclass
class Told:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def card(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with Rig(claim(new_folder("test-")), SMALL) as standing:
        yield standing


@pytest.fixture(scope="module")
def flown() -> list[RunFolder]:
    return []


async def left_by_a_crash(rig: Rig, runs: Path, step: str) -> RunFolder:
    """A run whose guardian and pilot were killed when its timeline told of `step`; nobody flies it."""
    scenario = str(quick(runs))
    spec = wiring.read_order(rig.config, scenario, None).spec
    folder = wiring.open_run(runs, rig.config, scenario, spec, drill=True)
    guardian = launch_guardian(rig.claim, folder)
    lead = Lead(folder)
    try:
        await lead.ready()
        await lead.ask(Ask.ARM)
        await lead.until(lambda s: s.mode is Mode.ARMED, 120, "an armed handover")
        killing = asyncio.create_task(asyncio.to_thread(_kill_both_at, folder, step, guardian.pid, lead.state.owner_pid))
        await lead.ask(Ask.GO, lead.state.pair)
        await killing
        assert await until_ended(guardian, 10)
        async with asyncio.timeout(10):
            while is_flown(folder.timeline):  # noqa: ASYNC110 (a lock that goes tells nobody)
                await asyncio.sleep(0.01)
    finally:
        await lead.leave()
        await end_guardian(guardian)
    return folder


def _kill_both_at(folder: RunFolder, step: str, guardian: int, pilot: int) -> None:
    follower, end = Follower(folder), time.monotonic() + 60
    try:
        while time.monotonic() < end:
            follower.poll()
            handover = follower.state.handover
            if handover is not None and any(s.id == step and s.started_mono is not None for s in handover.steps):
                os.kill(guardian, signal.SIGSTOP)
                os.kill(pilot, signal.SIGKILL)
                os.kill(guardian, signal.SIGKILL)
                return
        raise AssertionError(f"step {step} never started")
    finally:
        follower.close()


async def cockpit(*words: str) -> Told:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cockpit", *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return Told(process.returncode or 0, out.decode(), err.decode())


def looked_after_s(folder: RunFolder) -> float:
    """Seconds from the new pilot's first record until it had looked at everything."""
    events = read(folder.timeline).events
    taken = max((e for e in events if isinstance(e.fact, ev.RunTakenUp)), key=lambda e: e.seq)
    asked = next(e for e in events if e.seq > taken.seq and isinstance(e.fact, ev.ModeChanged) and e.fact.mode is Mode.STUCK)
    return asked.mono - taken.mono


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_word_it_only_tells_what_is_so(rig: Rig, flown: list[RunFolder], tmp_path: Path) -> None:
    folder = await left_by_a_crash(rig, tmp_path, "quiesce")
    flown.append(folder)
    began = time.monotonic()
    told = await cockpit("abort", str(folder.root))
    assert time.monotonic() - began < LOOKED_UNDER_LOAD_S, told.err
    assert (told.code, told.out) == (2, "")
    assert "say --confirm arp" in told.err
    assert "pause      was done     is so" in told.err
    assert "resume     not begun    is not so" in told.err
    assert looked_after_s(folder) < LOOKED_UNDER_LOAD_S / 2
    state = replay(read(folder.timeline).events)
    assert (state.mode, state.serving) == (Mode.STUCK, Side.BLUE)
    told = await cockpit("abort", str(folder.root), "--confirm", "arp", "--json")
    assert (told.code, told.card["outcome"], told.card["serving"]) == (4, "aborted", "blue"), told.err
    await until_writing(rig, time.monotonic())
    await _settled(rig, Side.BLUE)


@pytest.mark.asyncio(loop_scope="module")
async def test_it_goes_on_and_comes_back(rig: Rig, flown: list[RunFolder], tmp_path: Path) -> None:
    folder = await left_by_a_crash(rig, tmp_path, "drain")
    flown.append(folder)
    told = await cockpit("resume", str(folder.root), "--confirm", "arp", "--json")
    assert (told.code, told.card["outcome"], told.card["serving"]) == (0, "done", "green"), told.err
    assert told.card["found"]["fence"] == "is so"
    assert is_flown(folder.timeline)
    await until_writing(rig, time.monotonic())
    told = await cockpit("rollback", str(folder.root), "--confirm", "arp", "--json")
    assert (told.code, told.card["outcome"], told.card["serving"]) == (5, "rolled-back", "blue"), told.err
    await until_writing(rig, time.monotonic())
    await _settled(rig, Side.BLUE)


@pytest.mark.asyncio(loop_scope="module")
async def test_past_the_return_rollback_settles_it_first(rig: Rig, flown: list[RunFolder], tmp_path: Path) -> None:
    folder = await left_by_a_crash(rig, tmp_path, "resume")
    flown.append(folder)
    told = await cockpit("rollback", str(folder.root), "--confirm", "arp", "--json")
    past = any(view.past_return for view in replay(read(folder.timeline).events).past)
    assert (told.code, told.card["serving"]) == (5 if past else 4, "blue"), told.err
    await until_writing(rig, time.monotonic())
    await _settled(rig, Side.BLUE)
    told = await cockpit("resume", str(folder.root), "--confirm", "arp")
    assert told.code == 2
    assert "the run is closed" in told.err


@pytest.mark.asyncio(loop_scope="module")
async def test_in_all_of_it_no_write_was_lost_and_both_sides_are_equal(rig: Rig, flown: list[RunFolder]) -> None:
    views = [view for folder in flown for view in replay(read(folder.timeline).events).past]
    assert len(views) >= len(flown)
    card = await scorecard(rig, [Flown(view, {}) for view in views])
    assert [(each.lost, each.duplicated, each.overlap_ms) for each in card.handovers] == [(0, 0, 0.0)] * len(views)
    assert card.sides_equal, card.differing
    assert card.rig["writes"] > 1000
