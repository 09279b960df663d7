"""Unequal is not different: while replication runs, what was read on two sides was read at two moments.

A key is settled by reading it on the serving side (h1), waiting until everything committed by then is applied on the other, reading
it there (h2) and on the serving side again (h3). h2 equal to h1 or h3: it was lag. h1 equal to h3 and h2 neither: the row did not move,
the other side had its time, so the difference is real. Otherwise the row is hot and is looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from cockpit.model.words import Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.keys import Bundles, Hashes
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.tap import Key

Sum = tuple[int, str]
"""Count and sum of hashes, as text."""


@dataclass(slots=True)
class Settled:
    """What became of the suspects. `stuck`: the other side did not move on, so lag cannot be told from loss."""

    clean: list[Key] = field(default_factory=list)
    confirmed: dict[Key, str] = field(default_factory=dict)
    hot: list[Key] = field(default_factory=list)
    stuck: bool = False
    waited_s: float = 0.0
    """Seconds in which nothing was read: the other side was applying what had been committed."""


def how(here: tuple[int, ...] | None, there: tuple[int, ...] | None, other: Side) -> str:
    """In which way a key's rows differ, `here` being the serving side's."""
    if there is None:
        return f"missing on {other}"
    return f"only on {other}" if here is None else "differs"


def judge(keys: Sequence[Key], readings: tuple[Hashes, Hashes, Hashes], other: Side, settled: Settled) -> list[Key]:
    """Settles what the three readings settle; returns the keys that stay open."""
    first, there, again = readings
    open_keys = []
    for key in keys:
        h1, h2, h3 = first.get(key), there.get(key), again.get(key)
        if h2 in (h1, h3):
            settled.clean.append(key)
        elif h1 == h3:
            settled.confirmed[key] = how(h1, h2, other)
        else:
            open_keys.append(key)
    return open_keys


async def settle(
    bundles: Bundles, passage: Passage, table: Table, keys: Sequence[Key], serving: Side, *, rounds: int = 5, wait_s: float = 2.0
) -> Settled:
    """Every key is clean, confirmed different, or hot after `rounds` looks of at most `wait_s` seconds' waiting each; a confirmed one is
    given as its row has it."""
    settled, left, now = Settled(), list(keys), asyncio.get_running_loop().time
    for _ in range(rounds):
        first = await bundles.hashes(table, left, serving)
        began = now()
        passed = await passage.passed(serving, wait_s)
        settled.waited_s += now() - began
        if passed is False:
            settled.stuck = True
            break
        there, again = await asyncio.gather(bundles.hashes(table, left, serving.other), bundles.hashes(table, left, serving))
        left = judge(left, (first, there, again), serving.other, settled)
        if not left:
            break
    settled.hot = left
    if settled.confirmed:
        stored = await bundles.stored(table, list(settled.confirmed), serving)
        settled.confirmed = {stored[key]: found for key, found in settled.confirmed.items()}
    return settled
