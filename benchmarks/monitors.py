"""Other terminal programs for databases, beside whose first frame and memory ours are measured: in an environment of their own."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import pair
from benchmarks.table import Figure, show
from cockpit.model.settings import Endpoint
from tests.screen.terminal import Terminal, process_memory_mb

HOME = Path(__file__).parents[1] / ".venv" / "monitors"
PINNED = ("pg_activity==3.6.2", "psycopg[binary]==3.3.2", "dolphie==6.18.0")
PAINTS = 5


def measure(size: tuple[int, int]) -> bool:
    """Prints their figures; nothing was asked of them. What cannot be had or started is said."""
    why = _install()
    if why:
        print(f"\nother monitors: not measured ({why})")
        return True
    return asyncio.run(_measured(size))


async def _measured(size: tuple[int, int]) -> bool:
    figures: list[Figure] = []
    async with pair.servers() as spec:
        end = spec.blue.control
        figures += await asyncio.to_thread(_beside, size, "pg_activity 3.6.2", _pg_activity(end), b"DATABASE")
    figures += await asyncio.to_thread(_beside, size, "dolphie 6.18.0 (its form to connect)", _dolphie(), b"Host")
    return show(f"beside it, at {size[0]}x{size[1]}", figures) if figures else True


def _beside(size: tuple[int, int], name: str, command: tuple[str, ...], frame: bytes) -> list[Figure]:
    paints, memory = [], 0.0
    for _ in range(PAINTS):
        terminal = Terminal(*size, *command)
        painted = terminal.wait_for(frame, 20)
        if frame not in terminal.seen:
            terminal.end()
            print(f"\n{name}: did not start ({terminal.seen[-200:]!r})")
            return []
        paints.append((painted - terminal.began) * 1000)
        terminal.drain(5.0)
        memory = process_memory_mb(terminal.pid)
        terminal.end()
    return [Figure(f"{name}: first paint, median of {PAINTS}", statistics.median(paints), "ms"), Figure(f"{name}: memory", memory, "MB")]


def _pg_activity(end: Endpoint) -> tuple[str, ...]:
    where = ["-h", end.host, "-p", str(end.port), "-U", end.user, "-d", end.database]
    return _run("pg_activity", where, {"PGPASSWORD": end.password.reveal() if end.password else ""})


def _dolphie() -> tuple[str, ...]:
    return _run("dolphie", ["--tab-setup"], {})


def _run(program: str, words: list[str], environ: dict[str, str]) -> tuple[str, ...]:
    path = str(HOME / "bin" / program)
    return ("-c", f"import os; os.environ.update({environ!r}); os.execv({path!r}, {[path, *words]!r})")


def _install() -> str:
    """Why they cannot be had; empty where they can."""
    if (HOME / "bin" / "dolphie").exists():
        return ""
    for command in ([sys.executable, "-m", "venv", str(HOME)], [str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", *PINNED]):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, env=dict(os.environ))
        if done.returncode:
            return (done.stderr.strip() or f"{command[1:4]} ended with {done.returncode}").splitlines()[-1]
    return ""
