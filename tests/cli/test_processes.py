"""The processes of a run, as the front door starts and ends them."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cockpit import wiring
from cockpit.model import events as ev
from cockpit.model.settings import Config, DrillSpec
from cockpit.model.words import Direction, Mode, Side
from cockpit.scenario import load_scenario
from cockpit.systems.memory import MemoryWorld
from cockpit.timeline.codec import encode_event
from cockpit.timeline.folder import RunFolder, create
from cockpit.timeline.journal import Chain, Journal, seal

AWAY_S = 437.0
HALF_WAY = (
    ev.PilotSeated("pilot", 1, "token", "another-boot"),
    ev.HandoverOpened(1, Direction.CUTOVER, "p", 'type "arp"', 60.0),
    ev.StepStarted("steer"),
    ev.DowntimeStarted(),
    ev.StepStarted("pause"),
)


def left_by(folder: RunFolder, first_mono: float) -> None:
    """The timeline of a machine whose clock was somewhere else, its last record `AWAY_S` ago; a second between two records."""
    head, end = Chain().head, datetime.now(UTC) - timedelta(seconds=AWAY_S)
    with folder.timeline.open("wb") as file:
        for number, fact in enumerate(HALF_WAY):
            at = (end - timedelta(seconds=len(HALF_WAY) - 1 - number)).isoformat()
            line, head = seal(encode_event(ev.Event(number + 1, at, first_mono + number, "pilot", fact), head))
            file.write(line)


@pytest.mark.parametrize("ahead", [900_000.0, -50_000.0, 0.0])
def test_the_downtime_goes_on_by_the_walls_when_another_machine_takes_a_run_up(tmp_path: Path, ahead: float) -> None:
    folder = RunFolder(tmp_path)
    left_by(folder, time.monotonic() + ahead)
    recorder, journal = wiring._taken_up(folder, wiring.Order(Config({}, "", ""), load_scenario("arp"), MemoryWorld(seed=1).pair))
    wiring.sit_down(recorder)
    journal.close()
    handover = recorder.state.handover
    assert handover is not None
    assert handover.downtime_mono is not None
    assert time.monotonic() - handover.downtime_mono == pytest.approx(AWAY_S + 1, abs=5)
    assert time.monotonic() - handover.opened_mono == pytest.approx(AWAY_S + 3, abs=5)


def test_a_drill_reads_at_the_limit_of_the_rig_and_is_otherwise_the_same() -> None:
    live = load_scenario("arp")
    rig = live.on_rig()
    assert rig == replace(live, tuning=replace(live.tuning, recon_duty=0.3))
    plain = replace(live, drill=DrillSpec())
    assert plain.on_rig() is plain


class Told:
    """A guardian, as far as it is told to end."""

    told = False

    def end(self) -> None:
        self.told = True


async def test_a_pilot_that_has_ended_is_told_nothing() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    assert await process.wait() == 0
    guardian = Told()
    wiring._tell_to_end(process, guardian)  # type: ignore[arg-type]
    assert guardian.told


async def test_a_pilot_that_flies_is_told_to_end() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import signal; signal.pause()")
    wiring._tell_to_end(process, Told())  # type: ignore[arg-type]
    assert await process.wait() == -15


def test_a_run_has_ended_with_its_closing_record_although_its_pilot_is_still_on_its_way_out(tmp_path: Path) -> None:
    """Who leaves the screen at once is told how it ended, with its exit code, and not that it is still flown."""
    folder = create(tmp_path, "arp")
    journal = Journal.create(folder.timeline, "pilot")
    journal.append(ev.ModeChanged(Mode.READY))
    assert wiring.closed_state(folder) is None
    journal.append(ev.RunClosed("rolled-back", 5, Side.BLUE, ()))
    state = wiring.closed_state(folder)
    journal.close()
    assert state is not None
    assert (state.outcome, state.exit_code) == ("rolled-back", 5)
