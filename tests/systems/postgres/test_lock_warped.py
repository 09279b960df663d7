"""The pair's lock where a side is far away, stands still for a moment, or is out of reach of one machine: on the warped clock."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from cockpit.errors import Flown, HalfHeard, LinkError
from cockpit.handover.lease import LEASE_S, Lease
from cockpit.handover.ports import Claim
from cockpit.model.settings import Tuning
from cockpit.model.words import Side
from cockpit.systems.memory import run_warped
from cockpit.systems.postgres import PostgresPair
from cockpit.systems.postgres.lock import HEAD_S, OTHER_S, PairLock
from tests.systems.postgres.warped import WarpedPair

ANA, BEN = "ana@here pid 1", "ben@there pid 9"
CLAIM = Claim("seat a", 1000)
ARM_S = 10.0
"""Seconds that an arm waits for the lock."""


def lease_of(lock: PairLock) -> Lease:
    return Lease(lambda: lock.take(ANA, CLAIM), lambda: lock.lost)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("rtt_s", [0.07, 0.1, 0.15])
def test_a_far_side_whose_connection_broke_is_armed_again(monkeypatch: pytest.MonkeyPatch, rtt_s: float) -> None:
    """Made anew it takes longer than the other side is waited for: it is begun once, and not once for each question."""

    async def main() -> None:
        pair = WarpedPair(monkeypatch)
        pair.green.rtt_s = rtt_s
        lock = pair.lock("here")
        lease = lease_of(lock)
        await lease.renew()
        assert pair.green.holder is not None
        pair.green.holder.terminate()
        assert lock.lost
        async with asyncio.timeout(ARM_S):
            await lease.renew()
        assert pair.green.holder is not None
        assert pair.green.connects == 2
        assert not lock.lost

    run_warped(main())


def test_a_cockpit_that_reaches_one_side_only_does_not_stop_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the lock of a side that the owner's connection to broke. The other side says still whose the pair is."""

    async def main() -> None:
        pair = WarpedPair(monkeypatch)
        lock = pair.lock("here")
        lease = lease_of(lock)
        await lease.renew()
        assert pair.green.holder is not None
        pair.green.holder.terminate()
        pair.blue.silent.add("there")
        other = asyncio.create_task(pair.lock("there").take(BEN))
        await asyncio.sleep(2 * HEAD_S)
        assert pair.green.holder is not None
        assert BEN in pair.green.holder.application
        await lease.hold()
        assert not lease.superseded
        with pytest.raises(LinkError):
            await other
        assert pair.green.holder is None, "who did not get both keeps none"

    run_warped(main())


def test_a_side_that_stood_still_for_a_second_gives_no_lock_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint, a storm of locks: the question goes on beside whatever is done, and its connection stays up."""

    async def main() -> None:
        pair = WarpedPair(monkeypatch)
        lock = pair.lock("here")
        lease = lease_of(lock)
        await lease.renew()
        holder, began = pair.green.holder, now()
        pair.green.silent_for(OTHER_S + 0.2, "here")
        await lease.ask()
        assert now() - began < OTHER_S + 0.1, "it is not waited for"
        await asyncio.sleep(0.5)
        await lock.take(ANA, CLAIM)
        assert holder is not None
        assert pair.green.holder is holder
        assert pair.green.connects == 1

    run_warped(main())


def test_who_holds_both_sides_asks_both_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked inside the window, where each round trip is downtime."""

    async def main() -> None:
        pair = WarpedPair(monkeypatch)
        pair.blue.rtt_s = pair.green.rtt_s = HEAD_S / 4
        lock = pair.lock("here")
        lease = lease_of(lock)
        began = now()
        await lease.renew()
        first, began = now() - began, now()
        await lease.ask()
        asked, began = now() - began, now()
        assert pair.green.holder is not None
        pair.green.holder.terminate()
        await lease.ask()
        assert asked <= 2 * HEAD_S / 4 + 0.01, "the lock and the record, of both"
        assert now() - began > asked, "taken anew after blue"
        assert first > asked

    run_warped(main())


def test_a_resumed_pilot_keeps_the_side_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken up while green is silent: blue is held from its first answer on, and no action of the way home waits for green again."""

    async def main() -> None:
        pair = WarpedPair(monkeypatch)
        pair.green.silent.add("here")
        lock = pair.lock("here")
        lease = lease_of(lock)
        with pytest.raises(HalfHeard, match="green"):
            await lock.take(ANA, CLAIM)
        holder = pair.blue.holder
        assert holder is not None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lease.renew(), ARM_S)
        times = [now()]
        for _ in range(5):
            await lease.hold()
            times.append(now())
        assert [later - earlier for earlier, later in pairwise(times)][1:] == [0.0] * 4
        assert times[-1] - times[0] <= OTHER_S + 0.1
        await asyncio.sleep(LEASE_S + 1)
        await lease.hold()
        assert pair.blue.holder is holder
        assert pair.blue.row is not None
        assert pair.blue.row["name"] == CLAIM.seat

    run_warped(main())


def test_the_end_of_one_take_gives_nothing_away_that_another_one_got(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cockpit that opens waits for both sides still when its lead goes on with the run."""

    async def main() -> None:
        pair = WarpedPair(monkeypatch)
        pair.green.silent.add("here")
        lock = pair.lock("here")
        opening = asyncio.create_task(lock.take(ANA))
        await asyncio.sleep(4.5)
        with pytest.raises(HalfHeard, match="green"):
            await lock.take(ANA, CLAIM)
        with pytest.raises(LinkError):
            await opening
        assert pair.blue.holder is not None

    run_warped(main())


def test_a_pair_that_cannot_be_opened_keeps_the_lock_and_what_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again and again beside whatever is flown: each time it gave away the lock, and the way home's own connections."""

    async def main() -> None:
        warped = WarpedPair(monkeypatch)
        pair = PostgresPair(warped.spec("here"), Tuning())
        await pair.lock(ANA, CLAIM)
        holders = warped.blue.holder, warped.green.holder
        warped.green.silent.add("here")
        with pytest.raises(LinkError, match="green"):
            await pair.open()
        assert None not in holders
        assert (warped.blue.holder, warped.green.holder) == holders
        assert not pair.lock_lost
        begun = warped.blue.connects
        await pair._wires.act[Side.BLUE].run("SELECT 1")
        assert warped.blue.connects == begun
        await pair.close()

    run_warped(main())


@pytest.mark.parametrize("armed", [False, True], ids=["who looks", "who flies"])
def test_who_is_refused_the_lock_does_not_sit_down(monkeypatch: pytest.MonkeyPatch, armed: bool) -> None:
    """It lost its connections while it waited for its lead's word, and another one came. Then its lead arms."""

    async def main() -> None:
        pair = WarpedPair(monkeypatch)
        lock, before = pair.lock("here"), frozenset({""})
        await lock.take(ANA, Claim("seat a", 1000, before) if armed else None)
        was = [server.row for server in (pair.blue, pair.green)]
        with pytest.raises(Flown, match="ana@here"):
            await pair.lock("there").take(BEN, Claim("seat b", 2000, before | {"seat a"} if armed else before))
        assert [server.row for server in (pair.blue, pair.green)] == was
        await lock.take(ANA, Claim("seat a", 1000, before))

    run_warped(main())
