"""An event loop whose clock jumps: when nothing is ready, the next timer is due at once, so hours pass in milliseconds.

Everything else is asyncio's own loop: sockets of this process work, and what is ready runs before time moves. Work given to an
executor runs at once, in order, on the loop's own thread, so that a run with one seed is the same run every time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

DAY = 86_400.0


class Stalled(RuntimeError):
    """Nothing is ready, no timer is set and no socket is watched: the program waits for something that cannot happen."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: it tells the loop's clock to move on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.jump: Callable[[float], None] = lambda seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        alone = len(self.get_map()) <= 1  # asyncio's own wake-up socket only
        ready = [] if alone else super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is not None:
            self.jump(timeout)
            return []
        if alone:
            raise Stalled("every task waits and nothing can wake one")
        return super().select(None)


class WarpLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 1000.0 and moves only when every task waits."""

    def __init__(self) -> None:
        self._now = 1000.0
        selector = _JumpingSelector()
        selector.jump = self._jump
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def world_time(self) -> float:
        """What `time()` says where no clock of anybody is behind."""
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += max(seconds, 0.0)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as err:
            future.set_exception(err)
        return future


def run_warped(main: Coroutine[Any, Any, T], *, limit_s: float = DAY) -> T:
    """The result of `main`, run on a fresh `WarpLoop`; `TimeoutError` when it is not done after `limit_s` of the loop's own seconds."""

    async def bounded() -> T:
        async with asyncio.timeout(limit_s):
            return await main

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        return runner.run(bounded())
