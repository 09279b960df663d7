"""A program in a real pseudo terminal: its keys pressed, what it writes awaited, its processor and memory read."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable


def process_s(pid: int) -> float:
    """Seconds of a processor that it has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_memory_mb(pid: int) -> float:
    """What it has in memory, libraries included."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


WHERE, CURSOR = b"\x1b[6n", b"\x1b[1;1R"
"""Device Status Report, asked and answered: some programs paint nothing before a terminal has answered it, or they gave up waiting."""


class Terminal:
    """A program in a pty of some size, which answers where the cursor is as every terminal does; `seen` is what it wrote since the last look."""

    def __init__(self, columns: int, rows: int, *command: str, term: str = "xterm-256color") -> None:
        self.began = time.monotonic()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                # As a login shell starts it: a shell's background job and nohup leave these ignored, also for who is started by them.
                signal.signal(number, signal.SIG_DFL)
            os.environ.update(TERM=term, COLORTERM="truecolor")
            fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execv(sys.executable, [sys.executable, *command])
        self.seen = b""
        self.total = 0

    def wait_for(self, wanted: bytes, seconds: float = 10.0) -> float:
        """The moment `wanted` had been written."""
        return self._read(lambda: wanted in self.seen, seconds)

    def drain(self, seconds: float) -> None:
        self._read(lambda: False, seconds)
        self.seen = b""

    def drain_into(self, seconds: float) -> None:
        """What it writes in so many seconds is added to `seen`."""
        self._read(lambda: False, seconds)

    def _read(self, enough: Callable[[], bool], seconds: float) -> float:
        end = time.monotonic() + seconds
        while not enough() and time.monotonic() < end:
            if select.select([self.master], [], [], max(end - time.monotonic(), 0))[0]:
                try:
                    chunk = os.read(self.master, 65536)
                except OSError:
                    break
                self.seen += chunk
                self.total += len(chunk)
                if asked := chunk.count(WHERE):
                    os.write(self.master, CURSOR * asked)
        return time.monotonic()

    def press(self, key: bytes) -> None:
        self.seen = b""
        os.write(self.master, key)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def processor_s(self) -> float:
        return process_s(self.pid)

    def memory_mb(self) -> float:
        return process_memory_mb(self.pid)

    def ended(self, seconds: float = 10.0) -> int:
        """Its exit code, once it has ended by itself; what it wrote until then is `seen`. `AssertionError` where it does not end."""
        deadline = time.monotonic() + seconds
        self._read(lambda: False, seconds)
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("the program did not end")

    def end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self.drain(1.0)
        os.waitpid(self.pid, 0)
        os.close(self.master)
