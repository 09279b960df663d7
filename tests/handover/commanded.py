"""`cockpit rollback` and `cockpit abort`, without a screen, spoken to the pilot of a test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from cockpit import settling
from cockpit.drill.lead import Lead
from cockpit.errors import CockpitError
from cockpit.model.intents import Ask
from cockpit.model.state import RunState
from cockpit.model.words import Mode
from cockpit.settling import Settled, Wish, settle
from tests.handover.harness import Seat


class Told(Lead):
    """Speaks to the pilot of a test in this process."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    @property
    def state(self) -> RunState:
        return self._seat.state

    async def until(self, holds: Callable[[RunState], bool], within_s: float, what: str) -> RunState:
        return await self._seat.until(lambda s: holds(s) or s.mode is Mode.CLOSED, within_s)

    async def meet(self) -> None:
        pass

    async def leave(self) -> None:
        pass

    async def ask(self, ask: Ask, argument: str = "") -> None:
        reply = await self._seat.ask(ask, argument)
        if not reply.ok:
            raise CockpitError(f"{ask} was refused: {reply.reason}")


async def settled(
    seat: Seat, wish: Wish, monkeypatch: pytest.MonkeyPatch, *, typed: Callable[[], Awaitable[str]] | None = None, ungraceful: bool = False
) -> tuple[Settled, str]:
    """What the command made of the run, and what it said. `typed`: how it is answered at its terminal; it was told beforehand without."""
    lines: list[str] = []
    monkeypatch.setattr(settling, "is_flown", lambda path: True)
    monkeypatch.setattr(settling, "Lead", lambda folder: Told(seat))
    folder = SimpleNamespace(timeline=seat.timeline, name="run")
    if typed is not None:
        monkeypatch.setattr(settling, "typed_meanwhile", typed)
    confirm = "arp" if typed is None else None
    done = await settle(folder, wish, confirm, lines.append, interactive=typed is not None, ungraceful=ungraceful)  # type: ignore[arg-type]
    return done, "\n".join(lines)
