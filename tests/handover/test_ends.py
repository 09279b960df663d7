"""How a handover ends other than well: aborted, closed under way, stuck and taken up again; and when its alarms are over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.errors import SystemFault
from cockpit.handover.ports import Verification
from cockpit.handover.readiness import readiness
from cockpit.model.intents import Ask, Intent
from cockpit.model.state import RunState
from cockpit.model.telemetry import ReconSample, TableProof
from cockpit.model.words import Exactness, Mode, Outcome, ProofState, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.systems.memory.reconciler import MemoryReconciler
from cockpit.timeline.follow import Latest
from tests.handover.harness import applied, flying, quick_scenario, whole
from tests.handover.measured import LAG, RECON

REFUSED = SystemFault("permission denied", where="somewhere", code="42501")


# --- stuck, and taken up again ---------------------------------------------------------------------


@pytest.mark.parametrize("left_open", ["apply route channel-1 to blue", "apply resume pooler-1", "apply fence blue off"])
def test_a_way_home_that_stuck_is_gone_again_on_the_leads_word(tmp_path: Path, left_open: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=41, apps=4, poolers=2, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            memory.faults.add("apply drain*", "error", error=REFUSED)
            fault = memory.faults.add(left_open, "error", times=0, error=REFUSED)
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.STUCK, seat.tail()
            assert fault.seen
            assert any(alarm.id.startswith("open: ") for alarm in seat.state.alarms)
            memory.faults.clear()
            assert (await seat.ask(Ask.ABORT)).ok
            assert seat.state.mode is Mode.ABORTING
            state = await seat.until(lambda s: s.mode is Mode.READY)
            assert [(h.number, h.outcome) for h in state.past] == [(1, Outcome.ABORTED)]
            assert state.alarms == ()
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_a_dead_pooler_keeps_no_other_paused(tmp_path: Path) -> None:
    """On the way home every pooler goes its own way: the healthy one flows at once, not when the budget is used up."""

    async def main() -> None:
        memory = MemoryWorld(seed=42, apps=4, poolers=2, channels=0, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            memory.faults.add("apply drain*", "error", error=REFUSED)
            memory.faults.add("apply route pooler-1 to blue", "hang", times=0)
            assert (await seat.ask(Ask.GO, "arp")).ok
            state = await seat.until(lambda s: s.mode is Mode.ABORTING)
            began = state.mono
            await seat.until(lambda s: not memory.poolers[1].paused)
            assert asyncio.get_running_loop().time() - began < 1.0
            assert await seat.landed(0) is Outcome.STUCK
            assert [alarm.id for alarm in seat.state.alarms] == ["open: route pooler-1 to blue"]

    run_warped(main())


def test_a_landing_that_stuck_is_finished_on_the_leads_word(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=43, apps=4, poolers=2, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            memory.faults.add("apply resume pooler-2", "error", times=0, error=REFUSED)
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.STUCK, seat.tail()
            assert seat.state.serving is Side.GREEN
            assert [alarm.id for alarm in seat.state.alarms] == ["open: resume pooler-2", "resume"]
            memory.faults.clear()
            state = await seat.abort()
            assert [(h.number, h.outcome) for h in state.past] == [(1, Outcome.DONE)]
            assert state.alarms == ()
            await whole(memory, Side.GREEN)

    run_warped(main())


def test_a_stuck_handover_is_left_alone_while_somebody_else_flies_the_pair(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=44, apps=2, poolers=1, channels=0, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            memory.faults.add("apply drain*", "error", error=REFUSED)
            memory.faults.add("apply resume pooler-1", "error", times=0, error=REFUSED)
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.STUCK, seat.tail()
            memory.faults.clear()
            memory.cluster.owner, made = "bob@elsewhere pid 2", len(memory.faults.calls)
            assert (await seat.ask(Ask.ABORT)).ok
            state = await seat.until(lambda s: s.mode is Mode.STUCK)
            assert "bob@elsewhere" in state.mode_why
            assert applied(memory.faults, made) == []
            memory.cluster.owner = ""

    run_warped(main())


# --- the lead's word -------------------------------------------------------------------------------


def test_a_rollback_in_its_window_is_aborted_by_abort_and_not_by_back(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=45, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            fault = memory.faults.add("apply drain*", "delay", seconds=1.0)
            assert (await seat.ask(Ask.BACK)).ok
            await seat.until(lambda s: bool(fault.seen))
            reply = await seat.ask(Ask.BACK)
            assert not reply.ok
            assert "A, then Y" in reply.reason
            assert (await seat.ask(Ask.ABORT)).ok
            assert await seat.landed(1) is Outcome.ABORTED
            assert seat.state.past[-1].why == "abort by ana"
            await whole(memory, Side.GREEN)

    run_warped(main())


@pytest.mark.parametrize("mode", [Mode.ARMING, Mode.ARMED])
def test_closing_while_armed_ends_aborted_and_nothing_flies(tmp_path: Path, mode: Mode) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=46, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            assert (await seat.ask(Ask.ARM)).ok
            await seat.until(lambda s: s.mode is mode)
            assert (await seat.ask(Ask.CLOSE, "arp")).ok
            assert not (await seat.ask(Ask.GO, "arp")).ok
            assert not (await seat.ask(Ask.BACK)).ok
            assert await seat.task == 4
            assert seat.state.outcome == "aborted"
            assert seat.watched.stages == []

    run_warped(main())


def test_two_arms_make_one_flight(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=47, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            intent = Intent(Ask.ARM, "ana", seat.state.seq)
            replies = await asyncio.gather(*(seat.pilot.answer(intent) for _ in range(5)))
            assert [reply.ok for reply in replies] == [True, False, False, False, False]
            await seat.until(lambda s: s.mode is Mode.ARMED)
            assert memory.faults.calls.count("servers.lock") == 2, "once when the run opened, once for the one flight"

    run_warped(main())


@pytest.mark.parametrize("ask", [Ask.GO, Ask.BACK])
def test_a_word_said_on_a_picture_of_another_handover_is_refused(tmp_path: Path, ask: Ask) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=48, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            before = (await seat.ready()).seq
            await seat.armed()
            reply = await seat.pilot.answer(Intent(ask, "ana", before, "arp"))
            assert (reply.ok, reply.reason) == (False, "said on an older picture: look again")

    run_warped(main())


@pytest.mark.parametrize("when", ["arming", "armed"])
def test_a_lock_that_somebody_else_holds_by_now_ends_it_before_anything_is_touched(tmp_path: Path, when: str) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=49, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            if when == "armed":
                await seat.armed()
            memory.cluster.owner, made = "bob@elsewhere pid 2", len(memory.faults.calls)
            assert (await seat.ask(*((Ask.GO, "arp") if when == "armed" else (Ask.ARM,)))).ok
            assert await seat.landed(0) is Outcome.ABORTED
            assert "bob@elsewhere" in seat.state.past[-1].why
            assert applied(memory.faults, made) == []
            assert seat.watched.stages == []
            memory.cluster.owner = ""

    run_warped(main())


# --- the proof inside the window ------------------------------------------------------------------------


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Verification]:
    """What every verification finds; empty: what is so."""
    answers: list[Verification] = []
    real = MemoryReconciler.verify_changed

    async def verify(self: MemoryReconciler, origin: Side, target: Side, box_s: float) -> Verification:
        return answers[0] if answers else await real(self, origin, target, box_s)

    monkeypatch.setattr(MemoryReconciler, "verify_changed", verify)
    return answers


UNPROVEN = Verification(None, 0, 1, unproven=("public.orders",), seconds=0.5)
DIFFERENT = Verification(False, 3, 1, differing=("public.orders",), seconds=0.1)


def test_a_rollback_goes_on_unproven_and_says_so(tmp_path: Path, found: list[Verification]) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=50, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            found.append(UNPROVEN)
            seen: list[str] = []
            assert (await seat.ask(Ask.BACK)).ok
            await seat.until(lambda s: seen.extend(a.what for a in s.alarms) or (len(s.past) == 2 and s.mode is Mode.READY))  # type: ignore[func-returns-value]
            assert seat.state.past[-1].outcome is Outcome.DONE, seat.tail()
            assert any("handed over unproven: public.orders" in what for what in seen)
            await seat.until(lambda s: s.alarms == ())
            await whole(memory, Side.BLUE)

    run_warped(main())


def test_a_cutover_does_not_go_on_unproven(tmp_path: Path, found: list[Verification]) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=51, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            found.append(UNPROVEN)
            await seat.ready()
            assert await seat.hand_over() is Outcome.ABORTED
            assert "could not be proven" in seat.state.past[-1].why

    run_warped(main())


def test_a_difference_ends_a_rollback_too(tmp_path: Path, found: list[Verification]) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=52, apps=4, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            found.append(DIFFERENT)
            assert await seat.back() is Outcome.ABORTED
            assert "public.orders" in seat.state.past[-1].why
            await whole(memory, Side.GREEN)

    run_warped(main())


# --- alarms end when what they ask for is seen ------------------------------------------------------------


def test_an_app_that_comes_later_ends_the_alarm_of_the_proof(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=53, apps=4, poolers=1, channels=0, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            late = memory.apps[0]
            late.running = False
            blue = memory.cluster.nodes[Side.BLUE]
            assert (await seat.ask(Ask.GO, "arp")).ok
            assert await seat.landed(0) is Outcome.DONE
            assert [alarm.id for alarm in seat.state.alarms] == ["prove"], seat.tail()
            assert late.plan.name in seat.state.alarms[0].what
            assert not blue.app_sessions()
            late.running = True
            again = asyncio.create_task(late.run())
            await seat.until(lambda s: s.alarms == ())
            late.running = False
            await again

    run_warped(main())


def test_a_mirror_that_comes_later_ends_its_alarm(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=54, apps=2, poolers=1, channels=0, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()
            back = memory.cluster.streams[Side.GREEN]
            canary = memory.faults.add("apply canary green to blue", "delay", seconds=0.5)
            assert (await seat.ask(Ask.GO, "arp")).ok
            await seat.until(lambda s: bool(canary.seen))
            back.stalled = True
            assert await seat.landed(0) is Outcome.DONE
            assert [alarm.id for alarm in seat.state.alarms] == ["mirror"], seat.tail()
            began = asyncio.get_running_loop().time()
            await seat.until(lambda s: asyncio.get_running_loop().time() > began + 20)
            assert [alarm.id for alarm in seat.state.alarms] == ["mirror"]
            back.stalled = False
            await seat.until(lambda s: s.alarms == ())

    run_warped(main())


# --- readiness ------------------------------------------------------------------------------------------------


def latest(state: ProofState = ProofState.EQUAL, recon: ReconSample | None = RECON, *, owed: bool = True) -> Latest:
    made = Latest(lag=LAG)
    if recon is not None:
        made.take(replace(recon, tables=(TableProof("sales.orders", 5, 5, state, Exactness.EXACT, 0.5, owed=owed),)))
    return made


def test_the_forecast_of_a_rollback_is_of_all_its_steps() -> None:
    scenario = quick_scenario()
    sample = readiness(100.0, RunState(serving=Side.BLUE), scenario, latest(), 2.0)
    assert {share.what for share in sample.shares} == set(scenario.steps) - {"confirm"}
    planned = sum(step.planned for id, step in scenario.steps.items() if id not in {"gates", "confirm"})
    assert sample.seconds == pytest.approx(planned + max(gate.hold for gate in scenario.rollback_gates))


def test_what_a_cutovers_arming_took_says_nothing_of_a_rollback(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=55, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            memory.faults.add("apply replicate blue to green", "delay", seconds=40)
            assert await seat.hand_over() is Outcome.DONE
            made = readiness(100.0, seat.state, quick_scenario(), latest(), 2.0)
            assert next(share.seconds for share in made.shares if share.what == "arm") == quick_scenario().steps["arm"].planned

    run_warped(main())


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (latest(), ""),
        (latest(ProofState.DIRTY), ""),
        (latest(ProofState.SCANNING), "sales.orders"),
        (latest(ProofState.PENDING), "sales.orders"),
        (latest(ProofState.UNVERIFIABLE), "sales.orders"),
        (latest(ProofState.UNVERIFIABLE, owed=False), ""),
        (latest(recon=replace(RECON, tables_total=4)), "3 tables not looked at yet"),
        (latest(recon=None), "reconciliation is not running"),
        (latest(recon=replace(RECON, mono=50.0)), "reconciliation is not running"),
    ],
)
def test_readiness_says_what_would_go_unproven(seen: Latest, said: str) -> None:
    assert readiness(100.0, RunState(serving=Side.BLUE), quick_scenario(), seen, 2.0).unproven == said
