"""A process that is killed and another that takes its proof up, on real servers: what was proven is not read again, and whatever
makes that uncertain makes everything unproven."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.errors import LinkError
from cockpit.model.settings import Endpoint, PairSpec, Tuning
from cockpit.model.words import ProofState, Side
from cockpit.reconcile import PostgresReconciler, keeping
from cockpit.reconcile.compare import Comparison, Piece
from cockpit.reconcile.ledger import Standing
from tests.conftest import MakeDatabase
from tests.reconcile.conftest import SmallPair
from tests.reconcile.pairs import ROWS, SCHEMA, Pane, connect, drained, load, pair, run, silently, until

pytestmark = pytest.mark.servers

OURS = "slot_name LIKE 'cockpit_arp_tap%' AND database = current_database()"


class Runs:
    """One process after the other on one pair; `spec` is for the next one."""

    def __init__(self, spec: PairSpec, blue: Endpoint, green: Endpoint, path: Path) -> None:
        self.spec = spec
        self.blue = blue
        self.green = green
        self.path = path
        self._alive: list[tuple[Pane, asyncio.Task[None]]] = []

    async def begin(self) -> Pane:
        reconciler = PostgresReconciler(self.spec, Tuning(recon_duty=0.5), self.path)
        await reconciler.open(Side.BLUE)
        pane = Pane(reconciler, self.blue, self.green)
        self._alive.append((pane, asyncio.create_task(pane.watch())))
        return pane

    async def kill(self, pane: Pane, *, saved: bool = True) -> None:
        """As if the process was gone: nothing is removed from the servers. `saved`: what was drained had the time to reach the file."""
        await held(pane)
        if saved:
            await pane.reconciler._keeper.save()
        await self._stop(pane)
        if (store := pane.reconciler._keeper._store) is not None:
            await store.close()
        for tap in pane.reconciler._taps.values():
            await tap.close(keep=True)
        for lines in (pane.reconciler._scan, pane.reconciler._probe, pane.reconciler._strain):
            for line in lines.values():
                await line.close()

    async def end(self, pane: Pane) -> None:
        await self._stop(pane)
        await pane.reconciler.close()

    async def end_all(self) -> None:
        for pane, _ in list(self._alive):
            await self.end(pane)

    async def _stop(self, pane: Pane) -> None:
        (task,) = [task for each, task in self._alive if each is pane]
        self._alive = [(each, task) for each, task in self._alive if each is not pane]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest_asyncio.fixture
async def runs(small_pair: SmallPair, tmp_path: Path) -> AsyncIterator[Runs]:
    blue, green = await small_pair("resume")
    await run(green, "ANALYZE")
    made = Runs(pair(blue, green), blue, green, tmp_path / "proof.db")
    yield made
    await made.end_all()


async def held(pane: Pane) -> None:
    pane.reconciler.hold()

    async def at_rest() -> bool:
        return not pane.reconciler._at_work and not pane.reconciler._uncut

    await until(at_rest)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on no table is read any more."""

    async def nothing(self: Comparison, standing: Standing, serving: Side) -> float:
        standing.attempted_mono = asyncio.get_running_loop().time()
        return 0.01

    return lambda: monkeypatch.setattr(Comparison, "advance", nothing)


def standing(pane: Pane, name: str) -> Standing:
    return pane.reconciler._ledger.standings["public", name]


def proven(pane: Pane) -> int:
    return sum(s.proven for s in pane.reconciler._ledger.provable())


async def test_what_was_proven_is_taken_up_and_not_read_again(runs: Runs, unread: Callable[[], None]) -> None:
    first = await runs.begin()
    await first.all_equal()
    ages = {name: s.proven_mono for name, s in first.reconciler._ledger.standings.items() if not s.table.key}
    rows = {name: s.rows for name, s in first.reconciler._ledger.standings.items()}
    await runs.kill(first)
    unread()
    second = await runs.begin()
    await second.all_equal()
    assert second.last is not None
    assert second.last.note == ""
    assert {name: s.rows for name, s in second.reconciler._ledger.standings.items()} == rows
    for name, age in ages.items():
        mono = second.reconciler._ledger.standings[name].proven_mono
        assert age == mono if age is None else mono == pytest.approx(age, abs=0.5)
    second.reconciler.hold()
    verification = await second.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification
    assert verification.evidence["rows_read_whole"] == 0


async def test_it_is_taken_up_under_load_again_and_again(runs: Runs, unread: Callable[[], None]) -> None:
    async with load(runs.blue) as running:
        pane = await runs.begin()
        await pane.all_equal()
        for number in range(3):
            await runs.kill(pane)
            if number == 0:
                unread()
            begun = running.transactions
            pane = await runs.begin()
            await pane.until(lambda s, since=begun: running.transactions > since + 50 and s.dirty_keys is not None)
            assert all(s.proven for s in pane.reconciler._ledger.provable() if s.table.key), pane.last
    await drained(runs.blue, runs.green)
    assert not pane.differing_ever


async def test_a_row_that_changed_meanwhile_is_dirty_then_proven(runs: Runs, unread: Callable[[], None]) -> None:
    first = await runs.begin()
    await first.all_equal()
    before = standing(first, "account").proven_mono
    await runs.kill(first)
    await run(runs.blue, "UPDATE account SET owner = 'meanwhile' WHERE id = 7", "INSERT INTO log VALUES (now(), 'meanwhile')")
    await drained(runs.blue, runs.green)
    unread()
    second = await runs.begin()
    asked: list[object] = []
    prove = second.reconciler._bundles.prove

    async def noted(keys: object, **how: bool) -> object:
        asked.append(keys)
        return await prove(keys, **how)

    second.reconciler._bundles.prove = noted  # type: ignore[assignment,method-assign]
    await second.until(lambda s: s.dirty_keys == 0 and (standing(second, "account").proven_mono or 0) > (before or 0) and bool(asked))
    assert any(("7",) in keys.get(("public", "account"), ()) for keys in asked)  # type: ignore[attr-defined]
    assert standing(second, "account").proven
    # Without a key it is not known which row: the table is to be read whole, and by its new rows only after that.
    assert not standing(second, "log").proven
    assert standing(second, "click").proven


async def test_what_was_dirty_when_it_was_killed_is_dirty_still_and_a_silent_drift_of_it_is_found(
    runs: Runs, unread: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await runs.begin()
    await first.all_equal()
    await held(first)
    await run(runs.blue, "UPDATE account SET owner = 'changed' WHERE id IN (7, 8)")
    await drained(runs.blue, runs.green)
    await first.reconciler._watch.drain(first.reconciler._tables())
    assert {("7",), ("8",)} <= set(standing(first, "account").young)
    await runs.kill(first)
    await run(runs.blue, "UPDATE account SET owner = 'again' WHERE id = 9")
    await drained(runs.blue, runs.green)
    await silently(runs.green, "UPDATE account SET owner = 'drift' WHERE id IN (7, 9)")
    unread()
    second = await runs.begin()
    await second.until(lambda s: s.differences == 2)
    assert set(standing(second, "account").differing) == {("7",), ("9",)}
    await runs.kill(second)
    third = await runs.begin()
    await third.until(lambda s: s.dirty_keys is not None)
    assert set(standing(third, "account").differing) == {("7",), ("9",)}
    assert standing(third, "account").state(0.0) is ProofState.DIFFERS


async def test_a_table_half_read_goes_on_where_it_stopped(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(runs.blue, "CREATE TABLE big (id int PRIMARY KEY, v text)")
    await run(runs.green, "CREATE TABLE big (id int PRIMARY KEY, v text)")
    for endpoint in (runs.blue, runs.green):
        await silently(endpoint, "INSERT INTO big SELECT i, 'v' FROM generate_series(1, 150000) i", "ANALYZE big")
    pieces: list[Piece] = []
    stop_at = [2]
    piece = Comparison._piece

    async def counted(self: Comparison, of: Standing, work: object, part: Piece, serving: Side) -> None:
        if of.table.name[1] != "big":
            return await piece(self, of, work, part, serving)  # type: ignore[arg-type]
        if len(pieces) < stop_at[0]:
            pieces.append(part)
            return await piece(self, of, work, part, serving)  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        return None

    monkeypatch.setattr(Comparison, "_piece", counted)
    monkeypatch.setattr(Comparison, "rows_in", lambda self, seconds: 20_000)
    first = await runs.begin()
    await first.until(
        lambda s: len(pieces) == 2 and standing(first, "big").work is not None and standing(first, "big").work.low == pieces[1].high
    )
    await runs.kill(first)
    await run(runs.blue, "UPDATE big SET v = 'behind' WHERE id = 1", "UPDATE big SET v = 'ahead' WHERE id = 149999")
    stop_at[0] = 1000
    second = await runs.begin()
    await second.until(lambda s: standing(second, "big").proven and not standing(second, "big").dirty)
    assert pieces[2].low == pieces[1].high, "it goes on behind what was read"
    assert standing(second, "big").rows == {Side.BLUE: 150000, Side.GREEN: 150000}
    lows = [p.low for p in pieces if p.low is not None]
    assert len(set(lows)) == len(lows), "nothing was read twice"


async def _consumed(runs: Runs) -> None:
    await run(runs.blue, "UPDATE account SET owner = 'unseen' WHERE id = 7")
    options = "'proto_version', '1', 'publication_names', s.slot_name::text, 'messages', 'true'"
    await run(
        runs.blue,
        f"SELECT count(*) FROM pg_replication_slots s, pg_logical_slot_get_binary_changes(s.slot_name, NULL, 1, {options}) WHERE {OURS}",
    )


async def _dropped(runs: Runs) -> None:
    await run(runs.green, f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {OURS}")


async def _unpublished(runs: Runs) -> None:
    await _each_publication(runs, "ALTER PUBLICATION {} DROP TABLE account", "ALTER PUBLICATION {} ADD TABLE account")


async def _republished(runs: Runs) -> None:
    await _each_publication(runs, "DROP PUBLICATION {}", "CREATE PUBLICATION {} FOR TABLE account")


async def _narrowed(runs: Runs) -> None:
    await _each_publication(runs, "ALTER PUBLICATION {} SET (publish = 'insert')")


async def _each_publication(runs: Runs, *statements: str) -> None:
    connection = await connect(runs.blue)
    try:
        name = await connection.fetchval("SELECT pubname FROM pg_publication WHERE pubname ~ '^cockpit_arp_tap_[0-9a-f]{8}$'")
    finally:
        await connection.close()
    await run(runs.blue, *(statement.format(name) for statement in statements))


@pytest.mark.parametrize(
    ("meddle", "why"),
    [
        (_consumed, "changes were taken"),
        (_dropped, "slot is gone"),
        (_unpublished, "carry other tables"),
        (_republished, "publications are not"),
        (_narrowed, "publications are not"),
    ],
)
async def test_where_changes_may_be_lost_nothing_counts_and_it_is_said(
    runs: Runs, unread: Callable[[], None], monkeypatch: pytest.MonkeyPatch, meddle: Callable[[Runs], Awaitable[None]], why: str
) -> None:
    first = await runs.begin()
    await first.all_equal()
    await runs.kill(first)
    await meddle(runs)
    with monkeypatch.context() as patched:
        patched.setattr(Comparison, "advance", _idle)
        second = await runs.begin()
        sample = await second.until(lambda s: s.dirty_keys is not None)
        assert proven(second) == 0
        assert "everything is read again" in sample.note
        assert why in sample.note
    await second.all_equal()
    assert second.reconciler._keeper.note == ""
    await _only_its_own(runs, second)


async def _idle(self: Comparison, of: Standing, serving: Side) -> float:
    of.attempted_mono = asyncio.get_running_loop().time()
    return 0.01


async def _only_its_own(runs: Runs, pane: Pane) -> None:
    for side, endpoint in ((Side.BLUE, runs.blue), (Side.GREEN, runs.green)):
        connection = await connect(endpoint)
        try:
            found = [row[0] for row in await connection.fetch(f"SELECT slot_name FROM pg_replication_slots WHERE {OURS}")]
        finally:
            await connection.close()
        assert found == [pane.reconciler._taps[side].name]


async def test_a_drain_that_did_not_reach_the_file_is_noticed(runs: Runs, unread: Callable[[], None]) -> None:
    first = await runs.begin()
    await first.all_equal()
    await held(first)
    await first.reconciler._keeper.save()
    await run(runs.blue, "UPDATE account SET owner = 'lost' WHERE id = 7")
    await drained(runs.blue, runs.green)
    await silently(runs.green, "UPDATE account SET owner = 'drift' WHERE id = 7")
    await first.reconciler._watch.drain(first.reconciler._tables())
    await runs.kill(first, saved=False)
    second = await runs.begin()
    await second.until(lambda s: s.dirty_keys is not None)
    assert "changes were taken" in second.reconciler._keeper._why
    await second.until(lambda s: s.differences == 1)


async def test_a_reading_of_another_database_is_not_believed(
    runs: Runs, blue16: Server, make_database: MakeDatabase, unread: Callable[[], None]
) -> None:
    first = await runs.begin()
    await first.all_equal()
    await runs.kill(first)
    other = await make_database(blue16, "resume_other")
    await run(other, SCHEMA, ROWS)
    runs.spec = pair(other, runs.green)
    unread()
    second = await runs.begin()
    sample = await second.until(lambda s: s.dirty_keys is not None)
    assert proven(second) == 0
    assert "blue: the tap's slot is gone" in sample.note


async def test_tables_that_were_changed_in_shape_or_rewritten_meanwhile_are_read_again(runs: Runs, unread: Callable[[], None]) -> None:
    first = await runs.begin()
    await first.all_equal()
    await runs.kill(first)
    for endpoint in (runs.green, runs.blue):
        await run(
            endpoint,
            "ALTER TABLE part ADD COLUMN w int",
            "ALTER TABLE account ALTER COLUMN owner TYPE text USING upper(owner)",
            'DROP TABLE "Odd Schema"."Täble"',
            'CREATE TABLE "Odd Schema"."Täble" ("Key" text PRIMARY KEY, "a b" int[])',
        )
    await run(runs.blue, "TRUNCATE click")
    unread()
    second = await runs.begin()
    await second.until(lambda s: s.dirty_keys is not None)
    standings = second.reconciler._ledger.standings
    assert {name[1] for name, s in standings.items() if s.proven} == {"entry", "log"}
    assert second.reconciler._taps[Side.BLUE].carries(("Odd Schema", "Täble"))


async def test_a_table_with_a_key_that_may_not_be_shown_is_not_in_the_file(runs: Runs, unread: Callable[[], None]) -> None:
    runs.spec = replace(runs.spec, sensitive_columns=("*.Täble.Key", "*.entry.note"))
    first = await runs.begin()
    await first.all_equal()
    await held(first)
    await run(
        runs.blue, """UPDATE "Odd Schema"."Täble" SET "a b" = '{1}' WHERE "Key" = 'k7'""", "UPDATE account SET owner = 'x' WHERE id = 4711"
    )
    await first.reconciler._watch.drain(first.reconciler._tables())
    await first.reconciler._keeper.save()
    content = b"".join(path.read_bytes() for path in runs.path.parent.iterdir())
    assert b'["4711"]' in content
    assert b'"k7"' not in content
    await runs.kill(first)
    unread()
    second = await runs.begin()
    await second.until(lambda s: s.dirty_keys is not None)
    assert [s.table.name[1] for s in second.reconciler._ledger.provable() if not s.proven] == ["Täble"]


async def test_an_end_in_order_leaves_nothing_behind(runs: Runs) -> None:
    first = await runs.begin()
    await first.all_equal()
    await runs.end(first)
    assert [p.name for p in runs.path.parent.iterdir()] == ["proof.db.lock"]
    second = await runs.begin()
    await second.all_equal()
    assert second.last is not None
    assert second.last.note == ""


async def test_what_was_never_looked_at_is_left_as_it_is(runs: Runs, unread: Callable[[], None]) -> None:
    first = await runs.begin()
    await first.all_equal()
    await runs.kill(first)
    between = PostgresReconciler(runs.spec, Tuning(), runs.path)
    await between.open(Side.BLUE)
    await between.close()
    unread()
    second = await runs.begin()
    await second.until(lambda s: s.dirty_keys is not None)
    assert proven(second) == len(second.reconciler._ledger.provable())


async def test_a_second_cockpit_keeps_its_proof_in_memory(runs: Runs) -> None:
    first = await runs.begin()
    await first.all_equal()
    second = PostgresReconciler(runs.spec, Tuning(), runs.path)
    await second.open(Side.BLUE)
    assert "in memory only: another process" in second._sample().note
    await second.close()
    assert runs.path.exists()
    await runs.kill(first)
    third = await runs.begin()
    await third.until(lambda s: s.dirty_keys is not None)
    assert proven(third) > 0


@pytest.mark.parametrize("when", ["from the start", "later"])
async def test_without_a_place_to_write_it_goes_on_in_memory(runs: Runs, when: str) -> None:
    if when == "from the start":
        runs.path.parent.joinpath("folder").write_text("a file")
        runs.path = runs.path.parent / "folder" / "proof.db"
    pane = await runs.begin()
    await pane.all_equal()
    if when == "later":
        store = pane.reconciler._keeper._store
        assert store is not None
        await store._do(lambda: store._connection.execute("PRAGMA query_only = on"))
    await pane.until(lambda s: "proof in memory only" in s.note)
    await run(runs.blue, "UPDATE account SET owner = 'x' WHERE id < 100")
    await drained(runs.blue, runs.green)
    await pane.all_equal()
    assert all(s.unsaved is None for s in pane.reconciler._ledger.standings.values())
    assert not runs.path.exists()


async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.path.write_bytes(b"nothing of the kind" * 1000)
    with monkeypatch.context() as patched:
        patched.setattr(Comparison, "advance", _idle)
        first = await runs.begin()
        sample = await first.until(lambda s: s.dirty_keys is not None)
        assert "everything is read again: set aside as proof.db.aside" in sample.note
    await first.all_equal()
    await runs.kill(first)
    second = await runs.begin()
    await second.until(lambda s: s.dirty_keys is not None)
    assert proven(second) == len(second.reconciler._ledger.provable())


async def test_a_side_out_of_reach_is_waited_for(runs: Runs, unread: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    first = await runs.begin()
    await first.all_equal()
    await runs.kill(first)
    unread()
    calls = []
    why_not = keeping.Keeper._why_not

    async def late(self: keeping.Keeper, left: object) -> str:
        calls.append(1)
        if len(calls) == 1:
            raise _unreachable()
        return await why_not(self, left)  # type: ignore[arg-type]

    monkeypatch.setattr(keeping.Keeper, "_why_not", late)
    second = await runs.begin()
    await second.until(lambda s: s.dirty_keys is not None)
    assert len(calls) == 2
    assert proven(second) == len(second.reconciler._ledger.provable())


def _unreachable() -> LinkError:
    return LinkError("out of reach", where="green")


async def test_what_stays_out_of_reach_is_given_up(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await runs.begin()
    await first.all_equal()
    await runs.kill(first)

    async def never(self: keeping.Keeper, left: object) -> str:
        raise _unreachable()

    monkeypatch.setattr(keeping.Keeper, "_why_not", never)
    monkeypatch.setattr(keeping, "PATIENCE_S", -1.0)
    monkeypatch.setattr(Comparison, "advance", _idle)
    second = await runs.begin()
    sample = await second.until(lambda s: s.dirty_keys is not None)
    assert "out of reach" in sample.note
    assert proven(second) == 0


async def test_what_was_drained_and_not_visible_yet_is_marked_again_by_the_next_process(runs: Runs, unread: Callable[[], None]) -> None:
    first = await runs.begin()
    await first.all_equal()
    await held(first)
    tap = first.reconciler._taps[Side.BLUE]
    await run(runs.blue, "UPDATE account SET owner = 'late' WHERE id = 7")
    await drained(runs.blue, runs.green)
    seen = tap._admin.run

    async def hidden(sql: str, *args: object) -> object:
        rows = await seen(sql, *args)
        return [dict(row) | {"s": "3:3:"} for row in rows] if "pg_current_snapshot" in sql else rows

    tap._admin.run = hidden  # type: ignore[assignment,method-assign]
    await first.reconciler._watch.drain(first.reconciler._tables())
    assert tap._unseen
    now = asyncio.get_running_loop().time()
    account = standing(first, "account")
    account.age_keys()
    account.proven_keys(list(account.old), now)
    await runs.kill(first)
    unread()
    second = await runs.begin()
    marked: list[object] = []
    dirty = second.reconciler._ledger.dirty

    def noted(side: Side, batch: object, at: float) -> None:
        marked.extend(batch.keys.get(("public", "account"), ()))  # type: ignore[attr-defined]
        dirty(side, batch, at)  # type: ignore[arg-type]

    second.reconciler._ledger.dirty = noted  # type: ignore[assignment,method-assign]
    await second.until(lambda s: s.dirty_keys is not None)
    assert ("7",) in marked
