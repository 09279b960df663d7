"""The thread between pilot and guardian where one end was not read for minutes: what was lost on it is told again, what was torn is passed over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cockpit.handover.guardian import Guardian
from cockpit.handover.watch import BEAT_S, Stage, Watch
from cockpit.model.words import Direction
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.crashed import owner

BEAT = b'{"beat": 1.0}\n'


@asynccontextmanager
async def thread(before: Callable[[Watch, socket.socket], None]) -> AsyncIterator[tuple[Watch, Guardian]]:
    """A pilot's end that beats, and the guardian that listens to it from after `before` on."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        watch, guardian = Watch(theirs), Guardian(MemoryWorld(seed=1).world(), Path("none"), 300.0, owner)
        before(watch, theirs)
        tasks = [asyncio.create_task(guardian._listen(ours)), asyncio.create_task(watch.run())]
        yield watch, guardian
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def fill(end: socket.socket) -> None:
    """Beats until the thread takes no more."""
    with suppress(BlockingIOError):
        while True:
            end.send(BEAT)


@pytest.mark.parametrize("stage", [Stage.SETTLED, Stage.RETURNED])
def test_a_stage_that_a_full_thread_lost_is_told_with_every_beat(stage: Stage) -> None:
    """A guardian that stood still for minutes would bring home, when its pilot ends, what was landed long ago."""

    async def main() -> None:
        def not_read(watch: Watch, end: socket.socket) -> None:
            watch.stage(Stage.STALLED, Direction.ROLLBACK)
            fill(end)
            watch.stage(stage, Direction.ROLLBACK)

        async with thread(not_read) as (_, guardian):
            await asyncio.sleep(2 * BEAT_S)
            assert (guardian._stage, guardian._direction) == (stage, Direction.ROLLBACK)

    run_warped(main())


@pytest.mark.parametrize("torn", [b'{"stage": "stal', b'{"beat": 1', b'{"stage": "no such stage", "direction": "cutover"}\n', b"\xd0"])
def test_a_torn_message_is_passed_over(torn: bytes) -> None:
    async def main() -> None:
        async with thread(lambda watch, end: end.sendall(torn + BEAT)) as (watch, guardian):
            await asyncio.sleep(2 * BEAT_S)
            watch.stage(Stage.STALLED, Direction.CUTOVER)
            heard = guardian._heard
            await asyncio.sleep(2 * BEAT_S)
            assert guardian._stage is Stage.STALLED
            assert guardian._heard > heard

    run_warped(main())


def test_a_stage_that_is_told_again_changes_nothing() -> None:
    """What the downtime budget is counted from stays so, and so does a way home from beyond the return."""

    async def main() -> None:
        async with thread(lambda watch, end: watch.stage(Stage.RETURNED, Direction.CUTOVER)) as (watch, guardian):
            await asyncio.sleep(2 * BEAT_S)
            watch.stage(Stage.STALLED, Direction.CUTOVER)
            await asyncio.sleep(BEAT_S)
            since = guardian._stalled_since
            await asyncio.sleep(10 * BEAT_S)
            assert since is not None
            assert guardian._stalled_since == since
            assert guardian._turned_back

    run_warped(main())
