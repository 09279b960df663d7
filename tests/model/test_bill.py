"""A bill in words: what is known of it, and never more than that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cockpit.model.bill import Bill, by_table, in_words, phrase
from cockpit.model.words import Side

COUNTED = Bill(Side.GREEN, Side.BLUE, {"b": 1, "a": 5, "c": 5}, "0/10", "0/20", 3.24, 0.0, exact=True)


@pytest.mark.parametrize(("bill", "words"), [
    (COUNTED, "11 changes in 3 tables, the oldest 3.2 s old, 0/10 to 0/20"),
    (replace(COUNTED, exact=False, seen_s=4.4), "at least 11 changes in 3 tables, the oldest 3.2 s old, 0/10 to 0/20; seen 4 s ago"),
    (replace(COUNTED, rows={"a": 1}, behind_s=None), "1 change in 1 table, 0/10 to 0/20"),
    (replace(COUNTED, rows={}), "nothing, 0/10 to 0/20"),
    (replace(COUNTED, rows={}, exact=False, from_lsn="0/30", seen_s=9.0), "an unknown number of changes: none was missing when it was seen last, behind 0/30; seen 9 s ago"),
    (replace(COUNTED, rows=None, to_lsn=""), "nobody knows what: green was not seen since this pilot started, behind 0/10"),
    (Bill(Side.GREEN, Side.BLUE, None), "nobody knows what: green was not seen since this pilot started"),
])  # fmt: skip
def test_in_words(bill: Bill, words: str) -> None:
    assert in_words(bill) == words


def test_most_first_and_then_by_name() -> None:
    assert by_table(COUNTED) == [("a", 5), ("c", 5), ("b", 1)]
    assert by_table(Bill(Side.GREEN, Side.BLUE, None)) == []


def test_the_phrase_is_nobodys_habit() -> None:
    assert phrase("arp") == "arp ungraceful"
