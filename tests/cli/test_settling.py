"""`resume`, `abort`, `rollback` and `join` of runs that cannot be taken up: one line, an exit code, and the run as it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cockpit.left import billed, left_open, owing
from cockpit.model import events as ev
from cockpit.model.words import Direction, Outcome, Side
from cockpit.timeline.folder import RunFolder, create
from cockpit.timeline.journal import Journal, is_closed
from cockpit.wiring import Launch
from tests.cli.typed import cockpit, on_terminal
from tests.screen.demo import READY, story

COMMANDS = ("resume", "abort", "rollback")


def run_in(runs: Path, *facts: ev.Fact, launch: bool = True, config: Path = Path("/etc/arp.toml"), drill: bool = False) -> RunFolder:
    """A run that nobody flies, with a demo's timeline up to its being ready, then `facts`."""
    folder = _newest(create(runs, "arp"))
    journal = Journal.create(folder.timeline, "pilot")
    for event in story(READY).state.tail:
        journal.append(event.fact, durable=False)
    for fact in facts:
        journal.append(fact, durable=False)
    journal.close()
    if launch:
        folder.launch.write_bytes(msgspec.json.encode(Launch(str(config.resolve()), "arp", "arp", "ana", "bastion", drill)))
    return folder


def _newest(folder: RunFolder) -> RunFolder:
    """The folder, named behind every other: no lead opens two runs of a pair within a second, as a test does."""
    stamp, _, rest = folder.name.partition("-arp-")
    later = folder.root.with_name(f"{stamp}.{len(list(folder.root.parent.iterdir())):03d}-arp-{rest}")
    return RunFolder(folder.root.rename(later))


CLOSED = ev.RunClosed("aborted", 4, Side.BLUE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_run_is_over(tmp_path: Path, command: str) -> None:
    folder = run_in(tmp_path, CLOSED)
    told = cockpit(command, "last", "--runs", str(tmp_path), "--confirm", "arp")
    assert told.code == 2
    assert told.line == (
        f"{folder.name}: the run is closed: aborted, blue serves; `cockpit export` reads it, `cockpit run` opens a new one"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_run_is_read_only(tmp_path: Path, command: str) -> None:
    folder = run_in(tmp_path)
    content = folder.timeline.read_bytes()
    folder.timeline.write_bytes(content.replace(b'"pilot"', b'"pylot"', 3))
    before = folder.timeline.read_bytes()
    told = cockpit(command, "last", "--runs", str(tmp_path), "--confirm", "arp")
    assert told.code == 1
    assert "record 1 " in told.line
    assert "read-only" in told.line
    assert folder.timeline.read_bytes() == before


def test_a_run_that_does_not_say_how_it_was_started_is_not(tmp_path: Path) -> None:
    folder = run_in(tmp_path, launch=False)
    told = cockpit("abort", folder.name, "--runs", str(tmp_path), "--confirm", "arp")
    assert told.code == 2
    assert "does not say how it was started" in told.line


def test_a_closed_run_cannot_be_joined(tmp_path: Path) -> None:
    run_in(tmp_path, CLOSED)
    told = on_terminal("join", "last", "--runs", str(tmp_path))
    assert told.code == 2
    assert "the run is closed" in told.err


def test_a_run_whose_config_is_gone_says_which(tmp_path: Path) -> None:
    run_in(tmp_path, config=tmp_path / "gone.toml")
    told = cockpit("abort", "last", "--runs", str(tmp_path), "--confirm", "arp", seconds=90)
    assert told.code == 1
    assert "gone.toml" in told.err
    assert "could not be taken up" in told.err
    assert "Traceback" not in told.err


def test_only_an_open_run_of_the_same_config_and_pair_was_left(tmp_path: Path) -> None:
    config = tmp_path / "arp.toml"
    run_in(tmp_path, CLOSED, config=config)
    run_in(tmp_path, config=tmp_path / "other.toml")
    run_in(tmp_path, config=config, drill=True)
    run_in(tmp_path, config=config, launch=False)
    assert left_open(tmp_path, config, "arp") is None
    left = run_in(tmp_path, config=config)
    assert left_open(tmp_path, config, "arp") == left
    assert left_open(tmp_path, config, "otc") is None


def test_the_last_line_tells_a_closed_run(tmp_path: Path) -> None:
    assert is_closed(run_in(tmp_path, CLOSED).timeline)
    assert not is_closed(run_in(tmp_path).timeline)
    assert not is_closed(tmp_path / "none")


FORCED = (
    ev.HandoverOpened(2, Direction.ROLLBACK, "digest", "arp ungraceful", ungraceful=True),
    ev.ReturnPassed(Side.BLUE),
    ev.HandoverClosed(2, Outcome.DONE, 3.0, Side.BLUE),
)
"""An ungraceful rollback that was flown."""
BILLED = ev.BillExported("ana", 7, 1, "0/10", "0/20", "/somewhere/changes.jsonl", "abc")


def test_what_a_run_left_behind_is_owed_until_it_was_read(tmp_path: Path) -> None:
    config = tmp_path / "arp.toml"
    run_in(tmp_path, config=config)
    assert (owing(tmp_path, config, "arp"), billed(tmp_path, config, "arp")) == (None, False)
    run_in(tmp_path, *FORCED, BILLED, CLOSED, config=config)
    assert (owing(tmp_path, config, "arp"), billed(tmp_path, config, "arp")) == (None, True)
    unread = run_in(tmp_path, *FORCED, CLOSED, config=config)
    assert (owing(tmp_path, config, "arp"), billed(tmp_path, config, "arp")) == (unread, False)
    assert owing(tmp_path, config, "otc") is None
