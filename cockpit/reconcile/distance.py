"""How far the servers are: what the network takes, and who shares a machine.

That is the servers' word: where a tunnel stands between, the host in the config tells neither. Two containers with addresses of their own
count as two machines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from cockpit.model.words import Side
from cockpit.reconcile.sessions import Line

TRIES = 3
_WHERE = """
SELECT coalesce(inet_server_addr()::text, '') AS machine, inet_server_addr() IS NOT DISTINCT FROM inet_client_addr() AS here
"""


@dataclass(frozen=True, slots=True)
class Distance:
    """`trip_s`: seconds of a round trip to the farther side."""

    trip_s: float = 0.0
    one_machine: bool = False
    """Both servers are on one: what one takes of it, the other's apps miss."""
    here: bool = False
    """One of them is on the machine of this process."""


async def measure(lines: Mapping[Side, Line]) -> Distance:
    """What is true now. `LinkError` names a side out of reach.

    Two servers that call themselves 127.0.0.1 at the ends of two tunnels count as one machine: they are read more slowly than they might be."""
    trips = await asyncio.gather(*(_trip(line) for line in lines.values()))
    told = [(await line.fetch(_WHERE))[0] for line in lines.values()]
    here = [row["here"] for row in told]
    return Distance(max(trips), all(here) or len({row["machine"] for row in told}) == 1, any(here))


async def _trip(line: Line) -> float:
    loop, took = asyncio.get_running_loop(), []
    await line.again("SELECT 1")
    for _ in range(TRIES):
        started = loop.time()
        await line.again("SELECT 1")
        took.append(loop.time() - started)
    return min(took)
