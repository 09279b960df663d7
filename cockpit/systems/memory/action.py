"""A desired state of the twins: what a real action is, without a wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.words import Known, Side
from cockpit.systems.memory.faults import Faults

RTT_S = 0.0003
"""What one call costs, in the loop's own seconds."""


@dataclass(frozen=True, slots=True)
class MemoryAction:
    """`see` tells whether it is so, `make` makes it so; both go through the world's faults."""

    name: str
    faults: Faults
    see: Callable[[], Probe]
    make: Callable[[], Awaitable[Evidence]]
    texts: tuple[tuple[str, str], ...]
    sides: tuple[Side, ...] = field(default=())
    half: Callable[[], None] | None = None
    """What is so when `make` breaks off in the middle; None where it is done whole or not at all."""

    def describe(self) -> tuple[Statement, ...]:
        return tuple(Statement(target, text) for target, text in self.texts)

    async def probe(self) -> Probe:
        async def look() -> Probe:
            await asyncio.sleep(RTT_S)
            return self.see()

        return await self.faults.around(f"probe {self.name}", look, self.sides)

    async def apply(self) -> Evidence:
        async def make() -> Evidence:
            await asyncio.sleep(RTT_S)
            return await self.make()

        return await self.faults.around(f"apply {self.name}", make, self.sides, self.half)


def seen(is_so: bool, **evidence: object) -> Probe:
    """A probe that found out."""
    return Probe(Known.DONE if is_so else Known.PENDING, evidence)
