"""Faults, injected by the name of a call: what a network, a server or a person does to a cockpit at the worst moment.

A call's name is `apply fence blue on`, `probe fence blue on`, `servers.census blue`, `pooler-1.sample`: shell patterns match it,
and a pattern without `apply`, `probe` or a dot means `apply`. Every call that was made is kept in `calls`, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

from cockpit.errors import CockpitError, LinkError, OutcomeUnknown
from cockpit.model.words import Side

T = TypeVar("T")


class Trouble(StrEnum):
    ERROR = "error"
    """Fails before any effect, with `error` (a `LinkError` unless another is given; any exception, as a foreign driver may raise)."""
    LOST = "lost"
    """Takes effect, then the answer is lost: `OutcomeUnknown`."""
    HANG = "hang"
    """No effect, and no answer until cancelled or until the call's own deadline, `seconds` later (0: it has none)."""
    HANG_AFTER = "hang-after"
    """Takes effect, and gives no answer until cancelled or until the call's own deadline, `seconds` later (0: it has none)."""
    DELAY = "delay"
    """Takes effect `seconds` later, then answers."""
    LATE = "late"
    """`OutcomeUnknown` at once; the effect comes `seconds` later all the same."""
    PARTIAL = "partial"
    """Half of the effect, where the action has halves (else none), then `OutcomeUnknown`: the connection broke in the middle."""


@dataclass(slots=True)
class Fault:
    """`kind` happens to the `nth` call that `on` matches (from 1), and to the `times - 1` after it (0: for ever)."""

    on: str
    kind: Trouble
    nth: int = 1
    times: int = 1
    seconds: float = 0.0
    error: Exception | None = None
    seen: int = 0

    def strikes(self, call: str) -> bool:
        """Counts a matching call; true where it is one of those that fail."""
        if not self._matches(call):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times == 0 or self.seen < self.nth + self.times)

    def _matches(self, call: str) -> bool:
        named = self.on.startswith(("apply ", "probe ", "*")) or "." in self.on
        return fnmatchcase(call, self.on if named else f"apply {self.on}")


@dataclass(slots=True)
class Faults:
    """What goes wrong in one world, and every call that was made."""

    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    cut: set[Side] = field(default_factory=set)
    """Sides that the cockpit cannot reach; apps, poolers and replication still can."""
    link_timeout_s: float = 1.0
    """Seconds after which a call on a cut link gives up."""
    heard: list[Callable[[str], None]] = field(default_factory=list)
    """Told of every call before it is made: what a scripted world waits for."""
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    def add(
        self, on: str, kind: Trouble | str, *, nth: int = 1, times: int = 1, seconds: float = 0.0, error: Exception | None = None
    ) -> Fault:
        """A new fault, armed."""
        fault = Fault(on, Trouble(kind), nth, times, seconds, error)
        self.faults.append(fault)
        return fault

    def clear(self) -> None:
        """Nothing goes wrong from now on."""
        self.faults.clear()
        self.cut.clear()

    def link_down(self, *sides: Side) -> None:
        self.cut.update(sides)

    def link_up(self, *sides: Side) -> None:
        self.cut.difference_update(sides)

    async def around(
        self, call: str, effect: Callable[[], Awaitable[T]], sides: Iterable[Side] = (), half: Callable[[], None] | None = None
    ) -> T:
        """The result of `effect`, or what the faults make of it. `half` is what is left when it breaks off in the middle."""
        self.calls.append(call)
        for listener in tuple(self.heard):
            listener(call)
        struck = [fault for fault in self.faults if fault.strikes(call)]
        await self._link(call, sides)
        for fault in struck:
            return await self._strike(fault, call, effect, half)
        return await effect()

    async def _link(self, call: str, sides: Iterable[Side]) -> None:
        for side in sides:
            if side in self.cut:
                await asyncio.sleep(self.link_timeout_s)
                raise LinkError("no answer", where=f"{side}: {call}", remedy="check the network between the cockpit and the server")

    async def _strike(self, fault: Fault, call: str, effect: Callable[[], Awaitable[T]], half: Callable[[], None] | None) -> T:
        if fault.kind is Trouble.ERROR:
            raise fault.error or LinkError("connection refused", where=call)
        if fault.kind is Trouble.HANG:
            await _long(fault.seconds)
            raise LinkError("no answer", where=call)
        if fault.kind is Trouble.LATE:
            self._later(fault.seconds, effect)
            raise OutcomeUnknown("no answer", where=call)
        if fault.kind is Trouble.PARTIAL:
            (half or _nothing)()
            raise OutcomeUnknown("the connection broke in the middle", where=call)
        if fault.kind is Trouble.DELAY:
            await asyncio.sleep(fault.seconds)
        result = await effect()
        if fault.kind is Trouble.LOST:
            raise OutcomeUnknown("no answer", where=call)
        if fault.kind is Trouble.HANG_AFTER:
            await _long(fault.seconds)
            raise OutcomeUnknown("no answer", where=call)
        return result

    def _later(self, seconds: float, effect: Callable[[], Awaitable[object]]) -> None:
        async def come() -> None:
            await asyncio.sleep(seconds)
            try:
                await effect()
            except CockpitError:
                pass  # nobody waits for this answer any more

        task = asyncio.get_running_loop().create_task(come())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def stop(self) -> None:
        """No late effect is under way."""
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)


async def _long(seconds: float) -> None:
    if not seconds:
        await asyncio.Event().wait()
    await asyncio.sleep(seconds)


def _nothing() -> None:
    return None
