"""Tables whose keys are texts: read by key ranges as long as both sides sort them alike, or nearly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.errors import LinkError
from cockpit.model.settings import PairSpec
from cockpit.model.words import Side
from cockpit.reconcile import catalog, compare
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.differing import Found, Looker
from cockpit.reconcile.ledger import NEVER, Pass, Standing
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Key
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import SCHEMA, pair, replicate, run, silently
from tests.reconcile.test_ranges import around

pytestmark = pytest.mark.servers

ROWS, RANGE = 20_000, 1000
WORDS = (
    f"INSERT INTO word SELECT left(md5(n::text), 2) || left('-', n % 4) || md5(n::text) || n, n FROM generate_series(1, {ROWS}) n",
    "ANALYZE word",
)
CHANGED = "UPDATE word SET n = -1 WHERE n = 77"


TYPES = pytest.mark.parametrize("spec", ["text", "varchar(60)", "char(60)", "wording"], indirect=True)


@pytest_asyncio.fixture
async def spec(blue16: Server, green18: Server, make_database: MakeDatabase, request: pytest.FixtureRequest) -> AsyncIterator[PairSpec]:
    """A table of texts, or of what the test names as their type."""
    kind = getattr(request, "param", "text")
    blue, green = await make_database(blue16, "skew"), await make_database(green18, "skew")
    for end in (blue, green):
        await run(end, SCHEMA)
    await replicate(blue, green)
    for end in (blue, green):
        await run(end, "CREATE DOMAIN wording AS varchar(60)", f"CREATE TABLE word (word {kind} PRIMARY KEY, n int)")
        await silently(end, *WORDS)
    yield pair(blue, green)


@dataclass
class Read:
    """How the table was read."""

    standing: Standing
    found: Found
    ranges: list[dict[Side, int]] = field(default_factory=list)
    walks: int = 0

    def rows(self, side: Side) -> int:
        return sum(each[side] for each in self.ranges)


async def look(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> Read:
    """The table in ranges of `RANGE` rows, and how that went."""
    read = Read(Standing(Table(("", ""))), Found())
    sums, walked = compare.Comparison._sums, compare.Comparison._walked

    async def summed(self: compare.Comparison, table: Table, piece: compare.Piece, *rest: Any) -> Any:
        found = await sums(self, table, piece, *rest)
        read.ranges.append({side: found[0][side][0] for side in Side})
        return found

    async def walks(*whole: Any) -> None:
        read.walks += 1
        await walked(*whole)

    monkeypatch.setattr(compare.Comparison, "_sums", summed)
    monkeypatch.setattr(compare.Comparison, "_walked", walks)
    monkeypatch.setattr(compare.Comparison, "_measured", lambda *_: None)
    monkeypatch.setattr(compare, "PIECE_ROWS", RANGE)
    looker = Looker(spec, Side.BLUE)
    looker._comparison.rate = RANGE / (compare.PIECE_S * 0.8)
    monkeypatch.setattr(compare.Comparison, "rows_in", lambda self, seconds: RANGE)
    try:
        read.found = await looker.look(lambda name: name == "public.word")
    finally:
        await looker.close()
    (read.standing,) = looker._ledger.standings.values()
    return read


def green_sorts_by(monkeypatch: pytest.MonkeyPatch, form: str) -> list[int]:
    """Green's collation sorts a text as others sort this form of it. Returns the limits of the rows that green was asked to read."""
    limits: list[int] = []

    def sorted_as(found: re.Match[str]) -> str:
        return form.format(found[0])

    async def asked(ask: Any, line: Line, sql: str) -> Any:
        limits.extend(int(limit) for limit in re.findall(r"LIMIT (\d+)\) r", sql) if line.side is Side.GREEN)
        if line.side is Side.BLUE or "FROM ONLY" not in sql:
            return await ask()
        head, glue, condition = sql.partition(" WHERE ")
        # Each word of a comparison: the column where it is compared, and every bound.
        head = re.sub(r"\$\d+::pg_catalog\.text::text", sorted_as, head)
        condition = re.sub(r"""r\."?word"?(?=\) (>|<=) )|\$\d+::pg_catalog\.text::text""", sorted_as, condition)
        return await ask.func(line, head + glue + condition, *ask.args[2:], **ask.keywords)

    around(monkeypatch, asked)
    return limits


@TYPES
async def test_a_text_key_is_read_by_ranges(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    read = await look(spec, monkeypatch)
    assert (read.walks, read.found, read.standing.proven) == (0, Found(), True)
    assert len(read.ranges) >= ROWS // RANGE
    assert {read.rows(side) for side in Side} == {ROWS}


@TYPES
async def test_a_difference_is_told_by_its_key(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    await silently(spec.green.control, CHANGED)
    read = await look(spec, monkeypatch)
    assert read.walks == 0
    assert [key[0].rstrip().endswith("77") for key in read.standing.differing] == [True]


async def test_rows_that_sort_into_another_range_are_looked_up(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    await silently(spec.green.control, CHANGED)
    green_sorts_by(monkeypatch, "replace({}, '-', '')")
    read = await look(spec, monkeypatch)
    assert (read.walks, read.standing.skewed_mono) == (0, NEVER)
    assert any(each[Side.BLUE] != each[Side.GREEN] for each in read.ranges)
    assert list(read.standing.rows.values()) == [ROWS, ROWS], "every row was counted once"
    assert len(read.standing.differing) == 1


async def test_another_order_is_noticed_before_much_is_read_and_the_table_is_walked(
    spec: PairSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    await silently(spec.green.control, CHANGED)
    limits = green_sorts_by(monkeypatch, "reverse({})")
    read = await look(spec, monkeypatch)
    assert read.walks > 0
    assert read.standing.skewed_mono > NEVER
    assert len(read.ranges) < ROWS / RANGE / 2
    assert set(limits) == {compare.MOST_TIMES * RANGE}
    assert len(read.standing.differing) == 1


async def test_a_walk_in_which_much_is_late_is_no_skew(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no range that rows could be outside of."""

    async def late(*asked: Any) -> tuple[list[Key], bool]:
        return [("a",), ("b",)], False

    looker = Looker(spec, Side.BLUE)
    try:
        await looker.look(lambda name: name == "public.word")
        (word,) = looker._ledger.standings.values()
        monkeypatch.setattr(compare.Comparison, "_suspects", late)
        monkeypatch.setattr(compare.Comparison, "_read", lambda *asked: unequal(asked[2]))
        await looker._comparison._walked(word, Pass(0), Side.BLUE)
    finally:
        await looker.close()
    assert (word.crowded, word.skewed_mono) == (True, NEVER)


async def unequal(line: Line) -> compare.Sum:
    return (1, str(line.side))


async def test_a_walk_that_breaks_on_one_side_holds_no_snapshot_on_the_other(spec: PairSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every later reading through that connection would be of a moment long gone."""
    waiting = asyncio.Event()

    async def blocks(self: compare.Comparison, table: Table, line: Line) -> compare.Sum:
        await line.fetch("SELECT 1")
        if line.side is Side.GREEN:
            waiting.set()
            await asyncio.Event().wait()
        await waiting.wait()
        raise LinkError("gone", where="blue")

    monkeypatch.setattr(compare.Comparison, "_read", blocks)
    looker = Looker(spec, Side.BLUE)
    try:
        with pytest.raises(LinkError):
            await looker._comparison._walked(Standing(Table(("public", "word"))), Pass(0), Side.BLUE)
        for line in looker._lines.values():
            assert (await line.fetch("SHOW transaction_isolation"))[0][0] == "read committed"
    finally:
        await looker.close()


@pytest.mark.parametrize(
    "index", ["CREATE UNIQUE INDEX ON odd (word text_pattern_ops)", """CREATE UNIQUE INDEX ON odd (word COLLATE "C")"""]
)
async def test_an_index_in_another_order_than_its_columns_makes_no_ranges(spec: PairSpec, index: str) -> None:
    lines = {side: Line(side, spec.side(side).control) for side in Side}
    for side in Side:
        await run(spec.side(side).control, "CREATE TABLE odd (word text NOT NULL)")
    await run(spec.blue.control, index)
    await run(spec.green.control, "CREATE UNIQUE INDEX ON odd (word)")
    try:
        tables = await catalog.read(lines, (), Side.BLUE)
    finally:
        for line in lines.values():
            await line.close()
    odd, word = tables["public", "odd"], tables["public", "word"]
    assert odd.key
    assert (odd.ranged, word.ranged, word.ordered) == (False, True, False)
