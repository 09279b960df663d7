"""The thread between pilot and guardian: a socket pair, one JSON object a line.

    pilot -> guardian   {"beat": 12.5}  five times a second      {"stage": "stalled", "direction": "cutover"}
    guardian -> pilot   {"ready": true} once it could take over  {"beat": 12.6}  five times a second

Either side seeing the other's end close, or no beat for `SILENT_S`, takes it for dead or hung. A stage is sent before the effect
it announces, so that a guardian without a disk still knows which way is home.
"""

from __future__ import annotations

import asyncio
import json
import socket
from enum import StrEnum

from cockpit.model.words import Direction

BEAT_S = 0.2
SILENT_S = 3.0
"""A healthy event loop beats fifteen times in this; a garbage collection or a slow fsync stays far below."""

UNRECORDABLE = 74
"""Exit code of a pilot whose timeline takes no record any more (EX_IOERR of sysexits.h)."""

HALF_WAY = 75
"""Exit code of a pilot that was told to end while a handover is half way: it left the run open, to be taken up (EX_TEMPFAIL)."""


class Stage(StrEnum):
    SETTLED = "settled"
    """Nothing in the air, or nothing touched yet."""
    STEERING = "steering"
    """Channels may lead to the target; writes flow; home is the origin."""
    STALLED = "stalled"
    """Writes may be stalled; home is the origin."""
    RETURNED = "returned"
    """Past the point of no return; forward."""


class Watch:
    """The pilot's end. Without a guardian (`Watch(None)`) `missing` says so and a gate holds."""

    def __init__(self, end: socket.socket | None) -> None:
        self._end = end
        self._ready = False
        self._heard: float | None = None
        self._stage: dict[str, object] = {}
        if end is not None:
            end.setblocking(False)

    def missing(self) -> str:
        """Why no guardian watches; empty while one does."""
        if self._end is None:
            return "there is no guardian"
        if not self._ready or self._heard is None:
            return "the guardian is not ready yet"
        silent = asyncio.get_running_loop().time() - self._heard
        return f"the guardian has been silent for {silent:.0f} s" if silent > SILENT_S else ""

    def stage(self, stage: Stage, direction: Direction) -> None:
        """The guardian has been told; a guardian that is gone changes nothing for a handover in the air."""
        self._stage = {"stage": stage, "direction": direction}
        self._send(self._stage)

    async def run(self) -> None:
        """Beats and listens until cancelled or the guardian's end closes."""
        if self._end is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(self._listen(self._end))

    async def _beat(self) -> None:
        while self._end is not None:
            self._send({"beat": asyncio.get_running_loop().time(), **self._stage})
            await asyncio.sleep(BEAT_S)

    async def _listen(self, end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        while chunk := await _receive(loop, end):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._heard = loop.time()
                self._ready = self._ready or "ready" in json.loads(line)
        self._end = None

    def _send(self, message: dict[str, object]) -> None:
        """Where the thread is full the message is lost, or its end is: every beat says the stage again."""
        if self._end is None:
            return
        try:
            self._end.send(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # a full or closed thread: the guardian notices the silence, the gate notices the guardian


async def _receive(loop: asyncio.AbstractEventLoop, end: socket.socket) -> bytes:
    try:
        return await loop.sock_recv(end, 65536)
    except OSError:
        return b""
