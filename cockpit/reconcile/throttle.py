"""How much of a server's time the background reading may take now: what the lead allows, and less while the servers show strain.

Every `EVERY_S` both servers are asked: how long a small question takes, how far replication is behind, how much log a slot holds back, how
many backends work. Any of them beyond its limit halves the share; while none is, it grows back by `GROWTH` a time up to what is allowed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from cockpit.errors import CockpitError
from cockpit.model.words import Side
from cockpit.reconcile.sessions import Line

EVERY_S = 2.0
GENTLE = 0.25
"""Up to this load limit the reading is gentle."""
LEAST_PART = 0.5
"""Of the load limit, what the scan takes in any case, however much the watch has to do."""
LEAST_GENTLY = 0.3
"""The same of a limit that asks for gentle reading."""
GROWTH = 0.01
LEAST = 0.005
SLOW = 1.5
"""A small question may take so many times what it usually takes."""
NOTICED_S = 0.02
"""Below this nobody waits for it, however much longer it is than usual."""
IN_A_ROW = 3
"""One slow answer is chance: so many in a row are strain."""
LAG_BYTES = 64 << 20
RETAINED_BYTES = 4 << 30
BUSY = 0.6
"""Share of max_connections that may be at work."""
_SLOWLY = 0.05
OWN_EVERY_S = 1.0
OWN_WEIGHT = 0.3

_STATE = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend')::int AS active,
  current_setting('max_connections')::int AS connections,
  coalesce((SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots), 0)::int8 AS retained,
  coalesce((SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)) FROM pg_replication_slots
    WHERE slot_type = 'logical' AND active), 0)::int8 AS behind
"""


@dataclass(frozen=True, slots=True)
class Strain:
    """What one server showed. Bytes and seconds."""

    side: Side
    answer_s: float
    behind: int = 0
    retained: int = 0
    active: int = 0
    connections: int = 100


class OwnTime:
    """Of the time, in how much of it a processor works for this process."""

    def __init__(self) -> None:
        self._share = 0.0
        self._at = time.monotonic()
        self._worked = time.process_time()

    def share(self) -> float:
        """Of the last seconds."""
        return self._took(time.monotonic(), time.process_time())

    def _took(self, now: float, worked: float) -> float:
        if now - self._at >= OWN_EVERY_S:
            self._share += OWN_WEIGHT * ((worked - self._worked) / (now - self._at) - self._share)
            self._at, self._worked = now, worked
        return self._share


class Throttle:
    """`share` is what may be taken now, `cause` why it is less than `allowed`; empty while it is not."""

    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        self.share = allowed
        self.cause = ""
        self._own = OwnTime()
        self._usual: dict[Side, float] = {}
        self._answers: dict[Side, deque[float]] = {side: deque(maxlen=IN_A_ROW) for side in Side}

    def allow(self, share: float) -> None:
        """The lead's word counts at once, unless the servers are under strain."""
        self.allowed = share
        self.share = min(self.share, share) if self.cause else share

    def for_scan(self, watch: float, *, here: bool) -> float:
        """Of a server's time, what is left for the scan while the watch takes `watch`, and this process its part if the server is `here`."""
        if gentle(self.share):
            return max(self.share - watch - (self._own.share() if here else 0.0), self.share * LEAST_GENTLY)
        return max(self.share - watch, self.share * LEAST_PART)

    def judge(self, seen: tuple[Strain, ...]) -> None:
        """The share for the next while follows from what the servers show."""
        strains = [why for each in seen if (why := self._strained(each))]
        if strains:
            self.share = max(self.share / 2, LEAST)
            self.cause = strains[0]
            return
        self.share = min(self.share + GROWTH, self.allowed)
        self.cause = self.cause if self.share < self.allowed else ""

    def _strained(self, seen: Strain) -> str:
        usual = self._usual.setdefault(seen.side, seen.answer_s)
        self._answers[seen.side].append(seen.answer_s)
        quickest = min(self._answers[seen.side])
        if len(self._answers[seen.side]) == IN_A_ROW and quickest > max(usual * SLOW, NOTICED_S):
            return f"{seen.side} answers in {quickest * 1000:.0f} ms, {usual * 1000:.0f} usually"
        self._usual[seen.side] = usual + _SLOWLY * (seen.answer_s - usual)
        if seen.behind > LAG_BYTES:
            return f"replication from {seen.side} is {seen.behind >> 20} MB behind"
        if seen.retained > RETAINED_BYTES:
            return f"a slot holds back {seen.retained >> 30} GB of log on {seen.side}"
        if seen.active > seen.connections * BUSY:
            return f"{seen.active} backends work on {seen.side}"
        return ""


def gentle(share: float) -> bool:
    """Whether at this load limit nobody is to feel the reading; above it, it is to end soon."""
    return share <= GENTLE


async def look(lines: Mapping[Side, Line]) -> tuple[Strain, ...]:
    """Both servers as they are now; one that cannot be asked says so elsewhere and is left out."""
    seen = await asyncio.gather(*(_look_at(line) for line in lines.values()))
    return tuple(each for each in seen if each is not None)


async def _look_at(line: Line) -> Strain | None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        (row,) = await line.run(_STATE)
    except CockpitError:
        return None
    return Strain(line.side, loop.time() - started, row["behind"], row["retained"], row["active"], row["connections"])
