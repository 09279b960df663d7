"""A console whose connection is gone at the very moment at which it is to be dropped."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from cockpit.errors import LinkError, OutcomeUnknown
from cockpit.model.settings import Endpoint
from cockpit.systems.pgbouncer.console import Console


class Closed:
    """psycopg's connection, as it is when the server closed it: it has no descriptor any more."""

    closed = False

    def __init__(self) -> None:
        self.pgconn = self
        self.asked = asyncio.Event()
        self.end = asyncio.Event()

    async def execute(self, text: str) -> Any:
        self.asked.set()
        await self.end.wait()
        raise psycopg.OperationalError("the connection is closed")

    def fileno(self) -> int:
        raise psycopg.OperationalError("the connection is closed")

    def finish(self) -> None:
        self.end.set()

    async def close(self) -> None:
        self.end.set()


async def test_no_answer_from_a_closed_connection_is_still_unknown() -> None:
    console, closed = Console(Endpoint("127.0.0.1", 1, "pgbouncer", "ops"), "pgbouncer pool-1"), Closed()
    console._conn = closed  # type: ignore[assignment]
    with pytest.raises(OutcomeUnknown):
        await console.ask("PAUSE", 0.01, effect=True)
    closed.end.set()
    with pytest.raises(LinkError):
        await console.ask("SHOW DATABASES", 0.5)
    await console.close()


async def test_a_cancelled_call_on_a_closed_connection_stays_cancelled() -> None:
    console, closed = Console(Endpoint("127.0.0.1", 1, "pgbouncer", "ops"), "pgbouncer pool-1"), Closed()
    console._conn = closed  # type: ignore[assignment]
    task = asyncio.create_task(console.ask("PAUSE", 5, effect=True))
    await closed.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closed.end.set()
    await console.close()
