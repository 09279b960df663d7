"""The statements of a proof as a plan prints them: what is sent for every table, with names in angle brackets for the table's own."""

from __future__ import annotations

from cockpit.model.plan import Statement
from cockpit.reconcile.catalog import KeyColumn, Table
from cockpit.reconcile.rows import Kind
from cockpit.reconcile.statements import bundle, whole
from cockpit.reconcile.taps import OPTIONS, changes_sql, inserts_name, tap_name

BOTH = "blue and green"
HASH = "<hash of the row's columns by name, seeded with its key>"


def shapes(pair: str) -> tuple[Statement, ...]:
    """Draining a side's tap, proving given keys (many tables in one statement), proving a whole table."""
    tap = f"{tap_name(pair)}_<run>"
    drain = changes_sql(OPTIONS).replace("$1", f"'{tap}'").replace("$2", f"'{tap},{inserts_name(tap)}'")
    key = KeyColumn("<key>", Kind("<schema>", "<type>", "b"), "<type>", "OPERATOR(pg_catalog.=)", True)
    table = Table(("<schema>", "<table>"), (key,), HASH)
    return tuple(Statement(BOTH, text) for text in (drain, bundle([table]), whole(table)))
