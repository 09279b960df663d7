"""A closed timeline that lost its end is refused; one that is open is said to be; every reason makes a sentence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from cockpit import cli
from cockpit.errors import JournalDamaged
from cockpit.model import events as ev
from cockpit.model.words import Mode, Side
from cockpit.timeline.closing import beside, noted
from cockpit.timeline.export import export
from cockpit.timeline.folder import RunFolder, create
from cockpit.timeline.journal import Journal, read, seal

CLOSED = ev.RunClosed("done", 0, Side.GREEN, ())


def run(runs: Path, *facts: ev.Fact) -> tuple[RunFolder, Journal]:
    folder = create(runs, "arp")
    journal = Journal.create(folder.timeline, "pilot")
    for fact in (ev.ModeChanged(Mode.OPENING, ""), ev.NoteTaken("ana", "x"), ev.ModeChanged(Mode.READY, ""), *facts):
        journal.append(fact)
    return folder, journal


def verify(folder: RunFolder, *words: str) -> int:
    arguments: argparse.Namespace = cli._parser().parse_args(["verify", str(folder.root), *words])
    code: int = arguments.command(arguments)
    return code


def keep(folder: RunFolder, records: int, more: bytes = b"") -> None:
    lines = folder.timeline.read_bytes().splitlines(keepends=True)
    folder.timeline.write_bytes(b"".join(lines[:records]) + more)


def test_records_cut_off_a_closed_run_are_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, journal = run(tmp_path, CLOSED)
    journal.close()
    assert verify(folder) == 0
    assert capsys.readouterr().out == f"{folder.name}: intact, 4 records, head {journal.head[:16]}\n"
    for records, more in ((3, b""), (2, b'{"seq":3,"at')):
        keep(folder, records, more)
        assert verify(folder) == 1
        missing = f"{folder.name}: DAMAGED at record {records + 1}: it is missing: the run was closed with 4 records\n"
        assert capsys.readouterr().out == missing
        assert verify(folder, "--json") == 1
        assert json.loads(capsys.readouterr().out)["damaged_record"] == records + 1
    with pytest.raises(JournalDamaged, match="record 3 is missing"):
        Journal.take_up(folder.timeline, "pilot")


def test_a_closed_run_that_was_written_anew_is_damage(tmp_path: Path) -> None:
    folder, journal = run(tmp_path, CLOSED)
    journal.close()
    other, again = run(tmp_path, ev.RunClosed("failed", 1, Side.BLUE, ()))
    again.close()
    folder.timeline.write_bytes(other.timeline.read_bytes())
    reading = read(folder.timeline)
    assert (len(reading.events), reading.damaged_record) == (3, 4)
    assert reading.damage == "is not the one that the run was closed with"


def test_what_is_remembered_after_the_end_counts_as_well(tmp_path: Path) -> None:
    folder, journal = run(tmp_path, CLOSED)
    journal.close()
    journal, reading = Journal.take_up(folder.timeline, "aside")
    assert reading.closed
    journal.append(ev.NoteTaken("ben", "afterwards"))
    journal.close()
    assert read(folder.timeline).intact
    keep(folder, 4)
    assert read(folder.timeline).damage == "is missing: the run was closed with 5 records"


def test_an_open_run_says_so_and_whether_it_is_flown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, journal = run(tmp_path)
    assert noted(folder.timeline) is None
    assert verify(folder) == 0
    assert capsys.readouterr().out.endswith("; ends open: no closing record, it is in the air\n")
    journal.close()
    assert verify(folder) == 0
    assert capsys.readouterr().out.endswith("; ends open: no closing record, and nobody flies it\n")
    assert verify(folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["closed"], told["flown"]) == (False, False)


@pytest.mark.parametrize("content", [b"", b"{", b'{"records":"x","head":""}', b"\xff"])
def test_a_hint_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    folder, journal = run(tmp_path, CLOSED)
    journal.close()
    assert beside(folder.timeline).stat().st_mode & 0o777 == 0o600
    beside(folder.timeline).write_bytes(content)
    assert noted(folder.timeline) is None
    assert read(folder.timeline).intact


def test_a_hint_that_cannot_be_written_closes_the_run_all_the_same(tmp_path: Path) -> None:
    folder, journal = run(tmp_path)
    beside(folder.timeline).mkdir()
    journal.append(CLOSED)
    journal.close()
    assert read(folder.timeline).closed


def resealed(line: bytes, was: bytes, now: bytes) -> bytes:
    """The line with other words and a hash that fits them."""
    assert was in line
    return seal(line.rpartition(b',"hash":"')[0].replace(was, now))[0]


def damaged(lines: list[bytes]) -> dict[str, list[bytes]]:
    return {
        "is not a sealed record": [lines[0], b"x" * 200 + b"\n"],
        "has a hash that does not match its content": [lines[0], lines[1].replace(b"ana", b"eve")],
        "is not an event (KeyError)": [lines[0], resealed(lines[1], b'"kind":"note"', b'"kind":"none"')],
        "does not follow the record before it": [lines[0], lines[2]],
        "says it is number 7": [lines[0], resealed(lines[1], b'"seq":2', b'"seq":7')],
        "is missing: the run was closed with 4 records": lines[:1],
    }


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("format", ["md", "html"])
def test_a_report_tells_every_damage_in_a_sentence(tmp_path: Path, number: int, format: str) -> None:
    folder, journal = run(tmp_path, CLOSED)
    journal.close()
    why, content = list(damaged(folder.timeline.read_bytes().splitlines(keepends=True)).items())[number]
    folder.timeline.write_bytes(b"".join(content))
    report = export(folder.root, format)
    assert f"DAMAGED at record 2: it {why}. Only the 1 records before it are shown." in report
