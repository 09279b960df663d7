"""One connection of ours, and what its server may do to it between the login and the last prepared statement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cockpit.errors import CockpitError, SystemFault
from cockpit.model.secret import Secret
from cockpit.systems.postgres.link import Link
from tests.systems.postgres.conftest import BLUE, PASSWORD, Rig, quoted, until

pytestmark = pytest.mark.servers
READ = "SELECT count(*) AS n FROM public.plain"


@pytest.fixture
async def link(rig: Rig) -> AsyncIterator[Link]:
    """An app's own connection with a warm reading of a table."""
    made = Link(BLUE, replace(rig.blue, user=rig.role, password=Secret(PASSWORD)), "test", statement_s=0.25)
    await made.warm(READ)
    yield made
    await made.close()


async def end(rig: Rig, link: Link) -> None:
    """The server has ended the link's session."""
    sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'cockpit test' AND usename = $1"

    async def ended() -> bool:
        return bool(await rig.value(BLUE, sql, rig.role))

    await until(ended)


async def gone(link: Link) -> None:
    async def dropped() -> bool:
        return not link.up

    await until(dropped)


async def locked(rig: Rig) -> Any:
    holder = await rig.admin(BLUE)
    await holder.execute("BEGIN; LOCK TABLE plain IN ACCESS EXCLUSIVE MODE")
    return holder


async def test_a_warm_statement_that_is_locked_out_does_not_keep_the_link_shut(rig: Rig, link: Link) -> None:
    holder = await locked(rig)
    await end(rig, link)
    await gone(link)
    assert (await link.row("SELECT 1 AS one"))["one"] == 1
    with pytest.raises(SystemFault) as caught:
        await link.row(READ)
    assert caught.value.code == "55P03"
    await holder.execute("ROLLBACK")
    assert (await link.row(READ))["n"] == 0


async def test_a_warm_statement_without_a_right_is_refused_at_its_use(rig: Rig, link: Link) -> None:
    await rig.run(BLUE, f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {quoted(rig.role)}")
    await end(rig, link)
    await gone(link)
    assert (await link.row("SELECT 1 AS one"))["one"] == 1
    with pytest.raises(SystemFault, match="permission denied for schema public"):
        await link.row(READ)


async def test_a_link_made_anew_waits_for_no_warm_statement(rig: Rig, link: Link) -> None:
    """It would take longer than a use may where the server is far away, or, as here, where the table is locked."""
    holder = await locked(rig)
    await end(rig, link)
    await gone(link)
    assert await link.rows("SELECT 1", within=2.0)
    assert link.up
    await holder.execute("ROLLBACK")
    assert (await link.row(READ))["n"] == 0


async def test_a_table_that_changed_under_a_prepared_statement(rig: Rig) -> None:
    changing = Link(BLUE, rig.blue, "test")
    text = "SELECT * FROM public.plain"
    await changing.rows(text)
    await rig.run(BLUE, "ALTER TABLE plain ADD COLUMN more int; INSERT INTO plain (note) VALUES ('x')")
    assert (await changing.row(text))["more"] is None
    await changing.rows(text)
    await rig.run(BLUE, "ALTER TABLE plain RENAME TO plainer")
    with pytest.raises(CockpitError):
        await changing.rows(text)
    await changing.close()
