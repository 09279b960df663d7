"""Business checks in a run, on two real servers, 16 and 18: read, masked, told too early, given up for a window, and told by proven rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.checks import CheckResult, Checks, CheckVerdict, Metric, Spot
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile.business import Business
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import ROWS, SCHEMA, Pane, connect, drained, load, pair, reconciling, replicate, run, until

pytestmark = pytest.mark.servers

BY_ACCOUNT = Metric(
    "by_account", "SELECT account % 5 AS fifth, sum(amount) AS total FROM public.entry WHERE account < 100000 GROUP BY 1", ("fifth",)
)
BALANCES = Metric("balances", "SELECT sum(balance) AS total FROM public.account WHERE id > 0")
PARTS = Spot("parts", "SELECT count(*) FROM public.part", ((1000,),))  # type: ignore[arg-type]
SCRATCH = Spot("scratch", "SELECT count(*) FROM public.scratch")
SLOW = Metric("slow", "SELECT count(*) AS n, pg_sleep(20)::text AS slept FROM public.part", timeout=30.0)
ASKED = Checks((BY_ACCOUNT, BALANCES), (PARTS, SCRATCH))


@pytest_asyncio.fixture
async def sides(blue16: Server, green18: Server, make_database: MakeDatabase) -> tuple[Endpoint, Endpoint]:
    blue, green = await make_database(blue16, "business"), await make_database(green18, "business")
    await run(blue, SCHEMA, ROWS)
    await run(green, SCHEMA)
    return blue, green


@pytest_asyncio.fixture
async def pane(sides: tuple[Endpoint, Endpoint]) -> AsyncIterator[Pane]:
    await replicate(*sides)
    async with reconciling(*sides, ASKED) as made:
        yield made


def verdicts(results: tuple[CheckResult, ...]) -> dict[str, CheckVerdict]:
    return {result.name: result.verdict for result in results}


async def test_both_sides_are_read_and_the_groups_counted(pane: Pane) -> None:
    found = await pane.reconciler.checks(30.0, 10.0)
    assert [(r.kind, r.name, r.verdict, r.groups) for r in found] == [
        ("metric", "by_account", CheckVerdict.EQUAL, 5),
        ("metric", "balances", CheckVerdict.EQUAL, 1),
        ("spot", "parts", CheckVerdict.EQUAL, 1),
        ("spot", "scratch", CheckVerdict.EQUAL, 1),
    ]


async def test_what_moves_under_load_is_never_called_different(pane: Pane) -> None:
    async with load(pane.blue, rate=300.0) as running:
        found = verdicts(await pane.reconciler.checks(30.0))
        assert running.transactions > 0
    assert found["by_account"] is CheckVerdict.EQUAL, "what is closed settles"
    assert found["balances"] in {CheckVerdict.EQUAL, CheckVerdict.HOT}


async def test_a_confirmed_difference_is_told_with_both_values_but_for_sensitive_ones(pane: Pane) -> None:
    await run(pane.blue, "ALTER SUBSCRIPTION cockpit_t_rev DISABLE")  # what is written on green would come to blue too
    await run(pane.green, "UPDATE entry SET amount = amount + 1 WHERE account = 7 AND n = 1", "UPDATE account SET balance = 0 WHERE id = 7")
    by_account, balances, *_ = await pane.reconciler.checks(30.0)
    assert (by_account.verdict, by_account.differing_keys) == (CheckVerdict.DIFFERS, 1)
    (apart,) = by_account.differing
    assert apart.key == "fifth=2"
    assert apart.blue != apart.green
    assert (balances.verdict, balances.differing_keys) == (CheckVerdict.DIFFERS, 1)
    assert [(d.key, d.blue, d.green) for d in balances.differing] == [("", "not shown", "not shown")]
    assert balances.reason == "values not shown: public.account.balance is sensitive"


async def test_before_the_copy_is_done_a_difference_says_nothing(sides: tuple[Endpoint, Endpoint]) -> None:
    found = {result.name: result for result in await Business(pair(*sides), ASKED).read(Side.BLUE, 30.0)}
    assert found["by_account"].verdict is CheckVerdict.FAILED
    assert "green does not follow blue with every table yet" in found["by_account"].reason
    assert found["by_account"].differing == ()
    assert found["scratch"].verdict is CheckVerdict.EQUAL
    alone = (await Business(pair(*sides), ASKED).compare(Side.BLUE)).results
    assert verdicts(alone)["by_account"] is CheckVerdict.DIFFERS, "without a run, what is unequal is different"


async def test_a_side_that_does_not_follow_is_not_waited_for_longer_than_said(pane: Pane) -> None:
    await run(pane.green, "ALTER SUBSCRIPTION cockpit_t_fwd DISABLE")
    await run(pane.blue, "UPDATE account SET owner = 'late' WHERE id = 1")
    found = await pane.reconciler.checks(30.0, 0.3)
    assert {r.reason for r in found} == {"green did not catch up with blue within 0.3 s"}
    await run(pane.green, "ALTER SUBSCRIPTION cockpit_t_fwd ENABLE")


async def test_all_checks_together_have_one_box(sides: tuple[Endpoint, Endpoint]) -> None:
    found = await Business(pair(*sides), Checks((SLOW, BY_ACCOUNT))).read(Side.BLUE, 0.5)
    assert {r.reason for r in found} == {"not settled within the 0.5 s that all checks have together"}


@pytest.mark.parametrize("way", ["hold", "catch_up"])
async def test_a_window_that_opens_ends_a_reading_on_the_servers_too(sides: tuple[Endpoint, Endpoint], way: str) -> None:
    await replicate(*sides)
    async with reconciling(*sides, Checks((SLOW,))) as pane:
        reading = asyncio.create_task(pane.reconciler.checks(60.0))
        await until_sleeping(pane.blue, 1)
        if way == "hold":
            pane.reconciler.hold()
        else:
            await pane.reconciler.catch_up(0.5)
        (found,) = await asyncio.wait_for(reading, 5)
        assert (found.verdict, found.reason) == (CheckVerdict.FAILED, "given up for the window of a handover")
        await until_sleeping(pane.blue, 0)
        if way == "hold":
            (again,) = await pane.reconciler.checks(60.0)
            assert again.reason == "given up for the window of a handover"
            pane.reconciler.release(Side.BLUE)


async def until_sleeping(endpoint: Endpoint, sessions: int) -> None:
    connection = await connect(endpoint)
    try:

        async def so() -> bool:
            count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'FETCH FORWARD%'"
            return bool(await connection.fetchval(count) == sessions)

        await until(so, 10.0)
    finally:
        await connection.close()


async def test_the_freeze_says_which_checks_the_proven_rows_tell(pane: Pane) -> None:
    await pane.all_equal()
    await drained(pane.blue, pane.green)
    pane.reconciler.hold()
    found = await pane.reconciler.verify_changed(Side.BLUE, Side.GREEN, 5.0)
    assert found.equal
    assert (found.evidence["metrics_follow"], found.evidence["spots_follow"]) == (2, 1)
    assert found.evidence["checks_left"] == ["spot scratch: public.scratch not proven row by row"]


def test_of_what_was_not_planned_nothing_follows() -> None:
    endpoint = Endpoint("nowhere", 1, "d", "u")
    business = Business(pair(endpoint, endpoint), ASKED)
    everything = [("public", name) for name in ("entry", "account", "part_1", "part_2", "scratch")]
    told = business.follows(everything)
    assert (told["metrics_follow"], told["spots_follow"]) == (0, 0)
    assert "metric by_account: it was not planned yet" in told["checks_left"]  # type: ignore[operator]
    assert Business(pair(endpoint, endpoint), Checks()).follows(everything) == {}


async def test_a_server_that_is_gone_raises_nothing(sides: tuple[Endpoint, Endpoint]) -> None:
    gone = Endpoint("127.0.0.1", 1, "d", "u")
    found = await Business(pair(sides[0], gone), ASKED).read(Side.BLUE, 10.0, 1.0)
    assert verdicts(found) == dict.fromkeys(("by_account", "balances", "parts", "scratch"), CheckVerdict.FAILED)
    assert all("green" in result.reason for result in found)
