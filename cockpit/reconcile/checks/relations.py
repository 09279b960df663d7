"""Two schemas of one warehouse, relation by relation: how many rows are identical, which keys are not, and in which columns.

Each relation climbs the ladder of our dbt package (`dbt_package/macros/ladder.sql`): row counts, a keyed set hash, the columns that differ,
the differing keys; it ends at the rung that proves it equal. What names a row is what the config says, else the primary key that both
schemas have, else what the project says: the key of a `unique` test, a model's `unique_key` or its primary key constraint. That it really
is unique nobody has to know: rows are grouped by it, and a key that is there twice counts twice. Without a key rows are a multiset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cockpit.model.checks import DifferingRow, RelationResult, Warehouse
from cockpit.model.text import plain
from cockpit.reconcile.checks.asking import Asker, Job

ADAPTERS = ("postgres", "redshift", "snowflake")
COUNTS = ("in_a", "in_b", "differing", "modified", "only_a", "only_b")
RESTARTS = 5
"""Relations that may fail before the rest is left unasked: each costs a start of dbt."""
MOVED = "it changed while it was read, so nothing is proven: compare again when nothing writes"


@dataclass(frozen=True, slots=True)
class Relation:
    schema: str
    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """By name the type, as the warehouse shows it."""
    key: tuple[str, ...] = ()


async def compare_schemas(warehouse: Warehouse, profile: str, manifest: Mapping[str, Any], asker: Asker) -> list[RelationResult]:
    """Every relation of both schemas, or those that the config names. `ValueError` says why none could be compared."""
    adapter = _text(manifest.get("metadata"), "adapter_type")
    if adapter not in ADAPTERS:
        raise ValueError(f"they are compared on {', '.join(ADAPTERS)}, and this project's adapter is {plain(adapter) or 'unknown'}")
    asked = await asker.answers([{"catalog": [warehouse.blue, warehouse.green]}], profile, ["catalog"])
    if asked.failed:
        raise ValueError(f"the catalog could not be read: {asked.failed}")
    found = relations(asked.answers[0])
    a, b = ({r.name: r for r in found if r.schema == schema} for schema in (warehouse.blue, warehouse.green))
    names = sorted(warehouse.relations or a.keys() | b.keys())
    if not names:
        raise ValueError(f"neither {plain(warehouse.blue)} nor {plain(warehouse.green)} holds a relation")
    keys = project_keys(manifest)
    plans = [plan(name, a.get(name), b.get(name), warehouse.keys.get(name), _of(keys, name)) for name in names]
    return await _compared(plans, profile, asker)


def _text(item: object, key: str) -> str:
    found = item.get(key) if isinstance(item, Mapping) else None
    return found if isinstance(found, str) else ""


def _of(keys: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    """By the name as it is, else as a warehouse that folds names to upper case has it."""
    return keys.get(name) or next((key for other, key in keys.items() if other.upper() == name), ())


def relations(rows: Sequence[Sequence[Any]]) -> list[Relation]:
    """Of the catalog's rows: schema, relation, column, type, place in the primary key."""
    columns: dict[tuple[str, str], dict[str, str]] = {}
    keys: dict[tuple[str, str], dict[int, str]] = {}
    for schema, name, column, shown, place in rows:
        of = columns.setdefault((schema, name), {})
        if column is not None:
            of[column] = shown
        if place is not None:
            keys.setdefault((schema, name), {})[place] = column
    return [Relation(*at, of, tuple(column for _, column in sorted(keys.get(at, {}).items()))) for at, of in columns.items()]


def project_keys(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """By relation, the columns that the project says name a row: of a `unique` test, else of the model's own config or constraint."""
    nodes = {**(manifest.get("nodes") or {}), **(manifest.get("sources") or {})}
    found: dict[str, tuple[str, ...]] = {}
    for said in (_tested, _configured):
        for name in sorted(nodes):
            for relation, columns in said(nodes[name], nodes):
                if relation and columns and all(columns):
                    found.setdefault(relation, columns)
    return found


def _tested(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    test = node.get("test_metadata") or {}
    arguments = test.get("kwargs") or {}
    on = nodes.get(node.get("attached_node") or "", {})
    relation = _text(on, "alias") or _text(on, "identifier")
    if test.get("name") == "unique":
        yield relation, (_text(arguments, "column_name"),)
    elif test.get("name") == "unique_combination_of_columns":
        yield relation, tuple(map(str, arguments.get("combination_of_columns") or ()))


def _configured(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    relation = _text(node, "alias") or _text(node, "identifier")
    said = (node.get("config") or {}).get("unique_key") or ()
    yield relation, (said,) if isinstance(said, str) else tuple(map(str, said))
    for constraint in node.get("constraints") or ():
        if constraint.get("type") == "primary_key":
            yield relation, tuple(map(str, constraint.get("columns") or ()))


@dataclass(frozen=True, slots=True)
class Planned:
    """What is known of a relation before its rows are read; `job` is empty where they are not."""

    base: RelationResult
    job: Job = field(default_factory=dict)


def plan(name: str, a: Relation | None, b: Relation | None, named: tuple[str, ...] | None, said: tuple[str, ...]) -> Planned:
    """`named` is the key of the config, which must be there; `said` is the project's, taken where its columns are."""
    shown = plain(name, 120)
    if a is None or b is None:
        where = "neither schema has it" if a is b else f"only in {plain((a or b).schema)}"  # type: ignore[union-attr]
        return Planned(RelationResult(shown, columns=where))
    common = [c for c in a.columns if c in b.columns]
    if not common:
        return Planned(RelationResult(shown, columns="no column in common"))
    columns = _columns(a, b)
    key = _key(common, (named,) if named else (a.key if a.key == b.key else (), said))
    if named and not key:
        wanted = plain(", ".join(named), 200)
        return Planned(RelationResult(shown, columns=columns, failed=f"checks.dbt.warehouse.keys names {wanted}, which not both have"))
    typed = [{"name": c, "type": a.columns[c] if a.columns[c] == b.columns[c] else ""} for c in common]
    job = {"a": [a.schema, a.name], "b": [b.schema, b.name], "columns": typed, "key": list(key)}
    return Planned(RelationResult(shown, key=key, columns=columns), job)


def _key(common: Sequence[str], said: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The first of which both relations have every column, by their own names."""
    for key in said:
        own = tuple(c if c in common else c.upper() for c in key)
        if own and set(own) <= set(common):
            return own
    return ()


def _columns(a: Relation, b: Relation) -> str:
    """How the columns differ; empty where they do not."""
    said = []
    for one, other in ((a, b), (b, a)):
        if extra := [c for c in one.columns if c not in other.columns]:
            said.append(f"only in {plain(one.schema)}: {', '.join(plain(c, 63) for c in extra[:10])}")
    for name, shown in a.columns.items():
        if name in b.columns and b.columns[name] != shown:
            said.append(f"{plain(name, 63)} is {plain(shown)} in {plain(a.schema)} and {plain(b.columns[name])} in {plain(b.schema)}")
    return "; ".join(said[:10])


async def _compared(plans: Sequence[Planned], profile: str, asker: Asker) -> list[RelationResult]:
    """Each plan's result; a statement that fails takes only its own relation with it."""
    open_plans = [p for p in plans if p.job]
    done = {p.base.name: p.base for p in plans if not p.job}
    for _ in range(RESTARTS):
        if not open_plans:
            break
        names = [p.base.name for p in open_plans]
        asked = await asker.answers([p.job for p in open_plans], profile, names, len(plans) - len(open_plans))
        for planned, answer in zip(open_plans, asked.answers, strict=False):
            done[planned.base.name] = read(planned.base, answer)
        open_plans = open_plans[len(asked.answers) :]
        if open_plans:
            failing, *open_plans = open_plans
            done[failing.base.name] = replace(failing.base, failed=asked.failed)
    for left in open_plans:
        done[left.base.name] = replace(left.base, failed=f"not read: {RESTARTS} relations before it could not be")
    return [done[p.base.name] for p in plans]


def read(base: RelationResult, answer: Mapping[str, Any]) -> RelationResult:
    """The ladder's answer. What is no answer, or contradicts itself, is a failure: nothing was proven by it."""
    try:
        in_a, in_b, differing, modified, only_a, only_b = (int(answer[name]) for name in COUNTS)
        found = replace(
            base,
            in_a=in_a,
            in_b=in_b,
            identical=in_a - modified - only_a,
            modified=modified,
            only_a=only_a,
            only_b=only_b,
            differing_keys=differing if base.key else 0,
            differing_columns={plain(name, 63): int(count) for name, count in answer["columns"].items()},
            differing=tuple(_row(base.key, row) for row in answer["sample"]) if base.key else (),
            rung=plain(answer["rung"], 20),
            seconds={plain(rung, 20): float(took) for rung, took in answer["seconds"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        return replace(base, failed=f"the answer is not what was asked for: {type(err).__name__}")
    if answer.get("moved") or found.identical < 0 or found.identical != in_b - modified - only_b:
        return replace(base, failed=MOVED)
    return found


def _row(key: Sequence[str], row: Mapping[str, Any]) -> DifferingRow:
    values = (f"{plain(name, 63)}={_value(value)}" for name, value in zip(key, row["key"], strict=True))
    return DifferingRow(plain(", ".join(values), 200), plain(row["status"], 20), tuple(plain(c, 63) for c in row["columns"]))


def _value(text: str | None) -> str:
    """A text in quotes where it could be taken for something else."""
    if text is None:
        return "NULL"
    return f"'{plain(text)}'" if text.strip() != text or text in {"", "NULL"} else plain(text)
