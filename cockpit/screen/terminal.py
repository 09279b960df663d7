"""The terminal that a screen is drawn on, and what is done where it has gone or takes nothing more.

A closing terminal sends SIGHUP to the process that leads its session, and to no other while that one lives ("termio(7)", hangup; measured
on Linux 6). Under `make` or a script the screen's process hears nothing: it reads an end of file without end and cannot write.
"""

from __future__ import annotations

import io
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

LOOK_MS = 1000
"""A hangup wakes who waits for it; this is for terminals whose hangup does not."""


class TerminalDriver(LinuxDriver):
    """Textual's own, which can be stopped although its terminal has gone.

    Its writing thread would die of the first write that fails, and the app would then wait without end for room in that thread's queue."""

    def __init__(self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast(Any, Outlet(self._file)) if self._file is not None else None


class Outlet(io.TextIOBase):
    """Writes to `file` until that fails once, and from then on nowhere."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._gone = False

    def write(self, text: str) -> int:
        self._unless_gone(lambda: self._file.write(text))
        return len(text)

    def flush(self) -> None:
        self._unless_gone(self._file.flush)

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self._file.isatty()

    def _unless_gone(self, does: Callable[[], object]) -> None:
        if not self._gone:
            try:
                does()
            except OSError:
                self._gone = True


class Hangup:
    """Waits for a terminal to hang up, in a thread of its own: the loop's may be waiting for room to write."""

    def __init__(self, fileno: int, tell: Callable[[], None]) -> None:
        """`tell` is called at most once, from that thread."""
        self._fileno, self._tell = fileno, tell
        self._over = threading.Event()
        threading.Thread(target=self._wait, name="cockpit-hangup", daemon=True).start()

    def stop(self) -> None:
        """It is not told any more; the thread ends within `LOOK_MS`."""
        self._over.set()

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._fileno, 0)
        while not self._over.is_set():
            for _, what in poller.poll(LOOK_MS):
                if what & select.POLLHUP and not self._over.is_set():
                    self._tell()
                # Besides a hangup there are devices that "poll(2)" cannot tell about, at once and again and again (POLLNVAL).
                return


def has_terminal() -> bool:
    """Whether a screen can be drawn: stdin and stderr are both a terminal, and it is still there."""
    with suppress(ValueError):
        return all(file is not None and file.isatty() for file in (sys.__stdin__, sys.__stderr__))
    return False
