"""Who was frozen and wakes up when another one flies can do nothing; who merely cannot ask is not held up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import Flown, HalfHeard, LinkError, Refused, Superseded, Unheard
from cockpit.handover.awake import STILL_S, Awake, awake_or_not
from cockpit.handover.lease import ASK_S, LEASE_S, Inheritance, Lease
from cockpit.model.intents import Ask
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from tests.handover.harness import applied, flying


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
            assert applied(memory.faults, before) == []
            assert state.past[-1].outcome is Outcome.STUCK
            assert "ben@there pid 9" in state.past[-1].why
            assert state.serving is Side.BLUE
            memory.cluster.owner = ""

    run_warped(main())


def test_a_lost_connection_voids_the_proof_once() -> None:
    async def main() -> None:
        lock, broken = Lock(), False
        lease = Lease(lock, lambda: broken)
        await lease.renew()
        broken = True
        lock.answer = LinkError("gone")
        for _ in range(3):
            await lease.hold()
        assert lock.asked == 2, "asked at once, and while it stays broken only when the proof is old"
        await asyncio.sleep(LEASE_S + 0.1)
        lock.answer = OTHER
        with pytest.raises(Refused, match="ben"):
            await lease.hold()

    run_warped(main())


def test_a_machine_that_was_suspended_asks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        lock, slept = Lock(), 0.0
        monkeypatch.setattr("cockpit.handover.awake.awake_or_not", lambda: slept)
        lease = Lease(lock)
        await lease.renew()
        slept = LEASE_S + 1
        lock.answer = OTHER
        with pytest.raises(Refused, match="ben"):
            await lease.hold()

    run_warped(main())


@pytest.mark.parametrize("way", ["renew", "ask", "hold"])
def test_a_machine_that_stood_still_with_the_answer_under_way_asks_anew(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """What a server said is true of the time it was asked, not of the time at which somebody woke and read it."""

    async def main() -> None:
        lock, slept = Lock(), 0.0
        monkeypatch.setattr("cockpit.handover.awake.awake_or_not", lambda: slept)

        async def answered() -> None:
            nonlocal slept
            await lock()
            if lock.asked == 1:
                slept, lock.answer = LEASE_S + 25, OTHER

        lease = Lease(answered)

        async def asked_and_acted() -> None:
            await getattr(lease, way)()
            await lease.hold()

        with pytest.raises(Refused, match="ben"):
            await asked_and_acted()
        assert lock.asked == 2

    run_warped(main())


def test_what_an_action_goes_by_is_no_older_than_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hold` returns to whoever acts next: an answer that was slept on does not count."""

    async def main() -> None:
        slept = 0.0
        monkeypatch.setattr("cockpit.handover.awake.awake_or_not", lambda: slept)
        asked = 0

        async def answered() -> None:
            nonlocal slept, asked
            asked += 1
            slept += LEASE_S + 1 if asked < 3 else 0.0

        await Lease(answered).hold()
        assert asked == 3

    run_warped(main())


@pytest.mark.parametrize("answer", [None, LinkError("no answer", where="blue")])
def test_who_stood_still_acts_only_on_a_servers_word(answer: Exception | None) -> None:
    """Where nobody answers at all, and where all that comes is an error; from its first word on it is as anybody."""

    async def main() -> None:
        heard = False

        async def locked() -> None:
            if heard:
                return
            if answer is not None:
                raise answer
            await asyncio.sleep(3600)

        lease = Inheritance(locked, "ana@here pid 1")
        await lease.ask()
        lease = Inheritance(locked, "ana@here pid 1")
        lease.needs_word = True
        with pytest.raises(Unheard, match="stood still"):
            await lease.ask()
        lease.close()
        heard = True
        await lease.ask()
        assert not lease.needs_word

    run_warped(main())


def test_a_question_that_another_waiter_gave_up_proves_nothing() -> None:
    async def main() -> None:
        lock = Lock()
        lock.silent = True
        lease = Lease(lock)
        first, second = (asyncio.create_task(lease.ask()) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        lock.silent, lock.answer = False, OTHER
        with pytest.raises(Refused, match="ben"):
            await second
        assert lock.asked == 2

    run_warped(main())


def test_what_a_server_says_of_the_dead_pilot_is_a_word() -> None:
    async def main() -> None:
        lock = Lock()
        lock.answer = Flown("flown", owner="ana@here pid 1")
        lease = Inheritance(lock, "ana@here pid 1")
        lease.needs_word = True
        await lease.ask()
        lock.answer = LinkError("gone")
        await lease.ask()

    run_warped(main())


@pytest.mark.parametrize("slept_s", [STILL_S - 0.5, STILL_S + 0.5])
def test_a_pilot_that_stood_still_acts_only_on_a_servers_word(monkeypatch: pytest.MonkeyPatch, slept_s: float) -> None:
    """A pooler or a channel cannot say whose the pair is: where no server answers it is left alone."""

    async def main() -> None:
        slept = 0.0
        monkeypatch.setattr("cockpit.handover.awake.awake_or_not", lambda: asyncio.get_running_loop().time() + slept)
        lock = Lock()
        lease = Lease(lock)
        turning = asyncio.create_task(lease.awake.run())
        await asyncio.sleep(LEASE_S + 1)
        slept, lock.answer = slept_s, LinkError("gone")
        if slept_s > STILL_S:
            with pytest.raises(Unheard):
                await lease.hold()
            lock.answer = None
        await lease.hold()
        turning.cancel()

    run_warped(main())


def test_who_only_had_nothing_to_do_did_not_stand_still() -> None:
    async def main() -> None:
        idle, turns = Awake(), Awake()
        turning = asyncio.create_task(turns.run())
        await asyncio.sleep(STILL_S * 10)
        assert (idle.stood_still(), turns.stood_still()) == (False, False)
        turning.cancel()

    run_warped(main())


def test_the_clock_of_the_lease_goes_on() -> None:
    before = awake_or_not()
    assert awake_or_not() >= before > 0


def test_what_one_side_says_is_a_word() -> None:
    """The other may never answer. To arm it must: one that refuses to answer is told at once, one that is silent so far is asked again."""

    async def main() -> None:
        lock = Lock()
        lock.answer = HalfHeard("the connection broke", where="green", silent=False)
        lease = Lease(lock)
        lease.needs_word = True
        await lease.hold()
        assert not lease.needs_word
        with pytest.raises(HalfHeard):
            await lease.renew()
        assert lock.asked == 2

        async def in_a_second() -> None:
            await asyncio.sleep(1)
            lock.answer = HalfHeard("no answer in time", where="green", silent=True) if lock.asked < 5 else None
            await lock()

        await Lease(in_a_second).renew()
        assert lock.asked == 6

    run_warped(main())


def test_what_was_taken_up_since_no_guardian_inherits() -> None:
    async def main() -> None:
        lock = Lock()
        lock.answer = Superseded("taken up by ben", owner="")
        with pytest.raises(Superseded):
            await Inheritance(lock, "ana@here pid 1").hold()

    run_warped(main())


def test_what_a_guardian_slept_on_is_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dead pilot's session had the lock still when the server said so. Before that was read another one may have flown and left."""

    async def main() -> None:
        slept = 0.0
        monkeypatch.setattr("cockpit.handover.awake.awake_or_not", lambda: slept)
        lock = Lock()

        async def answered() -> None:
            nonlocal slept
            if lock.asked == 0:
                slept, lock.answer = LEASE_S + 55, Flown("flown", owner="ana@here pid 1")
            else:
                lock.answer = Superseded("taken up by ben", owner="ben@there pid 9")
            await lock()

        lease = Inheritance(answered, "ana@here pid 1")
        lease.needs_word = True
        with pytest.raises(Superseded):
            await lease.hold()
        assert lock.asked == 2

    run_warped(main())


def test_who_took_the_pair_up_since_is_named_without_asking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """That stays true, however long an answer was slept on and whatever the next one would be."""

    async def main() -> None:
        slept = 0.0
        monkeypatch.setattr("cockpit.handover.awake.awake_or_not", lambda: slept)
        lock = Lock()

        async def answered() -> None:
            nonlocal slept
            slept += 0.0 if lock.asked else LEASE_S + 25
            try:
                await lock()
            finally:
                lock.answer = None

        lock.answer = Superseded("taken up by ben", owner="ben@there pid 9")
        lease = Lease(answered)
        for _ in range(3):
            with pytest.raises(Superseded):
                await lease.hold()
        assert lock.asked == 1
        assert lease.superseded == "taken up by ben"

    run_warped(main())
