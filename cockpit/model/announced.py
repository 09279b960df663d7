"""When the cutover is to begin, as the lead announced it: a wall time that every screen counts down to. It starts nothing by itself."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

TAKEN_BACK = "none"
_SAID = re.compile(r"(?:(?P<day>\d{4}-\d\d-\d\d)[ T])?(?P<hour>\d{1,2}):(?P<minute>\d\d)")
_IN = re.compile(r"in (?P<minutes>\d{1,4}) ?min(?:utes?)?")
HOW = f"say when as 02:00, as 2026-11-23 02:00 or as in 45 min; {TAKEN_BACK} takes it back"


AHEAD_DAYS = 60
"""No announcement is further ahead: one wrong digit of a date would be counted down to on every screen."""


def not_a_start(text: str, now: str) -> str:
    """Why `text` names no time to come, as seen at `now` (ISO 8601 with its offset); empty when it does, or takes the announcement back."""
    try:
        seen = parsed(now) or datetime.now().astimezone()
        start = parsed(start_of(text, seen))
    except (ValueError, OverflowError):
        return HOW
    if start is not None and not timedelta(0) <= start - seen <= timedelta(days=AHEAD_DAYS):
        return f"{start.isoformat(' ', 'minutes')} is {'past' if start < seen else f'more than {AHEAD_DAYS} days ahead'}: {HOW}"
    return ""


def start_of(text: str, now: datetime) -> str:
    """The time that `text` names as seen at `now`, by this machine's clocks and their changes over the year, as ISO 8601 with its offset;
    empty where it takes one back.

    A time of day alone is the next such time. `ValueError` where it names none."""
    text = text.strip().casefold()
    if text == TAKEN_BACK:
        return ""
    if later := _IN.fullmatch(text):
        return _iso(now + timedelta(minutes=int(later["minutes"])))
    said = _SAID.fullmatch(text.upper())
    if said is None:
        raise ValueError(HOW)
    wall = now.astimezone().replace(tzinfo=None)
    day = datetime.fromisoformat(said["day"]) if said["day"] else wall
    start = day.replace(hour=int(said["hour"]), minute=int(said["minute"]), second=0, microsecond=0)
    return _iso(start if said["day"] or start > wall else start + timedelta(days=1))


def parsed(text: str) -> datetime | None:
    """The time that is stored; None where the text is none, or says no offset."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def _iso(start: datetime) -> str:
    return start.astimezone().replace(microsecond=0).isoformat()
