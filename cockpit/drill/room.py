"""Whether the rig has room on its disk, and what is said where it has not.

Measured with `du` over a whole rig, 15 apps writing, both sides and their logs of changes together: 93 MB with 3,000 rows, 351 MB with
400,000, 744 MB with 1,000,000; so 93 MB and about 650 bytes a row. Asked for are `BASE` and `A_ROW`: that and a little to fly on, since the
logs of changes grow while the apps write. Where the servers' user cannot reach the installed PostgreSQL each side takes a copy along.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from cockpit.errors import CockpitError, SystemFault

BASE = 130_000_000
A_ROW = 680
_DISK_FULL = "53100"
_NO_SPACE = "No space left on device"
_SHARED_MEMORY = "shared memory"
"""A segment of shared memory that cannot be had is told with the same code and words: that is not the rig's disk."""
_MB = 1_000_000


def needed(rows: int, copied: int = 0) -> int:
    """Bytes that a rig of that many rows takes, about; `copied`: what its servers take along of the installation."""
    return BASE + A_ROW * rows + copied


def check(folder: Path, rows: int, copied: int = 0) -> None:
    """`CockpitError` where the disk of the rig's `folder` has less room than the rig needs."""
    if shutil.disk_usage(folder).free < needed(rows, copied):
        raise none_left(folder, rows, copied)


def none_left(folder: Path, rows: int, copied: int = 0) -> CockpitError:
    """What is said where there is no room; the free space is that of now, the folder named the one that stays when the rig is gone."""
    free, wanted = shutil.disk_usage(folder).free // _MB, -(-needed(rows, copied) // _MB)
    return CockpitError(
        f"no room in {folder.parent}: {free:,} MB free, about {wanted:,} MB needed",
        remedy="free some, ask for fewer --rows, or set TMPDIR",
    )


def ran_out(err: BaseException, logs: Iterable[Path]) -> bool:
    """Whether a rig that ended with `err` ended for want of room: by the error, or by what its servers wrote into their `logs`."""
    if isinstance(err, OSError):
        return err.errno == errno.ENOSPC
    if isinstance(err, SystemFault) and err.code == _DISK_FULL:
        return _SHARED_MEMORY not in err.what
    return isinstance(err, CockpitError) and any(_full(line) for log in logs for line in _lines(log))


def _full(line: str) -> bool:
    return _NO_SPACE in line and _SHARED_MEMORY not in line


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
