"""What a person keeps of a run: a row, a picture, the report, as files of its folder. Each comes back as what is to be said of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from cockpit.screen.look import Status

REPORT = "report.md"
REPORT_S = 60.0
"""Seconds the report of a long run may take to be written."""
Said = tuple[Status, str]


def keep(files: Path | None, name: str, text: str, said: str) -> Said:
    """The text is a file of the run's folder, where there is one."""
    if files is None:
        return Status.OK, said
    try:
        (files / name).write_text(text)
    except OSError as err:
        return Status.WARN, f"NOT SAVED: {err.strerror}"
    return Status.OK, f"{said}: {files / name}"


async def report(files: Path | None) -> Said:
    """The report is a file of the run's folder. A process of its own writes it: a long timeline takes longer than a key may."""
    if files is None:
        return Status.WARN, "NOT SAVED: this run has no folder"
    target = files / REPORT
    command = (sys.executable, "-m", "cockpit", "export", str(files), "--output", str(target))
    nothing, told = asyncio.subprocess.DEVNULL, b""
    try:
        writing = await asyncio.create_subprocess_exec(*command, stdin=nothing, stdout=nothing, stderr=asyncio.subprocess.PIPE)
    except OSError as err:
        return Status.WARN, f"NOT SAVED: {err.strerror}"
    try:
        async with asyncio.timeout(REPORT_S):
            _, told = await writing.communicate()
    except BaseException as err:
        if writing.returncode is None:
            writing.kill()
            await writing.wait()
        if isinstance(err, TimeoutError):
            return Status.WARN, f"NOT SAVED: not written within {REPORT_S:g} s"
        raise
    if writing.returncode:
        return Status.WARN, f"NOT SAVED: {told.decode(errors='replace').strip()}"
    return Status.OK, f"report saved: {target}"
