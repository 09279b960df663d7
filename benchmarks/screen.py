"""`make bench-screen`: the screen from outside, through a pseudo terminal and tmux, at 120x40, on a run that is fed four times a second.

Twice: with 15 apps and 40 tables, all moving, and with 500 apps and 10,000 tables. First paint is from the start of the process to the
first whole frame; key to paint from the press to its answer, through tmux. Beside it pg_activity and dolphie, in an environment of their
own, where they can be had: how long until their first frame, and what they take of memory. `DRIVE_S=3600` drives it for an hour.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import monitors
from benchmarks.table import Figure, show
from cockpit.timeline.folder import create
from tests.screen.terminal import Terminal, process_memory_mb, process_s

SIZE = (120, 40)
PAINTS = 15
PRESSES = 300
WATCH_S = 20.0
DRIVE_S = float(os.environ.get("DRIVE_S", "120"))
ORDERS = (b"order: name", b"order: age", b"order: worst")
FRAME = b"PROCEDURE"
LOOKS = [
    "1",
    "2",
    "3",
    "4",
    "5",
    "Tab",
    "j",
    "k",
    "G",
    "g",
    "z",
    "Enter",
    "Escape",
    "!",
    "Escape",
    "c",
    "Escape",
    "?",
    "Escape",
    "s",
    "t",
    "p",
    "p",
]
"""Keys that look: none asks the pilot for anything, and every page is opened."""


def measure() -> bool:
    """Prints the figures; whether they are as asked."""
    met = [_measured(apps, tables) for apps, tables in ((15, 40), (500, 10_000))]
    return all([*met, monitors.measure(SIZE)])


def _measured(apps: int, tables: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="cockpit-bench-") as runs, _fed(Path(runs), apps, tables) as (root, feeder):
        paints = [_first_paint(root) for _ in range(PAINTS)]
        with _in_tmux(root) as (terminal, pid):
            presses = _presses(terminal)
            bytes_s, moving = _watched(terminal, pid)
            began_mb, grown_mb = _driven(terminal, pid)
            feeder.terminate()
            terminal.drain(5.0)
            _, idle = _watched(terminal, pid)
    cuts = statistics.quantiles(presses, n=100)
    return show(
        f"screen at {SIZE[0]}x{SIZE[1]}, {apps} apps and {tables} tables",
        [
            Figure(f"first paint, median of {PAINTS}", statistics.median(paints), "ms", 400),
            Figure("first paint, worst", max(paints), "ms"),
            Figure("key to paint through tmux, p95", cuts[94], "ms", 30),
            Figure("key to paint through tmux, p99", cuts[98], "ms", 50),
            Figure("processor while all moves", moving * 100, "%", 5),
            Figure("processor while nothing moves", idle * 100, "%", 1.5),
            Figure("memory", began_mb, "MB", 60),
            Figure(f"memory grown in {DRIVE_S:g} s of keys", grown_mb, "MB", 3),
            Figure("to the terminal", bytes_s / 1000, "kB/s", 20),
        ],
    )


@contextmanager
def _fed(runs: Path, apps: int, tables: int) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A run's folder that is written by a process of its own."""
    folder = create(runs, "arp")
    feeder = subprocess.Popen([sys.executable, "-m", "benchmarks.feed", str(folder.root), str(apps), str(tables)], stdout=subprocess.PIPE)
    try:
        assert feeder.stdout is not None
        feeder.stdout.readline()
        yield folder.root, feeder
    finally:
        feeder.kill()
        feeder.wait()


def _first_paint(root: Path) -> float:
    terminal = Terminal(*SIZE, *_watch(root))
    took = (terminal.wait_for(FRAME) - terminal.began) * 1000
    terminal.drain(0.3)
    terminal.end()
    return took


def _watch(root: Path) -> tuple[str, ...]:
    return ("-m", "cockpit", "watch", str(root), "--ascii")


@contextmanager
def _in_tmux(root: Path) -> Iterator[tuple[Terminal, int]]:
    """The screen inside tmux, attached to a terminal of the same size; and the process that draws it."""
    tmux = shutil.which("tmux")
    if tmux is None:
        raise RuntimeError("tmux is needed: apt-get install tmux")
    name = f"cockpit-bench-{os.getpid()}"
    ask = [tmux, "-L", name]
    inside = [*ask, "-f", os.devnull, "new-session", "-x", str(SIZE[0]), "-y", str(SIZE[1]), sys.executable, *_watch(root)]
    terminal = Terminal(*SIZE, "-c", f"import os; os.execv({tmux!r}, {inside!r})")
    try:
        terminal.wait_for(FRAME, 20)
        subprocess.run([*ask, "set-option", "-g", "status", "off"], check=True)
        told = subprocess.run([*ask, "list-panes", "-F", "#{pane_pid}"], capture_output=True, text=True, check=True)
        terminal.drain(2.0)
        yield terminal, int(told.stdout)
    finally:
        subprocess.run([*ask, "kill-server"], check=False)
        terminal.end()


def _presses(terminal: Terminal) -> list[float]:
    """Each key's paint in ms: the order of the table list is changed, which sorts and draws it anew."""
    terminal.press(b"2")
    terminal.drain(0.5)
    took = []
    for number in range(PRESSES):
        began = time.monotonic()
        terminal.press(b"s")
        answered = terminal.wait_for(ORDERS[number % len(ORDERS)], 2.0)
        took.append((answered - began) * 1000)
        terminal.drain(0.05 + number % 7 / 50)
    return took


def _watched(terminal: Terminal, pid: int) -> tuple[float, float]:
    """Bytes a second to the terminal, and the share of a processor, while nobody presses a key."""
    busy, told, began = process_s(pid), terminal.total, time.monotonic()
    terminal.drain(WATCH_S)
    lasted = time.monotonic() - began
    return (terminal.total - told) / lasted, (process_s(pid) - busy) / lasted


def _driven(terminal: Terminal, pid: int) -> tuple[float, float]:
    """Memory (MB) once every page was seen, and how much more it is after `DRIVE_S` of keys."""
    names = {"Tab": b"\t", "Enter": b"\r", "Escape": b"\x1b"}
    rng = random.Random(7)

    def drive(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            key = rng.choice(LOOKS)
            terminal.press(names.get(key, key.encode()))
            terminal.drain(0.15)

    for key in LOOKS * 2:
        terminal.press(names.get(key, key.encode()))
        terminal.drain(0.15)
    drive(10.0)
    began = process_memory_mb(pid)
    drive(DRIVE_S)
    terminal.press(b"\x1b")
    terminal.drain(0.5)
    return began, process_memory_mb(pid) - began
