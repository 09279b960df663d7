"""The pilot's second door: a Unix socket through which other users of this machine see what waits for a second person, and say their word.

    -> {"word":null}                                        what waits is shown
    <- {"ok":true,"seq":412,"offer":{"run":"...","plan_digest":"...","gates":[...],...}}
    -> {"word":{"approve":true,"handover":1,"plan_digest":"...","saw":412,"comment":"...","typed":"arp"}}
    <- {"ok":true,"seq":415,"reason":""}        or   {"ok":false,"seq":414,"reason":"..."}

Nothing else can be asked here, one thing a connection. Who asks is the kernel's word. The pilot's own socket and the run folder stay
private; this door stands in a folder of its own that others may enter but not write to, as `<run>.sock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cockpit.errors import JournalError, LinkError, Refused
from cockpit.model.approvals import Offer, Person, Word
from cockpit.timeline.peers import credentials, peer_of

REQUEST_LIMIT = 16 * 1024
ANSWER_LIMIT = 4 << 20
TALKS = 16
"""Who comes while so many are inside is sent away; of one user `TALKS_EACH` are let in, so that nobody keeps the others out."""
TALKS_EACH = 2
PATIENCE_S = 10.0
_PATH_LIMIT = 100
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Request:
    """`word` None: only to see."""

    word: Word | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    ok: bool
    seq: int = 0
    reason: str = ""
    offer: Offer | None = None


_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the door is, and whom the file system lets through: members of `gid`, or everybody where it is None."""

    folder: Path
    gid: int | None = None
    ours: bool = True
    """The folder is the default one: made, and kept as it must be."""

    def socket(self, run: str) -> Path:
        """`Refused` where the folder's path leaves no room for it."""
        path = self.folder / f"{run}.sock"
        if len(os.fsencode(path)) > _PATH_LIMIT:
            raise Refused("the path is too long for a socket", where=str(path), remedy="name a shorter [cockpit.approvals] folder")
        return path

    def check(self) -> None:
        """`Refused` where the folder is there and somebody else could put another socket into it."""
        try:
            os.close(self._opened())
        except FileNotFoundError:
            return
        except OSError as err:
            raise self._refused(f"cannot be used: {err.strerror}") from None

    def make(self) -> None:
        """The folder is there; one that was there already keeps its mode, unless it is the default one."""
        try:
            made = self._made()
            held = self._opened()
            try:
                if made or self.ours:
                    # By what was opened and looked at, never by its name: in /tmp anybody may put a link there meanwhile.
                    os.fchown(held, -1, -1 if self.gid is None else self.gid)
                    os.fchmod(held, 0o755 if self.gid is None else 0o750)
            finally:
                os.close(held)
        except OSError as err:
            raise self._refused(f"cannot be made: {err.strerror}") from None

    def _made(self) -> bool:
        """Whether it was not there before."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.folder.mkdir(mode=0o700)
        except FileExistsError:
            return False
        return True

    def _opened(self) -> int:
        """A descriptor of the folder itself, which nobody else may write to."""
        held = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        seen = os.fstat(held)
        loose = seen.st_mode & 0o022 and not seen.st_mode & stat.S_ISVTX
        if seen.st_uid not in {0, os.geteuid()} or loose:
            os.close(held)
            raise self._refused("others may put files into this folder, or it is not yours")
        return held

    def _refused(self, what: str) -> Refused:
        return Refused(what, where=str(self.folder), remedy="remove it, or name another [cockpit.approvals] folder")


class SideDoor:
    """The pilot's end. `answer` gets the person and the request; nobody comes in while `closed` says so."""

    def __init__(self, answer: Callable[[Person, Request], Answer], closed: Callable[[], bool]) -> None:
        self._answer = answer
        self._closed = closed
        self._talks: dict[asyncio.Task[None], int] = {}
        """Each talk, and the uid it is with."""
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def open(self, place: Place, run: str) -> None:
        """Others can connect: the socket is nobody else's until its group and mode are set."""
        place.make()
        path = place.socket(run)
        mask = os.umask(0o177)
        try:
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._greet, str(path), limit=REQUEST_LIMIT, backlog=TALKS)
            self._path = path
            if place.gid is not None:
                os.chown(path, -1, place.gid)
            path.chmod(0o666 if place.gid is None else 0o660)
        except OSError as err:
            raise Refused(
                f"cannot be opened: {err.strerror}", where=str(path), remedy="see [cockpit.approvals]: its folder and group"
            ) from None
        finally:
            os.umask(mask)

    async def close(self) -> None:
        """Nobody is connected, and the socket is gone."""
        if self._server is not None:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = credentials(writer.get_extra_info("socket"))[1]
        crowd = len(self._talks) >= TALKS or sum(inside == uid for inside in self._talks.values()) >= TALKS_EACH
        if self._closed() or crowd:
            writer.close()
            return
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks[talk] = uid
        talk.add_done_callback(self._talks.pop)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                # Directory services may take their time: never on the pilot's loop.
                person = await asyncio.to_thread(peer_of, writer.get_extra_info("socket"))
                line = await reader.readline()
                writer.write(_encoder.encode(self._answered(person, line)) + b"\n")
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answered(self, person: Person, line: bytes) -> Answer:
        if self._closed():
            return Answer(False, 0, "a handover is in the air: nothing is answered now")
        try:
            return self._answer(person, _requests.decode(line))
        except msgspec.MsgspecError:
            return Answer(False, 0, "neither a question nor a word")
        except JournalError as err:
            return Answer(False, 0, str(err))


# --- the second person's end ---------------------------------------------------------------------------


def ask(path: Path, request: Request) -> tuple[Answer, int]:
    """The pilot's answer, and the uid that the pilot runs as; `LinkError` where there is none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.settimeout(PATIENCE_S)
            end.connect(str(path))
            pilot = credentials(end)[1]
            end.sendall(_encoder.encode(request) + b"\n")
            line = _line(end)
    except TimeoutError:
        raise LinkError(
            "the pilot did not answer in time: what you said may have been taken", where=str(path), remedy="look again"
        ) from None
    except OSError as err:
        raise LinkError(f"no pilot answers: {err.strerror}", where=str(path), remedy="ask the lead: it may have ended") from None
    try:
        return _answers.decode(line), pilot
    except msgspec.MsgspecError:
        remedy = "look again in a moment" if not line else "ask the lead which version flies"
        raise LinkError(
            "the pilot closed without a word" if not line else "this is no pilot's answer", where=str(path), remedy=remedy
        ) from None


def _line(end: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\n") and len(got) < ANSWER_LIMIT:
        chunk = end.recv(65536)
        if not chunk:
            break
        got += chunk
    return got


def doors(folders: list[Path]) -> Iterator[Path]:
    """Every door in the folders, by name."""
    for folder in folders:
        with contextlib.suppress(OSError):
            yield from sorted(child for child in folder.iterdir() if child.suffix == ".sock")
