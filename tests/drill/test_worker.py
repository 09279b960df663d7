"""An app's transaction is done once, whatever breaks and wherever: against a server that fails on command."""

from __future__ import annotations

import asyncio
import io
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.drill import worker
from cockpit.drill.fleet import App, Path, fleet
from cockpit.drill.ledger import Ledger
from cockpit.drill.reach import Address
from cockpit.drill.work import lookup, mix, read, transaction
from cockpit.drill.worker import Link, Op, Runner

SIZES = {
    "core.customer": 10,
    'sales."Order"': 10,
    "sales.product": 10,
    "billing.account": 10,
    '"Склад"."Товар"': 10,
    '"HR & Payroll"."Employee"': 10,
}
FAULTS = ("none", "refused", "error", "cut before", "cut after", "closing")
"""closing: the server says it is shutting down, and has committed all the same."""


@dataclass
class World:
    """A server's committed transactions, and what goes wrong next."""

    faults: Iterator[str]
    committed: Counter[UUID] = field(default_factory=Counter)

    def next_fault(self) -> str:
        return next(self.faults, "none")


@dataclass
class Cursor:
    rows: list[tuple[str]]

    @property
    def description(self) -> list[str] | None:
        return ["side"] if self.rows else None

    async def fetchone(self) -> tuple[str] | None:
        return self.rows[0] if self.rows else None

    def nextset(self) -> bool:
        return False


@dataclass
class Conn:
    world: World
    closed: bool = False

    async def execute(self, statements: str) -> Cursor:
        if self.closed:
            raise psycopg.OperationalError("closed")
        if statements == "ROLLBACK":
            return Cursor([])
        if statements.startswith("SELECT side"):
            op = UUID(re.findall(r"'([0-9a-f-]{36})'", statements)[0])
            return Cursor([("blue",)] if self.world.committed[op] else [])
        return self._run(statements)

    def _run(self, statements: str) -> Cursor:
        fault = self.world.next_fault()
        ends = statements.endswith("COMMIT")
        if ends and fault in {"none", "cut after", "closing"}:
            op = UUID(re.findall(r"app_ledger .*'([0-9a-f-]{36})'", statements)[0])
            self.world.committed[op] += 1
        if fault == "error":
            raise psycopg.errors.SerializationFailure("again")
        if fault == "closing":
            raise psycopg.errors.AdminShutdown("terminating connection")
        if fault != "none":
            self.closed = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return Cursor([("blue",)] if ends else [])

    async def close(self) -> None:
        self.closed = True


@dataclass
class Finder:
    world: World
    app: App
    source: object = None
    refusals: int = 0
    address: Address | None = None

    def troubled(self, why: str) -> None: ...

    async def connection(self) -> Conn:
        return Conn(self.world)

    def refused(self, address: Address | None) -> None:
        self.refusals += 1


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep
    monkeypatch.setattr(worker.asyncio, "sleep", lambda seconds: real(0))


def runner(app: App, world: World) -> Runner:
    return Runner(app, 10.0, Finder(world, app), Ledger(io.StringIO()), SIZES, nonce=1)  # type: ignore[arg-type]


POOLED_ONE_TRIP, POOLED_TWO_TRIPS, DIRECT = fleet(15)[1], fleet(15)[0], fleet(15)[11]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(FAULTS), max_size=8), st.sampled_from([POOLED_ONE_TRIP, POOLED_TWO_TRIPS, DIRECT]))
def test_every_write_is_done_exactly_once_whatever_breaks(faults: list[str], app: App) -> None:
    async def run() -> tuple[World, Runner]:
        world = World(iter(faults))
        one = runner(app, world)
        for _ in range(3):
            one._put(0.0)
        link = Link(one.finder)
        while not one._queue.empty():
            await one._until_done(link, one._queue.get_nowait())
        return world, one

    world, one = asyncio.run(run())
    assert set(world.committed.values()) == {1}
    assert one.ledger.writes == 3
    assert not one.ledger.open


async def tried(app: App, *faults: str) -> Runner:
    world = World(iter(faults))
    one = runner(app, world)
    one._put(0.0)
    await one._until_done(Link(one.finder), one._queue.get_nowait())
    return one


async def test_a_pooled_app_counts_every_error() -> None:
    one = await tried(POOLED_ONE_TRIP, "cut after", "error")
    # The lost answer is looked up and found: the second fault never strikes.
    assert len(one.ledger.errors) == 1
    one = await tried(POOLED_ONE_TRIP, "cut before", "error")
    assert len(one.ledger.errors) == 2


async def test_a_direct_app_counts_broken_connections_apart() -> None:
    one = await tried(DIRECT, "cut before", "error")
    assert (len(one.ledger.breaks), len(one.ledger.errors)) == (1, 1)


async def test_a_broken_connection_makes_the_app_look_again_for_its_server() -> None:
    one = await tried(DIRECT, "cut before")
    assert one.finder.refusals == 1  # type: ignore[attr-defined]


async def test_what_failed_before_commit_was_sent_is_not_looked_up() -> None:
    world = World(iter(["cut before"]))
    one = runner(POOLED_TWO_TRIPS, world)
    one._put(0.0)
    op: Op = one._queue.get_nowait()
    link = Link(one.finder)
    with pytest.raises(psycopg.OperationalError):
        await one._once(await link.ready(), op)
    assert op.sent is None


@pytest.mark.parametrize("app", fleet(15), ids=lambda app: app.name)
def test_every_transaction_ends_with_its_ledger_row_its_side_and_commit(app: App) -> None:
    rng = random.Random(1)
    for kind in mix(app):
        op = UUID(int=7)
        made = transaction(app, kind, worker.work.Draw(rng, SIZES, op))
        assert made.opening.startswith("BEGIN; ")
        assert made.closing.endswith("; SELECT current_setting('cluster_name'); COMMIT")
        assert str(op) in made.closing
        assert app.name in made.closing
    assert str(op) in lookup(op)
    assert read(worker.work.Draw(rng, SIZES, op)).startswith("SELECT")


def test_the_same_seed_draws_the_same_transactions() -> None:
    async def drawn(seed: int) -> list[str]:
        one = runner(POOLED_ONE_TRIP, World(iter(())))
        one.seed(seed)
        for _ in range(5):
            one._put(0.0)
        return [one._queue.get_nowait().statements.opening for _ in range(5)]

    assert asyncio.run(drawn(3)) == asyncio.run(drawn(3)) != asyncio.run(drawn(4))


def test_paths_of_the_apps_used_here() -> None:
    assert (POOLED_ONE_TRIP.path, POOLED_TWO_TRIPS.path, DIRECT.path) == (Path.POOL, Path.POOL, Path.FILE)
