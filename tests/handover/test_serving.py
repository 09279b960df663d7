"""Which side serves is read from evidence that agrees; where it does not, nobody guesses, and nothing that may serve is fenced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import StepError
from cockpit.handover.findings import look_alone
from cockpit.handover.serving import FenceOfTheIdle, who_serves
from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Outcome, Severity, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.harness import Seat, applied, flying, quick_scenario


async def seen(memory: MemoryWorld) -> tuple[Side, dict[str, object]]:
    return await who_serves(memory.world(), memory.pair)


def test_before_the_first_arming_blue_serves() -> None:
    async def main() -> None:
        async with MemoryWorld(seed=31) as memory:
            await asyncio.sleep(5)
            side, evidence = await seen(memory)
            assert side is Side.BLUE
            assert evidence["fences"] == "no side is fenced"
            assert "on blue" in str(evidence["poolers"])

    run_warped(main())


@pytest.mark.parametrize("broken", ["granted", "ledger", "both"])
def test_a_fence_that_is_no_longer_whole_still_says_who_does_not_serve(tmp_path: Path, broken: str) -> None:
    """A role that was let in again, or a ledger that was dropped, on blue: green serves all the same, and stays so."""

    async def main() -> None:
        memory = MemoryWorld(seed=32, apps=4, poolers=2, channels=1)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            blue = memory.cluster.nodes[Side.BLUE]
            if broken != "ledger":
                blue.granted.add("auditor")
            blue.fence_kept = broken == "granted"
            side, evidence = await seen(memory)
            assert side is Side.GREEN
            assert "fenced in part" in str(evidence["fences"])

    run_warped(main())


def test_without_a_trace_of_a_fence_the_routes_and_sessions_say_it(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=33, apps=4, poolers=2, channels=1)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            blue = memory.cluster.nodes[Side.BLUE]
            blue.fenced = blue.fence_kept = False
            assert (await seen(memory))[0] is Side.GREEN

    run_warped(main())


def test_evidence_that_disagrees_is_named_and_nobody_guesses(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=34, apps=4, poolers=2, channels=1)
        async with memory:
            memory.cluster.nodes[Side.BLUE].fence_kept = True
            await asyncio.sleep(5)
            with pytest.raises(StepError) as caught:
                await seen(memory)
            assert "cannot tell which side serves" in caught.value.what
            assert "fenced in part" in caught.value.what
            assert "pooler-1, pooler-2 on blue" in caught.value.what
            assert "\n" not in str(caught.value)

    run_warped(main())


def test_preflight_tells_witnesses_that_disagree() -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=34, apps=4, poolers=2, channels=1)
        async with memory:
            memory.cluster.nodes[Side.BLUE].fence_kept = True
            await asyncio.sleep(5)
            found = await look_alone(memory.world(), memory.pair, quick_scenario())
        (doubt,) = [f for f in found if f.check == "P7"]
        assert (doubt.object, doubt.severity) == ("serving", Severity.BLOCK)
        assert "cannot tell which side serves" in doubt.seen
        assert doubt.query == "", "it is seen by many, no statement shows it"
        assert doubt.remedy == "bring poolers, channels and fences to the side that is to serve"
        assert len(found) > 1, "all else is looked at"

    run_warped(main())


def test_nothing_that_speaks_is_no_answer() -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=35, apps=0, poolers=0, channels=0)
        with pytest.raises(StepError, match="cannot tell which side serves"):
            await seen(memory)

    run_warped(main())


def test_two_fences_are_an_interrupted_handover() -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=36)
        for node in memory.cluster.nodes.values():
            node.fenced = node.fence_kept = True
        memory.cluster.nodes[Side.BLUE].granted.add("auditor")
        with pytest.raises(StepError, match="both sides are fenced"):
            await seen(memory)

    run_warped(main())


def test_a_run_that_cannot_tell_does_not_open(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=37, apps=2)
        memory.cluster.nodes[Side.BLUE].fence_kept = True
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            assert await seat.task == 1
            assert seat.state.mode is Mode.CLOSED
            assert any("cannot tell which side serves" in alarm.what for alarm in seat.state.alarms)
            assert applied(memory.faults) == []
            await seat.end()

    run_warped(main())


@pytest.mark.parametrize("there", ["pooler", "channel", "session"])
def test_a_side_that_somebody_goes_to_is_not_fenced(there: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=38, apps=4, poolers=2, channels=2)
        green = memory.cluster.nodes[Side.GREEN]
        if there == "pooler":
            memory.poolers[1].side = memory.poolers[1].loaded = Side.GREEN
        elif there == "channel":
            memory.channels[0].change(Side.GREEN)
        else:
            app = memory.apps[0]
            green.login(app.role, app.plan.name, "by hand")
        names = {"pooler": "pooler-2", "channel": "channel-1", "session": "app-01"}
        with pytest.raises(StepError, match=names[there]):
            await FenceOfTheIdle(memory.world(), memory.pair, Side.GREEN).apply()
        assert not green.fenced

    run_warped(main())


def test_arming_never_fences_a_side_that_serves(tmp_path: Path) -> None:
    """The run believes that blue serves; somebody has moved everything to green since."""

    async def main() -> None:
        memory = MemoryWorld(seed=39, apps=4, poolers=1, channels=1)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            for pooler in memory.poolers:
                pooler.side = pooler.loaded = Side.GREEN
            for channel in memory.channels:
                channel.change(Side.GREEN)
            assert (await seat.ask(Ask.ARM)).ok
            assert await seat.landed(0) is Outcome.ABORTED
            assert "green is not idle" in seat.state.past[-1].why
            assert not memory.cluster.nodes[Side.GREEN].fenced

    run_warped(main())
