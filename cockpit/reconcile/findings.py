"""What the preflight says about reconciliation: verification exists, covers every table, and names what it cannot cover (P11); and in
what both sides differ beside the rows (D15)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace

from cockpit.errors import CockpitError, SystemFault
from cockpit.model.events import FindingSeen
from cockpit.model.parity import Difference, Parity
from cockpit.model.settings import Waiver
from cockpit.model.text import plain, statement
from cockpit.model.words import Severity, Side
from cockpit.reconcile.catalog import RELATIONS
from cockpit.reconcile.ledger import Ledger, Standing
from cockpit.reconcile.selftest import VECTORS, query
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.taps import any_run

CHECK = "P11"
PARITY = "D15"
MOST_NAMED = 40
"""Differences beside the rows that are findings of their own."""
LISTS_ALL = "cockpit reconcile lists all of them, each with its query and remedy"

_FREE = """
SELECT current_setting('wal_level') AS wal_level, current_setting('max_replication_slots')::int - count(*)::int AS free,
       count(*) FILTER (WHERE slot_name ~ $1)::int AS ours FROM pg_replication_slots
"""


def waiver(waivers: Sequence[Waiver], shown: str) -> Waiver | None:
    """What accepts that this table is not compared."""
    return next((w for w in waivers if w.check == CHECK and w.object in {"*", shown}), None)


async def findings(
    ledger: Ledger, hash_faults: Sequence[str], lines: Mapping[Side, Line], tap: str, waivers: Sequence[Waiver] = ()
) -> tuple[FindingSeen, ...]:
    """One finding for the hash, one for each table that cannot be proven, one for each side's tap, one that sums up."""
    found = [_hash(hash_faults)]
    open_ends = [s for s in ledger.standings.values() if s.unprovable]
    found.extend(_table(s, waivers) for s in open_ends)
    for side, line in lines.items():
        found.append(await _tap(side, line, tap))
    count = len(ledger.standings) - len(open_ends)
    found.append(_finding("tables", Severity.GOOD, f"{count} tables are compared row by row, {len(open_ends)} cannot be", RELATIONS, ""))
    return tuple(found)


def _finding(what: str, severity: Severity, seen: str, query_text: str, remedy: str) -> FindingSeen:
    return FindingSeen(CHECK, plain(what, 200), severity, plain(seen, 300), statement(query_text), plain(remedy))


def _hash(faults: Sequence[str]) -> FindingSeen:
    if not faults:
        return _finding("hash", Severity.GOOD, f"{len(VECTORS)} test values hash alike on blue and green", query(), "")
    remedy = "both servers need PostgreSQL 14 or later of one architecture; until then only counts are compared"
    return _finding("hash", Severity.BLOCK, "; ".join(faults[:3]), query(), remedy)


def _table(standing: Standing, waivers: Sequence[Waiver]) -> FindingSeen:
    """Rows that are to be the same on both sides and cannot be compared block; a missing table cannot be waived, for its rows are lost."""
    shown = standing.table.shown
    severity = Severity.BLOCK if standing.table.owed else Severity.WARN
    remedy = "create and copy the table" if standing.missing else "remove the cause, or compare it by other means and waive it by name"
    found = _finding(shown, severity, f"not compared: {standing.unprovable}", RELATIONS, remedy)
    accepted = None if standing.missing else waiver(waivers, shown)
    return replace(found, waived=accepted.reason) if accepted else found


async def _tap(side: Side, line: Line, tap: str) -> FindingSeen:
    try:
        (row,) = await line.fetch(_FREE, any_run(tap))
    except SystemFault as err:
        return _finding(f"{side} tap", Severity.WARN, err.what, _FREE, "grant pg_monitor to the cockpit's role")
    if row["wal_level"] != "logical":
        return _finding(f"{side} tap", Severity.BLOCK, f"wal_level is {row['wal_level']}", _FREE, "set wal_level = logical and restart")
    if row["free"] <= 0 and not row["ours"]:
        remedy = "raise max_replication_slots by one: without the tap the window has to read every table"
        return _finding(f"{side} tap", Severity.WARN, "no replication slot is free", _FREE, remedy)
    return _finding(f"{side} tap", Severity.GOOD, f"{row['free']} replication slots free", _FREE, "")


async def beside(read: Awaitable[Parity], waivers: Sequence[Waiver] = ()) -> tuple[FindingSeen, ...]:
    """One finding for each difference that changes how the database behaves, and one that counts; a parity that could not be read warns."""
    try:
        parity = await read
    except CockpitError as err:
        return (
            _parity("both", Severity.WARN, f"not compared beside the rows: {err.brief}", "", err.remedy or "run the preflight again (r)"),
        )
    found = [_differs(difference, waivers) for difference in parity.bad[:MOST_NAMED]]
    if more := len(parity.bad) - len(found):
        found.append(_parity("both", Severity.WARN, f"{more} differences more", "", LISTS_ALL))
    look = len(parity.differences) - len(parity.bad)
    seen = f"{parity.objects} objects of {sum(1 for n in parity.compared.values() if n)} kinds compared, {look} differences may be meant"
    return (*found, _parity("both", Severity.GOOD, seen, "", LISTS_ALL if look else ""))


def _parity(what: str, severity: Severity, seen: str, shows: str, remedy: str) -> FindingSeen:
    return FindingSeen(PARITY, plain(what, 200), severity, plain(seen, 300), statement(shows), plain(remedy))


def _differs(difference: Difference, waivers: Sequence[Waiver]) -> FindingSeen:
    what = f"{difference.kind} {difference.object}"
    seen = f"blue: {plain(difference.blue, 120) or '-'}; green: {plain(difference.green, 120) or '-'}"
    remedy = f"on {difference.on}: {difference.remedy}" if difference.on and difference.remedy else difference.remedy
    found = _parity(what, Severity.WARN, seen, difference.query, remedy)
    accepted = next((w for w in waivers if w.check == PARITY and w.object in {"*", found.object}), None)
    return replace(found, waived=accepted.reason) if accepted else found
