"""Many seeds, on several cores."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulate.scene import fly
from tests.simulate.story import draw

Flown = tuple[int, tuple[str, ...], str]
"""A seed, what it broke, how it ended."""


def span(text: str) -> range:
    """`2000` is 0 to 1999, `1000-2000` is 1000 to 1999."""
    first, _, last = text.rpartition("-")
    return range(int(first or 0), int(last))


def one(seed: int) -> Flown:
    try:
        verdict = fly(draw(seed))
    except Exception as err:
        return seed, (f"the simulator broke: {type(err).__name__}: {err}",), "broke"
    return seed, verdict.broken, verdict.ended


def many(seeds: range, jobs: int) -> int:
    """1 where a law was broken. Every failing seed is named with what replays it."""
    began, ends, failed = time.monotonic(), Counter[str](), 0
    for seed, broken, ended in _flown(seeds, jobs):
        ends[ended] += 1
        if broken:
            failed += 1
            print(f"seed {seed}: {'; '.join(broken[:4])}\n    python -m tests.simulate --seed {seed}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(seeds)} seeds, {failed} broke a law, {seconds:.1f} s")
    print("how they ended: " + ", ".join(f"{ended} {count}" for ended, count in ends.most_common()))
    return 1 if failed else 0


def _flown(seeds: range, jobs: int) -> Iterator[Flown]:
    if jobs == 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, seeds, chunksize=10)
