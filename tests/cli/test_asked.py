"""What is typed behind a question, in a real terminal: no ctrl-c is missed, and what waits for it goes on meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.screen.terminal import Terminal

ROOT = Path(__file__).parents[2]
PRESSED = 300
ASKED_AGAIN = f"""
import sys
from cockpit.asked import typed
for asked in range({PRESSED} + 1):
    try:
        print(f"question {{asked}}:", flush=True)
        print("heard", typed())
    except KeyboardInterrupt:
        pass
"""
MEANWHILE = """
import asyncio
from cockpit.asked import typed_meanwhile

async def main():
    async def turns():
        for turn in range(1000):
            await asyncio.sleep(0.01)
            print(f"turn {turn}", flush=True)
    async with asyncio.TaskGroup() as tasks:
        turning = tasks.create_task(turns())
        try:
            print("heard", await typed_meanwhile(), flush=True)
        except EOFError:
            print("nothing more is heard", flush=True)
        except asyncio.CancelledError:
            print("left", flush=True)
            raise
        turning.cancel()

asyncio.run(main())
"""


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    terminal = Terminal(80, 24, "-c", MEANWHILE)
    terminal.wait_for(b"turn 3")
    yield terminal
    os.close(terminal.master)


@pytest.mark.pty
def test_no_ctrl_c_right_behind_a_question_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    terminal = Terminal(80, 24, "-c", ASKED_AGAIN)
    terminal.wait_for(b"question 0:")
    for asked in range(1, PRESSED + 1):
        terminal.press(b"\x03")
        terminal.wait_for(b"question %d:" % asked)
        assert b"question %d:" % asked in terminal.seen, "one press, one answer"
    terminal.press("grün\n".encode())
    assert terminal.ended() == 0
    assert "heard grün" in terminal.seen.decode()
    os.close(terminal.master)


@pytest.mark.pty
def test_the_loop_turns_on_until_a_line_is_typed(meanwhile: Terminal) -> None:
    meanwhile.press(b"ar")
    meanwhile.wait_for(b"turn 9")
    meanwhile.press(b"p\n")
    assert meanwhile.ended() == 0
    assert b"heard arp" in meanwhile.seen


@pytest.mark.pty
def test_ctrl_c_leaves_at_once(meanwhile: Terminal) -> None:
    meanwhile.press(b"\x03")
    assert meanwhile.ended() != 0
    assert b"left" in meanwhile.seen


@pytest.mark.pty
def test_ctrl_d_ends_what_is_heard(meanwhile: Terminal) -> None:
    meanwhile.press(b"\x04")
    assert meanwhile.ended() == 0
    assert b"nothing more is heard" in meanwhile.seen
