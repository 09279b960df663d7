"""Metrics and spot checks on two real servers, 16 and 18: equal, differing, moving, refused, and told as what they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.checks import CheckProgress, CheckResult, Checks, CheckVerdict, Literal, Metric, Outcome, Spot
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile.checks import metrics, render, run_checks
from cockpit.scenario import load_scenario
from tests.conftest import MakeDatabase
from tests.reconcile.conftest import SmallPair
from tests.reconcile.pairs import connect, drained, load, pair, run

pytestmark = pytest.mark.servers

TABLE = """
CREATE TABLE sale (region text, at timestamptz, amount numeric, qty int, weight float8);
INSERT INTO sale VALUES ('north', '2024-01-01 23:30+00', 1.50, 1, 0.1), ('north', '2024-02-01 00:30+00', 2.5, 2, 0.2),
  ('', '2024-01-05 12:00+00', 3, 3, 0.3), (NULL, '2024-01-06 12:00+00', 4, 4, 0.4), (NULL, '2024-01-07 12:00+00', NULL, 5, NULL);
"""


@dataclass
class Two:
    """Two databases with nothing between them, and what was told about checks run on them."""

    blue: Endpoint
    green: Endpoint
    told: list[CheckProgress] = field(default_factory=list)

    async def check(self, asked: Metric | Spot, *, serving: Side = Side.BLUE) -> CheckResult:
        checks = Checks((asked,)) if isinstance(asked, Metric) else Checks(spots=(asked,))
        results = await run_checks(pair(self.blue, self.green), checks, self.told.append, serving=serving)
        assert len(results.results) == 1
        assert all(line.isprintable() for line in render(results).split("\n"))
        return results.results[0]

    async def metric(self, sql: str, *key: str, **tolerance: str) -> CheckResult:
        return await self.check(Metric("m", sql, key, {name: Decimal(text) for name, text in tolerance.items()}))


@pytest_asyncio.fixture
async def two(blue16: Server, green18: Server, make_database: MakeDatabase) -> Two:
    blue, green = await make_database(blue16, "checks"), await make_database(green18, "checks")
    await run(blue, TABLE)
    await run(green, TABLE, "ALTER DATABASE checks SET TimeZone = 'Asia/Tokyo'", "ALTER DATABASE checks SET extra_float_digits = -5")
    return Two(blue, green)


BY_REGION = "SELECT region, sum(amount) AS total, count(*) AS n FROM public.sale GROUP BY region -- by region"


async def test_totals_that_are_equal(two: Two) -> None:
    found = await two.metric(BY_REGION, "region")
    assert (found.verdict, found.rows, found.looks, found.differing, found.notes) == (CheckVerdict.EQUAL, 3, 1, (), ())
    assert found.outcome is Outcome.EQUAL
    assert [step.verdict for step in two.told] == [None, CheckVerdict.EQUAL]
    by_month = await two.metric("SELECT date_trunc('month', at) AS month, sum(amount) AS total FROM public.sale GROUP BY 1;", "month")
    assert (by_month.verdict, by_month.rows) == (CheckVerdict.EQUAL, 2), "green's own TimeZone must not move a row to another month"


async def test_a_scale_is_no_difference_and_a_digit_is(two: Two) -> None:
    await run(two.green, "UPDATE sale SET amount = 1.5000 WHERE qty = 1")
    assert (await two.metric(BY_REGION, "region")).verdict is CheckVerdict.EQUAL
    await run(two.green, "UPDATE sale SET amount = 1.50000000000000000000000001 WHERE qty = 1")
    found = await two.metric(BY_REGION, "region")
    assert (found.verdict, found.differing_keys, found.outcome) == (CheckVerdict.DIFFERS, 1, Outcome.DIFFERENT)
    (difference,) = found.differing
    assert (difference.key, difference.blue) == ("region=north", "total=4.00")
    assert difference.green == "total=4.00000000000000000000000001"


async def test_a_null_key_and_an_empty_one_are_two(two: Two) -> None:
    await run(two.green, "UPDATE sale SET region = '' WHERE region IS NULL")
    found = await two.metric(BY_REGION, "region")
    shown = {d.key: (d.blue, d.green) for d in found.differing}
    assert shown == {"region=''": ("total=3, n=1", "total=7, n=3"), "region=NULL": ("total=4, n=2", "absent")}
    await run(two.green, "TRUNCATE sale")
    assert {d.green for d in (await two.metric(BY_REGION, "region")).differing} == {"absent"}


async def test_a_tolerance_is_named_in_the_result_and_never_called_equal(two: Two) -> None:
    same = await two.metric(BY_REGION, "region", total="0.01")
    assert (same.verdict, same.reason) == (CheckVerdict.WITHIN, "within tolerance: total 0.01")
    await run(two.green, "UPDATE sale SET amount = 1.51 WHERE qty = 1")
    assert (await two.metric(BY_REGION, "region", total="0.01")).verdict is CheckVerdict.WITHIN
    assert (await two.metric(BY_REGION, "region", total="0.00999")).verdict is CheckVerdict.DIFFERS
    assert (await two.metric(BY_REGION, "region", n="5")).verdict is CheckVerdict.DIFFERS
    assert (await two.metric(BY_REGION, "region", region="5")).reason.startswith("tolerance.region: there is no such measure")


async def test_floats_go_by_their_exact_text_and_are_said_to_be_fragile(two: Two) -> None:
    sql = "SELECT max(weight) AS w FROM public.sale"
    found = await two.metric(sql)
    assert found.verdict is CheckVerdict.EQUAL
    assert "w is floating point" in found.notes[0]
    await run(two.green, "UPDATE sale SET weight = 0.40000000000000008 WHERE qty = 4")
    assert (await two.metric(sql)).verdict is CheckVerdict.DIFFERS
    assert (await two.metric(sql, w="1e-9")).verdict is CheckVerdict.WITHIN
    assert (await two.metric(sql, w="1e-9")).notes == ()


async def test_hostile_names(two: Two) -> None:
    odd = 'a"b; DROP TABLE sale; --\x1b[31m'
    quoted = '"' + odd.replace('"', '""') + '"'
    sql = f'SELECT region AS {quoted}, sum(qty) AS "$1", sum(amount) AS "SELECT" FROM public.sale GROUP BY 1'
    assert (await two.metric(sql, odd)).verdict is CheckVerdict.EQUAL
    await run(two.green, "UPDATE sale SET region = E'\\x1b]0;x\\x07' WHERE region = 'north'")
    found = await two.metric(sql, odd)
    assert (found.verdict, found.differing_keys) == (CheckVerdict.DIFFERS, 2)
    assert all(part.isprintable() for d in found.differing for part in (d.key, d.blue, d.green))


@pytest.mark.parametrize(
    ("sql", "key", "said"),
    [
        ("SELECT 1 AS a, 2 AS a", (), "two columns are named a"),
        ("SELECT qty, amount FROM public.sale", (), "several rows and no key"),
        ("SELECT qty, amount FROM public.sale", ("region",), "the key column region is not in the answer: it has qty, amount"),
        ("SELECT qty FROM public.sale", ("qty",), "every column is a key"),
        ("SELECT qty, amount FROM public.sale WHERE false", ("qty",), "no row on either side"),
        ("SELECT n, 1 AS one FROM generate_series(1, 10001) n", ("n",), "more than 10000 rows or 16 MiB on blue"),
        ("SELECT n, repeat('x', 4000000) AS x FROM generate_series(1, 9) n", ("n",), "more than 10000 rows or 16 MiB on blue"),
        ("SELECT count(*) AS n FROM elsewhere.sale", (), 'blue: relation "elsewhere.sale" does not exist; name tables as schema.table'),
        ("SELECT 1 AS a; DROP TABLE public.sale", (), "blue: cannot insert multiple commands"),
        ("SELECT 1 AS a) q; DROP TABLE public.sale; --", (), "blue: syntax error"),
        ("WITH x AS (DELETE FROM public.sale RETURNING 1) SELECT count(*) AS n FROM x", (), "blue: "),
        ("SELECT setval('public.s', 5) AS n", (), "blue: cannot execute setval() in a read-only transaction"),
        ("SELECT public.evil() AS n", (), "blue: cannot execute DELETE in a read-only transaction"),
        ("SELECT $1::int AS n", (), "blue: the statement takes a parameter"),
        ("SELECT 1/0 AS n", (), "blue: division by zero"),
        ("SELECT pg_sleep(20) AS n", (), "blue: took longer than 1 s"),
    ],
)
async def test_what_cannot_be_compared_has_failed_with_its_reason(two: Two, sql: str, key: tuple[str, ...], said: str) -> None:
    evil = "CREATE FUNCTION evil() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM public.sale RETURNING 1'"
    for side in (two.blue, two.green):
        await run(side, "CREATE SEQUENCE s", evil)
    found = await two.check(Metric("m", sql, key, timeout=1.0 if "sleep" in sql else 30.0))
    assert found.verdict is CheckVerdict.FAILED
    assert found.reason.startswith(said), found.reason
    assert found.outcome is Outcome.NOT_PROVEN
    assert found.seconds < 10
    assert (await two.metric("SELECT count(*) AS n FROM public.sale")).differing == ()
    assert (await two.check(Spot("left", "SELECT count(*) FROM public.sale", ((Decimal(5),),)))).verdict is CheckVerdict.EQUAL


async def test_a_side_that_cannot_be_reached_proves_nothing(two: Two) -> None:
    gone = replace(two, green=replace(two.green, port=1))
    found = await gone.metric(BY_REGION, "region")
    assert found.verdict is CheckVerdict.FAILED
    assert found.reason.startswith("green: ")


async def test_columns_that_differ(two: Two) -> None:
    await run(two.green, "ALTER TABLE sale RENAME qty TO quantity")
    found = await two.metric("SELECT * FROM public.sale", "region")
    assert (found.verdict, found.outcome) == (CheckVerdict.DIFFERS, Outcome.DIFFERENT)
    assert (
        found.reason == "the columns differ: blue gives region, at, amount, qty, weight; green gives region, at, amount, quantity, weight"
    )


async def test_nothing_is_left_on_a_server(two: Two) -> None:
    await two.metric(BY_REGION, "region")
    await two.check(Metric("m", "SELECT pg_sleep(20) AS n", timeout=0.5))
    for side in (two.blue, two.green):
        connection = await connect(side)
        try:
            ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cockpit-recon' AND datname = current_database() AND state <> 'idle'"
            assert await connection.fetchval(ours) == 0
        finally:
            await connection.close()


async def test_the_shipped_checks_on_the_drills_schema(blue16: Server, green18: Server, make_database: MakeDatabase) -> None:
    both = Two(await make_database(blue16, "checks_arp"), await make_database(green18, "checks_arp"))
    for side in (both.blue, both.green):
        await run(side, ARP_SCHEMA, ARP_ROWS)
    checks = load_scenario("arp").checks
    results = await run_checks(pair(both.blue, both.green), checks, both.told.append)
    assert [(r.name, r.verdict, r.rows) for r in results.results] == [
        ("payments_by_month", CheckVerdict.EQUAL, 5),
        ("orders_by_status", CheckVerdict.EQUAL, 5),
        ("currencies", CheckVerdict.EQUAL, 1),
    ]
    assert render(results).splitlines()[-1] == "checks: equal (3 equal)"
    await run(both.green, "DELETE FROM sales.payment WHERE id = 70")
    await run(both.green, """UPDATE sales."Order" SET status = 'cancelled' WHERE id = 3""")
    results = await run_checks(pair(both.blue, both.green), checks, both.told.append)
    payments, orders, _ = results.results
    assert results.outcome is Outcome.DIFFERENT
    assert [(d.key, d.blue, d.green) for d in payments.differing] == [
        ("month=2024-03-01", "payments=31, total=2356.00", "payments=30, total=2286.00")
    ]
    assert [d.key for d in orders.differing] == ["status=cancelled", "status=closed"]


ARP_SCHEMA = Path("cockpit/drill/arp_schema.sql").read_text()
ARP_ROWS = """
INSERT INTO core.currency SELECT 'C' || chr(64 + g) || 'X' FROM generate_series(1, 20) g;
INSERT INTO core.customer (public_id, name, created) VALUES (gen_random_uuid(), 'c', now());
INSERT INTO sales."Order" (id, customer_id, status, "Total")
SELECT g, 1, (enum_range(NULL::sales.order_status))[1 + g % 5], g * 1.25 FROM generate_series(1, 100) g;
INSERT INTO sales.payment (id, paid_on, order_id, amount) SELECT g, date '2023-12-31' + g, g, g FROM generate_series(1, 130) g;
"""

Expect = tuple[tuple[Literal, ...], ...] | None


@pytest.mark.parametrize(
    ("sql", "expect", "verdict"),
    [
        ("SELECT region, qty FROM public.sale", None, CheckVerdict.EQUAL),
        ("SELECT sum(amount) FROM public.sale", ((Decimal(11),),), CheckVerdict.EQUAL),
        ("SELECT sum(amount) FROM public.sale", ((Decimal(12),),), CheckVerdict.DIFFERS),
        ("SELECT max(region), NULL, true FROM public.sale", (("north", None, True),), CheckVerdict.EQUAL),
        ("SELECT region, qty FROM public.sale WHERE qty > 3", ((None, Decimal(5)), (None, Decimal(4))), CheckVerdict.EQUAL),
        ("SELECT region, qty FROM public.sale WHERE qty > 3", ((None, Decimal(5)),), CheckVerdict.DIFFERS),
        ("SELECT qty FROM public.sale WHERE qty > 99", (), CheckVerdict.EQUAL),
        ("SELECT qty FROM public.sale WHERE qty > 4", (), CheckVerdict.DIFFERS),
        ("SELECT qty FROM public.sale WHERE qty > 99", None, CheckVerdict.FAILED),
        ("SELECT qty FROM public.sale WHERE qty > 4", ((Decimal(5), Decimal(5)),), CheckVerdict.FAILED),
    ],
)
async def test_a_spot_check(two: Two, sql: str, expect: Expect, verdict: CheckVerdict) -> None:
    found = await two.check(Spot("s", sql, expect))
    assert (found.verdict, found.kind) == (verdict, "spot")


async def test_a_spot_check_that_both_sides_get_wrong_says_what_was_expected(two: Two) -> None:
    found = await two.check(Spot("s", "SELECT sum(amount) AS total FROM public.sale", ((Decimal(12),),)))
    assert (found.reason, found.differing[0].blue, found.differing[0].green) == ("expected total=12", "total=11.00", "total=11.00")


# --- while replication runs -------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def live(small_pair: SmallPair) -> AsyncIterator[Two]:
    yield Two(*await small_pair("checks_live"))


MOVING = "SELECT sum(balance) AS total, count(*) AS n, max(changed) AS newest FROM public.account"
STILL = 'SELECT left("Key", 2) AS k, count(*) AS n FROM "Odd Schema"."Täble" GROUP BY 1'


async def test_under_load_lag_is_no_difference_and_a_difference_is_one(live: Two) -> None:
    async with load(live.blue, rate=300) as running:
        assert (await live.metric(STILL, "k")).verdict is CheckVerdict.EQUAL
        # Groups that move, and more of them than can be seen unchanged at once: each is settled when it was seen equal.
        spread = await live.metric("SELECT id % 200 AS bucket, sum(balance) AS total FROM public.account WHERE id > 0 GROUP BY 1", "bucket")
        assert spread.verdict in {CheckVerdict.EQUAL, CheckVerdict.HOT}
        moving = await live.metric(MOVING)
        assert moving.verdict in {CheckVerdict.EQUAL, CheckVerdict.HOT}, "what moves is never called different"
        await run(live.blue, "ALTER SUBSCRIPTION cockpit_t_rev DISABLE")
        await run(live.green, """DELETE FROM "Odd Schema"."Täble" WHERE "Key" = 'k17'""")
        found = await live.metric(STILL, "k")
        assert (found.verdict, [d.key for d in found.differing]) == (CheckVerdict.DIFFERS, ["k=k1"])
        assert found.looks > 1
        assert running.transactions
    await drained(live.blue, live.green)
    assert (await live.metric(MOVING)).verdict is CheckVerdict.EQUAL


async def test_what_moves_too_fast_is_hot(live: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of which every reading is another one, on a side whose replication is long through."""
    found = await live.metric("SELECT clock_timestamp() AS now")
    assert (found.verdict, found.outcome, found.looks) == (CheckVerdict.HOT, Outcome.NOT_PROVEN, metrics.LOOKS + 1)
    assert "moves faster" in found.reason
    assert found.differing[0].blue != found.differing[0].green


async def test_a_mirror_that_stands_still_makes_no_difference_of_lag(live: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "WAIT_S", 0.3)
    await run(live.green, "ALTER SUBSCRIPTION cockpit_t_fwd DISABLE")
    await run(live.blue, "UPDATE account SET balance = 0 WHERE id = 7")
    found = await live.metric("SELECT sum(balance) AS total FROM public.account")
    assert found.verdict is CheckVerdict.FAILED
    assert found.reason.startswith("unequal, and green does not move on")
    await run(live.green, "ALTER SUBSCRIPTION cockpit_t_fwd ENABLE")
    await drained(live.blue, live.green)
    assert (await live.metric("SELECT sum(balance) AS total FROM public.account")).verdict is CheckVerdict.EQUAL


async def test_a_reading_that_lags_is_settled_by_the_fence(live: Two) -> None:
    """Written and at once asked: the first look may see green behind, the verdict may not."""
    for number in range(10):
        await run(live.blue, f"UPDATE account SET balance = balance + {number} WHERE id % 7 = 0")
        assert (await live.metric("SELECT sum(balance) AS total FROM public.account")).verdict is CheckVerdict.EQUAL
