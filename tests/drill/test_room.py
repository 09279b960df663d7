"""A disk without room is told before anything starts, and where it fills on the way, in one line that says what to do."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cockpit.drill import rig as rigs
from cockpit.drill import room, servers
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.privileges import Identity
from cockpit.drill.rig import Rig, Wanted
from cockpit.errors import CockpitError, LinkError, StepTimeout, SystemFault

NO_SPACE = 'PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device'
NO_MEMORY = 'could not resize shared memory segment "/PostgreSQL.7" to 8 bytes: No space left on device'
REMEDY = "free some, ask for fewer --rows, or set TMPDIR"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    (tmp_path / "rig").mkdir()
    claimed = claim(tmp_path / "rig")
    yield Rig(claimed, Wanted(rows=400_000))
    claimed.release()


def has(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


async def never(*_: object) -> None:
    raise AssertionError("something was started")


async def test_a_disk_that_is_too_small_for_the_rows_is_refused_before_anything_starts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, 330_000_000)
    monkeypatch.setattr(Rig, "_start", never)
    with pytest.raises(CockpitError) as caught:
        await rig.start()
    assert str(caught.value) == f"no room in {rig.folder.parent}: 330 MB free, about 402 MB needed; {REMEDY}"
    assert caught.value.exit_code == 1


def group(err: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("together", [ExceptionGroup("lanes", [err])])


@pytest.mark.parametrize(
    ("err", "log"),
    [
        (group(SystemFault("could not extend file\nHINT:  Check free disk space.", code="53100")), ""),
        (group(CockpitError("initdb failed", remedy="initdb: removing data directory")), NO_SPACE + "\nAborted\ninitdb: removing"),
        (LinkError("connection was closed in the middle of operation"), NO_SPACE),
        (OSError(errno.ENOSPC, "No space left on device", "config.toml"), ""),
    ],
)
async def test_a_disk_that_fills_while_the_rig_comes_up_is_told_in_one_line(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, err: Exception, log: str
) -> None:
    async def start(self: Rig) -> None:
        (rig.folder / "green").mkdir()
        (rig.folder / "green" / servers.LOG).write_text(log)
        has(monkeypatch, 12_345_678)
        raise err

    has(monkeypatch, 10**9)
    monkeypatch.setattr(Rig, "_start", start)
    with pytest.raises(CockpitError) as caught:
        await rig.start()
    assert str(caught.value) == f"no room in {rig.folder.parent}: 12 MB free, about 402 MB needed; {REMEDY}"


@pytest.mark.parametrize(
    ("err", "log"),
    [
        (SystemFault("relation does not exist", code="42P01"), ""),
        (SystemFault(NO_MEMORY, code="53100"), NO_MEMORY),
        (StepTimeout("it did not come"), "LOG:  started"),
        (OSError(errno.EACCES, "Permission denied"), ""),
    ],
)
async def test_every_other_failure_keeps_its_own_words(rig: Rig, monkeypatch: pytest.MonkeyPatch, err: Exception, log: str) -> None:
    async def start(self: Rig) -> None:
        (rig.folder / "blue").mkdir()
        (rig.folder / "blue" / servers.LOG).write_text(log)
        raise err

    has(monkeypatch, 10**9)
    monkeypatch.setattr(Rig, "_start", start)
    with pytest.raises(type(err)) as caught:
        await rig.start()
    assert caught.value is err
    monkeypatch.setattr(Rig, "_start", lambda self: _raised(group(err)))
    with pytest.raises(type(err)) as caught:
        await rig.start()
    assert caught.value is err


async def _raised(err: Exception) -> None:
    raise err


def test_a_copy_of_the_installation_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_folder = tmp_path / "package" / "pginstall" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "postgres").write_bytes(b"x" * 5000)
    (tmp_path / "package.libs").mkdir()
    (tmp_path / "package.libs" / "libx.so").write_bytes(b"x" * 300)
    (tmp_path / "package").chmod(0o700)
    monkeypatch.setattr(servers, "binaries", lambda major: bin_folder)
    monkeypatch.setattr(servers, "server_identity", lambda: Identity(60001, 60001))
    assert servers.copied((16, 18)) >= 2 * 5300
    assert room.needed(0, servers.copied((16, 18))) > room.BASE + 2 * 5300 - 1


@pytest.mark.servers
async def test_initdb_on_a_full_disk_is_told_as_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for `initdb`, since a disk cannot be filled everywhere: it says what the real one says, first the cause, then the rest."""
    rig = Rig(claim(new_folder("test-")), Wanted(rows=1000))
    script = rig.folder / "bin" / "initdb"
    script.parent.mkdir(mode=0o755)
    script.write_text(f"#!/bin/sh\necho '{NO_SPACE}'\necho Aborted\necho 'child process exited with exit code 134'\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(rigs.servers, "_prepare", lambda found, folder, identity: (folder.mkdir(), identity.owns(folder), script.parent)[2])
    with pytest.raises(CockpitError, match=r"no room in .*MB needed; free some"):
        await rig.start()
    assert json.loads((rig.folder / "progress.jsonl").read_text().splitlines()[0])["what"] == "starting PostgreSQL 16 and 18"
    await rig.stop()
