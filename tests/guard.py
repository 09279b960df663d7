"""Fails a test in which an event loop met what nobody handled: a task that died unseen, a callback that raised.

A coroutine that was never awaited is a warning already, and warnings are errors (`filterwarnings`).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

_told = asyncio.BaseEventLoop.call_exception_handler
_loose: list[str] = []


def _note(loop: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
    err = context.get("exception")
    trace = "".join(traceback.format_exception(err)) if err is not None else ""
    _loose.append(f"{context.get('message', '')}\n{trace}")
    _told(loop, context)


asyncio.BaseEventLoop.call_exception_handler = _note  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def no_loose_ends() -> Iterator[None]:
    """What came loose since the test before is this one's, or was left by that one: either way somebody has to look."""
    yield
    loose, _loose[:] = list(_loose), []
    if loose:
        pytest.fail("an event loop met what nobody handled:\n" + "\n".join(loose), pytrace=False)
