"""`cockpit reconcile`: the verdict over two real servers, its exit code, and what it tells."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from cockpit import comparing, headline, wiring
from cockpit.comparing import Compared, compare, render
from cockpit.errors import Flown
from cockpit.model.checks import Checks, Metric
from cockpit.model.settings import Config
from cockpit.model.telemetry import ReconSample
from cockpit.model.words import Side
from cockpit.reconcile import compare as compare_rows
from cockpit.scenario import load_scenario
from cockpit.systems.postgres import PostgresPair
from tests.reconcile.conftest import SmallPair
from tests.reconcile.pairs import load, pair, run, silently, until

pytestmark = pytest.mark.servers


@pytest_asyncio.fixture
async def order(small_pair: SmallPair) -> AsyncIterator[wiring.Order]:
    blue, green = await small_pair("comparing")
    await run(green, "DROP TYPE other")
    yield wiring.Order(Config({}, "", ""), load_scenario("arp"), pair(blue, green))


async def compared(
    order: wiring.Order, within_s: float = 60.0, *, parity: bool = False, heard: list[ReconSample] | None = None
) -> tuple[Compared, list[ReconSample]]:
    heard = [] if heard is None else heard
    found = await compare(order, 0.5, within_s, lambda sample, left: heard.append(sample), Side.BLUE, parity=parity)
    return found, heard


async def test_equal_under_load_is_exit_0(order: wiring.Order) -> None:
    async with load(order.spec.blue.control):
        found, heard = await compared(order)
    assert (found.verdict, found.exit_code, found.unproven) == ("equal", 0, ())
    assert found.proven == found.rows > 10_000
    assert heard[-1].all_rows == found.rows
    text = render(found)
    assert text.startswith("arp: equal, blue serves\n")
    assert "public.left out: excluded by the config" in text


async def test_a_difference_is_exit_1_and_told_by_key_and_column(order: wiring.Order) -> None:
    await silently(
        order.spec.green.control,
        "UPDATE part SET v = NULL WHERE id = 7",
        "DELETE FROM entry WHERE account = 77 AND n = 2",
        "UPDATE account SET balance = 0, owner = '\x1b[31mred' WHERE id = 9",
    )
    found, _ = await compared(order)
    assert (found.verdict, found.exit_code, found.differences) == ("different", 1, 3)
    text = render(found)
    assert "account=77, n=2: missing on green" in text
    assert "  v: blue 'v', green NULL" in text
    assert "  balance: values not shown" in text
    assert "owner: blue 'owner 9'" in text
    assert "\x1b" not in text


async def test_more_differences_than_are_confirmed_are_told_as_at_least(order: wiring.Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_rows, "MOST_SUSPECTS", 5)
    await silently(order.spec.green.control, "DELETE FROM account WHERE id <= 20")
    found, _ = await compared(order, 15.0)
    assert found.verdict == "different"
    assert next(proof.reason for proof in found.tables if proof.table == "public.account").startswith("at least 5 rows differ: ")


async def test_what_cannot_be_proven_is_exit_3(order: wiring.Order) -> None:
    await run(order.spec.green.control, "ALTER TABLE account ADD COLUMN extra int")
    found, _ = await compared(order)
    assert (found.verdict, found.exit_code) == ("not proven", 3)
    assert found.unproven == ("public.account: column extra is only on green",)
    assert "? public.account" in render(found)


async def test_an_index_that_is_missing_is_a_difference_too(order: wiring.Order) -> None:
    await run(order.spec.blue.control, "CREATE INDEX by_owner ON account (owner)")
    found, _ = await compared(order, parity=True)
    assert (found.verdict, found.differences) == ("different", 0)
    assert found.parity is not None
    assert [d.object for d in found.parity.bad] == ["public.account.by_owner"]
    assert "CREATE INDEX CONCURRENTLY by_owner ON public.account" in render(found)


async def test_a_scenarios_totals_count_too(order: wiring.Order) -> None:
    total = Metric("balances", "SELECT 1 AS one, sum(balance) AS total FROM public.account", ("one",))
    asked = replace(order, scenario=replace(order.scenario, checks=Checks((total,))))
    found, _ = await compared(asked, parity=True)
    assert (found.verdict, found.exit_code) == ("equal", 0)
    wrong = replace(total, sql="SELECT 1 AS one, sum(no_such) AS total FROM public.account")
    found, _ = await compared(replace(order, scenario=replace(order.scenario, checks=Checks((wrong,)))), parity=True)
    assert (found.verdict, found.exit_code) == ("not proven", 3)
    assert "no_such" in render(found)


async def test_time_that_is_over_is_no_proof(order: wiring.Order) -> None:
    found, _ = await compared(order, within_s=0.0)
    assert (found.verdict, found.exit_code) == ("not proven", 3)


Comparing = asyncio.Task[tuple[Compared, list[ReconSample]]]


@pytest_asyncio.fixture
async def left_behind(order: wiring.Order, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Comparing]:
    """It compares; since all was proven green follows no more, and rows have changed on blue."""
    settled, heard, changed = comparing._settled, list[ReconSample](), asyncio.Event()
    monkeypatch.setattr(comparing, "_settled", lambda proof: changed.is_set() and settled(proof))

    async def proven() -> bool:
        return bool(heard) and 0 < heard[-1].tables_total == heard[-1].tables_equal and heard[-1].dirty_keys == 0

    task = asyncio.create_task(compared(order, heard=heard))
    try:
        await until(proven)
        await run(order.spec.green.control, "ALTER SUBSCRIPTION cockpit_t_fwd DISABLE")
        await run(order.spec.blue.control, "UPDATE account SET owner = 'new' WHERE id < 10")
        changed.set()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_rows_that_changed_and_are_not_applied_are_not_proven(left_behind: Comparing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "STILL_S", 6.0)
    found, _ = await left_behind
    assert (found.verdict, found.exit_code, found.differences) == ("not proven", 3, 0)
    (why,) = found.unproven
    assert why.startswith(
        "public.account: rows changed and are not proven again: replication does not move on, green has applied nothing of blue for "
    )
    assert f"? {why}" in render(found)
    assert "9 rows changed and not proven again" in render(found)


async def test_what_is_applied_late_is_waited_for(order: wiring.Order, left_behind: Comparing, monkeypatch: pytest.MonkeyPatch) -> None:
    stood = asyncio.Event()
    behind = comparing.Following.behind

    async def noted(self: comparing.Following) -> str:
        if why := await behind(self):
            stood.set()
        return why

    monkeypatch.setattr(comparing.Following, "behind", noted)
    await asyncio.wait_for(stood.wait(), 30)
    await run(order.spec.green.control, "ALTER SUBSCRIPTION cockpit_t_fwd ENABLE")
    found, _ = await left_behind
    assert (found.verdict, found.exit_code, found.unproven) == ("equal", 0, ())


async def test_it_waits_for_no_pilot(order: wiring.Order) -> None:
    servers = PostgresPair(order.spec, order.scenario.tuning)
    await servers.open()
    await servers.lock("ana@bastion pid 1")
    try:
        with pytest.raises(Flown, match="ana@bastion"):
            await compared(order)
    finally:
        await servers.close()


async def test_nothing_of_it_is_left_on_the_servers(order: wiring.Order) -> None:
    await compared(order)
    for side in Side:
        assert (await wiring.build_world(order.spec, order.scenario).reconciler.gone(side).probe()).done


SAMPLE = ReconSample(1.0, 500, 1000, 3, 4, 12, 1, None, None, 0.1, (), "a note")


def test_the_headline_in_words() -> None:
    assert headline.words(SAMPLE) == "50.0% of 1,000 rows, 3 of 4 tables, 12 rows changed, 1 differ (a note)"
    assert headline.left(125.4) == "about 2:05 left"
    assert headline.left(0.0) == "the last proofs"
    stream = io.StringIO()
    with headline.shown(stream) as tell:
        tell(SAMPLE, None)
        tell(replace(SAMPLE, proven_rows=900), 1.0)
    assert stream.getvalue() == f"{headline.words(SAMPLE)}\n", "a pipe gets a sentence now and then"


def test_how_long_the_rest_takes_is_told_when_it_is_known() -> None:
    pace = comparing.Pace(0.0)
    assert pace.left_s(SAMPLE, 0.5) is None
    assert pace.left_s(SAMPLE, 10.0) == 10.0
    assert pace.left_s(replace(SAMPLE, proven_rows=1000), 10.0) == 0.0
