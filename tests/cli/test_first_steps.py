"""`cockpit` alone: what is here is told with the commands that go on with it, and nothing happens that was not chosen."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cockpit import __version__
from cockpit.first_steps import Offer, Section, here, render
from cockpit.model import events as ev
from cockpit.model.words import Direction
from cockpit.timeline.folder import RunFolder, find
from cockpit.timeline.journal import Journal, read
from tests.cli.test_settling import CLOSED, run_in
from tests.cli.typed import Answer, environment, files
from tests.screen.terminal import Terminal

EXAMPLE = Path("config.example.toml").absolute()
ROOT = Path.cwd()
HALF_WAY = (
    ev.HandoverOpened(1, Direction.CUTOVER, "digest", "typed", steps=(ev.PlannedLine("steer", "steer", 0.3, False),)),
    ev.StepStarted("steer"),
)


def alone(folder: Path, *words: str) -> Answer:
    """`cockpit` as it is typed in `folder`, without a terminal."""
    ran = subprocess.run(
        [sys.executable, "-m", "cockpit", *words],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        env=environment({"COCKPIT_RUNS": str(folder / "runs"), "PYTHONPATH": str(ROOT)}),
    )  # fmt: skip
    return Answer(ran.returncode, ran.stdout, ran.stderr)


def commands(text: str) -> list[str]:
    return re.findall(r"^ +(?:\d+  )?(cockpit .+?)(?:  .*)?$", text, re.MULTILINE)


def offers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Offer]:
    """What is offered of the runs in `folder`."""
    monkeypatch.setenv("COCKPIT_RUNS", str(folder))
    return [offer for section in here() if section.title.startswith("runs") for offer in section.offers]


def live(runs: Path, *facts: ev.Fact) -> RunFolder:
    """A run that nobody flies any more, of no drill."""
    run = run_in(runs)
    facts = (*(_no_drill(event.fact) for event in read(run.timeline).events), *facts)
    run.timeline.unlink()
    journal = Journal.create(run.timeline, "pilot")
    for fact in facts:
        journal.append(fact, durable=False)
    journal.close()
    return run


def _no_drill(fact: ev.Fact) -> ev.Fact:
    return replace(fact, drill=False) if isinstance(fact, ev.RunOpened) else fact


def end_of(run: RunFolder) -> str:
    return "-".join(run.name.split("-")[-2:])


def test_an_empty_folder_offers_a_config_and_a_drill(tmp_path: Path) -> None:
    told = alone(tmp_path)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"cockpit {__version__}: ")
    assert commands(told.out) == ["cockpit init", "cockpit drill arp"]
    assert "ARP: blue (legacy) to green (new), and back" in told.out
    assert files(tmp_path) == []


def test_a_config_is_offered_with_what_it_can_do_and_what_it_lacks(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / "my.toml")
    shutil.copy(EXAMPLE, tmp_path / "config.example.toml")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    (tmp_path / "broken.toml").write_text("[pairs.\n")
    told = alone(tmp_path)
    assert (told.code, told.err) == (0, "")
    assert [command for command in commands(told.out) if "toml" in command] == [
        "cockpit plan arp --config broken.toml",
        *(f"cockpit {name} arp --config my.toml" for name in ("plan", "preflight", "run")),
    ]
    assert "1 mistake in it: this lists it" in told.out
    assert re.search(r"not set here: ARP_BLUE_PASSWORD, ARP_BLUE_REPLICATION_PASSWORD, and \d+ more", told.out)
    assert all(len(line) <= 79 for line in told.out.splitlines())


def test_each_pair_of_several_is_named(tmp_path: Path) -> None:
    sides = '.blue]\nhost = "a"\ndatabase = "d"\nuser = "u"\n', '.green]\nhost = "b"\ndatabase = "d"\nuser = "u"\n'
    (tmp_path / "two.toml").write_text("".join(f"[pairs.{pair}{side}" for pair in ("arp", "otc") for side in sides))
    told = alone(tmp_path)
    assert "cockpit preflight arp --config two.toml --pair otc" in commands(told.out)
    tried = alone(tmp_path, "plan", "arp", "--config", "two.toml", "--pair", "otc")
    assert (tried.code, tried.err) == (0, "")


def test_a_config_in_a_folder_with_blanks_is_a_command_that_can_be_typed(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / "it's my.toml")
    told = alone(tmp_path)
    (command,) = [command for command in commands(told.out) if command.startswith("cockpit plan")]
    assert command == """cockpit plan arp --config 'it'"'"'s my.toml'"""


# --- runs ------------------------------------------------------------------------------------------------------------


def test_the_newest_runs_are_offered_by_the_end_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run_in(tmp_path, CLOSED) for _ in range(8)]
    found = offers(tmp_path, monkeypatch)
    assert [offer.words for offer in found] == [*(("replay", end_of(run)) for run in reversed(runs[2:])), ("runs",)]
    assert re.fullmatch(r"aborted, blue serves; arp drill, ana, just now", found[0].about), found[0].about
    assert found[-1].about == "2 more"


def test_a_run_in_the_air_comes_first_then_one_that_is_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half_way, flown, left = live(tmp_path, *HALF_WAY), run_in(tmp_path), run_in(tmp_path, *HALF_WAY, drill=True)
    closed = run_in(tmp_path, CLOSED)
    descriptor = os.open(flown.timeline, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        found = offers(tmp_path, monkeypatch)
    finally:
        os.close(descriptor)
    assert [offer.words[1] for offer in found] == [end_of(run) for run in (flown, half_way, closed, left)]
    assert found[0].words[0] == "join"
    assert found[0].about.startswith("in the air, blue serves; arp")


def test_a_live_run_that_a_crash_left_half_way_is_loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = live(tmp_path, *HALF_WAY)
    (found,) = offers(tmp_path, monkeypatch)
    assert found.words == ("join", end_of(run))
    assert found.about.startswith("LEFT HALF WAY, NOBODY FLIES IT; arp, ")


def test_a_live_run_that_was_left_at_rest_can_be_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live(tmp_path)
    (found,) = offers(tmp_path, monkeypatch)
    assert (found.words[0], found.about.split(";")[0]) == ("join", "left open, nobody flies it")


def test_a_damaged_run_is_offered_to_be_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_in(tmp_path)
    run.timeline.write_bytes(run.timeline.read_bytes().replace(b'"pilot"', b'"pylot"', 3))
    (found,) = offers(tmp_path, monkeypatch)
    assert (found.words, found.about) == (("verify", end_of(run)), "its timeline cannot be trusted")


def test_runs_of_a_config_are_offered_where_they_are_kept(tmp_path: Path) -> None:
    run = run_in(tmp_path / "kept", CLOSED)
    (tmp_path / "my.toml").write_text(EXAMPLE.read_text().replace('runs = "runs"', 'runs = "kept"'))
    told = alone(tmp_path)
    (command,) = [command for command in commands(told.out) if "replay" in command]
    assert command == f"cockpit replay {end_of(run)} --runs kept"
    verified = alone(tmp_path, "verify", end_of(run), "--runs", "kept")
    assert verified.code == 0, verified.err


def test_a_name_that_ends_like_another_is_told_as_far_as_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_in(tmp_path, CLOSED)
    second = first.root.with_name("20200101-000000-" + end_of(first))
    shutil.copytree(first.root, second)
    found = [offer.words[1] for offer in offers(tmp_path, monkeypatch)]
    assert found == ["-".join(run.split("-")[1:]) for run in (first.name, second.name)]
    assert [find(tmp_path, name).name for name in found] == [first.name, second.name]


def test_a_folder_of_runs_that_cannot_be_read_hides_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCKPIT_RUNS", str(tmp_path / ("x" * 300)))
    runs, *others = here()
    assert runs.offers == (Offer((), "cannot be read: File name too long; see that the folder is yours"),)
    assert [offer.words[0] for section in others for offer in section.offers][-1] == "drill"


def test_what_files_say_steers_no_terminal() -> None:
    text = render([Section("a section", (Offer(("plan", "x\x1b[2J\n"), "said \x1b]0;x\x07"),))], numbered=True)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 6


# --- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def menu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """`cockpit` in a terminal, in a folder with one closed run and nothing else."""
    run_in(tmp_path / "runs", CLOSED)
    monkeypatch.setenv("COCKPIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(80, 24, "-m", "cockpit")
    terminal.wait_for(b"[1-3]: ", 30)
    yield terminal
    os.close(terminal.master)


@pytest.mark.pty
@pytest.mark.parametrize("key", [b"\n", b"q\n", b"\x03", b"\x04"])
def test_who_chooses_nothing_leaves_with_0(menu: Terminal, key: bytes) -> None:
    assert b"  2  cockpit init " in menu.seen
    menu.press(key)
    assert menu.ended() == 0
    assert b"Traceback" not in menu.seen


@pytest.mark.pty
def test_a_number_that_there_is_not_is_asked_again(menu: Terminal) -> None:
    menu.press(b"9\n")
    menu.wait_for(b"[1-3]: ")
    menu.press("²\n".encode())
    menu.wait_for(b"[1-3]: ")
    assert b"[1-3]: " in menu.seen
    menu.press(b"\n")
    assert menu.ended() == 0


@pytest.mark.pty
def test_a_number_starts_that_very_command(menu: Terminal) -> None:
    menu.press(b"2\n")
    menu.wait_for(b"pair: its name", 30)
    menu.wait_for(b"[arp] ")
    menu.press(b"\x03")
    assert menu.ended() == 130, "as `cockpit init` itself"


def test_how_long_ago_is_told_in_one_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCKPIT_RUNS", str(tmp_path))
    run_in(tmp_path, CLOSED)
    now = datetime(2126, 1, 1, tzinfo=UTC)
    (about,) = [offer.about for section in here(now) if section.title.startswith("runs") for offer in section.offers]
    assert re.search(r", \d{5} d ago$", about)
