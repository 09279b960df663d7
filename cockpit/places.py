"""What the environment says: where runs, doors and a person's own files are, which seat this process has, who somebody was before.

With `config`, which reads secrets from it, this is all that looks at it. It imports nothing that a first picture would have to wait for.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path

DOORS = Path("/tmp/cockpit-approvals")  # noqa: S108 - a TMPDIR of one's own is where no other user looks; who made the folder is checked

_SEAT = "COCKPIT_SEAT"
"""Where a guardian tells its pilot where it sits."""


@cache
def seat() -> str:
    """What tells this process, or a pilot and its guardian, from every other one that ever flies the pair."""
    return os.environ.get(_SEAT) or secrets.token_hex(8)


def take_seat() -> None:
    """This guardian and the pilot that it starts have a seat of their own, whoever started them."""
    os.environ[_SEAT] = secrets.token_hex(8)
    seat.cache_clear()


def runs_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where runs are kept when no config says: `$COCKPIT_RUNS`, else `$XDG_STATE_HOME/cockpit/runs`. Not created by this."""
    env = os.environ if environ is None else environ
    if env.get("COCKPIT_RUNS"):
        return Path(env["COCKPIT_RUNS"]).expanduser().absolute()
    state = env.get("XDG_STATE_HOME") or str(_home(env) / ".local" / "state")
    return Path(state) / "cockpit" / "runs"


def runtime_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the pilot's socket and lock live: `$XDG_RUNTIME_DIR/cockpit`, else one per user under `/tmp`. Whoever makes it, makes it 0700."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_RUNTIME_DIR")
    return Path(base) / "cockpit" if base else Path(env.get("TMPDIR") or "/tmp") / f"cockpit-{os.getuid()}"  # noqa: S108


def screen_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where a person says how their own screens look: `$COCKPIT_SCREEN`, else `screen.toml` in `$XDG_CONFIG_HOME/cockpit`."""
    env = os.environ if environ is None else environ
    if env.get("COCKPIT_SCREEN"):
        return Path(env["COCKPIT_SCREEN"]).expanduser().absolute()
    return Path(env.get("XDG_CONFIG_HOME") or _home(env) / ".config") / "cockpit" / "screen.toml"


def approvals_folder() -> Path:
    """Where second persons come in when no config says: one folder a user, where every user of this machine can find it."""
    return Path(f"{DOORS}-{os.geteuid()}")


def door_folders(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Where a second person looks for what waits when told no folder: `$COCKPIT_APPROVALS`, else every user's default folder."""
    env = os.environ if environ is None else environ
    if env.get("COCKPIT_APPROVALS"):
        return [Path(env["COCKPIT_APPROVALS"]).expanduser().absolute()]
    return sorted(DOORS.parent.glob(f"{DOORS.name}-*"))


def became(environ: Mapping[str, str] | None = None) -> str:
    """The name of the user who became this one by sudo or doas; empty where nobody did."""
    env = os.environ if environ is None else environ
    return env.get("SUDO_USER") or env.get("DOAS_USER") or ""


def _home(env: Mapping[str, str]) -> Path:
    return Path(env["HOME"]) if env.get("HOME") else Path.home()
