"""The statements of a proof as a plan prints them: what is sent for every table, with names in angle brackets for the table's own."""

from __future__ import annotations

from cockpit.model.plan import Statement
from cockpit.reconcile.catalog import KeyColumn, Table
from cockpit.reconcile.publications import inserts_name
from cockpit.reconcile.rows import Kind
from cockpit.reconcile.statements import bundle, whole
from cockpit.reconcile.tap import FENCE
from cockpit.reconcile.taps import OPTIONS, changes_sql, tap_name
from cockpit.systems.postgres import hold

BOTH = "blue and green"
SERVING, OTHER = "the serving side", "the other side"
HASH = "<hash of the row's columns by name, seeded with its key>"


def shapes(pair: str) -> tuple[Statement, ...]:
    """Draining a side's tap, proving given keys (many tables in one statement), proving a whole table, holding apply while both sides'
    snapshots are taken."""
    tap = f"{tap_name(pair)}_<run>"
    drain = changes_sql(OPTIONS).replace("$1", f"'{tap}'").replace("$2", f"'{tap},{inserts_name(tap)}'")
    key = KeyColumn("<key>", Kind("<schema>", "<type>", "b"), "<type>", "OPERATOR(pg_catalog.=)", True)
    table = Table(("<schema>", "<table>"), (key,), HASH)
    row = hold.WRITE
    for number, value in (("$1", "<gate>"), ("$2", "'<serving>'"), ("$3", f"'{FENCE}'"), ("$4", "'hold <gate>'")):
        row = row.replace(number, value)
    both = (Statement(BOTH, text) for text in (drain, bundle([table]), whole(table)))
    return *both, Statement(SERVING, row), *(Statement(OTHER, sql) for sql in (hold.TAKE.replace("$1", "<gate>"), hold.SNAPSHOT))
