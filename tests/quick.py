"""The shipped scenario without its patience, for flights whose waits prove nothing: those of `test_drill.py` fly it as it is."""

from __future__ import annotations

import re
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "scenarios" / "arp.toml"
PATIENCE = {r"hold = [1-9]": "hold = 0.5", r"recon_duty = 0\.10": "recon_duty = 0.5", r"soak = 5\b": "soak = 2"}


def quick(folder: Path, more: dict[str, str] | None = None) -> Path:
    """Its file in `folder`: gates hold for half a second at most, the proof of all rows may take half of the time, a drill goes on after
    two seconds; `more` is changed too, by pattern, each of which must fit."""
    text = SHIPPED.read_text(encoding="utf-8")
    for pattern, instead in (PATIENCE | (more or {})).items():
        text, fits = re.subn(pattern, instead, text)
        assert fits, pattern
    path = folder / "quick.toml"
    path.write_text(text, encoding="utf-8")
    return path
