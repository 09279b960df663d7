"""What a run's state is made of: a step, a handover and what was said of it, a gate, an alarm, a check. Without slots: `values.replace` changes them."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.model.beside import CheckRead
from cockpit.model.bill import Bill
from cockpit.model.words import Consent, Direction, Known, Light, Outcome, StepState

FIRST_TOUCH = "steer"
"""The first step that touches what serves."""


@dataclass(frozen=True)
class StepView:
    id: str
    title: str
    planned_s: float
    in_window: bool
    state: StepState = StepState.WAITING
    started_mono: float | None = None
    ms: float | None = None
    detail: str = ""
    """Why it failed, or the action it is at."""
    found: Known | None = None
    """What a look at the world said of it after a crash; None where nobody looked."""


@dataclass(frozen=True)
class ApprovalView:
    """What a second person was asked and said."""

    consent: Consent
    asked_by: str
    asked_uid: int
    asked_mono: float
    asked_seq: int
    expires_s: float
    command: str
    by: str = ""
    """Who said it; empty while nobody did."""
    uid: int | None = None
    said_seq: int = 0
    comment: str = ""
    why: str = ""
    """Why it no longer stands."""


@dataclass(frozen=True)
class HandoverView:
    number: int
    direction: Direction
    steps: tuple[StepView, ...]
    opened_mono: float
    confirmation: str
    opened_seq: int = 0
    armed_mono: float | None = None
    """Since when the lead can confirm it: since it is armed, or approved where a second person must."""
    expires_s: float = 0.0
    plan_digest: str = ""
    second: bool = False
    """A second person must approve it."""
    ungraceful: bool = False
    """It goes without what the target has not."""
    bill: Bill | None = None
    """What that is, as drawn last."""
    approval: ApprovalView | None = None
    downtime_mono: float | None = None
    """When writes stalled; None before."""
    downtime_s: float | None = None
    """How long they stalled; None until they flow."""
    fence_lsn: str = ""
    past_return: bool = False
    outcome: Outcome | None = None
    seconds: float | None = None
    why: str = ""

    @property
    def current(self) -> StepView | None:
        return next((s for s in self.steps if s.state is StepState.RUNNING), None)

    @property
    def awaits_second(self) -> bool:
        """It is in the air and a second person has been asked and has not answered."""
        return self.outcome is None and self.approval is not None and self.approval.consent is Consent.ASKED

    @property
    def touched(self) -> bool:
        """Something that serves may have been touched: from the first step after the lead's word on."""
        return self.downtime_mono is not None or any(s.id == FIRST_TOUCH and s.started_mono is not None for s in self.steps)

    @property
    def half_way(self) -> bool:
        """Neither ended whole nor untouched."""
        return self.outcome is Outcome.STUCK or (self.outcome is None and (self.touched or self.past_return))


@dataclass(frozen=True)
class GateView:
    id: str
    light: Light
    reason: str
    query: str
    since_mono: float


@dataclass(frozen=True)
class AlarmView:
    id: str
    what: str
    query: str
    remedy: str
    mono: float


@dataclass(frozen=True)
class CheckView:
    """A business check as it was read last."""

    read: CheckRead
    mono: float
