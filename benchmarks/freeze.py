"""100,000 changed rows inside the window: how long their proof takes, and how near the prediction was that the gate goes by.

Twelve tables of a million rows each, replicated; as many rows change as make 100,000 altogether. First the taps have not been asked for
them yet: the verification drains them too. Then they are known, as they are when the background has no time to prove them, and what was
predicted stands beside what it took. `ROWS=100000` takes smaller tables.
"""

from __future__ import annotations

import asyncio
import os
import statistics

from benchmarks import pair
from benchmarks.proving import Proving, proving
from benchmarks.table import Figure, show
from cockpit.handover.ports import Verification
from cockpit.model.settings import PairSpec
from cockpit.model.words import Side

TABLES = 12
ROWS = int(os.environ.get("ROWS", "1000000"))
SHARE = 119
KEYS = ROWS // SHARE * TABLES
ROUNDS = 3
BOX_S = 30.0


def measure() -> bool:
    """Prints the figures; whether they are as asked."""
    return asyncio.run(_measured())


async def _measured() -> bool:
    async with pair.servers() as spec:
        await pair.fill(spec, *(statement for number in range(TABLES) for statement in _table(number)))
        await pair.replicate(spec)
        async with proving(spec, 0.5) as background:
            await background.proven()
            backlog = [await _backlog(spec, background, number) for number in range(ROUNDS)]
            known = [await _known(spec, background, ROUNDS + number) for number in range(ROUNDS)]
    return _show(backlog, known)


def _show(backlog: list[Verification], known: list[tuple[float, Verification]]) -> bool:
    seconds = statistics.median(found.seconds for found in backlog)
    misses = [abs(predicted / found.seconds - 1) * 100 for predicted, found in known]
    verified = [*backlog, *(found for _, found in known)]
    figures = [
        Figure("proven in the window, the taps' backlog included, median", seconds, "s", 2),
        Figure("keys proven, least", min(found.keys for found in verified), "", KEYS, least=True),
        Figure("verifications that did not call both sides equal", sum(found.equal is not True for found in verified), "", 0),
        Figure("where the keys were known: predicted, median", statistics.median(predicted for predicted, _ in known), "s"),
        Figure("where the keys were known: took, median", statistics.median(found.seconds for _, found in known), "s"),
        Figure("the prediction missed by, median", statistics.median(misses), "%", 25),
    ]
    return show(f"{KEYS:,} keys of {TABLES} tables of {ROWS:,} rows changed, {ROUNDS} times each", figures, 2)


def _table(number: int) -> tuple[str, ...]:
    name = f"t{number}"
    return (
        f"CREATE TABLE {name} (id int8 NOT NULL, amount numeric(12,2), at timestamptz, note text)",
        f"INSERT INTO {name} SELECT i, i * 1.5, timestamptz '2026-01-01' + i * interval '1 second', 'row ' || i FROM generate_series(1, {ROWS}) i",
        f"ALTER TABLE {name} ADD PRIMARY KEY (id)",
        f"VACUUM ANALYZE {name}",
    )


async def _changed(spec: PairSpec, round_number: int) -> None:
    """One of `SHARE` rows of every table, others each round, is different on both sides."""
    rows = f"WHERE id % {SHARE} = {round_number % SHARE}"
    await pair.run(spec.blue.control, *(f"UPDATE t{number} SET amount = amount + 1 {rows}" for number in range(TABLES)))
    await pair.applied(spec)


async def _held(background: Proving) -> None:
    """Nothing of the background is under way any more."""
    reconciler = background.reconciler
    reconciler.hold()
    while left := [*reconciler._at_work, *reconciler._uncut]:
        await asyncio.wait(left)


async def _backlog(spec: PairSpec, background: Proving, number: int) -> Verification:
    await _held(background)
    await _changed(spec, number)
    found = await background.reconciler.verify_changed(Side.BLUE, Side.GREEN, BOX_S)
    background.reconciler.release(Side.BLUE)
    await background.proven()
    return found


async def _known(spec: PairSpec, background: Proving, number: int) -> tuple[float, Verification]:
    """What was predicted, in seconds, and the verification."""
    reconciler = background.reconciler
    await _held(background)
    await _changed(spec, number)
    await reconciler._watch.drain(reconciler._tables())
    predicted = reconciler._sample().freeze_cost_s
    if predicted is None:
        raise RuntimeError("nothing was predicted")
    found = await reconciler.verify_changed(Side.BLUE, Side.GREEN, BOX_S)
    reconciler.release(Side.BLUE)
    await background.proven()
    return predicted, found
