"""When the cutover is to begin, as the lead announced it: a wall time that every screen counts down to. It starts nothing by itself."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

TAKEN_BACK = "none"
_SAID = re.compile(r"(?:(?P<day>\d{4}-\d\d-\d\d)[ T])?(?P<hour>\d{1,2}):(?P<minute>\d\d)")
_IN = re.compile(r"in (?P<minutes>\d{1,4}) ?min(?:utes?)?")
HOW = f"say when as 02:00, as 2026-11-23 02:00 or as in 45 min; {TAKEN_BACK} takes it back"


def not_a_start(text: str) -> str:
    """Why `text` names no time; empty when it does, or takes the announcement back."""
    try:
        start_of(text, datetime(2026, 1, 1).astimezone())
    except ValueError:
        return HOW
    return ""


def start_of(text: str, now: datetime) -> str:
    """The time that `text` names as seen at `now`, in the zone of `now`, as ISO 8601 with its offset; empty where it takes one back.

    A time of day alone is the next such time. `ValueError` where it names none."""
    text = text.strip().casefold()
    if text == TAKEN_BACK:
        return ""
    if later := _IN.fullmatch(text):
        return _iso(now + timedelta(minutes=int(later["minutes"])))
    said = _SAID.fullmatch(text.upper())
    if said is None:
        raise ValueError(HOW)
    day = datetime.fromisoformat(said["day"]) if said["day"] else now
    start = now.replace(year=day.year, month=day.month, day=day.day, hour=int(said["hour"]), minute=int(said["minute"]), second=0)
    return _iso(start if said["day"] or start > now else start + timedelta(days=1))


def _iso(start: datetime) -> str:
    return start.replace(microsecond=0).isoformat()
