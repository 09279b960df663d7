"""Whether the pair is still ours. A process that was frozen may wake up when another one flies: it must find out before it acts.

The pair's lock on the servers is the token (`Servers.lock`): it goes with its connections, which the servers drop within 25 s when this
machine stands still (`tcp_keepalives_*`, "Connection Settings"), and whoever holds it then is the owner. A proof counts for `LEASE_S`, so that the
few hundred milliseconds of a window cost no round trip; after that the next action asks anew. Only a server that names another
owner stops us: one that does not answer must not keep the way home closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cockpit.errors import Flown, Refused

LEASE_S = 5.0
"""Far below the time in which a server gives the lock of a silent holder away."""
ASK_S = 1.0
"""Seconds a server has to say so."""


class Lease:
    """The right to act on the pair, renewed by `lock`: it returns when the lock is held, and raises `Refused` when somebody else has it."""

    def __init__(self, lock: Callable[[], Awaitable[None]]) -> None:
        self._lock = lock
        self._proven = float("-inf")

    async def renew(self) -> None:
        """The lock is held now; whatever `lock` raises says why not."""
        await self._lock()
        self._proven = asyncio.get_running_loop().time()

    async def hold(self) -> None:
        """Nobody else is known to own the pair; `Refused` names who does. Costs nothing while the last proof is fresh."""
        if asyncio.get_running_loop().time() - self._proven > LEASE_S:
            await self.ask()

    async def ask(self) -> None:
        """Nobody else is known to own the pair, asked now of whoever answers."""
        try:
            async with asyncio.timeout(ASK_S):
                await self._lock()
        except Refused:
            raise
        except Exception:  # noqa: S110 (who does not answer names nobody; the action itself will meet what is wrong)
            pass
        self._proven = asyncio.get_running_loop().time()


class Inheritance(Lease):
    """The right of a guardian whose pilot is dead: the dead one's hold on the lock, which a server may keep for a while, is its own."""

    def __init__(self, lock: Callable[[], Awaitable[None]], dead: str) -> None:
        super().__init__(lock)
        self._dead = dead

    async def hold(self) -> None:
        try:
            await super().hold()
        except Flown as err:
            if err.owner not in {"", self._dead}:
                raise
