"""The bytes that really reach a terminal, or a pipe, from a run in which every text is hostile; and that no colour means none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.model import events as ev
from cockpit.model.words import Mode, Side
from cockpit.timeline.folder import RunFolder, create
from cockpit.timeline.journal import Journal
from cockpit.timeline.samples import Samples
from tests.facts import facts
from tests.screen.demo import SOAK, story
from tests.screen.poison import poisoned, samples
from tests.screen.terminal import Terminal

MARK = "7771"
POISON = (
    f"<\x1b[{MARK}m\x1b[?{MARK}h\x1b]{MARK};x\x07\x1bP{MARK}\x1b\\\x9b{MARK}m\x9d{MARK}\x9c\x1bc\x07\x08\x0e\x7f\x00"
    f"\u202e\u2066\u200b\u2028\ufeff\n\r\t[red]{MARK}[/red][/]>"
)
"""Sequences of each kind (CSI, private, OSC, DCS, their C1 forms, a reset, shifts), marks that turn text round or hide it, and markup."""
SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[=>78]|\x1b\]22;default\x07")
"""What the screen itself sends: cursor, colours, modes, the pointer's shape. No other string (OSC, DCS) is among them, and no reset."""
PAGES = (
    "1",
    "2",
    "3",
    "4",
    "5",
    "z",
    "\r",
    "\x1b",
    "5",
    "z",
    "\r",
    "\x1b",
    "2",
    "\r",
    "\x1b",
    "3",
    "\r",
    "\x1b",
    "!",
    "\r",
    "\x1b",
    "c",
    "\r",
    "\x1b",
    "?",
    "\x1b",
    ":",
    "\x1b",
)
COLOUR = re.compile(r"\x1b\[(?:[\d:;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:[;:][\d:;]*)?m")


@pytest.fixture
def hostile(tmp_path: Path) -> RunFolder:
    """A run whose every text is hostile, as a follower finds it; its pilot is silent."""
    folder = create(tmp_path, "arp")
    journal = Journal.create(folder.timeline, "pilot")
    for fact in facts(POISON):
        if not isinstance(fact, ev.RunClosed):
            journal.append(fact, durable=False)
    journal.append(ev.ModeChanged(Mode.READY, POISON), durable=False)
    journal.append(ev.SidesSeen(Side.GREEN, POISON, POISON), durable=False)
    journal.append(ev.AlarmRaised(POISON, POISON, POISON, POISON), durable=False)
    journal.close()
    written, now = Samples(folder.samples), time.monotonic()
    for sample in samples(story(SOAK)):
        written.write(poisoned(replace(sample, mono=now), POISON))
    written.close()
    return folder


def foreign(text: str) -> list[str]:
    """What is no text and was not sent by the screen itself."""
    rest = SEQUENCE.sub("", text)
    return sorted({repr(ch) for ch in rest if unicodedata.category(ch) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and ch not in "\r\n"})


@pytest.mark.pty
@pytest.mark.parametrize("words", [("watch",), ("watch", "--ascii", "--theme", "light"), ("replay", "--speed", "1000")], ids=" ".join)
def test_no_page_of_the_screen_lets_it_through(hostile: RunFolder, words: tuple[str, ...]) -> None:
    terminal = Terminal(120, 40, "-m", "cockpit", words[0], str(hostile.root), *words[1:])
    terminal.wait_for(b"PROCEDURE", 20)
    seen = terminal.seen
    for key in PAGES:
        terminal.press(key.encode())
        terminal.drain_into(0.6 if key == "\x1b" else 0.12)  # what follows an esc at once is a key with alt
        seen += terminal.seen
    terminal.press(b"\x03")
    code = terminal.ended()
    os.close(terminal.master)
    assert code == 0
    shown = (seen + terminal.seen).decode()
    assert MARK in shown, "the text itself is there"
    assert f"\x1b[{MARK}" not in shown
    assert f"\x1b[?{MARK}" not in shown
    assert foreign(shown) == []


@pytest.mark.pty
def test_no_sentence_lets_it_through(hostile: RunFolder) -> None:
    terminal = Terminal(80, 24, "-m", "cockpit", "watch", str(hostile.root), "--plain", "--every-event", term="dumb")
    terminal.wait_for(b"Run r1", 20)
    seen = b""
    for line in ("status", "lag", "recon", "route", "steps", "attention", "help"):
        terminal.press(line.encode() + b"\n")
        terminal.drain_into(0.5)
        seen += terminal.seen
    terminal.press(b"leave\n")
    code = terminal.ended()
    os.close(terminal.master)
    assert code == 0
    assert MARK.encode() in seen
    assert foreign(seen.decode()) == []
    assert b"\x1b" not in seen


@pytest.mark.parametrize(
    "words",
    [
        ("export",),
        ("export", "--format", "html"),
        ("export", "--format", "json"),
        ("verify",),
        ("verify", "--json"),
        ("replay", "--plain", "--speed", "1000"),
    ],
    ids=" ".join,
)
def test_no_command_lets_it_through(hostile: RunFolder, words: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "cockpit", words[0], str(hostile.root), *words[1:]],
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    said = (ran.stdout + ran.stderr).decode()
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert foreign(said) == []


def test_nor_does_the_list_of_runs(hostile: RunFolder) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "cockpit", "runs", "--runs", str(hostile.root.parent)], capture_output=True, timeout=60, check=False
    )
    assert ran.returncode == 0
    assert foreign((ran.stdout + ran.stderr).decode()) == []


@pytest.mark.pty
@pytest.mark.parametrize("no_color", ["1", ""])
def test_no_color_is_none_at_all(hostile: RunFolder, monkeypatch: pytest.MonkeyPatch, no_color: str) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    terminal = Terminal(120, 40, "-m", "cockpit", "watch", str(hostile.root))
    terminal.wait_for(b"PROCEDURE", 20)
    seen = terminal.seen
    for key in ("3", "!", "\x1b", "?", "\x1b", "t"):
        terminal.press(key.encode())
        terminal.drain_into(0.25)
        seen += terminal.seen
    terminal.press(b"q")
    terminal.ended()
    os.close(terminal.master)
    assert bool(COLOUR.search(seen.decode())) is (no_color == ""), "an empty NO_COLOR asks for nothing (no-color.org)"
