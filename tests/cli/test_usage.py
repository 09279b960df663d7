"""Help, usage and what leaves no trace: everything that a user may type before any server is meant."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.typed import EXIT_CODES, cockpit, files

COMMANDS = (
    "init", "drill", "run", "plan", "preflight", "reconcile", "cleanup", "join", "watch", "replay", "approve", "bill", "repair", "export", "verify", "resume", "abort", "rollback", "runs",
)  # fmt: skip


def test_help_names_every_command_and_no_other() -> None:
    told = cockpit("--help")
    assert (told.code, told.err) == (0, "")
    assert tuple(re.findall(r"^    ([a-z_]+)\b", told.out, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_documents_its_exit_codes(command: str) -> None:
    told = cockpit(*command.split(), "--help")
    assert (told.code, told.err) == (0, "")
    documented = {int(code) for code in re.findall(r"^  (\d)  |   (\d)  ", told.out, re.MULTILINE) for code in code if code}
    assert documented == ({0, 1, 2} if command == "drill" else set(EXIT_CODES))
    assert all(len(line) <= 120 for line in told.out.splitlines())


def test_a_drills_help_promises_no_number_of_handovers() -> None:
    text = " ".join(cockpit("drill", "--help").out.split())
    assert "fly the scenario's handovers unattended, there and back in turn" in text
    assert "you ended it, whatever was flown" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan",), "cockpit plan: the following arguments are required: scenario, --config; see `cockpit plan --help`"),
        (("run", "arp"), "cockpit run: the following arguments are required: --config; see `cockpit run --help`"),
        (
            ("replay", "last", "--speed", "0"),
            "cockpit replay: argument --speed: '0' is no speed: a number from 0.01 to 1000; see `cockpit replay --help`",
        ),
        (("runs", "--nosuch"), "cockpit: unrecognized arguments: --nosuch; see `cockpit --help`"),
        (("drill", "--rows", "many"), "cockpit drill: argument --rows: invalid int value: 'many'; see `cockpit drill --help`"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(words: tuple[str, ...], said: str) -> None:
    told = cockpit(*words)
    assert (told.code, told.out, told.line) == (2, "", said)


def test_an_unknown_command_is_told_with_those_there_are() -> None:
    told = cockpit("frobnicate\x1b[31m\n")
    assert (told.code, told.out) == (2, "")
    assert "'frobnicate" in told.line
    assert all(f"'{name}'" in told.line for name in COMMANDS)
    assert "_guard" not in told.line
    assert "\x1b" not in told.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify", "nosuch"), "no run 'nosuch'; one of: there is none yet"),
        (("export", "last"), "no run 'last'"),
        (("plan", "nosuch", "--config", "config.example.toml"), "no scenario has this name"),
        (("plan", "arp", "--config", "nosuch.toml"), "nosuch.toml"),
        (("preflight", "arp", "--config", "."), "."),
        (("run", "arp", "--config", "config.example.toml"), "the screen needs a terminal"),
        (("join", "last"), "the screen needs a terminal"),
        (("watch", "last"), "the screen needs a terminal"),
        (("drill",), "the screen needs a terminal"),
        (("init",), "cockpit init: it asks, and here is no terminal; --yes takes the default of what no flag answers"),
        (("drill", "--headless", "--rows", "1"), "--rows 1 is out of range; from 1,000 to 50,000,000"),
    ],
)
def test_what_cannot_be_is_refused_with_code_2_and_leaves_nothing(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    told = cockpit(*words, env={"COCKPIT_RUNS": str(tmp_path / "runs"), "TMPDIR": str(tmp_path)})
    assert (told.code, told.out) == (2, "")
    assert said in told.err
    assert "Traceback" not in told.err
    assert files(tmp_path) == []


def test_no_runs_is_an_answer(tmp_path: Path) -> None:
    told = cockpit("runs", "--runs", str(tmp_path))
    assert (told.code, told.out, told.err) == (0, "no runs yet: `cockpit drill` makes one\n", "")
    assert cockpit("runs", "--runs", str(tmp_path), "--json").out == "[]\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_result_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        told = cockpit("runs", "--runs", str(tmp_path), stdout=full.fileno())
    assert told.code == 1
    assert told.line == "stdout: the result cannot be written: No space left on device; make room, or write it elsewhere"


def test_a_reader_that_left_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        told = cockpit("runs", "--runs", str(tmp_path), stdout=writer)
    finally:
        os.close(writer)
    assert (told.code, told.err) == (0, "")


def test_the_version_is_told() -> None:
    ran = subprocess.run(["cockpit", "--version"], capture_output=True, text=True, timeout=30, check=False) if _installed() else None
    told = cockpit("--version")
    assert re.fullmatch(r"cockpit \d+\.\d+\.\d+\n", told.out)
    assert ran is None or ran.stdout == told.out


def _installed() -> bool:
    from shutil import which

    return which("cockpit") is not None
