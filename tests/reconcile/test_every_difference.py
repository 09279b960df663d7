"""Every kind of difference planted on a real pair, 16 and 18: each is found and named, and where nothing is planted nothing is said."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.secret import Secret
from cockpit.model.settings import Tuning
from cockpit.model.telemetry import RowDifference
from cockpit.model.words import ProofState, Side
from cockpit.reconcile import PostgresReconciler, compare, schedule
from cockpit.reconcile.differing import Looker
from cockpit.reconcile.ledger import Standing
from cockpit.reconcile.repair import Mended, Mending, mend
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import Pane, connect, drained, pair, reconciling, replicate, run, silently
from tests.reconcile.plants import PLANTS, ROWS, UNVERIFIABLE, Plant, Told, blue_schema, green_schema, value_rows

pytestmark = pytest.mark.servers


@pytest_asyncio.fixture
async def pane(blue16: Server, green18: Server, make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pane]:
    monkeypatch.setattr(compare, "PIECE_S", 0.001)  # 2000 rows: the long tables are read in pieces
    monkeypatch.setattr(schedule, "AGAIN_S", 0.5)
    blue, green = await make_database(blue16, "plants"), await make_database(green18, "plants")
    await run(blue, *blue_schema(), ROWS, *value_rows())
    await run(green, *green_schema())
    await replicate(blue, green)
    async with reconciling(blue, green) as made:
        yield made


async def test_every_difference_is_found_and_named_and_nothing_else(pane: Pane) -> None:
    assert len(set(await _mood_oids(pane))) == 2
    await pane.all_equal()
    assert not pane.differing_ever
    assert {
        name: proof.reason for name, proof in pane.tables.items() if proof.state is ProofState.UNVERIFIABLE
    }.keys() == UNVERIFIABLE.keys()
    assert all(word in pane.tables[name].reason for name, word in UNVERIFIABLE.items())
    assert all(proof.state is ProofState.EQUAL for name, proof in pane.tables.items() if name not in UNVERIFIABLE)

    await _plant(pane)
    with contextlib.suppress(TimeoutError):
        await pane.until(lambda sample: not _missed(pane), 20)
    assert _missed(pane) == {}
    assert pane.differing_ever == {plant.table for plant in PLANTS}
    assert {f"{name} {row.key}" for name, proof in pane.tables.items() for row in proof.rows} == {
        f"{plant.table} {told.key}" for plant in PLANTS for told in plant.rows
    }
    assert all(column.blue != column.green for proof in pane.tables.values() for row in proof.rows for column in row.columns)

    pane.reconciler.hold()
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 5.0)
    assert verification.equal is False
    assert {plant.table for plant in PLANTS} == {name for name in pane.tables if any(name in text for text in verification.differing)}
    await _repaired(pane)


async def _repaired(pane: Pane) -> None:
    """The repair makes equal what a key names, but for what green makes by itself."""
    line, looker, mended = Mending(Side.GREEN, pane.green, writes=True), Looker(pair(pane.blue, pane.green), Side.BLUE), Mended()
    try:
        found = await looker.look(lambda name: True)
        assert len(found.fixes) == sum(len(plant.rows) for plant in PLANTS)
        await mend(line, found.fixes, mended)
        assert mended.left == []
    finally:
        await line.close()
        await looker.close()
    looker = Looker(pair(pane.blue, pane.green), Side.BLUE)
    try:
        again = await looker.look(lambda name: True)
    finally:
        await looker.close()
    assert [fix.table.shown for fix in again.fixes] == ["public.made"]


async def _mood_oids(pane: Pane) -> list[int]:
    found = []
    for endpoint in (pane.blue, pane.green):
        connection = await connect(endpoint)
        found.append(await connection.fetchval("SELECT oid FROM pg_enum WHERE enumlabel = 'glad'"))
        await connection.close()
    return found


async def _plant(pane: Pane) -> None:
    await run(pane.blue, *(plant.blue for plant in PLANTS if plant.blue))
    await drained(pane.blue, pane.green)
    await silently(pane.green, *(statement for plant in PLANTS if not plant.rogue for statement in plant.green))
    await run(pane.blue, "ALTER SUBSCRIPTION cockpit_t_rev DISABLE")  # what a stranger writes stays on green
    await run(pane.green, *(statement for plant in PLANTS if plant.rogue for statement in plant.green))


def _missed(pane: Pane) -> dict[str, object]:
    """By kind what was said instead of what had to be."""
    said = {plant.kind: _said(pane, plant) for plant in PLANTS}
    return {kind: what for kind, what in said.items() if what is not None}


def _said(pane: Pane, plant: Plant) -> object:
    proof = pane.tables[plant.table]
    if proof.state is not ProofState.DIFFERS:
        return proof.state, proof.reason
    rows = {row.key: _told(row) for row in proof.rows}
    wrong = [rows.get(told.key, proof.reason) for told in plant.rows if rows.get(told.key) != told]
    return wrong or None


def _told(row: RowDifference) -> Told:
    return Told(row.key, row.how, tuple((column.column, _value(column.blue), _value(column.green)) for column in row.columns))


def _value(shown: str | None) -> str | None:
    """Without the hash that tells apart what would be shown alike."""
    return shown and re.sub(r" \[[0-9a-f]{16}\]$", "", shown)


async def test_rows_that_are_hidden_from_the_reader_are_never_counted_short(
    blue16: Server, green18: Server, make_database: MakeDatabase
) -> None:
    """What row security hides from it differs, and it must not call the table equal, nor read half of it."""
    ends = [await make_database(blue16, "plants"), await make_database(green18, "plants")]
    role, word = f"reader_{secrets.token_hex(4)}", secrets.token_hex(8)
    hidden = (
        "CREATE TABLE hidden (id int PRIMARY KEY)",
        "INSERT INTO hidden SELECT generate_series(1, 9)",
        "CREATE POLICY mine ON hidden USING (id < 5)",
        "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE seen (id int PRIMARY KEY)",
        f"CREATE ROLE {role} LOGIN PASSWORD '{word}'",
        f"GRANT SELECT ON hidden, seen TO {role}",
    )
    for end in ends:
        await run(end, *hidden)
    await run(ends[1], "DELETE FROM hidden WHERE id = 9")
    blue, green = (replace(end, user=role, password=Secret(word)) for end in ends)
    reconciler = PostgresReconciler(pair(blue, green), Tuning())
    try:
        await reconciler.open(Side.BLUE)
        verification = await reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
        sample = reconciler._sample()
    finally:
        await reconciler.close()
        for end in ends:
            await run(end, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    assert verification.equal is None, verification
    assert "public.hidden" in verification.unproven
    (proof,) = [table for table in sample.tables if table.table == "public.hidden"]
    assert (proof.state, proof.rows_green) == (ProofState.UNVERIFIABLE, None)
    assert "row-level security hides rows of it on blue" in proof.reason
    assert sample.tables_equal < sample.tables_total


async def test_a_table_that_is_read_in_ranges_is_counted_once_though_the_servers_turn_out_to_be_fast(
    blue16: Server, green18: Server, make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [await make_database(blue16, "plants"), await make_database(green18, "plants")]
    for end in ends:
        await run(end, "CREATE TABLE long (id int PRIMARY KEY)", "INSERT INTO long SELECT generate_series(1, 6000)", "ANALYZE long")
    looker, name = Looker(pair(ends[0], ends[1]), Side.BLUE), ("public", "long")
    advance = looker._comparison.advance

    async def slow_at_first(standing: Standing, serving: Side) -> float:
        monkeypatch.setattr(compare, "PIECE_S", 0.25 if standing.work else 0.001)
        return await advance(standing, serving)

    monkeypatch.setattr(looker._comparison, "advance", slow_at_first)
    try:
        assert (await looker.look(lambda shown: shown == "public.long")).fixes == ()
        assert looker._ledger.standings[name].rows == {Side.BLUE: 6000, Side.GREEN: 6000}
    finally:
        await looker.close()
