"""How long the ranges are in which a long table is read: as long as a statement may take, short where rows are unequal or little load is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial, partialmethod
from typing import Any

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.settings import PairSpec
from cockpit.model.words import Side
from cockpit.reconcile import compare
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.differing import Found, Looker
from cockpit.reconcile.distance import Distance, measure
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.throttle import GENTLE
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import SCHEMA, pair, replicate, run, silently

pytestmark = pytest.mark.servers

GENTLY, SHORT, LIMIT, ROWS = 100, 200, 2000, 20_000
LONG = (f"INSERT INTO long SELECT n, n FROM generate_series(1, {ROWS}) n", "ANALYZE long")


@pytest_asyncio.fixture
async def spec(blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[PairSpec]:
    blue, green = await make_database(blue16, "ranges"), await make_database(green18, "ranges")
    for end in (blue, green):
        await run(end, SCHEMA)
    await replicate(blue, green)
    for end in (blue, green):
        await run(end, "CREATE TABLE long (id int PRIMARY KEY, v int)")
    for end in (blue, green):
        await silently(end, *LONG)
    yield pair(blue, green)


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each range that was read, on the longer side."""
    read: list[int] = []
    sums = compare.Comparison._sums

    async def noted(self: compare.Comparison, table: Any, piece: compare.Piece, serving: Side, tiles: Any) -> Any:
        found = await sums(self, table, piece, serving, tiles)
        self.rate = 10 * LIMIT
        read.append(max(rows for rows, _ in found[0].values()))
        return found

    monkeypatch.setattr(compare, "GENTLE_BYTES", 0)
    monkeypatch.setattr(compare, "GENTLE_ROWS", GENTLY)
    monkeypatch.setattr(compare, "PIECE_ROWS", SHORT)
    monkeypatch.setattr(compare, "PIECE_S", LIMIT / (10 * LIMIT) / 0.8)
    monkeypatch.setattr(compare.Comparison, "_sums", noted)
    return read


Ask = Callable[[], Awaitable[Any]]


def around(monkeypatch: pytest.MonkeyPatch, wrapped: Callable[[Ask, Line, str], Awaitable[Any]]) -> None:
    """Every statement of a line goes through `wrapped`, which is given what asks it."""
    for name in ("fetch", "again"):
        monkeypatch.setattr(Line, name, partialmethod(_asked, getattr(Line, name), wrapped))


def _asked(line: Line, ask: Any, wrapped: Any, sql: str, *args: object, deadline: float = 6.0) -> Awaitable[Any]:
    asked: Awaitable[Any] = wrapped(partial(ask, line, sql, *args, deadline=deadline), line, sql)
    return asked


async def look(spec: PairSpec, share: float = 1.0) -> Found:
    looker = Looker(spec, Side.BLUE)
    looker._comparison._share, looker._comparison.rate = lambda: share, 10 * LIMIT
    try:
        return await looker.look(lambda name: name == "public.long")
    finally:
        await looker.close()


async def test_they_grow_while_all_is_equal(spec: PairSpec, ranges: list[int]) -> None:
    assert (await look(spec)).fixes == ()
    assert ranges[:4] == [SHORT, 2 * SHORT, 4 * SHORT, 8 * SHORT]
    assert max(ranges) == LIMIT
    assert sum(ranges) == ROWS


async def test_at_a_small_load_limit_none_is_long(spec: PairSpec, ranges: list[int]) -> None:
    assert (await look(spec, GENTLE)).fixes == ()
    assert max(ranges) == GENTLY
    assert sum(ranges) == ROWS


@pytest.mark.parametrize(("share", "most"), [(GENTLE, 1), (1.0, 2)])
async def test_at_a_small_load_limit_the_sides_are_read_one_after_the_other(
    spec: PairSpec, ranges: list[int], monkeypatch: pytest.MonkeyPatch, share: float, most: int
) -> None:
    reading: list[Side] = []
    at_once: list[int] = []

    async def noted(ask: Ask, line: Line, sql: str) -> Any:
        if "sum(" not in sql:
            return await ask()
        reading.append(line.side)
        at_once.append(len(reading))
        try:
            return await ask()
        finally:
            reading.remove(line.side)

    around(monkeypatch, noted)
    assert (await look(spec, share)).fixes == ()
    assert max(at_once) == most


async def test_far_servers_are_read_in_longer_ranges_and_their_distance_is_no_work(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    async def far(ask: Ask, line: Line, sql: str) -> Any:
        await asyncio.sleep(0.05)
        return await ask()

    monkeypatch.setattr(compare, "GENTLE_BYTES", 0)
    monkeypatch.setattr(compare, "GENTLE_ROWS", GENTLY)
    around(monkeypatch, far)
    looker = Looker(spec, Side.BLUE)
    comparison = looker._comparison
    comparison._share = lambda: GENTLE
    try:
        comparison.distance = replace(await measure(looker._lines), one_machine=False)
        assert 0.05 <= comparison.distance.trip_s < 0.1
        assert (await looker.look(lambda name: name == "public.long")).fixes == ()
    finally:
        await looker.close()
    assert comparison._gentle_rows(Table(("public", "long"), estimate=ROWS)) > 10 * GENTLY
    assert comparison.rate > 100_000, "20,000 rows take some 10 ms of a server, and 50 ms of the way"


async def test_a_network_that_was_slow_once_does_not_make_the_servers_seem_quick(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(ask: Ask, line: Line, sql: str) -> Any:
        await asyncio.sleep(0.1 if "sum(" in sql else 0)
        return await ask()

    around(monkeypatch, slow)
    looker = Looker(spec, Side.BLUE)
    comparison = looker._comparison
    comparison.distance = Distance(30.0)
    try:
        assert (await looker.look(lambda name: name == "public.long")).fixes == ()
    finally:
        await looker.close()
    assert 100_000 < comparison.rate <= 2 * ROWS / 0.1


@pytest.mark.parametrize(("one_machine", "turns"), [(False, 1), (True, 2)])
async def test_a_side_that_waits_for_its_turn_is_not_busy_unless_both_are_one_machine(
    spec: PairSpec, monkeypatch: pytest.MonkeyPatch, one_machine: bool, turns: int
) -> None:
    """The rest after a piece follows from what one server was kept busy, or one machine by both."""

    async def slow(ask: Ask, line: Line, sql: str) -> Any:
        await asyncio.sleep(0.2 if "sum(" in sql else 0)
        return await ask()

    looker = Looker(spec, Side.BLUE)
    looker._comparison._share = lambda: GENTLE
    looker._comparison.distance = Distance(one_machine=one_machine)
    busy: list[float] = []
    advance = looker._comparison.advance

    async def counted(standing: Any, serving: Side) -> float:
        busy.append(await advance(standing, serving))
        return busy[-1]

    monkeypatch.setattr(compare, "GENTLE_BYTES", 0)
    monkeypatch.setattr(compare, "GENTLE_ROWS", ROWS // 4)
    around(monkeypatch, slow)
    monkeypatch.setattr(looker._comparison, "advance", counted)
    try:
        assert (await looker.look(lambda name: name == "public.long")).fixes == ()
    finally:
        await looker.close()
    assert len(busy) > 4, "in short ranges, though all of it would be one piece"
    assert all(0.2 * turns <= each < 0.2 * turns + 0.2 for each in busy)


async def test_where_a_row_is_unequal_they_are_short_and_then_long_again(spec: PairSpec, ranges: list[int]) -> None:
    await silently(spec.green.control, "UPDATE long SET v = -1 WHERE id = 10000", "DELETE FROM long WHERE id = 10001")
    found = await look(spec)
    assert {(fix.verb, fix.key) for fix in found.fixes} == {("update", ("10000",)), ("insert", ("10001",))}
    wide = next(place for place, rows in enumerate(ranges) if place and rows < ranges[place - 1]) - 1
    closely = ranges[wide + 1 : wide + 1 + ranges[wide] // SHORT]
    assert max(closely) <= SHORT, "all of the unequal range again, in short ones"
    assert max(ranges[wide + 1 + len(closely) + 1 :]) > SHORT


@pytest.mark.parametrize("share", [1.0, GENTLE])
async def test_a_range_that_holds_more_rows_than_was_reckoned_is_not_read_for_ever(spec: PairSpec, ranges: list[int], share: float) -> None:
    """Behind a range with gaps the next one is reckoned too wide where there are none."""
    for end in (spec.blue.control, spec.green.control):
        await run(end, "DELETE FROM long WHERE id % 100 = 0 AND id <= 10000")
    await silently(spec.green.control, "UPDATE long SET v = -1 WHERE id IN (150, 10150, 19999)")
    found = await look(spec, share)
    assert {fix.key for fix in found.fixes} == {("150",), ("10150",), ("19999",)}


async def test_the_last_range_is_read_closely_too(spec: PairSpec, ranges: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its end has to be looked up, a long range is the last one as soon as fewer rows are left than it may hold."""
    monkeypatch.setattr(compare, "_reckoned", lambda table, work, rows: None)
    await silently(spec.green.control, f"DELETE FROM long WHERE id > {ROWS - 150}")
    assert len((await look(spec)).fixes) == 150
    assert ranges[-1] <= SHORT
