"""The processes that fly a drill: they end with the rig, because a pilot whose servers are gone has nothing to fly."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from cockpit import wiring
from cockpit.drill.folders import Claim
from cockpit.drill.privileges import spawn, until_ended
from cockpit.timeline.folder import RunFolder

QUIT_S = 20.0


def launch_guardian(claim: Claim, folder: RunFolder, program: Sequence[str] = (wiring.PROGRAM,)) -> subprocess.Popen[bytes]:
    """The run's guardian, started by `program`, which ends with the rig's owner: a drill's pilot has nothing to fly once its servers are gone."""
    with folder.log.open("ab") as log:
        guardian = spawn(wiring.guard_command(folder, program), log=log, cwd=folder.root, death_signal=signal.SIGTERM)
    claim.adopt(guardian.pid)
    return guardian


async def end_guardian(guardian: subprocess.Popen[bytes], *, told_to: bool = True) -> None:
    """The guardian and its pilot have left: told to, or by themselves within `QUIT_S`; killed where they do not."""
    if told_to or not await until_ended(guardian, QUIT_S):
        guardian.terminate()
        if not await until_ended(guardian, QUIT_S):
            guardian.kill()
            await until_ended(guardian, 1.0)
