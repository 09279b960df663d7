"""A desired state of a channel or a pooler, from its parts: what it is called, what it would send, how it is seen and made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cockpit.errors import LinkError
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.words import Known


@dataclass(frozen=True, slots=True)
class Desired:
    """`Action` of the systems that are no server of the pair."""

    name: str
    statements: tuple[Statement, ...]
    look: Callable[[], Awaitable[Probe]]
    make: Callable[[], Awaitable[Evidence]]

    def describe(self) -> tuple[Statement, ...]:
        return self.statements

    async def probe(self) -> Probe:
        """`unknown` where the system does not answer."""
        try:
            return await self.look()
        except LinkError as err:
            return Probe(Known.UNKNOWN, {"error": str(err)})

    async def apply(self) -> Evidence:
        return await self.make()


def seen(is_so: bool, **evidence: object) -> Probe:
    """A look that found out."""
    return Probe(Known.DONE if is_so else Known.PENDING, evidence)
