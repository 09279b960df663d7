"""The reconciler on a real pair, 16 and 18, replicating under a light load."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.errors import SystemFault
from cockpit.model.settings import Endpoint, Tuning, Waiver
from cockpit.model.words import Known, ProofState, Severity, Side
from cockpit.reconcile import PostgresReconciler
from cockpit.reconcile.keyless import Keyless
from cockpit.reconcile.throttle import GENTLE
from tests.conftest import MakeDatabase
from tests.reconcile.conftest import SmallPair
from tests.reconcile.pairs import SCHEMA, Pane, connect, drained, load, locked, pair, reconciling, run, silently, until

pytestmark = pytest.mark.servers


@pytest.fixture
def duty() -> float:
    return 0.5


@pytest_asyncio.fixture
async def pane(small_pair: SmallPair, duty: float) -> AsyncIterator[Pane]:
    blue, green = await small_pair("recon")
    await run(green, "ANALYZE")
    async with reconciling(blue, green, duty=duty) as made:
        yield made


EITHER = pytest.mark.parametrize("duty", [0.5, GENTLE])


@EITHER
async def test_a_replicating_pair_under_load_is_equal_and_stays_so(pane: Pane) -> None:
    async with load(pane.blue) as running:
        await pane.all_equal()
        begun = running.transactions
        await pane.until(lambda s: running.transactions > begun + 400)
        await pane.all_equal()
        pane.reconciler.hold()
    await drained(pane.blue, pane.green)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    print(
        f"\n{running.transactions} transactions; verified {verification.keys} keys in {verification.seconds * 1000:.1f} ms: {verification.evidence}"
    )
    assert verification.equal is True, verification
    assert verification.keys > 0
    proof = verification.evidence
    assert (proof["owed"], proof["proven"], proof["counted"]) == (7, 7, 0), proof
    assert 11_700 < proof["rows_proven"] < 12_700  # type: ignore[operator]
    assert proof["oldest_s"] >= 0  # type: ignore[operator]
    assert sorted(str(text).split(":")[0] for text in proof["accepted"]) == ["public.left out", "public.scratch"]  # type: ignore[attr-defined]
    assert not pane.differing_ever
    assert pane.tables["public.scratch"].state is ProofState.UNVERIFIABLE
    assert "unlogged" in pane.tables["public.scratch"].reason
    assert "excluded" in pane.tables["public.left out"].reason
    assert pane.tables["public.log"].rows_blue == pane.tables["public.log"].rows_green


@EITHER
async def test_a_planted_difference_is_confirmed_and_named_under_load(pane: Pane) -> None:
    async with load(pane.blue):
        await pane.all_equal()
        # Written as the apply worker writes, so that the stranger's tap does not see it: silent drift.
        await silently(
            pane.green,
            "UPDATE part SET v = NULL WHERE id = 7",
            "DELETE FROM entry WHERE account = 77 AND n = 2",
            "UPDATE log SET line = 'lost' WHERE line = 'line 7'",
        )
        await pane.until(lambda s: s.differences >= 3, 60)
        await pane.until(lambda s: pane.tables["public.log"].state is ProofState.DIFFERS)
    reasons = {name: proof.reason for name, proof in pane.tables.items() if proof.state is ProofState.DIFFERS}
    print(f"\n{reasons}")
    assert "at=2025-06-01, id=7" in reasons["public.part_2"] or "id=7" in reasons["public.part_2"]
    assert "(account=77, n=2) missing on green" in reasons["public.entry"]
    assert "public.log" in reasons
    assert set(reasons) == {"public.part_2", "public.entry", "public.log"}
    await pane.until(lambda s: all(pane.tables[name].rows for name in ("public.part_2", "public.entry")))
    (changed,) = pane.tables["public.part_2"].rows
    assert changed.how == "differs"
    assert [(c.column, c.green) for c in changed.columns] == [("v", None)]
    assert changed.columns[0].blue
    (gone,) = pane.tables["public.entry"].rows
    assert (gone.key, gone.how, gone.columns) == ("account=77, n=2", "missing on green", ())


async def test_what_the_config_calls_sensitive_is_told_without_its_value(pane: Pane) -> None:
    await pane.all_equal()
    await silently(pane.green, "UPDATE account SET balance = balance + 1, owner = 'somebody else' WHERE id = 9")
    await pane.until(lambda s: bool(pane.tables["public.account"].rows), 60)
    (row,) = pane.tables["public.account"].rows
    shown = {column.column: column for column in row.columns}
    assert shown["balance"].masked
    assert (shown["balance"].blue, shown["balance"].green) == (None, None)
    assert shown["owner"].green == "somebody else"


async def test_the_window_finds_a_difference_among_the_dirty_keys(pane: Pane) -> None:
    await pane.all_equal()
    pane.reconciler.hold()
    await run(pane.blue, "UPDATE account SET balance = balance + 1 WHERE id BETWEEN 100 AND 1099", "DELETE FROM entry WHERE account = 5")
    await drained(pane.blue, pane.green)
    await run(pane.green, "UPDATE account SET balance = 777.0 WHERE id = 500", "INSERT INTO entry VALUES (5, 1, 1, 'stranger')")
    await drained(pane.green, pane.blue)
    await _silently_lost(pane)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    print(f"\n{verification}")
    assert verification.equal is False
    assert any("id=600" in text for text in verification.differing)
    pane.reconciler.release(Side.BLUE)


async def _silently_lost(pane: Pane) -> None:
    """A row changes on blue, and what green makes of it is wrong."""
    await run(pane.blue, "UPDATE account SET owner = owner || '!' WHERE id = 600")
    await drained(pane.blue, pane.green)
    await silently(pane.green, "UPDATE account SET owner = 'owner 600' WHERE id = 600")


async def test_a_table_without_a_key_that_grew_is_proven_by_its_end(pane: Pane) -> None:
    await pane.all_equal()
    for _ in range(2):
        pane.reconciler.hold()
        await run(
            pane.blue,
            "INSERT INTO click SELECT now(), '{}' FROM generate_series(1, 700)",
            "INSERT INTO log VALUES (now(), 'x'), (now(), 'x')",
        )
        await drained(pane.blue, pane.green)
        verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
        assert verification.equal is True, verification
        assert verification.evidence["tables_by_new_rows"] == 2, verification
        assert verification.evidence["rows_read_whole"] == 0


async def test_a_table_without_a_key_that_was_read_whole_is_proven_by_its_end_the_next_time(pane: Pane) -> None:
    await pane.all_equal()
    await _held(pane)
    await run(pane.blue, "UPDATE log SET line = 'changed' WHERE line = 'line 7'")
    await drained(pane.blue, pane.green)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification
    assert verification.evidence["rows_read_whole"] == 400, verification
    await run(pane.blue, "INSERT INTO log VALUES (now(), 'x')")
    await drained(pane.blue, pane.green)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification
    assert verification.evidence["tables_by_new_rows"] == 1, verification
    assert verification.evidence["rows_read_whole"] == 0


@pytest.mark.parametrize("before", ["UPDATE log SET line = 'changed' WHERE line = 'line 7'", "INSERT INTO log VALUES (now(), 'x')"])
@pytest.mark.parametrize("lost", ["DELETE FROM log WHERE line = 'late'", "UPDATE log SET line = 'other' WHERE line = 'late'", ""])
async def test_what_came_after_a_table_was_read_early_is_still_looked_at(
    pane: Pane, monkeypatch: pytest.MonkeyPatch, before: str, lost: str
) -> None:
    """The table is read, whole or by its new rows, then changes, and only then the tap is drained."""
    await pane.all_equal()
    await _held(pane)
    await run(pane.blue, before)
    await drained(pane.blue, pane.green)
    await pane.reconciler._watch.drain(pane.reconciler._tables())
    read = asyncio.Event()
    early, tap = Keyless.read_early, pane.reconciler._taps[Side.BLUE]
    drain = tap.drain

    async def noted(self: Keyless, origin: Side, until: float) -> object:
        readings = await early(self, origin, until)
        assert ("public", "log") in readings
        read.set()
        return readings

    async def late(fence: str | None = None) -> object:
        await read.wait()
        await run(pane.blue, "INSERT INTO log VALUES (now(), 'late')")
        await drained(pane.blue, pane.green)
        if lost:
            await silently(pane.green, lost)
        return await drain(fence)

    monkeypatch.setattr(Keyless, "read_early", noted)
    monkeypatch.setattr(tap, "drain", late)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 5.0)
    assert verification.equal is (not lost), verification


async def test_a_table_whose_new_rows_take_too_long_to_find_stays_unproven(pane: Pane) -> None:
    await pane.all_equal()
    await _held(pane)
    await run(pane.blue, "INSERT INTO click VALUES (now(), '{}')")
    await drained(pane.blue, pane.green)
    pane.reconciler._comparison.growth_rate = pane.reconciler._comparison.rate = 100.0
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is None, verification
    assert verification.unproven == ("public.click",)
    assert verification.seconds < 1.5
    cost = pane.reconciler._sample().freeze_cost_s
    assert cost is not None
    assert cost >= 30, "3000 rows, 100 a second"


MADE_ANEW = ("DROP TABLE part_1", "CREATE TABLE part_1 (id bigint, at date, v text, PRIMARY KEY (id, at))")
"""Its definition is as it was; its rows are gone."""


async def test_a_table_that_was_made_anew_is_read_anew(pane: Pane) -> None:
    await pane.all_equal()
    for endpoint in (pane.green, pane.blue):
        await run(endpoint, *MADE_ANEW)
    await silently(pane.green, "INSERT INTO part_1 VALUES (1, '2024-06-01', 'nobody saw it')")
    await pane.until(lambda s: pane.tables["public.part_1"].state is ProofState.DIFFERS)
    await silently(pane.green, "DELETE FROM part_1")
    await pane.all_equal()


async def test_a_table_that_was_made_anew_just_now_is_read_inside_the_window(pane: Pane) -> None:
    """The catalogs were read before that."""
    await pane.all_equal()
    await _held(pane)
    for endpoint in (pane.green, pane.blue):
        await run(endpoint, *MADE_ANEW)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification
    assert verification.tables >= 1
    await silently(pane.green, "INSERT INTO part_1 VALUES (1, '2024-06-01', 'nobody saw it')")
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is False, verification


async def test_a_table_that_is_not_watched_is_not_proven_and_the_note_says_why(pane: Pane) -> None:
    await pane.all_equal()
    for endpoint in (pane.green, pane.blue):
        await run(endpoint, "CREATE TABLE fresh (id int PRIMARY KEY)")
    holder = await connect(pane.blue)
    try:
        await holder.execute("BEGIN; LOCK TABLE fresh IN SHARE UPDATE EXCLUSIVE MODE")
        pane.reconciler._catalog_mono = float("-inf")
        await pane.until(lambda s: "not watched yet on blue: public.fresh, which VACUUM" in s.note)
        await pane.until(lambda s: s.tables_equal == s.tables_total - 1)
        assert pane.tables["public.fresh"].state is not ProofState.EQUAL
        await holder.execute("COMMIT; BEGIN; INSERT INTO account VALUES (-7, 'slow', 0)")
        await pane.until(lambda s: "not watched yet on blue: public.fresh, until transactions older" in s.note)
        await holder.execute("COMMIT")
        await pane.all_equal()
    finally:
        await holder.close()


async def test_a_table_that_cannot_be_asked_for_is_told_and_others_are_proven_meanwhile(pane: Pane) -> None:
    await pane.all_equal()
    holder = await connect(pane.blue)
    try:
        await holder.execute("BEGIN; LOCK TABLE entry IN ACCESS EXCLUSIVE MODE")
        pane.reconciler._ledger.standings["public", "entry"].touch([("1", "1")], 0.0)
        await pane.until(lambda s: "lock timeout" in s.note)
        await run(pane.blue, "UPDATE account SET balance = balance + 1 WHERE id < 100")
        account = pane.reconciler._ledger.standings["public", "account"]
        await pane.until(lambda s: account.dirty > 0)
        await pane.until(lambda s: account.dirty == 0 and "lock timeout" in s.note)
        await holder.execute("COMMIT")
        await pane.until(lambda s: s.dirty_keys == 0 and not s.note)
    finally:
        await holder.close()


async def test_catching_up_proves_what_changed_and_meets_new_tables(pane: Pane) -> None:
    await pane.all_equal()
    for endpoint in (pane.green, pane.blue):
        await run(endpoint, "CREATE TABLE made_in_the_soak (id int PRIMARY KEY)")
    await run(pane.blue, "UPDATE account SET balance = balance + 1 WHERE id < 900")
    await drained(pane.blue, pane.green)
    pane.reconciler._read_mono -= 60
    pane.reconciler._catalog_s = 0.0
    evidence = await pane.reconciler.catch_up(5.0)
    assert "trouble" not in evidence, evidence
    assert evidence["dirty_after"] == 0, evidence
    assert ("public", "made_in_the_soak") in pane.reconciler._ledger.standings
    assert pane.reconciler._taps[Side.BLUE].carries(("public", "made_in_the_soak"))
    await _held(pane)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification


async def test_what_kept_it_from_catching_up_is_said(pane: Pane) -> None:
    await pane.all_equal()
    await run(pane.blue, "UPDATE account SET balance = balance + 1 WHERE id < 900")
    turn = pane.reconciler._watch.turn
    async with turn:
        evidence = await pane.reconciler.catch_up(0.2)
    assert "time box" in str(evidence["trouble"])
    pane.reconciler._free.clear()  # only this drain can meet the missing slot
    await _held(pane)
    await run(pane.blue, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'cockpit_arp_tap%'")
    evidence = await pane.reconciler.catch_up(5.0)
    assert "slot is gone" in str(evidence["trouble"])


@pytest.mark.parametrize(
    "lost",
    [
        "DELETE FROM log WHERE line = 'new'",
        "UPDATE log SET line = 'other' WHERE line = 'new'",
        "UPDATE log SET at = at + interval '1 us' WHERE line = 'line 7'",
        "DELETE FROM log WHERE line = 'line 7'",
    ],
)
async def test_a_row_lost_or_changed_in_a_table_that_grew_is_found(pane: Pane, lost: str) -> None:
    """Also where the loss is in the old part of the table and the taps do not show it."""
    await pane.all_equal()
    pane.reconciler.hold()
    await run(pane.blue, "INSERT INTO log VALUES (now(), 'new'), (now(), 'new')")
    await drained(pane.blue, pane.green)
    await silently(pane.green, lost)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is False, verification
    assert any("public.log" in text for text in verification.differing)


async def test_strangers_writes_on_the_other_side_are_looked_at(pane: Pane) -> None:
    """With replication back stopped, a write on green stays there: the other side's tap shows it, the background confirms it."""
    await pane.all_equal()
    await run(pane.blue, "ALTER SUBSCRIPTION cockpit_t_rev DISABLE")
    await run(pane.green, "UPDATE account SET owner = 'stranger' WHERE id = 42")
    await pane.until(lambda s: s.differences == 1)
    assert "(id=42) differs" in pane.tables["public.account"].reason


async def test_after_a_handover_the_other_tap_shows_the_apps_changes_and_nothing_has_to_be_read_again(pane: Pane) -> None:
    await pane.all_equal()
    pane.reconciler.hold()
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification
    pane.reconciler.release(Side.GREEN)
    async with load(pane.green) as running:
        await pane.until(lambda s: running.transactions > 100)
        await pane.all_equal()
        pane.reconciler.hold()
    await drained(pane.green, pane.blue)
    back = await pane.reconciler.verify_changed(Side.GREEN, Side.BLUE, 2.0)
    print(f"\n{back}")
    assert back.equal is True, back
    assert back.keys > 0
    assert not pane.differing_ever


async def _ours(endpoint: Endpoint) -> list[tuple[str, str]]:
    """Slots and publications of taps, with what tells a thing from another of its name."""
    connection = await connect(endpoint)
    try:
        slots = (
            "SELECT slot_name, 'slot' FROM pg_replication_slots WHERE slot_name LIKE 'cockpit_arp_tap%' AND database = current_database()"
        )
        publications = "SELECT pubname, oid::text FROM pg_publication WHERE pubname LIKE 'cockpit_arp_tap%'"
        return [tuple(row) for row in await connection.fetch(f"{slots} UNION ALL {publications} ORDER BY 1")]
    finally:
        await connection.close()


async def test_a_second_cockpit_leaves_the_taps_of_the_first_alone(pane: Pane) -> None:
    """Refused, or looking for the preflight: it makes nothing and takes nothing."""
    await pane.all_equal()
    before = {endpoint.port: await _ours(endpoint) for endpoint in (pane.blue, pane.green)}
    assert [len(found) for found in before.values()] == [3, 3]
    second = PostgresReconciler(pair(pane.blue, pane.green), Tuning())
    await second.open(Side.BLUE)
    await second.preflight()
    assert {endpoint.port: await _ours(endpoint) for endpoint in (pane.blue, pane.green)} == before
    await second.close()
    await PostgresReconciler(pair(pane.blue, pane.green), Tuning()).close()
    assert {endpoint.port: await _ours(endpoint) for endpoint in (pane.blue, pane.green)} == before


async def test_a_preflight_makes_nothing(blue16: Server, green18: Server, make_database: MakeDatabase) -> None:
    blue, green = await make_database(blue16, "recon"), await make_database(green18, "recon")
    await run(blue, SCHEMA)
    await run(green, SCHEMA)
    reconciler = PostgresReconciler(pair(blue, green), Tuning())
    await reconciler.open(Side.BLUE)
    await reconciler.preflight()
    assert [*await _ours(blue), *await _ours(green)] == []
    await reconciler.close()


async def test_a_lost_tap_makes_everything_stale_and_comes_back(pane: Pane) -> None:
    await pane.all_equal()
    connection = await connect(pane.blue)
    try:

        async def dropped() -> bool:
            with contextlib.suppress(Exception):
                sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'cockpit_arp_tap%' AND database = current_database()"
                return bool(await connection.fetch(sql))
            return False

        await until(dropped)
    finally:
        await connection.close()
    await pane.until(lambda s: s.dirty_keys is None or "tap" in s.note)
    await pane.all_equal()


async def test_a_time_box_that_ends_first_proves_nothing_and_says_what_is_open(pane: Pane) -> None:
    await pane.all_equal()
    pane.reconciler.hold()
    await run(pane.blue, "UPDATE account SET balance = balance + 1 WHERE id < 900")
    await drained(pane.blue, pane.green)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 0.0)
    assert verification.equal is None
    assert "time box" in str(verification.evidence["trouble"])
    assert (verification.evidence["owed"], verification.evidence["proven"]) == (7, 0), "nothing was looked at"


async def test_changes_of_one_tap_are_not_lost_when_the_other_fails(pane: Pane) -> None:
    """Green's tap breaks in the very drain that brings blue's change: the next verification still finds what green made of it."""
    await pane.all_equal()
    await _held(pane)
    await _silently_lost(pane)
    await run(pane.green, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'cockpit_arp_tap%'")
    first = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert first.equal is None, first
    assert "slot is gone" in str(first.evidence["trouble"])
    assert "public.account" in first.unproven
    again = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert again.equal is False, again


async def test_changes_of_a_drain_that_the_time_box_cut_are_not_lost(pane: Pane) -> None:
    await pane.all_equal()
    await _held(pane)
    await _silently_lost(pane)
    cut = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 0.0)
    assert cut.equal is None, cut
    assert "public.account" in cut.unproven
    again = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert again.equal is False, again


async def _held(pane: Pane) -> None:
    """The background is held and nothing of it is under way any more."""
    pane.reconciler.hold()

    async def at_rest() -> bool:
        return not pane.reconciler._at_work and not pane.reconciler._uncut

    await until(at_rest)


async def test_waiting_for_a_drain_counts_in_the_time_box(pane: Pane) -> None:
    await pane.all_equal()
    async with pane.reconciler._watch.turn:
        verification = await asyncio.wait_for(pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 0.5), 5)
    assert verification.equal is None
    assert verification.seconds < 2
    assert "while the taps were being drained" in str(verification.evidence["trouble"])
    assert "public.account" in verification.unproven


async def test_what_changed_last_is_marked_as_soon_as_the_origin_is_quiet(pane: Pane) -> None:
    """Before anybody verifies; and the verification finds what was silently lost of it."""
    await pane.all_equal()
    await _held(pane)
    await _silently_lost(pane)
    pane.reconciler.quieted(Side.BLUE)

    async def marked() -> bool:
        return pane.reconciler._ledger.standings["public", "account"].dirty > 0

    await until(marked)
    found = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert found.equal is False, found
    assert found.evidence["changes_drained"] >= 1  # type: ignore[operator]


async def test_where_the_last_drain_failed_the_verification_drains_again(pane: Pane) -> None:
    await pane.all_equal()
    await _held(pane)
    await _silently_lost(pane)
    await run(pane.green, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'cockpit_arp_tap%'")
    pane.reconciler.quieted(Side.BLUE)
    first = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert first.equal is False, first
    assert "no tap on green" in str(first.evidence["unwatched"])


async def test_a_side_that_is_quiet_while_the_background_works_changes_nothing(pane: Pane) -> None:
    await pane.all_equal()
    pane.reconciler.quieted(Side.BLUE)
    assert pane.reconciler._last_drain is None


async def test_a_table_that_may_not_be_read_is_unproven_until_it_may(pane: Pane) -> None:
    await pane.all_equal()
    await _held(pane)
    account = pane.reconciler._ledger.standings["public", "account"]
    pane.reconciler._refused(account, SystemFault("permission denied for table account", where="green", code="42501"))
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is None, verification
    assert verification.unproven == ("public.account",)
    assert "permission denied" in str(verification.evidence["cannot_be_proven"])
    sample = pane.reconciler._sample()
    assert sample.tables_equal == sample.tables_total - 1
    assert sample.proven_rows < sample.all_rows
    assert sample.freeze_cost_s is None
    assert "public.account" in sample.note
    await pane.reconciler._read_catalog()
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification


async def test_a_table_that_is_locked_in_the_window_is_all_that_it_leaves_unproven(pane: Pane) -> None:
    await pane.all_equal()
    await _held(pane)
    await run(pane.blue, "UPDATE account SET owner = 'x' WHERE id < 20", "UPDATE entry SET note = 'x' WHERE account < 20")
    await run(pane.blue, "UPDATE part SET v = 'x' WHERE id = 2")
    await drained(pane.blue, pane.green)
    await silently(pane.green, "DELETE FROM part WHERE id = 2")
    async with locked(pane.green, "LOCK TABLE account"):
        verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.unproven == ("public.account",)
    assert verification.keys == 19 * 4 + 1
    assert verification.differing == ("public.part_1 (id=2, at=2024-06-01) missing on green",)
    assert "public.account: green: canceling statement due to lock timeout" in str(verification.evidence["trouble"])
    await silently(pane.green, "INSERT INTO part VALUES (2, '2024-06-01', 'x')")
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification


async def test_where_all_keys_are_refused_whole_tables_are_proven_all_the_same(pane: Pane, monkeypatch: pytest.MonkeyPatch) -> None:
    await pane.all_equal()
    await _held(pane)
    await run(pane.blue, "INSERT INTO log VALUES (now(), 'x')")
    await drained(pane.blue, pane.green)

    async def refuse(asked: object) -> object:
        raise SystemFault("canceling statement due to lock timeout", where="green", code="55P03")

    monkeypatch.setattr(pane.reconciler._bundles, "prove", refuse)
    verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.unproven == ("public.account",)
    assert verification.evidence["tables_by_new_rows"] == 1, verification
    assert verification.evidence["trouble"] == "green: canceling statement due to lock timeout"


@pytest.mark.parametrize("known", [True, False])
async def test_a_table_without_a_key_that_is_locked_in_the_window_is_all_that_it_leaves_unproven(pane: Pane, known: bool) -> None:
    """Whether or not it is known beforehand that it changed, which lets it be read early."""
    await pane.all_equal()
    await _held(pane)
    await run(pane.blue, "INSERT INTO log VALUES (now(), 'x')", "INSERT INTO click VALUES (now(), '{}')")
    await drained(pane.blue, pane.green)
    if known:
        await pane.reconciler._watch.drain(pane.reconciler._tables())
    async with locked(pane.green, "LOCK TABLE log"):
        verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.unproven == ("public.log",)
    assert verification.keys == 1
    assert verification.evidence["tables_by_new_rows"] == 1, verification
    assert "public.log: green: canceling statement due to lock timeout" in str(verification.evidence["trouble"])


async def test_a_table_that_has_to_be_read_whole_and_is_locked_leaves_the_others_to_be_read(pane: Pane) -> None:
    await pane.all_equal()
    await _held(pane)
    now = asyncio.get_running_loop().time()
    for name in ("account", "entry"):
        pane.reconciler._ledger.unwatched(("public", name), now)
    async with locked(pane.green, "LOCK TABLE entry"):
        verification = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.unproven == ("public.entry",)
    assert verification.evidence["rows_read_whole"] == 5000, verification
    assert "public.entry: green: canceling statement due to lock timeout" in str(verification.evidence["trouble"])


@pytest.mark.parametrize(("waivers", "equal"), [((), None), ((Waiver("P11", "public.odd", "an old report"),), True)])
async def test_a_table_that_cannot_be_compared_blocks_unless_the_config_accepts_it(
    blue16: Server, green18: Server, make_database: MakeDatabase, waivers: tuple[Waiver, ...], equal: bool | None
) -> None:
    blue, green = await make_database(blue16, "recon"), await make_database(green18, "recon")
    await run(blue, "CREATE TABLE odd (id int)", "CREATE UNLOGGED TABLE cache (id int)", "CREATE TABLE even (id int)")
    await run(green, "CREATE TABLE odd (id bigint)", "CREATE UNLOGGED TABLE cache (id int)", "CREATE TABLE even (id int)")
    spec = replace(pair(blue, green), waivers=waivers)
    reconciler = PostgresReconciler(spec, Tuning())
    try:
        await reconciler.open(Side.BLUE)
        (odd,) = [f for f in await reconciler.preflight() if f.object == "public.odd"]
        assert odd.severity is Severity.BLOCK
        assert bool(odd.waived) is bool(waivers)
        verification = await reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
        assert verification.equal is equal, verification
        assert verification.unproven == (() if waivers else ("public.odd",))
    finally:
        await reconciler.close()


async def test_tables_are_not_changed_under_a_proof_that_is_under_way(pane: Pane) -> None:
    await pane.all_equal()
    for endpoint in (pane.green, pane.blue):
        await run(endpoint, "CREATE TABLE aaa_first (id int PRIMARY KEY)")
    turn = pane.reconciler._watch.turn
    await turn.acquire()
    reading = asyncio.create_task(pane.reconciler._read_catalog())
    reading.add_done_callback(lambda _: None)

    async def waits() -> bool:
        return reading.done() or bool(turn._waiters)

    await until(waits)
    assert ("public", "aaa_first") not in pane.reconciler._ledger.standings
    turn.release()
    await reading
    assert ("public", "aaa_first") in pane.reconciler._ledger.standings


async def test_what_is_left_on_a_side_is_named_and_removed(pane: Pane) -> None:
    await pane.all_equal()
    assert pane.reconciler.objects()[0] == "blue: publication cockpit_arp_tap_*"
    gone = pane.reconciler.gone(Side.GREEN)
    assert [s.target for s in gone.describe()] == ["green", "green"]
    assert (await gone.probe()).known is Known.PENDING
    await pane.reconciler.close()
    for side in Side:
        assert (await pane.reconciler.gone(side).probe()).known is Known.DONE


async def test_the_preflight_names_what_cannot_be_proven(pane: Pane) -> None:
    found = {f.object: f for f in await pane.reconciler.preflight()}
    assert found["hash"].severity is Severity.GOOD, found["hash"]
    assert found["public.scratch"].severity is Severity.WARN
    assert "unlogged" in found["public.scratch"].seen
    assert found["blue tap"].severity is Severity.GOOD
    assert [f.object for f in found.values() if f.check == "D15" and f.severity is not Severity.GOOD] == ["type public.other"]


async def test_the_query_of_every_finding_can_be_run(pane: Pane) -> None:
    queries = {f.query for f in await pane.reconciler.preflight() if f.query}
    assert len(queries) > 3
    conn = await connect(pane.green)
    try:
        for query in queries:
            assert "\\n" not in query
            await conn.prepare(query)
    finally:
        await conn.close()


async def test_the_preflight_names_what_differs_beside_the_rows(pane: Pane) -> None:
    await run(pane.blue, "CREATE INDEX only_here ON account (owner)", "ALTER TABLE entry ADD CONSTRAINT positive CHECK (n >= 0)")
    found = [f for f in await pane.reconciler.preflight() if f.check == "D15" and f.remedy.startswith("on green: ")]
    assert len(found) == 2, found
    index = next(f for f in found if "only_here" in f.object)
    assert index.remedy.startswith("on green: CREATE INDEX CONCURRENTLY only_here")
    await run(pane.green, *(f.remedy.removeprefix("on green: ") for f in found))
    assert not [f for f in await pane.reconciler.preflight() if f.check == "D15" and f.remedy.startswith("on green: ")]


async def test_the_load_limit_has_bounds(pane: Pane) -> None:
    assert pane.reconciler.duty(+1) == 0.5
    assert pane.reconciler.duty(-1) == 0.01
    assert pane.reconciler.duty(+0.05) == 0.06
