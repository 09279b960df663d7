"""`python -m tests.screen.measure [COLUMNSxROWS ...]`: first paint, key to paint, processor and output of the live demo, through a pty."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Callable

ORDERS = (b"order: name", b"order: age", b"order: worst")
PRESSES = 100


class Terminal:
    """A program in a pty of some size; `seen` is what it wrote since the last look."""

    def __init__(self, columns: int, rows: int, *command: str) -> None:
        self.began = time.monotonic()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
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
        return time.monotonic()

    def press(self, key: bytes) -> None:
        self.seen = b""
        os.write(self.master, key)

    def processor_s(self) -> float:
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6

    def end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self.drain(1.0)
        os.waitpid(self.pid, 0)
        os.close(self.master)


def measure(columns: int, rows: int) -> str:
    terminal = Terminal(columns, rows, "-m", "tests.screen.demo", "60")
    first = terminal.wait_for(b"PROCEDURE") - terminal.began
    terminal.drain(1.0)
    terminal.press(b"3")
    terminal.drain(0.5)
    took = []
    for number in range(PRESSES):
        before = time.monotonic()
        terminal.press(b"s")
        took.append((terminal.wait_for(ORDERS[number % 3], 2.0) - before) * 1000)
        terminal.drain(0.05 + number % 7 / 50)
    terminal.total = 0
    busy, began = terminal.processor_s(), time.monotonic()
    terminal.drain(6.0)
    lasted = time.monotonic() - began
    share = (terminal.processor_s() - busy) / lasted
    output = terminal.total / lasted / 1000
    memory = terminal.memory_mb()
    terminal.end()
    p = statistics.quantiles(took, n=100)
    return (
        f"{columns}x{rows}: first paint {first * 1000:.0f} ms, key to paint p50 {p[49]:.1f} p95 {p[94]:.1f} max {max(took):.1f} ms, "
        f"processor {share:.1%}, output {output:.1f} kB/s, memory {memory:.0f} MB"
    )


if __name__ == "__main__":
    for size in sys.argv[1:] or ("80x24", "120x40", "200x60"):
        print(measure(*(int(part) for part in size.split("x"))))
