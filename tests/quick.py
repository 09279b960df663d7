"""The shipped scenario without its patience, for flights whose waits prove nothing. The drill of `test_drill.py` flies it as it is, but for
the length of its soaks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "scenarios" / "arp.toml"
SOAK = {r"soak = 5\b": "soak = 2"}
PATIENCE = {r"hold = [1-9]": "hold = 0.5", r"recon_duty = 0\.\d+": "recon_duty = 0.5", **SOAK}


def quick(folder: Path, more: Mapping[str, str] | None = None) -> Path:
    """Gates hold for half a second at most, the proof of all rows may take half of the time, a drill goes on after two seconds."""
    return shipped_but(folder, PATIENCE | dict(more or {}))


def shipped_but(folder: Path, changes: Mapping[str, str]) -> Path:
    """A file in `folder`: the shipped scenario with what fits these patterns, each of which must fit, changed."""
    text = SHIPPED.read_text(encoding="utf-8")
    for pattern, instead in changes.items():
        text, fits = re.subn(pattern, instead, text)
        assert fits, pattern
    path = folder / "quick.toml"
    path.write_text(text, encoding="utf-8")
    return path
