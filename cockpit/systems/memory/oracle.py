"""What must hold whatever happens, checked from the apps' ledgers and the servers' rows, never from what the cockpit believes."""

from __future__ import annotations

from dataclasses import dataclass, field

from cockpit.model.words import Side
from cockpit.systems.memory.apps import Ledger
from cockpit.systems.memory.cluster import Cluster, Row, now


@dataclass(slots=True)
class Watch:
    """Looks at every app transaction at the instant of its commit."""

    cluster: Cluster
    violations: list[str] = field(default_factory=list)
    switches: list[tuple[float, Side]] = field(default_factory=list)
    """When the side that takes app writes changed, and to which."""
    guarded: bool = False
    """From the first fence on, two writable sides are a violation; before it nobody has claimed anything."""
    _known: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def commit(self, row: Row) -> None:
        """Law 1 and law 2 at one commit: the other side cannot take writes, and everything it took is here."""
        here, there = self.cluster.nodes[row.origin], self.cluster.nodes[row.origin.other]
        self.cluster.pump()
        if not self.switches or self.switches[-1][1] is not row.origin:
            self.switches.append((row.at, row.origin))
        self.guarded = self.guarded or here.fenced or there.fenced
        if self.guarded and there.writable:
            self._add(f"two sides writable: {row.op} committed on {row.origin} while {there.side} could be written")
        missing = self._missing(row.origin)
        if missing is not None:
            self._add(f"diverged: {row.op} committed on {row.origin}, which lacks {missing.op} of {missing.origin}")

    def _missing(self, side: Side) -> Row | None:
        """The first app row written on the other side that this one does not have."""
        here, there = self.cluster.nodes[side], self.cluster.nodes[side.other]
        while self._known[side] < len(there.rows):
            row = there.rows[self._known[side]]
            if row.origin is not side and not row.ours and row.op not in here.counts:
                return row
            self._known[side] += 1
        return None

    def _add(self, text: str) -> None:
        self.violations.append(f"{now():.3f} {text}")


def lost(cluster: Cluster, ledger: Ledger, serving: Side) -> list[str]:
    """Acknowledged operations that the serving side does not have."""
    here = cluster.nodes[serving].counts
    return [ack.op for ack in ledger.acks if ack.op not in here]


def duplicated(cluster: Cluster) -> list[str]:
    """Operations that a side has more than once, and keys that two operations share."""
    twice = [f"{side}: {op}" for side, node in cluster.nodes.items() for op, count in node.counts.items() if count > 1]
    return twice + [text for node in cluster.nodes.values() for text in node.conflicts]


def unequal(cluster: Cluster) -> list[str]:
    """App operations that only one side has."""
    blue, green = ({row.op for row in cluster.nodes[side].rows if not row.ours} for side in Side)
    return sorted(blue ^ green)
