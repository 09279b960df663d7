"""Which table is read next: what was never proven comes first, smallest first; then what changed as a whole; then the oldest proof."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cockpit.reconcile.ledger import Standing
from cockpit.reconcile.tap import Name

AGAIN_S = 3.0
"""A table is not begun again sooner than this after it was last read."""
LATEST_S = 300.0
"""How long a table that could not be read is left alone at most, or as long as the try took."""


def refused(standing: Standing, took_s: float, now: float) -> None:
    """A try to read it failed after so many seconds: twice as long a pause as after the last one."""
    standing.refusals += 1
    standing.again_mono = now + max(min(AGAIN_S * 2.0 ** min(standing.refusals, 10), LATEST_S), took_s)


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
    if standing.unwatched:
        return None  # whatever is read of it proves nothing
    if standing.work is not None and standing.work.low is not None:
        return (0,)
    if now - standing.attempted_mono < AGAIN_S or now < standing.again_mono:
        return None
    if standing.proven_mono is None:
        return (1, standing.count())
    if not standing.proven:
        return (2, standing.attempted_mono)
    return (3, standing.attempted_mono)
