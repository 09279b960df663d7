"""Facts of what a handover leaves behind and what is done or said beside it: bills, repairs, an announced start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cockpit.model.bill import Bill
from cockpit.model.words import Side


@dataclass(frozen=True, slots=True)
class BillDrawn:
    """What an ungraceful handover leaves behind, as far as it is known now; a later one replaces it."""

    number: int
    bill: Bill


@dataclass(frozen=True, slots=True)
class BillExported:
    """What was left behind was read from the slot that was kept for it."""

    by: str
    changes: int
    tables: int
    from_lsn: str
    to_lsn: str
    path: str
    sha256: str
    """Of the file at `path`."""


@dataclass(frozen=True, slots=True)
class RepairBegun:
    """Rows of a side are about to be made as the serving side has them. The statements hold the apps' data and are in a file of their own."""

    by: str
    side: Side
    rows: Mapping[str, int]
    """By table, how many rows."""
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class RepairDone:
    by: str
    side: Side
    done: int
    """Rows that were made equal."""
    left: int
    """Rows that had changed meanwhile and were left alone."""
    failed: str = ""
    """Why it ended early; empty where it came to its end."""


@dataclass(frozen=True, slots=True)
class StartAnnounced:
    by: str
    start: str
    """When the cutover is to begin, ISO 8601 with its offset; empty: the announcement is taken back."""
