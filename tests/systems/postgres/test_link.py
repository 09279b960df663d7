"""One connection of ours, and what its server may do to it between the login and the last prepared statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cockpit.errors import CockpitError, LinkError, OutcomeUnknown, SystemFault
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


async def end(rig: Rig, link: Link, waiting: bool = False) -> None:
    """The server has ended the link's session; where it waits for a lock, in the middle of that."""
    where = " AND wait_event_type = 'Lock'" if waiting else ""
    sql = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'cockpit test' AND usename = $1{where}"

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


@pytest.mark.parametrize("effect", [False, True])
async def test_a_session_ended_while_it_prepares_is_a_link_error(rig: Rig, link: Link, effect: bool) -> None:
    link.statement_s = 20.0
    holder = await locked(rig)
    await end(rig, link)
    await gone(link)
    task = asyncio.create_task(link.change("SELECT 1") if effect else link.rows("SELECT 1"))
    await end(rig, link, waiting=True)
    with pytest.raises(LinkError) as caught:
        await task
    assert not isinstance(caught.value, OutcomeUnknown)  # nothing was sent yet
    assert not link.up
    await holder.execute("ROLLBACK")
    assert (await link.row(READ))["n"] == 0


async def test_a_link_that_was_cancelled_while_it_prepares_is_made_anew(rig: Rig, link: Link) -> None:
    link.statement_s = 20.0
    holder = await locked(rig)
    await end(rig, link)
    await gone(link)
    with pytest.raises(LinkError):
        await link.rows("SELECT 1", within=0.1)
    assert not link.up
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
