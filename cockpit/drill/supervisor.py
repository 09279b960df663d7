"""The rig's own process: detached from the terminal that asked for it, owner of everything the rig starts.

`python -m cockpit.drill.supervisor FOLDER` reads `order.json` there and ends the rig on SIGTERM or SIGINT, when a file `stop`
appears in the folder, or when the process that started it has been gone for longer than the order's linger time. While it
lives it holds the claim on the folder; when it is killed, its children get a signal from the kernel and the next start sweeps
the folder.

What it says: `progress.jsonl` while starting, then `ready.json` or `failed.json`; the last is left for the starter to read, who
removes the folder, or the next start does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cockpit.drill import endings
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.faults import fault
from cockpit.drill.folders import claim, start_time
from cockpit.drill.rig import Rig, Wanted
from cockpit.drill.striker import Striker, due_of
from cockpit.errors import CockpitError
from cockpit.model.text import plain
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import is_closed

_LOOK_S = 0.1
LINGERS = "lingers"
"""A file in the rig's folder: who asked left on purpose, before the run had begun, and wants it to fly."""
CLOSED_S = 10.0
"""Seconds a rig stays when its screen is gone and its run is closed: there is nothing left to fly."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that asked for the rig, and for how long the rig outlives it; None: until it is told to stop."""

    pid: int
    start: int
    linger_s: float | None

    @property
    def here(self) -> bool:
        return start_time(self.pid) == self.start


@dataclass(frozen=True, slots=True)
class Order:
    """What `order.json` holds."""

    wanted: Wanted
    owner: Owner
    run: str | None = None
    """The folder of the run that is to be flown as soon as the rig is up; None: whoever asked flies it himself."""
    fault: str | None = None
    """What that run is struck with."""

    def write(self, folder: Path) -> None:
        wanted = {**asdict(self.wanted), "runs": str(self.wanted.runs) if self.wanted.runs else None}
        text = json.dumps({"wanted": wanted, "owner": asdict(self.owner), "run": self.run, "fault": self.fault})
        (folder / "order.json").write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Order:
        found = json.loads((folder / "order.json").read_text(encoding="utf-8"))
        wanted = found["wanted"]
        runs = Path(wanted.pop("runs")) if wanted.get("runs") else None
        return cls(Wanted(**{**wanted, "runs": runs}), Owner(**found["owner"]), found["run"], found["fault"])


async def supervise(folder: Path) -> int:
    """The rig in `folder` has come, flown and gone; 0, or 1 when it did not come up."""
    order = await asyncio.to_thread(Order.read, folder)
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    rig = Rig(claim(folder), order.wanted)
    failure: CockpitError | None = None
    try:
        failure = await _fly(rig, order, asked)
    finally:
        alone = not order.owner.here
        await rig.stop(keep=failure is not None and not alone)
        if alone and order.run:
            await asyncio.to_thread(_clear, RunFolder(Path(order.run)))
    return 0 if failure is None else 1


def _clear(run: RunFolder) -> None:
    """A run that never flew is gone; who asked for it is not there to do it."""
    if endings.never_flew(run):
        endings.discard(run)


async def _fly(rig: Rig, order: Order, asked: asyncio.Event) -> CockpitError | None:
    ending = asyncio.create_task(_until_asked(rig.folder, order.owner, asked, order.run))
    start = asyncio.create_task(rig.start())
    guardian: subprocess.Popen[bytes] | None = None
    try:
        await asyncio.wait({ending, start}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            return None
        await start
        guardian = launch_guardian(rig.claim, RunFolder(Path(order.run))) if order.run else None
        await asyncio.to_thread(_say, rig.folder / "ready.json", _ready(rig))
        await (_struck(rig, order, guardian.pid, ending) if guardian and order.fault else ending)
    except CockpitError as err:
        told = {"what": plain(err.what, 500), "where": plain(err.where, 300), "remedy": plain(err.remedy, 800)}
        await asyncio.to_thread(_say, rig.folder / "failed.json", told)
        rig.say_failed(plain(err, 800))
        return err
    finally:
        if guardian is not None:
            await end_guardian(guardian)
        for task in (ending, start):
            task.cancel()
        await asyncio.gather(ending, start, return_exceptions=True)
    return None


async def _struck(rig: Rig, order: Order, guardian: int, ending: asyncio.Task[None]) -> None:
    """The run is struck at its time; until the rig is asked to end."""
    assert rig.site is not None
    assert order.run is not None
    assert order.fault is not None
    named = fault(order.fault)
    striker = Striker(rig.site, rig.claim, RunFolder(Path(order.run)), guardian, named, due_of(named))
    striking = asyncio.create_task(striker.run())
    try:
        await ending
    finally:
        striking.cancel()
        await asyncio.gather(striking, return_exceptions=True)
        await striker.undo()


async def _until_asked(folder: Path, owner: Owner, asked: asyncio.Event, run: str | None) -> None:
    """Until somebody asks; or nobody is there any more, for as long as a drill may fly alone, or for a moment once its run is closed.

    A run that has not begun when nobody is there any more has been seen by nobody, and flies alone only where that was wished (`LINGERS`)."""
    alone_since: float | None = None
    while not asked.is_set() and not await asyncio.to_thread((folder / "stop").exists):
        now = asyncio.get_running_loop().time()
        alone_since = None if owner.here else alone_since if alone_since is not None else now
        if owner.linger_s is not None and alone_since is not None:
            if run is not None and await asyncio.to_thread(_unseen, folder, Path(run)):
                return
            over = run is not None and await asyncio.to_thread(is_closed, RunFolder(Path(run)).timeline)
            if now - alone_since > (min(owner.linger_s, CLOSED_S) if over else owner.linger_s):
                return
        await asyncio.sleep(_LOOK_S)


def _unseen(folder: Path, run: Path) -> bool:
    return not (folder / LINGERS).exists() and not RunFolder(run).timeline.exists()


def _ready(rig: Rig) -> dict[str, Any]:
    assert rig.site is not None
    site = rig.site
    return {
        "config": str(rig.config),
        "pid": os.getpid(),
        "servers": {
            "blue": {"port": site.blue.port, "major": site.blue.major},
            "green": {"port": site.green.port, "major": site.green.major},
        },
        "pooler": site.pooler.port if site.pooler else None,
        "cloud": site.cloud.url if site.cloud else None,
        "apps": {app.name: str(app.path) for app in site.apps},
        "missing": [] if site.pooler else ["PgBouncer is not installed: its apps fly by the address in a file"],
    }


def _say(file: Path, value: Mapping[str, Any]) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    fresh.replace(file)


if __name__ == "__main__":
    sys.exit(asyncio.run(supervise(Path(sys.argv[1]))))
