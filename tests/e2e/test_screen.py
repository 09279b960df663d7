"""The screen as people use it, in a terminal, on a pair that is really flown: a lead, somebody who watches, a second person, a lost terminal."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from cockpit.drill.folders import claim, new_folder
from cockpit.drill.rig import Rig
from tests.cli.second import as_user
from tests.e2e.test_guardian import SMALL
from tests.e2e.tmux import Tmux, tmux
from tests.quick import quick

pytestmark = [pytest.mark.drill, pytest.mark.pty, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

WIDE, SMALLEST = (120, 40), (80, 24)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with Rig(claim(new_folder("test-")), SMALL) as made:
        yield made


def end(named: str, number: signal.Signals) -> bool:
    """Whether a process had a word of its command that begins like that; it was sent the signal."""
    found = False
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(word.startswith(named.encode()) for word in (process / "cmdline").read_bytes().split(b"\0")):
                os.kill(int(process.name), number)
                found = True
    return found


@pytest.fixture(autouse=True)
def nobody_left(tmp_path: Path) -> Iterator[None]:
    """A run outlives its screen, and so a test that fails in the middle: its pilot and guardian end here."""
    yield
    end(str(tmp_path), signal.SIGKILL)


@pytest.fixture
def no_rig_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So does a drill's rig: it flies on for a quarter of an hour."""
    folder = tempfile.mkdtemp(prefix="c-", dir="/tmp")
    Path(folder).chmod(0o1777)
    monkeypatch.setenv("TMPDIR", folder)
    yield
    until = time.monotonic() + 30
    while end(folder, signal.SIGTERM) and time.monotonic() < until:
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def flying(rig: Rig, tmp_path: Path) -> tuple[str, ...]:
    """The words that open a run on the rig."""
    return ("run", str(quick(tmp_path)), "--config", str(rig.config), "--runs", str(tmp_path / "runs"))


def typed(screen: Tmux, then: str) -> None:
    """The pair's name and Enter, until what they lead to stands there. A key that comes right after the question appeared was meant for
    something else, so it is given again; nothing is given before what was typed last is seen, or is not."""
    said = screen.until("type arp: ")
    while then not in said:
        field = settled(screen)
        if field == "arp":
            screen.press("Enter")
        elif field == "":
            screen.types("arp")
        elif field is not None:
            screen.press("C-u")
        said = screen.until("type arp: ", "sent, waiting", then)


def settled(screen: Tmux) -> str | None:
    """What stands in the field once it stays the same for a while; None where there is no field."""
    before: str | None = "?"
    while True:
        found = re.search(r"type arp: (\S*?)_ ", screen.text)
        field = found[1] if found else None
        if field == before:
            return field
        before = field
        time.sleep(0.5)


def closed(screen: Tmux) -> int:
    """The run is closed as a lead closes it, once the handover has ended that was flown last; the program's exit code."""
    screen.until("✓ ready")
    screen.press("Q")
    typed(screen, "run closed")
    screen.press("q")
    return screen.until_ended()


async def test_a_lead_flies_loses_the_terminal_comes_back_and_goes_home(flying: tuple[str, ...], tmp_path: Path) -> None:
    runs = ("--runs", str(tmp_path / "runs"))
    with tmux(WIDE, *flying) as lead:
        lead.until("✓ ready", within_s=90)
        lead.press("a")
        lead.until("T-00:")
        while "ABORT?" not in lead.until("ABORT?", "arming", "HOLD", "type arp: "):
            lead.press("A")
        lead.press("Y")
        lead.until("cutover 1 ABORTED")
        lead.until("✓ ready")
        lead.press("a")
        typed(lead, "cutover 2 done")
        lead.until("GREEN serves")
    with tmux(SMALLEST, "join", "last", *runs) as again, tmux(SMALLEST, "watch", "last", *runs) as watching:
        watching.until("GREEN serves")
        watching.press("B")
        watching.until("this screen only watches")
        again.until("GREEN serves")
        again.press("B")
        again.until("BACK TO BLUE?")
        again.press("x")
        again.until("stayed: nothing was done")
        again.press("B")
        again.until("BACK TO BLUE?")
        again.press("Y")
        again.until("rollback 3 done")
        again.until("BLUE serves")
        watching.until("BLUE serves")
        assert closed(again) == 5, "rolled back"
        watching.until("run closed")
        watching.press("q")
        assert watching.until_ended() == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes a second person")
async def test_a_second_person_approves_what_the_lead_then_flies(rig: Rig, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    scenario = quick(tmp_path, {r'# approval = "second"': 'approval = "second"', r"deadline = 25\b": "deadline = 1000"})
    with tmux(WIDE, "run", str(scenario), "--config", str(rig.config), "--runs", str(tmp_path / "runs")) as lead:
        lead.until("✓ ready", within_s=90)
        lead.press("a")
        lead.until("WAITING for a second person")
        (run,) = [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()]
        said = as_user(nobody.pw_uid, nobody.pw_gid, "approve", run, "--approve", "arp", "--comment", "seen at two")
        assert said.code == 0, said
        typed(lead, "cutover 1 done")
        lead.press("B")
        lead.until("BACK TO BLUE?")
        lead.press("Y")
        lead.until("rollback 2 done")
        assert closed(lead) == 5


async def test_a_drill_is_shown_round_and_ended(no_rig_left: None, tmp_path: Path) -> None:
    with tmux(SMALLEST, "drill", "--rows", "3000", "--rate", "75", "--runs", str(tmp_path / "runs")) as lead:
        lead.until("✓ ready", within_s=120)
        lead.until("T shows you round")
        lead.press("T")
        lead.until("enter")
        lead.press("Escape")
        lead.until("T shows you round")
        lead.press("q")
        lead.until("end the drill?")
        lead.press("Escape")
        lead.until("T shows you round")
        lead.press("q")
        lead.until("end the drill?")
        lead.press("Y")
        assert lead.until_ended(60) == 0
