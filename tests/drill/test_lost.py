"""A drill whose terminal closes while it starts: nothing of it is left, and nothing flies on unseen."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cockpit.drill import command
from cockpit.drill.supervisor import Owner, _until_asked
from cockpit.screen import curtain
from cockpit.screen.look import Look
from cockpit.screen.options import Ending
from cockpit.timeline.folder import create
from cockpit.timeline.journal import Journal
from tests.screen.terminal import Terminal


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for rigs that the servers' user can enter."""
    with tempfile.TemporaryDirectory(prefix="c-", dir="/tmp") as folder:
        os.chmod(folder, 0o1777)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def until(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        subprocess.run(["true"], check=True)
    return False


def rigs(base: Path) -> list[Path]:
    return list(base.glob("cockpit-drill-*/rig-*"))


@pytest.mark.pty
@pytest.mark.servers
@pytest.mark.timeout(120)
@pytest.mark.parametrize("started", [False, True])
def test_a_drill_whose_terminal_closes_while_it_starts_leaves_nothing(temporary: Path, tmp_path: Path, started: bool) -> None:
    runs = tmp_path / "runs"
    terminal = Terminal(100, 30, "-m", "cockpit", "drill", "--rows", "1000", "--runs", str(runs))
    if started:
        terminal.wait_for(b"making ARP", 30)
    else:
        assert until(lambda: bool(list(temporary.glob("cockpit-drill-*/rig-*/owner.lock"))), 30)
    assert rigs(temporary)
    os.close(terminal.master)
    assert until(lambda: os.waitpid(terminal.pid, os.WNOHANG)[0] == terminal.pid, 15)
    assert until(lambda: not rigs(temporary), 40), "the rig is told to stop"
    assert list(runs.iterdir()) == [], "a run that never flew is not kept"


@pytest.mark.pty
def test_a_terminal_that_is_gone_cannot_be_given_back_and_that_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    master, end = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(end, encoding="utf-8") as stdin, open(os.dup(end), "w", encoding="utf-8") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", stdin)
        patched.setattr(sys, "stderr", stderr)
        with curtain.Curtain(Look("dark", False), drill=True):
            os.close(master)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stderr.fileno())  # what could not be written is written when it is closed


class Rig:
    """Stands where the rig's process does, as it lives."""

    alive = True
    progress_file = Path("progress.jsonl")

    def __init__(self) -> None:
        self.stopped, self.left = False, False

    def failure(self) -> str:
        return ""

    def lingers(self) -> None:
        self.left = True

    async def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize(
    ("ending", "opened", "stopped"),
    [
        (Ending.LOST, False, True),
        (Ending.LOST, True, False),
        (Ending.LEFT, False, False),
        (Ending.CRASHED, False, False),
    ],
)
def test_only_a_drill_that_was_seen_or_left_on_purpose_flies_on(tmp_path: Path, ending: Ending, opened: bool, stopped: bool) -> None:
    folder, rig = create(tmp_path, "arp"), Rig()
    journal = Journal.create(folder.timeline, "pilot") if opened else None
    assert command._after_screen(folder, rig, ending) == 0  # type: ignore[arg-type]
    if journal:
        journal.close()
    assert (rig.stopped, rig.left) == (stopped, not stopped)
    assert folder.root.exists() is not stopped


async def test_a_rig_alone_before_its_run_began_ends_at_once_unless_it_was_left_on_purpose(tmp_path: Path) -> None:
    import asyncio

    folder = create(tmp_path / "runs", "arp")
    nobody = Owner(2**22 + 1, 7, 900.0)
    await asyncio.wait_for(_until_asked(tmp_path, nobody, asyncio.Event(), str(folder.root)), 5.0)
    for mark in (tmp_path / "lingers", folder.timeline):
        mark.touch()
        waiting = asyncio.create_task(_until_asked(tmp_path, nobody, asyncio.Event(), str(folder.root)))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        waiting.cancel()
        mark.unlink()
