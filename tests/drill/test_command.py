"""What `cockpit drill` ends with: on screen, unattended, and where a folder or a limit is in the way. No server is needed."""

from __future__ import annotations

import argparse
import io
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cockpit import cli
from cockpit.drill import command, headless
from cockpit.drill.lead import Lead
from cockpit.drill.scorecard import HandoverCard, Scorecard, Stall
from cockpit.errors import CockpitError, Refused
from cockpit.model import events as ev
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.scenario import load_scenario
from cockpit.timeline.folder import RunFolder, create
from cockpit.timeline.journal import Journal

HANDOVER = HandoverCard("cutover", "done", 5.25, 80.4, Stall(40.0, 49.5, 49.5), 0, 0, 0, 0.0, (), ())
CARD = Scorecard("pass", (), (HANDOVER,), True, (), {}, {})


def arguments(*words: str) -> argparse.Namespace:
    return cli._parser().parse_args(["drill", *words])


@dataclass
class Rig:
    """Stands where the rig's process does."""

    why: str = ""
    stopped: bool = False

    def failure(self) -> str:
        return self.why

    async def stop(self) -> None:
        self.stopped = True


def flown(runs: Path, *facts: ev.Fact) -> RunFolder:
    """A run that `facts` tell of."""
    folder = create(runs, "arp")
    journal = Journal.create(folder.timeline, "pilot")
    for fact in facts:
        journal.append(fact)
    journal.close()
    return folder


def one(direction: Direction, outcome: Outcome) -> tuple[ev.Fact, ...]:
    return (ev.HandoverOpened(1, direction, "p", "typed", 20.0), ev.HandoverClosed(1, outcome, 5.0, Side.BLUE, "", None))


# --- on screen -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handover", "closed", "code"),
    [
        ((), ev.RunClosed("done", 0, Side.BLUE, ()), 0),
        (one(Direction.CUTOVER, Outcome.DONE), ev.RunClosed("done", 0, Side.GREEN, ()), 0),
        (one(Direction.CUTOVER, Outcome.ABORTED), ev.RunClosed("aborted", 4, Side.BLUE, ()), 0),
        (one(Direction.ROLLBACK, Outcome.DONE), ev.RunClosed("rolled-back", 5, Side.BLUE, ()), 0),
        (one(Direction.CUTOVER, Outcome.STUCK), ev.RunClosed("failed", 1, Side.GREEN, ()), 1),
    ],
)
def test_a_drill_that_the_lead_ended_is_a_success_unless_something_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], handover: tuple[ev.Fact, ...], closed: ev.RunClosed, code: int
) -> None:
    folder, rig = flown(tmp_path, *handover, closed), Rig()
    assert command._end(folder, rig, None) == code  # type: ignore[arg-type]
    assert rig.stopped
    assert folder.name in capsys.readouterr().err


def test_a_drill_that_was_told_to_stop_before_its_pilot_had_looked_leaves_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = flown(tmp_path, ev.ModeChanged(Mode.OPENING, ""), ev.RunClosed("failed", 1, None, ()))
    folder.log.write_text("the pilot was told to end\n")
    assert command._end(folder, Rig(), None) == 0  # type: ignore[arg-type]
    assert capsys.readouterr().err == "the drill was ended before it flew\n"
    assert list(tmp_path.iterdir()) == []


def test_a_drill_whose_run_failed_by_itself_before_it_flew_says_why_and_leaves_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = flown(tmp_path, ev.AlarmRaised("left", "the pilot left the run open", "", ""), ev.RunClosed("failed", 1, None, ()))
    folder.log.write_text("/ro: Read-only file system; free it\n")
    before = command.wiring.closed_state(folder)
    assert before is not None
    assert command._end(folder, Rig(), before) == 1  # type: ignore[arg-type]
    assert capsys.readouterr().err == "/ro: Read-only file system; free it; the pilot left the run open\n"
    assert list(tmp_path.iterdir()) == []


def test_a_drill_whose_run_failed_by_itself_once_it_was_ready_stays(tmp_path: Path) -> None:
    folder = flown(tmp_path, ev.ModeChanged(Mode.READY, ""), ev.RunClosed("failed", 1, None, ()))
    before = command.wiring.closed_state(folder)
    assert command._end(folder, Rig(), before) == 1  # type: ignore[arg-type]
    assert folder.timeline.exists()


@pytest.mark.parametrize(
    ("why", "log", "said", "code"),
    [
        ("", "", "the drill was ended before it flew", 0),
        ("blue: the server did not start; port in use", "", "blue: the server did not start; port in use", 1),
        ("", "first\nrun folder: no space\n\n", "run folder: no space", 1),
    ],
)
def test_a_drill_that_never_flew_leaves_no_run_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], why: str, log: str, said: str, code: int
) -> None:
    folder = create(tmp_path, "arp")
    folder.log.write_text(log)
    assert command._end(folder, Rig(why), None) == code  # type: ignore[arg-type]
    assert capsys.readouterr().err == said + "\n"
    assert list(tmp_path.iterdir()) == []


# --- what is asked ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rows", "10"), "--rows 10 is out of range; from 1,000 to 50,000,000"),
        (("--apps", "0"), "--apps 0 is out of range; from 1 to 200"),
        (("--rate", "1e9"), "--rate 1e+09 is out of range; from 1 to 20,000"),
        (("--rate", "nan"), "--rate nan is out of range; from 1 to 20,000"),
        (("--repeat", "0"), "--repeat 0 is out of range; from 1 to 1,000"),
        (("--json",), "--json and --repeat belong to an unattended drill; add --headless"),
        (("--repeat", "2"), "--json and --repeat belong to an unattended drill; add --headless"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(Refused) as caught:
        command.drill(arguments(*words, "--runs", str(tmp_path / "runs")))
    assert str(caught.value) == said
    assert not (tmp_path / "runs").exists()


def test_an_unattended_drill_has_no_second_person(tmp_path: Path) -> None:
    text = Path("scenarios/arp.toml").read_text().replace("expires = 20 ", 'approval = "second"\nexpires = 20 ', 1)
    (tmp_path / "two.toml").write_text(text.replace("deadline = 25", "deadline = 1000", 1))
    asked = arguments("--headless", "--runs", str(tmp_path / "runs"))
    asked.scenario = str(tmp_path / "two.toml")
    with pytest.raises(Refused) as caught:
        command.drill(asked)
    assert str(caught.value) == (
        'the scenario arp asks for a second person, and an unattended drill has none; fly it on screen, or give it approval = "none"'
    )
    assert not (tmp_path / "runs").exists()


def test_the_command_line_says_more_than_the_scenario() -> None:
    scenario = load_scenario("arp")
    asked = command._asked(scenario, arguments("--rows", "60000", "--rate", "250"))
    assert asked == replace(scenario.drill, rows=60000, rate=250.0)


# --- unattended ------------------------------------------------------------------------------------------------------------


def unattended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, card: Scorecard, *words: str) -> int:
    async def fly(claim: object, flight: headless.Flight, tell: object) -> Scorecard:
        return card

    monkeypatch.setattr(headless, "fly", fly)
    monkeypatch.setattr(command, "new_folder", lambda: tmp_path)
    monkeypatch.setattr(command, "claim", lambda folder: None)
    return command.drill(arguments("--headless", "--runs", str(tmp_path), *words))


def test_the_verdict_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert unattended(monkeypatch, tmp_path, CARD, "--json") == 0
    assert capsys.readouterr().out == CARD.to_json() + "\n"
    bad = replace(CARD, verdict="fail", why=("1. cutover: 2 writes lost",))
    assert unattended(monkeypatch, tmp_path, bad) == 1
    assert capsys.readouterr().out.endswith("verdict: fail\n  1. cutover: 2 writes lost\n")


def test_the_table_has_a_line_for_each_handover() -> None:
    stuck = replace(HANDOVER, direction="rollback", outcome="stuck", downtime_ms=None)
    lines = command.render(replace(CARD, handovers=(HANDOVER, stuck), sides_equal=False, differing=("core.customer",))).splitlines()
    assert lines[1].split() == ["1", "cutover", "done", "5.2", "80", "ms", "40/50/50", "ms", "0", "0", "0"]
    assert lines[2].split()[:5] == ["2", "rollback", "stuck", "5.2", "-"]
    assert "the sides differ in core.customer" in lines


def test_a_run_folder_that_vanished_costs_the_scorecard_its_file_and_nothing_else(tmp_path: Path) -> None:
    told: list[str] = []
    folder = RunFolder(tmp_path / "gone")
    headless._keep(CARD, folder, told.append)
    assert told == [f"{folder.scorecard}: the scorecard could not be kept there: No such file or directory"]


class Standing:
    """Stands where the rig does: it comes up and goes."""

    def __init__(self, claim: object, wanted: object) -> None:
        self.config = Path("config.toml")

    async def __aenter__(self) -> Standing:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("mode", "left"), [(Mode.OPENING, 0), (Mode.READY, 1)])
async def test_an_unattended_drill_whose_pilot_dies_says_why_and_leaves_a_run_only_if_it_flew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, left: int
) -> None:
    async def fly(rig: object, claim: object, folder: RunFolder, flight: object, tell: object) -> Scorecard:
        folder.log.write_text("/ro: Read-only file system; free it\n")
        journal = Journal.create(folder.timeline, "pilot")
        for fact in (ev.ModeChanged(mode, ""), ev.AlarmRaised("left", "the pilot left", "", ""), ev.RunClosed("failed", 1, None, ())):
            journal.append(fact)
        journal.close()
        lead = Lead(folder)
        try:
            await lead.ready() if mode is Mode.OPENING else await lead.until(lambda s: False, 5.0, "a ready pilot")
        finally:
            await lead.leave()
        raise AssertionError("it was not ready")

    monkeypatch.setattr(headless, "Rig", Standing)
    monkeypatch.setattr(headless, "_flown", fly)
    flight = headless.Flight("arp", load_scenario("arp").drill, 1, 1, tmp_path)
    with pytest.raises(CockpitError) as caught:
        await headless.fly(None, flight, lambda line: None)  # type: ignore[arg-type]
    assert str(caught.value).endswith("the run closed while waiting for a ready pilot; /ro: Read-only file system; free it; the pilot left")
    assert len(os.listdir(tmp_path)) == left


# --- what the machine refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("err", "said"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/runs/x/scorecard.json"),
            "/runs/x/scorecard.json: No such file or directory; see",
        ),
        (OSError(28, "No space left on device"), "cockpit: No space left on device; see"),
    ],
)
def test_a_file_that_fails_is_one_line_and_no_defect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], err: OSError, said: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(_: argparse.Namespace) -> int:
        raise err

    monkeypatch.setattr(command, "drill", fail)
    assert cli.main(["drill"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(said)
    assert shown.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_defect_is_one_line_and_its_traceback_a_private_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(_: argparse.Namespace) -> int:
        raise KeyError("x")

    monkeypatch.setattr(command, "drill", fail)
    assert cli.main(["drill"]) == 1
    (file,) = tmp_path.iterdir()
    assert capsys.readouterr().err == f"cockpit: a defect: KeyError; details in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert cli.main(["drill"]) == 1
    assert capsys.readouterr().err == "cockpit: a defect: KeyError\n"


def test_a_result_that_cannot_be_written_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    dropped: list[bool] = []
    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(cli, "_drop_stdout", lambda: dropped.append(True))
    with pytest.raises(CockpitError, match="stdout: the result cannot be written: No space left on device"):
        cli.put("a result")
    assert dropped == [True]
