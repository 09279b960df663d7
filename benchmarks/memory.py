"""Memory of a process that reconciles: a thousand rows, `ROWS` (30 million) of them, and `TABLES` (10,000) tables, each from start to all proven.

Each is measured in a process of its own, which does nothing else: its high-water mark, libraries and interpreter included. What grows with
the rows of a table is how many pieces it is read in, and only the piece at hand is kept; so thirty million stand for a billion.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys

from benchmarks import pair
from benchmarks.proving import proving
from benchmarks.table import Figure, show
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint, PairSpec, SideSpec

FEW = 1_000
ROWS = int(os.environ.get("ROWS", "30000000"))
TABLES = int(os.environ.get("TABLES", "10000"))
A_TIME = 500
WITHIN_S = 1800.0


def measure() -> bool:
    """Prints the figures; whether they are as asked."""
    return asyncio.run(_measured())


async def _measured() -> bool:
    async with pair.servers({**pair.IN_MEMORY, "max_locks_per_transaction": "1024"}) as spec:
        few = await _filled(spec, *_rows(FEW))
        many = await _filled(spec, "DROP TABLE account", *_rows(ROWS))
        await pair.fill(spec, "DROP TABLE account")
        for first in range(0, TABLES, A_TIME):
            await pair.fill(spec, *(sql for number in range(first, first + A_TIME) for sql in _table(number)))
        tables = await _filled(spec, "ANALYZE")
    figures = [
        Figure(f"one table of {FEW:,} rows", few, "MB", 150),
        Figure(f"one table of {ROWS:,} rows", many, "MB", 150),
        Figure(f"{TABLES:,} tables", tables, "MB", 150),
    ]
    return show("memory of a process that reconciles, at its most", figures)


def _rows(count: int) -> tuple[str, ...]:
    return (
        "CREATE TABLE account (id int NOT NULL, branch int, balance int, filler char(84))",
        f"INSERT INTO account SELECT i, i / 100000, 0, '' FROM generate_series(1, {count}) i",
        "ALTER TABLE account ADD PRIMARY KEY (id)",
        "VACUUM ANALYZE account",
    )


def _table(number: int) -> tuple[str, ...]:
    return (
        f"CREATE TABLE t{number} (id int PRIMARY KEY, amount numeric(12,2), at timestamptz, note text)",
        f"INSERT INTO t{number} SELECT i, i, '2026-01-01', 'row' FROM generate_series(1, 20) i",
    )


async def _filled(spec: PairSpec, *statements: str) -> float:
    """Megabytes of a process that has proven all of it."""
    await pair.fill(spec, *statements)
    ends = [_plain(side.control) for side in (spec.blue, spec.green)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.memory", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate(json.dumps(ends).encode())
    if child.returncode:
        raise RuntimeError(f"the process that reconciles ended with {child.returncode}")
    return float(said.splitlines()[-1])


def _plain(end: Endpoint) -> dict[str, object]:
    return {
        "host": end.host, "port": end.port, "database": end.database, "user": end.user,
        "password": end.password.reveal() if end.password else "",
    }  # fmt: skip


def _end(said: dict[str, object]) -> Endpoint:
    return Endpoint(
        str(said["host"]), int(str(said["port"])), str(said["database"]), str(said["user"]), Secret(str(said["password"])), "disable"
    )


async def _prove(blue: Endpoint, green: Endpoint) -> None:
    spec = PairSpec("bench", SideSpec(blue, blue), SideSpec(green, green), (), ())
    async with proving(spec, 0.5) as background:
        await background.proven(WITHIN_S)


if __name__ == "__main__":
    asyncio.run(_prove(*(_end(said) for said in json.load(sys.stdin))))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
