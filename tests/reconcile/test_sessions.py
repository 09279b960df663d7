"""A reconciliation's connection asks for what its endpoint says."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from cockpit.drill.servers import Server
from cockpit.errors import LinkError
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile.sessions import RECENT, Line, Row, together
from tests.conftest import MakeDatabase


@pytest.mark.parametrize("mode", ["require", "prefer", "verify-ca", "verify-full"])
async def test_a_named_authority_is_asked_whatever_the_mode(tmp_path: Path, mode: str) -> None:
    """A CA file that cannot be used stops the connection before a packet leaves; without it the server would not be checked at all."""
    endpoint = Endpoint("127.0.0.1", 1, "arp", "cockpit", sslmode=mode, sslrootcert=str(tmp_path / "none.pem"))
    with pytest.raises(LinkError, match="CA file"):
        await Line(Side.BLUE, endpoint).fetch("SELECT 1")


@pytest.mark.servers
async def test_a_snapshot_whose_end_is_cut_short_too_is_not_found_by_the_next_reader(
    blue16: Server, make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window cuts the background once, and once more when that takes long; then it reads through the same line."""
    line = Line(Side.BLUE, await make_database(blue16, "cut"))
    inside, ending, fetch = asyncio.Event(), asyncio.Event(), Line.fetch

    async def slow_end(self: Line, sql: str, *args: object, deadline: float = 6.0) -> list[Row]:
        if sql == "COMMIT":
            ending.set()
            await asyncio.Event().wait()
        return await fetch(self, sql, *args, deadline=deadline)

    async def read() -> None:
        async with line.snapshot(10.0):
            await line.fetch("SELECT 1")
            inside.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(Line, "fetch", slow_end)
    task = asyncio.create_task(read())
    for moment in (inside, ending):
        await asyncio.wait_for(moment.wait(), 10)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(Line, "fetch", fetch)
    try:
        assert (await line.fetch("SHOW transaction_isolation"))[0][0] == "read committed"
    finally:
        await line.close()


@pytest.mark.servers
async def test_a_snapshot_that_broke_is_not_gone_on_with_by_another_connection(blue16: Server, make_database: MakeDatabase) -> None:
    end = await make_database(blue16, "broken")
    line, other = Line(Side.BLUE, end), Line(Side.BLUE, end)

    async def read() -> None:
        async with line.snapshot(10.0):
            (row,) = await line.fetch("SELECT pg_backend_pid() AS pid")
            await other.fetch("SELECT pg_terminate_backend($1, 5000)", row["pid"])
            with contextlib.suppress(LinkError):
                await line.fetch("SELECT 1")
            await line.fetch("SELECT 1")

    try:
        with pytest.raises(LinkError, match="held the snapshot is gone"):
            await read()
        assert (await line.fetch("SHOW transaction_isolation"))[0][0] == "read committed"
    finally:
        await line.close()
        await other.close()


@pytest.mark.servers
async def test_a_line_that_was_not_answered_in_time_is_made_anew(blue16: Server, make_database: MakeDatabase) -> None:
    """Its server's machine may be gone, and another one may have its name."""
    line = Line(Side.BLUE, await make_database(blue16, "late"))
    try:
        (before,) = await line.fetch("SELECT pg_backend_pid() AS pid")
        with pytest.raises(LinkError, match="no answer within the deadline"):
            await line.fetch("SELECT pg_sleep(3)", deadline=0.05)
        (after,) = await line.fetch("SELECT pg_backend_pid() AS pid")
        assert after["pid"] != before["pid"]
    finally:
        await line.close()


async def test_what_is_done_together_ends_together() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("the other")

    async def fails() -> None:
        raise LinkError("gone", where="blue")

    with pytest.raises(LinkError):
        await together(waits(), fails())
    assert ended == ["the other"]


@pytest.mark.servers
async def test_of_what_is_asked_again_the_last_few_are_kept_prepared(blue16: Server, make_database: MakeDatabase) -> None:
    """The server keeps a plan for each: with ten thousand tables it could not keep one for every range of theirs."""
    line = Line(Side.BLUE, await make_database(blue16, "again"))
    try:
        for number in range(3 * RECENT):
            for _ in range(2):
                assert (await line.again(f"SELECT {number} + $1::int AS n", 1))[0]["n"] == number + 1
        kept = await line.fetch("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%AS n'")
        assert RECENT <= len(kept) <= RECENT + 1, "one may still be waiting to be given back"
        assert f"SELECT {3 * RECENT - 1} + $1::int AS n" in {row["statement"] for row in kept}
        await line.close()
        assert (await line.again("SELECT 5 + $1::int AS n", 1))[0]["n"] == 6
        assert len(await line.fetch("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%AS n'")) == 1
    finally:
        await line.close()
