"""Who stops the way home and who does not: whoever only looks leaves again, whoever sat down on the pair since is its owner for good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import LinkError, Superseded
from cockpit.handover.home import HOME_S, go_home
from cockpit.handover.lease import LEASE_S, Lease
from cockpit.handover.ports import Action, Probe
from cockpit.handover.record import Unrecorded
from cockpit.model import events as ev
from cockpit.model.plan import Statement
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.journal import read
from tests.handover.crashed import kept, killed, looked_at, take_over
from tests.handover.harness import applied, flying, whole

TAKEN = Superseded("this pair was taken up by ben@there pid 9", owner="ben@there pid 9")
LOOKS_S = 5.0


def test_a_cockpit_that_only_looked_leaves_a_pilot_its_way_home(tmp_path: Path) -> None:
    """It got the lock of a pilot whose connections broke in its window, waited for a side that it cannot reach, and left."""

    async def main() -> None:
        memory = MemoryWorld(seed=51, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            await seat.go_into(memory.faults.add("apply drain*", "delay", seconds=LEASE_S + 2))
            await asyncio.sleep(LEASE_S + 1)
            looked_at(memory, LOOKS_S)
            assert await seat.landed(0) is Outcome.ABORTED, seat.tail()
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_a_cockpit_that_only_looked_leaves_a_guardian_its_way_home(tmp_path: Path) -> None:
    """It got the free lock of a killed pilot before the guardian asked."""

    async def main() -> None:
        memory = MemoryWorld(seed=52, apps=4, poolers=2, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as seat:
            looked_at(memory, LOOKS_S)
            assert await take_over(memory, seat) == 4
            assert kept(seat).past[-1].outcome is Outcome.ABORTED
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_what_a_fence_says_stops_the_rest_of_the_way_home() -> None:
    """No server answered when it was asked whose the pair is. The fence was answered, by one that another has sat down on."""

    async def main() -> None:
        memory = MemoryWorld(seed=53, apps=2, poolers=2, channels=1, serving=Side.GREEN)
        async with memory:
            memory.faults.add("apply fence*", "error", times=0, error=TAKEN)

            async def silent() -> None:
                raise LinkError("no answer", where="blue")

            lease = Lease(silent)
            left = await go_home(memory.world(), Direction.CUTOVER, Unrecorded(), 60.0, lease)
            assert applied(memory.faults) == ["apply fence green on"]
            assert lease.superseded == TAKEN.brief
            assert left
            assert all("taken up by ben@there pid 9" in why for why in left), left

    run_warped(main())


@pytest.mark.parametrize("call", ["apply fence blue on", "apply drain*"])
def test_what_a_step_is_told_leaves_no_way_home(tmp_path: Path, call: str) -> None:
    """Whatever the lock would say next: whoever sat down since has the pair, and its poolers and channels with it."""

    async def main() -> None:
        memory = MemoryWorld(seed=54, apps=4, poolers=2, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            await seat.go_into(memory.faults.add(call, "error", error=TAKEN))
            before = len(memory.faults.calls)
            state = await seat.until(lambda s: s.mode is Mode.STUCK)
            assert state.past[-1].outcome is Outcome.STUCK
            assert "taken up by ben@there pid 9" in state.past[-1].why
            await asyncio.sleep(HOME_S)
            assert applied(memory.faults, before) == []

    run_warped(main())


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_stays_dead_fills_no_timeline(tmp_path: Path, comes_back: bool) -> None:
    """It is tried five times a second for a minute: first and second try are on record, and what came of the others."""

    async def main() -> None:
        memory = MemoryWorld(seed=57, apps=4, poolers=1, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as seat:
            memory.cluster.nodes[Side.BLUE].crash()
            if comes_back:
                asyncio.get_running_loop().call_later(HOME_S / 2, memory.cluster.nodes[Side.BLUE].recover)
            await take_over(memory, seat)
            tried = [e.fact for e in read(seat.timeline).events if getattr(e.fact, "action", "") == "fence blue off"]
            words = [(type(fact), getattr(fact, "why", "")) for fact in tried]
            refused = (ev.ActionFailed, "blue: connection refused")
            last = (ev.ActionDone, "") if comes_back else refused
            assert words[:4] == [(ev.ActionIntended, ""), refused, (ev.ActionIntended, ""), last]
            assert tried[3].ms > 20_000, "it says for how long it was tried"
            assert not comes_back or len(tried) == 4

    run_warped(main())


@pytest.mark.parametrize("odd", [None, 7])
def test_evidence_that_is_none_breaks_no_way_home(odd: object) -> None:
    """A pooler of somebody's own, whose `apply` gives what it should not."""

    async def main() -> None:
        memory = MemoryWorld(seed=58, apps=2, poolers=2, channels=1, serving=Side.GREEN)
        async with memory:
            world = memory.world()
            real = type(world.poolers[0]).resume

            class Odd:
                def __init__(self, inner: Action) -> None:
                    self.inner, self.name = inner, inner.name

                def describe(self) -> tuple[Statement, ...]:
                    return self.inner.describe()

                async def probe(self) -> Probe:
                    return await self.inner.probe()

                async def apply(self) -> object:
                    await self.inner.apply()
                    return odd

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(world.poolers[0]), "resume", lambda pooler: Odd(real(pooler)))
                left = await go_home(world, Direction.CUTOVER, Unrecorded(), 5.0, Lease(nobody_else))
            assert memory.serving is Side.BLUE, "it was made so all the same"
            assert left
            assert all("resume" in why for why in left)

    run_warped(main())


async def nobody_else() -> None:
    """The pair is ours."""


def test_who_must_stop_trying_says_what_came_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=59, apps=4, poolers=1, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as seat:
            memory.cluster.nodes[Side.BLUE].crash()
            taking = asyncio.create_task(take_over(memory, seat))
            await asyncio.sleep(5)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            tried = [e.fact for e in read(seat.timeline).events if getattr(e.fact, "action", "") == "fence blue off"]
            assert [type(fact) for fact in tried] == [ev.ActionIntended, ev.ActionFailed] * 2

    run_warped(main())
