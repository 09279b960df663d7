"""The announced start: what a person may say, and which moment that is, by a clock that is put back and forth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from cockpit.model.announced import HOW, not_a_start, parsed, start_of

NOW = "2026-11-22T22:10:30+00:00"
"""23:10:30 in Berlin."""


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("said", "start"),
    [
        ("02:00", "2026-11-23T02:00:00+01:00"),
        ("2:00", "2026-11-23T02:00:00+01:00"),
        ("23:30", "2026-11-22T23:30:00+01:00"),
        ("23:10", "2026-11-23T23:10:00+01:00"),
        ("2026-12-06 01:15", "2026-12-06T01:15:00+01:00"),
        ("2026-12-06T01:15", "2026-12-06T01:15:00+01:00"),
        ("in 45 min", "2026-11-22T23:55:30+01:00"),
        ("In 1 minute", "2026-11-22T23:11:30+01:00"),
        (" none ", ""),
    ],
)
def test_a_time_is_the_next_such_time_and_a_date_is_that_day(said: str, start: str) -> None:
    assert start_of(said, datetime.fromisoformat(NOW)) == start
    assert not_a_start(said, NOW) == ""


@pytest.mark.parametrize(
    ("now", "said", "start"),
    [
        ("2026-10-20T12:00:00+02:00", "2026-11-23 02:00", "2026-11-23T02:00:00+01:00"),
        ("2026-10-24T22:00:00+02:00", "06:00", "2026-10-25T06:00:00+01:00"),
        ("2026-10-25T01:30:00+02:00", "in 120 min", "2026-10-25T02:30:00+01:00"),
        ("2026-03-28T22:00:00+01:00", "06:00", "2026-03-29T06:00:00+02:00"),
    ],
)
def test_the_night_in_which_clocks_are_changed(now: str, said: str, start: str) -> None:
    assert start_of(said, datetime.fromisoformat(now)) == start


@pytest.mark.parametrize("said", ["", "soon", "25:00", "2:60", "2026-02-30 02:00", "in 5", "02:00:00", "tomorrow 02:00", "02:00\n03:00"])
def test_anything_else_is_no_time(said: str) -> None:
    assert not_a_start(said, NOW) == HOW
    with pytest.raises(ValueError):
        start_of(said, datetime.fromisoformat(NOW))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("2026-11-22 22:00", "2026-11-22 22:00+01:00 is past"),
        ("2020-01-01 02:00", "is past"),
        ("2027-11-23 02:00", "is more than 60 days ahead"),
        ("0001-01-01 00:00", "say when as"),
        ("9999-12-31 23:59", "say when as"),
    ],
)
def test_what_is_past_or_far_is_refused_with_how_to_say_it(said: str, why: str) -> None:
    assert why in not_a_start(said, NOW)
    assert HOW in not_a_start(said, NOW)


@pytest.mark.parametrize("stored", ["", "garbage", "2026-11-23T02:00:00", "9" * 500])
def test_what_is_stored_and_is_no_time_is_none(stored: str) -> None:
    assert parsed(stored) is None
