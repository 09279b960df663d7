"""Twins of every outside system in memory: seeded, on the running loop's clock, able to fail in every way a network can."""

from __future__ import annotations

from cockpit.systems.memory.apps import Ack, AppPlan, Ledger
from cockpit.systems.memory.faults import Fault, Faults, Trouble
from cockpit.systems.memory.warp import Stalled, WarpLoop, run_warped
from cockpit.systems.memory.world import MemoryWorld

__all__ = ["Ack", "AppPlan", "Fault", "Faults", "Ledger", "MemoryWorld", "Stalled", "Trouble", "WarpLoop", "run_warped"]
