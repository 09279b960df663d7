"""Business checks in a scenario and in a config: read as what they say, and every mistake told with its line."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from cockpit.config import Mistakes
from cockpit.model.checks import Checks, DbtTarget, Metric, Spot, Warehouse
from cockpit.model.secret import Secret
from cockpit.model.settings import Config, Scenario
from cockpit.scenario import load_scenario
from tests.quick import SHIPPED

from .conftest import GOOD

ARP = SHIPPED.read_text(encoding="utf-8")


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[[str], Scenario]:
    def of(more: str) -> Scenario:
        (tmp_path / "my.toml").write_text(ARP + more)
        return load_scenario(tmp_path / "my.toml")

    return of


def test_arp_asks_for_two_metrics_and_a_spot_check() -> None:
    found = load_scenario("arp").checks
    assert [(spot.name, spot.expect) for spot in found.spots] == [("currencies", ((Decimal(20),),))]
    assert [(metric.name, metric.key) for metric in found.metrics] == [("payments_by_month", ("month",)), ("orders_by_status", ("status",))]


def test_checks_as_they_are_written(tmp_path: Path) -> None:
    text = ARP[: ARP.index("[[checks.metric]]")] + CHECKS + ARP[ARP.index("\n[drill]") :]
    (tmp_path / "my.toml").write_text(text)
    assert load_scenario(tmp_path / "my.toml").checks == Checks(
        (Metric("m", "-- totals\n(SELECT 1 AS a, 2 AS b)", ("a",), {"b": Decimal("0.01"), "c": Decimal("1e-9")}, "M", 5.0),),
        (
            Spot("same", "TABLE public.x"),
            Spot("value", "select 1", ((Decimal(42),),)),
            Spot("word", "select 1", (("same",),)),
            Spot("row", "with x as (select 1) select 1", ((Decimal(1), "x", True, None, Decimal("2.5")),)),
            Spot("rows", "values (1)", ((Decimal(1),), (Decimal(2),))),
            Spot("none", "select 1", ()),
        ),
    )


CHECKS = """
[[checks.metric]]
name = "m"
title = "M"
sql = "-- totals\\n(SELECT 1 AS a, 2 AS b)"
key = ["a"]
tolerance = { b = 0.01, c = "1e-9" }
timeout = 5
[[checks.spot]]
name = "same"
sql = "TABLE public.x"
[[checks.spot]]
name = "value"
sql = "select 1"
expect = 42
[[checks.spot]]
name = "word"
sql = "select 1"
expect = ["same"]
[[checks.spot]]
name = "row"
sql = "with x as (select 1) select 1"
expect = [1, "x", true, { null = true }, 2.5]
[[checks.spot]]
name = "rows"
sql = "values (1)"
expect = [[1], [2]]
[[checks.spot]]
name = "none"
sql = "select 1"
expect = []
"""


def test_the_digest_is_of_the_checks_too(scenario: Callable[[str], Scenario]) -> None:
    one = scenario('[[checks.spot]]\nname = "s"\nsql = "select 1"\n')
    other = scenario('[[checks.spot]]\nname = "s"\nsql = "select 2"\n')
    assert len({one.digest, other.digest, load_scenario("arp").digest}) == 3


LINE = ARP.count("\n") + 1
METRIC = '[[checks.metric]]\nname = "m"\nsql = "select 1"\n'
SPOT = '[[checks.spot]]\nname = "s"\nsql = "select 1"\n'


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ('[[checks.metric]]\nname = "m"\n', 0, "checks.metric[3].sql is missing: add it"),
        ('[[checks.metric]]\nsql = "select 1"\n', 0, "checks.metric[3].name is missing: add it"),
        (METRIC.replace("select 1", "delete from x"), 2, "checks.metric[3].sql: must be one SELECT"),
        (METRIC.replace("select 1", "selection"), 2, "checks.metric[3].sql: must be one SELECT"),
        (METRIC.replace("select 1", "/* select */ drop x"), 2, "checks.metric[3].sql: must be one SELECT"),
        (METRIC + 'keys = ["a"]\n', 3, "checks.metric[3].keys is not a key of this file: did you mean key?"),
        (METRIC + 'key = "a"\n', 3, "checks.metric[3].key must be a list in [ ]"),
        (METRIC + 'key = ["a", "a"]\n', 3, "checks.metric[3].key names a column twice"),
        (METRIC + "tolerance = 0.1\n", 3, "checks.metric[3].tolerance must be a table"),
        (METRIC + "tolerance = { a = 0 }\n", 3, "checks.metric[3].tolerance.a: must be a number above 0"),
        (METRIC + "tolerance = { a = inf }\n", 3, "checks.metric[3].tolerance.a: must be a number above 0"),
        (METRIC + "tolerance = { a = true }\n", 3, "checks.metric[3].tolerance.a: must be a number, such as 0.01"),
        (METRIC + 'tolerance = { a = "1 %" }\n', 3, "checks.metric[3].tolerance.a: must be a number, such as 0.01"),
        (METRIC + 'key = ["a"]\ntolerance = { a = 1 }\n', 4, "checks.metric[3].tolerance.a is a key column"),
        (METRIC + "timeout = 0\n", 3, "checks.metric[3].timeout"),
        (METRIC + "timeout = 1e9\n", 3, "checks.metric[3].timeout"),
        (METRIC.replace('"m"', '"payments_by_month"'), 1, "checks.metric[3].name: payments_by_month is taken on line"),
        (METRIC.replace('"m"', '"a\\u001bb"'), 1, "checks.metric[3].name: must not hold control or invisible characters"),
        (SPOT.replace('"s"', '"orders_by_status"'), 1, "checks.spot[2].name: orders_by_status is taken on line"),
        (SPOT + "expect = { a = 1 }\n", 3, 'checks.spot[2].expect: must be "same", a value, a row'),
        (SPOT + "expect = [[1], 2]\n", 3, 'checks.spot[2].expect: must be "same", a value, a row'),
        (SPOT + "expect = nan\n", 3, "checks.spot[2].expect: must not hold nan or inf"),
        (SPOT + "tolerance = { a = 1 }\n", 3, "checks.spot[2].tolerance is not a key of this file"),
        ("[checks.metrics]\n", 0, "checks.metrics is not a key of this file: did you mean metric?"),
        ("[[checks.spot]]\n", 0, "checks.spot[2].name is missing"),
    ],
)
def test_a_scenarios_mistakes(scenario: Callable[[str], Scenario], text: str, at: int, said: str) -> None:
    with pytest.raises(Mistakes) as caught:
        scenario(text)
    (line,) = [line for line in caught.value.mistakes if said in line]
    assert f"my.toml:{LINE + at}: {said}" in line


# --- a config's dbt project -------------------------------------------------------------------------------

DBT = """
[checks.dbt]
project = "analytics"
profiles = "profiles"
blue = { target = "legacy" }
green = { target = "new", profile = "other" }
select = ["tag:daily"]
commands = ["build", "test"]
timeout = 60
at_once = false
program = "venv/bin/dbt"
[checks.dbt.env]
DBT_PASSWORD = "env:POOL"
[checks.dbt.warehouse]
blue = "analytics_legacy"
green = "analytics_new"
keys = { orders = ["id", "day"] }
"""


def test_a_dbt_project(load: Callable[[str], Config], tmp_path: Path) -> None:
    found = load(GOOD + DBT).dbt
    assert found is not None
    assert (found.project, found.profiles, found.program) == (f"{tmp_path}/analytics", f"{tmp_path}/profiles", f"{tmp_path}/venv/bin/dbt")
    assert (found.blue, found.green) == (DbtTarget("legacy"), DbtTarget("new", "other"))
    assert (found.select, found.commands, found.timeout, found.at_once) == (("tag:daily",), ("build", "test"), 60.0, False)
    assert found.env == {"DBT_PASSWORD": Secret("pool-secret")}
    assert found.warehouse == Warehouse("analytics_legacy", "analytics_new", keys={"orders": ("id", "day")})
    assert "pool-secret" not in repr(found)
    assert load(GOOD).dbt is None
    assert load(GOOD + DBT.replace('"venv/bin/dbt"', '"dbt"')).dbt.program == "dbt"  # type: ignore[union-attr]


def test_the_example_is_right(load: Callable[[str], Config]) -> None:
    text = Path("config.example.toml").read_text()
    part = text[text.index("# [checks.dbt]") : text.index('# --- the pair "arp"')]
    found = load(GOOD + "\n".join(line.removeprefix("# ") for line in part.splitlines()).replace("file:dbt.secret", "env:POOL")).dbt
    assert found is not None
    assert (found.commands, found.timeout, found.at_once, found.pair) == (("test",), 900.0, True, "arp")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('profiles = "profiles"\n', "", "checks.dbt.profiles is missing: add it"),
        ('blue = { target = "legacy" }\n', "", "checks.dbt.blue is missing: add it"),
        ('{ target = "legacy" }', '"legacy"', "checks.dbt.blue must be a table"),
        ('{ target = "legacy" }', '{ target = "--help" }', "checks.dbt.blue.target: must not begin with -"),
        ('"tag:daily"', '"--vars"', "checks.dbt.select[1]: must not begin with -"),
        ('"build", "test"', '"run-operation"', "checks.dbt.commands[1]: should be 'build', 'run', 'seed', 'snapshot' or 'test'"),
        ("timeout = 60", "timeout = 0", "checks.dbt.timeout"),
        ('"env:POOL"\n[checks', '"pool-secret"\n[checks', "checks.dbt.env.DBT_PASSWORD: a secret does not stand in this file"),
        ("DBT_PASSWORD =", '"A=B" =', "checks.dbt.env.A=B"),
        ("at_once = false", "at_once = 1", "checks.dbt.at_once must be true or false"),
        ("at_once = false", 'pair = "otc"', "checks.dbt.pair: no pair is named otc; there is arp"),
        ("at_once = false", "at_one = false", "checks.dbt.at_one is not a key of this file: did you mean at_once?"),
        ('{ target = "new", profile = "other" }', '{ target = "legacy" }', "checks.dbt.green is the same target as blue's"),
        ('"analytics_new"', '"analytics_legacy"', "checks.dbt.warehouse: blue and green are the same schema"),
        ("[checks.dbt]", "[checks.dbtt]", "checks.dbtt is not a key of this file: did you mean dbt?"),
    ],
)
def test_a_configs_mistakes(mistakes: Callable[..., tuple[str, ...]], right: str, wrong: str, said: str) -> None:
    text = GOOD + DBT
    assert right in text
    found = mistakes(text.replace(right, wrong, 1))
    assert any(said in line and line.startswith("my.toml:") for line in found), found
    assert "pool-secret" not in "\n".join(found)


def test_with_several_pairs_it_says_whose_it_is(mistakes: Callable[..., tuple[str, ...]], load: Callable[[str], Config]) -> None:
    several = GOOD + GOOD[GOOD.index("[pairs.arp]") :].replace("pairs.arp", "pairs.otc")
    assert any("checks.dbt.pair is missing: the config has several pairs" in line for line in mistakes(several + DBT))
    found = load(several + DBT.replace("at_once = false", 'pair = "otc"')).dbt
    assert found is not None
    assert found.pair == "otc"


def test_nothing_to_run_and_nothing_to_compare(mistakes: Callable[..., tuple[str, ...]]) -> None:
    text = GOOD + DBT[: DBT.index("[checks.dbt.warehouse]")].replace('"build", "test"', "")
    assert any("checks.dbt.commands names none" in line for line in mistakes(text))
