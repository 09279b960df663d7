"""A rig's folder is its own while it lives, and is swept with its processes when it is gone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cockpit.drill.folders import claim, new_folder, runtime_base, start_time, sweep
from cockpit.drill.privileges import Identity, server_identity


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    return folder


def test_a_claimed_folder_is_not_swept(base: Path) -> None:
    (base / "rig").mkdir()
    claimed = claim(base / "rig")
    assert sweep(base) == []
    claimed.release()
    assert not (base / "rig").exists()


def test_a_kept_folder_is_nobodys_and_is_swept(base: Path) -> None:
    (base / "rig").mkdir()
    claim(base / "rig").release(keep=True)
    assert sweep(base) == [base / "rig"]
    assert not (base / "rig").exists()


def test_a_folder_claimed_twice_is_refused(base: Path) -> None:
    (base / "rig").mkdir()
    claimed = claim(base / "rig")
    with pytest.raises(OSError):
        claim(base / "rig")
    claimed.release()


def test_a_new_folder_not_yet_claimed_is_left_alone(base: Path) -> None:
    (base / "rig").mkdir()
    assert sweep(base) == []


def test_what_a_killed_owner_left_is_ended_and_removed(base: Path) -> None:
    (base / "rig").mkdir()
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        claimed = claim(base / "rig")
        claimed.adopt(left.pid)
        claimed.release(keep=True)
        assert sweep(base) == [base / "rig"]
        assert left.wait(5) < 0
    finally:
        left.kill()
        left.wait()


def test_a_process_that_only_has_the_number_is_not_ended(base: Path) -> None:
    (base / "rig").mkdir()
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (base / "rig" / "children.jsonl").write_text(f'{{"pid": {other.pid}, "start": 1}}\n')
        claim(base / "rig").release(keep=True)
        sweep(base)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_torn_line_of_children_is_passed_over(base: Path) -> None:
    (base / "rig").mkdir()
    (base / "rig" / "children.jsonl").write_text('{"pid": 12')
    claim(base / "rig").release(keep=True)
    assert sweep(base) == [base / "rig"]


def test_the_start_time_tells_a_process_from_none() -> None:
    assert start_time(2**22 + 1) == 0
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        deadline = time.monotonic() + 10
        while start_time(child.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert start_time(child.pid) == 0, "a zombie counts as gone"
    finally:
        child.wait()


def test_new_folders_are_apart_private_and_within_reach_of_the_servers() -> None:
    one, two = new_folder("test-"), new_folder("test-")
    try:
        assert one != two
        assert one.parent == runtime_base()
        assert not one.stat().st_mode & 0o066
        assert server_identity().reaches(one)
    finally:
        one.rmdir()
        two.rmdir()


def test_a_closed_folder_is_out_of_reach_of_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    assert not Identity(60001, 60001).reaches(closed / "inner")
