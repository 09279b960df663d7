"""The loop whose clock jumps."""

from __future__ import annotations

import asyncio
import time

import pytest

from cockpit.systems.memory import Stalled, run_warped


def test_hours_pass_in_milliseconds() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(3600 * 5)
        return loop.time() - start

    began = time.perf_counter()
    assert run_warped(main()) == pytest.approx(3600 * 5)
    assert time.perf_counter() - began < 2.0


def test_timers_fire_in_order_at_their_own_time() -> None:
    async def main() -> list[tuple[float, str]]:
        loop = asyncio.get_running_loop()
        start, seen = loop.time(), []

        async def wait(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            seen.append((round(loop.time() - start, 6), name))

        await asyncio.gather(wait(3, "c"), wait(0.001, "a"), wait(2.5, "b"))
        return seen

    assert run_warped(main()) == [(0.001, "a"), (2.5, "b"), (3.0, "c")]


def test_a_deadline_passes_without_anyone_waiting() -> None:
    async def main() -> None:
        async with asyncio.timeout(1000):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_warped(main())


def test_the_limit_ends_a_program_that_never_does() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        run_warped(main(), limit_s=60)


def test_a_program_that_waits_for_nothing_is_told_so() -> None:
    from cockpit.systems.memory import WarpLoop

    loop = WarpLoop()
    waiting = loop.create_future()
    try:
        with pytest.raises(Stalled):
            loop.run_until_complete(waiting)
    finally:
        loop.close()


def test_threads_are_run_in_order() -> None:
    async def main() -> list[int]:
        return [await asyncio.to_thread(lambda n=n: n * n) for n in range(3)]

    assert run_warped(main()) == [0, 1, 4]


def test_an_error_in_a_thread_is_the_callers() -> None:
    async def main() -> None:
        await asyncio.to_thread(lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run_warped(main())


def test_sockets_of_this_process_work() -> None:
    async def main() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"hello\n")
            answer = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return answer

    assert run_warped(main()) == b"HELLO\n"
