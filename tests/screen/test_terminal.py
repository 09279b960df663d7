"""What belongs to a terminal: losing it, not having one, a screen that fails, a folder that is really there."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.model.intents import Intent
from cockpit.model.telemetry import PulseSample
from cockpit.screen.app import NO_TERMINAL, CockpitApp, FolderLink, crash_text
from cockpit.screen.look import wants_no_color
from cockpit.screen.options import Ending, Options
from cockpit.timeline.folder import RunFolder, create
from cockpit.timeline.follow import Follower
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from cockpit.timeline.wire import Door, Reply
from tests.screen.demo import READY, Story, story
from tests.screen.flying import Cockpit
from tests.screen.terminal import Terminal

FAILING = """
import sys
from cockpit.screen.app import CockpitApp
from cockpit.screen.options import Options
from tests.screen.demo import story
source = story(30.0)
polls = []
def poll():
    password = "hunter2"
    polls.append(1)
    if len(polls) > 5:
        raise RuntimeError(f"cannot connect with {password}")
    return False
source.poll = poll
app = CockpitApp(source, None, Options())
ending = app.run()
sys.exit(1 if ending is None else ending)
"""

UNDER_MAKE = """
import signal, subprocess, sys
signal.signal(signal.SIGHUP, lambda *_: None)
sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)
"""
"""A closing terminal signals who leads its session alone ("termio(7)"): `make` catches it and waits for its child, which hears nothing."""

SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
status = os.waitpid(child, os.WUNTRACED)[1]
if os.WIFSTOPPED(status):
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped", flush=True)
    os.tcsetpgrp(0, child)
    os.killpg(child, signal.SIGCONT)
    status = os.waitpid(child, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""As much of a shell as ctrl-z and fg need: nothing stops a process that nobody could continue ("setpgid(2)", orphaned process groups)."""

AND_THEN = """
import asyncio, sys
from pathlib import Path
from cockpit.screen.app import run_screen
run_screen(Path(sys.argv[1]), watch=True, drill=False)
def wait():
    print("the screen has ended", flush=True)
    print("read", sys.stdin.readline(), flush=True)
async def wait_in_loop():
    await asyncio.to_thread(wait)
wait() if sys.argv[2] == "plainly" else asyncio.run(wait_in_loop())
"""


def select_pause() -> None:
    """Gives the other process the processor for a moment."""
    subprocess.run(["true"], check=True)


@pytest.mark.pty
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_lost_terminal_ends_the_screen_cleanly(number: signal.Signals) -> None:
    terminal = Terminal(80, 24, "-m", "tests.screen.demo", "30")
    terminal.wait_for(b"PROCEDURE", 20)
    os.kill(terminal.pid, number)
    terminal.wait_for(b"\x1b[?1049l", 10)
    assert b"\x1b[?1049l" in terminal.seen, "the terminal is given back"
    assert terminal.ended() == Ending.LOST
    os.close(terminal.master)


def fill(terminal: Terminal) -> None:
    """Makes it repaint what nobody reads, until it has stood still through fifty changes of its size."""
    still, used = 0, 0.0
    for columns in itertools.cycle((100, 101)):
        terminal.resize(columns, 40)
        select_pause()
        before, used = used, terminal.processor_s()
        still = still + 1 if used == before else 0
        if still == 50:
            return


def ended_within(terminal: Terminal, seconds: float) -> bool:
    """Whether the program in the terminal ended by itself; it has ended in any case."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(terminal.pid, os.WNOHANG)[0]:
            return True
        select_pause()
    os.killpg(terminal.pid, signal.SIGKILL)
    os.waitpid(terminal.pid, 0)
    return False


@pytest.mark.pty
def test_a_closed_terminal_leaves_no_process_behind() -> None:
    terminal = Terminal(80, 24, "-m", "tests.screen.demo", "30")
    terminal.wait_for(b"PROCEDURE", 20)
    os.close(terminal.master)
    assert ended_within(terminal, 10)


@pytest.mark.pty
def test_a_closed_terminal_is_noticed_though_its_signal_reaches_another_process_alone() -> None:
    terminal = Terminal(80, 24, "-c", UNDER_MAKE, "-m", "tests.screen.demo", "30")
    terminal.wait_for(b"PROCEDURE", 20)
    os.close(terminal.master)
    assert ended_within(terminal, 10)


@pytest.mark.pty
def test_a_terminal_that_takes_nothing_more_is_left_when_told_to() -> None:
    terminal = Terminal(80, 24, "-m", "tests.screen.demo", "30")
    terminal.wait_for(b"PROCEDURE", 20)
    fill(terminal)
    os.kill(terminal.pid, signal.SIGTERM)
    assert ended_within(terminal, 10)
    os.close(terminal.master)


@pytest.mark.pty
@pytest.mark.parametrize("how", ["plainly", "in a loop"])
def test_what_is_stopped_after_the_screen_goes_on_without_it(tmp_path: Path, how: str) -> None:
    """ctrl-z and fg while a drill stops its servers: the screen that has ended must not come back."""
    terminal = Terminal(80, 24, "-c", SHELL, "-c", AND_THEN, str(create(tmp_path, "arp").root), how)
    terminal.wait_for(b"waiting", 20)
    terminal.press(b"q")
    terminal.wait_for(b"the screen has ended", 10)
    terminal.press(b"\x1a")
    terminal.wait_for(b"stopped", 10)
    terminal.press(b"on\r")
    terminal.wait_for(b"read on", 10)
    assert b"read on" in terminal.seen
    assert b"\x1b[?1049h" not in terminal.seen
    assert terminal.ended() == 0
    os.close(terminal.master)


@pytest.mark.pty
def test_a_failing_screen_shows_no_variable_and_says_that_the_pilot_flies_on() -> None:
    terminal = Terminal(80, 24, "-c", FAILING)
    terminal.wait_for(b"the pilot flies on", 20)
    assert b"the screen failed (RuntimeError); the pilot flies on" in terminal.seen
    assert b"hunter2" not in terminal.seen
    assert terminal.ended() == Ending.CRASHED
    os.close(terminal.master)


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    code = f"import sys; from pathlib import Path; from cockpit.screen.app import run_screen; sys.exit(run_screen(Path({str(tmp_path)!r}), watch=True, drill=False))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (Ending.REFUSED, "", NO_TERMINAL + "\n")


def test_a_crash_is_told_by_type_and_place_alone() -> None:
    try:
        raise ValueError("postgresql://cockpit:hunter2@db/arp")
    except ValueError as err:
        text = crash_text(err)
    assert "ValueError" in text
    assert "test_terminal.py" in text
    assert "hunter2" not in text


def test_no_color_means_set_and_not_empty() -> None:
    assert wants_no_color({"NO_COLOR": "1"})
    assert not wants_no_color({"NO_COLOR": ""})
    assert not wants_no_color({})


def test_the_way_to_first_paint_imports_no_driver() -> None:
    code = "import sys, cockpit.cli, cockpit.onscreen, cockpit.screen.app; print([m for m in ('httpx', 'asyncpg', 'psycopg', 'pydantic', 'boto3', 'aioboto3') if m in sys.modules], len(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded, _, count = ran.stdout.strip().rpartition(" ")
    assert loaded == "[]"
    assert int(count) <= 490


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Where a socket's path stays short enough, however deep the tests' own folder lies."""
    with tempfile.TemporaryDirectory(prefix="c-", dir="/tmp") as folder:
        yield Path(folder)


async def test_a_real_folder_is_followed_and_its_pilot_is_asked(tmp_path: Path, short_folder: Path) -> None:
    folder = create(tmp_path, "arp")
    asked: list[Intent] = []

    async def answer(intent: Intent) -> Reply:
        asked.append(intent)
        return Reply(False, 7, "the run is closed")

    follower = Follower(folder)
    link = FolderLink(folder)
    app = CockpitApp(follower, link, Options(by="ana@bastion"))
    async with app.run_test(size=(80, 24)) as pilot:
        c = Cockpit(app, pilot, Story(), None)  # type: ignore[arg-type]
        await c.look()
        assert "waiting" in c.text
        _write(folder)
        door = Door(answer)
        await door.open(folder.place_socket(short_folder))
        try:
            await c.look()
            await c.look()
            assert "BLUE serves" in c.text
            await c.press("a")
            async with asyncio.timeout(5):
                while "REFUSED" not in c.prompt:
                    await pilot.pause(0.02)
            assert asked[0].ask == "arm"
            assert asked[0].saw == follower.state.seq
        finally:
            await link.close()
            await door.close()
    follower.close()


def _write(folder: RunFolder) -> None:
    """What a pilot writes until its panes are live."""
    journal, samples = Journal.create(folder.timeline, "pilot"), Samples(folder.samples)
    for event in story(READY).state.tail:
        journal.append(event.fact)
    samples.write(PulseSample(time.monotonic(), os.getpid(), journal.seq))
    samples.close()
    journal.close()
