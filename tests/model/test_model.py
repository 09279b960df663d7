"""Small pure parts: text, positions, clocks, secrets."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.model import lsn
from cockpit.model.budgets import Clock, mm_ss
from cockpit.model.secret import Secret
from cockpit.model.text import plain, statement
from cockpit.model.words import Direction, Side


@given(st.text())
def test_plain_text_has_no_control_and_no_line_break(text: str) -> None:
    shown = plain(text)
    assert all(ch.isprintable() for ch in shown)
    assert plain(shown) == shown


@given(st.text(), st.integers(1, 50))
def test_plain_text_keeps_its_limit(text: str, limit: int) -> None:
    assert len(plain(text, limit)) <= limit


def test_a_statement_is_one_line_and_whole() -> None:
    assert statement('\nSELECT "a  b"\n  FROM t\n') == 'SELECT "a  b" FROM t'
    assert statement("SELECT '\x1b'").isprintable()
    assert len(statement("SELECT 1, " * 1000 + "1")) == 10_001


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J", "^[[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u200b", "\\u200b"),
        ("заказы", "заказы"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_could_steer_a_terminal_is_shown(raw: str, shown: str) -> None:
    assert plain(raw) == shown


@given(st.integers(0, 2**64 - 1))
def test_positions_read_back(position: int) -> None:
    assert lsn.parse(lsn.show(position)) == position


def test_positions_print_as_postgres_prints_them() -> None:
    assert lsn.show(0x16B374D848) == "16/B374D848"


@pytest.mark.parametrize(("used", "level"), [(0, "calm"), (149.9, "calm"), (150, "warn"), (240, "bad"), (300, "over"), (900, "over")])
def test_a_clock_says_how_much_is_used(used: float, level: str) -> None:
    assert Clock(used, 300).level == level


@pytest.mark.parametrize(("seconds", "shown"), [(0, "00:00"), (269.9, "04:29"), (3864, "1:04:24"), (-3, "-00:03")])
def test_durations(seconds: float, shown: str) -> None:
    assert mm_ss(seconds) == shown


def test_directions_are_the_same_procedure_with_the_sides_swapped() -> None:
    assert (Direction.CUTOVER.origin, Direction.CUTOVER.target) == (Side.BLUE, Side.GREEN)
    assert (Direction.ROLLBACK.origin, Direction.ROLLBACK.target) == (Side.GREEN, Side.BLUE)
    assert [Direction.away_from(side) for side in Side] == list(Direction)


def test_a_secret_is_never_shown_nor_written() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret:>9} {[secret]} {secret!s}"
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
