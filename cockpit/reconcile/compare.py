"""The background comparison: one table piece by piece, each piece one statement on each side.

A piece is the whole table where that is short, else a key range of the size that takes about `PIECE_S`, or less: twice as long a one after
each that is equal, and short ones where rows are unequal. It is read from the heap where the rows lie in the order of their keys (`tiles`).
Where little load is allowed key ranges are shorter still, and the sides are asked one after the other: servers that share a machine are then
never both at work for it.

Texts sort as a server's collation has it, and that changes with the system under it ("Collation Support"). Ranges by such keys prove all the same:
every row of a side lies in some range as long as their ends ascend by its order, which each statement says; a row that sorts into another range
on the other side makes two ranges unequal, and is looked up by its key. Where that is so of many rows, and where keys have no order to go by, or
a table no key, it is walked by blocks inside one snapshot: sums of blocks add up only within one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cockpit.model.words import Side
from cockpit.reconcile import statements, tiles
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.distance import Distance
from cockpit.reconcile.keys import Bundles
from cockpit.reconcile.ledger import Pass, Standing
from cockpit.reconcile.pace import WEIGHT
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.sessions import FETCH_TRIPS, Line, Row, both, together
from cockpit.reconcile.suspects import Settled, Sum, settle
from cockpit.reconcile.tails import End, read_end, read_growth, read_whole
from cockpit.reconcile.tap import Key
from cockpit.reconcile.throttle import gentle
from cockpit.reconcile.tiles import Tile

PIECE_S = 0.25
PIECE_ROWS = 50_000
"""Rows of a short range. One that is unequal is read four times more to find the rows; a longer one is read again in short ones."""
GENTLE_BYTES = 128 << 10
"""A range is of so many bytes where the reading is gentle, which take a server about 1 ms."""
GENTLE_ROWS = 250
"""Rows of such a range at least."""
TRIPS = 4
"""A range takes at least so many times what its round trip takes: far servers are read in longer ones."""
WHOLE_BYTES = 64 << 20
LEASE_S = 600.0
"""How long a walk by blocks may hold its snapshot."""
SKEWED_S = 600.0
"""How long a table of skewed ranges is not read by ranges. Rows that were deleted or changed by the thousand and are not applied yet look alike."""
SOON = 0.1
"""Part of a table up to which it is read again by its keys, where rows lie out of their order, rather than asked for each of them."""
MOST_TIMES = 2
"""Times the rows that a range is to hold, which it may hold on the other side where that may sort otherwise."""
MOST_SUSPECTS = 2000
MOST_ROWS = 50_000
"""Rows fetched to find the differing ones of a piece."""

CROWDED = "is written faster than both sides can be read at one moment"

TELLING_S = 0.05
"""Seconds of reading from which its speed counts for most."""

Ended = tuple[Sum, End]
"""A whole table's count and sum, and its end, of one snapshot."""

Made = Callable[[Table, str, int], str]
"""A statement about the rows that a condition names, whose next parameter has that number."""

Rest = Callable[[float], Awaitable[None]]
"""Sleeps as long as the load limit asks for after that many busy seconds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a table behind `low`, up to and with `high`; None is no bound."""

    low: Key | None = None
    high: Key | None = None
    rows: int = 0
    """About so many; 0 where nobody looked."""

    @property
    def bounds(self) -> tuple[str, ...]:
        return (*(self.low or ()), *(self.high or ()))


class Skewed(Exception):
    """Most of the rows of a range lie outside it by the order of the other side."""


class Comparison:
    """`rate` is rows a second of the slower side, measured; it sizes the pieces and predicts what a whole table costs. `growth_rate` is
    that of looking for the new rows of a table, of all its rows."""

    def __init__(
        self,
        lines: Mapping[Side, Line],
        bundles: Bundles,
        passage: Passage,
        rest: Rest,
        share: Callable[[], float] = lambda: 1.0,
        *,
        heap: bool = False,
    ) -> None:
        """`share`: of a server's time, what may be taken now; of both servers' where they are on one machine and it is little.
        `heap`: tables may be read from it, which is faster, and cannot be gone on with in another process; a row that is updated
        meanwhile may be counted twice or not at all."""
        self.rate = 100_000.0
        self.growth_rate = 1_000_000.0
        self.distance = Distance()
        self._tried: set[str] = set()
        self._spared = 0.0
        """Seconds of the present piece in which a server was not busy: the other had its turn, or was applying what this one had committed."""
        self._lines = lines
        self._bundles = bundles
        self._passage = passage
        self._rest = rest
        self._share = share
        self._heap = heap

    async def advance(self, standing: Standing, serving: Side) -> float:
        """One more piece of the table is proven, settled, or found unequal; returns the seconds that a server was busy."""
        loop = asyncio.get_running_loop()
        started, self._spared = loop.time(), 0.0
        work = standing.work = standing.work or Pass(standing.epoch, standing.hard)
        if not standing.table.key:
            await self._unkeyed(standing, work, serving)
            return loop.time() - started - self._spared if self.at_once(standing.table) else 0.0
        if work.low is None and not work.closely and self._short(standing):
            await self._piece(standing, work, Piece(), serving)
        elif self._by_ranges(standing):
            await self._range(standing, work, serving)
        else:
            await self._walked(standing, work, serving)
            return 0.0
        return loop.time() - started - self._spared

    def _by_ranges(self, standing: Standing) -> bool:
        return standing.table.ranged and asyncio.get_running_loop().time() - standing.skewed_mono > SKEWED_S

    async def _range(self, standing: Standing, work: Pass, serving: Side) -> None:
        if work.tiles is None:
            work.tiles = await self._tiles(standing, work)
        try:
            await self._piece(standing, work, await self._next(standing.table, work, serving), serving)
        except Skewed:
            standing.skewed_mono, standing.work = asyncio.get_running_loop().time(), None

    def cost(self, standing: Standing, *, grown: bool = False) -> float:
        """Predicted seconds of reading the whole table, or with `grown` of finding its new rows."""
        return standing.count() / (self.growth_rate if grown else self.rate)

    def measured_growth(self, rows: int, seconds: float) -> None:
        if rows >= 10_000 and seconds > 0:
            self.growth_rate += WEIGHT * (rows / seconds - self.growth_rate)

    def rows_in(self, seconds: float) -> int:
        return max(int(self.rate * seconds), 2000)

    def _short(self, standing: Standing) -> bool:
        """Whether the table is one piece."""
        most = self._most(standing.table) if self._by_ranges(standing) else self.rows_in(PIECE_S)
        return standing.count() <= most and standing.table.size <= WHOLE_BYTES

    def _gentle(self) -> bool:
        return gentle(self._share())

    def _most(self, table: Table) -> int:
        """Rows of a key range that are read in one statement."""
        return min(self.rows_in(PIECE_S), self._gentle_rows(table)) if self._gentle() else self.rows_in(PIECE_S)

    def _gentle_rows(self, table: Table) -> int:
        return min(max(GENTLE_ROWS, int(GENTLE_BYTES / _width(table)), int(self.rate * TRIPS * self.distance.trip_s)), PIECE_ROWS)

    async def _tiles(self, standing: Standing, work: Pass) -> dict[Side, Tile]:
        """The sides whose heap is read, from its start: a reading that has begun goes on as it began."""
        if not (self._heap and standing.table.ordered) or work.low is not None or self._gentle():
            return {}
        sides = [side for side in Side if side not in standing.strewn]
        found = await asyncio.gather(*(tiles.opened(self._lines[side], standing.table) for side in sides))
        return {side: tile for side, tile in zip(sides, found, strict=True) if tile is not None}

    async def _next(self, table: Table, work: Pass, serving: Side) -> Piece:
        rows = min(self.rows_in(PIECE_S * 0.8), self._longest(table, work), max(int(WHOLE_BYTES / _width(table)), 100))
        last = work.until if work.closely else None
        if (high := _reckoned(table, work, rows)) is not None:
            return Piece(work.low, last if last is not None and int(last[0]) <= int(high[0]) else high, rows)
        sql = statements.boundary(table, work.low is not None, rows, last is not None)
        found = await self._lines[serving].fetch(sql, *(work.low or ()), *(last or ()))
        return Piece(work.low, tuple(str(found[0][f"k{i}"]) for i in range(len(table.key))) if found else last, rows)

    def _longest(self, table: Table, work: Pass) -> int:
        """Rows of the next range at most."""
        if self._gentle():
            return self._gentle_rows(table)
        return PIECE_ROWS if work.closely else max(work.stride, PIECE_ROWS)

    async def _piece(self, standing: Standing, work: Pass, piece: Piece, serving: Side) -> None:
        heap = work.tiles or {}
        tiled = {} if work.closely else heap
        sums, read, strays = await self._sums(standing.table, piece, serving, tiled)
        # Rows of a heap are counted where they lie, once, strays and all; what is read again by its keys was counted.
        counts = {side: sums[side][0] for side in tiled}
        if strays and not await self._sorted_out(standing, work, piece, serving, strays, sums, {s: (tiled[s], read[s]) for s in strays}):
            return
        rows = sums[serving][0]
        if sums[Side.BLUE] == sums[Side.GREEN]:
            work.stride = work.stride if work.closely else rows * 2
        elif rows > PIECE_ROWS and piece.bounds and not work.closely:
            # Read again in short ranges, the first of whose ends is looked up: a reckoned one may hold more rows than it was to.
            work.closely, work.until, work.stride, work.spread = True, piece.high, rows // 2, None
            work.tiles = read
            work.add(counts)
            return
        else:
            sums, _, _ = await self._sums(standing.table, piece, serving, {})
        if sums[Side.BLUE] != sums[Side.GREEN] and not await self._settled(standing, work, piece, serving):
            return
        work.add(counts | {side: sums[side][0] for side in Side if side not in heap})
        work.spread = _spread(standing.table, piece, rows)
        work.tiles = work.tiles if work.closely else read
        work.closely = work.closely and piece.high != work.until
        work.low = piece.high
        if piece.high is None:
            standing.proven_whole(work, asyncio.get_running_loop().time())

    async def _sums(
        self, table: Table, piece: Piece, serving: Side, read: Mapping[Side, Tile]
    ) -> tuple[dict[Side, Sum], dict[Side, Tile], dict[Side, int]]:
        """The piece on both sides, where there is a tile from the heap; then how far each of those was read, and the strays it held.

        In turn the serving side is asked first: what it had committed by then may be applied on the other when that is asked, and what it
        commits between is little in a short range. A table whose key makes no ranges may be long: both are asked for it at once."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        sides, bounds = (serving, serving.other), (piece.low, piece.high)
        most = 0 if table.ordered else piece.rows * MOST_TIMES
        by_key = statements.ranged(table, piece.low is not None, piece.high is not None, most), piece.bounds
        asked = {side: tiles.ask(table, bounds, read[side], self.rows_in(PIECE_S)) if side in read else by_key for side in sides}
        # Short ranges of a table are many: what the server does before it reads one counts.
        kept = bool(piece.bounds) and self._gentle()
        lines = {side: self._lines[side].again if kept else self._lines[side].fetch for side in sides}
        asks = [partial(lines[side], sql, *parameters) for side, (sql, parameters) in asked.items()]
        took, answers = await both(asks, in_turn=self._gentle() and table.ranged)
        # At most half of it: a network that was slow when it was measured must not make the servers seem quick.
        took -= min(self.distance.trip_s * (1 if kept else FETCH_TRIPS), took / 2)
        if not self.distance.one_machine:
            self._spared += loop.time() - started - took
        rows = {side: found[0] for side, found in zip(sides, answers, strict=True)}
        if most and any(row["n"] >= most or not row["ascending"] for row in rows.values()):
            raise Skewed
        sums = {side: (int(row["n"]), str(row["h"])) for side, row in rows.items()}
        self._measured(max(n for n, _ in sums.values()), took)
        return sums, *tiles.moved(read, rows, last=piece.high is None)

    def _measured(self, rows: int, seconds: float) -> None:
        """A reading that took long tells more than one whose rows were few."""
        if rows >= GENTLE_ROWS and seconds > 0:
            self.rate += min(seconds / TELLING_S, 1.0) * WEIGHT * (rows / seconds - self.rate)

    async def _settled(self, standing: Standing, work: Pass, piece: Piece, serving: Side) -> bool:
        """Whether everything in the unequal piece is accounted for: equal, changing and marked dirty, or confirmed different."""
        suspects, complete = await self._suspects(standing.table, piece)
        settled = await self._judged_by_key(standing, suspects, serving)
        skewed = bool(piece.bounds) and not standing.table.ordered
        if settled is not None and not complete and skewed and len(settled.clean) > len(settled.confirmed):
            raise Skewed
        if settled is not None and not complete:
            standing.more = bool(settled.confirmed)
            standing.touch_whole(asyncio.get_running_loop().time())
        return settled is not None and complete

    async def _judged_by_key(self, standing: Standing, keys: list[Key], serving: Side) -> Settled | None:
        """Each of the rows is equal, changing and marked dirty, or confirmed different; None where that cannot be told now."""
        settled = await settle(self._bundles, self._passage, standing.table, keys, serving)
        self._spared += settled.waited_s
        standing.differing.update(settled.confirmed)
        if settled.stuck:
            standing.waiting = f"unequal, and {serving.other} does not move on: lag cannot be told from loss"
            standing.unequal += 1
            return None
        standing.touch(settled.hot, asyncio.get_running_loop().time())
        return settled

    async def _sorted_out(
        self,
        standing: Standing,
        work: Pass,
        piece: Piece,
        serving: Side,
        strays: Mapping[Side, int],
        sums: dict[Side, Sum],
        stretches: Mapping[Side, tuple[Tile, Tile]],
    ) -> bool:
        """Whether `sums` are without the strays now, and each of those is accounted for: the range it belongs to may have been read.

        Where there are many, or so soon that little was read, the table is begun anew, there by its keys."""
        total, parts = work.strays + sum(strays.values()), []
        if total <= MOST_SUSPECTS and max(work.read.values()) > standing.count() * SOON:
            asks = (
                tiles.parted(self._lines[side], standing.table, (piece.low, piece.high), stretch, MOST_SUSPECTS)
                for side, stretch in stretches.items()
            )
            parts = [part for part in await asyncio.gather(*asks) if part is not None]
        if len(parts) < len(stretches):
            standing.strewn |= strays.keys()
            standing.work = None
            return False
        for side, (count, total_sum, _) in zip(stretches, parts, strict=True):
            sums[side] = count, total_sum
        keys = list(dict.fromkeys(key for _, _, found in parts for key in found))
        if await self._judged_by_key(standing, keys, serving) is None:
            return False
        work.strays = total
        return True

    async def _suspects(self, table: Table, piece: Piece) -> tuple[list[Key], bool]:
        """The keys whose rows read unequal in the piece, and whether these are all of them."""
        inside = self._in_range if piece.bounds or self.at_once(table) else self._in_heap
        found = await together(*(inside(table, piece, side, statements.buckets) for side in Side))
        blue, green = (_by_bucket(rows) for rows in found)
        unequal = sorted(b for b in blue.keys() | green.keys() if blue.get(b) != green.get(b))
        each = max(sum(n for n, _ in blue.values()), sum(n for n, _ in green.values())) / statements.BUCKETS
        chosen = unequal[: max(int(MOST_ROWS / max(each * 1.5, 1)), 1)]
        rows = await together(*(inside(table, piece, side, statements.bucket_rows, chosen) for side in Side))
        one, other = (_by_key(part, len(table.key)) for part in rows)
        keys = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
        return keys[:MOST_SUSPECTS], len(keys) <= MOST_SUSPECTS and len(chosen) == len(unequal)

    async def _in_range(self, table: Table, piece: Piece, side: Side, made: Made, *more: object) -> list[Row]:
        """What the statement that is `made` says of the piece."""
        condition = statements.between(table, piece.low is not None, piece.high is not None)
        return await self._lines[side].fetch(made(table, condition, len(piece.bounds) + 1), *piece.bounds, *more)

    async def _in_heap(self, table: Table, piece: Piece, side: Side, made: Made, *more: object) -> list[Row]:
        """The same of a table that is too long for one statement: of all its stretches, within one snapshot."""
        sql, rows = made(table, statements.PLACED, 3), []
        async with self._lines[side].snapshot(LEASE_S) as line:
            async for stretch in self._stretches(table, line):
                rows += await line.fetch(sql, *stretch, *more)
        return rows

    async def _unkeyed(self, standing: Standing, work: Pass, serving: Side) -> None:
        """A table without a key is judged as a whole, by the three readings that settle a key where the first two are unequal."""
        await self._judged(standing, work, serving)
        await self._try_growth(standing)

    async def _try_growth(self, standing: Standing) -> None:
        """What finds the table's new rows inside the window was run once: planned on both sides, and its speed is known."""
        table, ends = standing.table, dict(standing.tail.ends)
        if table.sql in self._tried or len(ends) < 2 or self.cost(standing, grown=True) > PIECE_S:
            return
        self._tried.add(table.sql)
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(read_growth(self._lines[side], table, ends[side]) for side in Side))
        self.measured_growth(standing.count(), asyncio.get_running_loop().time() - started)

    async def _judged(self, standing: Standing, work: Pass, serving: Side) -> None:
        table, other = standing.table, serving.other
        first, there = await together(self._ended(table, serving), self._ended(table, other))
        if first[0] == there[0]:
            return self._same(standing, work, serving, first, there)
        now = asyncio.get_running_loop().time
        began = now()
        passed = await self._passage.passed(serving, 2.0)
        self._spared += now() - began
        there, again = await together(self._ended(table, other), self._ended(table, serving))
        for here in (first, again):
            if here[0] == there[0]:
                return self._same(standing, work, serving, here, there)
        work.read.update({serving: again[0][0], other: there[0][0]})
        standing.work = None
        if first[0] == again[0] and passed is not False:
            counts = f"{again[0][0]} rows on {serving}, {there[0][0]} on {other}"
            standing.differs = f"{counts}, contents differ; without a key the rows cannot be named"
            standing.rows = dict(work.read)
        else:
            standing.unequal += 1
            standing.crowded = True
            standing.waiting = f"{CROWDED}; all of it is read inside the window{standing.apart and f': {standing.apart}'}"
        return None

    def _same(self, standing: Standing, work: Pass, serving: Side, here: Ended, there: Ended) -> None:
        standing.differs, standing.crowded = "", False
        work.read.update({serving: here[0][0], serving.other: there[0][0]})
        standing.tail.proven({serving: here[1], serving.other: there[1]})
        standing.proven_whole(work, asyncio.get_running_loop().time())

    async def _ended(self, table: Table, side: Side) -> Ended:
        """Count, sum and end of a table in one snapshot."""
        line = self._lines[side]
        if self.at_once(table):
            return await self.read_in(table, line)
        async with line.snapshot(LEASE_S):
            return await self.read_in(table, line)

    async def read_in(self, table: Table, line: Line) -> Ended:
        """Count, sum and end of a table; of a long one in the snapshot that the line holds, resting between its pieces."""
        if not self.at_once(table):
            return await self._walk(table, line), await read_end(line, table)
        started = asyncio.get_running_loop().time()
        read = await read_whole(line, table, keep=True)
        self._measured(read.count, asyncio.get_running_loop().time() - started)
        return (read.count, str(read.total)), read.now

    async def _walked(self, standing: Standing, work: Pass, serving: Side) -> None:
        """A long table whose key does not sort alike on both sides is read on both at once; the resting is inside."""
        blue, green = await together(self._total(standing.table, Side.BLUE), self._total(standing.table, Side.GREEN))
        work.read.update({Side.BLUE: blue[0], Side.GREEN: green[0]})
        if blue == green or await self._settled(standing, work, Piece(), serving):
            standing.proven_whole(work, asyncio.get_running_loop().time())
            return
        standing.crowded = True

    async def _total(self, table: Table, side: Side) -> Sum:
        async with self._lines[side].snapshot(LEASE_S) as line:
            return await self._read(table, line)

    def at_once(self, table: Table) -> bool:
        """Whether the table is read in one statement."""
        return table.size <= WHOLE_BYTES and table.estimate <= self.rows_in(PIECE_S)

    async def _read(self, table: Table, line: Line) -> Sum:
        """Count and sum inside the line's snapshot: one statement where the table is short, else block by block, resting between."""
        if self.at_once(table):
            started = asyncio.get_running_loop().time()
            (row,) = await line.fetch(statements.whole(table))
            self._measured(int(row["n"]), asyncio.get_running_loop().time() - started)
            return int(row["n"]), str(row["h"])
        return await self._walk(table, line)

    async def _walk(self, table: Table, line: Line) -> Sum:
        count, total = 0, 0
        async for stretch in self._stretches(table, line):
            (row,) = await line.fetch(statements.blocks(table), *stretch)
            count, total = count + int(row["n"]), total + int(row["h"])
        return count, str(total)

    async def _stretches(self, table: Table, line: Line) -> AsyncIterator[tuple[str, str]]:
        """Where each stretch of the heap begins, and before which place it ends; rests by the load limit behind each that was read."""
        loop = asyncio.get_running_loop()
        (row,) = await line.fetch(
            "SELECT (pg_relation_size($1::text::regclass) / current_setting('block_size')::int)::int8 AS n", table.sql
        )
        end, at = int(row["n"]), 0
        rows = min(self.rows_in(PIECE_S), max(int(WHOLE_BYTES / _width(table)), 1))
        step = max(int(rows * max(end, 1) / max(table.estimate, 1)), 1)
        while at <= end:
            started = loop.time()
            yield f"({at},0)", statements.LAST if at + step > end else f"({at + step},0)"
            at += step
            await self._rest(loop.time() - started)


_MOST = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1}
_SPARSE = 4.0
"""Numbers for each row beyond which the end of a range is looked up: what was a gap may be full of rows further on."""


def _spread(table: Table, piece: Piece, rows: int) -> float | None:
    """Numbers for each row of the piece, where the key is one integer and has few gaps."""
    if not _counts(table) or piece.low is None or piece.high is None:
        return None
    width = int(piece.high[0]) - int(piece.low[0])
    return width / rows if width <= rows * _SPARSE else None


def _reckoned(table: Table, work: Pass, rows: int) -> Key | None:
    """The end of a range of about `rows` rows, by the range before it; None where it has to be looked up."""
    if work.low is None or work.spread is None:
        return None
    high = int(work.low[0]) + max(int(rows * work.spread), 1)
    return (str(high),) if high < _MOST[table.key[0].kind.name] else None


def _counts(table: Table) -> bool:
    return len(table.key) == 1 and table.key[0].kind.built_in and table.key[0].kind.name in _MOST


def _width(table: Table) -> float:
    """Bytes of a row, and what a table that is mostly empty has beside them."""
    return max(table.size / max(table.estimate, 1), 1.0)


def _by_bucket(rows: Sequence[Row]) -> dict[int, tuple[int, int]]:
    """Count and sum of each bucket, of however many parts."""
    found: dict[int, tuple[int, int]] = {}
    for row in rows:
        n, h = found.get(row["b"], (0, 0))
        found[row["b"]] = n + int(row["n"]), h + int(row["h"])
    return found


def _by_key(rows: list[Mapping[str, object]], width: int) -> dict[Key, tuple[int, ...]]:
    found: dict[Key, tuple[int, ...]] = {}
    for row in rows:
        key = tuple(str(row[f"k{i}"]) for i in range(width))
        found[key] = tuple(sorted((*found.get(key, ()), int(str(row["h"])))))
    return found
