"""Who flies the pair, on record on both sides: the fencing token of whoever was frozen and wakes when another one has flown and left.

The pair's lock goes with its connections, and a free lock does not say that nobody had it meanwhile. So whoever is about to act writes a
number above every earlier one, and its own name, into `cockpit_control.seat` of each side that answers; the pilot and its guardian share
one seat. The number is the wall clock's milliseconds where that is above what was seen: so a later one is greater also where the earlier
one reached only the side that is silent now. The fence's scripts compare inside their transaction, whatever this process was ever answered,
and so does every question for the lock. A side that was out of reach has an older number than its owner's: it is raised by the next that
reaches it. Before arming made the table there is nothing to compare; a guardian whose pilot had armed, and finds none, finds a pair that was
cleaned up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cockpit.errors import Superseded, SystemFault
from cockpit.handover.ports import Claim
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres.link import Link, Row
from cockpit.systems.postgres.names import SCHEMA, literal

MOVED_ON = "CK001"
"""The SQLSTATE with which a fence's script refuses."""
GONE = frozenset({"42P01", "3F000"})
REMEDY = "`cockpit watch` looks at the run that flies now; close this one"
READ = f"SELECT epoch, name, owner, at::text AS at FROM {SCHEMA}.seat"
_SIT = f"UPDATE {SCHEMA}.seat SET epoch = $1, name = $2, owner = $3, at = clock_timestamp() WHERE epoch < $1 RETURNING epoch"

COMPARE = """\
  IF mine <> '' THEN
    IF to_regclass('cockpit_control.seat') IS NULL THEN
      RAISE EXCEPTION 'what says that this pair is ours was cleaned up' USING ERRCODE = 'CK001';
    END IF;
    UPDATE cockpit_control.seat SET epoch = raised, name = mine, owner = sitter, at = clock_timestamp() WHERE epoch < raised;
    SELECT * INTO taken FROM cockpit_control.seat FOR UPDATE;
    IF taken.name NOT IN ('', mine) THEN
      RAISE EXCEPTION 'this pair was taken up by % at %', taken.owner, taken.at USING ERRCODE = 'CK001';
    END IF;
  END IF;
"""
DECLARE = """\
  mine constant text := {seat};
  raised constant bigint := {epoch};
  sitter constant text := {owner};
  taken record;
"""


def ours(first: int) -> str:
    """SQL that is true where nobody else sat down since: of the seat's name, parameter `first`, and its number, the next one."""
    return f"EXISTS (SELECT FROM {SCHEMA}.seat WHERE name IN ('', ${first}) OR epoch < ${first + 1})"


@dataclass(slots=True)
class Seat:
    """This process's seat. Without a `name` nothing is compared: such a process flies nothing."""

    name: str = ""
    owner: str = ""
    epoch: int = 0
    """0 until it is on record, and of an heir that does not know it: then nobody's is older."""
    heir: bool = False
    _ours: set[Side] = field(default_factory=set)
    """Sides on which it was seen on record."""

    def take(self, claim: Claim, owner: str) -> None:
        """This process's right from now on; the number of one that is not on record yet is known once it sits down."""
        if claim.seat != self.name:
            self.epoch = claim.epoch if claim.heir else 0
        self.name, self.owner, self.heir = claim.seat, owner, claim.heir

    def rise(self, claim: Claim, rows: Mapping[Side, Row | None], where: Mapping[Side, str]) -> None:
        """Its number is above all that was seen. `Superseded` where somebody sat there whom the claim does not go on from."""
        for side, row in rows.items():
            if claim.before is not None and row is not None and row["name"] not in {*claim.before, claim.seat, ""}:
                raise _taken(row, where[side])
        self.epoch = max(claim.epoch, *(1 + (row["epoch"] if row else 0) for row in rows.values()))

    def fill(self, script: str) -> str:
        """The script with this seat in it. One whose number is not known takes nothing from anybody older."""
        return script.replace("{seat}", literal(self.name)).replace("{epoch}", str(self.epoch)).replace("{owner}", literal(self.owner))

    def judge(self, side: Side, row: Row | None, where: str) -> None:
        """Nobody sat down after us, by what the side has on record; `Superseded` names who did. Known only once it is on record, or of an heir."""
        if row is None:
            if self.heir or side in self._ours:
                raise Superseded("what says that this pair is ours was cleaned up", owner="", where=where, remedy=REMEDY)
        elif row["name"] == self.name:
            self._ours.add(side)
            self.epoch = max(self.epoch, row["epoch"])
        elif row["name"] and row["epoch"] >= self.epoch:
            raise _taken(row, where)

    def on_record(self, side: Side) -> bool:
        """It was seen there."""
        return side in self._ours

    async def sit(self, side: Side, link: Link) -> None:
        """The side has this seat on record, where it has the table; a newer one is left alone, and named."""
        try:
            await link.change(_SIT, self.epoch, self.name, self.owner)
        except SystemFault as err:
            if err.code not in GONE:
                raise
        self.judge(side, await read(link), link.where)


def _taken(row: Row, where: str) -> Superseded:
    owner = plain(row["owner"], 80)
    return Superseded(f"this pair was taken up by {owner} at {plain(row['at'])}", owner=owner, where=where, remedy=REMEDY)


async def read(link: Link) -> Row | None:
    """Who is on record on the side; None where nothing is made yet, or any more."""
    try:
        rows = await link.rows(READ)
    except SystemFault as err:
        if err.code not in GONE:
            raise
        return None
    return rows[0] if rows else None
