"""Flies seeds: one with its timeline, or many on every core."""

from __future__ import annotations

import argparse
import os
import sys

from cockpit.timeline.journal import verify
from tests.simulate.many import many, span
from tests.simulate.scene import Verdict, fly
from tests.simulate.story import draw


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="fly this one and print its story and timeline")
    parser.add_argument("--seeds", default="2000", help="how many (from 0), or a range such as 1000-2000")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        verdict = fly(draw(arguments.seed))
        print(told(verdict))
        return 1 if verdict.broken else 0
    return many(span(arguments.seeds), arguments.jobs)


def told(verdict: Verdict) -> str:
    """The story, its timeline, and what was broken."""
    reading = verify(verdict.timeline)
    events = (f"{e.seq:>4} {e.mono:10.4f} {e.by:<8} {e.kind:<18} {_short(repr(e.fact))}" for e in reading.events)
    happened = [f"happened: {text}" for text in verdict.happened]
    broken = [f"BROKEN: {text}" for text in verdict.broken] or ["no law was broken"]
    torn = [f"torn: {reading.torn}"] if reading.torn else []
    return "\n".join([str(verdict.story), *events, *torn, *happened, verdict.ended, *broken])


def _short(text: str, most: int = 260) -> str:
    return text if len(text) <= most else text[:most] + "..."


if __name__ == "__main__":
    sys.exit(main())
