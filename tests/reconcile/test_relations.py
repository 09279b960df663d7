"""What is known of relations before their rows are read, and what the ladder's answers amount to: without dbt and without a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cockpit.model.checks import DbtProgress, DifferingRow, Outcome, RelationResult, Warehouse
from cockpit.reconcile.checks.asking import Asker
from cockpit.reconcile.checks.process import Each
from cockpit.reconcile.checks.relations import MOVED, Relation, compare_schemas, plan, project_keys, read

ANSWER = {
    **{"in_a": 5, "in_b": 5, "rung": "sample", "differing": 2, "modified": 1, "only_a": 1, "only_b": 1, "moved": False},
    **{"columns": {"v": 1}, "seconds": {"count": 0.1, "hash": 0.2}, "sample": [{"status": "modified", "key": ["7"], "columns": ["v"]}]},
}
BASE = RelationResult("t", key=("id",))


def test_what_the_ladder_says_is_read() -> None:
    found = read(BASE, ANSWER)
    assert (found.identical, found.modified, found.only_a, found.only_b, found.differing_keys) == (3, 1, 1, 1, 2)
    assert (found.differing, found.differing_columns) == ((DifferingRow("id=7", "modified", ("v",)),), {"v": 1})
    assert found.outcome is Outcome.DIFFERENT


@pytest.mark.parametrize(
    "said",
    [
        {"moved": True},
        {"in_b": 6},
        {"in_a": 1, "in_b": 1},
        {"modified": 0, "only_a": 0, "only_b": 0, "in_b": 4},
    ],
)
def test_rungs_that_contradict_each_other_prove_nothing(said: Mapping[str, Any]) -> None:
    found = read(BASE, {**ANSWER, **said})
    assert (found.failed, found.outcome) == (MOVED, Outcome.NOT_PROVEN)


@pytest.mark.parametrize(
    "said", [{"in_a": None}, {"in_a": "x"}, {"sample": 3}, {"sample": [{"key": []}]}, {"columns": []}, {"seconds": {"count": "x"}}]
)
def test_what_is_no_answer_is_a_failure(said: Mapping[str, Any]) -> None:
    found = read(BASE, {**ANSWER, **said})
    assert found.failed.startswith("the answer is not what was asked for: ")
    assert found.outcome is Outcome.NOT_PROVEN


def test_a_text_that_could_be_taken_for_something_else_stands_in_quotes() -> None:
    keys = [None, "", " a", "NULL", "a", "\x1b[2J"]
    found = read(BASE, {**ANSWER, "sample": [{"status": "only_a", "key": [key], "columns": []} for key in keys]})
    assert [row.key for row in found.differing] == ["id=NULL", "id=''", "id=' a'", "id='NULL'", "id=a", "id=^[[2J"]


def test_the_project_says_what_names_a_row() -> None:
    nodes = {
        "model.a": {"alias": "configured", "config": {"unique_key": "id"}},
        "model.b": {"alias": "constrained", "constraints": [{"type": "check"}, {"type": "primary_key", "columns": ["x", "y"]}]},
        "model.c": {"alias": "both", "config": {"unique_key": ["p", "q"]}},
        "model.d": {"alias": "silent", "config": {"unique_key": None}},
        "test.c": {"test_metadata": {"name": "unique", "kwargs": {"column_name": "t"}}, "attached_node": "model.c"},
        "test.e": {"test_metadata": {"name": "unique", "kwargs": {}}, "attached_node": "model.d"},
    }
    source = {"identifier": "sourced"}
    combined = {"name": "unique_combination_of_columns", "kwargs": {"combination_of_columns": ["k", "l"]}}
    nodes["test.f"] = {"test_metadata": combined, "attached_node": "source.s"}
    assert project_keys({"nodes": nodes, "sources": {"source.s": source}}) == {
        "configured": ("id",),
        "constrained": ("x", "y"),
        "both": ("t",),
        "sourced": ("k", "l"),
    }


def relation(schema: str, key: tuple[str, ...] = (), **columns: str) -> Relation:
    return Relation(schema, "t", columns, key)


@pytest.mark.parametrize(
    ("a_key", "b_key", "named", "said", "key"),
    [
        (("id",), ("id",), None, ("v",), ["id"]),
        (("id",), ("id",), ("v",), (), ["v"]),
        (("id",), ("v",), None, ("v",), ["v"]),
        (("id",), (), None, (), []),
        ((), (), None, ("nowhere",), []),
        ((), (), None, ("up",), ["UP"]),
    ],
)
def test_the_config_comes_before_the_warehouse_and_that_before_the_project(
    a_key: tuple[str, ...], b_key: tuple[str, ...], named: tuple[str, ...] | None, said: tuple[str, ...], key: list[str]
) -> None:
    columns = {"id": "integer", "v": "text", "UP": "text"}
    found = plan("t", relation("old", a_key, **columns), relation("new", b_key, **columns), named, said)
    assert found.job["key"] == key


def test_columns_of_two_types_go_by_their_text() -> None:
    found = plan("t", relation("old", id="integer", x="a"), relation("new", id="bigint", x="a"), None, ())
    assert found.job["columns"] == [{"name": "id", "type": ""}, {"name": "x", "type": "a"}]
    assert found.base.columns == "id is integer in old and bigint in new"


async def test_a_warehouse_that_nobody_has_words_for_is_told(tmp_path: Path) -> None:
    async def ask(folder: Path, each: Each) -> tuple[int, str]:
        raise AssertionError("nothing is to be asked")

    told: list[DbtProgress] = []
    with pytest.raises(ValueError, match=r"they are compared on postgres, redshift, snowflake, and this project's adapter is duckdb"):
        await compare_schemas(Warehouse("a", "b"), "p", {"metadata": {"adapter_type": "duckdb"}}, Asker(ask, tmp_path, told.append))
    assert told == []


async def test_an_answer_that_is_none_is_no_answer(tmp_path: Path) -> None:
    """Whatever stands in dbt's log: only what comes behind the mark, as JSON, counts; and dbt's own last word says why there is no more."""

    async def ask(folder: Path, each: Each) -> tuple[int, str]:
        mark = (folder / "macros" / "ask.sql").read_text().rsplit('"', 2)[1]
        for text in ("rows", f"{mark}no json", f"{mark}[]", f'{mark}{{"rung": "count"}}', f'{mark}{{"answer": 3}}', 5):
            each({"info": {"msg": text}, "data": {}})
        return 1, "boom"

    told: list[DbtProgress] = []
    found = await Asker(ask, tmp_path, told.append).answers([{"catalog": ["a"]}, {"catalog": ["b"]}], "p", ["one", "two"], 4)
    assert (found.answers, found.failed) == ([3], "exit 1: boom")
    assert [(step.number, step.total, step.node, step.status) for step in told] == [(5, 6, "one", "count"), (5, 6, "one", "read")]
