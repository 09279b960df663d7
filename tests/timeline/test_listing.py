"""What `cockpit runs` counts as a handover."""

from __future__ import annotations

from pathlib import Path

from cockpit.model import events as ev
from cockpit.model.words import Direction, Outcome, Side
from cockpit.timeline.folder import create
from cockpit.timeline.journal import Journal
from cockpit.timeline.listing import listing


def test_an_arming_that_never_became_a_window_is_no_handover(tmp_path: Path) -> None:
    """Flown: done, aborted in the window, and done as the guardian ended it; not flown: run out, disarmed."""
    journal = Journal.create(create(tmp_path, "arp").timeline, "pilot")
    ends = [(Outcome.DONE, True), (Outcome.ABORTED, False), (Outcome.ABORTED, True), (Outcome.ABORTED, False), (Outcome.DONE, False)]
    for number, (outcome, window) in enumerate(ends, 1):
        journal.append(ev.HandoverOpened(number, Direction.CUTOVER, "p", "typed", 20.0))
        if window:
            journal.append(ev.DowntimeStarted())
        journal.append(ev.HandoverClosed(number, outcome, 5.0, Side.BLUE, "", None))
    journal.close()
    (row,) = listing(tmp_path)
    assert row.handovers == 3
