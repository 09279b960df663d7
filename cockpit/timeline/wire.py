"""The wire between a screen and the pilot: a Unix socket, one JSON object a line each way, one reply an intent, in order.

    -> {"ask":"go","by":"ana@bastion","saw":412,"argument":"arp"}
    <- {"ok":true,"seq":413,"reason":""}         or   {"ok":false,"seq":412,"reason":"type arp to confirm"}

The socket lives in a private folder (0700) and is itself 0600: who may open it is decided by the file system. Each intent gets the
uid that the kernel tells of its sender, where it tells. A refusal is an
answer, not an error; `LinkError` means that the pilot could not be asked or did not answer in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from cockpit.errors import LinkError, Refused
from cockpit.model.intents import Intent
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.peers import credentials

LINE_LIMIT = 64 * 1024
_encoder = msgspec.json.Encoder()
_intents = msgspec.json.Decoder(Intent)


@dataclass(frozen=True, slots=True)
class Reply:
    """The pilot's answer. `seq` is the newest event then; `reason` says why it was refused, or what came of it."""

    ok: bool
    seq: int
    reason: str = ""


_replies = msgspec.json.Decoder(Reply)


class PilotLink:
    """Asks a pilot. Connects on the first ask and again after a break."""

    def __init__(self, path: Path, deadline: float = 5.0) -> None:
        self._path = path
        self._deadline = deadline
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def ask(self, intent: Intent) -> Reply:
        """The pilot's reply; `LinkError` when there is none within the deadline."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._deadline):
                    return await self._exchange(intent)
            except TimeoutError:
                await self.close()
                raise LinkError("the pilot did not answer in time", where=str(self._path), remedy="look at the timeline") from None
            except (OSError, EOFError, msgspec.MsgspecError) as err:
                await self.close()
                raise LinkError(f"the pilot cannot be reached ({type(err).__name__})", where=str(self._path)) from None
            except BaseException:
                await self.close()
                raise

    async def _exchange(self, intent: Intent) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(str(self._path), limit=LINE_LIMIT)
        reader, writer = self._streams
        writer.write(_encoder.encode(intent) + b"\n")
        await writer.drain()
        line = await reader.readline()
        if not line:
            raise EOFError
        return _replies.decode(line)

    async def close(self) -> None:
        """The connection is closed."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            await _closed(writer)


class FolderLink:
    """Asks the pilot of a run folder; the folder may not be there yet when the screen opens."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._link: PilotLink | None = None

    async def ask(self, intent: Intent) -> Reply:
        """The pilot's reply; `LinkError` when there is none."""
        if self._link is None:
            self._link = PilotLink(self._folder.socket)
        return await self._link.ask(intent)

    async def close(self) -> None:
        """The connection is closed, where there was one."""
        if self._link is not None:
            await self._link.close()


class Door:
    """The pilot's end: passes each intent to `answer` and sends its reply."""

    def __init__(self, answer: Callable[[Intent], Awaitable[Reply]]) -> None:
        self._answer = answer
        self._talks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, path: Path) -> None:
        """Screens can connect; the socket is 0600 from its first instant."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._greet, str(path), limit=LINE_LIMIT)
        finally:
            os.umask(mask)

    async def close(self) -> None:
        """No screen is connected, and none can connect."""
        if self._server is not None:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            uid = _uid(writer)
            while line := await reader.readline():
                try:
                    reply = await self._answer(replace(_intents.decode(line), uid=uid))
                except msgspec.MsgspecError:
                    reply = Reply(False, 0, "not an intent")
                writer.write(_encoder.encode(reply) + b"\n")
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            await _closed(writer)


def _uid(writer: asyncio.StreamWriter) -> int | None:
    """Whose process is at the other end; None on a system that does not tell."""
    try:
        return credentials(writer.get_extra_info("socket"))[1]
    except Refused:
        return None


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
