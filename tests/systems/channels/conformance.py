"""What every pooler and every channel does, whichever system is behind it. A case is run on a twin and on the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from cockpit.errors import StepError, SystemFault
from cockpit.handover.ports import Channel, Pooler
from cockpit.model.words import Known, Severity, Side


@dataclass
class PoolerCase:
    port: Pooler
    transact: Callable[[], Awaitable[Side]]
    """One transaction of an app through the pooler: the side that took it."""
    holding: Callable[[], AbstractAsyncContextManager[int]]
    """An app that keeps a transaction open: the process id of its server session."""


async def waits(transact: Callable[[], Awaitable[Side]]) -> asyncio.Task[Side]:
    """A transaction that was seen to wait."""
    task = asyncio.ensure_future(transact())
    done, _ = await asyncio.wait({task}, timeout=0.15)
    assert not done, "a client of a paused pooler went through"
    return task


async def pauses_and_resumes(case: PoolerCase) -> None:
    pause, resume = case.port.pause(), case.port.resume()
    assert await case.transact() is Side.BLUE
    assert (await pause.probe()).known is Known.PENDING
    assert (await resume.probe()).done
    for _ in range(2):
        await pause.apply()
    assert (await pause.probe()).done
    assert (await resume.probe()).known is Known.PENDING
    waiting = await waits(case.transact)
    sample = await case.port.sample()
    assert (sample.up, sample.paused, sample.waiting) == (True, True, 1)
    for _ in range(2):
        await resume.apply()
    assert await asyncio.wait_for(waiting, 5) is Side.BLUE
    assert (await case.port.sample()).paused is False


async def routes_there_and_back(case: PoolerCase) -> None:
    for side in (Side.GREEN, Side.BLUE, Side.GREEN):
        assert (await case.port.route(side).probe()).known is Known.PENDING
        await case.port.pause().apply()
        waiting = await waits(case.transact)
        for _ in range(2):
            await case.port.route(side).apply()
        assert (await case.port.route(side).probe()).done
        assert (await case.port.route(side.other).probe()).known is Known.PENDING
        assert (await case.port.pause().probe()).done
        await case.port.resume().apply()
        assert await asyncio.wait_for(waiting, 5) is side
        assert await case.transact() is side
        assert (await case.port.sample()).routes_to is side


async def routes_without_a_pause(case: PoolerCase) -> None:
    assert await case.transact() is Side.BLUE
    await case.port.route(Side.GREEN).apply()
    assert (await case.port.route(Side.GREEN).probe()).done
    assert await case.transact() is Side.GREEN


async def names_who_is_in_the_way(case: PoolerCase) -> None:
    async with case.holding() as pid:
        with pytest.raises(StepError) as caught:
            await case.port.pause().apply()
        assert caught.value.pids == (pid,)
        assert (await case.port.pause().probe()).known is Known.PENDING
        assert await asyncio.wait_for(case.transact(), 5) is Side.BLUE
    await case.port.pause().apply()
    assert (await case.port.pause().probe()).done
    await case.port.resume().apply()


async def a_cancelled_pause_is_taken_back(case: PoolerCase) -> None:
    async with case.holding():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await case.port.pause().apply()
        assert (await case.port.resume().probe()).done
        assert await asyncio.wait_for(case.transact(), 5) is Side.BLUE
    await case.port.pause().apply()
    await case.port.resume().apply()


async def preflight_of_a_good_pooler_blocks_nothing(case: PoolerCase) -> None:
    found = await case.port.preflight(60.0)
    assert found
    assert [finding for finding in found if finding.severity is Severity.BLOCK] == []
    long = await case.port.preflight(100_000.0)
    assert [finding for finding in long if finding.severity is Severity.BLOCK]


POOLER = [
    pauses_and_resumes,
    routes_there_and_back,
    routes_without_a_pause,
    names_who_is_in_the_way,
    a_cancelled_pause_is_taken_back,
    preflight_of_a_good_pooler_blocks_nothing,
]


@dataclass
class ChannelCase:
    port: Channel
    app_sees: Callable[[], Awaitable[Side]]
    """Where an app that reads the channel now would go."""
    somebody_sets: Callable[[Side], Awaitable[None]]
    """Somebody who is not the cockpit routes it."""


async def channel_there_and_back(case: ChannelCase) -> None:
    stage = case.port.stage()
    for _ in range(2):
        await stage.apply()
    assert (await stage.probe()).done
    assert await case.app_sees() is Side.BLUE
    for side in (Side.GREEN, Side.BLUE, Side.GREEN):
        route = case.port.route(side)
        assert (await route.probe()).known is Known.PENDING
        for _ in range(2):
            await route.apply()
        assert (await route.probe()).done
        assert await case.port.intended() is side
        assert await case.app_sees() is side
    assert route.describe()


async def somebody_elses_change_is_seen(case: ChannelCase) -> None:
    await case.port.stage().apply()
    await case.port.route(Side.GREEN).apply()
    await case.somebody_sets(Side.BLUE)
    await case.somebody_sets(Side.GREEN)
    await case.somebody_sets(Side.BLUE)
    assert await case.port.intended() is Side.BLUE


async def channel_preflight(case: ChannelCase) -> None:
    await case.port.stage().apply()
    found = await case.port.preflight()
    assert found
    assert [finding for finding in found if finding.severity is Severity.BLOCK] == []


CHANNEL = [channel_there_and_back, somebody_elses_change_is_seen, channel_preflight]

__all__ = ["CHANNEL", "POOLER", "ChannelCase", "PoolerCase", "SystemFault"]
