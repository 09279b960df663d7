"""Runs one program and leaves nothing of it behind: `python -I keeper.py PROGRAM ARGUMENT...`, the standard library alone.

It lives as long as its standard input is held open by whoever started it. When that one closes it, or ends in whatever way, the program
is interrupted (so that it can take back what its server is doing), after a grace it is killed, and so is every process it started, also
one that left its group: on Linux orphans become this process's children (`PR_SET_CHILD_SUBREAPER`, prctl(2)). Its exit code is the
program's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

GRACE_S = 4.0
LAST_S = 3.0
POLL_S = 0.05
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(argv: list[str]) -> int:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, _let_go)
    try:
        program = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=(lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)) if libc is not None else None,
        )
    except OSError as err:
        sys.stdout.write(f"{argv[0]}: cannot be started: {err.strerror}\n")
        return 127
    if not _until_ended_or_left(program):
        _interrupt(program)
    _kill(program)
    code = program.wait()
    _kill_orphans()
    return code if code >= 0 else 128 - code


def _let_go(*_: object) -> None:
    """As if nobody held our input any more."""
    with contextlib.suppress(OSError):
        os.close(0)


def _until_ended_or_left(program: subprocess.Popen[bytes]) -> bool:
    """True when the program ended by itself, False when nobody holds our input any more."""
    while not _ended(program):
        try:
            ready = select.select([0], [], [], POLL_S)[0]
            if ready and not os.read(0, 4096):
                return False
        except (OSError, ValueError):
            return False
    return True


def _ended(program: subprocess.Popen[bytes]) -> bool:
    """Leaves it unreaped: until then its number, which is also its group's, is nobody else's."""
    return os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _interrupt(program: subprocess.Popen[bytes]) -> None:
    _signal_group(program, signal.SIGINT)
    deadline = time.monotonic() + GRACE_S
    while not _ended(program) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _kill(program: subprocess.Popen[bytes]) -> None:
    _signal_group(program, signal.SIGKILL)


def _signal_group(program: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)


def _kill_orphans() -> None:
    deadline = time.monotonic() + LAST_S
    while time.monotonic() < deadline:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(POLL_S)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
