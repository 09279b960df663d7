"""A new run opens in a process of its own while the screen loads: both take half a second of a processor, and there are several.

    -> {"folder": "…/runs/20261121-143124-arp-9b6a"}     on its stdout, once config and scenario are read
    the reason, one line or one for each mistake, on its stderr and an exit code, when the run cannot be

What the process refuses leaves nothing behind: no run folder, no object, no process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ENDS_S = 15.0
"""Longer than connecting to a server may take."""


class Opening:
    """The process that opens a run, as `cockpit run` sees it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "cockpit", "_open", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def folder(self) -> Path | None:
        """The run's folder; None when there will be none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return Path(json.loads(line)["folder"]) if line else None

    def refused(self) -> bool:
        """Whether it has ended without a run."""
        return bool(self._process.poll())

    def end(self) -> tuple[int, str]:
        """Exit code and what it said, once it has ended; it is ended when it does not by itself."""
        try:
            code = self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            code = self._terminated()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.seek(0)
        text = self._said.read().decode(errors="replace")
        self._said.close()
        return code, text

    def give_up(self) -> None:
        """It has ended, and has left nothing behind unless the run is flown already."""
        self._terminated()
        self.end()

    def _terminated(self) -> int:
        self._process.terminate()
        return self._process.wait()


def announce(folder: Path) -> None:
    """Tells the process that waits in `folder()`."""
    sys.stdout.write(json.dumps({"folder": str(folder)}) + "\n")
    sys.stdout.flush()
