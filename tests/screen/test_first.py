"""The picture before the screen's library has loaded: the same as the library's own first one, and the terminal given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.segment import Segment

from cockpit.screen import first
from cockpit.screen.cells import segments, text_of
from cockpit.screen.look import Look
from cockpit.screen.options import Options
from tests.screen.demo import Story
from tests.screen.flying import SIZES, cockpit
from tests.screen.terminal import Terminal

UP = """
import sys, time
from cockpit.screen.curtain import Curtain
from cockpit.screen.look import Look
with Curtain(Look()) as curtain:
    if sys.argv[1:] == ["defect"]:
        raise RuntimeError("hunter2")
    if sys.argv[1:] == ["hand over"]:
        curtain.hand_over()
        sys.exit(0)
    while True:  # a signal that comes just before a pause would be slept through
        time.sleep(0.02)
"""


@pytest.mark.parametrize("size", [*SIZES, (39, 9)])
@pytest.mark.parametrize("watch", [False, True])
async def test_it_is_what_the_library_paints_first(size: tuple[int, int], watch: bool) -> None:
    async with cockpit(Story(), size, watch=watch) as c:
        painted = [_cells(line) for line in c.segments()]
    assert painted == [_cells(segments(line, size[0], Look())) for line in first.lines(*size, watch=watch)]


def _cells(line: list[Segment]) -> list[tuple[str, str]]:
    """Each character with how it looks, where it is not blank."""
    return [(ch, str(segment.style) if ch != " " else "") for segment in line for ch in segment.text]


async def test_a_drill_begins_with_its_setting_up(tmp_path: Path) -> None:
    async with cockpit(Story(), (120, 40), options=Options(drill=True, progress=tmp_path / "progress.jsonl")) as c:
        painted = c.lines()
    assert painted == [text_of(line) for line in first.lines(120, 40, drill=True)]


def test_it_needs_nothing_of_the_library() -> None:
    code = "import sys, cockpit.screen.curtain; print([m for m in ('textual', 'rich.console', 'httpx', 'asyncpg', 'pydantic') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.pty
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whatever_ends_the_program_gives_the_terminal_back(number: signal.Signals) -> None:
    terminal = Terminal(80, 24, "-c", UP)
    before = termios.tcgetattr(terminal.master)
    terminal.wait_for(b"q leave", 20)
    assert b"\x1b[?1049h" in terminal.seen
    assert not termios.tcgetattr(terminal.master)[3] & termios.ECHO, "what is typed now is not shown"
    os.kill(terminal.pid, number)
    terminal.wait_for(b"\x1b[?1049l\x1b[?25h", 10)
    assert b"\x1b[?1049l\x1b[?25h" in terminal.seen
    assert terminal.ended() in (128 + number, -number)
    assert termios.tcgetattr(terminal.master) == before
    os.close(terminal.master)


@pytest.mark.pty
def test_a_program_in_a_terminal_hears_signals_that_the_tests_were_started_without() -> None:
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        terminal = Terminal(80, 24, "-c", "import signal; print(signal.getsignal(signal.SIGINT).__name__)")
    finally:
        signal.signal(signal.SIGINT, heard)
    assert terminal.ended() == 0
    assert terminal.seen == b"default_int_handler\r\n"
    os.close(terminal.master)


@pytest.mark.pty
def test_a_defect_gives_the_terminal_back_too() -> None:
    terminal = Terminal(80, 24, "-c", UP, "defect")
    before = termios.tcgetattr(terminal.master)
    terminal.wait_for(b"\x1b[?1049l\x1b[?25h", 20)
    assert b"\x1b[?1049l\x1b[?25h" in terminal.seen
    assert terminal.ended() == 1
    assert termios.tcgetattr(terminal.master) == before
    os.close(terminal.master)


@pytest.mark.pty
def test_handed_over_the_screen_is_left_to_who_draws_next() -> None:
    terminal = Terminal(80, 24, "-c", UP, "hand over")
    before = termios.tcgetattr(terminal.master)
    assert terminal.ended() == 0
    assert b"\x1b[?1049h" in terminal.seen
    assert b"\x1b[?1049l" not in terminal.seen
    assert termios.tcgetattr(terminal.master) == before
    os.close(terminal.master)


@pytest.mark.pty
def test_a_terminal_without_a_cursor_gets_no_picture() -> None:
    terminal = Terminal(80, 24, "-c", UP, "hand over", term="dumb")
    assert terminal.ended() == 0
    assert terminal.seen == b""
    os.close(terminal.master)
