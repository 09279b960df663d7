"""Parity as a person reads it."""

from __future__ import annotations

from cockpit.model.parity import Difference, NotCarried, Parity, Weight
from cockpit.model.words import Side
from cockpit.timeline.parity import render

INDEX = Difference("index", "s.t.i", "CREATE INDEX ..", "", Weight.BAD, "CREATE INDEX CONCURRENTLY ..", "SELECT 1", Side.GREEN)
VIEW = Difference(
    "view", "s.v", "SELECT " + "a, " * 100 + "b", "SELECT " + "a, " * 100 + "c", Weight.LOOK, "CREATE ..", "SELECT 2", Side.GREEN
)
GRANT = Difference("grant", "s.t to app", "SELECT", "INSERT", Weight.BAD, "", "SELECT 3")


def test_what_is_bad_comes_first_each_with_what_to_do() -> None:
    text = render(Parity((VIEW, INDEX, GRANT), {"index": 3, "view": 1, "rule": 0}))
    heads = [line for line in text.splitlines() if not line.startswith(" ")]
    assert heads == [
        "BAD    grant s.t to app",
        "BAD    index s.t.i",
        "look   view s.v",
        "",
        "DIFFERENT: 2 bad, 1 to look at, 4 objects of 2 kinds compared",
    ]
    assert "       green:  -\n       remedy: on green: CREATE INDEX CONCURRENTLY ..\n       query:  SELECT 1" in text


def test_long_values_are_shown_where_they_part() -> None:
    blue, green = [line for line in render(Parity((VIEW,))).splitlines() if "…" in line]
    assert blue.endswith("b")
    assert green.endswith("c")
    assert len(blue) < 100


def test_nothing_from_outside_is_control() -> None:
    evil = Difference("index\x1b[2J", "a\nBAD b", "\x07", "\u202e", Weight.BAD, "x\ny", "\x9b", Side.BLUE)
    text = render(Parity((evil,), {}, (NotCarried("foreign table", "\x1b]0;x\x07", (Side.BLUE,), "r"),)))
    assert all(line.isprintable() for line in text.splitlines())
    assert "foreign table ^[]0;x^G (on blue)" in text


def test_equal_is_said() -> None:
    assert render(Parity((), {"table": 2})) == "EQUAL: 0 bad, 0 to look at, 2 objects of 1 kinds compared\n"
    assert render(Parity((VIEW,), {})).splitlines()[-1].startswith("EQUAL, but look")
