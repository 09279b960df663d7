"""A finished run played back: the same face as a `Follower`, driven by a clock of its own instead of the files' growth.

Events and samples are read once and released in their order as the replay's clock passes them. The clock runs at `speed` times real
time, can be paused, moved and sought: seeking back folds anew from the start. A run that was taken up on another boot or machine has
monotonic times of several origins: they are laid end to end, as far apart as the events' walls say.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cockpit.model import clocks
from cockpit.model import events as ev
from cockpit.model.state import EMPTY, RunState, fold
from cockpit.model.telemetry import Sample
from cockpit.timeline.codec import decode_sample
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Latest
from cockpit.timeline.journal import read

LEAD_S = 1.0
"""Seconds before the first event at which a replay begins."""
SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
BATCH = 400
"""How much one `poll` releases at most: a screen that seeks far stays answerable."""
TRIES = 100
"""More take-ups in a row than any lead left again before a pilot sat down."""
TURNS = (
    ev.HandoverOpened,
    ev.StepStarted,
    ev.DowntimeStarted,
    ev.ReturnPassed,
    ev.HandoverClosed,
    ev.AlarmRaised,
    ev.RunTakenUp,
    ev.RunClosed,
)
"""Facts that a reader wants to jump to."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events of one boot: `shift` makes its monotonic times those of the replay, which reach it at `begins`."""

    begins: float
    shift: float


class Replayer:
    """A run at a moment of its own time. `poll` moves it on."""

    def __init__(self, folder: RunFolder, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.speed = speed
        self.state: RunState = EMPTY
        self.latest = Latest()
        reading = read(folder.timeline)
        self.damage = f"record {reading.damaged_record} {reading.damage}" if reading.damage else ""
        self._events = reading.events
        self._stretches, self._times = _end_to_end(self._events)
        samples = read_samples(folder.samples)
        self._samples = sorted(zip(_laid(self._stretches, [s.mono for s in samples]), samples, strict=True), key=lambda pair: pair[0])
        self._turns = [at for at, event in zip(self._times, self._events, strict=True) if isinstance(event.fact, TURNS)]
        self._next_event = self._next_sample = 0
        self._clock = clock
        self._anchor = clock()
        self._position = self.span[0] - LEAD_S
        self.playing = True

    @property
    def span(self) -> tuple[float, float]:
        """The replay's times of the run's first and last event."""
        return (self._times[0], self._times[-1]) if self._times else (0.0, 0.0)

    @property
    def over(self) -> bool:
        return self._next_event >= len(self._events)

    @property
    def behind(self) -> bool:
        """There is more to release than one `poll` did."""
        return self._next_event < bisect_right(self._times, self.position)

    @property
    def more(self) -> bool:
        """There is more to release, events or samples."""
        waiting = self._next_sample < len(self._samples) and self._samples[self._next_sample][0] <= self.position
        return waiting or self.behind

    @property
    def position(self) -> float:
        """The moment shown; it stands still once the last event is shown."""
        if not self.playing:
            return self._position
        return min(self._position + (self._clock() - self._anchor) * self.speed, self.span[1])

    def now(self) -> float:
        """The moment shown, in the monotonic seconds of the boot that it belongs to: what the state's own times are of."""
        position = self.position
        stretch = next((s for s in reversed(self._stretches) if s.begins <= position), None)
        return position - stretch.shift if stretch is not None else position

    def pause(self) -> None:
        """The replay stands still."""
        self._settle(self.position)
        self.playing = False

    def play(self) -> None:
        """The replay goes on."""
        self._settle(self.position)
        self.playing = True

    def faster(self, by: int) -> None:
        """So many notches of `SPEEDS` faster, or slower where `by` is negative."""
        self._settle(self.position)
        notch = bisect_left(SPEEDS, self.speed) + by
        self.speed = SPEEDS[min(max(notch, 0), len(SPEEDS) - 1)]

    def seek(self, moment: float) -> None:
        """The replay shows `moment`, from the run's start where that lies behind."""
        first, last = self.span
        moment = min(max(moment, first - LEAD_S), last)
        if moment < self.position:
            self.state, self.latest = EMPTY, Latest()
            self._next_event = self._next_sample = 0
        self._settle(moment)
        self.poll()

    def step(self) -> None:
        """The next event is shown."""
        if not self.over:
            self.seek(self._times[self._next_event])

    def back(self) -> None:
        """The event shown last is taken back."""
        if self._next_event > 1:
            self.seek(self._times[self._next_event - 2])

    def turn(self, by: int) -> None:
        """The next turn of the run is shown, or with -1 the one before."""
        at = self.position
        later = bisect_right(self._turns, at) if by > 0 else bisect_left(self._turns, at) - 1
        if 0 <= later < len(self._turns):
            self.seek(self._turns[later])

    def poll(self) -> bool:
        """Whether anything was released since the last call; at most `BATCH` events and samples."""
        moment, before = self.position, (self._next_event, self._next_sample)
        until = min(bisect_right(self._times, moment), self._next_event + BATCH)
        while self._next_event < until:
            self.state = fold(self.state, self._events[self._next_event])
            self._next_event += 1
        limit = self._next_sample + BATCH
        while self._next_sample < min(len(self._samples), limit) and self._samples[self._next_sample][0] <= moment:
            self.latest.take(self._samples[self._next_sample][1])
            self._next_sample += 1
        return before != (self._next_event, self._next_sample)

    def close(self) -> None:
        """Nothing is held open."""

    def _settle(self, moment: float) -> None:
        self._position, self._anchor = moment, self._clock()


def _end_to_end(events: Sequence[ev.Event]) -> tuple[list[Stretch], list[float]]:
    """Where the monotonic times begin anew, each stretch moved behind the one before it; and the replay's time of each event."""
    if not events:
        return [], []
    stretches, times = [Stretch(events[0].mono, 0.0)], [events[0].mono]
    begins = _begins(events)
    for number, (before, event) in enumerate(pairwise(events), start=1):
        if number in begins:
            begin = times[-1] + clocks.between_s(before.at, event.at)
            stretches.append(Stretch(begin, begin - event.mono))
        times.append(event.mono + stretches[-1].shift)
    return stretches, times


def _begins(events: Sequence[ev.Event]) -> set[int]:
    """The places of the events that are the first of another boot."""
    found, boot = set(), ""
    for number, event in enumerate(events):
        if number and event.mono < events[number - 1].mono:
            found.add(number)
        if isinstance(event.fact, ev.PilotSeated):
            if event.fact.boot and boot not in {"", event.fact.boot}:
                found.add(number - clocks.newly_begun(events[max(number - TRIES, 0) : number]))
            boot = event.fact.boot or boot
    return found


def _laid(stretches: Sequence[Stretch], monos: Iterable[float]) -> list[float]:
    """The replay's times of what was written in this order beside the events: a time that does not fit a stretch is of the next one."""
    laid: list[float] = []
    n, before = 0, float("-inf")
    for mono in monos:
        if mono < before - LEAD_S and n + 1 < len(stretches):
            n += 1
        while n + 1 < len(stretches) and mono + stretches[n].shift > stretches[n + 1].begins + LEAD_S:
            n += 1
        laid.append(mono + (stretches[n].shift if stretches else 0.0))
        before = mono
    return laid


def read_samples(path: Path) -> list[Sample]:
    """Every sample of the run, the older file first, as it was written; none where there is no file."""
    found: list[Sample] = []
    for file in (path.with_name(path.name + ".1"), path):
        try:
            lines = file.read_bytes().split(b"\n")
        except OSError:
            continue
        found.extend(sample for line in lines if (sample := decode_sample(line)) is not None)
    return found
