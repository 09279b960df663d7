"""Business checks in a flight on twins: found by the preflight, read again after a landing, never inside a window."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.errors import LinkError
from cockpit.handover import business
from cockpit.handover.findings import look_alone
from cockpit.model import events as ev
from cockpit.model.beside import in_words
from cockpit.model.checks import CheckResult, Checks, CheckVerdict, Difference, Metric, Spot
from cockpit.model.intents import Ask
from cockpit.model.parity import Difference as Apart
from cockpit.model.parity import NotCarried, Parity, Weight
from cockpit.model.settings import Waiver
from cockpit.model.state import RunState
from cockpit.model.words import Mode, Outcome, Severity, Side
from cockpit.systems.memory import MemoryWorld
from cockpit.systems.memory.cluster import Row
from cockpit.systems.memory.warp import run_warped
from cockpit.timeline.journal import is_closed
from cockpit.timeline.wire import Door
from tests.handover.harness import Seat, flying, quick_scenario

ASKED = Checks((Metric("operations", "SELECT 1"),), (Spot("one", "SELECT 1"),))


def result(verdict: CheckVerdict, **more: object) -> CheckResult:
    return CheckResult("totals", "metric", verdict, "SELECT month, -- by month\n  sum(a) FROM s.t", groups=5, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdict", "severity", "said"),
    [
        (CheckVerdict.EQUAL, Severity.GOOD, "5 groups equal on blue and green"),
        (CheckVerdict.WITHIN, Severity.GOOD, "5 groups on blue and green why"),
        (CheckVerdict.DIFFERS, Severity.BLOCK, "2 of 5 groups DIFFER: why; month=1: blue 3, green 4; and 1 more"),
        (CheckVerdict.HOT, Severity.WARN, "2 of 5 groups moving, the others equal: why"),
        (CheckVerdict.FAILED, Severity.WARN, "not compared: why"),
    ],
)
def test_what_is_confirmed_to_differ_blocks_and_what_is_not_known_warns(verdict: CheckVerdict, severity: Severity, said: str) -> None:
    apart = (Difference("month=1", "3", "4"),)
    read = business.told(result(verdict, reason="why", differing=apart, differing_keys=2), 0)
    (found,) = business.findings([read])
    assert (found.check, found.object, found.severity, found.seen) == ("D16", "metric totals", severity, said)
    assert found.query == "SELECT month, sum(a) FROM s.t"
    assert bool(found.remedy) is (severity is not Severity.GOOD)
    (waived,) = business.findings([read], [Waiver("D16", "metric totals", "known"), Waiver("D15", "*", "another's")])
    assert waived.waived == ("" if severity is Severity.GOOD else "known")


def test_nothing_of_a_server_reaches_a_terminal_as_control() -> None:
    bad = "\x1b[2J\u202e"
    read = business.told(result(CheckVerdict.DIFFERS, reason=bad, differing=(Difference(bad, bad, bad),), differing_keys=1, title=bad), 1)
    assert in_words(read).isprintable()
    assert all(text.isprintable() for text in (read.title, *(part for d in read.differences for part in (d.key, d.blue, d.green))))


def test_a_flood_beside_the_rows_is_cut_and_counted_worst_first() -> None:
    def apart(n: int, weight: Weight) -> Apart:
        return Apart("index", f"i{n}", "a", "", weight, "CREATE INDEX", "SELECT\n 1", Side.GREEN)

    many = tuple(apart(n, Weight.LOOK if n % 2 else Weight.BAD) for n in range(100))
    told = business.beside(Parity(many, {"index": 200}, tuple(NotCarried("table", f"t{n}", (Side.BLUE,), "-") for n in range(50))))
    assert (told.objects, told.bad, told.look, told.left) == (200, 50, 50, 50)
    assert (len(told.differences), len(told.not_carried)) == (business.MOST_LISTED, business.MOST_LISTED)
    assert {d.weight for d in told.differences} == {Weight.BAD}
    assert told.differences[0].query == "SELECT 1"


def reads(seat: Seat, handover: int) -> list[ev.CheckRead]:
    return [e.fact for e in seat.state.tail if isinstance(e.fact, ev.CheckRead) and e.fact.handover == handover]


async def read_after(seat: Seat, handover: int) -> RunState:
    return await seat.until(lambda s: any(c.read.handover == handover for c in s.checks), 120)


def test_a_preflight_reads_them_and_so_does_every_landing(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=1, checks=ASKED)
        async with flying(memory, tmp_path) as seat:
            state = await seat.ready()
            assert [(f.check, f.object, f.severity) for f in state.findings if f.check == "D16"] == [
                ("D16", "metric operations", Severity.GOOD),
                ("D16", "spot one", Severity.GOOD),
            ]
            assert [(c.read.what, c.read.handover) for c in state.checks] == [("metric operations", 0), ("spot one", 0)]
            assert state.parity is not None
            assert await seat.hand_over() is Outcome.DONE
            state = await read_after(seat, 1)
            (proof,) = [e.fact for e in state.tail if isinstance(e.fact, ev.Certified)]
            assert (proof.metrics, proof.spots, proof.left) == (1, 1, ())
            flowing = next(e.mono for e in state.tail if isinstance(e.fact, ev.DowntimeEnded))
            assert all(c.mono > flowing + 1.0 for c in state.checks), "not in the first second after writes flow"
            assert {c.read.verdict for c in state.checks} == {CheckVerdict.EQUAL}
            assert await seat.back() is Outcome.DONE
            await read_after(seat, 2)

    run_warped(main())


async def back_with_a_reading_cut_short(memory: MemoryWorld, seat: Seat) -> None:
    """There and back; what was being read after the cutover hung when the rollback took off."""
    await seat.cut_over()
    memory.faults.add("reconciler.checks", "hang")
    await seat.until(lambda s: memory.faults.calls.count("reconciler.checks") == 2)
    assert await seat.back() is Outcome.DONE


def test_nothing_is_read_inside_a_window(tmp_path: Path) -> None:
    """A reading that hangs when the next handover takes off is given up, and that is said once the window is over."""

    async def main() -> None:
        memory = MemoryWorld(seed=2, checks=ASKED)
        async with flying(memory, tmp_path) as seat:
            await back_with_a_reading_cut_short(memory, seat)
            state = await read_after(seat, 1)
            told = [(e.mono, e.fact) for e in state.tail if isinstance(e.fact, ev.CheckRead) and e.fact.handover == 1]
            assert {fact.reason for _, fact in told} == {"given up for the window of a handover"}
            ended = [e.mono for e in state.tail if isinstance(e.fact, ev.DowntimeEnded)][-1]
            assert all(mono > ended for mono, _ in told)

    run_warped(main())


def test_nothing_is_told_of_them_behind_the_runs_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that was given up for a window is told a moment after it, in which the run may be closed; who looks at its last record finds
    that it ended."""

    async def slowly(door: Door) -> None:
        await asyncio.sleep(2 * business.REST_S)
        await close(door)

    close = Door.close
    monkeypatch.setattr(Door, "close", slowly)

    async def main() -> None:
        memory = MemoryWorld(seed=2, checks=ASKED)
        async with flying(memory, tmp_path) as seat:
            await back_with_a_reading_cut_short(memory, seat)
            assert (await seat.ask(Ask.CLOSE, seat.state.pair)).ok
            await seat.task
            last = [event.fact for event in seat.state.tail][-1]
            assert isinstance(last, ev.RunClosed)
            assert is_closed(seat.timeline)

    run_warped(main())


def test_a_landing_on_what_differs_is_an_alarm_until_it_is_equal(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=3, checks=ASKED)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            business.record(seat.recorder, [business.told(result(CheckVerdict.DIFFERS, differing_keys=1), 1)])
            (alarm,) = seat.state.alarms
            assert (alarm.id, alarm.query) == ("check metric totals", "SELECT month, sum(a) FROM s.t")
            assert "1 of 5 groups DIFFER" in alarm.what
            assert "cockpit repair" in alarm.remedy
            business.record(seat.recorder, [business.told(result(CheckVerdict.HOT, differing_keys=1), 1)])
            assert seat.state.alarms, "what moves is not equal"
            business.record(seat.recorder, [business.told(result(CheckVerdict.EQUAL), 0)])
            assert seat.state.alarms == ()

    run_warped(main())


def test_a_check_that_differs_holds_the_gate(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=4, checks=ASKED)
        async with flying(memory, tmp_path) as seat:
            await seat.armed()  # so that green follows blue
            assert (await seat.ask(Ask.DISARM)).ok
            await seat.ready()
            memory.cluster.streams[Side.GREEN].stalled = True  # or what is on green alone would come to blue
            stranger = Row("stranger", "somebody", 1, Side.GREEN, 1, asyncio.get_running_loop().time() - 60)
            memory.cluster.nodes[Side.GREEN].rows.append(stranger)
            memory.cluster.nodes[Side.GREEN].counts["stranger"] = 1
            assert (await seat.ask(Ask.RECHECK)).ok
            state = await seat.until(lambda s: any(f.check == "D16" and f.severity is Severity.BLOCK for f in s.findings))
            assert not (await seat.ask(Ask.ARM)).ok
            assert state.mode is Mode.READY

    run_warped(main())


def test_a_scenario_without_checks_is_told_nothing_of(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=5, checks=Checks())
        async with flying(memory, tmp_path) as seat:
            state = await seat.ready()
            assert not [f for f in state.findings if f.check == "D16"]
            assert await seat.hand_over() is Outcome.DONE
            assert seat.state.checks == ()

    run_warped(main())


def test_a_preflight_alone_finds_them_too() -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=6, checks=ASKED)
        async with memory:
            found = await look_alone(memory.world(), memory.pair, quick_scenario())
        assert [f.object for f in found if f.check == "D16"] == ["metric operations", "spot one"]

    run_warped(main())


def test_a_reading_that_fails_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=7, checks=ASKED)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            memory.faults.add("reconciler.checks", "error", error=LinkError("connection refused", where="green"))
            assert await seat.hand_over() is Outcome.DONE
            await read_after(seat, 1)
            assert {(r.verdict, r.reason) for r in reads(seat, 1)} == {(CheckVerdict.FAILED, "green: connection refused")}

    run_warped(main())
