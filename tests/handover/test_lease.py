"""Who was frozen and wakes up when another one flies can do nothing; who merely cannot ask is not held up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import Flown, LinkError, Refused
from cockpit.handover.lease import ASK_S, LEASE_S, Inheritance, Lease
from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.harness import flying


class Lock:
    """The pair's lock as a server answers about it."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Exception | None = None
        self.silent = False

    async def __call__(self) -> None:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.answer is not None:
            raise self.answer


OTHER = Flown("flown by ben", owner="ben@there pid 9")


def test_a_fresh_proof_costs_nothing_and_an_old_one_is_asked_for_anew() -> None:
    async def main() -> None:
        lock = Lock()
        lease = Lease(lock)
        await lease.renew()
        for _ in range(10):
            await lease.hold()
        assert lock.asked == 1
        await asyncio.sleep(LEASE_S + 0.1)
        lock.answer = OTHER
        with pytest.raises(Refused, match="ben"):
            await lease.hold()
        with pytest.raises(Refused, match="ben"):
            await lease.hold()

    run_warped(main())


@pytest.mark.parametrize("silent", [False, True])
def test_who_cannot_be_asked_names_nobody(silent: bool) -> None:
    async def main() -> None:
        lock = Lock()
        lock.answer, lock.silent = LinkError("gone"), silent
        lease, began = Lease(lock), asyncio.get_running_loop().time()
        await lease.hold()
        await lease.hold()
        assert lock.asked == 1, "and is not asked again for every action"
        assert asyncio.get_running_loop().time() - began <= ASK_S + 0.01
        with pytest.raises((LinkError, TimeoutError)):
            await asyncio.wait_for(lease.renew(), 2)

    run_warped(main())


@pytest.mark.parametrize(("owner", "refused"), [("ana@here pid 1", False), ("", False), ("ben@there pid 9", True)])
def test_a_guardian_inherits_from_its_own_pilot_alone(owner: str, refused: bool) -> None:
    async def main() -> None:
        lock = Lock()
        lock.answer = Flown("flown", owner=owner)
        lease = Inheritance(lock, "ana@here pid 1")
        if refused:
            with pytest.raises(Flown):
                await lease.hold()
        else:
            await lease.hold()

    run_warped(main())


def test_a_woken_pilot_touches_nothing_that_is_anothers(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=3, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            memory.faults.add("apply pause*", "delay", seconds=LEASE_S + 2)
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(lambda s: any(call.startswith("apply pause") for call in memory.faults.calls))
            await asyncio.sleep(LEASE_S + 1)
            memory.cluster.owner = "ben@there pid 9"
            before = len(memory.faults.calls)
            state = await seat.until(lambda s: s.mode is Mode.STUCK)
            assert [call for call in memory.faults.calls[before:] if call.startswith("apply")] == []
            assert state.past[-1].outcome is Outcome.STUCK
            assert "ben@there pid 9" in state.past[-1].why
            assert state.serving is Side.BLUE
            memory.cluster.owner = ""

    run_warped(main())
