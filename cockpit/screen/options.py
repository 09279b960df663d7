"""How a screen is opened, and how it ended."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from cockpit.screen.keys import SHIPPED, Keys
from cockpit.screen.taste import Taste
from cockpit.screen.view import Player


class Ending(IntEnum):
    """How a screen ended: what the command line does next depends on it. The run itself goes on in every case but the drill's end."""

    LEFT = 0
    """Left, or the run is closed: its own exit code counts."""
    CRASHED = 1
    """The screen failed; the pilot flies on."""
    REFUSED = 2
    """Nothing to show: no terminal to draw on, or a run that was refused."""
    END_DRILL = 10
    """The lead wants the drill's rig to end."""
    LOST = 11
    """The terminal went away."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to show it. `by` is who asks; `files` is where pictures and copies are put."""

    theme: str = "dark"
    ascii: bool = False
    drill: bool = False
    by: str = "screen"
    files: Path | None = None
    progress: Path | None = None
    gone: Callable[[], bool] | None = None
    """Whether a run that has not begun never will."""
    player: Player | None = None
    """The source itself, where it plays a finished run."""
    keys: Keys = SHIPPED
    """Further keys of whoever sits here."""
    colourless: bool = False
    """The terminal must show no colours, whatever theme is asked for."""
    wrong: tuple[str, ...] = ()
    """What of their wishes could not be followed, each in a line."""


def options_of(taste: Taste, colourless: bool, **rest: Any) -> Options:
    """The options of a screen that somebody opens with this taste, on a terminal that shows colours or must not."""
    return Options(
        "mono" if colourless else taste.theme,
        taste.ascii,
        by=who(),
        keys=taste.keys or SHIPPED,
        colourless=colourless,
        wrong=taste.wrong,
        **rest,
    )


def who() -> str:
    """`ana@bastion`: who presses the keys, as the system knows them."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (OSError, KeyError):
        return f"uid-{os.getuid()}@{platform.node()}"
