"""Two people: an armed cutover waits for a second one; who counts, what their word must name, and when it no longer stands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.handover.approvals import REFUSALS, SecondDoor, SecondPerson
from cockpit.model import events as ev
from cockpit.model.approvals import Approvers, Asker, Offer, Person, Word
from cockpit.model.intents import Ask, Intent
from cockpit.model.settings import Scenario
from cockpit.model.state import RunState
from cockpit.model.words import Consent, Light, Mode, Outcome, Severity, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.journal import read
from cockpit.timeline.sidedoor import Answer, Place, Request
from tests.handover.crashed import bury, gone
from tests.handover.harness import Seat, flying, quick_scenario

ME = os.geteuid()
ANA, BOB, EVE = Person(ME, "ana"), Person(70_001, "bob"), Person(70_002, "eve")
COMMAND = "cockpit approve arp-7f3a"
ASKS_S, HOLDS_S = 120.0, 20.0


def second_scenario() -> Scenario:
    """The shipped scenario, its cutover with a second person."""
    scenario = quick_scenario()
    confirmation = replace(scenario.cutover_confirmation, approval="second", approval_expires=ASKS_S, expires=HOLDS_S)
    steps = {**scenario.steps, "confirm": replace(scenario.steps["confirm"], deadline=ASKS_S + HOLDS_S + 5)}
    return replace(scenario, cutover_confirmation=confirmation, steps=steps)


class Pair:
    """A lead in a seat and second persons at its side door."""

    def __init__(self, seat: Seat, door: SecondDoor) -> None:
        self.seat = seat
        pilot = seat.pilot
        self.second = SecondPerson(seat.recorder, pilot.telemetry.latest, pilot.telemetry.readings_now, door)

    def look(self, person: Person = BOB) -> Answer:
        return self.second.answer(person, Request())

    def offer(self) -> Offer:
        offer = self.look().offer
        assert offer is not None
        return offer

    def say(self, person: Person = BOB, *, approve: bool = True, **said: object) -> Answer:
        """Their word on what they are shown now, but for what is `said` otherwise."""
        handover = self.seat.state.handover
        assert handover is not None
        word = Word(approve, handover.number, handover.plan_digest, self.seat.state.seq, "looks right", self.seat.state.pair)
        return self.second.answer(person, Request(replace(word, **said)))  # type: ignore[arg-type]

    async def asked(self) -> RunState:
        await self.seat.ready()
        assert (await self.seat.ask(Ask.ARM)).ok
        return await self.seat.until(lambda s: s.handover is not None and s.handover.awaits_second)


@asynccontextmanager
async def two(folder: Path, seed: int, approvers: Approvers | None = None) -> AsyncIterator[tuple[MemoryWorld, Pair]]:
    memory = MemoryWorld(seed=seed, apps=3, poolers=1, channels=1, rate=2.0)
    asker = Asker(frozenset({ME}), frozenset({"ana"}))
    door = SecondDoor(Place(folder / "doors"), approvers or Approvers(frozenset({BOB.uid, EVE.uid})), asker, COMMAND)
    async with flying(memory, folder, second_scenario(), door) as seat:
        yield memory, Pair(seat, door)


def kinds(state: RunState) -> list[str]:
    return [event.kind for event in state.tail if event.kind.startswith("approval.")]


async def aborted(seat: Seat, said: str) -> None:
    """It ended before anything was touched, and says so."""
    assert await seat.landed(0) is Outcome.ABORTED
    assert said in seat.state.past[-1].why, seat.state.past[-1].why
    assert seat.state.serving is Side.BLUE
    assert seat.watched.stages == []
    assert seat.state.handover is not None
    assert not seat.state.handover.awaits_second


# --- it waits, and flies ---------------------------------------------------------------------------------


def test_it_flies_when_a_second_person_approved_and_the_lead_confirmed(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 81) as (memory, pair):
            seat = pair.seat
            await pair.asked()
            reply = await seat.ask(Ask.GO, "arp")
            assert (reply.ok, reply.reason) == (False, f"a second person must approve it first: {COMMAND}")
            assert pair.say(comment="I read the plan\x1b[2J").ok
            state = await seat.until(
                lambda s: s.handover is not None and s.handover.approval is not None and s.handover.approval.by == "bob"
            )
            assert state.handover is not None
            assert state.handover.current is not None
            assert state.handover.current.detail == "approved by bob, waits for the lead"
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.DONE, seat.tail()
            assert memory.serving is Side.GREEN
            assert kinds(seat.state) == ["approval.asked", "approval.given"]
            finished = next(e.fact for e in seat.state.tail if isinstance(e.fact, ev.StepFinished) and e.fact.step == "confirm")
            assert finished.evidence["confirm"] == {"confirmed": True, "approved_by": "bob", "comment": "I read the plan^[[2J"}

    run_warped(main())


def test_the_way_back_waits_for_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 82) as (_, pair):
            seat = pair.seat
            await pair.asked()
            assert pair.say().ok
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.DONE
            assert await seat.back() is Outcome.DONE, seat.tail()
            assert seat.state.serving is Side.BLUE
            assert kinds(seat.state).count("approval.asked") == 1

    run_warped(main())


def test_a_word_of_go_said_before_the_approval_flies_nothing_after_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 83) as (_, pair):
            seat = pair.seat
            await pair.asked()
            assert seat.pilot._flight is not None
            seat.pilot._flight.go()
            assert pair.say().ok
            await aborted(seat, f"not confirmed within {HOLDS_S:g} s")

    run_warped(main())


# --- who counts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("person", "said"),
    [
        (ANA, "asks for it: another person must approve"),
        (replace(BOB, uid=ME), "asks for it: another person must approve"),
        (Person(70_009, "ana"), "also the name of who asks"),
        (Person(70_003, "mallory"), "not among those who may approve"),
        (Person(70_004, "uid-70004"), "not among those who may approve"),
    ],
)
@pytest.mark.parametrize("approve", [True, False])
def test_who_is_no_second_person_can_neither_approve_nor_reject_nor_look(tmp_path: Path, person: Person, said: str, approve: bool) -> None:
    async def main() -> None:
        async with two(tmp_path, 84, Approvers(frozenset({BOB.uid, ME, 70_009}))) as (_, pair):
            await pair.asked()
            for answer in (pair.look(person), pair.say(person, approve=approve)):
                assert (answer.ok, answer.offer) == (False, None)
                assert said in answer.reason
            state = pair.seat.state
            assert state.handover is not None
            assert state.handover.awaits_second
            assert kinds(state) == ["approval.asked", "approval.refused"]

    run_warped(main())


def test_who_armed_it_over_the_wire_cannot_approve_it_whatever_they_call_themselves(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 85) as (_, pair):
            seat = pair.seat
            await seat.ready()
            assert (await seat.pilot.answer(Intent(Ask.ARM, "somebody@else", seat.state.seq, "", EVE.uid))).ok
            await seat.until(lambda s: s.handover is not None and s.handover.awaits_second)
            assert "asks for it" in pair.say(EVE).reason
            assert "also the name of who asks" in pair.say(Person(BOB.uid, "somebody")).reason
            assert "asks for it" in pair.say(ANA).reason, "who opened the run is no second person either"
            assert pair.say(BOB).ok

    run_warped(main())


def test_who_approved_does_not_confirm(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 86) as (_, pair):
            seat = pair.seat
            await pair.asked()
            assert pair.say(BOB).ok
            reply = await seat.pilot.answer(Intent(Ask.GO, "ana@bastion", seat.state.seq, "arp", BOB.uid))
            assert (reply.ok, reply.reason) == (False, "you approved it: another person must confirm it")

    run_warped(main())


def test_a_login_that_became_another_user_is_found() -> None:
    asker = Asker(frozenset({0}), frozenset({"root"}), login=1000)
    second = SecondDoor(Place(Path("/nowhere")), Approvers(anyone=True), asker, "")
    from cockpit.model.approvals import who_may_not

    assert "becoming another user" in who_may_not(Person(1001, "bob", login=1000), second.asker, second.approvers)
    assert who_may_not(Person(1001, "bob", login=1001), second.asker, second.approvers) == ""
    assert who_may_not(Person(1001, "bob"), second.asker, second.approvers) == ""
    assert "asks for it" in who_may_not(Person(0, "root"), second.asker, second.approvers), "root counts as root"


def test_a_groups_members_may_and_no_others() -> None:
    from cockpit.model.approvals import who_may_not

    asker, dba = Asker(frozenset({1}), frozenset({"ana"})), Approvers(gid=500)
    assert who_may_not(Person(2, "bob", groups=frozenset({100, 500})), asker, dba) == ""
    assert "not among" in who_may_not(Person(2, "bob", groups=frozenset({100})), asker, dba)
    assert "not among" in who_may_not(Person(0, "root", groups=frozenset({0})), asker, dba), "root counts as root"


# --- what a word must name ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"plan_digest": "another"}, "another handover or another plan"),
        ({"handover": 2}, "another handover or another plan"),
        ({"saw": 1}, "changed since you looked"),
        ({"saw": 10**9}, "changed since you looked"),
        ({"comment": " "}, "a comment is needed"),
        ({"typed": ""}, "type arp to approve"),
        ({"typed": "ARP"}, "type arp to approve"),
    ],
)
def test_a_word_that_does_not_name_it_all_is_not_taken(tmp_path: Path, said: dict[str, object], reason: str) -> None:
    async def main() -> None:
        async with two(tmp_path, 87) as (_, pair):
            await pair.asked()
            answer = pair.say(**said)
            assert not answer.ok
            assert reason in answer.reason
            assert kinds(pair.seat.state) == ["approval.asked", "approval.refused"]
            assert pair.say().ok, "and a right one still is"

    run_warped(main())


def test_what_changed_after_they_looked_must_be_looked_at_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 88) as (_, pair):
            await pair.asked()
            saw = pair.offer().seq
            pair.seat.recorder.record(ev.FindingSeen("D9", "public.t", Severity.WARN, "new", "", ""))
            assert "look again" in pair.say(saw=saw).reason
            assert pair.offer().findings[-1].check == "D9"
            assert pair.say(saw=pair.offer().seq).ok

    run_warped(main())


def test_what_is_shown_is_what_is_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 89) as (_, pair):
            state = await pair.asked()
            offer = pair.offer()
            plan = pair.seat.pilot._orders.plans[offer.direction]
            assert state.handover is not None
            assert (offer.handover, offer.plan_digest, offer.config_digest) == (1, plan.digest, "c")
            assert offer.asked_by == f"ana, uid {ME}"
            assert {gate.light for gate in offer.gates} == {Light.PASS}
            assert offer.recon is not None
            assert offer.recon.tables == ()
            assert 0 < offer.left_s <= ASKS_S
            assert offer.seq == pair.seat.state.seq

    run_warped(main())


# --- no, too late, void ----------------------------------------------------------------------------------------


def test_a_rejection_ends_the_arming_with_the_comment(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 90) as (_, pair):
            await pair.asked()
            assert pair.say(approve=False, comment="not on a Friday", typed="").ok
            await aborted(pair.seat, "rejected by bob: not on a Friday")
            assert kinds(pair.seat.state) == ["approval.asked", "approval.rejected"]
            answer = pair.say(EVE)
            assert "cutover 1 was rejected by bob: not on a Friday" in answer.reason

    run_warped(main())


def test_nobody_came_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 91) as (_, pair):
            await pair.asked()
            await aborted(pair.seat, f"no second person approved it within {ASKS_S:g} s")
            assert kinds(pair.seat.state) == ["approval.asked", "approval.expired"]
            assert "no longer waits" in pair.say().reason
            assert pair.look().offer is None

    run_warped(main())


def test_a_word_that_comes_after_the_expiry_is_refused_although_the_flight_has_not_ticked(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 92) as (_, pair):
            await pair.asked()
            loop = asyncio.get_running_loop()
            late, now = ASKS_S + 0.001, loop.time
            loop.time = lambda: now() + late  # type: ignore[method-assign]
            try:
                answer = pair.say()
            finally:
                loop.time = now  # type: ignore[method-assign]
            assert (answer.ok, answer.reason) == (False, f"the question expired: it was open for {ASKS_S:g} s")

    run_warped(main())


def test_an_approval_that_the_lead_does_not_use_expires(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 93) as (_, pair):
            await pair.asked()
            assert pair.say().ok
            await aborted(pair.seat, f"not confirmed within {HOLDS_S:g} s")
            assert kinds(pair.seat.state) == ["approval.asked", "approval.given", "approval.expired"]
            assert not (await pair.seat.ask(Ask.GO, "arp")).ok

    run_warped(main())


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("ask", [Ask.DISARM, Ask.ABORT, Ask.BACK])
def test_after_a_disarm_nothing_stands(tmp_path: Path, ask: Ask, given: bool) -> None:
    async def main() -> None:
        async with two(tmp_path, 94) as (_, pair):
            await pair.asked()
            seq = pair.offer().seq
            assert not given or pair.say().ok
            assert (await pair.seat.ask(ask)).ok
            await aborted(pair.seat, f"{ask} by ana")
            assert kinds(pair.seat.state)[-1] == "approval.expired"
            assert "no longer waits" in pair.say(EVE, saw=seq).reason
            number = len(pair.seat.state.past)
            assert (await pair.seat.ask(Ask.ARM)).ok
            state = await pair.seat.until(lambda s: s.handover is not None and s.handover.awaits_second)
            assert state.handover is not None
            assert state.handover.number == number + 1
            assert "another handover" in pair.say(handover=number).reason, "an earlier approval is not one of this"

    run_warped(main())


@pytest.mark.parametrize("given", [False, True])
def test_a_gate_that_turns_ends_it(tmp_path: Path, given: bool) -> None:
    async def main() -> None:
        async with two(tmp_path, 95) as (_, pair):
            await pair.asked()
            assert not given or pair.say().ok
            pair.seat.watched.gone = "the guardian is gone"
            await aborted(pair.seat, "disarmed: gate guardian turned")
            assert kinds(pair.seat.state)[-1] == "approval.expired"

    run_warped(main())


def test_a_finding_that_comes_after_the_approval_makes_it_void(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 96) as (_, pair):
            seat = pair.seat
            await pair.asked()
            assert pair.say().ok
            seat.recorder.record(ev.FindingSeen("D9", "public.t", Severity.WARN, "new", "", ""))
            reply = await seat.ask(Ask.GO, "arp")
            assert (reply.ok, reply.reason) == (False, "the approval is void: a gate or a finding changed after it")
            await aborted(seat, "the approval is void")

    run_warped(main())


def test_two_approvers_at_once_make_one_approval(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 97) as (_, pair):
            await pair.asked()
            answers = [pair.say(person) for person in (BOB, EVE, BOB)]
            assert [answer.ok for answer in answers] == [True, False, False]
            assert answers[1].reason == "cutover 1 was approved by bob"
            assert kinds(pair.seat.state).count("approval.given") == 1

    run_warped(main())


def test_an_approval_and_a_rejection_at_once_end_with_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 98) as (_, pair):
            await pair.asked()
            assert pair.say(EVE, approve=False, comment="no").ok
            assert not pair.say(BOB).ok
            await aborted(pair.seat, "rejected by eve: no")

    run_warped(main())


# --- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holds", [lambda s: s.mode is Mode.READY, lambda s: s.mode is Mode.ARMING])
def test_before_anything_waits_nothing_can_be_said(tmp_path: Path, holds: Callable[[RunState], bool]) -> None:
    async def main() -> None:
        async with two(tmp_path, 99) as (_, pair):
            await pair.seat.ready()
            if not holds(pair.seat.state):
                assert (await pair.seat.ask(Ask.ARM)).ok
            state = await pair.seat.until(holds)
            answer = pair.second.answer(BOB, Request(Word(True, 1, "p", state.seq, "early", "arp")))
            assert answer.reason == f"nothing waits for a second person: the run is {state.mode}"

    run_warped(main())


def test_in_the_window_nobody_comes_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 100) as (memory, pair):
            await pair.asked()
            assert pair.say().ok
            fault = memory.faults.add("apply drain*", "delay", seconds=1.0)
            assert not pair.second.closed()
            await pair.seat.go_into(fault)
            assert pair.second.closed()
            assert await pair.seat.landed(0) is Outcome.DONE

    run_warped(main())


def test_who_knocks_for_ever_does_not_fill_the_timeline(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 101) as (_, pair):
            await pair.asked()
            for _ in range(3 * REFUSALS):
                assert not pair.say(Person(70_003, "mallory")).ok
                assert not pair.look(Person(70_003, "mallory")).ok
            events = read(pair.seat.timeline).events
            assert sum(isinstance(event.fact, ev.ApprovalRefused) for event in events) == REFUSALS
            assert pair.say().ok

    run_warped(main())


def test_an_approval_that_cannot_be_recorded_counts_for_nothing(tmp_path: Path) -> None:
    from cockpit.errors import JournalError

    async def main() -> None:
        async with two(tmp_path, 102) as (_, pair):
            await pair.asked()
            append = pair.seat.journal.append

            def full(*args: object, **more: object) -> ev.Event:
                raise JournalError("cannot write the timeline: No space left on device")

            pair.seat.journal.append = full  # type: ignore[method-assign]
            with pytest.raises(JournalError):
                pair.say()
            pair.seat.journal.append = append  # type: ignore[method-assign]
            state = pair.seat.state
            assert state.handover is not None
            assert state.handover.approval is not None
            assert state.handover.approval.consent is Consent.ASKED
            assert not (await pair.seat.ask(Ask.GO, "arp")).ok

    run_warped(main())


def test_a_pilot_that_is_closed_while_it_waits_leaves_nothing_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, 103) as (_, pair):
            seat = pair.seat
            await pair.asked()
            assert [path.name for path in (tmp_path / "doors").iterdir()] == ["run.sock"]
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            assert await seat.task == 4
            assert kinds(seat.state) == ["approval.asked", "approval.expired"]
            assert list((tmp_path / "doors").iterdir()) == []
            assert seat.watched.stages == []

    run_warped(main())


# --- an approval is of the files that were approved -------------------------------------------------------------


@pytest.mark.parametrize("config", ["config", "another"])
@pytest.mark.parametrize("call", ["apply drain*", "apply resume*"])
def test_what_was_approved_goes_on_only_with_the_files_it_was_approved_with(tmp_path: Path, config: str, call: str) -> None:
    """Taken up with other files it still goes home; past the return nobody can go back on it, and it goes forward."""

    async def main() -> None:
        memory = MemoryWorld(seed=97, apps=3, poolers=1, channels=1, rate=2.0)
        door = SecondDoor(Place(tmp_path / "doors"), Approvers(frozenset({BOB.uid})), Asker(frozenset({ME}), frozenset({"ana"})), COMMAND)
        async with memory:
            await _approved_and_left(memory, Seat(memory, tmp_path, second_scenario(), door), door, call)
            seat = Seat(memory, tmp_path, second_scenario(), door, config)
            state = await seat.until(lambda s: s.mode is Mode.STUCK)
            assert state.handover is not None
            assert state.handover.past_return is (call == "apply resume*")
            reply = await seat.ask(Ask.RESUME, "arp")
            if config == "another" and not state.handover.past_return:
                said = "scenario or config changed since bob approved it: A, then Y brings it home, and it is approved anew"
                assert (reply.ok, reply.reason) == (False, said)
                assert (await seat.ask(Ask.ABORT)).ok
            else:
                assert reply.ok, reply
            state = await seat.until(lambda s: s.mode is Mode.READY)
            assert state.past[-1].outcome is (Outcome.DONE if reply.ok else Outcome.ABORTED), seat.tail()
            await seat.end()

    run_warped(main())


async def _approved_and_left(memory: MemoryWorld, seat: Seat, door: SecondDoor, call: str) -> None:
    """Its pilot was killed at `call`, with nobody left to bring it home."""
    pair = Pair(seat, door)
    await pair.asked()
    fault = memory.faults.add(call, "hang")
    assert pair.say().ok
    await seat.until(lambda s: s.handover is not None and s.handover.approval is not None and s.handover.approval.by == "bob")
    await seat.go_into(fault)
    bury(memory, seat)
    await gone(seat)
