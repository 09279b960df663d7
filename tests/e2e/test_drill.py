"""A whole drill, flown as a person types it: cutover, rollback, second cutover on real servers under load, and what is left afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.quick import SOAK, shipped_but

pytestmark = [pytest.mark.drill, pytest.mark.timeout(240)]

ASKED = ("--rows", "60000", "--apps", "15", "--rate", "300")


@dataclass(frozen=True)
class Place:
    """Where a drill may write: everything it starts carries `root` in its environment or its command."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def cockpit(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "TMPDIR": str(self.root), "COCKPIT_RUNS": str(self.runs)}
        environ.pop("XDG_RUNTIME_DIR", None)
        command = [sys.executable, "-m", "cockpit", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=environ, stdin=subprocess.DEVNULL)

    def processes(self) -> list[str]:
        """The commands of all processes that belong to this place."""
        return [_command(pid) for pid in Path("/proc").iterdir() if pid.name.isdigit() and self._owns(pid)]

    def _owns(self, pid: Path) -> bool:
        mark = os.fsencode(self.root)
        try:
            return mark in (pid / "cmdline").read_bytes() or mark in (pid / "environ").read_bytes()
        except OSError:
            return False


def _command(pid: Path) -> str:
    try:
        return (pid / "cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return pid.name


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    # Not pytest's own folder, which the user that the servers run as may not enter.
    root = Path(tempfile.mkdtemp(prefix="cockpit-e2e-", dir="/tmp"))
    root.chmod(0o755)
    yield Place(root)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def drill(place: Place, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    scenario = shipped_but(tmp_path_factory.mktemp("scenario"), SOAK)
    return place.cockpit("drill", str(scenario), "--headless", "--json", *ASKED, seconds=200)


@pytest.fixture
def card(drill: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert drill.returncode in {0, 1}, drill.stderr
    found: dict[str, Any] = json.loads(drill.stdout)
    return found


def test_cutover_rollback_and_second_cutover_are_done(drill: subprocess.CompletedProcess[str], card: dict[str, Any]) -> None:
    flown = [(each["direction"], each["outcome"]) for each in card["handovers"]]
    assert flown == [("cutover", "done"), ("rollback", "done"), ("cutover", "done")], drill.stderr
    assert (card["verdict"], card["why"], drill.returncode) == ("pass", [], 0)


def test_the_load_was_real(card: dict[str, Any]) -> None:
    assert card["rig"]["rows"] >= 60_000
    assert len(card["handovers"][0]["apps"]) == 15
    # Three soaks of two seconds and the flights between them, at 300 a second.
    assert card["rig"]["writes"] > 10 * 300
    assert {app["channel"] for app in card["handovers"][0]["apps"]} == {"pool", "file", "secret"}


def test_no_acknowledged_write_is_lost_or_doubled(card: dict[str, Any]) -> None:
    assert [(each["lost"], each["duplicated"]) for each in card["handovers"]] == [(0, 0)] * 3


def test_never_were_two_sides_writable(card: dict[str, Any]) -> None:
    assert [each["overlap_ms"] for each in card["handovers"]] == [0.0] * 3


def test_both_sides_hold_the_same(card: dict[str, Any]) -> None:
    assert (card["sides_equal"], card["differing"]) == (True, [])
    assert card["sums"]["blue"] == card["sums"]["green"]
    assert card["sums"]["blue"]["rows"] > 60_000


def test_no_app_behind_the_pooler_saw_an_error(card: dict[str, Any]) -> None:
    assert [each["errors"] for each in card["handovers"]] == [0, 0, 0]
    assert all(0 < each["stall_ms"]["max"] < 5000 for each in card["handovers"])


@pytest.mark.usefixtures("drill")
def test_nothing_of_the_rig_is_left(place: Place) -> None:
    assert place.processes() == []
    left = [path.relative_to(place.root) for path in place.root.rglob("*") if not path.is_relative_to(place.runs)]
    assert [path for path in left if not (place.root / path).is_dir()] == []
    assert [path for path in left if len(path.parts) > 1] == []


@pytest.mark.usefixtures("drill")
def test_the_run_verifies_and_is_listed(place: Place) -> None:
    (run,) = place.runs.iterdir()
    verified = place.cockpit("verify", "last", "--json")
    told = json.loads(verified.stdout)
    assert (verified.returncode, told["run"], told["intact"], told["torn"]) == (0, run.name, True, "")
    assert told["records"] > 100
    (row,) = json.loads(place.cockpit("runs", "--json").stdout)
    assert (row["run"], row["drill"], row["handovers"], row["serving"], row["outcome"]) == (run.name, True, 3, "green", "done")
    assert run.name in place.cockpit("runs").stdout


@pytest.mark.parametrize(("format", "start"), [("md", "# "), ("html", "<!doctype html>"), ("json", "{")])
@pytest.mark.usefixtures("drill")
def test_the_run_exports(place: Place, format: str, start: str) -> None:
    (run,) = place.runs.iterdir()
    made = place.cockpit("export", "last", "--format", format)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.lower().startswith(start)
    assert run.name in made.stdout
    if format == "json":
        assert json.loads(made.stdout)


def test_the_scorecard_is_kept_with_the_run(place: Place, card: dict[str, Any]) -> None:
    (run,) = place.runs.iterdir()
    assert json.loads((run / "scorecard.json").read_text()) == card
