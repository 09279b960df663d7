"""Where a table's rows lie in the order of their keys it is read from the heap: no faster answer is taken for a complete one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.settings import PairSpec
from cockpit.model.words import Side
from cockpit.reconcile import catalog, compare, tiles
from cockpit.reconcile.differing import Found, Looker
from cockpit.reconcile.ledger import Standing
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.throttle import GENTLE
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import SCHEMA, pair, replicate, run, silently

pytestmark = pytest.mark.servers

ROWS, PIECE = 20_000, 2000
MADE = "CREATE TABLE long (id int PRIMARY KEY, other int, v text)"
FILLED = (
    f"INSERT INTO long SELECT n, {ROWS} - n, 'v' || n FROM generate_series(1, {ROWS}) n",
    "VACUUM ANALYZE long",
)


@pytest_asyncio.fixture
async def spec(blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[PairSpec]:
    blue, green = await make_database(blue16, "tiles"), await make_database(green18, "tiles")
    for end in (blue, green):
        await run(end, SCHEMA)
    await replicate(blue, green)
    made = pair(blue, green)
    await both(made, MADE)
    await both(made, *FILLED)
    yield made


class Readings:
    """The statements that read a range on one side, and what happens before each pair of them."""

    def __init__(self) -> None:
        self.asked: list[tuple[Side, str]] = []
        self.before: dict[int, Callable[[], Awaitable[None]]] = {}
        self.pieces = 0
        self.rows: list[int] = []

    def from_heap(self, side: Side) -> int:
        return sum("r.ctid" in sql and "AS strays" in sql for of, sql in self.asked if of is side)

    def by_key(self, side: Side) -> int:
        return sum("AS n," in sql and "r.ctid" not in sql for of, sql in self.asked if of is side)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    seen = Readings()
    fetch, sums = Line.fetch, compare.Comparison._sums

    async def noted(self: Line, sql: str, *args: object, deadline: float = 6.0) -> Any:
        seen.asked.append((self.side, sql))
        return await fetch(self, sql, *args, deadline=deadline)

    async def numbered(self: compare.Comparison, *args: Any) -> Any:
        if (act := seen.before.get(seen.pieces)) is not None:
            await act()
        seen.pieces += 1
        found = await sums(self, *args)
        seen.rows.append(max(rows for rows, _ in found[0].values()))
        self.rate = 10 * PIECE
        return found

    monkeypatch.setattr(compare, "PIECE_ROWS", PIECE // 4)
    monkeypatch.setattr(compare, "PIECE_S", 0.125)
    monkeypatch.setattr(Line, "fetch", noted)
    monkeypatch.setattr(compare.Comparison, "_sums", numbered)
    return seen


async def look(spec: PairSpec, share: float = 1.0, name: str = "public.long") -> tuple[Found, Standing]:
    looker = Looker(spec, Side.BLUE)
    looker._comparison._share, looker._comparison.rate = lambda: share, 10 * PIECE
    try:
        found = await looker.look(lambda shown: shown == name)
        return found, next(iter(looker._ledger.standings.values()))
    finally:
        await looker.close()


def keys(found: Found) -> set[int]:
    assert not found.by_hand
    return {int(fix.key[0]) for fix in found.fixes}


async def both(spec: PairSpec, *statements: str) -> None:
    for end in (spec.blue.control, spec.green.control):
        await silently(end, *statements)


async def test_it_is_read_from_the_heap_on_both_sides_each_row_once(spec: PairSpec, readings: Readings) -> None:
    found, standing = await look(spec)
    assert keys(found) == set()
    assert standing.rows == {Side.BLUE: ROWS, Side.GREEN: ROWS}
    for side in Side:
        assert readings.from_heap(side) == readings.pieces > 5
        assert readings.by_key(side) == 0


@pytest.mark.parametrize("side", list(Side))
async def test_the_server_scans_tids(spec: PairSpec, side: Side) -> None:
    lines = {s: Line(s, spec.side(s).control) for s in Side}
    try:
        table = (await catalog.read(lines, (), Side.BLUE))["public", "long"]
        tile = await tiles.opened(lines[side], table)
        assert tile is not None
        for bounds in ((None, ("2000",)), (("2000",), ("4000",)), (("18000",), None)):
            sql, parameters = tiles.ask(table, bounds, tile, PIECE)
            plan = "\n".join(str(row["QUERY PLAN"]) for row in await lines[side].fetch(f"EXPLAIN {sql}", *parameters))
            assert "Tid Range Scan" in plan
            assert "Seq Scan" not in plan
            (bounds_used,) = [line for line in plan.splitlines() if "TID Cond" in line]
            assert "ctid >=" in bounds_used
            assert "ctid <" in bounds_used
            assert "Filter:" not in plan
    finally:
        for line in lines.values():
            await line.close()


@pytest.mark.parametrize(
    ("side", "planted"),
    [
        (Side.GREEN, "UPDATE long SET v = 'drift' WHERE id IN ({keys})"),
        (Side.GREEN, "DELETE FROM long WHERE id IN ({keys})"),
        (Side.BLUE, "DELETE FROM long WHERE id IN ({keys})"),
    ],
)
async def test_a_difference_is_found_wherever_it_lies(spec: PairSpec, readings: Readings, side: Side, planted: str) -> None:
    where = {1, 2, PIECE // 4, PIECE // 4 + 1, ROWS // 2, ROWS - 1, ROWS}
    await silently(spec.side(side).control, planted.format(keys=", ".join(map(str, where))))
    found, _ = await look(spec)
    assert keys(found) == where
    assert readings.from_heap(Side.BLUE) > 5


async def test_what_is_behind_the_last_range_is_found(spec: PairSpec, readings: Readings) -> None:
    await silently(spec.green.control, f"INSERT INTO long VALUES ({ROWS + 1}, 0, 'rogue'), (-5, 0, 'rogue')")
    assert keys((await look(spec))[0]) == {ROWS + 1, -5}


async def test_a_row_that_lies_at_the_end_on_both_sides_is_compared(spec: PairSpec, readings: Readings) -> None:
    """Its range is read long before it, and is equal without it."""
    await silently(spec.blue.control, "UPDATE long SET v = 'here' WHERE id IN (10, 11, 12)")
    await silently(spec.green.control, "UPDATE long SET v = 'there' WHERE id IN (10, 11)", "UPDATE long SET v = 'here' WHERE id = 12")
    found, standing = await look(spec)
    assert keys(found) == {10, 11}
    assert standing.strewn == set()
    assert standing.work is None
    assert standing.rows == {Side.BLUE: ROWS, Side.GREEN: ROWS}


async def test_a_row_that_lies_at_the_start_on_both_sides_is_compared(spec: PairSpec, readings: Readings) -> None:
    await both(spec, "DELETE FROM long WHERE id < 1000", "VACUUM long", "UPDATE long SET v = 'here' WHERE id BETWEEN 15001 AND 15500")
    await silently(spec.green.control, "UPDATE long SET v = 'there' WHERE id % 100 = 0 AND id BETWEEN 15001 AND 15500")
    found, standing = await look(spec)
    assert keys(found) == {15100, 15200, 15300, 15400, 15500}
    assert standing.strewn == set(Side), "a stray in the first stretch: it costs nothing yet to read by the keys"


async def test_where_many_rows_lie_elsewhere_it_is_read_by_its_keys(
    spec: PairSpec, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "MOST_SUSPECTS", 50)
    await both(spec, "UPDATE long SET v = 'moved' WHERE id % 100 = 0 AND id <= 10000")
    await silently(spec.green.control, "UPDATE long SET v = 'drift' WHERE id = 200")
    found, standing = await look(spec)
    assert keys(found) == {200}
    assert standing.strewn == set(Side)
    assert readings.by_key(Side.BLUE) > 5


@pytest.mark.parametrize("side", list(Side))
async def test_one_side_is_read_from_the_heap_and_the_other_by_its_keys(spec: PairSpec, readings: Readings, side: Side) -> None:
    await silently(spec.side(side).control, "CREATE INDEX around ON long (other)", "CLUSTER long USING around", "ANALYZE long")
    await silently(spec.green.control, "UPDATE long SET v = 'drift' WHERE id IN (7, 12345)")
    found, _ = await look(spec)
    assert keys(found) == {7, 12345}
    assert readings.from_heap(side) == 0
    assert readings.from_heap(side.other) > 5


@pytest.mark.parametrize("turned", [("CLUSTER long USING around",), ("TRUNCATE long", FILLED[0])])
async def test_a_heap_that_is_written_anew_meanwhile_is_read_anew(spec: PairSpec, readings: Readings, turned: tuple[str, ...]) -> None:
    """Turned round between two readings, every row that was ahead lies behind."""
    await both(spec, "CREATE INDEX around ON long (other)")

    async def turn() -> None:
        await both(spec, *turned)
        await silently(spec.green.control, "UPDATE long SET v = 'drift' WHERE id IN (100, 19000)")

    readings.before = {4: turn}
    found, standing = await look(spec)
    assert keys(found) == {100, 19000}
    assert standing.rows[Side.BLUE] == ROWS


async def test_at_a_small_load_limit_it_is_read_by_its_keys(spec: PairSpec, readings: Readings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "GENTLE_BYTES", 0)
    monkeypatch.setattr(compare, "GENTLE_ROWS", 500)
    assert keys((await look(spec, GENTLE))[0]) == set()
    assert readings.from_heap(Side.BLUE) == 0


async def test_what_was_never_analysed_is_read_by_its_keys(spec: PairSpec, readings: Readings) -> None:
    await both(spec, "DELETE FROM pg_statistic WHERE starelid = 'long'::regclass")
    assert keys((await look(spec))[0]) == set()
    assert readings.pieces == readings.by_key(Side.BLUE)


async def test_a_stretch_whose_end_was_moved_far_away_is_not_long(spec: PairSpec, readings: Readings) -> None:
    """The row behind the fourth range lies at the table's end: all that is between would be read in one statement."""
    await both(spec, f"UPDATE long SET v = 'far' WHERE id = {PIECE // 4 * 7 + 1}")
    await silently(spec.green.control, "UPDATE long SET v = 'drift' WHERE id IN (3000, 15000)")
    found, standing = await look(spec)
    assert keys(found) == {3000, 15000}
    assert standing.strewn, "what is behind the stretch's end are strays"
    assert max(readings.rows) < ROWS * 0.6


async def test_a_stray_is_looked_for_in_the_heap_that_it_was_counted_in(
    spec: PairSpec, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the counting and the look the heap is written anew: what is at those places now tells nothing."""
    await both(spec, "CREATE INDEX around ON long (other)", "UPDATE long SET v = 'here' WHERE id IN (7000, 7001)")
    await silently(spec.green.control, "UPDATE long SET v = 'there' WHERE id IN (7000, 7001)")
    parted = tiles.parted

    async def turned(*args: Any) -> Any:
        await silently(spec.side(args[0].side).control, "CLUSTER long USING around")
        return await parted(*args)

    monkeypatch.setattr(tiles, "parted", turned)
    monkeypatch.setattr(compare, "MOST_SUSPECTS", ROWS)
    monkeypatch.setattr(compare, "_reckoned", lambda table, work, rows: None)  # the range it happens in is the last one
    found, standing = await look(spec)
    assert keys(found) == {7000, 7001}
    assert standing.strewn


async def test_a_table_that_is_seen_to_be_updated_meanwhile_is_read_by_its_keys(spec: PairSpec, readings: Readings) -> None:
    """Rows that are missing on green move on blue to where was read already."""
    await both(spec, "DELETE FROM long WHERE id < 1000", "VACUUM long")
    await silently(spec.green.control, "DELETE FROM long WHERE id BETWEEN 15001 AND 15500")

    async def write() -> None:
        await silently(spec.blue.control, "UPDATE long SET v = 'meanwhile' WHERE id BETWEEN 15001 AND 15500")

    readings.before = {5: write}
    found, standing = await look(spec)
    assert keys(found) == set(range(15001, 15501))
    assert Side.BLUE in standing.strewn


async def test_an_equal_table_is_given_up_where_the_other_side_does_not_move_on(
    spec: PairSpec, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await both(spec, "UPDATE long SET v = 'here' WHERE id = 10")

    async def never(*args: object) -> bool:
        return False

    monkeypatch.setattr(Passage, "passed", never)
    found, _ = await look(spec)
    assert "does not move on" in found.by_hand["public.long"]
    assert readings.pieces < 40


@pytest.mark.parametrize(
    ("made", "from_heap"),
    [
        ('"Odd key" int PRIMARY KEY, other int, v text', True),
        ("id int, other int, v text, PRIMARY KEY (id, other)", False),
        ("id numeric PRIMARY KEY, other int, v text", True),
        ("id timestamptz PRIMARY KEY, other int, v text", True),
    ],
)
async def test_keys_of_every_kind(spec: PairSpec, readings: Readings, made: str, from_heap: bool) -> None:
    key = "timestamptz '2026-01-01 UTC' + n * interval '1 minute'" if "timestamptz" in made else "n"
    await both(spec, f'CREATE TABLE "Long one" ({made})')
    await both(spec, f"INSERT INTO \"Long one\" SELECT {key}, 0, 'v' || n FROM generate_series(1, {ROWS}) n", 'VACUUM ANALYZE "Long one"')
    await silently(spec.green.control, "UPDATE \"Long one\" SET v = 'drift' WHERE v IN ('v1', 'v9999', 'v20000')")
    found, _ = await look(spec, name="public.Long one")
    assert not found.by_hand
    assert len(found.fixes) == 3
    assert bool(readings.from_heap(Side.BLUE)) is from_heap


def scattered(rng: random.Random) -> list[str]:
    """What moves rows about in the heap of both sides."""
    at = rng.randrange(ROWS)
    return rng.choice(
        [
            [f"UPDATE long SET v = 'moved' WHERE id = {at}"],
            [f"UPDATE long SET v = v || 'x' WHERE id BETWEEN {at} AND {at + rng.randrange(40)}"],
            [f"DELETE FROM long WHERE id BETWEEN {at} AND {at + rng.randrange(400)}", "VACUUM long"],
            [f"INSERT INTO long SELECT n, 0, 'late' FROM generate_series({-at - 20}, {-at}) n ON CONFLICT DO NOTHING"],
            [f"INSERT INTO long SELECT n, 0, 'next' FROM generate_series({ROWS + at}, {ROWS + at + 500}) n ON CONFLICT DO NOTHING"],
        ]
    )


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_lies_wherever_the_same_rows_are_found_as_by_looking_at_each(
    spec: PairSpec, readings: Readings, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    if seed % 2:
        monkeypatch.setattr(compare, "SOON", 0.0 if seed % 4 == 1 else -1.0)
    for _ in range(rng.randrange(1, 6)):
        await both(spec, *scattered(rng))
    drifted = sorted({rng.randrange(-200, ROWS + 200) for _ in range(rng.randrange(1, 6))})
    for key in drifted:
        side = spec.side(rng.choice(list(Side))).control
        await silently(
            side, f"UPDATE long SET v = 'drift' WHERE id = {key}" if rng.random() < 0.7 else f"DELETE FROM long WHERE id = {key}"
        )
    found, standing = await look(spec)
    assert keys(found) == await unequal(spec)
    assert readings.from_heap(Side.BLUE)
    for side in Side:
        (row,) = await asked(spec, side, "SELECT count(*) AS n FROM long")
        assert standing.rows[side] == row["n"]


async def asked(spec: PairSpec, side: Side, sql: str) -> list[Any]:
    line = Line(side, spec.side(side).control)
    try:
        return list(await line.fetch(sql.replace("FROM long", "FROM public.long")))
    finally:
        await line.close()


async def unequal(spec: PairSpec) -> set[int]:
    blue, green = [{(row["id"], row["v"]) for row in await asked(spec, side, "SELECT id, v FROM long")} for side in Side]
    return {key for key, _ in blue ^ green}
