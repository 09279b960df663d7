"""Which table is read next, and when one that could not be read is tried again."""

from __future__ import annotations

from cockpit.reconcile.catalog import Table
from cockpit.reconcile.ledger import Standing
from cockpit.reconcile.schedule import AGAIN_S, LATEST_S, next_table, refused


def standing(name: str, rows: int) -> Standing:
    return Standing(Table(("public", name), estimate=rows))


def test_a_table_that_cannot_be_read_lets_others_have_their_turn() -> None:
    small, large = standing("small", 10), standing("large", 1_000_000)
    assert next_table([small, large], (), 100.0) is small
    refused(small, 5.0, 105.0)
    small.attempted_mono = 105.0
    assert next_table([small, large], (), 105.0 + AGAIN_S) is large
    assert next_table([small, large], (), 105.0 + 2 * AGAIN_S) is small


def test_it_is_tried_less_and_less_often() -> None:
    table, now, pauses = standing("small", 10), 0.0, []
    for _ in range(2000):
        refused(table, 0.1, now)
        pauses.append(table.again_mono - now)
        now = table.again_mono
    assert pauses[:3] == [2 * AGAIN_S, 4 * AGAIN_S, 8 * AGAIN_S]
    assert pauses[-1] == LATEST_S


def test_what_is_not_watched_is_not_read() -> None:
    table = standing("small", 10)
    table.unwatched = True
    assert next_table([table], (), 100.0) is None


def test_a_try_that_took_long_is_followed_by_as_long_a_pause() -> None:
    """It held a snapshot all the time, which holds back vacuum."""
    table = standing("small", 10)
    refused(table, 600.0, 1000.0)
    assert table.again_mono == 1600.0
