"""Processes in one event loop. Each can be killed or frozen between any two of its steps, and what it had sent goes its own way.

A step is what a task does from one `await` to the next. A killed process takes no further step, not even a `finally`: the world
sees what it would see of a real one. Its tasks are ended in order only when the run has been judged (`bury`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any

_CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


class Killed(BaseException):
    """The process was killed at this very instruction."""


@dataclass(slots=True, eq=False)
class Process:
    """One process: its tasks, what it has sent, and what the system does when it ends."""

    name: str
    dead: bool = False
    frozen: bool = False
    asleep: bool = False
    """Its whole machine stands still."""
    buried: bool = False
    machine: Any = None
    """The one that it runs on."""
    requests: list[asyncio.Task[Any]] = field(default_factory=list)
    """Sent, and not answered yet."""
    at_death: list[Callable[[], None]] = field(default_factory=list)
    survives: Callable[[], bool] = lambda: False
    """Whether a request that is under way at the death still takes effect."""
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def halted(self) -> bool:
        return (self.dead or self.frozen or self.asleep) and not self.buried

    @property
    def clock(self) -> Any:
        """Its machine's; None is the world's."""
        return self.machine.clock if self.machine is not None else None

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """The work begins, in this process."""
        context = copy_context()
        context.run(_CURRENT.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    def kill(self) -> None:
        """SIGKILL: no further step; sockets and locks are the system's again."""
        if self.dead:
            return
        self.dead = True
        for request in self.requests:
            if not self.survives():
                request.cancel()
        self.leave()

    def leave(self) -> None:
        """However a process ends: sockets and locks are the system's again."""
        for end in self.at_death:
            end()

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        self._wake()

    def wake(self) -> None:
        self.asleep = False
        self._wake()

    async def bury(self) -> None:
        """No task is left: those of a killed process end without a way to reach anything."""
        self.dead = self.buried = True
        self._wake()
        for _ in range(5):  # what had been called and not yet begun begins: a coroutine that never ran is a warning
            await asyncio.sleep(0)
        for _ in range(50):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1.0)
        await asyncio.gather(*self._tasks, *self.requests, return_exceptions=True)

    def halt(self) -> asyncio.Future[None]:
        """What a step of a halted process waits for."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future._asyncio_future_blocking = True
        self._waiting.append(future)
        return future

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks.append(task)
        if len(self._tasks) > 200:
            self._tasks = [old for old in self._tasks if not old.done()]

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class _Steps(Coroutine[Any, Any, Any]):
    """A coroutine that takes a step only while its process may."""

    __slots__ = ("_inner", "_over", "_owed", "_process")

    def __init__(self, inner: Coroutine[Any, Any, Any], process: Process) -> None:
        self._inner = inner
        self._process = process
        self._owed: tuple[Any, ...] | None = None
        self._over = False

    def send(self, value: Any) -> Any:
        if self._process.halted:
            return self._process.halt()
        if self._owed is not None:
            owed, self._owed = self._owed, None
            return self.throw(*owed)
        if self._over:
            raise asyncio.CancelledError
        try:
            return self._inner.send(value)
        except Killed:
            self._over = True
            return self._process.halt()

    def throw(self, *error: Any) -> Any:
        if self._process.halted:
            self._owed = error
            return self._process.halt()
        if self._over:
            raise asyncio.CancelledError
        try:
            return self._inner.throw(*error)
        except Killed:
            self._over = True
            return self._process.halt()

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        raise TypeError("a task's own")


def current() -> Process | None:
    """The process whose step this is; None for the world's own."""
    return _CURRENT.get()


def clock_of(context: Context) -> Any:
    """The clock that whatever runs in this context goes by; None is the world's."""
    process = context.get(_CURRENT)
    return process.clock if process is not None else None


def factory(loop: asyncio.AbstractEventLoop, work: Any, *, context: Context | None = None) -> asyncio.Task[Any]:
    """Tasks belong to the process that makes them."""
    process = _CURRENT.get() if context is None else context.get(_CURRENT)
    if process is None:
        return asyncio.Task(work, loop=loop, context=context)
    task: asyncio.Task[Any] = asyncio.Task(_Steps(work, process), loop=loop, context=context)
    process.adopt(task)
    return task


def outside(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """The work is the world's: it goes on whatever becomes of who asked for it."""
    return asyncio.get_running_loop().create_task(work, context=Context())
