"""The program in a terminal that can be read back: a tmux server of its own, with nobody's settings."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.typed import environment


class Tmux:
    """A program in a tmux of one window; `text` is what stands on its screen."""

    def __init__(self, size: tuple[int, int], *words: str) -> None:
        self._server = ["tmux", "-u", "-L", f"cockpit-test-{secrets.token_hex(4)}", "-f", os.devnull]
        columns, rows = map(str, size)
        told = f'{shlex.join([sys.executable, "-m", "cockpit", *words])}; echo "exit code $?."; cat'
        program = ["-x", columns, "-y", rows, "sh", "-c", told]
        subprocess.run(
            [*self._server, "new-session", "-d", *program],
            check=True,
            env=environment({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}),
            timeout=20,
        )
        self._ask("set-option", "-g", "status", "off")

    def _ask(self, *words: str) -> str:
        return subprocess.run([*self._server, *words], capture_output=True, text=True, check=False, timeout=20).stdout

    @property
    def text(self) -> str:
        return self._ask("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Keys by tmux's names, or characters."""
        self._ask("send-keys", *keys)

    def types(self, text: str) -> None:
        self._ask("send-keys", "-l", text)

    def until(self, *wanted: str, within_s: float = 60.0) -> str:
        """The screen's text once one of these stands on it."""
        end = time.monotonic() + within_s
        while not any(some in (text := self.text) for some in wanted):
            assert time.monotonic() < end, f"waited for {wanted}:\n{text}"
            time.sleep(0.05)  # each look is a process beside two servers and a pilot
        return text

    def until_ended(self, within_s: float = 30.0) -> int:
        """Its exit code."""
        text = self.until("exit code ", within_s=within_s)
        return int(text.rpartition("exit code ")[2].partition(".")[0])

    def lose(self) -> None:
        """The terminal is gone, as when a connection breaks."""
        self._ask("kill-server")


@contextmanager
def tmux(size: tuple[int, int], *words: str) -> Iterator[Tmux]:
    made = Tmux(size, *words)
    try:
        yield made
    finally:
        made.lose()
