"""What the reconciler says of itself: a sample of where the proof stands, and what the freeze would need."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from cockpit.model.telemetry import ReconSample
from cockpit.model.text import plain
from cockpit.model.words import ProofState, Side
from cockpit.reconcile.compare import Comparison
from cockpit.reconcile.keyless import grows
from cockpit.reconcile.ledger import Ledger
from cockpit.reconcile.tap import Name
from cockpit.reconcile.taps import Tap
from cockpit.reconcile.watch import Watch


class Telling:
    """Asks nobody."""

    def __init__(self, ledger: Ledger, taps: Mapping[Side, Tap], watch: Watch, comparison: Comparison) -> None:
        self._ledger = ledger
        self._taps = taps
        self._watch = watch
        self._comparison = comparison

    def sample(self, serving: Side, share: float, *notes: str) -> ReconSample:
        """Where the proof stands now; of the tables those that changed since the last sample."""
        now = asyncio.get_running_loop().time()
        provable = self._ledger.provable()
        owing = self._ledger.owing()
        proven = [s.proven_mono for s in provable]
        return ReconSample(
            now,
            proven_rows=sum(int(s.count() * s.coverage) for s in provable),
            all_rows=sum(s.count() for s in provable) + sum(max(s.count(), 1) for s in owing),
            tables_equal=sum(1 for s in provable if s.state(now) is ProofState.EQUAL),
            tables_total=len(provable) + len(owing) + sum(1 for s in self._ledger.standings.values() if s.missing),
            dirty_keys=sum(s.dirty for s in provable) if self._taps[serving].up else None,
            differences=sum(s.differences for s in self._ledger.standings.values()),
            oldest_mono=min((m for m in proven if m is not None), default=None) if None not in proven else None,
            freeze_cost_s=self._freeze_cost(serving),
            duty=round(share, 4),
            tables=self._ledger.changed(now),
            note="; ".join([*self._of_taps(serving), *self._of_tables(), *notes]),
        )

    def _freeze_cost(self, serving: Side) -> float | None:
        """Seconds the verification would take now, from measured rates; None before anything was measured, and while a table cannot be
        proven at all."""
        provable = self._ledger.provable()
        if not self._taps[serving].up or not provable or self._ledger.owing():
            return None
        now = asyncio.get_running_loop().time()
        drain = sum(tap.pace.next_s(now) for tap in self._taps.values())  # one process reads both
        keys = sum(s.dirty for s in provable if s.proven) / self._watch.pace.keys_s
        tables = sum(self._comparison.cost(s, grown=grows(s, serving)) for s in provable if not s.proven)
        return round(drain + self._watch.round_trip_s + max(keys, tables), 4)

    def _of_taps(self, serving: Side) -> list[str]:
        notes = [f"no tap on {side}: {plain(tap.why, 120)}" for side, tap in self._taps.items() if not tap.up]
        tap = self._taps[serving]
        if held := tap.held:
            notes.append(f"not watched yet on {serving}: {_some(sorted(held))}, which VACUUM, ANALYZE or an index being built holds")
        if young := tap.blind() - held:
            notes.append(f"not watched yet on {serving}: {_some(sorted(young))}, until transactions older than it have ended")
        return notes

    def _of_tables(self) -> list[str]:
        if not (owing := self._ledger.owing()):
            return []
        return [f"cannot be proven: {_some([s.table.name for s in owing])}, {plain(owing[0].unprovable, 120)}"]


def _some(names: Sequence[Name]) -> str:
    first = plain(".".join(names[0]), 100)
    return f"{first} and {len(names) - 1} more" if len(names) > 1 else first
