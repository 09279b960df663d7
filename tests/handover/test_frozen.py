"""Everything of the owner stood still while another one took the run up, flew it, closed it and left: who wakes then does nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.handover.guardian import Guardian
from cockpit.handover.ports import Claim
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import Faults, MemoryWorld, run_warped
from tests.handover.copied import another_flies, superseded, undisturbed
from tests.handover.crashed import KILLED, Dead, guardian_of, kept, killed, take_over
from tests.handover.harness import Seat, applied, quick_scenario

STEPS = ("apply fence blue on", "apply quiesce blue", "apply drain*", "apply sequences*", "apply route pooler*")


@pytest.mark.parametrize("call", STEPS)
def test_a_guardian_that_wakes_does_nothing_and_says_why(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=31, apps=4, poolers=2, channels=1, rate=2.0)
        async with superseded(memory, tmp_path, call) as seat:
            before = len(memory.faults.calls)
            assert await take_over(memory, seat) == 1
            assert applied(memory.faults, before) == []
            state = kept(seat)
            assert state.past[-1].outcome is Outcome.STUCK
            assert state.mode is Mode.STUCK, "left open: what it shows of the world then, and who took it up, is a person's to read"
            assert "taken up by ana@bastion" in state.past[-1].why
            assert [alarm.what for alarm in state.alarms if "taken up by ana@bastion" in alarm.what]
            await undisturbed(memory)

    run_warped(main())


def test_a_guardian_that_wakes_apart_from_both_servers_waits_for_their_word(tmp_path: Path) -> None:
    """Poolers and channels answer it, and cannot say whose the pair is."""

    async def main() -> None:
        memory = MemoryWorld(seed=36, apps=4, poolers=2, channels=1, rate=2.0)
        async with superseded(memory, tmp_path, "apply drain*") as seat:
            guardian = guardian_of(memory, seat)
            guardian._awake._stood_still = True
            before = len(memory.faults.calls)
            for side in Side:
                memory.faults.link_down(side)
            asyncio.get_running_loop().call_later(30.0, lambda: [memory.faults.link_up(side) for side in Side])
            assert await guardian._after(Dead(), KILLED) == 1  # type: ignore[arg-type]
            assert applied(memory.faults, before) == []
            assert "taken up by ana@bastion" in kept(seat).past[-1].why
            await undisturbed(memory)

    run_warped(main())


@pytest.mark.parametrize("jump_s", [0.0, 60.0])
def test_a_guardian_knows_that_it_stood_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jump_s: float) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=37)
        asleep = 0.0
        monkeypatch.setattr("cockpit.handover.awake.awake_or_not", lambda: asyncio.get_running_loop().time() + asleep)
        guardian = Guardian(memory.world(), tmp_path / "timeline.jsonl", 300.0, lambda pid: "ana", "seat")
        knows: list[bool] = []

        class Ending(Dead):
            async def wait(self) -> int:
                nonlocal asleep
                await asyncio.sleep(1.0)
                asleep = jump_s
                knows.append(guardian._awake.stood_still())  # at once, whichever of its tasks wakes first
                return 0

        turning = asyncio.create_task(guardian._awake.run())
        await guardian._until_lost(Ending())  # type: ignore[arg-type]
        assert knows == [bool(jump_s)]
        turning.cancel()

    run_warped(main())


@pytest.mark.parametrize("call", STEPS)
def test_a_pilot_that_wakes_does_nothing_and_says_why(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=32, apps=4, poolers=2, channels=1, rate=2.0)
        async with memory:
            seat = Seat(memory, tmp_path, quick_scenario())
            await seat.armed()
            wires = memory.faults
            fault = wires.add(call, "hang", seconds=400.0)
            await seat.go_into(fault)
            wires.add("*", "hang", times=0, seconds=1.0)  # frozen, as far as the world can tell
            memory.faults = Faults()
            await another_flies(memory, tmp_path)
            wires.clear()
            before = len(wires.calls)
            state = await seat.until(lambda s: s.mode is Mode.STUCK)
            assert applied(wires, before) == []
            assert "taken up by ana@bastion" in state.past[-1].why
            await undisturbed(memory)
            await seat.end()

    run_warped(main())


@pytest.mark.parametrize("on", [True, False])
def test_a_fence_that_was_under_way_meets_its_new_owner(tmp_path: Path, on: bool) -> None:
    """Between the last proof and the server a process can stand still too: the side itself refuses."""

    async def main() -> None:
        memory = MemoryWorld(seed=33, apps=4, poolers=1, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as seat:
            memory.cluster.owner = ""
            guardian = guardian_of(memory, seat)
            await guardian._lease.ask()
            await another_flies(memory, tmp_path)
            fence = guardian._world.servers.fence(Side.GREEN if on else Side.BLUE, on=on)
            with pytest.raises(Exception, match="taken up by ana@bastion"):
                await fence.apply()
            await undisturbed(memory)

    run_warped(main())


def test_a_dead_side_that_still_has_the_old_owner_on_record_is_its_heirs(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=34, apps=4, poolers=1, channels=1, rate=2.0)
        async with killed(memory, tmp_path, "apply drain*") as seat:
            memory.cluster.owner = ""
            heir = memory.world().servers
            memory.faults.link_down(Side.BLUE)
            with pytest.raises(Exception, match="no answer"):
                await heir.lock("ben@there pid 2", Claim("another seat"))
            await heir.close()
            memory.faults.link_up(Side.BLUE)
            guardian = memory.world().servers
            await guardian.lock("ben@there pid 3", Claim("another seat", heir=True))
            await guardian.fence(Side.GREEN, on=True).apply()
            await guardian.fence(Side.BLUE, on=False).apply()
            await guardian.close()
            await undisturbed_on(memory, Side.BLUE)
            assert await take_over(memory, seat) == 1, "who was first is not the owner any more"

    run_warped(main())


async def undisturbed_on(memory: MemoryWorld, side: Side) -> None:
    assert memory.serving is side
    assert {node.seat[1] for node in memory.cluster.nodes.values()} == {"another seat"}
