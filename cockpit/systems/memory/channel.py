"""The twin of a channel: a value and its version, changed by compare-and-set."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cockpit.errors import SystemFault
from cockpit.handover.ports import Action, Probe
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.words import Severity, Side
from cockpit.systems.memory.action import RTT_S, MemoryAction, seen
from cockpit.systems.memory.faults import Faults


@dataclass(slots=True, eq=False)
class ChannelState:
    """What every app and every cockpit sees of it."""

    name: str
    side: Side | None = Side.BLUE
    version: int = 1
    staged: bool = False

    def change(self, side: Side | None) -> None:
        """Somebody, perhaps not the cockpit, wrote it."""
        self.side = side
        self.version += 1


@dataclass(slots=True)
class MemoryChannel:
    """`Channel` on a `ChannelState`, as one cockpit process sees it. It remembers the version it last saw."""

    state: ChannelState
    faults: Faults
    findings: tuple[FindingSeen, ...] = ()
    _version: int = 0

    @property
    def name(self) -> str:
        return self.state.name

    async def open(self) -> None:
        async def touch() -> None:
            await asyncio.sleep(RTT_S)
            self._version = self.state.version

        await self.faults.around(f"{self.name}.open", touch)

    async def close(self) -> None:
        return None

    def stage(self) -> Action:
        async def make() -> Evidence:
            self.state.staged = True
            self._version = self.state.version
            return {"staged": ["blue", "green"]}

        return self._action(f"stage {self.name}", lambda: seen(self.state.staged), make, "stage both sides")

    def route(self, side: Side) -> Action:
        async def make() -> Evidence:
            if self.state.side is not side:
                self._compare()
                self.state.change(side)
                self._version = self.state.version
            return {"side": str(side), "version": self.state.version}

        def see() -> Probe:
            return seen(self.state.side is side, side=str(self.state.side), version=self.state.version)

        return self._action(f"route {self.name} to {side}", see, make, f"set {side} where version is the one last seen")

    def _compare(self) -> None:
        if self._version != self.state.version:
            seen_now, self._version = self.state.version, self.state.version
            raise SystemFault(
                f"somebody else changed it: version {seen_now}", where=self.name, remedy="look who did, then go on", code="conflict"
            )

    async def intended(self) -> Side | None:
        async def look() -> Side | None:
            await asyncio.sleep(RTT_S)
            return self.state.side

        return await self.faults.around(f"{self.name}.intended", look)

    async def preflight(self) -> tuple[FindingSeen, ...]:
        good = FindingSeen("P8", self.name, Severity.GOOD, f"names {self.state.side}", "read the value", "")

        async def look() -> tuple[FindingSeen, ...]:
            await asyncio.sleep(RTT_S)
            return (good, *self.findings)

        return await self.faults.around(f"{self.name}.preflight", look)

    def _action(self, name: str, see: Callable[[], Probe], make: Callable[[], Awaitable[Evidence]], text: str) -> Action:
        return MemoryAction(name, self.faults, see, make, ((self.name, text),))
