"""The apps' own counters, where they keep them in a file that is replaced whole several times a second.

`{"mono": 1234.5, "apps": {"billing": {"writes": 10, "writes_s": 3.2, "errors": 0, "last_ack_mono": 1234.4}}}`; `mono` is
CLOCK_MONOTONIC of this machine, by which the file's age is known. What is old, torn or not there is absent, never zero.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cockpit.model.text import plain

STALE_S = 2.0
DEADLINE_S = 1.0
MOST_BYTES = 4_000_000


class NoFeed:
    """Apps that offer no counters."""

    async def writes_s(self) -> dict[str, float]:
        return {}


class FileFeed:
    """`Feed` on one file. `clock` is the machine's monotonic clock, which apps stamp the file with."""

    def __init__(self, path: Path, *, stale_s: float = STALE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.stale_s = stale_s
        self._clock = clock

    async def writes_s(self) -> dict[str, float]:
        """By app; empty when the file is older than `stale_s` seconds or cannot be read."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                content = await asyncio.to_thread(self._content)
        except (TimeoutError, OSError, ValueError, RecursionError):
            return {}
        mono, apps = (content.get("mono"), content.get("apps")) if isinstance(content, dict) else (None, None)
        if not isinstance(apps, dict) or not self._fresh(mono):
            return {}
        return {plain(name, 80): float(rate) for name, app in apps.items() if _number(rate := _rate(app))}

    def _content(self) -> Any:
        with self.path.open("rb") as file:
            return json.loads(file.read(MOST_BYTES))

    def _fresh(self, mono: Any) -> bool:
        # A stamp from the future is another machine's clock or another boot's: no age can be told from it.
        return _number(mono) and -0.1 <= self._clock() - mono <= self.stale_s


def _rate(app: Any) -> Any:
    return app.get("writes_s") if isinstance(app, dict) else None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
