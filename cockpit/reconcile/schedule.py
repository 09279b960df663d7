"""Which table is read next: what was never proven comes first, smallest first; then what changed as a whole; then the oldest proof."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cockpit.reconcile.ledger import Standing
from cockpit.reconcile.tap import Name

AGAIN_S = 3.0
"""A table is not begun again sooner than this after it was last read."""


def next_table(standings: Iterable[Standing], not_ready: Collection[Name], now: float) -> Standing | None:
    """The table to read a piece of; None when every table was read a moment ago. Tables in their initial copy wait and say so."""
    best: Standing | None = None
    best_rank: tuple[float, ...] = ()
    for standing in standings:
        if standing.table.name in not_ready:
            standing.waiting = "the initial copy is not finished"
            continue
        rank = _rank(standing, now)
        if rank is not None and (best is None or rank < best_rank):
            best, best_rank = standing, rank
    return best


def _rank(standing: Standing, now: float) -> tuple[float, ...] | None:
    if standing.work is not None and standing.work.low is not None:
        return (0,)
    if now - standing.attempted_mono < AGAIN_S:
        return None
    if standing.proven_mono is None:
        return (1, standing.count())
    if not standing.proven:
        return (2, standing.attempted_mono)
    return (3, standing.attempted_mono)
