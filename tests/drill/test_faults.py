"""The faults by name, the tasks that a proof is made of, and how the table judges. No server is needed."""

from __future__ import annotations

import argparse
import uuid
from pathlib import Path

import pytest

from cockpit.drill import chaos, command
from cockpit.drill.chaos import kills, line, table
from cockpit.drill.environment import WAYS
from cockpit.drill.faults import FAULTS, READY, fault, listed
from cockpit.drill.ledger import Ack
from cockpit.drill.proxy import Kind
from cockpit.drill.rounds import Round, flowed_s, named
from cockpit.drill.scorecard import FaultCard, HandoverCard, Stall, _complaints
from cockpit.drill.striker import due_of
from cockpit.errors import Refused
from cockpit.handover.gates import GATES
from cockpit.handover.procedure import IDS
from cockpit.model.state import AlarmView, GateView, HandoverView, RunState, StepView
from cockpit.model.words import Direction, Light, Mode, Side, StepState
from tests.drill.test_command import CARD, arguments, unattended


def test_every_link_fails_in_every_way() -> None:
    assert {f"{way}-{kind}" for way in WAYS for kind in Kind} <= set(FAULTS)


def test_every_fault_says_what_it_is_and_strikes_somewhere() -> None:
    for each in FAULTS.values():
        assert each.at in (READY, *IDS)
        assert each.what
        assert bool(each.seen_by) == (each.at == READY)
        assert set(each.seen_by) <= {*GATES, "sequences"}
        assert each.name in listed()


def test_a_fault_is_asked_for_by_name_and_step() -> None:
    assert fault("pilot-killed").at == "drain"
    assert fault("pilot-killed@resume").at == "resume"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nonsense", "no fault 'nonsense'; `cockpit drill --fault list` prints them"),
        ("pilot-killed@lunch", "pilot-killed cannot strike at 'lunch'"),
        ("pilot-killed@ready", "pilot-killed cannot strike at 'ready'"),
        ("slot-dropped@drain", "slot-dropped cannot strike at 'drain'; leave the step out"),
    ],
)
def test_a_fault_that_there_is_not_is_refused_before_anything_starts(tmp_path: Path, asked: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        command.drill(arguments("--headless", "--fault", asked, "--runs", str(tmp_path / "runs")))
    assert str(caught.value).startswith(said)
    assert not (tmp_path / "runs").exists()


def test_the_list_is_printed_and_nothing_starts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command.drill(arguments("--fault", "list", "--runs", str(tmp_path / "runs"))) == 0
    assert capsys.readouterr().out == listed() + "\n"
    assert not (tmp_path / "runs").exists()


def flying(*, running: str, number: int = 1) -> RunState:
    done = IDS[: IDS.index(running)]
    steps = tuple(
        StepView(
            step, step, 1.0, False, StepState.RUNNING if step == running else StepState.WAITING, 1.0 if step in {*done, running} else None
        )
        for step in IDS
    )
    return RunState(seq=40, mode=Mode.WINDOW, handover=HandoverView(number, Direction.CUTOVER, steps, 0.0, "typed", opened_seq=10))


def test_a_fault_is_due_once_its_step_has_started() -> None:
    due = due_of(fault("pilot-killed@drain"))
    assert not due(RunState(mode=Mode.READY))
    assert not due(flying(running="quiesce"))
    assert due(flying(running="drain"))
    assert due(flying(running="verify")), "a step that was over too soon to be seen running"


def test_kills_are_seeded_at_records_and_at_times() -> None:
    assert [task.fault.name for task in kills(20, 7)] == [task.fault.name for task in kills(20, 7)]
    assert [task.fault.name for task in kills(20, 7)] != [task.fault.name for task in kills(20, 8)]
    records = [task for task in kills(20, 7) if "record" in task.fault.name]
    assert len(records) == 10
    number = int(records[0].fault.name.rsplit(" ", 1)[1])
    assert records[0].due(flying(running="drain")) == (number <= 30)


def test_what_others_did_is_named_by_a_gate_that_is_not_open_or_by_an_alarm() -> None:
    ddl = fault("column-on-blue")
    closed = GateView("schema", Light.FAIL, "the schema of blue changed", "SELECT 1", 7.0)
    assert named(RunState(gates=(closed,)), ddl) == ("schema", 7.0, "the schema of blue changed", "SELECT 1")
    assert named(RunState(gates=(GateView("schema", Light.PASS, "", "", 7.0), GateView("slot", Light.FAIL, "", "", 7.0))), ddl) is None
    assert named(RunState(alarms=(AlarmView("schema", "it changed", "SELECT 1", "", 9.0),)), ddl) == (
        "schema",
        9.0,
        "it changed",
        "SELECT 1",
    )


def ack(due: float, acked: float) -> Ack:
    return Ack(uuid.uuid4(), due, due, acked, Side.BLUE)


def test_writes_flow_when_the_last_one_that_was_held_up_is_answered() -> None:
    assert flowed_s([ack(9.9, 9.95)], 10.0) is None, "nobody wrote afterwards"
    assert flowed_s([ack(10.1, 10.2), ack(10.3, 10.4)], 10.0) == pytest.approx(0.2)
    assert flowed_s([ack(10.1, 10.2), ack(10.5, 13.0), ack(13.1, 13.2)], 10.0) == pytest.approx(3.0)


def test_the_table_counts_violations() -> None:
    good = Round("pilot-killed", "cutover", "window drain", "aborted by the guardian", 0.8)
    bad = Round("disk-full", "rollback", "window drain", "done", None, ("3 writes lost",))
    lines = table([good, bad]).splitlines()
    assert lines[1].split() == ["pilot-killed", "cutover", "window", "drain", "aborted", "by", "the", "guardian", "0.80", "s", "pass"]
    assert lines[2].endswith("FAIL: 3 writes lost")
    assert lines[-1] == "2 rounds, 1 violations"
    assert line(bad)[-2] == "-"


@pytest.mark.parametrize(("wrong", "code"), [((), 0), (("3 writes lost",), 1)])
def test_the_exit_code_tells_of_violations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: tuple[str, ...], code: int
) -> None:
    async def fly_all(where: object, tasks: object, tell: object) -> list[Round]:
        return [Round("none", "cutover", "window drain", "done", 0.1, wrong)]

    monkeypatch.setattr(chaos, "fly_all", fly_all)
    assert chaos.main(["none"]) == code
    assert f"1 rounds, {code} violations" in capsys.readouterr().out


def test_all_faults_are_flown_both_ways_unless_some_are_named() -> None:
    def tasks(*words: str) -> list[tuple[str, Direction | None]]:
        asked: argparse.Namespace = chaos._parser().parse_args(words)
        return [(task.fault.name, task.direction) for task in chaos._tasks(asked)]

    assert len(tasks()) == 2 * len(FAULTS)
    assert tasks("none", "--direction", "any") == [("none", None)]
    assert tasks("disk-full@arm", "--direction", "rollback") == [("disk-full", Direction.ROLLBACK)]
    assert len(tasks("--kills", "5")) == 5


HANDOVER = HandoverCard("cutover", "aborted", 1.0, 80.0, Stall(1.0, 1.0, 1.0), 3, 0, 0, 0.0, (), ())


def test_the_struck_handover_is_forgiven_its_end_and_its_errors_and_nothing_else() -> None:
    from dataclasses import replace

    card = FaultCard("pilot-killed", "killed", "window drain", 1, "aborted", 0.8)
    assert list(_complaints([HANDOVER], 0, card)) == []
    assert list(_complaints([HANDOVER], 0, None)) == ["1. cutover aborted", "1. cutover: 3 errors"]
    assert list(_complaints([replace(HANDOVER, lost=2)], 0, card)) == ["1. cutover: 2 writes lost"]
    assert list(_complaints([replace(HANDOVER, outcome="stuck")], 0, card)) == ["1. cutover stuck"]
    assert list(_complaints([HANDOVER], 0, replace(card, handover=2))) == ["1. cutover aborted", "1. cutover: 3 errors"]
    assert list(_complaints([], 0, replace(card, struck_in=""))) == ["pilot-killed never struck"]


def test_a_drill_under_a_fault_says_how_it_was_handled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    fault_card = FaultCard("pilot-killed", "the pilot's process is killed", "window drain", 1, "aborted by the guardian", 0.8)
    assert unattended(monkeypatch, tmp_path, replace(CARD, fault=fault_card), "--fault", "pilot-killed") == 0
    shown = capsys.readouterr().out
    assert "fault pilot-killed: the pilot's process is killed" in shown
    assert "struck in window drain; aborted by the guardian; writes flowed after 0.8 s" in shown
