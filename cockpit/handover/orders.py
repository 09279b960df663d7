"""What one pilot is to fly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cockpit.handover.approvals import SecondDoor
from cockpit.handover.findings import Rehearsed
from cockpit.model.plan import Plan
from cockpit.model.settings import PairSpec, Scenario
from cockpit.model.words import Direction


@dataclass(frozen=True, slots=True)
class Orders:
    """Given once, before take-off; nothing of it changes while the run is flown."""

    spec: PairSpec
    scenario: Scenario
    plans: dict[Direction, Plan]
    ungraceful: Plan
    socket: Path
    owner: str
    """Who flies, for the lock on the servers: `ana@bastion pid 4711`."""
    second: SecondDoor | None = None
    """Where a second person comes in; None where the scenario asks for none."""
    seat: str = ""
    """Whose pair it is on record at the servers, the guardian's too: told apart from whoever takes the run up later."""
    rehearsed: Rehearsed | None = None
    """None in a drill: it is the rehearsal."""

    def plan(self, direction: Direction, *, ungraceful: bool) -> Plan:
        return self.ungraceful if ungraceful else self.plans[direction]
