"""A run whose folder takes nothing more: told at once, with how to go on; and a pilot that looks for long is told as that."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cockpit import settling
from cockpit.drill.lead import Lead
from cockpit.errors import CockpitError
from cockpit.settling import Wish
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.room import check_room
from tests.cli.test_refusals import mounted
from tests.cli.test_settling import COMMANDS, run_in
from tests.cli.typed import cockpit, files, on_terminal

SOON_S = 10.0
"""Far less than a pilot is waited for."""


def fill(folder: Path) -> None:
    """Nothing more goes there."""
    with (folder / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(iter(lambda: bytes(4096), None))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_told_at_once_and_how_to_go_on(tmp_path: Path, command: str) -> None:
    with mounted(tmp_path / "full", "size=4m") as runs:
        folder = run_in(runs)
        fill(runs)
        before, began = files(folder.root), time.monotonic()
        told = cockpit(command, folder.name, "--runs", str(runs), "--confirm", "arp")
        assert time.monotonic() - began < SOON_S
        assert files(folder.root) == before
    assert told.code == 1
    assert told.line == (
        f"{folder.root}: the disk of the run folder is full; free 16 MB there, or copy the folder elsewhere (cp -a {folder.root} DIR) "
        "and give the copy's path: it is taken up as the run itself"
    )


def test_a_copy_elsewhere_has_room(tmp_path: Path) -> None:
    """What is told to do leads on: the copy, named by its path, is started."""
    with mounted(tmp_path / "full", "size=4m") as runs:
        folder = run_in(runs, config=tmp_path / "gone.toml")
        fill(runs)
        subprocess.run(["cp", "-a", str(folder.root), str(tmp_path)], check=True)
    told = cockpit("abort", str(tmp_path / folder.name), "--confirm", "arp")
    assert "is full" not in told.err
    assert "gone.toml" in told.err


def test_joining_says_so_too(tmp_path: Path) -> None:
    with mounted(tmp_path / "full", "size=4m") as runs:
        run_in(runs)
        fill(runs)
        told = on_terminal("join", "last", "--runs", str(runs))
    assert told.code == 1
    assert "the disk of the run folder is full" in told.err


def test_where_files_may_not_grow_the_reason_is_told(tmp_path: Path) -> None:
    """As a full disk, for who may not mount one."""
    run_in(tmp_path)
    had = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, had[1]))
    try:
        told = cockpit("abort", "last", "--runs", str(tmp_path), "--confirm", "arp")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, had)
    assert told.code == 1
    assert "the run folder takes nothing: File too large" in told.line
    assert "cp -a" in told.line


def test_what_has_room_is_left_as_it_was(tmp_path: Path) -> None:
    folder = run_in(tmp_path)
    before = files(folder.root)
    check_room(folder)
    assert files(folder.root) == before


# --- waiting for a pilot ---------------------------------------------------------------------------------------------

OWNER = "token"
"""Who flew the run before: the pilot of the demo."""


@contextmanager
def guardian(program: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def refused(folder: RunFolder, process: subprocess.Popen[bytes]) -> str:
    async def main() -> str:
        lead = Lead(folder)
        with pytest.raises(CockpitError) as raised:
            await settling._seen(lead, folder, Wish.ABORT, process, OWNER)
        await lead.leave()
        return str(raised.value)

    return asyncio.run(main())


def test_a_pilot_that_looks_for_longer_than_is_waited_stays_up_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_in(tmp_path)
    monkeypatch.setattr(settling, "SEEN_S", 0.05)
    with guardian("import signal; signal.pause()") as process:
        told = refused(folder, process)
        assert process.poll() is None
    again = f"its pilot stays up and looks on: say `cockpit abort {folder.name} --runs {tmp_path}` again"
    assert told == f"{folder.name}: a pilot that has looked did not come within 0.05 s; {again}"


def test_a_disk_that_fills_up_while_a_pilot_starts_is_told(tmp_path: Path) -> None:
    """Its last words are nowhere: the folder did not take them."""
    with mounted(tmp_path / "full", "size=4m") as runs, guardian("") as process:
        folder = run_in(runs)
        fill(runs)
        process.wait()
        assert "the disk of the run folder is full; free 16 MB" in refused(folder, process)
