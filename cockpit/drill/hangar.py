"""Asking for a rig and letting it go: the side of whoever wants to fly one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cockpit.drill.apps_control import AppsControl
from cockpit.drill.folders import new_folder, remove, start_time
from cockpit.drill.rig import Wanted
from cockpit.drill.supervisor import LINGERS, Order, Owner
from cockpit.errors import CockpitError

START_S = 120.0
STOP_S = 30.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """A rig that was asked for, in the folder of its supervisor."""

    folder: Path
    pid: int
    start: int

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def progress_file(self) -> Path:
        """`{"done", "of", "what", "mono"}` a line, growing while the rig starts."""
        return self.folder / "progress.jsonl"

    @property
    def apps(self) -> AppsControl:
        return AppsControl(self.folder)

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.start

    def progress(self) -> tuple[int, int, str]:
        """Steps done, steps in all, and what is being done now."""
        try:
            last = self.progress_file.read_text(encoding="utf-8").splitlines()[-1]
            told = json.loads(last)
        except (OSError, IndexError, ValueError):
            return 0, 1, "starting"
        return told["done"], told["of"], told["what"]

    async def ready(self, deadline_s: float = START_S) -> dict[str, Any]:
        """The rig flies; what it is made of. `CockpitError` says why it does not come up."""
        end = asyncio.get_running_loop().time() + deadline_s
        while True:
            told = await asyncio.to_thread(self._told)
            if told is not None:
                return told
            if not self.alive:
                raise CockpitError("the rig's process ended", where=str(self.folder / "supervisor.log"), remedy="see its last line")
            if asyncio.get_running_loop().time() > end:
                raise CockpitError(f"the rig did not come up in {deadline_s:g} s", where=str(self.folder))
            await asyncio.sleep(_POLL_S)

    def _told(self) -> dict[str, Any] | None:
        failed, ready = self.folder / "failed.json", self.folder / "ready.json"
        if failed.exists():
            why = json.loads(failed.read_text(encoding="utf-8"))
            raise CockpitError(why["what"], where=why["where"], remedy=why["remedy"])
        if not ready.exists():
            return None
        told: dict[str, Any] = json.loads(ready.read_text(encoding="utf-8"))
        return told

    def failure(self) -> str:
        """Why the rig did not come up; empty while it may, or when it did."""
        try:
            self._told()
        except CockpitError as err:
            return str(err)
        return ""

    def lingers(self) -> None:
        """The rig flies on without us, also where its run has not begun."""
        with suppress(FileNotFoundError):
            (self.folder / LINGERS).touch()

    async def stop(self, deadline_s: float = STOP_S) -> None:
        """The rig's processes have ended and its folder is gone. `CockpitError` when it does not end."""
        await asyncio.to_thread(self._ask_to_stop)
        end = asyncio.get_running_loop().time() + deadline_s
        while self.alive:
            if asyncio.get_running_loop().time() > end:
                raise CockpitError(
                    "the rig does not end", where=f"process {self.pid}", remedy="kill it: what it leaves is swept at the next start"
                )
            _reap(self.pid)
            await asyncio.sleep(_POLL_S)
        await asyncio.to_thread(remove, self.folder)

    def _ask_to_stop(self) -> None:
        try:
            (self.folder / "stop").touch()
        except FileNotFoundError:
            pass


def ask(
    wanted: Wanted,
    *,
    linger_s: float | None = 0.0,
    run: Path | None = None,
    fault: str | None = None,
    before: Callable[[Path], None] | None = None,
) -> Standing:
    """A rig is starting in a process of its own, which ends `linger_s` after we do; None: only when it is told to.

    `run`: the folder of a run that its process flies as soon as the rig is up, struck with `fault` at its time. `before` gets the rig's folder before it starts."""
    folder = new_folder()
    if before is not None:
        before(folder)
    Order(wanted, Owner(os.getpid(), start_time(os.getpid()), linger_s), str(run) if run else None, fault).write(folder)
    with (folder / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "cockpit.drill.supervisor", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    start = start_time(process.pid)
    # The child is nobody's to wait for here: it outlives us where it was asked to, and `stop` reaps it.
    process.returncode = 0
    return Standing(folder, process.pid, start)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
