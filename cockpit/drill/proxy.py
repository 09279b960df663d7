"""A fault proxy of the rig: a TCP way on loopback that can be made to fail as networks do, while it is in use.

    proxy = Proxy("blue", port)
    await proxy.open()            # `proxy.port` leads to `port`
    proxy.strike(Kind.BLACKHOLE)  # from now on, also for connections that stand
    await proxy.heal()

A byte that was taken is delivered, late where the way was closed or slow, or never, where its connection broke: what a partition
does. A way of its own stands between the cockpit and each server, the pooler and the cloud, and between the servers themselves.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from cockpit.drill.servers import HOST

DELAY_S = 0.3
SLOW_BYTES_S = 64_000 / 8
HALF_OPEN_S = 0.05
_CHUNK = 16_384
_PIECE = 400
"""Bytes that a slow way carries at once: a twentieth of a second."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST (socket(7))."""


class Kind(StrEnum):
    """How a way fails."""

    REFUSED = "refused"
    """Nobody listens; what was connected is reset."""
    RESET = "reset"
    """Questions arrive; instead of the answer comes a reset."""
    BLACKHOLE = "blackhole"
    """Nothing arrives and nobody is told; what was sent arrives when the way is healed."""
    HALF_OPEN = "half-open"
    """The server sees the connection end, the client hears nothing any more."""
    DELAYED = "delayed"
    """Everything arrives, 300 ms late, each way."""
    SLOW = "slow"
    """64 kbit/s."""


@dataclass(slots=True, eq=False)
class _Wire:
    """One connection: the client's end and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def reset(self) -> None:
        """Both ends are gone; each peer gets a reset."""
        for end in (self.client, self.server):
            linger(end)
            end.transport.abort()

    def end(self) -> None:
        for end in (self.client, self.server):
            end.transport.abort()
        for task in self.tasks:
            task.cancel()


def linger(end: asyncio.StreamWriter) -> None:
    made = end.get_extra_info("socket")
    if made is not None and made.fileno() >= 0:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class Proxy:
    """The way to one port of this machine."""

    def __init__(self, name: str, upstream: int) -> None:
        self.name = name
        self.port = 0
        self.upstream = upstream
        self.far_s = 0.0
        """Seconds that every byte takes each way although nothing is wrong: the cockpit sits far from its servers."""
        self._kind: Kind | None = None
        self._passes = asyncio.Event()
        self._passes.set()
        self._wires: set[_Wire] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        self._later: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """The way is open; on the same port again when it was before."""
        if self._listening is None:
            self._listening = await asyncio.start_server(self._take, HOST, self.port)
            self.port = self._listening.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Nothing listens and nothing is connected."""
        self._stop_listening()
        for wire in tuple(self._wires):
            wire.end()
        if self._carrying:
            await asyncio.wait(self._carrying)

    def strike(self, kind: Kind) -> None:
        """The way fails in this manner until it is healed."""
        self._kind = kind
        if kind is Kind.REFUSED:
            self._stop_listening()
            for wire in tuple(self._wires):
                wire.reset()
        if kind is Kind.BLACKHOLE:
            self._passes.clear()
        if kind is Kind.HALF_OPEN:
            self._later = asyncio.get_running_loop().call_later(HALF_OPEN_S, self._half_open)

    async def heal(self) -> None:
        """The way carries again; connections that were cut stay cut."""
        if self._later is not None:
            self._later.cancel()
        self._kind = None
        self._passes.set()
        await self.open()

    def _half_open(self) -> None:
        self._passes.clear()
        for wire in self._wires:
            wire.server.transport.abort()

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    # --- what is carried ------------------------------------------------------------------

    def _take(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        carrying = asyncio.get_running_loop().create_task(self._carry(from_client, client))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _carry(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            from_server, server = await asyncio.open_connection(HOST, self.upstream)
        except OSError:
            linger(client)
            client.transport.abort()
            return
        wire = _Wire(client, server)
        self._wires.add(wire)
        ways = (self._one_way(from_client, server), self._one_way(from_server, client, self._answered(wire)))
        wire.tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(wire.tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wire.end()
            await asyncio.gather(*wire.tasks, return_exceptions=True)
            self._wires.discard(wire)

    def _answered(self, wire: _Wire) -> Callable[[], bool]:
        """Told of every answer: whether it was lost with its connection."""

        def lost() -> bool:
            if self._kind is Kind.RESET:
                wire.reset()
            return self._kind is Kind.RESET

        return lost

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: Callable[[], bool] = bool) -> None:
        """Carries until either end is gone."""
        loop = asyncio.get_running_loop()
        taken: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.create_task(self._send(taken, writer, lost))
        try:
            while data := await reader.read(_CHUNK):
                taken.put_nowait((loop.time(), data))
            taken.put_nowait((loop.time(), b""))
            await sending
        except OSError:
            pass
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, taken: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, lost: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            at, data = await taken.get()
            wait = at + (DELAY_S if self._kind is Kind.DELAYED else self.far_s) - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._passes.wait()
            if not data or lost():
                return
            for piece in self._pieces(data):
                if self._kind is Kind.SLOW:
                    await asyncio.sleep(len(piece) / SLOW_BYTES_S)
                writer.write(piece)
            await writer.drain()

    def _pieces(self, data: bytes) -> list[bytes]:
        if self._kind is not Kind.SLOW:
            return [data]
        return [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
