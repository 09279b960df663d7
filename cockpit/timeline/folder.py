"""A run's folder: private to its user (0700), one folder a run, named by time, pair and four random letters.

timeline.jsonl   the chain of events            samples.jsonl   what was measured, newest wins
timeline.jsonl.closed   how long the chain was when the run closed
plan.json        the two plans as run           evidence/       files that events point to
pilot.log        what the pilot printed         pilot.sock      where intents go (or the path named in `pilot.path`)
bill/            what an ungraceful rollback left behind, as it was read
proof.db         what reconciliation has proven, for a pilot that takes the run up; gone after an end in order
"""

from __future__ import annotations

import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cockpit.errors import JournalError, Refused

_SOCKET_PATH_LIMIT = 100
"""sockaddr_un holds 108 bytes on Linux and 104 elsewhere; a temporary name needs a few."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def timeline(self) -> Path:
        return self.root / "timeline.jsonl"

    @property
    def samples(self) -> Path:
        return self.root / "samples.jsonl"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def launch(self) -> Path:
        """What `resume` needs to start a pilot again: the paths of config and scenario, the pair."""
        return self.root / "launch.json"

    @property
    def scorecard(self) -> Path:
        return self.root / "scorecard.json"

    @property
    def bill(self) -> Path:
        """What an ungraceful rollback left behind, as it was read."""
        return self.root / "bill"

    @property
    def proof(self) -> Path:
        """What reconciliation has proven so far."""
        return self.root / "proof.db"

    @property
    def repair(self) -> Path:
        """The statements that would make the other side equal."""
        return self.root / "repair.sql"

    @property
    def log(self) -> Path:
        return self.root / "pilot.log"

    @property
    def socket(self) -> Path:
        """Where the pilot listens: in the folder, or where `pilot.path` says because the folder's path is too long for a socket."""
        pointer = self.root / "pilot.path"
        try:
            return Path(pointer.read_text().strip())
        except OSError:
            return self.root / "pilot.sock"

    def place_socket(self, private: Path) -> Path:
        """The path the pilot shall listen on; `private` is a 0700 folder used where the run folder's own path is too long."""
        inside = self.root / "pilot.sock"
        if len(os.fsencode(inside)) <= _SOCKET_PATH_LIMIT:
            return inside
        outside = private / f"{self.name[-4:]}.sock"
        (self.root / "pilot.path").write_text(str(outside))
        return outside


def create(runs: Path, pair: str) -> RunFolder:
    """A new, empty, private run folder under `runs`; `JournalError` says why there can be none."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    root = runs / f"{stamp}-{pair}-{secrets.token_hex(2)}"
    try:
        runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.mkdir(mode=0o700)
    except OSError as err:
        raise JournalError(
            f"cannot make a run folder: {err.strerror}", where=str(runs), remedy="choose another folder with --runs or free it"
        ) from None
    return RunFolder(root)


def find(runs: Path, name: str) -> RunFolder:
    """The run called `name`: a path, a full name, an unambiguous end of one, or `last`; `Refused` lists what there is."""
    direct = Path(name)
    if (direct / "timeline.jsonl").exists():
        return RunFolder(direct)
    found = [run for run in every(runs) if run.name == name or run.name.endswith(name)]
    if name == "last":
        found = list(every(runs))[-1:]
    if len(found) == 1:
        return found[0]
    known = ", ".join(run.name for run in list(every(runs))[-5:]) or "there is none yet"
    what = f"{len(found)} runs end in {name!r}" if found else f"no run {name!r}"
    raise Refused(what, where=str(runs), remedy=f"one of: {known}")


def said(folder: RunFolder, usual: Path) -> str:
    """The run as a command finds it: its name, and where it is kept where that is not the `usual` place."""
    here = folder.root.parent.absolute()
    return folder.name if here == usual.absolute() else f"{folder.name} --runs {shlex.quote(str(here))}"


def every(runs: Path) -> Iterator[RunFolder]:
    """Every run under `runs`, oldest first."""
    if runs.is_dir():
        for child in sorted(runs.iterdir()):
            if (child / "timeline.jsonl").exists():
                yield RunFolder(child)


def last_words(folder: RunFolder) -> str:
    """The last line that the run's processes printed; empty where they printed none."""
    try:
        lines = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def private(folder: Path) -> Path:
    """The folder exists and is this user's alone; `Refused` where somebody else made it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = folder.lstat()
    if seen.st_uid != os.getuid() or stat.S_IMODE(seen.st_mode) & 0o077 or not stat.S_ISDIR(seen.st_mode):
        raise Refused("this folder is not private to you", where=str(folder), remedy="remove it, or set XDG_RUNTIME_DIR")
    return folder
