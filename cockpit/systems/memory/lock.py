"""The twin of the pair's lock and of who is on record as flying, as one cockpit process has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cockpit.errors import Flown, Superseded
from cockpit.handover.ports import Claim
from cockpit.model.words import Side
from cockpit.systems.memory.cluster import Cluster, Node


@dataclass(slots=True)
class MemoryLock:
    """`epoch` is 0 until it is on record; without a claim nothing is compared."""

    _owner: str = ""
    _claim: Claim | None = None
    _name: str = ""
    _epoch: int = 0
    _ours: set[Side] = field(default_factory=set)

    def claim(self, owner: str, claim: Claim | None) -> None:
        """Compared from now on, also before anybody answers."""
        if claim is not None:
            self._claim, self._name = claim, owner
            self._epoch = self._epoch or (claim.epoch if claim.heir else 0)

    def ask(self, cluster: Cluster, answering: Sequence[Node], owner: str, claim: Claim | None) -> None:
        """Nobody else has the pair by what the answering sides say, and they have it on record."""
        heir = claim is not None and claim.heir
        flown = answering and cluster.owner not in ("", owner)
        if flown and not heir:
            self._flown(cluster)
        if claim is not None:
            if not self._epoch and not heir and answering:
                self._rise(claim, answering)
            for node in sorted(answering, key=lambda node: node.seat[1] != claim.seat):
                self.compare(node)
        if flown:
            self._flown(cluster)

    def _rise(self, claim: Claim, answering: Sequence[Node]) -> None:
        for node in answering:
            if claim.before is not None and node.installed and node.seat[1] not in {*claim.before, claim.seat, ""}:
                self._taken(node)
        self._epoch = max(claim.epoch, *(1 + (node.seat[0] if node.installed else 0) for node in answering))

    def take(self, cluster: Cluster, owner: str) -> None:
        cluster.owner = self._owner = owner

    def release(self, cluster: Cluster) -> None:
        if self._owner and cluster.owner == self._owner:
            cluster.owner = ""
        self._owner = ""

    def lost(self, cluster: Cluster) -> bool:
        """A connection that held the lock has broken since."""
        return bool(self._owner) and cluster.owner != self._owner

    def compare(self, node: Node) -> None:
        """Nobody sat down after us, by what the side has on record; an older record is raised."""
        if self._claim is None:
            return
        epoch, seat, _ = node.seat
        if not node.installed:
            if self._claim.heir or node.side in self._ours:
                raise Superseded("what says that this pair is ours was cleaned up", owner="", where=str(node.side), remedy="close this run")
        elif seat == self._claim.seat:
            self._ours.add(node.side)
            self._epoch = max(self._epoch, epoch)
        elif epoch < self._epoch:
            node.seat = (self._epoch, self._claim.seat, self._name)
            self._ours.add(node.side)
        elif seat:
            self._taken(node)

    def _taken(self, node: Node) -> None:
        name = node.seat[2]
        raise Superseded(f"this pair was taken up by {name}", owner=name, where=str(node.side), remedy="close this run")

    def _flown(self, cluster: Cluster) -> None:
        holder = cluster.owner
        raise Flown(f"{holder} flies this pair", owner=holder, where="lock", remedy="use `watch`, or end the other one")
