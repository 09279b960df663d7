"""Parity of two real servers of different versions: nothing false, nothing of the cockpit's, and what a fence does is not counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

import cockpit.drill
from cockpit.drill.servers import Server
from cockpit.errors import LinkError, SystemFault
from cockpit.model.parity import Parity, Weight
from cockpit.model.secret import Secret
from cockpit.model.settings import AppSpec, Endpoint, PairSpec, Tuning
from cockpit.model.words import Side
from cockpit.reconcile import PostgresReconciler
from cockpit.reconcile.parity import of_pair
from cockpit.systems.postgres import PostgresPair
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import connect, pair, run
from tests.reconcile.parity.schema import SETTINGS_OF_BOTH

pytestmark = pytest.mark.servers

ARP = (Path(cockpit.drill.__file__).parent / "arp_schema.sql").read_text()
FUNCTION = """CREATE FUNCTION public.f() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
\tRETURN 1; -- 'it''s' \\ ok
END $$"""


@dataclass
class Two:
    blue: Endpoint
    green: Endpoint
    spec: PairSpec

    async def parity(self, serving: Side = Side.BLUE) -> Parity:
        return await of_pair(self.spec, serving)


@pytest_asyncio.fixture
async def two(blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[Two]:
    blue, green = await make_database(blue16, "parity two"), await make_database(green18, 'parity "other" name')
    for end in (blue, green):
        await run(end, "CREATE ROLE parity_billing LOGIN PASSWORD 'x'")
    yield Two(blue, green, replace(pair(blue, green, name="parity"), apps=(AppSpec("billing", "parity_billing", "pool"),)))
    for end in (blue, green):
        await run(end, "DROP OWNED BY parity_billing CASCADE", "DROP ROLE parity_billing")


async def test_the_drills_database_is_the_same_on_both_versions(two: Two) -> None:
    for end in (two.blue, two.green):
        await run(end, ARP)
    found = await two.parity()
    assert found.differences == ()
    assert found.compared["table"] > 50
    assert found.compared["column"] > 200
    assert found.compared["constraint"] > 50
    assert found.compared["role"] == 1
    assert {(left.kind, left.object) for left in found.not_carried} == {
        ("materialized view", '"Reporting"."Monthly"'),
        ("unlogged table", "audit.session_cache"),
    }
    assert found.differences == (await two.parity(Side.GREEN)).differences


async def test_what_the_cockpit_makes_and_its_fence_are_no_difference(two: Two) -> None:
    for end in (two.blue, two.green):
        await run(end, "CREATE TABLE t (id int PRIMARY KEY)", f"GRANT CONNECT ON DATABASE {_named(end)} TO parity_billing")
    room = PostgresPair(two.spec, Tuning())
    await room.open()
    try:
        for side in Side:
            await room.install(side).apply()
        await room.replicate(Side.BLUE, Side.GREEN, copy=True).apply()
        await room.replicate(Side.GREEN, Side.BLUE, copy=False).apply()
        assert (await two.parity()).differences == ()
        await room.fence(Side.GREEN, on=True).apply()
        assert (await two.parity()).differences == ()
        # What differed before the fence is seen behind it.
        await run(two.blue, f"GRANT CONNECT ON DATABASE {_named(two.blue)} TO parity_billing WITH GRANT OPTION")
        await run(two.blue, f"ALTER DATABASE {_named(two.blue)} SET default_transaction_read_only = off")
        found = (await two.parity()).differences
        assert {(d.kind, d.object, d.blue, d.green) for d in found} == {
            ("grant", "(database) to parity_billing", "CONNECT*", "CONNECT"),
            ("role or database setting", "(database): default_transaction_read_only", "off", ""),
        }
        await room.fence(Side.GREEN, on=False).apply()
        for side in Side:
            await room.gone(side).apply()
    finally:
        await room.close()


async def test_read_only_that_no_fence_explains_is_a_difference(two: Two) -> None:
    await run(two.green, f"ALTER DATABASE {_named(two.green)} SET default_transaction_read_only = on")
    (found,) = (await two.parity()).differences
    assert (found.kind, found.green, found.on) == ("role or database setting", "on", Side.GREEN)
    admin = await connect(two.green)
    await admin.execute("SET default_transaction_read_only = off")
    await admin.execute(found.remedy)
    await admin.close()
    assert (await two.parity()).differences == ()


async def test_the_side_that_serves_is_the_model(two: Two) -> None:
    await run(two.blue, "CREATE TABLE t (id int DEFAULT 1)")
    await run(two.green, "CREATE TABLE t (id int DEFAULT 2)")
    for serving, value in ((Side.BLUE, "1"), (Side.GREEN, "2")):
        (found,) = (await two.parity(serving)).differences
        assert (found.on, found.remedy) == (serving.other, f"ALTER TABLE public.t ALTER COLUMN id SET DEFAULT {value}")


async def test_rights_that_only_the_other_side_gives_are_taken_not_given(two: Two) -> None:
    for end in (two.blue, two.green):
        await run(end, "CREATE TABLE t (id int)")
    await run(two.green, "GRANT SELECT ON t TO PUBLIC")
    (found,) = (await two.parity()).differences
    assert (found.on, found.remedy) == (Side.GREEN, "REVOKE SELECT ON TABLE public.t FROM PUBLIC")


async def test_a_missing_table_is_one_difference(two: Two) -> None:
    await run(two.blue, "CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'x' CHECK (v <> ''))", "COMMENT ON COLUMN t.v IS 'c'")
    await run(two.blue, "CREATE INDEX ON t (v)", "GRANT SELECT ON t TO PUBLIC", "COMMENT ON TABLE t IS 'c'")
    (found,) = (await two.parity()).differences
    assert (found.kind, found.object, found.weight, found.on) == ("table", "public.t", Weight.BAD, Side.GREEN)
    assert found.remedy == "pg_dump --schema-only --table=public.t of blue, into green"


async def test_the_order_of_columns_is_seen_where_the_columns_are_the_same(two: Two) -> None:
    await run(two.blue, "CREATE TABLE t (a int, b int)")
    await run(two.green, "CREATE TABLE t (b int, a int)")
    (found,) = (await two.parity()).differences
    assert (found.kind, found.blue, found.green) == ("column order", "a, b", "b, a")


async def test_a_body_of_many_lines_is_remedied_in_one(two: Two) -> None:
    await run(two.blue, FUNCTION)
    (found,) = (await two.parity()).differences
    assert found.remedy.isprintable()
    await run(two.green, found.remedy)
    assert (await two.parity()).differences == ()


async def test_excluded_tables_are_shown_not_compared(two: Two) -> None:
    await run(two.blue, 'CREATE TABLE "left out" (id int PRIMARY KEY)')
    await run(two.green, 'CREATE TABLE "left out" (id bigint)')
    found = await two.parity()
    assert found.differences == ()
    assert [(left.kind, left.object, left.sides) for left in found.not_carried] == [
        ("excluded table", 'public."left out"', (Side.BLUE, Side.GREEN))
    ]


async def test_a_role_the_config_names_is_compared_though_it_owns_nothing(two: Two) -> None:
    await run(two.green, "DROP OWNED BY parity_billing", "DROP ROLE parity_billing")
    (found,) = (await two.parity()).differences
    assert (found.kind, found.object, found.green) == ("role", "parity_billing", "")
    assert found.remedy.endswith("-- and give it its password")
    await run(two.green, found.remedy)
    assert (await two.parity()).differences == ()


async def test_a_server_setting_is_read_as_the_server_has_it(two: Two) -> None:
    """Not as the reconciliation's own sessions set it."""
    try:
        for name, value in SETTINGS_OF_BOTH.items():
            await run(two.green, f"ALTER SYSTEM SET {name} = {value}")
        await run(two.green, "SELECT pg_reload_conf()")
        found = {d.object: d for d in (await two.parity()).differences}
        assert found.keys() == SETTINGS_OF_BOTH.keys()
        assert {d.weight for d in found.values()} == {Weight.LOOK}
        for difference in found.values():
            assert difference.on is Side.GREEN
            await run(two.green, difference.remedy)
        await run(two.green, "SELECT pg_reload_conf()")
        assert (await two.parity()).differences == ()
    finally:
        for name in SETTINGS_OF_BOTH:
            await run(two.green, f"ALTER SYSTEM RESET {name}")
        await run(two.green, "SELECT pg_reload_conf()")


async def test_an_extension_of_another_version_is_to_be_looked_at(two: Two) -> None:
    for end in (two.blue, two.green):
        await run(end, "CREATE EXTENSION vector", "CREATE TABLE t (v vector(3))")
    await run(two.green, "UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'vector'")
    (found,) = (await two.parity()).differences
    assert (found.kind, found.weight, found.on) == ("extension version", Weight.LOOK, Side.GREEN)
    assert found.remedy == f"ALTER EXTENSION vector UPDATE TO '{found.blue}'"
    (other,) = (await two.parity(Side.GREEN)).differences
    assert "blue has the newer one" in other.remedy


async def test_what_cannot_be_seen_is_never_equal(two: Two) -> None:
    await run(two.green, "CREATE ROLE parity_guest LOGIN PASSWORD 'guest'")
    try:
        lost = replace(two.spec, green=replace(two.spec.green, control=replace(two.green, port=1)))
        with pytest.raises(LinkError):
            await of_pair(lost, Side.BLUE)
        await run(two.green, "CREATE SCHEMA cockpit_control", "CREATE TABLE cockpit_control.fence (acl jsonb, read_only text)")
        guest = replace(two.green, user="parity_guest", password=Secret("guest"))
        with pytest.raises(SystemFault, match="permission denied"):
            await of_pair(replace(two.spec, green=replace(two.spec.green, control=guest)), Side.BLUE)
    finally:
        await run(two.green, "DROP ROLE parity_guest")


async def test_a_role_that_is_not_shown_everything_is_told_so(two: Two) -> None:
    await run(two.green, "CREATE ROLE parity_guest LOGIN PASSWORD 'guest'")
    try:
        guest = replace(two.green, user="parity_guest", password=Secret("guest"))
        found = (await of_pair(replace(two.spec, green=replace(two.spec.green, control=guest)), Side.BLUE)).differences
        assert {(d.object, d.green, d.on) for d in found} == {
            (name, "not shown", Side.GREEN) for name in ("session_preload_libraries", "shared_preload_libraries")
        }
    finally:
        await run(two.green, "DROP ROLE parity_guest")


async def test_the_port_reads_it_while_the_background_works(two: Two) -> None:
    for end in (two.blue, two.green):
        await run(end, "CREATE TABLE t (id int PRIMARY KEY, v text)")
    await run(two.green, "CREATE INDEX only_green ON t (v)")
    reconciler = PostgresReconciler(two.spec, Tuning())
    try:
        await reconciler.open(Side.BLUE)
        (found,) = (await reconciler.parity()).differences
        assert (found.kind, found.object, found.blue, found.on) == ("index", "public.t.only_green", "", Side.BLUE)
        assert found.remedy == "CREATE INDEX CONCURRENTLY only_green ON public.t USING btree (v)"
        await run(two.blue, found.remedy)
        assert (await reconciler.parity()).differences == ()
    finally:
        await reconciler.close()


def _named(end: Endpoint) -> str:
    return '"' + end.database.replace('"', '""') + '"'
