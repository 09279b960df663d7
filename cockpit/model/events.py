"""The events: everything that happens in a run, as frozen facts.

A timeline is a list of `Event`s. `kind` is the fact's stable name on disk (`FACTS`); adding a field needs a default, so that an
older timeline still reads. Text that comes from outside is already `plain`, secrets already masked, when it enters a fact.
Times: `at` is UTC wall time (ISO 8601, microseconds), for people; `mono` is the pilot's monotonic clock in seconds, for durations.
Order is `seq` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cockpit.model.asides import BillDrawn as BillDrawn
from cockpit.model.asides import BillExported as BillExported
from cockpit.model.asides import RepairBegun as RepairBegun
from cockpit.model.asides import RepairDone as RepairDone
from cockpit.model.asides import StartAnnounced as StartAnnounced
from cockpit.model.beside import CheckRead as CheckRead
from cockpit.model.beside import ParityRead as ParityRead
from cockpit.model.certified import Certified as Certified
from cockpit.model.plan import Statement
from cockpit.model.words import Direction, Known, Light, Mode, Outcome, Severity, Side

Evidence = Mapping[str, object]
"""What was seen: JSON scalars, lists and objects only."""


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """A step as the plan had it, kept in the timeline so that a reader needs nothing else."""

    id: str
    title: str
    planned_s: float
    in_window: bool


# --- the run ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunOpened:
    run: str
    pair: str
    scenario: str
    scenario_digest: str
    config_digest: str
    plan_digest: str
    user: str
    host: str
    version: str
    drill: bool
    downtime_budget_s: float
    rollback_budget_s: float
    steps: tuple[PlannedLine, ...]
    rollback_steps: tuple[PlannedLine, ...]


@dataclass(frozen=True, slots=True)
class PilotSeated:
    """A process owns the run from here on; a later one fences it out."""

    role: str
    """`pilot` or `guardian`."""
    pid: int
    owner: str
    """Random token; only its holder may append."""
    boot: str = ""
    """Which boot of which machine `mono` counts from; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class SeatTaken:
    """This run's pilot is about to act on the pair and says so on the servers, where `seat` stands from then on. Who takes the run up later
    knows by it whether anybody else has taken the pair up since: a copy of a run folder does not know what was flown with the other."""

    seat: str
    epoch: int
    """The least number it has there."""


@dataclass(frozen=True, slots=True)
class RunTakenUp:
    """A new pilot goes on with a run that nobody flew any more. It touches nothing before a person has chosen."""

    user: str
    host: str
    torn: str = ""
    """What the crash left unfinished at the timeline's end."""
    changed: str = ""
    """What of config and scenario is no longer as it was when the run was opened."""


@dataclass(frozen=True, slots=True)
class StepFound:
    """What a look at the world says of a step, whatever the timeline says of it."""

    step: str
    known: Known
    evidence: Evidence = field(default_factory=dict)
    """By action: what its probe saw."""


@dataclass(frozen=True, slots=True)
class SidesSeen:
    """Which side was found to serve, and the two versions."""

    serving: Side
    blue: str
    green: str
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModeChanged:
    mode: Mode
    why: str = ""


@dataclass(frozen=True, slots=True)
class RunClosed:
    outcome: str
    """`done`, `aborted`, `rolled-back`, `failed`."""
    exit_code: int
    serving: Side | None
    open_ends: tuple[str, ...] = ()
    """What is still on the servers or not settled, in words."""


# --- people -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IntentTaken:
    intent: str
    by: str
    saw: int
    """The sequence number the sender's screen showed."""
    argument: str = ""


@dataclass(frozen=True, slots=True)
class IntentRefused:
    intent: str
    by: str
    saw: int
    reason: str


@dataclass(frozen=True, slots=True)
class NoteTaken:
    by: str
    text: str


# --- the second person --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """The armed handover waits for a second person. `by` and `uid` are who armed it; no approval of theirs counts."""

    number: int
    plan_digest: str
    by: str
    uid: int
    expires_s: float
    """Seconds in which it must be given."""
    command: str
    """What the second person types."""


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """`by` and `uid` are the operating system's word, not the client's."""

    number: int
    plan_digest: str
    by: str
    uid: int
    saw: int
    """The sequence number of what was shown when it was decided."""
    comment: str


@dataclass(frozen=True, slots=True)
class ApprovalRejected:
    number: int
    plan_digest: str
    by: str
    uid: int
    saw: int
    comment: str


@dataclass(frozen=True, slots=True)
class ApprovalRefused:
    """Somebody's word was not taken; nothing changed by it."""

    by: str
    uid: int
    saw: int
    reason: str


@dataclass(frozen=True, slots=True)
class ApprovalExpired:
    """What was asked or given no longer stands: out of time, or void."""

    number: int
    why: str


# --- before the window ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PreflightStarted:
    """The findings that follow replace all earlier ones."""


@dataclass(frozen=True, slots=True)
class FindingSeen:
    """One preflight finding, as a fact."""

    check: str
    object: str
    severity: Severity
    seen: str
    query: str
    remedy: str
    waived: str = ""
    """The waiver's reason, where there is one."""


@dataclass(frozen=True, slots=True)
class PreflightDone:
    blocks: int
    warnings: int
    good: int
    waived: int


@dataclass(frozen=True, slots=True)
class GateTurned:
    gate: str
    light: Light
    reason: str
    query: str = ""


# --- a handover ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandoverOpened:
    """The lead asked for it; it is numbered from 1 within the run."""

    number: int
    direction: Direction
    plan_digest: str
    confirmation: str
    expires_s: float = 0.0
    second: bool = False
    """A second person must approve it before the lead can confirm it."""
    ungraceful: bool = False
    """It goes without what the target has not; the bill is drawn before it is confirmed."""
    steps: tuple[PlannedLine, ...] = ()
    """Where they are others than those the run was opened with."""


@dataclass(frozen=True, slots=True)
class ShutOut:
    """A side that an ungraceful handover left was seen fenced, without an app session that could commit, and following nobody."""

    side: Side


@dataclass(frozen=True, slots=True)
class HandoverClosed:
    number: int
    outcome: Outcome
    seconds: float
    serving: Side | None
    why: str = ""
    downtime_s: float | None = None
    """From the first pause to the resume, as the pilot saw it; apps' own stalls are in the scorecard."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    step: str
    ms: float
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepFailed:
    step: str
    ms: float
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ActionIntended:
    """On disk before the action touches the world."""

    action: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class ActionDone:
    action: str
    ms: float
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActionFailed:
    action: str
    ms: float
    why: str
    unknown: bool = False
    """Sent, but no answer: it may have taken effect."""


@dataclass(frozen=True, slots=True)
class ActionProbed:
    action: str
    known: Known
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DowntimeStarted:
    """Writes are stalled from here on."""


@dataclass(frozen=True, slots=True)
class FenceSet:
    side: Side
    lsn: str
    """`pg_current_wal_lsn()` of the fenced side after the last app transaction, as `X/Y`."""


@dataclass(frozen=True, slots=True)
class ReturnPassed:
    """The point of no return: from here on the target takes app writes."""

    serving: Side


@dataclass(frozen=True, slots=True)
class DowntimeEnded:
    seconds: float


# --- afterwards -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlarmRaised:
    """Something a person should look at: its cause and the query that shows it."""

    alarm: str
    """Stable id; a second one with the same id replaces the first."""
    what: str
    query: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class AlarmCleared:
    alarm: str


Fact = (
    RunOpened
    | PilotSeated
    | SeatTaken
    | RunTakenUp
    | StepFound
    | SidesSeen
    | ModeChanged
    | RunClosed
    | IntentTaken
    | IntentRefused
    | NoteTaken
    | StartAnnounced
    | ApprovalAsked
    | ApprovalGiven
    | ApprovalRejected
    | ApprovalRefused
    | ApprovalExpired
    | PreflightStarted
    | FindingSeen
    | PreflightDone
    | CheckRead
    | ParityRead
    | GateTurned
    | HandoverOpened
    | BillDrawn
    | BillExported
    | ShutOut
    | RepairBegun
    | RepairDone
    | HandoverClosed
    | StepStarted
    | StepFinished
    | StepFailed
    | ActionIntended
    | ActionDone
    | ActionFailed
    | ActionProbed
    | DowntimeStarted
    | FenceSet
    | Certified
    | ReturnPassed
    | DowntimeEnded
    | AlarmRaised
    | AlarmCleared
)

FACTS: dict[str, type] = {
    "run.opened": RunOpened,
    "pilot.seated": PilotSeated,
    "seat.taken": SeatTaken,
    "run.taken-up": RunTakenUp,
    "step.found": StepFound,
    "sides.seen": SidesSeen,
    "mode": ModeChanged,
    "run.closed": RunClosed,
    "intent.taken": IntentTaken,
    "intent.refused": IntentRefused,
    "note": NoteTaken,
    "start.announced": StartAnnounced,
    "approval.asked": ApprovalAsked,
    "approval.given": ApprovalGiven,
    "approval.rejected": ApprovalRejected,
    "approval.refused": ApprovalRefused,
    "approval.expired": ApprovalExpired,
    "preflight.started": PreflightStarted,
    "preflight.finding": FindingSeen,
    "preflight.done": PreflightDone,
    "check.read": CheckRead,
    "parity.read": ParityRead,
    "gate": GateTurned,
    "handover.opened": HandoverOpened,
    "handover.closed": HandoverClosed,
    "bill.drawn": BillDrawn,
    "bill.exported": BillExported,
    "side.shut-out": ShutOut,
    "repair.begun": RepairBegun,
    "repair.done": RepairDone,
    "step.started": StepStarted,
    "step.finished": StepFinished,
    "step.failed": StepFailed,
    "action.intended": ActionIntended,
    "action.done": ActionDone,
    "action.failed": ActionFailed,
    "action.probed": ActionProbed,
    "downtime.started": DowntimeStarted,
    "fence.set": FenceSet,
    "certificate": Certified,
    "return.passed": ReturnPassed,
    "downtime.ended": DowntimeEnded,
    "alarm.raised": AlarmRaised,
    "alarm.cleared": AlarmCleared,
}
FACT_KINDS: dict[type, str] = {cls: kind for kind, cls in FACTS.items()}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a timeline."""

    seq: int
    """From 1, without gaps."""
    at: str
    mono: float
    by: str
    """`pilot` or `guardian`."""
    fact: Fact

    @property
    def kind(self) -> str:
        return FACT_KINDS[type(self.fact)]
