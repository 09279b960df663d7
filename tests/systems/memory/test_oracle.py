"""The twins behave as the real systems do, and the oracle sees every way of doing it wrong."""

from __future__ import annotations

import asyncio

import pytest

from cockpit.errors import LinkError, OutcomeUnknown, StepError
from cockpit.model.words import Side
from cockpit.systems.memory import AppPlan, MemoryWorld, run_warped
from tests.systems.memory.flights import arm, fly, handover


def flown(memory: MemoryWorld, **how: object) -> MemoryWorld:
    run_warped(fly(memory, **how))  # type: ignore[arg-type]
    return memory


@pytest.mark.parametrize("seed", range(30))
def test_the_right_order_breaks_no_law(seed: int) -> None:
    memory = flown(MemoryWorld(seed, apps=6, poolers=2, rate=40), legs=3)
    assert memory.oracle(expect=Side.GREEN, equal=True) == []
    assert [side for _, side in memory.watch.switches] == [Side.BLUE, Side.GREEN, Side.BLUE, Side.GREEN]
    pooled = {app.plan.name for app in memory.apps if app.plan.channel.startswith("pooler")}
    assert not [error for error in memory.ledger.errors if error[1] in pooled]


def test_one_seed_is_one_story() -> None:
    first, second = (flown(MemoryWorld(7, apps=5, rate=30), legs=2) for _ in range(2))
    assert first.ledger.acks == second.ledger.acks
    assert first.faults.calls == second.faults.calls
    assert first.ledger.acks != flown(MemoryWorld(8, apps=5, rate=30), legs=2).ledger.acks


@pytest.mark.parametrize(
    ("left_out", "seen"),
    [
        (("fence", "quiesce"), "two sides writable"),
        (("quiesce", "pause"), "two sides writable"),
        (("sequences",), "duplicate key"),
        (("resume",), "is left paused"),
        (("unfence",), "is left fenced"),
        (("route", "unfence"), "not green"),
    ],
)
def test_a_step_left_out_is_seen(left_out: tuple[str, ...], seen: str) -> None:
    memory = flown(MemoryWorld(3, apps=6, rate=60, delay_s=0.05), without=left_out)
    everything = memory.oracle(expect=Side.GREEN) + [text for _, _, text in memory.ledger.errors]
    assert [text for text in everything if seen in text], everything[:5]


def test_without_the_drain_writes_are_lost_or_diverge() -> None:
    memory = flown(MemoryWorld(3, apps=6, rate=60, delay_s=0.5), without=("drain",), soak_s=0.2)
    assert any("diverged" in text for text in memory.oracle(expect=Side.GREEN))


def test_a_loop_in_replication_is_a_duplicate() -> None:
    memory = MemoryWorld(1)

    async def main() -> None:
        node = memory.cluster.nodes[Side.BLUE]
        row = node.store("op-1", "app-01", node.next_key())
        node.apply(row)

    run_warped(main())
    assert any(text.startswith("duplicated: blue: op-1") for text in memory.oracle(expect=Side.BLUE))


def test_pause_names_the_app_in_the_way_and_takes_itself_back() -> None:
    plan = AppPlan("slow", "pooler-1", rate=100, long_every=1, long_s=30)
    memory = MemoryWorld(1, apps=[plan, AppPlan("quick", "pooler-1", rate=50)])

    async def main() -> StepError:
        world = memory.world()
        async with memory:
            await asyncio.sleep(1)
            with pytest.raises(StepError) as caught:
                await world.poolers[0].pause().apply()
            before = len(memory.ledger.acks)
            await asyncio.sleep(1)
            assert len(memory.ledger.acks) > before
        return caught.value

    error = run_warped(main())
    assert "slow" in str(error)
    assert len(error.pids) == 1


def test_killing_the_pooler_unpauses_it() -> None:
    memory = MemoryWorld(1, apps=3, rate=50)

    async def main() -> None:
        world = memory.world()
        async with memory:
            await asyncio.sleep(0.5)
            await world.poolers[0].pause().apply()
            assert (await world.poolers[0].pause().probe()).done
            memory.poolers[0].crash()
            assert not (await world.poolers[0].pause().probe()).done

    run_warped(main())


@pytest.mark.parametrize(
    ("kind", "error", "effect"),
    [("error", LinkError, False), ("lost", OutcomeUnknown, True), ("late", OutcomeUnknown, False), ("delay", None, True)],
)
def test_faults_do_what_they_say(kind: str, error: type[Exception] | None, effect: bool) -> None:
    memory = MemoryWorld(1)

    async def main() -> None:
        world = memory.world()
        memory.faults.add("fence blue on", kind, nth=2, seconds=1.0)
        await world.servers.fence(Side.BLUE, on=True).apply()
        await world.servers.fence(Side.BLUE, on=False).apply()
        if error is None:
            await world.servers.fence(Side.BLUE, on=True).apply()
        else:
            with pytest.raises(error):
                await world.servers.fence(Side.BLUE, on=True).apply()
        assert memory.cluster.nodes[Side.BLUE].fenced is effect
        await asyncio.sleep(2)
        assert memory.cluster.nodes[Side.BLUE].fenced is (effect or kind == "late")

    run_warped(main())


def test_a_hanging_call_can_be_cancelled() -> None:
    memory = MemoryWorld(1)

    async def main() -> None:
        memory.faults.add("apply drain*", "hang")
        world = memory.world()
        await arm(world, Side.BLUE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await handover(world, Side.BLUE)

    run_warped(main())


def test_a_cut_link_is_not_a_dead_server() -> None:
    memory = MemoryWorld(1, apps=3, rate=50)

    async def main() -> None:
        world = memory.world()
        async with memory:
            memory.faults.link_down(Side.BLUE)
            with pytest.raises(LinkError):
                await world.servers.census(Side.BLUE)
            assert (await world.servers.server(Side.BLUE)).up is False
            before = len(memory.ledger.acks)
            await asyncio.sleep(1)
            assert len(memory.ledger.acks) > before

    run_warped(main())


def test_a_session_from_before_the_fence_still_writes() -> None:
    memory = MemoryWorld(1, apps=[AppPlan("direct", "channel-1", rate=50)])

    async def main() -> None:
        world = memory.world()
        async with memory:
            await asyncio.sleep(0.5)
            await world.servers.fence(Side.BLUE, on=True).apply()
            before = len(memory.ledger.acks)
            await asyncio.sleep(0.5)
            assert len(memory.ledger.acks) > before
            await world.servers.quiesce(Side.BLUE).apply()
            quiet = memory.cluster.nodes[Side.BLUE].wal
            await asyncio.sleep(0.5)
            assert memory.cluster.nodes[Side.BLUE].wal == quiet

    run_warped(main())


def test_a_prepared_transaction_keeps_the_side_from_being_quiet() -> None:
    memory = MemoryWorld(1, apps=0)

    async def main() -> None:
        world = memory.world()
        memory.cluster.nodes[Side.BLUE].prepare("gid-7", "op", "app")
        await world.servers.fence(Side.BLUE, on=True).apply()
        with pytest.raises(StepError, match="gid-7"):
            await world.servers.quiesce(Side.BLUE).apply()

    run_warped(main())
