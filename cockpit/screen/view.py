"""What the panes are drawn from: the fold, the newest samples, and what time it is. Every age and every word of doubt comes from here.

Periods are seconds. A figure older than three periods, and at least two seconds, is stale: it is shown as old, never as good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cockpit.model.announced import parsed
from cockpit.model.budgets import Clock, Countdown, countdown, downtime
from cockpit.model.intents import Intent
from cockpit.model.state import ApprovalView, RunState
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Direction, Light, Mode, Side
from cockpit.screen.look import Status
from cockpit.timeline.follow import Latest
from cockpit.timeline.wire import Reply

PERIODS = {"lag": 0.25, "routing": 1.0, "recon": 1.0, "gates": 1.0, "readiness": 1.0, "server": 1.0, "pooler": 1.0, "pulse": 0.5}
"""How often the pilot writes each kind, at least."""

LIGHTS = {Light.PASS: Status.OK, Light.FAIL: Status.WARN, Light.UNKNOWN: Status.STALE}


class Source(Protocol):
    """Where the facts come from: a follower of a run folder."""

    state: RunState
    latest: Latest
    damage: str

    @property
    def behind(self) -> bool:
        """More is there than was read: what is known is not yet how it is now."""

    @property
    def more(self) -> bool:
        """A poll would read more, newer or earlier, as far as is known."""

    def poll(self) -> bool: ...

    def now(self) -> float: ...


class Player(Source, Protocol):
    """A source that plays a finished run, at a moment of one's choice."""

    speed: float
    playing: bool

    @property
    def position(self) -> float: ...

    @property
    def span(self) -> tuple[float, float]: ...

    def pause(self) -> None: ...

    def play(self) -> None: ...

    def faster(self, by: int) -> None: ...

    def step(self) -> None: ...

    def back(self) -> None: ...

    def turn(self, by: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Playing:
    """Where a replay stands: seconds since its first event, of how many."""

    at: float
    of: float
    speed: float
    going: bool


def playing(player: Player | None) -> Playing | None:
    """Where the replay stands; None where the run is looked at as it is."""
    if player is None:
        return None
    first, last = player.span
    return Playing(player.position - first, last - first, player.speed, player.playing)


class Link(Protocol):
    """Where intents go."""

    async def ask(self, intent: Intent) -> Reply: ...


@dataclass(frozen=True, slots=True)
class View:
    """One look at the run. `now` is of the pilot's monotonic clock, and stands still once the run is closed."""

    now: float
    state: RunState
    latest: Latest
    damage: str = ""
    watch: bool = False
    clock: float = 0.0
    """The same clock, always going on: what questions and messages expire by."""
    replay: Playing | None = None
    """None where the run is looked at as it is."""
    reading: bool = False
    """Not all that is there was read yet: silence is not judged by what is known."""

    def age(self, mono: float | None) -> float | None:
        """Seconds since `mono`; None where there is nothing to be old."""
        return None if mono is None else max(self.now - mono, 0.0)

    def stale(self, kind: str, mono: float | None) -> bool:
        """Whether a sample of `kind` from `mono` is too old to be believed; a missing one is."""
        if self.state.mode is Mode.CLOSED:
            return mono is None
        limit = max(3 * PERIODS[kind], 2.0)
        return mono is None or self.now - mono > limit

    @property
    def silence_s(self) -> float:
        """Seconds since the pilot was last heard, by pulse or by event; 0 while it is fresh or the run is over."""
        if self.state.mode is Mode.CLOSED or self.state.seq == 0 or self.reading:
            return 0.0
        pulse = self.latest.pulse
        heard = max(self.state.mono, pulse.mono if pulse else 0.0)
        quiet = self.now - heard
        return quiet if quiet > 2.0 else 0.0

    @property
    def downtime(self) -> Clock:
        return downtime(self.state, self.now)

    @property
    def t_seconds(self) -> float | None:
        """Seconds since writes stalled in the newest handover; it never stops. None before the first."""
        handover = self.state.handover
        if handover is None or handover.downtime_mono is None:
            return None
        return self.now - handover.downtime_mono

    @property
    def countdown(self) -> Countdown | None:
        """T-: to the moment when writes stall, while a handover is on its way there."""
        handover, on_its_way = self.state.handover, self.state.mode in {Mode.ARMING, Mode.ARMED, Mode.WINDOW}
        return countdown(handover, self.now) if handover is not None and on_its_way else None

    @property
    def announced_s(self) -> float | None:
        """L-: seconds until the announced start, negative once it is past; None where none is announced. By the pilot's wall clock."""
        start = parsed(self.state.announced)
        if start is None or self.state.mode is Mode.CLOSED or not self.state.tail:
            return None
        newest = self.state.tail[-1]
        then = parsed(newest.at)
        return (start - then).total_seconds() - (self.now - newest.mono) if then is not None else None

    @property
    def in_air(self) -> bool:
        """A handover is between its arming and its end."""
        return self.state.handover is not None and self.state.handover.outcome is None

    @property
    def direction(self) -> Direction:
        """Of the handover in the air, else of the one that would come next."""
        if self.in_air and self.state.handover is not None:
            return self.state.handover.direction
        return self.state.next_direction

    @property
    def approval(self) -> ApprovalView | None:
        """What a second person was asked and said of the handover in the air; None where none is to be asked."""
        return self.state.handover.approval if self.in_air and self.state.handover is not None else None

    @property
    def awaits_second(self) -> bool:
        """The armed handover cannot be confirmed before a second person has approved it."""
        handover = self.state.handover
        if self.state.mode is not Mode.ARMED or handover is None or not handover.second:
            return False
        return handover.approval is None or handover.awaits_second

    @property
    def second_left_s(self) -> float | None:
        """Seconds in which the second person can still answer; None while nobody is asked."""
        approval = self.approval
        if approval is None or not self.awaits_second:
            return None
        return max(approval.asked_mono + approval.expires_s - self.now, 0.0)

    @property
    def armed_left_s(self) -> float | None:
        """Seconds in which the armed handover can be confirmed; None while nothing is armed."""
        handover = self.state.handover
        if self.state.mode is not Mode.ARMED or handover is None or handover.armed_mono is None or self.awaits_second:
            return None
        return max(handover.armed_mono + handover.expires_s - self.now, 0.0)

    @property
    def gates(self) -> tuple[GateReading, ...]:
        """The gates as sampled; where there is no sample, as the timeline has them."""
        sample = self.latest.gates
        if sample is not None:
            return sample.gates
        return tuple(GateReading(g.id, g.id, g.light, g.reason, g.query, g.since_mono) for g in self.state.gates)

    def gate_status(self, gate: GateReading) -> Status:
        sample = self.latest.gates
        if sample is not None and self.stale("gates", sample.mono):
            return Status.STALE
        return LIGHTS[gate.light]

    def version(self, side: Side) -> str:
        """`16.9`; empty while unknown."""
        seen = self.latest.servers.get(side)
        return (seen.version if seen else "") or self.state.versions[0 if side is Side.BLUE else 1]

    @property
    def window_over(self) -> bool:
        """Whether the downtime clock stands: it has a final figure."""
        return self.state.handover is not None and self.state.handover.downtime_s is not None
