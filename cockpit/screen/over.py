"""What may cover the panes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Over:
    """What covers the panes: `starting`, `help`, `palette`, `attention`, `checks`, or the detail of a row."""

    kind: str
    pane: str = ""
    key: str = ""


BILL = Over("detail", "procedure", "confirm")
"""The page of the step that waits for the lead's word: of an ungraceful handover it has the bill."""
