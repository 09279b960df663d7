"""Values as they are compared: numbers by their value, everything else by its exact text, NULL as a value of its own.

Text comes from the server with every setting fixed that changes how a value looks (`sessions`). A number never becomes a float here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from cockpit.model.checks import Literal
from cockpit.model.text import plain

NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "oid"})
FLOATS = frozenset({"float4", "float8"})
SHOWN = 200

Value = tuple[str, Decimal | str]
"""`null`, `number`, `float` or `text`, and what it is. 1.0 and 1.00 are one number; two NULLs are one value."""

Row = tuple[Value, ...]
NULL: Value = ("null", "")


def value(text: str | None, type_name: str) -> Value:
    """The value that a column of that type shows as `text`."""
    if text is None:
        return NULL
    if type_name in NUMBERS:
        return _number(text)
    return ("float" if type_name in FLOATS else "text", text)


def _number(text: str) -> Value:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return ("text", text)
    return ("number", found) if found.is_finite() else ("number", str(found))


def literal(said: Literal, type_name: str) -> Value:
    """What a scenario wrote, as a column of that type would show it."""
    if said is None:
        return NULL
    if isinstance(said, bool):
        return ("text", "true" if said else "false")
    if isinstance(said, Decimal) and type_name not in NUMBERS:
        return value(format(said, "f"), type_name)
    return value(str(said), type_name)


def close(one: Value, other: Value, tolerance: Decimal | None) -> bool:
    """Whether the two are the same value, or numbers no further apart than the tolerance."""
    if one == other:
        return True
    if tolerance is None:
        return False
    a, b = _exact(one), _exact(other)
    return a is not None and b is not None and abs(a - b) <= Fraction(tolerance)


def _exact(found: Value) -> Fraction | None:
    if found[0] not in {"number", "float"}:
        return None
    try:
        return Fraction(found[1])
    except (ValueError, OverflowError):
        return None


def shown(found: Value) -> str:
    """The value as a person reads it; a text in quotes where it could be taken for something else."""
    if found == NULL:
        return "NULL"
    if isinstance(found[1], Decimal):
        return plain(format(found[1], "f"), SHOWN)
    bare = plain(found[1], SHOWN)
    return f"'{bare}'" if found[0] == "text" and (bare.strip() != bare or bare in {"", "NULL"}) else bare


@dataclass(frozen=True, slots=True)
class Reading:
    """What one side gave: for each key its rows of measures, in an order that does not depend on the server's."""

    key: tuple[str, ...]
    measures: tuple[str, ...]
    types: Mapping[str, str]
    groups: Mapping[Row, tuple[Row, ...]]

    @property
    def rows(self) -> int:
        return sum(len(group) for group in self.groups.values())

    def floats(self) -> tuple[str, ...]:
        return tuple(name for name in self.measures if self.types[name] in FLOATS)


def reading(columns: Sequence[tuple[str, str]], key: Sequence[str], rows: Iterable[Sequence[str | None]]) -> Reading:
    """Rows of text, sorted under their keys; the key's columns are all among `columns`."""
    names = [name for name, _ in columns]
    at = [names.index(name) for name in key]
    rest = [n for n in range(len(names)) if n not in at]
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        made = [value(text, columns[n][1]) for n, text in enumerate(row)]
        groups.setdefault(tuple(made[n] for n in at), []).append(tuple(made[n] for n in rest))
    sorted_ = {k: ordered(group) for k, group in groups.items()}
    return Reading(tuple(key), tuple(names[n] for n in rest), dict(columns), sorted_)


def ordered(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The same rows are in the same order, whatever order they came in."""
    return tuple(sorted(rows, key=_order))


def _order(row: Row) -> tuple[tuple[str, str], ...]:
    """Equal rows stand at the same place, however a number is written."""
    return tuple((kind, str(Fraction(found)) if isinstance(found, Decimal) else found) for kind, found in row)


def alike(one: Sequence[Row], other: Sequence[Row], tolerances: Sequence[Decimal | None]) -> bool:
    """Whether a key's rows are the same on both; tolerances count where there is one row on each, for then it is known which is which."""
    if len(one) == len(other) == 1:
        return all(close(a, b, t) for a, b, t in zip(one[0], other[0], tolerances, strict=True))
    return tuple(one) == tuple(other)


def unlike(blue: Reading, green: Reading, tolerance: Mapping[str, Decimal]) -> list[Row]:
    """The keys whose rows are not alike, in the order of their text."""
    limits = [tolerance.get(name) for name in blue.measures]
    keys = blue.groups.keys() | green.groups.keys()
    found = [key for key in keys if not alike(blue.groups.get(key, ()), green.groups.get(key, ()), limits)]
    return sorted(found, key=lambda key: tuple(shown(part) for part in key))


def named(names: Sequence[str], row: Row) -> str:
    """`month=2024-01-01, orders=5`."""
    return plain(", ".join(f"{plain(name, 63)}={shown(part)}" for name, part in zip(names, row, strict=True)), 2 * SHOWN)
