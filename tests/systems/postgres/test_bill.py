"""What one side has alone is read from its log change by change, and reading takes nothing away."""

from __future__ import annotations

import pytest

from cockpit.errors import SystemFault
from cockpit.model.bill import in_words
from cockpit.model.words import Side
from cockpit.systems.postgres import part
from cockpit.systems.postgres.bill import Change, Changes, Keeper, applied
from cockpit.systems.postgres.pgoutput import Garbled
from tests.systems.conformance_servers import arm
from tests.systems.postgres.conftest import Rig, until

pytestmark = pytest.mark.servers

BLUE, GREEN = Side.BLUE, Side.GREEN


async def parted(rig: Rig) -> str:
    """Green follows blue no more; the position up to which it has applied blue's log."""
    await arm(rig.pair)
    await rig.pair.canary(BLUE, GREEN).apply()
    at = (await rig.pair.parted(BLUE, GREEN).apply())["applied"]
    assert isinstance(at, str)
    return at


async def kept(rig: Rig, behind: str) -> list[Change]:
    keeper = Keeper(BLUE, rig.spec.blue.control, rig.pair._wires.names.link(BLUE))
    try:
        return [change async for change in keeper.changes(behind)]
    finally:
        await keeper.close()


async def test_every_kind_of_change_is_told_with_its_key_and_its_row(rig: Rig) -> None:
    at = await parted(rig)
    await rig.run(
        BLUE,
        "INSERT INTO plain (id, note) VALUES (7, 'a'), (8, NULL); UPDATE plain SET id = 70 WHERE id = 7; DELETE FROM plain WHERE id = 8",
    )
    await rig.run(BLUE, "INSERT INTO parted VALUES (1, '2025-03-01'); TRUNCATE \"прописные_имена_таблиц_63_байт_xxxx\"")
    found = await kept(rig, at)
    assert [(c.table, c.op, c.key) for c in found] == [
        ("public.plain", "insert", {"id": "7"}),
        ("public.plain", "insert", {"id": "8"}),
        ("public.plain", "update", {"id": "7"}),
        ("public.plain", "delete", {"id": "8"}),
        ("public.parted_25", "insert", {"id": "1", "day": "2025-03-01"}),
        ("public.прописные_имена_таблиц_63_байт_xxxx", "truncate", {}),
    ]
    assert found[0].row["note"] == "a"
    assert found[1].row["note"] is None
    assert found[2].row["id"] == "70"
    assert found[3].row == {}
    assert len({c.xid for c in found}) == 2
    assert await kept(rig, at) == found, "reading takes nothing away"
    assert await kept(rig, found[-1].lsn) == found[-2:], "what was applied is left out"


async def test_a_large_value_that_did_not_change_is_named_and_not_made_up(rig: Rig) -> None:
    await rig.run(BLUE, "CREATE TABLE big (id int PRIMARY KEY, doc text, n int); ALTER TABLE big ALTER doc SET STORAGE EXTERNAL")
    await rig.run(GREEN, "CREATE TABLE big (id int PRIMARY KEY, doc text, n int)")
    at = await parted(rig)
    await rig.run(BLUE, "INSERT INTO big VALUES (1, repeat('x', 100000), 1); UPDATE big SET n = 2")
    made, changed = await kept(rig, at)
    assert made.row["doc"] == "x" * 100000
    assert changed.unsent == ("doc",)
    assert changed.row == {"id": "1", "n": "2"}


async def test_what_came_over_the_mirror_is_not_on_the_bill(rig: Rig) -> None:
    """Only what was written on the side itself is there alone."""
    await arm(rig.pair)
    await rig.pair.canary(BLUE, GREEN).apply()
    at = await applied(rig.pair._wires.watch[GREEN], rig.pair._wires.names.link(BLUE))
    assert at is not None
    await rig.run(GREEN, "INSERT INTO plain (id, note) VALUES (500, 'theirs')")
    await rig.pair.canary(GREEN, BLUE).apply()
    await rig.run(BLUE, "INSERT INTO plain (id, note) VALUES (501, 'ours')")
    assert [c.key for c in await kept(rig, at) if c.op == "insert"] == [{"id": "501"}]


async def test_the_bill_counts_and_says_how_old_and_how_far(rig: Rig) -> None:
    at = await parted(rig)
    await rig.run(BLUE, "INSERT INTO plain (id, note) SELECT n, 'x' FROM generate_series(100, 399) n")
    bill = await rig.pair.bill(BLUE, GREEN)
    assert (bill.rows, bill.exact, bill.from_lsn) == ({"public.plain": 300}, True, at)
    assert bill.behind_s is not None
    assert 0 <= bill.behind_s < 30
    assert in_words(bill).startswith("300 changes in 1 table, the oldest ")


async def test_a_dead_side_is_told_as_it_was_seen_last(rig: Rig) -> None:
    await arm(rig.pair)
    await rig.pair.lag(BLUE, GREEN)
    await rig.pair.parted(BLUE, GREEN).apply()
    await rig.run(BLUE, "INSERT INTO plain (id, note) SELECT n, 'x' FROM generate_series(100, 399) n")

    async def seen() -> bool:
        return (await rig.pair.lag(BLUE, GREEN)).worst_behind == 300

    await until(seen)
    name = rig.pair._wires.names.link(BLUE)
    await rig.run(BLUE, f"SELECT pg_drop_replication_slot('{name}')")
    bill = await rig.pair.bill(BLUE, GREEN)
    assert (bill.rows, bill.exact) == ({"public.plain": 300}, False)
    assert bill.seen_s is not None
    assert "at least 300 changes" in in_words(bill)
    keeper = Keeper(BLUE, rig.spec.blue.control, name)
    with pytest.raises(SystemFault, match="is gone"):
        await keeper.kept()
    await keeper.close()


async def test_how_far_the_other_side_is_a_role_without_the_right_does_not_know(rig: Rig) -> None:
    at = await parted(rig)
    link = rig.pair._wires.watch[GREEN]
    assert await applied(link, rig.pair._wires.names.link(BLUE)) == at
    assert await applied(link, "no such subscription") is None


@pytest.mark.parametrize("message", [b"", b"B", b"Zxx", b"I\x00\x00\x00\x01N", b"R\x00", b"C"])
def test_what_is_not_of_the_format_is_refused(message: bytes) -> None:
    reader = Changes()
    if message == b"C":
        assert reader.feed(message) == []
        return
    with pytest.raises(Garbled):
        reader.feed(message)


async def test_an_idle_mirror_is_heard_and_one_that_asked_in_vain_is_not(rig: Rig) -> None:
    """With nothing to carry the origin is silent for half of `wal_receiver_timeout`, and lives: so the receiver asks it for a sign."""
    await arm(rig.pair)
    await rig.pair.canary(BLUE, GREEN).apply()
    age = await rig.pair.heard(GREEN, BLUE)
    assert age is not None
    await until(lambda: _silent_for(rig, age + 0.5))
    assert await rig.pair.heard(GREEN, BLUE) is not None
    for patience, alive in (("1ms", False), ("0", True)):
        with_patience = part._HEARD.replace(
            "setting::float8 / 1000", f"{float(patience.removesuffix('ms')) / 1000 - (10 if not alive else 0)}::float8"
        )
        rows = await rig.pair._wires.watch[GREEN].rows(with_patience, rig.pair._wires.names.link(BLUE))
        assert bool(rows) is alive


async def _silent_for(rig: Rig, seconds: float) -> bool:
    heard = await rig.pair.heard(GREEN, BLUE)
    return heard is not None and heard > seconds
