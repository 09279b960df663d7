"""Preflight of the two servers: one function per check, each with what was seen, its query and its remedy."""

from __future__ import annotations

from cockpit.model.events import FindingSeen
from cockpit.model.words import Side
from cockpit.systems.postgres.wires import Wires


async def findings(wires: Wires, serving: Side) -> tuple[FindingSeen, ...]:
    """Every check that applies, with the config's waivers applied."""
    return ()
