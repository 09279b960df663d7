"""What a report tells, gathered from a run folder: the fold of its timeline, the events behind it, the chain's verdict, the scorecard."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cockpit.model import events as ev
from cockpit.model.state import HandoverView, RunState, replay
from cockpit.timeline import journal
from cockpit.timeline.folder import RunFolder

_SCORECARD_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class Chain:
    """Whether the timeline is what was written. `verdict`: `intact`, `torn tail` or `damaged`."""

    verdict: str
    records: int
    head: str
    record: int | None = None
    why: str = ""

    @property
    def words(self) -> str:
        if self.verdict == "damaged":
            return f"DAMAGED at record {self.record}: it {self.why}. Only the {self.records} records before it are shown."
        if self.verdict == "torn tail":
            return f"intact, {self.records} records, with a torn tail: {self.why}"
        return f"intact, {self.records} records"


@dataclass(frozen=True, slots=True)
class Story:
    """One handover and the events from its opening to the next."""

    view: HandoverView
    opened_at: str
    closed_at: str
    events: tuple[ev.Event, ...]
    unanswered_s: float | None = None
    """How long an origin that did not answer had been gone when the target took writes."""

    def evidence(self, step: str) -> ev.Evidence:
        return next((e.fact.evidence for e in self.events if isinstance(e.fact, ev.StepFinished) and e.fact.step == step), {})

    checks: tuple[ev.CheckRead, ...] = ()
    """The business checks as they were read after its landing."""

    @property
    def sent(self) -> tuple[ev.ActionIntended, ...]:
        return tuple(e.fact for e in self.events if isinstance(e.fact, ev.ActionIntended))


@dataclass(frozen=True, slots=True)
class Report:
    name: str
    """The run folder's name."""
    state: RunState
    chain: Chain
    opened: ev.RunOpened | None
    closed_at: str
    stories: tuple[Story, ...]
    events: tuple[ev.Event, ...]
    scorecard: dict[str, object] | None
    scorecard_fault: str = ""
    """Why a scorecard that is there cannot be shown."""

    @property
    def preflight_checks(self) -> tuple[ev.CheckRead, ...]:
        """The business checks as the last preflight read them."""
        return _checks(self.events, 0)

    @property
    def outcome(self) -> str:
        """How it ended, in one word; a run without an end is `open`."""
        return self.state.outcome or ("empty" if not self.events else "open")


def read_report(run: RunFolder) -> Report:
    """Everything a report of the run tells; `JournalError` where it has no readable timeline."""
    reading = journal.read(run.timeline)
    scorecard, fault = _scorecard(run.scorecard)
    return Report(
        name=run.root.resolve().name,
        state=replay(reading.events),
        chain=_chain(reading),
        opened=next((e.fact for e in reading.events if isinstance(e.fact, ev.RunOpened)), None),
        closed_at=next((e.at for e in reversed(reading.events) if isinstance(e.fact, ev.RunClosed)), ""),
        stories=tuple(_stories(reading.events)),
        events=reading.events,
        scorecard=scorecard,
        scorecard_fault=fault,
    )


def _chain(reading: journal.Reading) -> Chain:
    records = len(reading.events)
    if reading.damage:
        return Chain("damaged", records, reading.head, reading.damaged_record, reading.damage)
    if reading.torn:
        return Chain("torn tail", records, reading.head, None, reading.torn)
    return Chain("intact", records, reading.head)


def _stories(events: tuple[ev.Event, ...]) -> Iterable[Story]:
    """Each handover as its own events leave it, so that a later one does not change it."""
    starts = [n for n, e in enumerate(events) if isinstance(e.fact, ev.HandoverOpened)]
    for start, end in itertools.pairwise([*starts, len(events)]):
        view = replay(events[:end]).handover
        if view is not None:
            within = events[start:end]
            closed = next((e.at for e in within if isinstance(e.fact, ev.HandoverClosed)), "")
            unanswered = _unanswered_s(view, events[:end], within) if view.ungraceful else None
            yield Story(view, events[start].at, closed, within, unanswered, _checks(events, view.number))


def _checks(events: tuple[ev.Event, ...], handover: int) -> tuple[ev.CheckRead, ...]:
    """What was read for the handover (0: by a preflight), of each check the newest."""
    return tuple({e.fact.what: e.fact for e in events if isinstance(e.fact, ev.CheckRead) and e.fact.handover == handover}.values())


def _unanswered_s(view: HandoverView, before: tuple[ev.Event, ...], within: tuple[ev.Event, ...]) -> float | None:
    """Seconds from the last sight of the origin until the target took writes; None where the origin answered."""
    took = next((e for e in within if isinstance(e.fact, ev.ReturnPassed)), None)
    alarm = f"down: {view.direction.origin}"
    marks = [e for e in before if took is not None and e.seq < took.seq and getattr(e.fact, "alarm", "") == alarm]
    gone = marks[-1] if marks and isinstance(marks[-1].fact, ev.AlarmRaised) else None
    return took.mono - gone.mono if took is not None and gone is not None else None


def _scorecard(path: Path) -> tuple[dict[str, object] | None, str]:
    try:
        with path.open("rb") as file:
            content = file.read(_SCORECARD_LIMIT + 1)
        card = json.loads(content) if len(content) <= _SCORECARD_LIMIT else None
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, RecursionError) as err:
        return None, f"scorecard.json cannot be read: {type(err).__name__}"
    return (card, "") if isinstance(card, dict) else (None, "scorecard.json is not a scorecard")
