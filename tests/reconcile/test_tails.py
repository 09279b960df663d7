"""Which transactions fell between a snapshot and a place in the log."""

from __future__ import annotations

import pytest

from cockpit.model.words import Side
from cockpit.reconcile.tails import MOST_XIDS, Tail

BEFORE, PLACE, AFTER = 50, 100, 150
SHOWS, HIDES = "11:11:", "10:11:10"


@pytest.mark.parametrize(
    ("snapshot", "committed", "between"),
    [(SHOWS, BEFORE, False), (SHOWS, AFTER, True), (HIDES, BEFORE, True), (HIDES, AFTER, False), (SHOWS, None, False), (HIDES, None, True)],
)
def test_a_transaction_on_different_sides_of_both_fell_between(snapshot: str, committed: int | None, between: bool) -> None:
    """One whose place is not known came before this process: a snapshot that hides it all the same is not trusted."""
    tail = Tail()
    tail.note(Side.BLUE, {10: 1}, {} if committed is None else {10: committed, 11: PLACE})
    assert tail.between(Side.BLUE, snapshot, PLACE) is between
    assert not tail.between(Side.GREEN, snapshot, PLACE)


def test_too_many_are_forgotten_with_their_places_and_that_is_told() -> None:
    tail = Tail()
    tail.note(Side.BLUE, dict.fromkeys(range(MOST_XIDS + 1), 1), dict.fromkeys(range(MOST_XIDS + 1), AFTER))
    assert (tail.lost, tail.seen[Side.BLUE], tail.places[Side.BLUE]) == (1, {}, {})
