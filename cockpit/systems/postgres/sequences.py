"""Sequences, which logical replication does not carry: the target goes on beyond what the origin handed out, by a stride.

A sequence's state is `last_value` and `is_called` of its own relation ("CREATE SEQUENCE"), one reading for all of them; `setval`
with three arguments writes both. The stride counts in the origin's increments, so it also covers numbers that sessions cached.
A sequence never called stays exactly so. A cycling one wraps within its bounds. No other target sequence is ever moved backwards.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cockpit.errors import CockpitError, Superseded, SystemFault
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.settings import PairSpec
from cockpit.model.text import plain
from cockpit.model.words import Known, Side
from cockpit.systems.postgres import seat
from cockpit.systems.postgres.catalogue import NOT_EXTENSION, USER_SCHEMA
from cockpit.systems.postgres.link import Link, Row
from cockpit.systems.postgres.names import dotted, ident, table
from cockpit.systems.postgres.wires import Wires

CATALOGUE = f"""\
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, s.seqincrement AS increment, s.seqmin AS low, s.seqmax AS high,
  s.seqcycle AS cycle, s.seqstart AS start
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND {USER_SCHEMA} AND {NOT_EXTENSION} ORDER BY 2, 3"""

NO_ROWS = "SELECT NULL::bigint AS oid, NULL::bigint AS last_value, NULL::boolean AS is_called WHERE false"


@dataclass(frozen=True, slots=True)
class Numbering:
    """One sequence's definition on one side."""

    oid: int
    schema: str
    name: str
    increment: int
    low: int
    high: int
    cycle: bool
    start: int

    @property
    def key(self) -> tuple[str, str]:
        return (self.schema, self.name)

    @property
    def dotted(self) -> str:
        return dotted(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a sequence stands."""

    last: int
    called: bool


class NoHeadroom(ValueError):
    """The stride would leave the target's bounds."""


def goal(origin: Numbering, here: Standing, target: Numbering, stride: int) -> Standing:
    """Where the target must stand at least. Raises `NoHeadroom` where its bounds leave no room for the stride."""
    if not here.called:
        return here
    ahead = here.last + stride * origin.increment
    if target.low <= ahead <= target.high:
        return Standing(ahead, True)
    if not target.cycle:
        raise NoHeadroom
    step = abs(origin.increment)
    places = (target.high - target.low) // step + 1
    edge = target.low if origin.increment > 0 else target.high
    passed = (abs(here.last - edge) // step + stride) % places
    return Standing(edge + passed * origin.increment, True)


def beyond(target: Numbering, there: Standing, wanted: Standing) -> bool:
    """Whether the target stands at `wanted` or further on in its own direction. A cycling one has no further: only equal counts."""
    if target.cycle and wanted.called:
        return there == wanted
    sign = 1 if target.increment > 0 else -1
    return (sign * there.last, there.called) >= (sign * wanted.last, wanted.called)


async def catalogue(link: Link) -> dict[tuple[str, str], Numbering]:
    """Every sequence of the side by schema and name."""
    found = (Numbering(**dict(row)) for row in await link.rows(CATALOGUE))
    return {seq.key: seq for seq in found}


def reading(sequences: Sequence[Numbering]) -> str:
    """One statement that reads where all of them stand."""
    parts = [f"SELECT {s.oid}::bigint AS oid, last_value, is_called FROM {table(s.schema, s.name)}" for s in sequences]
    return " UNION ALL ".join(parts) or NO_ROWS


STANDS = f"""\
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, s.seqincrement > 0 AS up, pg_sequence_last_value(c.oid) AS last
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT s.seqcycle AND c.relpersistence = 'p' AND {USER_SCHEMA} AND {NOT_EXTENSION}"""


_HELD_BY = """\
SELECT q.seq::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS col
FROM (SELECT d.objid AS seq, d.refobjid AS rel, d.refobjsubid AS num FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION SELECT d.refobjid, f.adrelid, f.adnum FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass) q
JOIN pg_sequence s ON s.seqrelid = q.seq JOIN pg_class c ON c.oid = q.rel JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = q.rel AND a.attnum = q.num
WHERE c.relkind IN ('r', 'p') AND a.atttypid IN (20, 21, 23, 1700)
  AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = q.rel AND i.indisvalid AND i.indkey[0] = q.num AND i.indpred IS NULL)"""
"""Columns that a sequence numbers, where an index leads to their ends at once: integers and numeric."""


@dataclass(slots=True)
class Watermarks:
    """How far each sequence of a side was seen to stand: whoever sets one back makes the apps' next numbers collide."""

    _furthest: dict[int, int] = field(default_factory=dict)

    def seen(self, oid: int) -> int | None:
        """How far it was seen to stand; None where it was never read."""
        return self._furthest.get(oid)

    def set_back(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The sequences that stand behind where they stood, in words, until they have passed it again."""
        behind = []
        for row in rows:
            oid, last = int(row["oid"]), row["last"]
            stood = self._furthest.get(oid)
            if stood is not None and (last is None or (last < stood if row["up"] else last > stood)):
                behind.append(f"{plain(dotted(row['schema'], row['name']), 200)} stood at {stood}, stands at {last or 'its start'}")
            elif last is not None:
                self._furthest[oid] = last
        return tuple(behind)


SETTING = "SELECT oid, setval(oid::oid::regclass, last, called) FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) AS wanted(oid, last, called)"
SETTING_OURS = f"{SETTING} WHERE {seat.ours(4)}"
"""By who flies: what was read before another one took the pair up would set numbers back that it has handed out since."""


async def _set(wires: Wires, side: Side, moves: Mapping[int, Standing]) -> None:
    """Each sequence stands where it is wanted; `Superseded` where the side has somebody else on record."""
    link, mine = wires.act[side], wires.seat
    wanted = list(moves), [s.last for s in moves.values()], [s.called for s in moves.values()]
    rows = await (link.change(SETTING_OURS, *wanted, mine.name, mine.epoch) if mine.name else link.change(SETTING, *wanted))
    if len(rows) < len(moves):
        raise Superseded("this pair was taken up by somebody else", owner="", where=link.where, remedy=seat.REMEDY)


@dataclass(slots=True)
class Atlas:
    """The sequences of both sides as last read, so that the window reads no catalogue."""

    sides: Mapping[Side, dict[tuple[str, str], Numbering]]

    async def fill(self, links: Mapping[Side, Link]) -> None:
        """Both sides were read at least once."""
        for side, link in links.items():
            if side not in self.sides:
                self.sides = {**self.sides, side: await catalogue(link)}

    def pairs(self, origin: Side) -> list[tuple[Numbering, Numbering]]:
        """Each sequence of the origin with its namesake; `SystemFault` names those that have none."""
        there = self.sides[origin.other]
        lost = [seq.dotted for key, seq in self.sides[origin].items() if key not in there]
        if lost:
            raise SystemFault(
                f"{len(lost)} sequence(s) missing: {plain(', '.join(lost), 200)}",
                where=str(origin.other),
                remedy="create them there from the schema dump",
                code="R11",
            )
        return [(seq, there[key]) for key, seq in self.sides[origin].items()]


@dataclass(frozen=True, slots=True)
class Sequences:
    """Every sequence of `target` goes on beyond what `origin` handed out."""

    wires: Wires
    origin: Side
    target: Side
    atlas: Atlas

    @property
    def name(self) -> str:
        return f"sequences {self.origin} to {self.target}"

    def describe(self) -> tuple[Statement, ...]:
        here, there = (list(self.atlas.sides.get(side, {}).values()) for side in (self.origin, self.target))
        read = [reading(side) if side else "SELECT <oid>, last_value, is_called FROM <every sequence>" for side in (here, there)]
        stride = f"<last_value + {self.wires.tuning.sequence_stride} x increment>"
        written = SETTING.replace("$1", "<oids>").replace("$2", stride).replace("$3", "<is_called>")
        return (Statement(self.origin, read[0]), Statement(self.target, read[1]), Statement(self.target, written))

    async def probe(self) -> Probe:
        await self.atlas.fill(self.wires.watch)
        pairs = self.atlas.pairs(self.origin)
        here, there = await self._read("watch", pairs)
        wanted = self._wanted(pairs, here)
        behind = [o.dotted for o, t in pairs if t.oid in wanted and not beyond(t, there[t.oid], wanted[t.oid])]
        evidence = {"count": len(pairs), "behind": [plain(name) for name in behind[:20]]}
        return Probe(Known.PENDING if behind else Known.DONE, evidence)

    async def apply(self) -> Evidence:
        """One reading of the origin, one of the target, one statement that sets, one that checks; a changed catalogue costs one more."""
        try:
            return await self._carry()
        except SystemFault as err:
            if err.code not in {"42P01", "3F000"}:
                raise
        fresh = {side: await catalogue(self.wires.act[side]) for side in (self.origin, self.target)}
        self.atlas.sides = {**self.atlas.sides, **fresh}
        return await self._carry()

    async def _carry(self) -> Evidence:
        await self.atlas.fill(self.wires.act)
        pairs = self.atlas.pairs(self.origin)
        here, there = await self._read("act", pairs)
        wanted = self._wanted(pairs, here)
        moves = {t.oid: wanted[t.oid] for _, t in pairs if not beyond(t, there[t.oid], wanted[t.oid])}
        link = self.wires.act[self.target]
        if moves:
            await _set(self.wires, self.target, moves)
        after = _standings(await link.rows(reading([t for _, t in pairs]))) if moves else there
        short = [t.dotted for _, t in pairs if not beyond(t, after[t.oid], wanted[t.oid])]
        if short:
            raise SystemFault(
                f"sequences not where they were set: {plain(', '.join(short), 200)}", where=str(self.target), code="sequences"
            )
        return {
            "count": len(pairs),
            "moved": len(moves),
            "sequences": [_line(o, here[o.oid], there[t.oid], after[t.oid]) for o, t in pairs],
        }

    async def _read(self, use: str, pairs: list[tuple[Numbering, Numbering]]) -> tuple[dict[int, Standing], dict[int, Standing]]:
        links = self.wires.act if use == "act" else self.wires.watch
        here, there = await asyncio.gather(
            links[self.origin].rows(reading([o for o, _ in pairs])), links[self.target].rows(reading([t for _, t in pairs]))
        )
        return _standings(here), _standings(there)

    def _wanted(self, pairs: list[tuple[Numbering, Numbering]], here: Mapping[int, Standing]) -> dict[int, Standing]:
        wanted, full = {}, []
        for origin, target in pairs:
            try:
                wanted[target.oid] = goal(origin, here[origin.oid], target, self.wires.tuning.sequence_stride)
            except NoHeadroom:
                wanted[target.oid] = here[origin.oid]
                if not headroom_waived(self.wires.spec, origin.dotted) or not target.low <= here[origin.oid].last <= target.high:
                    full.append(f"{origin.dotted} at {here[origin.oid].last} of {target.high if target.increment > 0 else target.low}")
        if full:
            raise SystemFault(
                f"no room for a stride of {self.wires.tuning.sequence_stride}: {plain('; '.join(full), 300)}",
                where=str(self.target),
                remedy="widen the sequence (ALTER SEQUENCE .. AS bigint / MAXVALUE), or waive `D3` to carry it over exactly",
                code="D3",
            )
        return wanted


ENDS_S, END_S = 1.0, 0.2
"""Seconds in which the ends of all columns must be read, and, one by one, of each."""
STRIDES = 10
"""How many strides go beyond numbers that were only seen once a second, or only where they were written down."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """Every sequence of `target` goes on beyond what `origin` was last seen to have handed out and what `target` itself holds."""

    wires: Wires
    origin: Side
    target: Side
    atlas: Atlas
    marks: Watermarks
    """Of the origin."""

    @property
    def name(self) -> str:
        return f"sequences of {self.target} beyond what is known of {self.origin}"

    def describe(self) -> tuple[Statement, ...]:
        ahead = f"<the furthest number known + {self._stride} x increment>"
        written = SETTING.replace("$1", "<oids>").replace("$2", ahead).replace("$3", "<true>")
        return (Statement(self.target, "SELECT max(<column>) FROM <every table that a sequence numbers>"), Statement(self.target, written))

    @property
    def _stride(self) -> int:
        return STRIDES * self.wires.tuning.sequence_stride

    async def probe(self) -> Probe:
        """Not to be seen: what the origin handed out last is not known. Applying again goes further, and harms nothing."""
        return Probe(Known.PENDING, {"why": f"{self.origin} is not asked"})

    async def apply(self) -> Evidence:
        link = self.wires.act[self.target]
        mine = await catalogue(link)
        there = _standings(await link.rows(reading(list(mine.values()))))
        held = await self._held(mine)
        moves, unseen = {}, []
        for seq in mine.values():
            known = [n for n in (self._seen(seq), held.get(seq.oid)) if n is not None]
            if not known:
                unseen.append(plain(seq.dotted))
            if there[seq.oid].called:
                known.append(there[seq.oid].last)
            if known:
                moves[seq.oid] = self._ahead(seq, max(known) if seq.increment > 0 else min(known))
        if moves:
            await _set(self.wires, self.target, moves)
        return {"count": len(mine), "moved": len(moves), "unseen": unseen[:50]}

    def _ahead(self, seq: Numbering, last: int) -> Standing:
        """As far ahead as its bounds allow."""
        for stride in (self._stride, self.wires.tuning.sequence_stride, 1):
            try:
                return goal(seq, Standing(last, True), seq, stride)
            except NoHeadroom:
                continue
        return Standing(min(max(last, seq.low), seq.high), True)

    def _seen(self, seq: Numbering) -> int | None:
        namesake = self.atlas.sides.get(self.origin, {}).get(seq.key)
        return None if namesake is None else self.marks.seen(namesake.oid)

    async def _held(self, mine: Mapping[tuple[str, str], Numbering]) -> dict[int, int]:
        """By sequence, the furthest number in a column that it numbers. A table that is locked is left out: nobody waits for it here."""
        link, up = self.wires.work[self.target], {seq.oid: seq.increment > 0 for seq in mine.values()}
        ends = [_end_of(row, up[int(row["oid"])]) for row in await link.rows(_HELD_BY) if int(row["oid"]) in up]
        held: dict[int, int] = {}
        for row in await self._read_ends(link, ends):
            if row["n"] is not None:
                oid, n = int(row["oid"]), int(row["n"])
                held[oid] = (max if up[oid] else min)(held.get(oid, n), n)
        return held

    async def _read_ends(self, link: Link, ends: Sequence[str]) -> list[Row]:
        """All in one reading, or, where that does not come, one by one and without those that do not come either."""
        if not ends:
            return []
        try:
            return await link.rows(" UNION ALL ".join(ends), within=ENDS_S)
        except CockpitError:
            pass
        found: list[Row] = []
        for end in ends:
            with contextlib.suppress(CockpitError):
                found += await link.rows(end, within=END_S)
        return found


def _end_of(column: Row, up: bool) -> str:
    furthest = f"{'max' if up else 'min'}({ident(column['col'])})::bigint"
    return f"SELECT {int(column['oid'])}::bigint AS oid, {furthest} AS n FROM {table(column['schema'], column['name'])}"


def headroom_waived(spec: PairSpec, name: str) -> bool:
    return any(w.check == "D3" and w.object in {"*", name} for w in spec.waivers)


def _standings(rows: Sequence[Row]) -> dict[int, Standing]:
    return {int(row["oid"]): Standing(int(row["last_value"]), bool(row["is_called"])) for row in rows}


def _line(seq: Numbering, here: Standing, before: Standing, after: Standing) -> dict[str, object]:
    shown = {"origin": here, "before": before, "after": after}
    return {"sequence": plain(seq.dotted), **{key: [value.last, value.called] for key, value in shown.items()}}
