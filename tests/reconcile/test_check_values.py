"""How values, rows and readings of checks compare: exactly, as sets by key, and within a tolerance only where one is named."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.model.checks import Outcome
from cockpit.reconcile.checks.values import NULL, Reading, alike, close, literal, named, ordered, reading, shown, unlike, value

COLUMNS = (("k", "text"), ("n", "numeric"), ("t", "text"))

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=None)
texts = st.none() | st.text(max_size=5)
cells = st.tuples(st.none() | st.sampled_from(["", "a", "NULL", "b"]), st.none() | numbers.map(lambda d: format(d, "f")), texts)
tables = st.lists(cells, max_size=12)


def read(rows: list[tuple[str | None, ...]]) -> Reading:
    return reading(COLUMNS, ("k",), rows)


@given(tables, st.randoms())
def test_the_order_of_rows_is_no_difference(rows: list[tuple[str | None, ...]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert unlike(read(rows), read(shuffled), {}) == []


@given(tables, st.data())
def test_a_row_more_or_less_is_found_under_its_key(rows: list[tuple[str | None, ...]], data: st.DataObject) -> None:
    extra = data.draw(cells)
    (key,) = unlike(read(rows), read([*rows, extra]), {})
    assert key == (value(extra[0], "text"),)


@given(tables.filter(bool), st.data())
def test_any_changed_cell_is_found(rows: list[tuple[str | None, ...]], data: st.DataObject) -> None:
    at, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 2))
    changed = list(rows[at])
    kind = COLUMNS[column][1]
    other = data.draw((st.none() | numbers.map(lambda d: format(d, "f"))) if kind == "numeric" else texts)
    changed[column] = other
    found = unlike(read(rows), read([*rows[:at], tuple(changed), *rows[at + 1 :]]), {})
    assert bool(found) == (value(other, kind) != value(rows[at][column], kind))


@given(numbers, st.integers(0, 40))
def test_a_numbers_scale_is_no_difference(number: Decimal, zeros: int) -> None:
    text = format(number, "f")
    longer = (text if "." in text else text + ".") + "0" * zeros
    assert value(text, "numeric") == value(longer, "numeric")
    assert hash(value(text, "numeric")) == hash(value(longer, "numeric"))
    assert ordered([(value(text, "numeric"),), (value("1", "numeric"),)]) == ordered(
        [(value("1", "numeric"),), (value(longer, "numeric"),)]
    )


@given(numbers, st.decimals(min_value=Decimal("1e-20"), max_value=Decimal("1e20"), allow_nan=False))
def test_a_tolerance_is_met_exactly_and_not_a_digit_further(number: Decimal, tolerance: Decimal) -> None:
    import decimal

    with decimal.localcontext(prec=1000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
        at, beyond = number + tolerance, number + tolerance + Decimal("1e-500")
    one = value(format(number, "f"), "numeric")
    assert close(one, value(format(at, "f"), "numeric"), tolerance)
    assert close(value(format(at, "f"), "numeric"), one, tolerance)
    if len(format(beyond, "f")) < 900:
        assert not close(one, value(format(beyond, "f"), "numeric"), tolerance)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (None, "", "text"),
        (None, "NULL", "text"),
        (None, "0", "numeric"),
        ("NaN", "0", "numeric"),
        ("Infinity", "-Infinity", "numeric"),
        ("0", "-0", "float8"),
        ("1.0", "1.00", "text"),
        ("a", "a ", "text"),
        ("0.1", "0.10000000000000001", "numeric"),
        ("99999999999999999999999999999999999999.1", "99999999999999999999999999999999999999.2", "numeric"),
    ],
)
def test_what_is_not_the_same_value(one: str | None, other: str | None, kind: str) -> None:
    assert value(one, kind) != value(other, kind)
    assert unlike(reading((("m", kind),), (), [(one,)]), reading((("m", kind),), (), [(other,)]), {}) == [()]


def test_null_is_one_value_and_so_is_nan() -> None:
    assert value(None, "numeric") == value(None, "text") == NULL
    assert value("NaN", "numeric") == value("NaN", "numeric")
    assert not close(NULL, value("0", "numeric"), Decimal(1000))
    assert not close(value("NaN", "numeric"), value("1", "numeric"), Decimal(1000))
    assert not close(value("NaN", "float8"), value("1", "float8"), Decimal(1000))


def test_rows_of_one_key_are_a_multiset_without_tolerance() -> None:
    one, two = (value("1", "int4"),), (value("2", "int4"),)
    assert alike([one, one, two], [one, one, two], [None])
    assert not alike([one, one, two], [one, two, two], [None])
    assert not alike([one, two], [one, two, two], [Decimal(5)])
    assert alike([one], [two], [Decimal(1)])


def test_a_literal_is_read_as_its_column_is() -> None:
    assert literal(Decimal("2.50"), "numeric") == value("2.5", "numeric")
    assert literal(True, "bool") == value("true", "bool")
    assert literal(None, "text") == NULL
    assert literal("2.5", "numeric") == value("2.50", "numeric")
    assert literal(Decimal(5), "text") == value("5", "text")


@given(st.text(max_size=30))
def test_nothing_shown_steers_a_terminal(text: str) -> None:
    assert named(["a\x1b[31m", text], (value(text, "text"), NULL)).isprintable()
    assert shown(value(text, "text")).isprintable()


def test_empty_text_and_null_are_told_apart_when_shown() -> None:
    assert [shown(value(text, "text")) for text in (None, "NULL", "", " a", "a")] == ["NULL", "'NULL'", "''", "' a'", "a"]


@given(st.lists(st.sampled_from(Outcome)))
def test_a_difference_outweighs_what_is_not_proven(parts: list[Outcome]) -> None:
    found = Outcome.of(parts)
    assert (found is Outcome.EQUAL) == (bool(parts) and all(part is Outcome.EQUAL for part in parts))
    assert (found is Outcome.DIFFERENT) == (Outcome.DIFFERENT in parts)
