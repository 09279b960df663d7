"""Tables without a key that only grow: inside the window their new end is proven instead of the whole.

At a proof both sides held the same rows. The count and sum of each side's last blocks are kept with the snapshot they were read in.
If since then the tap showed nothing but n inserts on the serving side and nothing on the other, then the table is equal when both
sides' last blocks grew by exactly n rows and by the same sum. A row that went elsewhere (into space that vacuum freed), an update or
a delete makes the counts miss: then nothing is concluded and the whole table is read. Updates that no publication carries show in the
server's own counters ("pg_stat_all_tables": n_tup_upd, n_tup_del).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cockpit.model.words import Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import visible

MOST_XIDS = 20_000


@dataclass(frozen=True, slots=True)
class End:
    """The last blocks of a table on one side, in one snapshot."""

    block: str
    """The first of them, as a tuple id."""
    count: int
    total: int
    moved: int
    """Updates and deletes that the server ever counted."""
    snapshot: str


@dataclass(slots=True)
class Tail:
    """The two ends at the proof, and what each side's tap showed since: inserts by transaction, None for anything else."""

    ends: dict[Side, End] = field(default_factory=dict)
    seen: dict[Side, dict[int, int | None]] = field(default_factory=lambda: {side: {} for side in Side})

    def note(self, side: Side, changes: Mapping[int, int | None]) -> None:
        """The tap of `side` showed these; too many of them, and nothing can be concluded any more."""
        self.seen[side].update(changes)
        if len(self.seen[side]) > MOST_XIDS:
            self.ends = {}
            self.seen[side].clear()

    def proven(self, ends: dict[Side, End]) -> None:
        """The whole table was equal in these two snapshots; what was visible there needs no more attention."""
        self.ends = ends
        for side, end in ends.items():
            self.seen[side] = {xid: n for xid, n in self.seen[side].items() if not visible({xid}, end.snapshot)}

    def expected(self, origin: Side) -> int | None:
        """How many rows both sides must have gained since the proof; None where that cannot be concluded."""
        if len(self.ends) < 2:
            return None
        strangers = [x for x in self.seen[origin.other] if not visible({x}, self.ends[origin.other].snapshot)]
        mine = [n for x, n in self.seen[origin].items() if not visible({x}, self.ends[origin].snapshot)]
        if strangers or None in mine:
            return None
        return sum(n for n in mine if n is not None)

    def agrees(self, now: Mapping[Side, End], expected: int) -> bool:
        """Whether both sides gained exactly the expected rows, the same ones, and lost or changed none."""
        grown = {side: (now[side].count - end.count, now[side].total - end.total) for side, end in self.ends.items()}
        still = all(now[side].moved == end.moved for side, end in self.ends.items())
        return still and grown[Side.BLUE] == grown[Side.GREEN] and grown[Side.BLUE][0] == expected


def query(table: Table) -> str:
    """The end of a table behind a block."""
    oid = "$2::pg_catalog.text::regclass"
    return (
        f"SELECT count(*) AS n, coalesce(sum({table.hash_sql}), 0)::pg_catalog.text AS h, pg_current_snapshot()::pg_catalog.text AS s,"  # noqa: S608
        f" pg_stat_get_tuples_updated({oid}) + pg_stat_get_tuples_deleted({oid}) AS moved"
        f" FROM ONLY {table.sql} r WHERE r.ctid >= $1::pg_catalog.text::tid"
    )


LAST_BLOCKS = "SELECT greatest(pg_relation_size($1::text::regclass) / current_setting('block_size')::int - 128, 0)::text AS n"


def last_row(table: Table) -> str:
    """The last row's place: servers extend tables by up to 64 empty blocks ahead of it ("heap_insert", `src/backend/access/heap/hio.c`)."""
    return f"SELECT split_part(trim('()' from max(r.ctid)::text), ',', 1) AS n FROM ONLY {table.sql} r WHERE r.ctid >= $1::text::tid"  # noqa: S608


async def read_end(line: Line, table: Table, block: str | None = None) -> End:
    """The table's end as it is now: behind `block`, or else from its last row's block on."""
    if block is None:
        (first,) = await line.fetch(LAST_BLOCKS, table.sql)
        (last,) = await line.fetch(last_row(table), f"({first['n']},0)")
        block = f"({last['n'] or first['n']},0)"
    (row,) = await line.run(query(table), block, table.sql)
    return End(block, int(row["n"]), int(row["h"]), int(row["moved"]), str(row["s"]))
