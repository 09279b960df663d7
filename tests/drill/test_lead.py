"""What a lead without hands and eyes goes by: the whole timeline, never the part that fitted into one look."""

from __future__ import annotations

from pathlib import Path

from cockpit.drill.lead import Lead
from cockpit.model import events as ev
from cockpit.timeline.folder import create
from cockpit.timeline.follow import CHUNK
from cockpit.timeline.journal import Journal
from tests.screen.demo import READY, story


async def test_half_of_a_timeline_is_not_believed(tmp_path: Path) -> None:
    folder = create(tmp_path, "arp")
    journal = Journal.create(folder.timeline, "pilot")
    for event in story(READY).state.tail:
        journal.append(event.fact, durable=False)
    while folder.timeline.stat().st_size < 3 * CHUNK:
        journal.append(ev.NoteTaken("ana", "x" * 500), durable=False)
    lead = Lead(folder)
    try:
        state = await lead.until(lambda s: bool(s.run), 5.0, "a run")
        assert state.seq == journal.seq
    finally:
        await lead.leave()
        journal.close()
