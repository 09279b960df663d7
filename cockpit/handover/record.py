"""The recorder: a fact goes to the timeline first and into the folded state at once, so that both are always the same."""

from __future__ import annotations

from cockpit.errors import JournalError
from cockpit.model.events import Event, Fact
from cockpit.model.state import EMPTY, RunState, fold
from cockpit.timeline.journal import Journal


class Recorder:
    """Records facts; `state` is the fold of everything recorded."""

    def __init__(self, journal: Journal, state: RunState = EMPTY) -> None:
        self._journal = journal
        self.state = state

    def record(self, fact: Fact, *, durable: bool = True) -> Event:
        """The fact is in the timeline (on disk when `durable`) and in `state`; `JournalError` when it cannot be."""
        event = self._journal.append(fact, durable=durable)
        self.state = fold(self.state, event)
        return event

    def try_record(self, fact: Fact) -> None:
        """The fact is recorded if the disk lets it: only for the way home, which must not need a disk."""
        try:
            self.record(fact)
        except JournalError:
            pass


class Unrecorded(Recorder):
    """A recorder without a timeline: for the guardian's way home when the disk is gone. Everything is tried, nothing is kept."""

    def __init__(self) -> None:
        self.state = EMPTY

    def record(self, fact: Fact, *, durable: bool = True) -> Event:
        raise JournalError("there is no timeline to write to")
