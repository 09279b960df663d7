"""A process of the simulator that was killed takes no further step, and ends in order when it is buried."""

from __future__ import annotations

import asyncio

from tests.simulate.process import Killed, Process, factory


def test_a_step_at_which_the_process_was_killed_is_its_last() -> None:
    """What woke it before it was killed must not send it on when it is buried: its coroutine is over."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        process = Process("pilot")

        async def work() -> None:
            process.kill()
            raise Killed

        task = process.run(work())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        await process.bury()
        assert task.cancelled()

    asyncio.run(main())
