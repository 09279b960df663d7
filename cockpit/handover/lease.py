"""Whether the pair is still ours. A process that was frozen may wake up when another one flies: it must find out before it acts.

The pair's lock on the servers says so (`Servers.lock`): it goes with its connections, which the servers drop within 25 s when this
machine stands still (`tcp_keepalives_*`, "Connection Settings"), and whoever holds it then is the owner; a lock that is free again is ours
only while nobody sat down on the pair since. A proof counts for `LEASE_S`, also of a clock that goes on while the machine is suspended, so
that the few hundred milliseconds of a window cost no round trip; after that, or when a connection that held the lock broke, the next action
asks anew. Only a server that names another owner stops us: one that does not answer must not keep the way home closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cockpit.errors import Flown, HalfHeard, Refused, Superseded, Unheard
from cockpit.handover.awake import Awake, age, clocks

LEASE_S = 5.0
"""Far below the time in which a server gives the lock of a silent holder away."""
ASK_S = 5.0
"""Seconds that the first word of a server is waited for: a connection that is made anew takes eight round trips, of 0.6 s each on the worst
line. Who gets none goes on: both servers may be gone, and what a fence changes it compares itself. The question stays asked meanwhile. Where
one side answers and the other does not, the lock itself does not wait that long."""

_UNDER_WAY: set[asyncio.Task[None]] = set()
"""Questions without an answer; a loop keeps no task by itself ("Coroutines and Tasks", `create_task`)."""


class Lease:
    """The right to act on the pair, renewed by `lock`: it returns when the lock is held, and raises `Refused` when somebody else has it.
    `lost`: a connection that held it broke. `awake`: whether this process stood still, after which it acts only on a server's word."""

    def __init__(self, lock: Callable[[], Awaitable[None]], lost: Callable[[], bool] = lambda: False, awake: Awake | None = None) -> None:
        self._lock = lock
        self._lost = lost
        self.awake = awake or Awake()
        self._seen_lost = False
        self._asking: tuple[asyncio.Task[None], tuple[float, float]] | None = None
        """A question that has no answer yet, and when it was asked."""
        self.needs_word = False
        """This process stood still: it acts only once a server has said whose the pair is."""
        self.superseded = ""
        """Who took the pair up since, once that was said."""
        self._lost_to: Superseded | None = None
        self._proven = (float("-inf"), float("-inf"))

    async def renew(self) -> None:
        """The lock is held now, on both sides; whatever `lock` raises says why not. A side that is only silent so far is asked until the caller
        has waited long enough."""
        while True:
            asked = clocks()
            try:
                await self._lock()
            except Superseded as err:
                self.lose(err)
                raise
            except HalfHeard as err:
                if not err.silent:
                    raise
                continue
            return self._prove(asked)

    async def hold(self) -> None:
        """Nobody else is known to own the pair; `Refused` names who does. Costs nothing while the last proof is fresh."""
        late = self._asking is not None and self._asking[0].done()
        if late or self._lost_to or age(self._proven) > LEASE_S or (self._lost() and not self._seen_lost):
            await self.ask()

    async def ask(self) -> None:
        """Nobody else is known to own the pair, asked now of whoever answers. What a server says is true of the time it was asked: who stood
        still before the answer was read asks again. A question that is not answered in time is not begun anew, but waited for again."""
        self.needs_word = self.awake.stood_still() or self.needs_word
        while True:
            if self._lost_to is not None:
                raise self._lost_to
            task, asked = self._asking = self._asking or (self._question(), clocks())
            try:
                await asyncio.wait({task}, timeout=ASK_S)
            except asyncio.CancelledError:
                self.close()
                raise
            if not task.done():
                self._unheard()
                return self._prove(clocks())  # nobody is named: who is silent now is waited for again when this is old
            if self._asking is not None and self._asking[0] is task:
                self._asking = None
            if task.cancelled():
                continue  # by another who waited for it, and no server's word
            if age(asked) > LEASE_S and not isinstance(task.exception(), Superseded):
                continue
            if self._counts(task):
                self._prove(asked)
            return

    def lose(self, to: Superseded) -> None:
        """Somebody took the pair up since, as a server said that met an action of ours: nothing is held any more."""
        self.superseded, self._lost_to = to.brief, to

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        if self._asking is not None:
            self._asking[0].cancel()
            self._asking = None

    def void(self) -> None:
        """The next action asks anew, whatever was proven."""
        self._proven = (float("-inf"), float("-inf"))

    def _prove(self, asked: tuple[float, float]) -> None:
        """A connection that is not up again by now is asked for when the proof is old, and not for every action."""
        self._proven, self._seen_lost = asked, self._lost()

    def _question(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._locked())
        _UNDER_WAY.add(task)
        task.add_done_callback(_heard)
        return task

    async def _locked(self) -> None:
        await self._lock()

    def _counts(self, answered: asyncio.Task[None]) -> bool:
        """Whether the answer lets us act until it is old. Only who is refused is stopped: who does not answer names nobody, and the action
        itself will meet what is wrong."""
        err = answered.exception()
        if isinstance(err, Superseded):
            self.lose(err)
        if err is not None and not isinstance(err, Refused | HalfHeard):
            self._unheard()
        self.needs_word = False
        if isinstance(err, Refused):
            raise err
        return True

    def _unheard(self) -> None:
        if self.needs_word:
            raise Unheard("this process stood still, and no server says whose the pair is now", remedy="look at both servers")


class Inheritance(Lease):
    """The right of a guardian whose pilot is dead: the dead one's hold on the lock, which a server may keep for a while, is its own."""

    def __init__(
        self, lock: Callable[[], Awaitable[None]], dead: str, lost: Callable[[], bool] = lambda: False, awake: Awake | None = None
    ) -> None:
        super().__init__(lock, lost, awake)
        self._dead = dead

    def _counts(self, answered: asyncio.Task[None]) -> bool:
        try:
            return super()._counts(answered)
        except Superseded:
            raise
        except Flown as err:
            if err.owner not in {"", self._dead}:
                raise
        return False


def _heard(answered: asyncio.Task[None]) -> None:
    """Its error is for whoever waits for it, if anybody still does."""
    _UNDER_WAY.discard(answered)
    if not answered.cancelled():
        answered.exception()
