"""A screen under test: a story that stands still, a pilot that records, and what a terminal of some size would show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rich.segment import Segment
from textual.pilot import Pilot

from cockpit.screen.app import CockpitApp
from cockpit.screen.main import MainScreen
from cockpit.screen.options import Options
from tests.screen.demo import Recorder, Story

SIZES = ((80, 24), (120, 40), (200, 60))


@dataclass
class Cockpit:
    """The pieces of a screen under test."""

    app: CockpitApp
    pilot: Pilot[int]
    source: Story
    asked: Recorder

    @property
    def main(self) -> MainScreen:
        screen = self.app.screen
        assert isinstance(screen, MainScreen)
        return screen

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def later(self, seconds: float) -> None:
        """The story's clock goes on, and the screen has looked."""
        self.source.seconds += seconds
        await self.look()

    async def look(self) -> None:
        self.main.tick()
        await self.pilot.pause()

    def segments(self) -> list[list[Segment]]:
        return [list(strip) for strip in self.app.screen._compositor.render_strips()]

    def lines(self) -> list[str]:
        return ["".join(segment.text for segment in line) for line in self.segments()]

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines()) + "\n"

    @property
    def prompt(self) -> str:
        return "\n".join(self.lines()[-2:])

    def intents(self) -> list[str]:
        return [f"{i.ask.value} {i.argument}".strip() for i in self.asked.asked]


@asynccontextmanager
async def cockpit(
    source: Story, size: tuple[int, int] = (80, 24), *, watch: bool = False, options: Options | None = None
) -> AsyncIterator[Cockpit]:
    """A running screen on `source`."""
    recorder = Recorder(source)
    app = CockpitApp(source, None if watch else recorder, options or Options(drill=True, by="ana@bastion"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        made = Cockpit(app, pilot, source, recorder)
        await made.look()
        await made.look()
        yield made
