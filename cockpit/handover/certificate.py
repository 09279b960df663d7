"""The certificate of a handover: what its verification proved, as a fact of the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from cockpit.model import events as ev
from cockpit.model.words import Direction

COUNTS = ("owed", "proven", "counted", "rows_proven", "keys", "metrics_follow", "spots_follow")


def certified(direction: Direction, lsn: str, seen: ev.Evidence) -> ev.Certified:
    """The fact for the evidence of `ChangedVerified`, whose entries it takes over; what is not among them counts as not proven."""
    tables, proven, counted, rows, keys, metrics, spots = (int(cast(int, seen.get(name) or 0)) for name in COUNTS)
    oldest = cast("float | None", seen.get("oldest_s"))
    return ev.Certified(
        direction.origin,
        direction.target,
        lsn,
        cast("bool | None", seen.get("equal")),
        tables,
        proven,
        counted,
        rows,
        keys,
        oldest,
        cast(float, seen.get("seconds", 0.0)),
        _texts(seen.get("unproven")),
        _texts(seen.get("accepted")),
        "unwatched" not in seen,
        metrics,
        spots,
        _texts(seen.get("checks_left")),
    )


def _texts(told: object) -> tuple[str, ...]:
    return tuple(str(text) for text in cast("Sequence[object]", told or ()))
