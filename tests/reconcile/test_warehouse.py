"""Two schemas of one warehouse, by real dbt on a real server: what was planted is found and named, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.checks import DbtProgress, DbtResult, DbtSpec, DbtTarget, DifferingRow, Outcome, RelationResult, Warehouse
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint
from cockpit.reconcile.checks import process, render_dbt, run_dbt
from cockpit.reconcile.checks.asking import write
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import run

PROJECT = Path(__file__).parent / "dbt_arp"
pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


@dataclass
class TwoSchemas:
    end: Endpoint
    spec: DbtSpec

    async def fill(self, *statements: str) -> None:
        """The statements for `old`, then for `new`, each in place of `{s}`."""
        for schema in ("old", "new"):
            await run(self.end, f"CREATE SCHEMA {schema}", *(statement.replace("{s}", schema) for statement in statements))

    async def compare(self, warehouse: Warehouse) -> tuple[DbtResult, dict[str, RelationResult], list[DbtProgress]]:
        told: list[DbtProgress] = []
        spec = DbtSpec(**{**{name: getattr(self.spec, name) for name in self.spec.__slots__}, "warehouse": warehouse})
        result = await run_dbt(spec, told.append)
        assert all(line.isprintable() for line in render_dbt(result).split("\n"))
        assert result.failed == ()
        return result, {relation.name: relation for relation in result.relations}, told


@pytest_asyncio.fixture
async def two(blue16: Server, make_database: MakeDatabase) -> TwoSchemas:
    end = await make_database(blue16, "warehouse")
    assert end.password is not None
    texts = {"ARP_HOST": end.host, "ARP_USER": end.user, "ARP_DATABASE": end.database, "ARP_BLUE_PORT": str(end.port)}
    env = {**{name: Secret(text) for name, text in texts.items()}, "ARP_BLUE_PASSWORD": end.password}
    env |= {"ARP_GREEN_PORT": env["ARP_BLUE_PORT"], "ARP_GREEN_PASSWORD": end.password}
    target = DbtTarget("blue")
    return TwoSchemas(end, DbtSpec(str(PROJECT), str(PROJECT / "profiles"), target, target, commands=(), timeout=240, env=env))


async def test_every_relation_of_both_schemas(two: TwoSchemas) -> None:
    await two.fill(*FILLED)
    await run(two.end, *PLANTED)
    result, found, told = await two.compare(Warehouse("old", "new", WANTED, {"named": ("Id",), "no_such_key": ("nowhere",)}))
    assert result.outcome is Outcome.DIFFERENT
    same = found["customer_orders"]
    assert (same.in_a, same.in_b, same.identical, same.key, same.percent) == (100, 100, 100, ("customer_id",), 100.0)
    assert (same.outcome, same.rung, list(same.seconds)) == (Outcome.EQUAL, "hash", ["count", "hash"])
    keyed = found["keyed"]
    assert (keyed.in_a, keyed.in_b, keyed.identical, keyed.modified, keyed.only_a, keyed.only_b) == (1000, 1001, 997, 2, 1, 2)
    assert (keyed.key, keyed.rung, list(keyed.seconds)) == (("a", "b"), "sample", ["count", "hash", "columns", "sample"])
    assert keyed.differing == (
        DifferingRow("a=5, b=x5", "modified", ("v",)),
        DifferingRow("a=7, b=x7", "modified", ("at",)),
        DifferingRow("a=9, b=x9", "only_a"),
        DifferingRow("a=2000, b=''", "only_b"),
        DifferingRow("a=2001, b=x", "only_b"),
    )
    assert (keyed.differing_columns, keyed.differing_keys) == ({"at": 1, "v": 1}, 5)
    assert 99 < keyed.percent < 100
    bag = found["bag"]
    assert (bag.key, bag.in_a, bag.in_b, bag.identical, bag.only_a, bag.only_b, bag.modified) == ((), 4, 4, 3, 1, 1, 0)
    tested = found["orders_by_month"]
    assert (tested.key, tested.in_a, tested.in_b) == (("month",), 5, 5), "a test of the project names it, but it is twice there, and NULL"
    assert (tested.identical, tested.modified, tested.only_a, tested.only_b) == (3, 2, 0, 0)
    assert tested.differing == (DifferingRow("month=NULL", "modified", ("orders",)),)
    swapped = found["swapped"]
    assert (swapped.identical, swapped.modified) == (0, 2), "each column holds the same values, in other rows"
    assert swapped.differing_columns == {"x": 2}
    assert "left out" not in found
    assert found["nowhere"].columns == "neither schema has it"
    assert (found["gone"].columns, found["gone"].outcome) == ("only in old", Outcome.DIFFERENT)
    assert found["wider"].columns == "only in new: extra; n is integer in old and bigint in new"
    assert (found["wider"].identical, found["wider"].in_a) == (3, 3)
    assert found["broken"].failed.startswith("exit 1: ")
    assert "division by zero" in found["broken"].failed
    odd = found['Odd "{{ name }}" %s №']
    assert (odd.identical, odd.outcome) == (1, Outcome.EQUAL)
    assert (found["named"].key, found["named"].differing) == (("Id",), (DifferingRow("Id=2", "modified", ("x",)),))
    assert found["no_such_key"].failed == "checks.dbt.warehouse.keys names nowhere, which not both have"
    assert found["no_such_key"].outcome is Outcome.NOT_PROVEN
    assert [step.status for step in told if step.node == "keyed"] == ["count", "hash", "columns", "sample", "read"]
    for line in ("columns that differ: at in 1, v in 1", "a=5, b=x5: modified (v)", "a=9, b=x9: only a"):
        assert f"         {line}\n" in render_dbt(result)


WANTED = (
    *("bag", "broken", "customer_orders", "gone", "keyed", "named", "no_such_key", "nowhere", "orders_by_month"),
    *('Odd "{{ name }}" %s №', "swapped", "wider"),
)
FILLED = (
    "CREATE TABLE {s}.customer_orders AS SELECT g AS customer_id, g * 1.5 AS total FROM generate_series(1, 100) g",
    "CREATE TABLE {s}.keyed (v numeric, b text, a int, at timestamptz DEFAULT '2024-01-01', PRIMARY KEY (a, b))",
    "INSERT INTO {s}.keyed SELECT g, 'x' || g, g FROM generate_series(1, 1000) g",
    "CREATE TABLE {s}.bag (x text)",
    "INSERT INTO {s}.bag VALUES ('r'), ('r'), (NULL), ('s')",
    "CREATE TABLE {s}.swapped (id int PRIMARY KEY, x int, y int)",
    "INSERT INTO {s}.swapped VALUES (1, 10, 20), (2, 30, 40)",
    "CREATE TABLE {s}.orders_by_month (month date, orders int)",
    "INSERT INTO {s}.orders_by_month VALUES ('2024-01-01', 1), ('2024-01-01', 2), (NULL, 3), (NULL, 4), ('2024-02-01', 5)",
    "CREATE TABLE {s}.gone (id int)",
    'CREATE TABLE {s}."left out" (id int)',
    "CREATE TABLE {s}.wider (n int PRIMARY KEY)",
    "INSERT INTO {s}.wider VALUES (1), (2), (3)",
    "CREATE VIEW {s}.broken AS SELECT 1 / (random() * 0)::int AS n",
    'CREATE TABLE {s}."Odd ""{{ name }}"" %s №" ("{% endfor %}" text, "a""b" int)',
    """INSERT INTO {s}."Odd ""{{ name }}"" %s №" VALUES ('\\', 1)""",
    'CREATE TABLE {s}.named ("Id" int, x text)',
    "INSERT INTO {s}.named VALUES (1, 'a'), (2, 'b')",
    "CREATE TABLE {s}.no_such_key (id int)",
)
PLANTED = (
    "UPDATE new.keyed SET v = -v WHERE a = 5",
    "UPDATE new.keyed SET at = at + interval '1 microsecond' WHERE a = 7",
    "DELETE FROM new.keyed WHERE a = 9",
    "INSERT INTO new.keyed VALUES (1, '', 2000), (1, 'x', 2001)",
    "UPDATE new.bag SET x = 'r' WHERE x = 's'",
    "UPDATE new.swapped SET x = 40 - x",
    "UPDATE new.orders_by_month SET orders = 3 - orders WHERE month = '2024-01-01'",
    "UPDATE new.orders_by_month SET orders = 5 WHERE orders = 4",
    "DROP TABLE new.gone",
    "ALTER TABLE new.wider ALTER n TYPE bigint, ADD extra int",
    """UPDATE new.named SET x = '' WHERE "Id" = 2""",
)


async def test_a_project_of_the_users_climbs_the_ladder_without_the_cockpit(two: TwoSchemas, tmp_path: Path) -> None:
    await two.fill("CREATE TABLE {s}.t (id int, price numeric)", "INSERT INTO {s}.t SELECT g, g FROM generate_series(1, 9) g")
    await run(two.end, "UPDATE new.t SET price = 2.0 WHERE id = 2")
    write(tmp_path, [], "arp", "unused")
    said = process.Said(())
    told: list[str] = []
    asked = ["run-operation", "cockpit.compare", "--args", json.dumps({"a": ["old", "t"], "b": ["new", "t"], "key": ["id"]})]
    where = ["--project-dir", str(tmp_path), "--profiles-dir", str(PROJECT / "profiles"), "--target", "blue"]
    program = process.program(two.spec)
    assert program is not None
    argv = [program, *process.FLAGS, *asked, *where]
    code = await process.run(
        argv, process.environment(two.spec.env), tmp_path, said, lambda event: told.append(str(event["info"].get("msg")))
    )
    assert code == 0, said.last
    found = json.loads(next(text for text in told if text.startswith('{"rung"')))
    assert (found["rung"], found["in_a"], found["modified"], found["columns"]) == ("sample", 9, 1, {"price": 1})
    assert found["sample"] == [{"status": "modified", "key": ["2"], "columns": ["price"]}]
