"""The other side is made equal row by row, and only where it still is as it was when it was compared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.errors import SystemFault
from cockpit.model.settings import Endpoint, PairSpec
from cockpit.model.state import RunState
from cockpit.model.words import Side
from cockpit.reconcile.differing import NO_KEY, Found, Looker
from cockpit.reconcile.repair import Mended, Mending, mend, script
from cockpit.repairing import Planned, Repair, carry_out
from cockpit.timeline.folder import RunFolder
from cockpit.wiring import Order
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import ROWS, SCHEMA, connect, drained, pair, replicate, run, silently

pytestmark = pytest.mark.servers

MORE = """
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, twice text GENERATED ALWAYS AS (v || v) STORED);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON numbered FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES account (id));
"""
DRIFT = (
    "UPDATE account SET owner = 'it''s \\ odd', balance = 'NaN' WHERE id = 9",
    "DELETE FROM entry WHERE account = 77 AND n = 2",
    "INSERT INTO entry VALUES (-1, 1, 1.00, NULL)",
    "DELETE FROM numbered WHERE id = 2",
    "UPDATE numbered SET v = 'wrong' WHERE id = 3",
    'DELETE FROM "Odd Schema"."Täble" WHERE "Key" = \'k7\'',
    "UPDATE part SET v = NULL WHERE id = 7",
    "DELETE FROM log WHERE line = 'line 7'",
)


@pytest_asyncio.fixture
async def spec(blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[PairSpec]:
    blue, green = await make_database(blue16, "repair"), await make_database(green18, "repair")
    await run(blue, SCHEMA, MORE, ROWS, "INSERT INTO numbered (v) SELECT 'a' || n FROM generate_series(1, 20) n")
    await run(green, SCHEMA, MORE)
    await replicate(blue, green)
    yield pair(blue, green)


async def look(spec: PairSpec) -> Found:
    looker = Looker(spec, Side.BLUE)
    try:
        return await looker.look(lambda name: True)
    finally:
        await looker.close()


async def mended(spec: PairSpec, found: Found) -> Mended:
    line, result = Mending(Side.GREEN, spec.green.control, writes=True), Mended()
    try:
        await mend(line, found.fixes, result)
    finally:
        await line.close()
    return result


def told(found: Found) -> set[tuple[str, str, str]]:
    return {(fix.table.shown, fix.verb, "/".join(fix.key)) for fix in found.fixes}


EXPECTED = {
    ("public.account", "update", "9"), ("public.entry", "insert", "77/2"), ("public.entry", "delete", "-1/1"), ("public.numbered", "insert", "2"),
    ("public.numbered", "update", "3"), ("Odd Schema.Täble", "insert", "k7"),
}  # fmt: skip


async def test_what_differs_is_made_equal_and_nothing_else(spec: PairSpec) -> None:
    await silently(spec.green.control, *DRIFT)
    before = await look(spec)
    assert told(before) >= EXPECTED
    assert len(before.fixes) == len(EXPECTED) + 1, "and one in a partition"
    assert before.by_hand["public.log"] == NO_KEY
    result = await mended(spec, before)
    assert (result.done, result.left) == (len(before.fixes), [])
    after = await look(spec)
    assert after.fixes == ()
    assert await value(spec.green.control, "SELECT v FROM numbered WHERE id = 2") == "A2", "as it is on blue, no trigger fired again"


async def test_it_is_not_carried_back(spec: PairSpec) -> None:
    await silently(spec.green.control, "DELETE FROM entry WHERE account = 77 AND n = 2")
    await mended(spec, await look(spec))
    await run(spec.green.control, "INSERT INTO entry VALUES (-5, 1, 1, 'a mark')")
    await drained(spec.green.control, spec.blue.control)
    errors = await value(spec.blue.control, "SELECT coalesce(sum(apply_error_count), 0)::int FROM pg_stat_subscription_stats")
    assert errors == 0
    assert await value(spec.blue.control, "SELECT count(*)::int FROM entry WHERE account = -5") == 1


async def test_a_row_that_changed_meanwhile_is_left_alone(spec: PairSpec) -> None:
    await silently(spec.green.control, "UPDATE account SET owner = 'x' WHERE id IN (1, 2)", "DELETE FROM account WHERE id = 3")
    found = await look(spec)
    assert len(found.fixes) == 3
    await run(spec.blue.control, "UPDATE account SET owner = 'newer' WHERE id = 1")
    await drained(spec.blue.control, spec.green.control)
    await silently(spec.green.control, "INSERT INTO account (id, owner) VALUES (3, 'somebody')")
    result = await mended(spec, found)
    assert result.done == 1
    assert {fix.key for fix in result.left} == {("1",), ("3",)}
    assert await value(spec.green.control, "SELECT owner FROM account WHERE id = 1") == "newer"


async def test_the_script_does_the_same(spec: PairSpec) -> None:
    await silently(spec.green.control, *DRIFT)
    await run(spec.green.control, script((await look(spec)).fixes, Side.GREEN))
    assert (await look(spec)).fixes == ()


async def test_what_was_done_is_said_though_the_timeline_cannot_have_it(spec: PairSpec, tmp_path: Path) -> None:
    await silently(spec.green.control, "UPDATE account SET owner = 'x' WHERE id = 1")
    found = await look(spec)
    repair = Repair("no-run", "green", {}, {}, "", "")
    planned = Planned(repair, found.fixes, Side.GREEN, RunState(), cast(Order, SimpleNamespace(spec=spec)))
    heard: list[str] = []
    nowhere = RunFolder(tmp_path / "no-run")
    result = await carry_out(nowhere, planned, "ann", heard.append)
    assert (result.done, result.left) == (1, [])
    assert [line.startswith("the repair's end is not in the timeline (1 rows done, 0 left alone)") for line in heard] == [True]
    await silently(spec.green.control, "UPDATE account SET owner = 'x' WHERE id = 1", "ALTER TABLE account RENAME TO elsewhere")
    with pytest.raises(SystemFault, match="account"):
        await carry_out(nowhere, planned, "ann", heard.append)
    assert len(heard) == 2


async def test_a_connection_without_an_origin_writes_nothing(spec: PairSpec) -> None:
    other, line = Mending(Side.GREEN, spec.green.control, writes=True), Mending(Side.GREEN, spec.green.control, writes=True)
    try:
        await other.fetch("SELECT 1")
        for _ in range(2):
            with pytest.raises(SystemFault, match="already active"):
                await line.fetch("INSERT INTO public.account (id, owner) VALUES (-7, 'mine') RETURNING id")
        await other.close()
        assert await line.fetch("SELECT 1")
    finally:
        await line.close()
        await other.close()
    assert await value(spec.green.control, "SELECT count(*)::int FROM account WHERE id = -7") == 0


async def value(endpoint: Endpoint, sql: str) -> object:
    connection = await connect(endpoint)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()
