"""The recorder: a fact goes to the timeline first and into the folded state at once, so that both are always the same."""

from __future__ import annotations

import contextlib

from cockpit.errors import CockpitError, JournalError
from cockpit.model.events import AlarmCleared, Event, Fact
from cockpit.model.state import EMPTY, RunState, fold
from cockpit.timeline.journal import Journal


class Recorder:
    """Records facts; `state` is the fold of everything recorded."""

    def __init__(self, journal: Journal, state: RunState = EMPTY) -> None:
        self._journal = journal
        self.state = state

    @property
    def broken(self) -> str:
        """Why nothing can be recorded any more; empty while it can."""
        return self._journal.broken

    def record(self, fact: Fact, *, durable: bool = True) -> Event:
        """The fact is in the timeline (on disk when `durable`) and in `state`; `JournalError` when it cannot be."""
        event = self._journal.append(fact, durable=durable)
        self.state = fold(self.state, event)
        return event

    def clear(self, alarm: str) -> None:
        """The alarm is over, where it was raised."""
        if any(raised.id == alarm for raised in self.state.alarms):
            self.record(AlarmCleared(alarm))

    def let_go(self) -> None:
        """The timeline is free for another process to take up; nothing more is recorded here."""
        self._journal.close()

    def try_record(self, fact: Fact, *, durable: bool = True) -> bool:
        """The fact is recorded if that is possible, and whether it is: only for the way home, which must not need a disk, nor evidence that
        can be written."""
        with contextlib.suppress(Exception):
            self.record(fact, durable=durable)
            return True
        return False


class Unrecorded(Recorder):
    """A recorder without a timeline: for the guardian's way home when the disk is gone. Everything is tried, nothing is kept."""

    def __init__(self) -> None:
        self.state = EMPTY

    def let_go(self) -> None:
        """There is nothing to let go of."""

    def record(self, fact: Fact, *, durable: bool = True) -> Event:
        raise JournalError("there is no timeline to write to")


def in_words(err: BaseException) -> str:
    """What went wrong, fit for the timeline: an error of ours in its own words; of any other only its type, as its message may hold what
    nobody may see."""
    if isinstance(err, CockpitError):
        return err.brief
    return "no answer in time" if isinstance(err, TimeoutError) else f"unexpected {type(err).__name__}"


def remedy_of(err: BaseException) -> str:
    """What to do next, where the error knows."""
    return err.remedy if isinstance(err, CockpitError) else ""
