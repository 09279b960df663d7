"""Verdicts come from the servers' sessions; what cannot be read is unknown, what nobody explains is a stranger."""

from __future__ import annotations

import pytest

from cockpit.handover.ports import Session
from cockpit.handover.routing import routing_sample
from cockpit.model.settings import AppSpec
from cockpit.model.words import Side, Verdict

APP = AppSpec("billing", "app_billing", "pool-1", None)
TWIN = AppSpec("audit", "app_billing", "pool-1", "audit")


def session(side: Side, role: str = "app_billing", application: str = "billing") -> Session:
    return Session(side, 7, role, application, "10.0.0.9", "idle", False, None)


@pytest.mark.parametrize(
    ("intended", "sides", "verdict"),
    [
        (Side.BLUE, [Side.BLUE], Verdict.ROUTED),
        (None, [Side.BLUE], Verdict.ROUTED),
        (Side.BLUE, [], Verdict.DARK),
        (Side.BLUE, [Side.BLUE, Side.GREEN], Verdict.DUAL),
        (Side.BLUE, [Side.GREEN], Verdict.STRAGGLER),
        (Side.GREEN, [Side.BLUE], Verdict.STRAGGLER),
        (Side.GREEN, [Side.GREEN], Verdict.STRAGGLER),
    ],
)
def test_verdicts_while_blue_serves(intended: Side | None, sides: list[Side], verdict: Verdict) -> None:
    sessions = {side: [session(side)] if side in sides else [] for side in Side}
    route = routing_sample(1.0, [APP], Side.BLUE, {"pool-1": intended}, sessions, {"billing": 3.0}, "q").apps[0]
    assert route.verdict is verdict
    assert bool(route.cause) is (verdict is not Verdict.ROUTED)
    assert route.writes_s == 3.0


def test_a_side_that_cannot_be_read_makes_every_verdict_unknown() -> None:
    sample = routing_sample(1.0, [APP], Side.BLUE, {}, {Side.BLUE: [session(Side.BLUE)], Side.GREEN: None}, {}, "q")
    assert sample.apps[0].verdict is Verdict.UNKNOWN
    assert sample.apps[0].green is None
    assert "green" in sample.apps[0].cause


def test_apps_that_share_a_role_are_told_apart_by_name() -> None:
    sessions = {Side.BLUE: [session(Side.BLUE, application="audit")], Side.GREEN: []}
    named = AppSpec("billing", "app_billing", "pool-1", "billing")
    routes = {r.app: r.verdict for r in routing_sample(1.0, [named, TWIN], Side.BLUE, {}, sessions, {}, "q").apps}
    assert routes == {"billing": Verdict.DARK, "audit": Verdict.ROUTED}


def test_strangers_are_named_with_where_they_come_from() -> None:
    sessions = {Side.BLUE: [session(Side.BLUE, "cron", "nightly\x1b[2J")], Side.GREEN: []}
    stranger = routing_sample(1.0, [APP], Side.BLUE, {}, sessions, {}, "q").apps[1]
    assert stranger.verdict is Verdict.STRANGER
    assert stranger.app == "cron/nightly^[[2J"
    assert "10.0.0.9" in stranger.cause
