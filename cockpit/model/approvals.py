"""The second person: who counts as one, what they are shown, what their word must name, and when it stands.

The approval is of one armed handover of one plan, decided on what the newest state shows. Everything here is a function of the fold;
who somebody is comes from the operating system, never from what a client says.
"""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.model.events import FindingSeen
from cockpit.model.state import ApprovalView, HandoverView, RunState
from cockpit.model.telemetry import GateReading, ReadinessSample, ReconSample, TableProof
from cockpit.model.words import Consent, Direction, Mode, Side

COMMENT_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Person:
    """Who is at the other end of a socket, as the operating system says."""

    uid: int
    name: str
    login: int | None = None
    """The uid this session logged in as, whatever it became since; None where the kernel does not keep it."""
    groups: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Asker:
    """Who flies: none of these is a second person."""

    uids: frozenset[int]
    names: frozenset[str]
    login: int | None = None


@dataclass(frozen=True, slots=True)
class Approvers:
    """Who may be the second person, by number."""

    uids: frozenset[int] = frozenset()
    gid: int | None = None
    anyone: bool = False

    def name(self, person: Person) -> bool:
        return self.anyone or person.uid in self.uids or (self.gid is not None and self.gid in person.groups)


@dataclass(frozen=True, slots=True)
class Word:
    """What a second person says, and of what."""

    approve: bool
    handover: int
    plan_digest: str
    saw: int
    comment: str
    typed: str = ""
    """The pair's name, where it is an approval."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a second person is shown before deciding."""

    run: str
    pair: str
    drill: bool
    direction: Direction
    handover: int
    seq: int
    plan_digest: str
    scenario: str
    scenario_digest: str
    config_digest: str
    asked_by: str
    opened_by: str
    host: str
    left_s: float
    holds_s: float
    """Seconds in which the lead must confirm once it is approved."""
    serving: Side | None
    versions: tuple[str, str]
    gates: tuple[GateReading, ...]
    findings: tuple[FindingSeen, ...]
    """Those that block, warn or are waived."""
    recon: ReconSample | None
    recon_age_s: float | None
    unproven: tuple[TableProof, ...]
    """Tables that owe a proof and are not proven equal now."""
    readiness: ReadinessSample | None
    readiness_age_s: float | None
    alarms: tuple[str, ...]


def who_may_not(person: Person, asker: Asker, approvers: Approvers) -> str:
    """Why `person` is no second person here; empty when they are."""
    if person.uid in asker.uids:
        return f"{person.name} asks for it: another person must approve"
    if person.name in asker.names:
        return f"{person.name} is also the name of who asks: another person must approve"
    if person.login is not None and person.login == asker.login:
        return f"{person.name} logged in as who asks: becoming another user makes no second person"
    if not approvers.name(person):
        return f"{person.name} is not among those who may approve: the config's [cockpit.approvals] names them"
    return ""


def nothing_asked(state: RunState) -> str:
    """Why no second person is waited for now; empty while one is."""
    handover = state.handover
    if handover is None or handover.approval is None:
        return f"nothing waits for a second person: the run is {state.mode}"
    if handover.awaits_second and state.mode is Mode.ARMED:
        return ""
    return _answered(handover, handover.approval)


def _answered(handover: HandoverView, approval: ApprovalView) -> str:
    name = f"{handover.direction} {handover.number}"
    if approval.consent is Consent.REJECTED:
        return f"{name} was rejected by {approval.by}: {approval.comment}"
    if approval.consent is Consent.EXPIRED:
        return f"{name} no longer waits: {approval.why}"
    if approval.consent is Consent.GIVEN:
        return f"{name} was approved by {approval.by}"
    return f"{name} no longer waits: {handover.why or handover.outcome or 'it is not armed'}"


def word_refused(state: RunState, word: Word, now: float) -> str:
    """Why `word` does not count now; empty when it does."""
    why = nothing_asked(state)
    handover = state.handover
    if why or handover is None or handover.approval is None:
        return why or "nothing waits for a second person"
    approval = handover.approval
    if now > approval.asked_mono + approval.expires_s:
        return f"the question expired: it was open for {approval.expires_s:g} s"
    if (word.handover, word.plan_digest) != (handover.number, handover.plan_digest):
        return "said of another handover or another plan: look again"
    if not max(approval.asked_seq, state.evidence_seq) <= word.saw <= state.seq:
        return "a gate or a finding changed since you looked: look again"
    if not word.comment.strip():
        return "say why: a comment is needed"
    if word.approve and word.typed != state.pair:
        return f"type {state.pair} to approve"
    return ""


def approval_missing(state: RunState) -> str:
    """Why the armed handover cannot be confirmed yet, or any more; empty when a second person's approval stands."""
    handover = state.handover
    approval = handover.approval if handover else None
    if handover is None or approval is None:
        return "a second person was not asked yet"
    if approval.consent is Consent.ASKED:
        return f"a second person must approve it first: {approval.command}"
    if approval.consent is not Consent.GIVEN:
        return _answered(handover, approval)
    return approval_void(state)


def approval_void(state: RunState) -> str:
    """Why a given approval no longer stands; empty while it does."""
    approval = state.handover.approval if state.handover else None
    given = approval is not None and approval.consent is Consent.GIVEN
    if approval is not None and given and state.evidence_seq > approval.said_seq:
        return "the approval is void: a gate or a finding changed after it"
    return ""
