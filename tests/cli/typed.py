"""The program as a user types it: a process of its own, without a terminal or in one, and what it answered."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EXIT_CODES = (0, 1, 2, 3, 4, 5)
"""Those that `cockpit --help` documents."""
_SEQUENCES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P_^X][^\x1b]*\x1b\\|\x1b[ -/]*[0-~]")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str
    raw: str = ""
    """All that came back, as it came."""

    @property
    def line(self) -> str:
        """The one line of a refusal."""
        assert self.code in EXIT_CODES, self
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        assert "Traceback" not in self.raw + self.out + self.err
        assert "a defect" not in self.err
        return self.err.rstrip("\n")


def cockpit(*words: str, env: Mapping[str, str] | None = None, seconds: float = 60, stdout: int = subprocess.PIPE) -> Answer:
    """What it answered without a terminal."""
    ran = subprocess.run(
        [sys.executable, "-m", "cockpit", *words],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
        timeout=seconds, check=False, env=environment(env),
    )  # fmt: skip
    return Answer(ran.returncode, (ran.stdout or b"").decode(), ran.stderr.decode(), ran.stderr.decode())


def on_terminal(*words: str, env: Mapping[str, str] | None = None, seconds: float = 60) -> Answer:
    """What it answered in a terminal of 120 columns and 40 rows: `err` is what stands there once the screen is gone."""
    master, slave = pty.openpty()
    size = {"COLUMNS": "120", "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cockpit", *words],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        env=environment({**(env or {}), **size}),
    )
    os.close(slave)
    seen, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([master], [], [], 0.1)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(master)
    out, _ = process.communicate(timeout=20)
    afterwards = _SEQUENCES.sub(b"", seen.rpartition(b"\x1b[?1049l")[2]).replace(b"\r\n", b"\n").replace(b"\r", b"")
    return Answer(process.returncode, out.decode(), afterwards.decode(errors="replace").lstrip("\n"), seen.decode(errors="replace"))


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's own, without what a developer may have set for the cockpit."""
    dropped = {"COCKPIT_RUNS", "COLUMNS", "LINES", "NO_COLOR"}
    return {**{key: value for key, value in os.environ.items() if key not in dropped}, **(more or {})}


def files(folder: Path) -> list[Path]:
    """Everything below a folder."""
    return sorted(folder.rglob("*"))
