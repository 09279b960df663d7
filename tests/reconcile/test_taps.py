"""A side's tap on a real server: it sees every change, or it says that it did not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.errors import LinkError
from cockpit.model.settings import Endpoint
from cockpit.model.words import Known, Side
from cockpit.reconcile import catalog, taps
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.cleaning import Gone
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Name
from cockpit.reconcile.taps import Tap, inserts_name, tap_name
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import run

pytestmark = pytest.mark.servers

ACCOUNT: Name = ("public", "account")
SLOT = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() ORDER BY 1"


@pytest_asyncio.fixture
async def database(green18: Server, make_database: MakeDatabase) -> Endpoint:
    """On 18, where decoding passes over a publication that is missing instead of failing."""
    made = await make_database(green18, "tapped")
    await run(made, "CREATE TABLE account (id int PRIMARY KEY, balance int)")
    return made


@pytest_asyncio.fixture
async def tables(database: Endpoint) -> AsyncIterator[Mapping[Name, Table]]:
    lines = {side: Line(side, database) for side in Side}
    yield await catalog.read(lines, (), Side.BLUE)
    for line in lines.values():
        await line.close()


@pytest_asyncio.fixture
async def tap(database: Endpoint, tables: Mapping[Name, Table]) -> AsyncIterator[Tap]:
    made = Tap(Side.GREEN, database, "arp", "0123abcd")
    assert await made.ensure(tables)
    yield made
    await made.close()


async def slots(database: Endpoint) -> list[str]:
    line = Line(Side.GREEN, database)
    try:
        return [row["slot_name"] for row in await line.fetch(SLOT)]
    finally:
        await line.close()


async def test_a_drain_brings_what_changed_and_the_next_one_nothing_again(tap: Tap, database: Endpoint) -> None:
    await run(database, "INSERT INTO account VALUES (1, 1), (2, 2)")
    assert set((await tap.drain()).keys[ACCOUNT]) == {("1",), ("2",)}
    await run(database, "DELETE FROM account WHERE id = 2")
    assert set((await tap.drain("mark")).keys[ACCOUNT]) >= {("2",)}
    assert not (await tap.drain("another")).keys


@pytest.mark.parametrize("little", [0, 1 << 40])
async def test_a_drain_brings_the_same_whether_the_log_is_long_or_short(
    tap: Tap, database: Endpoint, monkeypatch: pytest.MonkeyPatch, little: int
) -> None:
    monkeypatch.setattr(taps, "LITTLE", little)
    await run(database, "INSERT INTO account SELECT n, n FROM generate_series(1, 6000) n", "INSERT INTO account VALUES (-1, 0)")
    batch = await tap.drain()
    assert (len(batch.keys[ACCOUNT]), batch.changes) == (6001, 6001)
    assert not (await tap.drain("mark")).keys


async def test_where_the_server_does_not_say_how_long_the_log_is_it_counts_as_long(
    tap: Tap, database: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that was lost has no place from which it would be decoded."""
    asked = tap._admin.run

    async def unsaid(sql: str, *args: object) -> object:
        return [dict(row) | ({"behind": None} if "behind" in dict(row) else {}) for row in await asked(sql, *args)]

    monkeypatch.setattr(tap._admin, "run", unsaid)
    await run(database, "INSERT INTO account VALUES (1, 1)")
    assert set((await tap.drain()).keys[ACCOUNT]) == {("1",)}


@pytest.mark.parametrize("fence", [None, "mark"])
@pytest.mark.parametrize(
    ("meddling", "why"),
    [
        (
            "SELECT pg_drop_replication_slot('{name}'), pg_create_logical_replication_slot('{name}', 'pgoutput')",
            "read or replaced",
        ),
        ("SELECT pg_drop_replication_slot('{name}')", "gone"),
        (
            "SELECT pg_logical_slot_get_binary_changes('{name}', NULL, NULL, 'proto_version', '1', 'publication_names', '{name}')",
            "read or replaced",
        ),
        ("DROP PUBLICATION {name}", "publication"),
        ("DROP PUBLICATION {name}; CREATE PUBLICATION {name} FOR TABLE account (id)", "publication"),
    ],
)
async def test_a_tap_that_somebody_meddled_with_is_down(tap: Tap, database: Endpoint, meddling: str, why: str, fence: str | None) -> None:
    await tap.drain()
    await run(database, "INSERT INTO account VALUES (1, 1)", *meddling.format(name=tap.name).split("; "))
    with pytest.raises(LinkError, match=why):
        await tap.drain(fence)
    assert not tap.up


async def test_a_tap_that_was_never_made_takes_nothing_away(tap: Tap, database: Endpoint) -> None:
    other = Tap(Side.GREEN, database, "arp", "fedc4567")
    await other.close()
    assert await slots(database) == [tap.name]
    await tap.drain()


async def test_the_first_making_clears_what_dead_runs_left_and_nothing_of_another_pair(
    database: Endpoint, tables: Mapping[Name, Table]
) -> None:
    for name in ("cockpit_arp_tap_00000000", "cockpit_arp_tap", "cockpit_arp_2_tap_00000000"):
        await run(database, f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')", f"CREATE PUBLICATION {name}")
    await run(database, f"CREATE PUBLICATION {inserts_name('cockpit_arp_tap_00000000')}")
    tap = Tap(Side.GREEN, database, "arp", "0123abcd")
    assert await tap.ensure(tables)
    assert await slots(database) == ["cockpit_arp_2_tap_00000000", tap.name]
    await tap.close()
    assert await slots(database) == ["cockpit_arp_2_tap_00000000"]


async def test_cleanup_finds_the_taps_of_every_run(tap: Tap, database: Endpoint) -> None:
    gone = Gone(Side.GREEN, database, tap_name("arp"))
    probe = await gone.probe()
    assert probe.known is Known.PENDING
    assert f"slot {tap.name}" in str(probe.evidence)
    assert (await gone.apply())["left"] == []
    assert await slots(database) == []


def test_the_longest_names_fit_an_identifier() -> None:
    assert len(inserts_name(f"{tap_name('A' * 100)}_01234567")) <= 63
