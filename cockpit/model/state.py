"""The fold: the state of a run is a pure function of its timeline. The screen, `watch`, `replay`, `resume` and `export` all read it.

`fold(state, event)` returns the next state; `replay(events)` folds them all from `EMPTY`. Folding is total: an event that does not
fit (a step of no handover) leaves the state as it was but for `seq`, so a reader never fails on a strange file. The values here
have no slots: `values.replace` changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from dataclasses import replace as slotted
from typing import Any

from cockpit.model import clocks
from cockpit.model import events as ev
from cockpit.model.announced import parsed
from cockpit.model.values import replace
from cockpit.model.views import FIRST_TOUCH as FIRST_TOUCH
from cockpit.model.views import AlarmView as AlarmView
from cockpit.model.views import ApprovalView as ApprovalView
from cockpit.model.views import CheckView as CheckView
from cockpit.model.views import GateView as GateView
from cockpit.model.views import HandoverView as HandoverView
from cockpit.model.views import StepView as StepView
from cockpit.model.words import Consent, Direction, Mode, Outcome, Side, StepState

TAIL = 500
"""How many of the newest events a state carries."""


@dataclass(frozen=True)
class RunState:
    seq: int = 0
    mono: float = 0.0
    """Of the newest event."""
    run: str = ""
    pair: str = ""
    scenario: str = ""
    user: str = ""
    host: str = ""
    drill: bool = False
    opened_at: str = ""
    plan_digest: str = ""
    scenario_digest: str = ""
    config_digest: str = ""
    downtime_budget_s: float = 300.0
    rollback_budget_s: float = 300.0
    versions: tuple[str, str] = ("", "")
    """Of blue and of green."""
    plans: tuple[tuple[ev.PlannedLine, ...], tuple[ev.PlannedLine, ...]] = ((), ())
    """The steps of a cutover and of a rollback."""
    owner: str = ""
    owner_role: str = ""
    owner_pid: int = 0
    boot: str = ""
    serving: Side | None = None
    mode: Mode = Mode.OPENING
    mode_why: str = ""
    handover: HandoverView | None = None
    """The one in the air, or the last one."""
    unsettled: HandoverView | None = None
    """The one that was half way when `handover` was opened over it; it is `handover` again when that one ends and has touched nothing."""
    past: tuple[HandoverView, ...] = ()
    """Every closed handover, oldest first; the last may also be `handover`. One that was stuck and ended later is here once, as it ended."""
    gates: tuple[GateView, ...] = ()
    alarms: tuple[AlarmView, ...] = ()
    findings: tuple[ev.FindingSeen, ...] = ()
    checks: tuple[CheckView, ...] = ()
    """The business checks, each as it was read last."""
    parity: ev.ParityRead | None = None
    """What the last preflight found beside the rows; None where it could not compare them."""
    evidence_seq: int = 0
    """Of the newest event that changed a finding or a gate: what was decided on an older picture rests on another."""
    seats: tuple[ev.SeatTaken, ...] = ()
    """Every seat from which this run has acted on the pair, oldest first."""
    bill_exported: ev.BillExported | None = None
    """What an ungraceful handover left behind, as it was read last."""
    shut_out: bool = False
    """The side that an ungraceful handover left was seen fenced, emptied of sessions and following nobody."""
    announced: str = ""
    """When the next window is to open, ISO 8601 with its offset; empty where nobody said, or it has opened since."""
    open_action: str = ""
    """An action whose intent is on disk and whose result is not."""
    refusal: str = ""
    """Why the last intent was refused; empty once one is taken."""
    outcome: str = ""
    exit_code: int | None = None
    open_ends: tuple[str, ...] = ()
    tail: tuple[ev.Event, ...] = ()

    @property
    def next_direction(self) -> Direction:
        return Direction.away_from(self.serving or Side.BLUE)

    @property
    def parted(self) -> HandoverView | None:
        """The ungraceful handover after which the sides go their own ways; None while one still follows the other."""
        flown = (*self.past, self.handover) if self.handover is not None else self.past
        return next((h for h in reversed(flown) if h.ungraceful and h.past_return and self.serving is h.direction.target), None)

    @property
    def at_large(self) -> Side | None:
        """The side that an ungraceful handover left, until it was seen shut out: it may come back open, and the run is not over before."""
        return self.parted.direction.origin if self.parted is not None and not self.shut_out else None

    @property
    def open_words(self) -> tuple[str, ...]:
        """What is open, by name: every alarm, and a side that is at large."""
        said = tuple(alarm.what for alarm in self.alarms)
        if self.at_large is None or any(alarm.id == f"open: fence {self.at_large} on" for alarm in self.alarms):
            return said
        return (
            *said,
            f"{self.at_large} was not seen shut out: sessions from before its fence may write there, and it may follow {self.at_large.other}",
        )

    @property
    def owed(self) -> Side | None:
        """The side that keeps what an ungraceful handover left behind, while nobody has read it."""
        return self.parted.direction.origin if self.parted is not None and self.bill_exported is None else None

    @property
    def half_way(self) -> HandoverView | None:
        """The handover that has to be settled before the run may end; None where there is none."""
        return self.handover if self.handover is not None and self.handover.half_way else self.unsettled

    @property
    def planned(self) -> tuple[ev.PlannedLine, ...]:
        return self.plans[0 if self.next_direction is Direction.CUTOVER else 1]


EMPTY = RunState()


def replay(events: Iterable[ev.Event]) -> RunState:
    """The state after all `events`, from an empty run."""
    state = EMPTY
    for event in events:
        state = fold(state, event)
    return state


def fold(state: RunState, event: ev.Event) -> RunState:
    """The state after `event`."""
    change = _FOLDS.get(type(event.fact))
    after = change(state, event.fact, event) if change else state
    return replace(after, seq=event.seq, mono=event.mono, tail=(*after.tail[-(TAIL - 1) :], event))


def _run_opened(state: RunState, fact: ev.RunOpened, event: ev.Event) -> RunState:
    return replace(
        state,
        run=fact.run,
        pair=fact.pair,
        scenario=fact.scenario,
        user=fact.user,
        host=fact.host,
        drill=fact.drill,
        opened_at=event.at,
        plan_digest=fact.plan_digest,
        scenario_digest=fact.scenario_digest,
        config_digest=fact.config_digest,
        downtime_budget_s=fact.downtime_budget_s,
        rollback_budget_s=fact.rollback_budget_s,
        plans=(fact.steps, fact.rollback_steps),
    )


def _seated(state: RunState, fact: ev.PilotSeated, event: ev.Event) -> RunState:
    after = _rebased(state, event) if clocks.is_another(state.boot, state.tail, fact, event.mono) else state
    return replace(after, owner=fact.owner, owner_role=fact.role, owner_pid=fact.pid, boot=fact.boot or state.boot)


def _rebased(state: RunState, event: ev.Event) -> RunState:
    """`state` in the monotonic time of another boot or machine: the clocks' walls say how much time lies between the two."""
    shift, earlier = clocks.shift_s(state.tail, event), len(state.tail) - clocks.newly_begun(state.tail)
    handover = None if state.handover is None else _shifted(state.handover, shift)
    unsettled = None if state.unsettled is None else _shifted(state.unsettled, shift)
    alarms = tuple(replace(a, mono=a.mono + shift) for a in state.alarms)
    gates = tuple(replace(g, since_mono=g.since_mono + shift) for g in state.gates)
    checks = tuple(replace(c, mono=c.mono + shift) for c in state.checks)
    tail = (*(slotted(e, mono=e.mono + shift) for e in state.tail[:earlier]), *state.tail[earlier:])
    return replace(state, handover=handover, unsettled=unsettled, alarms=alarms, gates=gates, checks=checks, tail=tail)


def _shifted(view: HandoverView, shift: float) -> HandoverView:
    def moved(mono: float | None) -> float | None:
        return None if mono is None else mono + shift

    steps = tuple(replace(s, started_mono=moved(s.started_mono)) for s in view.steps)
    approval = None if view.approval is None else replace(view.approval, asked_mono=view.approval.asked_mono + shift)
    return replace(
        view,
        approval=approval,
        steps=steps,
        opened_mono=view.opened_mono + shift,
        armed_mono=moved(view.armed_mono),
        downtime_mono=moved(view.downtime_mono),
    )


def _sat(state: RunState, fact: ev.SeatTaken, event: ev.Event) -> RunState:
    return replace(state, seats=(*state.seats, fact))


def _taken_up(state: RunState, fact: ev.RunTakenUp, event: ev.Event) -> RunState:
    """A step that ran when the crash came stands still; its clock does not go on."""
    after = replace(state, user=fact.user, host=fact.host, mode=Mode.OPENING, mode_why="taken up after a crash", gates=(), refusal="")
    after = replace(after, outcome="", exit_code=None, open_ends=())
    if after.handover is None:
        return after
    cut = (replace(s, state=StepState.FAILED, detail="cut off") if s.state is StepState.RUNNING else s for s in after.handover.steps)
    return replace(after, handover=replace(after.handover, steps=tuple(cut)))


def _step_found(state: RunState, fact: ev.StepFound, event: ev.Event) -> RunState:
    return _step(state, fact.step, found=fact.known)


def _sides(state: RunState, fact: ev.SidesSeen, event: ev.Event) -> RunState:
    return replace(state, serving=fact.serving, versions=(fact.blue, fact.green))


def _mode(state: RunState, fact: ev.ModeChanged, event: ev.Event) -> RunState:
    after = replace(state, mode=fact.mode, mode_why=fact.why)
    if fact.mode is Mode.ARMED and state.handover is not None:
        after = replace(after, handover=replace(state.handover, armed_mono=event.mono))
    return after


def _closed(state: RunState, fact: ev.RunClosed, event: ev.Event) -> RunState:
    return replace(
        state,
        mode=Mode.CLOSED,
        outcome=fact.outcome,
        exit_code=fact.exit_code,
        serving=fact.serving or state.serving,
        open_ends=fact.open_ends,
        open_action="",
    )


def _intent_taken(state: RunState, fact: ev.IntentTaken, event: ev.Event) -> RunState:
    return replace(state, refusal="")


def _start_announced(state: RunState, fact: ev.StartAnnounced, event: ev.Event) -> RunState:
    return replace(state, announced=fact.start if parsed(fact.start) else "")


def _intent_refused(state: RunState, fact: ev.IntentRefused, event: ev.Event) -> RunState:
    return replace(state, refusal=fact.reason)


def _preflight_started(state: RunState, fact: ev.PreflightStarted, event: ev.Event) -> RunState:
    return replace(state, findings=(), parity=None, evidence_seq=event.seq)


def _finding(state: RunState, fact: ev.FindingSeen, event: ev.Event) -> RunState:
    kept = tuple(f for f in state.findings if (f.check, f.object) != (fact.check, fact.object))
    return replace(state, findings=(*kept, fact), evidence_seq=event.seq)


def _check(state: RunState, fact: ev.CheckRead, event: ev.Event) -> RunState:
    view = CheckView(fact, event.mono)
    known = any(c.read.what == fact.what for c in state.checks)
    return replace(state, checks=tuple(view if c.read.what == fact.what else c for c in state.checks) if known else (*state.checks, view))


def _parity(state: RunState, fact: ev.ParityRead, event: ev.Event) -> RunState:
    return replace(state, parity=fact)


def _gate(state: RunState, fact: ev.GateTurned, event: ev.Event) -> RunState:
    view = GateView(fact.gate, fact.light, fact.reason, fact.query, event.mono)
    known = any(g.id == fact.gate for g in state.gates)
    gates = tuple(view if g.id == fact.gate else g for g in state.gates) if known else (*state.gates, view)
    return replace(state, gates=gates, evidence_seq=event.seq)


def _handover_opened(state: RunState, fact: ev.HandoverOpened, event: ev.Event) -> RunState:
    lines = fact.steps or state.plans[0 if fact.direction is Direction.CUTOVER else 1]
    view = HandoverView(
        number=fact.number,
        direction=fact.direction,
        steps=tuple(StepView(p.id, p.title, p.planned_s, p.in_window) for p in lines),
        opened_mono=event.mono,
        confirmation=fact.confirmation,
        opened_seq=event.seq,
        expires_s=fact.expires_s,
        plan_digest=fact.plan_digest,
        second=fact.second,
        ungraceful=fact.ungraceful,
    )
    return replace(state, handover=view, unsettled=state.half_way, open_action="")


def _bill(state: RunState, fact: ev.BillDrawn, event: ev.Event) -> RunState:
    return _handover_changes(state, bill=fact.bill)


def _bill_exported(state: RunState, fact: ev.BillExported, event: ev.Event) -> RunState:
    return replace(state, bill_exported=fact)


def _shut_out(state: RunState, fact: ev.ShutOut, event: ev.Event) -> RunState:
    return replace(state, shut_out=True)


def _handover_closed(state: RunState, fact: ev.HandoverClosed, event: ev.Event) -> RunState:
    if state.handover is None:
        return state
    view = replace(
        state.handover,
        outcome=fact.outcome,
        seconds=fact.seconds,
        why=fact.why,
        downtime_s=fact.downtime_s if fact.downtime_s is not None else state.handover.downtime_s,
    )
    past = tuple(earlier for earlier in state.past if earlier.number != fact.number)
    over = replace(state, handover=view, unsettled=None, past=(*past, view), serving=fact.serving or state.serving, open_action="")
    untouched = fact.outcome is Outcome.ABORTED and not view.touched and not view.past_return
    return replace(over, handover=state.unsettled) if untouched and state.unsettled is not None else over


def _step(state: RunState, step: str, /, **changes: Any) -> RunState:
    if state.handover is None:
        return state
    steps = tuple(replace(s, **changes) if s.id == step else s for s in state.handover.steps)
    return replace(state, handover=replace(state.handover, steps=steps))


def _approval_asked(state: RunState, fact: ev.ApprovalAsked, event: ev.Event) -> RunState:
    view = ApprovalView(Consent.ASKED, fact.by, fact.uid, event.mono, event.seq, fact.expires_s, fact.command)
    return _awaiting(_handover_changes(state, approval=view), "waits for a second person")


def _approval_given(state: RunState, fact: ev.ApprovalGiven, event: ev.Event) -> RunState:
    given = _consent(state, consent=Consent.GIVEN, by=fact.by, uid=fact.uid, said_seq=event.seq, comment=fact.comment)
    return _awaiting(_handover_changes(given, armed_mono=event.mono), f"approved by {fact.by}, waits for the lead")


def _approval_rejected(state: RunState, fact: ev.ApprovalRejected, event: ev.Event) -> RunState:
    return _consent(state, consent=Consent.REJECTED, by=fact.by, uid=fact.uid, said_seq=event.seq, comment=fact.comment)


def _approval_expired(state: RunState, fact: ev.ApprovalExpired, event: ev.Event) -> RunState:
    return _consent(state, consent=Consent.EXPIRED, why=fact.why)


def _consent(state: RunState, /, **changes: Any) -> RunState:
    if state.handover is None or state.handover.approval is None:
        return state
    return _handover_changes(state, approval=replace(state.handover.approval, **changes))


def _awaiting(state: RunState, what: str) -> RunState:
    """The running step says what it waits for."""
    current = state.handover.current if state.handover else None
    return _step(state, current.id, detail=what) if current else state


def _step_started(state: RunState, fact: ev.StepStarted, event: ev.Event) -> RunState:
    return _step(state, fact.step, state=StepState.RUNNING, started_mono=event.mono, ms=None, detail="", found=None)


def _step_finished(state: RunState, fact: ev.StepFinished, event: ev.Event) -> RunState:
    return _step(state, fact.step, state=StepState.DONE, ms=fact.ms, detail="")


def _step_failed(state: RunState, fact: ev.StepFailed, event: ev.Event) -> RunState:
    return _step(state, fact.step, state=StepState.FAILED, ms=fact.ms, detail=fact.why)


def _action_intended(state: RunState, fact: ev.ActionIntended, event: ev.Event) -> RunState:
    after = replace(state, open_action=fact.action)
    current = state.handover.current if state.handover else None
    return _step(after, current.id, detail=fact.action) if current else after


def _action_over(state: RunState, fact: Any, event: ev.Event) -> RunState:
    return replace(state, open_action="" if state.open_action == fact.action else state.open_action)


def _action_failed(state: RunState, fact: ev.ActionFailed, event: ev.Event) -> RunState:
    return state if fact.unknown else _action_over(state, fact, event)


def _handover_changes(state: RunState, /, **changes: Any) -> RunState:
    if state.handover is None:
        return state
    return replace(state, handover=replace(state.handover, **changes))


def _downtime_started(state: RunState, fact: ev.DowntimeStarted, event: ev.Event) -> RunState:
    return _handover_changes(replace(state, announced=""), downtime_mono=event.mono, downtime_s=None)


def _downtime_ended(state: RunState, fact: ev.DowntimeEnded, event: ev.Event) -> RunState:
    return _handover_changes(state, downtime_s=fact.seconds)


def _fence_set(state: RunState, fact: ev.FenceSet, event: ev.Event) -> RunState:
    return _handover_changes(state, fence_lsn=fact.lsn)


def _return_passed(state: RunState, fact: ev.ReturnPassed, event: ev.Event) -> RunState:
    return replace(_handover_changes(state, past_return=True), serving=fact.serving, shut_out=False)


def _alarm(state: RunState, fact: ev.AlarmRaised, event: ev.Event) -> RunState:
    kept = tuple(a for a in state.alarms if a.id != fact.alarm)
    return replace(state, alarms=(*kept, AlarmView(fact.alarm, fact.what, fact.query, fact.remedy, event.mono)))


def _alarm_cleared(state: RunState, fact: ev.AlarmCleared, event: ev.Event) -> RunState:
    return replace(state, alarms=tuple(a for a in state.alarms if a.id != fact.alarm))


_FOLDS: dict[type, Callable[[RunState, Any, ev.Event], RunState]] = {
    ev.RunOpened: _run_opened,
    ev.PilotSeated: _seated,
    ev.SeatTaken: _sat,
    ev.RunTakenUp: _taken_up,
    ev.StepFound: _step_found,
    ev.SidesSeen: _sides,
    ev.ModeChanged: _mode,
    ev.RunClosed: _closed,
    ev.IntentTaken: _intent_taken,
    ev.StartAnnounced: _start_announced,
    ev.IntentRefused: _intent_refused,
    ev.ApprovalAsked: _approval_asked,
    ev.ApprovalGiven: _approval_given,
    ev.ApprovalRejected: _approval_rejected,
    ev.ApprovalExpired: _approval_expired,
    ev.PreflightStarted: _preflight_started,
    ev.FindingSeen: _finding,
    ev.CheckRead: _check,
    ev.ParityRead: _parity,
    ev.GateTurned: _gate,
    ev.HandoverOpened: _handover_opened,
    ev.HandoverClosed: _handover_closed,
    ev.BillDrawn: _bill,
    ev.BillExported: _bill_exported,
    ev.ShutOut: _shut_out,
    ev.StepStarted: _step_started,
    ev.StepFinished: _step_finished,
    ev.StepFailed: _step_failed,
    ev.ActionIntended: _action_intended,
    ev.ActionDone: _action_over,
    ev.ActionProbed: _action_over,
    ev.ActionFailed: _action_failed,
    ev.DowntimeStarted: _downtime_started,
    ev.DowntimeEnded: _downtime_ended,
    ev.FenceSet: _fence_set,
    ev.ReturnPassed: _return_passed,
    ev.AlarmRaised: _alarm,
    ev.AlarmCleared: _alarm_cleared,
}
