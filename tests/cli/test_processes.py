"""The processes of a run, as the front door starts and ends them."""

from __future__ import annotations

import asyncio
import sys

from cockpit import wiring


async def test_a_pilot_that_has_ended_is_told_nothing() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    assert await process.wait() == 0
    wiring._tell_to_end(process)


async def test_a_pilot_that_flies_is_told_to_end() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import signal; signal.pause()")
    wiring._tell_to_end(process)
    assert await process.wait() == -15
