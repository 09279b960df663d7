"""Who the rig's servers run as, and how they are bound to the life of the process that starts them.

PostgreSQL and PgBouncer refuse to run as root, so root starts them as an unprivileged user; anyone else starts them as itself.
A child asks the kernel to be signalled when its parent ends (`PR_SET_PDEATHSIG`, prctl(2)), so that nothing outlives a killed rig.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import signal
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_NOBODY = 65534
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.01
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that servers run as."""

    uid: int
    gid: int

    def owns(self, path: Path) -> None:
        """`path` belongs to this user; where we are that user already nothing has to be done."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Whether this user can enter the folder `path` by its mode bits, all parents included."""
        return all(self._enters(part) for part in (path, *path.parents))

    def _enters(self, folder: Path) -> bool:
        if self.uid == 0:
            return True
        seen = folder.stat()
        if seen.st_uid == self.uid:
            return bool(seen.st_mode & stat.S_IXUSR)
        if seen.st_gid == self.gid:
            return bool(seen.st_mode & stat.S_IXGRP)
        return bool(seen.st_mode & stat.S_IXOTH)


def server_identity() -> Identity:
    """`nobody` when we are root (its customary number where the user database has none), else ourselves."""
    if os.geteuid() != 0:
        return Identity(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Identity(_NOBODY, _NOBODY)
    return Identity(entry.pw_uid or _NOBODY, entry.pw_gid or _NOBODY)


def spawn(
    argv: Sequence[str],
    *,
    log: IO[bytes],
    cwd: Path,
    identity: Identity | None = None,
    death_signal: int = signal.SIGKILL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """A child of its own session, writing to `log`, that gets `death_signal` when we end.

    Call it on a thread that lives as long as the child shall: the kernel watches the thread, not the process.
    """
    extra: dict[str, Any] = {}
    if identity is not None and os.geteuid() == 0:
        extra = {"user": identity.uid, "group": identity.gid, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(env) if env is not None else _clean_environment(),
        start_new_session=True,
        preexec_fn=_bound_to(os.getpid(), death_signal),
        **extra,
    )


async def until_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ended within `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        if process.poll() is not None:
            return True
        await asyncio.sleep(_POLL_S)
    return False


def _clean_environment() -> dict[str, str]:
    # libpq and PostgreSQL read settings of whoever starts the rig from PG*; a server must not.
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


def _bound_to(parent: int, death_signal: int) -> Callable[[], None]:
    def bind() -> None:
        # After the change of user: the kernel forgets the request when credentials change.
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return bind
