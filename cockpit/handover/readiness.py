"""Readiness: "going back now would take N s", and what it is made of. A function of what was measured and of what steps took."""

from __future__ import annotations

from cockpit.handover.procedure import WINDOW
from cockpit.model.budgets import step_seconds
from cockpit.model.settings import Scenario
from cockpit.model.state import RunState
from cockpit.model.telemetry import LagSample, ReadinessSample, ReconSample, Share
from cockpit.model.words import Side


def readiness(
    now: float, state: RunState, scenario: Scenario, lag: LagSample | None, recon: ReconSample | None, stale_after: float
) -> ReadinessSample:
    """What handing the service back would take: the rollback's window, with the drain and the proof as they stand now.

    While blue serves it is the forecast for after a cutover. Blocked, with the cause, where the way back does not work."""
    blocked = _blocked(now, state, lag, stale_after)
    shares = [Share(step, step_seconds(state, step, scenario.steps[step].planned)) for step in WINDOW]
    if state.serving is Side.GREEN and lag is not None:
        shares = [_now(share, lag, recon) for share in shares]
    total = None if blocked else sum(share.seconds for share in shares)
    return ReadinessSample(now, total, tuple(shares), blocked)


def _now(share: Share, lag: LagSample, recon: ReconSample | None) -> Share:
    if share.what == "drain" and lag.lag_bytes and lag.apply_bytes_s:
        return Share("drain", share.seconds + lag.lag_bytes / lag.apply_bytes_s)
    if share.what == "verify" and recon is not None and recon.freeze_cost_s is not None:
        return Share("verify", max(share.seconds, recon.freeze_cost_s))
    return share


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
