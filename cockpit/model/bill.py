"""The bill: what the side that is left holds and the other one has not, when a lead goes over without it ("ungraceful")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cockpit.model import lsn
from cockpit.model.words import Side

UNGRACEFUL = "ungraceful"
"""What is typed behind the pair's name: nobody says it by habit."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What `target` has not of `origin`."""

    origin: Side
    target: Side
    rows: Mapping[str, int] | None
    """By table, how many row changes; None where nobody has seen them."""
    from_lsn: str = ""
    """Up to here `target` has applied the origin's log; empty where that is not known."""
    to_lsn: str = ""
    """The origin's end, as last seen; empty where nobody has seen it."""
    behind_s: float | None = None
    """How long ago, when it was seen, the oldest of it was written."""
    seen_s: float | None = None
    """How long ago it was seen; None where nobody has."""
    exact: bool = False
    """Every change was counted in the origin's log. Else the rows are what the servers' own counters showed, at least."""
    unkept: str = ""
    """Why nothing keeps it, so that it can never be read; empty while something does, as far as is known."""

    @property
    def total(self) -> int | None:
        return None if self.rows is None else sum(self.rows.values())


def in_words(bill: Bill) -> str:
    """`at least 412 changes in 7 tables, the oldest 3.2 s old, 0/5A to 0/5C; seen 4 s ago`; before it, where nothing keeps them, that they cannot be read."""
    return f"UNREADABLE ({bill.unkept}): {_counted(bill)}" if bill.unkept else _counted(bill)


def _counted(bill: Bill) -> str:
    seen = f"; seen {bill.seen_s:.0f} s ago" if bill.seen_s is not None and bill.seen_s >= 1 else ""
    if bill.total is None:
        return f"nobody knows what: {bill.origin} was not seen since this pilot started{_range(bill)}"
    if not bill.rows:
        return (
            f"nothing{_range(bill)}"
            if bill.exact
            else f"an unknown number of changes: none was missing when it was seen last{_range(bill)}{seen}"
        )
    count = f"{'' if bill.exact else 'at least '}{bill.total} change{'' if bill.total == 1 else 's'}"
    age = f", the oldest {bill.behind_s:.1f} s old" if bill.behind_s is not None else ""
    return f"{count} in {len(bill.rows)} table{'' if len(bill.rows) == 1 else 's'}{age}{_range(bill)}{seen}"


def by_table(bill: Bill) -> list[tuple[str, int]]:
    """Tables and their changes, most first."""
    return sorted((bill.rows or {}).items(), key=lambda item: (-item[1], item[0]))


def _range(bill: Bill) -> str:
    if not bill.from_lsn:
        return ""
    known = bill.to_lsn and lsn.parse(bill.to_lsn) >= lsn.parse(bill.from_lsn)
    return f", {bill.from_lsn} to {bill.to_lsn}" if known else f", behind {bill.from_lsn}"


def phrase(pair: str) -> str:
    """What the lead types to go over without what the bill lists."""
    return f"{pair} {UNGRACEFUL}"
