"""What the lead feels of the screen, through a pseudo terminal: `cockpit --help`, and `cockpit run` on a rig that is flying under load.

First paint is the moment the first whole frame with its panes has been written, from the start of the process. Key to paint is from
the press of a key to the moment its answer has been written, while every pane moves.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Figure, show
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.rig import Rig, Wanted
from tests.screen.terminal import Terminal

SIZES = ((80, 24), (120, 40), (200, 60))
PAINTS = 5
PRESSES = 200
ORDERS = (b"order: name", b"order: age", b"order: worst")
PANES, LIVE = b"PROCEDURE", b"ready"


def measure() -> bool:
    """Prints the figures; whether they are as asked."""
    met = [show("command line", [Figure("cockpit --help, median of 10", statistics.median(_help() for _ in range(10)), "ms", 100)])]
    with tempfile.TemporaryDirectory(prefix="cockpit-bench-") as runs:
        met += asyncio.run(_on_a_rig(Path(runs)))
    return all(met)


def _help() -> float:
    began = time.monotonic()
    subprocess.run([_program(), "--help"], stdout=subprocess.DEVNULL, check=True)
    return (time.monotonic() - began) * 1000


def _program() -> str:
    return str(Path(sys.executable).with_name("cockpit"))


async def _on_a_rig(runs: Path) -> list[bool]:
    async with Rig(claim(new_folder()), Wanted(runs=runs)) as rig:
        return [await asyncio.to_thread(_at, columns, rows, rig.config, runs) for columns, rows in SIZES]


def _at(columns: int, rows: int, config: Path, runs: Path) -> bool:
    paints = [_flown(columns, rows, config, runs)[0] for _ in range(PAINTS - 1)]
    last, presses, share, memory = _flown(columns, rows, config, runs, PRESSES)
    cuts = statistics.quantiles(presses, n=100)
    figures = [
        Figure("first paint of cockpit run, median", statistics.median([*paints, last]), "ms", 700),
        Figure("first paint of cockpit run, worst", max([*paints, last]), "ms"),
        Figure("key to paint, median", cuts[49], "ms"),
        Figure("key to paint, p95", cuts[94], "ms", 50),
        Figure("key to paint, worst", max(presses), "ms"),
        Figure("processor of the screen", share * 100, "%"),
        Figure("memory of the screen", memory, "MB"),
    ]
    return show(f"screen at {columns}x{rows}", figures)


def _flown(columns: int, rows: int, config: Path, runs: Path, presses: int = 0) -> tuple[float, list[float], float, float]:
    """First paint, each key's paint (ms), share of a processor and memory (MB) of one `cockpit run`, which is closed again."""
    command = ["-m", "cockpit", "run", "arp", "--config", str(config), "--runs", str(runs), "--ascii"]
    terminal = Terminal(columns, rows, *command)
    first = (terminal.wait_for(PANES) - terminal.began) * 1000
    terminal.wait_for(LIVE, 30)
    terminal.drain(1.0 if presses else 0.1)
    busy, began = terminal.processor_s(), time.monotonic()
    if presses:
        terminal.press(b"3")
        terminal.drain(0.5)
    took = [_pressed(terminal, number) for number in range(presses)]
    lasted = time.monotonic() - began
    share, memory = (terminal.processor_s() - busy) / lasted, terminal.memory_mb()
    _close(terminal)
    return first, took, share, memory


def _pressed(terminal: Terminal, number: int) -> float:
    began = time.monotonic()
    terminal.press(b"s")
    took = (terminal.wait_for(ORDERS[number % len(ORDERS)], 2.0) - began) * 1000
    terminal.drain(0.05 + number % 7 / 50)
    return took


def _close(terminal: Terminal) -> None:
    """The run is closed as a lead closes it, and the program has ended."""
    for keys, answer in ((b"Q", b"CLOSE the run"), (b"arp\r", b"closed"), (b"q", b"\x1b[?1049l")):
        terminal.press(keys)
        terminal.wait_for(answer, 20)
        if answer not in terminal.seen:
            raise RuntimeError(f"the screen did not answer {keys!r} with {answer!r}")
        terminal.drain(0.3)
    terminal.end()
