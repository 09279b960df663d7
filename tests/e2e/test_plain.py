"""A drill that is flown without a screen, by words on a terminal that draws nothing, and told to a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.screen.terminal import Terminal

ARMS = 5
"""A gate may turn while the name is typed: then it is armed again."""

pytestmark = [pytest.mark.drill, pytest.mark.pty, pytest.mark.servers]


class Voice:
    """A terminal that is listened to: everything it said."""

    def __init__(self, *command: str) -> None:
        self.terminal = Terminal(80, 24, "-m", "cockpit", *command, term="dumb")
        self.said = b""

    def hears(self, *wanted: bytes, within_s: float = 60.0) -> bytes:
        """The first of them that is said from now on."""
        self.terminal._read(lambda: any(text in self.terminal.seen for text in wanted), within_s)
        self.said += self.terminal.seen
        heard = [text for text in wanted if text in self.terminal.seen]
        assert heard, self.terminal.seen[-2000:].decode(errors="replace")
        return heard[0]

    def types(self, line: bytes) -> None:
        self.terminal.press(line + b"\n")

    def answers(self, line: bytes) -> None:
        """Once the question was read: what comes with it is no answer."""
        self.terminal.drain(0.5)
        self.types(line)

    def ends(self, within_s: float = 60.0) -> int:
        """The drill's exit code, and nothing of its rig is left."""
        self.types(b"leave")
        self.hears(b"End the drill?")
        self.answers(b"Y")
        self.terminal._read(lambda: False, within_s)
        self.said += self.terminal.seen
        return os.waitstatus_to_exitcode(os.waitpid(self.terminal.pid, 0)[1])


@pytest.mark.timeout(240)
def test_a_drill_is_flown_there_and_back_by_words(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    voice = Voice("drill", "--rows", "3000", "--rate", "75", "--runs", str(runs))
    try:
        voice.hears(b"The run is ready.", within_s=90)
        for _ in range(ARMS):
            voice.types(b"arm")
            if voice.hears(b"Type 'arp' to do it", b"ABORTED") != b"ABORTED":
                voice.answers(b"arp")
                if voice.hears(b"Writes flow again", b"ABORTED") != b"ABORTED":
                    break
        voice.hears(b"and green serves.")
        voice.types(b"back")
        voice.hears(b"Type Y to do it")
        voice.answers(b"Y")
        voice.hears(b"and blue serves.")
    finally:
        code = voice.ends()
    assert code == 0
    text = voice.said.decode()
    assert not [ch for ch in text if unicodedata.category(ch) in {"Cc", "Cf"} and ch not in "\r\n"], "no escape, no colour"
    assert "blue served" in text
    (run,) = runs.iterdir()
    again = subprocess.run(
        [sys.executable, "-m", "cockpit", "replay", str(run), "--plain", "--speed", "1000"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = again.stdout.splitlines()
    assert lines[0] == "Told in sentences, times are UTC; nothing is taken from stdin, it is no terminal."
    told = [line for line in lines if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert sum("The point of no return is passed" in line for line in told) == 2
    assert "The run is closed as " in told[-1]
    assert again.stderr == ""
