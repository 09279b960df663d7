"""Each machine's own clock, on one loop: one that was suspended is behind the world by as long as it slept, and so is every timer of it."""

from __future__ import annotations

import asyncio
import heapq
from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from cockpit.systems.memory import WarpLoop
from tests.simulate.process import clock_of, current


@dataclass(slots=True, eq=False)
class Clock:
    """What a machine's monotonic clock says."""

    behind: float = 0.0
    """Seconds that it did not count."""
    stopped: float | None = None
    """The world's time when it was suspended."""
    held: list[TimerHandle] = field(default_factory=list)


class Loop(WarpLoop):
    """`time()` is the clock of the machine whose step this is, the world's where it is nobody's."""

    def time(self) -> float:
        process = current()
        clock = process.clock if process is not None else None
        if clock is None:
            return self._now
        return (self._now if clock.stopped is None else clock.stopped) - clock.behind

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> TimerHandle:
        process = current()
        behind = process.clock.behind if process is not None and process.clock is not None else 0.0
        return super().call_at(when + behind, callback, *args, context=context)

    def suspend(self, clock: Clock) -> None:
        """No timer of this machine is due before it is awake again."""
        clock.stopped = self._now
        theirs = [timer for timer in self._scheduled if not timer.cancelled() and clock_of(timer._context) is clock]
        clock.held += theirs
        self._scheduled = [timer for timer in self._scheduled if timer not in theirs]
        heapq.heapify(self._scheduled)
        for timer in theirs:
            timer._scheduled = False

    def resume(self, clock: Clock) -> None:
        """Its timers have as long to go as they had."""
        if clock.stopped is None:
            return
        slept, clock.stopped = self._now - clock.stopped, None
        clock.behind += slept
        held, clock.held = clock.held, []
        for timer in held:
            if not timer.cancelled():
                timer._when += slept
                timer._scheduled = True
                heapq.heappush(self._scheduled, timer)


def loop() -> Loop:
    running = asyncio.get_running_loop()
    assert isinstance(running, Loop)
    return running
