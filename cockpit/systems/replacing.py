"""Replacing a file as a whole: a reader sees the old text or the new one, whole, also after a power cut.

A symbolic link is followed on purpose: the file it leads to is replaced beside itself and the link stays, because a link is how an
operator says where the real file lives (a release folder, a volume); replacing the link would quietly disconnect the two.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, ValidationInfo

from cockpit.errors import OutcomeUnknown, SystemFault

T = TypeVar("T")


def _beside_config(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return Path(folder) / path.expanduser() if folder else path.expanduser()


ConfigPath = Annotated[Path, AfterValidator(_beside_config)]
"""A path in a config: relative to the config's folder."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def real(path: Path) -> Path:
    """The regular file that `path` names, links followed. `SystemFault` when there is none."""
    found = Path(os.path.realpath(path))
    try:
        mode = found.stat().st_mode
    except OSError as err:
        raise fault(path, err) from None
    if not stat.S_ISREG(mode):
        raise SystemFault("is no regular file", where=str(path), remedy="name the file itself", code="EINVAL")
    return found


def read(path: Path) -> bytes:
    """The file's bytes, or `SystemFault`."""
    try:
        return real(path).read_bytes()
    except OSError as err:
        raise fault(path, err) from None


def write_beside(target: Path, suffix: str, data: bytes) -> Path:
    """`data` is on disk in a file beside `target`, with its owner and mode; a rename is all that is left to do."""
    beside = target.with_name(f".{target.name}.cockpit-{suffix}")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            _like(target, descriptor)
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as err:
        beside.unlink(missing_ok=True)
        raise fault(target, err) from None
    return beside


def _like(target: Path, descriptor: int) -> None:
    seen = target.stat()
    if (seen.st_uid, seen.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, seen.st_uid, seen.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(seen.st_mode))


def put(beside: Path, target: Path) -> None:
    """`target` is now what `beside` was; `sync_folder` makes that last."""
    try:
        beside.rename(target)
    except OSError as err:
        raise fault(target, err) from None


def sync_folder(folder: Path) -> None:
    """Renames in the folder survive a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as err:
        raise fault(folder, err) from None


def replace(path: Path, data: bytes) -> None:
    """The file that `path` names holds `data`, durably, with the owner and mode it had."""
    target = real(path)
    put(write_beside(target, "new", data), target)
    sync_folder(target.parent)


def can_replace(path: Path) -> str:
    """Why the file cannot be replaced, or nothing. Tries it: a file is written beside and removed."""
    try:
        target = real(path)
        write_beside(target, "trial", b"").unlink()
    except SystemFault as err:
        return err.what
    except OSError as err:
        return err.strerror or str(err)
    return ""


def fault(path: Path, err: OSError) -> SystemFault:
    """The operating system's own word on it."""
    name = err.strerror or type(err).__name__
    return SystemFault(name, where=str(path), remedy="check the path and who may write it", code=str(err.errno))


class Desk:
    """One file's work on a thread, one piece after the other, so that a file system that hangs holds nothing else up.

    A piece whose caller has given up is not begun any more: it cannot land after one that was asked for later.
    """

    def __init__(self, where: str, deadline_s: float) -> None:
        self.where = where
        self.deadline_s = deadline_s
        self._turn = threading.Lock()

    async def do(self, work: Callable[[], T]) -> T:
        """What the work returned; `OutcomeUnknown` when it did not within the deadline."""
        given_up = threading.Event()

        def alone() -> T:
            with self._turn:
                if given_up.is_set():
                    raise InterruptedError
                return work()

        try:
            async with asyncio.timeout(self.deadline_s):
                return await asyncio.to_thread(alone)
        except TimeoutError:
            why = f"the file system gave no answer in {self.deadline_s:g} s"
            raise OutcomeUnknown(why, where=self.where, remedy="look at the file before anything else") from None
        finally:
            given_up.set()


class Prepared:
    """Texts for one file, on disk beside it before they are needed, so that putting one in place is a rename."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready: dict[str, tuple[bytes, Path]] = {}

    def stage(self, key: str, data: bytes) -> None:
        """`data` is on disk under `key`."""
        if not self.staged(key, data):
            self._ready[key] = (data, write_beside(real(self.path), key, data))

    def staged(self, key: str, data: bytes) -> bool:
        ready = self._ready.get(key)
        return ready is not None and ready[0] == data and ready[1].exists()

    def put(self, key: str, data: bytes) -> None:
        """The file holds `data`: by a rename where exactly that was staged. `sync_folder` makes it last."""
        self.stage(key, data)
        put(self._ready.pop(key)[1], real(self.path))

    def clear(self) -> None:
        """No prepared file is left."""
        for _, beside in self._ready.values():
            beside.unlink(missing_ok=True)
        self._ready.clear()
