"""How long a closed timeline was: its records and its head, in a small file beside it.

It is a hint and no proof: whoever can cut the timeline can write or remove this file too. What it is for is a copy that lost its end, which
the chain alone cannot tell from a run that was left open. It is written once the records it counts are on disk, so that no crash can leave it
ahead of them; where it cannot be written, or read, there is no hint.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec


@dataclass(frozen=True, slots=True)
class Closing:
    """The timeline as it was when its run closed, or when something was last remembered of it afterwards."""

    records: int
    head: str


def beside(timeline: Path) -> Path:
    """The file that belongs to this timeline."""
    return timeline.with_name(f"{timeline.name}.closed")


def note(timeline: Path, closing: Closing) -> None:
    """The file says so, where the disk takes it."""
    with suppress(OSError):
        descriptor = os.open(beside(timeline), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(closing) + b"\n")


def noted(timeline: Path) -> Closing | None:
    """What the file says; None where there is none that can be read."""
    try:
        return msgspec.json.decode(beside(timeline).read_bytes(), type=Closing)
    except (OSError, msgspec.MsgspecError):
        return None
