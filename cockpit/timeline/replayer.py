"""A finished run played back: the same face as a `Follower`, driven by a clock of its own instead of the files' growth.

Events and samples are read once and released in the order of their `mono` as the replay's clock passes them. The clock runs at
`speed` times real time, can be paused, stepped to the next event and sought: seeking back folds anew from the start.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from cockpit.model.state import EMPTY, RunState, fold
from cockpit.model.telemetry import Sample
from cockpit.timeline.codec import decode_sample
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Latest
from cockpit.timeline.journal import read

LEAD_S = 1.0
"""Seconds before the first event at which a replay begins."""


class Replayer:
    """A run at a moment of its own time. `poll` moves it on."""

    def __init__(self, folder: RunFolder, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.speed = speed
        self.state: RunState = EMPTY
        self.latest = Latest()
        self.behind = False
        reading = read(folder.timeline)
        self.damage = f"record {reading.damaged_record} {reading.damage}" if reading.damage else ""
        self._events = reading.events
        self._samples = _read_samples(folder.samples)
        self._times = [event.mono for event in self._events]
        self._next_event = self._next_sample = 0
        self._clock = clock
        self._anchor = clock()
        self._position = (self._times[0] if self._times else 0.0) - LEAD_S
        self.playing = True

    @property
    def span(self) -> tuple[float, float]:
        """The run's own times of its first and last event."""
        return (self._times[0], self._times[-1]) if self._times else (0.0, 0.0)

    @property
    def over(self) -> bool:
        return self._next_event >= len(self._events)

    def now(self) -> float:
        """The moment shown, in the run's own monotonic seconds; it stands still once the last event is shown."""
        if not self.playing:
            return self._position
        return min(self._position + (self._clock() - self._anchor) * self.speed, self.span[1])

    def pause(self) -> None:
        """The replay stands still."""
        self._settle(self.now())
        self.playing = False

    def play(self) -> None:
        """The replay goes on."""
        self._settle(self.now())
        self.playing = True

    def seek(self, moment: float) -> None:
        """The replay shows `moment`, from the run's start where that lies behind."""
        if moment < self.now():
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

    def poll(self) -> bool:
        """Whether anything was released since the last call."""
        moment = self.now()
        before = (self._next_event, self._next_sample)
        until = bisect_right(self._times, moment)
        while self._next_event < until:
            self.state = fold(self.state, self._events[self._next_event])
            self._next_event += 1
        while self._next_sample < len(self._samples) and self._samples[self._next_sample].mono <= moment:
            self.latest.take(self._samples[self._next_sample])
            self._next_sample += 1
        return before != (self._next_event, self._next_sample)

    def close(self) -> None:
        """Nothing is held open."""

    def _settle(self, moment: float) -> None:
        self._position, self._anchor = moment, self._clock()


def _read_samples(path: Path) -> list[Sample]:
    """Every sample of the run, the older file first, in the order of their time; none where there is no file."""
    found: list[Sample] = []
    for file in (path.with_name(path.name + ".1"), path):
        try:
            lines = file.read_bytes().split(b"\n")
        except OSError:
            continue
        found.extend(sample for line in lines if (sample := decode_sample(line)) is not None)
    return sorted(found, key=lambda sample: sample.mono)
