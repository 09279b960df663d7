"""The fault proxy does to a connection what it says, to those that stand and to new ones, and carries again when it is healed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from cockpit.drill.proxy import DELAY_S, SLOW_BYTES_S, Kind, Proxy

SOON_S = 5.0
BREATH_S = 0.15


@dataclass
class Echo:
    """A server that answers every line with itself and knows how its connections end."""

    heard: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ended.set()
            writer.close()


@asynccontextmanager
async def standing() -> AsyncIterator[tuple[Proxy, Echo, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A proxy before an echo, and one connection through it that has worked."""
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = Proxy("echo", server.sockets[0].getsockname()[1])
    await proxy.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await say(reader, writer, b"before\n") == b"before\n"
    try:
        yield proxy, echo, reader, writer
    finally:
        writer.transport.abort()
        await proxy.close()
        server.close()


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    writer.write(line)
    return await asyncio.wait_for(reader.readline(), SOON_S)


async def afresh(proxy: Proxy) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        return await say(reader, writer, b"afresh\n")
    finally:
        writer.transport.abort()


async def test_refused_resets_what_stands_and_lets_nobody_in() -> None:
    async with standing() as (proxy, _, reader, _writer):
        proxy.strike(Kind.REFUSED)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readline(), SOON_S)
        with pytest.raises(ConnectionRefusedError):
            await afresh(proxy)
        await proxy.heal()
        assert await afresh(proxy) == b"afresh\n"


async def test_reset_lets_the_question_arrive_and_loses_the_answer() -> None:
    async with standing() as (proxy, echo, reader, writer):
        proxy.strike(Kind.RESET)
        with pytest.raises(ConnectionResetError):
            await say(reader, writer, b"asked\n")
        assert echo.heard[-1] == b"asked\n"
        await proxy.heal()
        assert await afresh(proxy) == b"afresh\n"


async def test_a_black_hole_tells_nobody_and_delivers_late() -> None:
    async with standing() as (proxy, echo, reader, writer):
        proxy.strike(Kind.BLACKHOLE)
        writer.write(b"late\n")
        answer = asyncio.create_task(reader.readline())
        done, _ = await asyncio.wait({answer}, timeout=BREATH_S)
        assert not done
        assert echo.heard == [b"before\n"]
        assert not echo.ended.is_set()
        await proxy.heal()
        assert await asyncio.wait_for(answer, SOON_S) == b"late\n"


async def test_half_open_ends_for_the_server_and_stays_silent_for_the_client() -> None:
    async with standing() as (proxy, echo, reader, _writer):
        proxy.strike(Kind.HALF_OPEN)
        await asyncio.wait_for(echo.ended.wait(), SOON_S)
        answer = asyncio.create_task(reader.readline())
        done, _ = await asyncio.wait({answer}, timeout=BREATH_S)
        assert not done
        await proxy.heal()
        (end,) = await asyncio.gather(asyncio.wait_for(answer, SOON_S), return_exceptions=True)
        assert end == b"" or isinstance(end, ConnectionResetError)
        assert await afresh(proxy) == b"afresh\n"


async def test_delayed_takes_its_time_each_way_and_keeps_the_order() -> None:
    async with standing() as (proxy, _, reader, writer):
        proxy.strike(Kind.DELAYED)
        began = time.monotonic()
        writer.write(b"one\n")
        assert await say(reader, writer, b"two\n") == b"one\n"
        assert await asyncio.wait_for(reader.readline(), SOON_S) == b"two\n"
        assert 2 * DELAY_S <= time.monotonic() - began < 4 * DELAY_S


async def test_slow_carries_at_its_rate() -> None:
    async with standing() as (proxy, _, reader, writer):
        proxy.strike(Kind.SLOW)
        line = b"x" * 1999 + b"\n"
        began = time.monotonic()
        assert await say(reader, writer, line) == line
        assert time.monotonic() - began >= len(line) / SLOW_BYTES_S


async def test_far_is_late_although_nothing_is_wrong() -> None:
    async with standing() as (proxy, _, reader, writer):
        proxy.far_s = 0.05
        began = time.monotonic()
        await say(reader, writer, b"far\n")
        assert time.monotonic() - began >= 0.1


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    proxy = Proxy("nobody", 1)
    await proxy.open()
    try:
        with pytest.raises(ConnectionResetError):
            await afresh(proxy)
    finally:
        await proxy.close()
