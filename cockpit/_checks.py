"""Business checks as they stand in the files: `[[checks.metric]]` and `[[checks.spot]]` of a scenario, `[checks.dbt]` of a config."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from cockpit._mistakes import Checked
from cockpit.model import checks
from cockpit.model.secret import Secret
from cockpit.model.text import plain


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold a NUL")
    return text


def _label(text: str) -> str:
    if plain(text) != text:
        raise ValueError("must not hold control or invisible characters: it is shown on screen")
    return text


def _select(text: str) -> str:
    """One statement that can stand as a subquery; what it may do beyond reading is the server's to refuse, in a read-only transaction."""
    bare = re.sub(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()+", "", _no_nul(text), flags=re.DOTALL)
    if not re.match(r"(?i)(select|with|values|table)\b", bare):
        raise ValueError("must be one SELECT (or WITH ... SELECT, VALUES, TABLE)")
    return text


def _amount(said: object) -> object:
    try:
        found = Decimal(str(said)) if isinstance(said, str | int | float) and not isinstance(said, bool) else Decimal("sNaN")
    except InvalidOperation:
        found = Decimal("sNaN")
    if found.is_snan():
        raise ValueError('must be a number, such as 0.01 or "0.01"')
    if not found.is_finite() or found <= 0:
        raise ValueError("must be a number above 0; leave it out where the measure must be equal")
    return said


NULL = {"null": True}
"""How a scenario writes the value that TOML has not."""


def _expect(said: object) -> object:
    rows = said if isinstance(said, list) and said and all(isinstance(row, list) for row in said) else [said]
    values = [value for row in rows for value in (row if isinstance(row, list) else [row])]
    if not all(isinstance(value, str | bool | int | float) or value == NULL for value in values):
        raise ValueError('must be "same", a value, a row [ ] of values or a list of rows; a NULL is { null = true }')
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise ValueError("must not hold nan or inf: write it as text in quotes")
    return said


def _argument(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("must not begin with -: it would be read as an option")
    return _label(text)


_Name = Annotated[str, StringConstraints(min_length=1, max_length=63), AfterValidator(_label)]
_Title = Annotated[str, StringConstraints(max_length=100), AfterValidator(_label)]
_Column = Annotated[str, StringConstraints(min_length=1, max_length=63), AfterValidator(_no_nul)]
_Sql = Annotated[str, StringConstraints(min_length=1, max_length=20_000), AfterValidator(_select)]
_Timeout = Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)]
_Amount = Annotated[object, AfterValidator(_amount)]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_no_nul)]
_Argument = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_argument)]
_Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,100}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


# --- a scenario's checks ----------------------------------------------------------------------


class MetricFile(_Strict):
    name: _Name
    title: _Title = ""
    sql: _Sql
    key: tuple[_Column, ...] = ()
    tolerance: dict[_Column, _Amount] = {}
    timeout: _Timeout = 30.0


class SpotFile(_Strict):
    name: _Name
    title: _Title = ""
    sql: _Sql
    expect: Annotated[object, AfterValidator(_expect)] = "same"
    timeout: _Timeout = 30.0


class ChecksFile(_Strict):
    metric: tuple[MetricFile, ...] = ()
    spot: tuple[SpotFile, ...] = ()


def checks_of(file: ChecksFile) -> checks.Checks:
    metrics = tuple(
        checks.Metric(m.name, m.sql, m.key, {name: Decimal(str(t)) for name, t in m.tolerance.items()}, m.title, m.timeout)
        for m in file.metric
    )
    return checks.Checks(metrics, tuple(checks.Spot(s.name, s.sql, _expected(s.expect), s.title, s.timeout) for s in file.spot))


def _expected(said: object) -> tuple[tuple[checks.Literal, ...], ...] | None:
    """A value is a row of one, a row is all rows; `"same"` names none."""
    if said == "same":
        return None
    if not isinstance(said, list):
        return ((_literal(said),),)
    if said and all(isinstance(row, list) for row in said):
        return tuple(tuple(_literal(value) for value in row) for row in said)
    return (tuple(_literal(value) for value in said),) if said else ()


def _literal(said: object) -> checks.Literal:
    if said == NULL:
        return None
    return said if isinstance(said, bool | str) else Decimal(str(said))


def lint(checked: Checked, file: ChecksFile) -> None:
    """What must agree across a scenario's checks."""
    first: dict[str, int] = {}
    metrics = [("metric", number, metric.name) for number, metric in enumerate(file.metric)]
    for group, number, name in [*metrics, *(("spot", number, spot.name) for number, spot in enumerate(file.spot))]:
        here = ("checks", group, number, "name")
        if name in first:
            what = f"checks.{group}[{number + 1}].name: {plain(name, 80)} is taken on line {first[name]}: give each its own name"
            checked.add(here, what)
        first.setdefault(name, checked.line(here))
    for number, metric in enumerate(file.metric):
        path = ("checks", "metric", number)
        for name in sorted(set(metric.tolerance) & set(metric.key)):
            what = (
                f"checks.metric[{number + 1}].tolerance.{plain(name, 80)} is a key column: a key is equal or it is another one; remove it"
            )
            checked.add((*path, "tolerance", name), what)
        if len(set(metric.key)) < len(metric.key):
            checked.add((*path, "key"), f"checks.metric[{number + 1}].key names a column twice: name each once")


# --- a config's dbt project ----------------------------------------------------------------------


class _Target(_Strict):
    target: _Argument
    profile: _Argument | None = None


_Relation = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_no_nul)]
"""A schema, relation or column of a warehouse: Snowflake's names have up to 255 characters."""
_Key = Annotated[tuple[_Relation, ...], Field(min_length=1)]


class _Warehouse(_Strict):
    blue: _Relation
    green: _Relation
    relations: tuple[_Relation, ...] = ()
    keys: dict[_Relation, _Key] = {}


class DbtFile(_Strict):
    project: _Path
    profiles: _Path
    blue: _Target
    green: _Target
    select: tuple[_Argument, ...] = ()
    commands: tuple[Literal["build", "run", "seed", "snapshot", "test"], ...] = ("test",)
    timeout: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] = 900.0
    at_once: bool = True
    program: _Path | None = None
    env: dict[_Variable, Secret] = {}
    warehouse: _Warehouse | None = None
    pair: _Name | None = None


def dbt_of(file: DbtFile | None, folder: Path) -> checks.DbtSpec | None:
    """As the file says, every path whole; a program is looked for on the PATH where it is a name alone."""
    if file is None:
        return None
    program = file.program
    if program is not None and "/" in program:
        program = str(folder / Path(program).expanduser())
    warehouse = file.warehouse
    return checks.DbtSpec(
        project=str(folder / Path(file.project).expanduser()),
        profiles=str(folder / Path(file.profiles).expanduser()),
        blue=checks.DbtTarget(file.blue.target, file.blue.profile),
        green=checks.DbtTarget(file.green.target, file.green.profile),
        select=file.select,
        commands=file.commands,
        timeout=file.timeout,
        at_once=file.at_once,
        program=program,
        env=dict(file.env),
        warehouse=checks.Warehouse(warehouse.blue, warehouse.green, warehouse.relations, dict(warehouse.keys)) if warehouse else None,
        pair=file.pair,
    )


def dbt_lint(checked: Checked, dbt: Mapping[str, object], pairs: tuple[str, ...]) -> None:
    """What must agree between a dbt project and the rest of the config; `dbt` is the raw table, empty where there is none."""
    here = ("checks", "dbt")
    pair, warehouse = dbt.get("pair"), dbt.get("warehouse")
    if isinstance(pair, str) and pair not in pairs:
        checked.add(
            (*here, "pair"), f"checks.dbt.pair: no pair is named {plain(pair, 80)}; there is {', '.join(plain(p, 80) for p in pairs)}"
        )
    if dbt and pair is None and len(pairs) > 1:
        checked.add(here, "checks.dbt.pair is missing: the config has several pairs, say whose project this is")
    if dbt and dbt.get("blue") == dbt.get("green") and isinstance(dbt.get("blue"), dict):
        checked.add((*here, "green"), "checks.dbt.green is the same target as blue's: both would be one run; name another target")
    if isinstance(warehouse, dict) and warehouse.get("blue") is not None and warehouse.get("blue") == warehouse.get("green"):
        checked.add((*here, "warehouse", "green"), "checks.dbt.warehouse: blue and green are the same schema: name two")
    if dbt.get("commands") == [] and not warehouse:
        checked.add((*here, "commands"), "checks.dbt.commands names none, so nothing would be checked: name one, such as test")
