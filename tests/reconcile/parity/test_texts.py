"""Statements on one line, and what two versions of the server write differently for the same."""

from __future__ import annotations

import pytest

from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.parity.facts import About, by_key, statement
from cockpit.reconcile.parity.oneline import literal, one_line
from cockpit.reconcile.parity.views import same_text

OLD, NEW = About(Side.BLUE, 150004, "d", fence=False), About(Side.GREEN, 180000, "d", fence=True)
ACROSS = {Side.BLUE: OLD, Side.GREEN: NEW}


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT\n   1,\t2", "SELECT 1, 2"),
        ("SELECT 'a\nb''c\\d'", r"SELECT E'a\nb''c\\d'"),
        ("SELECT 'a  b', 'back\\slash'", "SELECT 'a  b', 'back\\slash'"),
        ('ALTER TABLE "a\n""b\\c" X', r'ALTER TABLE U&"a\000A""b\\c" X'),
        ("AS $function$\nx 'y' $1\n$function$\n", r"AS E'\nx ''y'' $1\n'"),
        ("AS $$a\tb$$ LANGUAGE\nsql", r"AS E'a\tb' LANGUAGE sql"),
        ("SELECT E'a\\'b\nc'", r"SELECT E'a\'b\nc'"),
        ("SELECT '\x1b[31m\u202e'", r"SELECT E'\u001B[31m\u202E'"),
        ('SELECT "\U000e0001"', r'SELECT U&"\+0E0001"'),
    ],
)
def test_a_statement_on_one_line_is_what_is_shown(sql: str, line: str) -> None:
    assert one_line(sql) == line
    assert plain(line) == line


def test_a_literal_is_one_line() -> None:
    assert literal("it's") == "'it''s'"
    assert literal("a\\b") == "'a\\b'"
    assert literal("a\\b'\n") == r"E'a\\b''\n'"


def test_qualifiers_that_only_the_older_server_writes_are_no_difference() -> None:
    assert same_text("SELECT p.e, p.x\n FROM s.p\n WHERE (p.n > 1.5)", "SELECT e, x FROM s.p WHERE (n > 1.5)", ACROSS)
    assert same_text(
        "SELECT EXTRACT(epoch FROM a.at), SUBSTRING(a.v FROM a.n) FROM x.a",
        "SELECT EXTRACT(epoch FROM at), SUBSTRING(v FROM n) FROM x.a",
        ACROSS,
    )
    assert same_text("SELECT v.v FROM s.v", "SELECT v FROM s.v", ACROSS)
    assert same_text('SELECT "a.b"."c d" FROM s."a.b"', 'SELECT "c d" FROM s."a.b"', ACROSS)


@pytest.mark.parametrize(
    ("blue", "green"),
    [
        ("SELECT p.e FROM s.p", "SELECT f FROM s.p"),
        ("SELECT e FROM s.p", "SELECT e FROM p"),
        ("SELECT p.e FROM a.p JOIN b.p", "SELECT p.e FROM a.p JOIN p"),
        ("SELECT e FROM s.p", "SELECT p.e FROM s.p"),
        ("SELECT 'p.e' FROM s.p", "SELECT 'e' FROM s.p"),
        ("SELECT p.e FROM s.p", "SELECT e FROM s.p WHERE e > 1"),
        ("SELECT p.e FROM s.p WHERE p.e > 1", "SELECT e FROM s.p"),
    ],
)
def test_what_means_something_else_stays_a_difference(blue: str, green: str) -> None:
    assert not same_text(blue, green, ACROSS)


def test_between_like_versions_a_qualifier_is_a_difference() -> None:
    assert not same_text("SELECT p.e FROM s.p", "SELECT e FROM s.p", {Side.BLUE: NEW, Side.GREEN: NEW})


def test_a_family_asks_each_version_what_it_knows() -> None:
    assert statement("SELECT {16:a.x else true}, {17:f(',', '{}') else 1}".replace("'{}'", "''"), OLD) == "SELECT true, 1"
    assert statement("SELECT {16:a.x else true}", NEW) == "SELECT a.x"
    assert "cockpit_control" in statement("{fence}", NEW)
    assert "cockpit_control" not in statement("{fence}", OLD)


def test_only_the_cockpits_own_names_are_left_out() -> None:
    rows = [
        {"rel": rel, "name": "", "value": "v"}
        for rel in (
            "public.cockpit_x",
            'cockpit_control."y"',
            '"a b".cockpit_z',
            'public."a.cockpit_b"',
            "public.my_cockpit_c",
            '"cockpit_"',
        )
    ]
    rows.append({"rel": "public.gone", "name": "", "value": None})
    assert {rel for rel, _ in by_key(rows, "value")} == {'public."a.cockpit_b"', "public.my_cockpit_c"}
