"""The announced start: what a person may say, and which moment that is."""

from __future__ import annotations

from datetime import datetime

import pytest

from cockpit.model.announced import HOW, not_a_start, start_of

NOW = datetime.fromisoformat("2026-11-22T23:10:30+01:00")


@pytest.mark.parametrize(
    ("said", "start"),
    [
        ("02:00", "2026-11-23T02:00:00+01:00"),
        ("2:00", "2026-11-23T02:00:00+01:00"),
        ("23:30", "2026-11-22T23:30:00+01:00"),
        ("23:10", "2026-11-23T23:10:00+01:00"),
        ("2026-12-06 01:15", "2026-12-06T01:15:00+01:00"),
        ("2026-12-06T01:15", "2026-12-06T01:15:00+01:00"),
        ("2026-11-22 22:00", "2026-11-22T22:00:00+01:00"),
        ("in 45 min", "2026-11-22T23:55:30+01:00"),
        ("In 1 minute", "2026-11-22T23:11:30+01:00"),
        (" none ", ""),
    ],
)
def test_a_time_is_the_next_such_time_and_a_date_is_that_day(said: str, start: str) -> None:
    assert start_of(said, NOW) == start
    assert not_a_start(said) == ""


@pytest.mark.parametrize("said", ["", "soon", "25:00", "2:60", "2026-02-30 02:00", "in 5", "02:00:00", "tomorrow 02:00", "02:00\n03:00"])
def test_anything_else_is_no_time(said: str) -> None:
    assert not_a_start(said) == HOW
    with pytest.raises(ValueError):
        start_of(said, NOW)
