"""Whether a run's folder still takes what a pilot writes: found out before one is started, which could say so nowhere."""

from __future__ import annotations

import errno
import os
import secrets
import shlex
from contextlib import suppress

from cockpit.errors import JournalError
from cockpit.timeline.folder import RunFolder

LEAST_BYTES = 2 << 20
"""More than settling a handover writes."""
FREE_MB = 16
"""What a lead is asked to free: more than an evening's flight writes."""


def check_room(folder: RunFolder) -> None:
    """The folder takes `LEAST_BYTES` more; `JournalError` says why it does not, and how to go on. Nothing is left there."""
    trial = folder.root / f".room-{secrets.token_hex(4)}"
    try:
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, LEAST_BYTES)
        finally:
            os.close(descriptor)
    except OSError as err:
        raise _no_room(folder, err) from None
    finally:
        with suppress(OSError):
            trial.unlink()


def _no_room(folder: RunFolder, err: OSError) -> JournalError:
    root = folder.root.absolute()
    full = err.errno in {errno.ENOSPC, errno.EDQUOT}
    what = "the disk of the run folder is full" if full else f"the run folder takes nothing: {err.strerror}"
    mend = f"free {FREE_MB} MB there" if full else "mend that"
    copied = f"copy the folder elsewhere (cp -a {shlex.quote(str(root))} DIR) and give the copy's path: it is taken up as the run itself"
    return JournalError(what, where=str(root), remedy=f"{mend}, or {copied}")
