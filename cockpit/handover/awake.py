"""Whether this process stood still: stopped, swapped out, or its machine suspended. Somebody else may have flown on meanwhile.

A process that only did nothing looks the same from inside as one that could not: so `run` turns all the time, and a turn that is late is
what tells. What is asked just after waking finds it whichever task wakes first: the last turn is old then.
"""

from __future__ import annotations

import asyncio
import time

TURN_S = 0.2
STILL_S = 1.5
"""Longer than a busy machine keeps a turn waiting, and shorter than anybody needs to take a run up."""


class Awake:
    """What this process knows of that. Where nothing runs it, it knows nothing."""

    def __init__(self) -> None:
        self._turned: tuple[float, float] | None = None
        self._stood_still = False

    async def run(self) -> None:
        """Turns until cancelled."""
        try:
            while True:
                self._turn()
                await asyncio.sleep(TURN_S)
        finally:
            self._turned = None

    def stood_still(self) -> bool:
        """Whether it did since this was asked last."""
        if self._turned is not None:
            self._turn()
        found, self._stood_still = self._stood_still, False
        return found

    def _turn(self) -> None:
        if self._turned is not None and age(self._turned) > STILL_S:
            self._stood_still = True
        self._turned = clocks()


def awake_or_not() -> float:
    """Seconds of a clock that goes on while the machine is suspended, where it has one (`CLOCK_BOOTTIME`; macOS counts them as monotonic)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def clocks() -> tuple[float, float]:
    """Now, by the loop's clock and by one that goes on while the machine is suspended."""
    return asyncio.get_running_loop().time(), awake_or_not()


def age(since: tuple[float, float]) -> float:
    """Seconds since, by the clock that has gone on for longer."""
    return max(now - then for now, then in zip(clocks(), since, strict=True))
