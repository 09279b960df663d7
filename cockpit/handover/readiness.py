"""Readiness: "going back now would take N s", what it is made of, and what it would leave unproven.

A function of what was measured and of what steps took."""

from __future__ import annotations

from cockpit.handover.procedure import IDS
from cockpit.model.budgets import rollback_parts, step_seconds
from cockpit.model.settings import Scenario
from cockpit.model.state import RunState
from cockpit.model.telemetry import LagSample, ReadinessSample, ReconSample, Share
from cockpit.model.words import Direction, ProofState, Side
from cockpit.timeline.follow import Latest

UNSETTLED = {ProofState.PENDING, ProofState.SCANNING, ProofState.DIFFERS, ProofState.UNVERIFIABLE}
"""Standings of a table that the proof inside the window does not settle: it proves what changed since a table was proven."""
RECON_STALE = 5
"""Reconciliation reports once a second at most: so many times the common age it may be old."""


def readiness(now: float, state: RunState, scenario: Scenario, latest: Latest, stale_after: float) -> ReadinessSample:
    """What handing the service back would take, from the key to the last app on blue, with the drain and the proof as they stand now.

    While blue serves it is the forecast for after a cutover. Blocked, with the cause, where the way back does not work."""
    lag = latest.lag
    blocked = _blocked(now, state, lag, stale_after)
    parts = rollback_parts({step: _took(state, scenario, step) for step in IDS}, (gate.hold for gate in scenario.rollback_gates))
    shares = [Share(step, seconds) for step, seconds in parts.items()]
    if state.serving is Side.GREEN and lag is not None:
        shares = [_now(share, lag, latest.recon) for share in shares]
    total = None if blocked else sum(share.seconds for share in shares)
    return ReadinessSample(now, total, tuple(shares), blocked, _unproven(now, latest, stale_after))


def _took(state: RunState, scenario: Scenario, step: str) -> float:
    """A cutover's arming says nothing of a rollback's: it may have copied all data."""
    return step_seconds(state, step, scenario.steps[step].planned, Direction.ROLLBACK if step == "arm" else None)


def _now(share: Share, lag: LagSample, recon: ReconSample | None) -> Share:
    if share.what == "drain" and lag.lag_bytes and lag.apply_bytes_s:
        return Share("drain", share.seconds + lag.lag_bytes / lag.apply_bytes_s)
    if share.what == "verify" and recon is not None and recon.freeze_cost_s is not None:
        return Share("verify", max(share.seconds, recon.freeze_cost_s))
    return share


def _unproven(now: float, latest: Latest, stale_after: float) -> str:
    recon = latest.recon
    if recon is None or now - recon.mono > stale_after * RECON_STALE:
        return "reconciliation is not running"
    tables = sorted(proof.table for proof in latest.tables.values() if proof.owed and proof.state in UNSETTLED)
    if tables:
        more = f" and {len(tables) - 3} more" if len(tables) > 3 else ""
        return f"{', '.join(tables[:3])}{more}"
    unknown = recon.tables_total - len(latest.tables)
    return f"{unknown} tables not looked at yet" if unknown > 0 else ""


def _blocked(now: float, state: RunState, lag: LagSample | None, stale_after: float) -> str:
    if state.serving is None:
        return "which side serves is not known"
    if lag is None:
        return "replication is not measured yet"
    if now - lag.mono > stale_after:
        return f"replication was last measured {now - lag.mono:.0f} s ago"
    if state.serving is Side.BLUE:
        return "" if lag.reverse_armed else "the way back is not armed yet"
    if lag.error:
        return lag.error
    if lag.worker != "running" or lag.slot_state != "active":
        return f"mirroring to blue stands still: slot {lag.slot_state}, worker {lag.worker}"
    return "" if lag.lag_bytes is not None else "mirroring to blue cannot be measured"
