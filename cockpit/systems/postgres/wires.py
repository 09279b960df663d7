"""What every action of the room shares: the pair's settings, the names of its objects, and the connections by side and use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cockpit.model.settings import PairSpec, Tuning
from cockpit.model.words import Side
from cockpit.systems.postgres.link import Link
from cockpit.systems.postgres.names import Names
from cockpit.systems.postgres.seat import Seat

SIDES = (Side.BLUE, Side.GREEN)


def _links(spec: PairSpec, use: str, statement_s: float) -> Mapping[Side, Link]:
    return {side: Link(side, spec.side(side).control, use, statement_s=statement_s) for side in SIDES}


@dataclass(frozen=True, slots=True)
class Wires:
    """`act` is for the window, `watch` for telemetry, `work` for set-up and long readings: none waits behind another."""

    spec: PairSpec
    tuning: Tuning
    names: Names
    act: Mapping[Side, Link]
    watch: Mapping[Side, Link]
    work: Mapping[Side, Link]
    seat: Seat = field(default_factory=Seat)
    """Whose pair it is, by this process; nobody's until the lock is taken with a seat."""
    fence_lsn: dict[Side, str] = field(default_factory=dict)
    """Where each side's last quiesce ended."""

    @classmethod
    def of(cls, spec: PairSpec, tuning: Tuning) -> Wires:
        names = Names.of(spec.name)
        return cls(spec, tuning, names, _links(spec, "act", 5.0), _links(spec, "watch", 5.0), _links(spec, "work", 60.0))

    def exempt(self, side: Side) -> tuple[str, ...]:
        """Roles that are never fenced, besides superusers: the cockpit's, the replication's, and those the config names."""
        end = self.spec.side(side)
        return tuple(dict.fromkeys((end.control.user, end.peer.user, *self.spec.exempt_roles)))

    @property
    def app_roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(app.role for app in self.spec.apps))
