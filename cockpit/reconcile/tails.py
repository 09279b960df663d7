"""Tables without a key that only grow: inside the window their new rows are proven instead of the whole.

At a proof both sides held the same rows; the snapshot each side was read in is kept. A row whose inserting transaction is not visible
in that snapshot came later, wherever in the table it went. If since then the tap showed nothing but n inserts on the serving side and
nothing on the other, then the table is equal when both sides hold exactly n later rows with the same sum. To find them the whole table
is read, though only their few rows are hashed, which is where most of the time goes: it costs the less, but it grows with the table. An update or a delete shows in the server's own counters
("pg_stat_all_tables": n_tup_upd, n_tup_del); then nothing is concluded and the whole table is compared.

A row's `xmin` has 32 bits: its full number is the newest one at or below the present that ends in them ("System Columns"). A row so
old that the numbers came round would be counted as new; the counts then miss, which also leads to the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cockpit.model.words import Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import hidden, visible

MOST_XIDS = 20_000


@dataclass(frozen=True, slots=True)
class End:
    """Where a table stood on one side when it was read."""

    snapshot: str
    moved: int
    """Updates and deletes that the server ever counted."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What is in a table on one side and was not visible at its end."""

    count: int
    total: int
    now: End


@dataclass(slots=True)
class Tail:
    """The two ends at the proof, and what each side's tap showed since: inserts by transaction, None for anything else."""

    ends: dict[Side, End] = field(default_factory=dict)
    seen: dict[Side, dict[int, int | None]] = field(default_factory=lambda: {side: {} for side in Side})
    places: dict[Side, dict[int, int]] = field(default_factory=lambda: {side: {} for side in Side})
    """Where in the log those of `seen` committed, as far as that is known."""
    lost: int = 0
    """Rises when what was seen had to be forgotten."""

    def note(self, side: Side, changes: Mapping[int, int | None], places: Mapping[int, int]) -> None:
        """The tap of `side` showed these; too many of them, and nothing can be concluded any more."""
        self.seen[side].update(changes)
        self.places[side].update({xid: places[xid] for xid in changes if xid in places})
        if len(self.seen[side]) > MOST_XIDS:
            self.ends = {}
            self.seen[side].clear()
            self.places[side].clear()
            self.lost += 1

    def proven(self, ends: dict[Side, End]) -> None:
        """The whole table was equal in these two snapshots; what was visible there needs no more attention."""
        self.ends = ends
        for side, end in ends.items():
            self.seen[side] = {xid: self.seen[side][xid] for xid in hidden(self.seen[side], end.snapshot)}
            self.places[side] = {xid: place for xid, place in self.places[side].items() if xid in self.seen[side]}

    def behind(self, ends: Mapping[Side, End]) -> bool:
        """Whether everything that the taps showed was visible in these two snapshots."""
        return all(visible(self.seen[side], end.snapshot) for side, end in ends.items())

    def expected(self, origin: Side) -> int | None:
        """How many rows both sides must have gained since the proof; None where that cannot be concluded."""
        if len(self.ends) < 2:
            return None
        mine = [self.seen[origin][x] for x in hidden(self.seen[origin], self.ends[origin].snapshot)]
        if not visible(self.seen[origin.other], self.ends[origin.other].snapshot) or None in mine:
            return None
        return sum(n for n in mine if n is not None)

    def between(self, origin: Side, snapshot: str, place: int) -> bool:
        """Whether a change that the origin's tap showed is on one side of the snapshot and on the other side of the place in its log: then
        the snapshot does not show the table as it is there. One whose place is not known may be such a one."""
        later = set(hidden(self.seen[origin], snapshot))
        return any((xid in later) != (self.places[origin].get(xid, 0 if xid in later else place) > place) for xid in self.seen[origin])

    def agrees(self, grown: Mapping[Side, Growth], expected: int) -> bool:
        """Whether both sides gained exactly the expected rows, the same ones, and lost or changed none."""
        still = all(grown[side].now.moved == end.moved for side, end in self.ends.items())
        blue, green = grown[Side.BLUE], grown[Side.GREEN]
        return still and (blue.count, blue.total) == (green.count, green.total) and blue.count == expected


_MOVED = "pg_stat_get_tuples_updated({oid}) + pg_stat_get_tuples_deleted({oid}) AS moved, pg_current_snapshot()::pg_catalog.text AS s"
_NEWEST = "pg_snapshot_xmax(pg_current_snapshot())::pg_catalog.text::int8"


def growth_query(table: Table) -> str:
    """Count and sum of the rows that are not visible in the snapshot $1; $2 is the table's name."""
    snapshot = "$1::pg_catalog.text::pg_snapshot"
    number = f"({_NEWEST} - ({_NEWEST} - r.xmin::pg_catalog.text::int8) % 4294967296)::pg_catalog.text::xid8"
    # The age is a cheap question that almost every row is out by; only what is left is asked exactly.
    later = (
        f"CASE WHEN age(r.xmin) BETWEEN 0 AND (SELECT age(pg_snapshot_xmin({snapshot})::pg_catalog.xid))"
        f" THEN NOT pg_visible_in_snapshot({number}, {snapshot}) ELSE false END"
    )
    moved = _MOVED.format(oid="$2::pg_catalog.text::regclass")
    return (
        f"SELECT count(*) AS n, coalesce(sum({table.hash_sql}), 0)::pg_catalog.text AS h, {moved}"  # noqa: S608
        f" FROM ONLY {table.sql} r WHERE {later}"
    )


async def read_end(line: Line, table: Table) -> End:
    """Where the table stands in the line's snapshot."""
    (row,) = await line.fetch(f"SELECT {_MOVED.format(oid='$1::pg_catalog.text::regclass')}", table.sql)
    return End(str(row["s"]), int(row["moved"]))


async def read_whole(line: Line, table: Table, *, keep: bool = False) -> Growth:
    """All of the table, and where it stands, in one snapshot; with `keep` the statement stays prepared for the next time."""
    moved = _MOVED.format(oid="$1::pg_catalog.text::regclass")
    total = f"coalesce(sum({table.hash_sql}), 0)::pg_catalog.text"
    sql = f"SELECT count(*) AS n, {total} AS h, {moved} FROM ONLY {table.sql} r"  # noqa: S608
    (row,) = await (line.run if keep else line.fetch)(sql, table.sql)
    return Growth(int(row["n"]), int(row["h"]), End(str(row["s"]), int(row["moved"])))


async def read_growth(line: Line, table: Table, end: End) -> Growth:
    """What came since `end`."""
    (row,) = await line.run(growth_query(table), end.snapshot, table.sql)
    return Growth(int(row["n"]), int(row["h"]), End(str(row["s"]), int(row["moved"])))
