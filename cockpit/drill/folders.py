"""The rig's own folders: private, reachable for the user its servers run as, and swept when their owner is gone.

Every rig holds a lock (flock(2)) on its folder for as long as it lives; the kernel lets go of it however the rig ends. A folder
whose lock can be had is therefore nobody's: the processes it names are ended, by pid and start time, and it is removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cockpit.drill.privileges import Identity, server_identity
from cockpit.errors import CockpitError

_LOCK = "owner.lock"
_CHILDREN = "children.jsonl"
_REAP_S = 3.0
_REMOVE_S = 3.0


@dataclass(slots=True)
class Claim:
    """A rig folder that is ours until `release`."""

    folder: Path
    _descriptor: int

    def adopt(self, pid: int) -> None:
        """The process is named in the folder, so that a sweep can end it should we not."""
        line = json.dumps({"pid": pid, "start": start_time(pid)})
        with (self.folder / _CHILDREN).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def release(self, keep: bool = False) -> None:
        """Our claim is gone and, unless `keep`, so is the folder. Safe to repeat."""
        if self._descriptor < 0:
            return
        if not keep:
            remove(self.folder)
        os.close(self._descriptor)
        self._descriptor = -1


def runtime_base() -> Path:
    """The folder below which all rigs of this user live: ours alone to write, enterable for the servers' user."""
    identity = server_identity()
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):  # noqa: S108
        if parent.is_dir() and identity.reaches(parent.resolve()) and os.access(parent, os.W_OK):
            return _own(parent.resolve() / f"cockpit-drill-{os.geteuid()}", identity)
    raise CockpitError("no temporary folder that the servers' user can reach", remedy="set TMPDIR to one with mode 1777")


def _own(base: Path, identity: Identity) -> Path:
    mode = 0o700 if identity.uid == os.geteuid() else 0o711
    base.mkdir(mode=mode, exist_ok=True)
    seen = base.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
        raise CockpitError("the rig's folder belongs to somebody else", where=str(base), remedy="remove it, or set TMPDIR")
    base.chmod(mode)
    return base


def new_folder(prefix: str = "rig-") -> Path:
    """A new folder below the base; what dead rigs left behind is swept first. It is nobody's until it is claimed."""
    base = runtime_base()
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    folder.chmod(base.stat().st_mode & 0o777)
    return folder


def claim(folder: Path) -> Claim:
    """The folder is ours for as long as this process holds the claim; `OSError` when it is somebody's."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return Claim(folder, descriptor)


def sweep(base: Path) -> list[Path]:
    """Folders below `base` whose owner is gone are removed, and the processes they name ended; returns them."""
    return [folder for folder in sorted(base.iterdir()) if folder.is_dir() and _sweep_one(folder)]


def _sweep_one(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return _sweep_unclaimed(folder)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        _end_children(folder)
        remove(folder)
        return True
    finally:
        os.close(descriptor)


def _sweep_unclaimed(folder: Path) -> bool:
    # Between mkdtemp and the lock a living rig has no lock file yet: only an old one is nobody's.
    try:
        old = time.time() - folder.stat().st_mtime > 60
    except FileNotFoundError:
        return False
    if old:
        remove(folder)
    return old


def remove(folder: Path) -> bool:
    """Whether the folder is gone. It is tried for a while: what was just killed may still write into it."""
    deadline = time.monotonic() + _REMOVE_S
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > deadline:
            return not folder.exists()
        time.sleep(0.05)


def _end_children(folder: Path) -> None:
    alive = {(c["pid"], c["start"]) for c in _children(folder) if start_time(c["pid"]) == c["start"]}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, _ in alive:
            _signal(pid, number)
        deadline = time.monotonic() + _REAP_S
        while alive and time.monotonic() < deadline:
            alive = {(pid, start) for pid, start in alive if start_time(pid) == start}
            time.sleep(0.02)


def _children(folder: Path) -> list[dict[str, int]]:
    try:
        lines = (folder / _CHILDREN).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def start_time(pid: int) -> int:
    """When the process was started, in clock ticks since boot (field 22 of /proc/PID/stat); 0 where there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])
