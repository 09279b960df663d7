"""The list of runs: one line each, from their timelines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cockpit.errors import JournalError
from cockpit.model.state import replay
from cockpit.model.text import plain
from cockpit.model.words import Outcome
from cockpit.timeline.folder import RunFolder, every
from cockpit.timeline.journal import is_flown, read


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as `cockpit runs` shows it."""

    run: str
    pair: str
    opened_at: str
    user: str
    drill: bool
    handovers: int
    """Those in which writes were stalled, or that were done; not an arming that ran out or was taken back."""
    serving: str
    outcome: str
    """`flown` while a process holds it, `open` where none does and it was never closed, `damaged`, else how it ended."""


def listing(runs: Path) -> tuple[RunRow, ...]:
    """Every run under `runs`, oldest first; a timeline that cannot be read is a row that says so."""
    return tuple(_row(folder) for folder in every(runs))


def _row(folder: RunFolder) -> RunRow:
    try:
        reading = read(folder.timeline)
        flown = is_flown(folder.timeline)
    except JournalError:
        return RunRow(folder.name, "", "", "", False, 0, "", "unreadable")
    state = replay(reading.events)
    outcome = "damaged" if reading.damage else "flown" if flown else state.outcome or "open"
    flights = sum(view.downtime_mono is not None or view.outcome is Outcome.DONE for view in state.past)
    return RunRow(folder.name, state.pair, state.opened_at, state.user, state.drill, flights, str(state.serving or ""), outcome)


def render(rows: tuple[RunRow, ...]) -> str:
    """The rows as a table with a heading, or a sentence where there is none."""
    if not rows:
        return "no runs yet: `cockpit drill` makes one\n"
    head = ("run", "pair", "by", "kind", "handovers", "serves", "outcome")
    body = [(r.run, r.pair, r.user, "drill" if r.drill else "live", str(r.handovers), r.serving or "-", r.outcome) for r in rows]
    table = [tuple(plain(cell, 60) for cell in row) for row in (head, *body)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table) + "\n"
