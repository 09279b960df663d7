"""Every oracle can fail: the engine is broken on purpose, and the oracle that watches that part says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cockpit.errors import SystemFault
from cockpit.handover import confirming, flight, home, procedure, runner
from cockpit.handover.guardian import Guardian
from cockpit.model.words import Side
from cockpit.systems.memory.apps import AppPlan
from cockpit.systems.memory.cluster import MemorySession, Node, Row
from cockpit.timeline import journal
from tests.simulate import scene as simulated
from tests.simulate.scene import Verdict, fly
from tests.simulate.story import Move, Story
from tests.simulate.troubles import CANARY, FOR_EVER, Trouble, When, call_fails, guardian_killed, pilot_frozen, pilot_killed

APPS = (AppPlan("app-01", "pooler-1", rate=30.0), AppPlan("app-02", "pooler-1", rate=30.0), AppPlan("app-03", "channel-1", rate=30.0))
CUTOVER = Story(3, 1, 1, 0.05, APPS, (Move("fly"), Move("soak", 1.0), Move("close")), (), False)
THERE_AND_BACK = replace(CUTOVER, moves=(Move("fly"), Move("soak", 1.0), Move("back"), Move("close")))


def struck(*acts: tuple[str, Callable[[simulated.Scene], None]]) -> Story:
    return replace(CUTOVER, troubles=tuple(Trouble(call, When(call), act) for call, act in acts))


REFUSED = call_fails("apply drain*", "error", 1, 1, 0.0, "refused")
FAILING = replace(CUTOVER, troubles=(Trouble("the drain is refused", When(), REFUSED),))


def says(verdict: Verdict, what: str) -> bool:
    assert [text for text in verdict.broken if what in text], (what, verdict.broken[:5], verdict.ended)
    return True


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The procedure lacks what these steps do."""

    def leave_out(*ids: str) -> None:
        real = procedure.steps

        def steps(*how: Any) -> tuple[procedure.Step, ...]:
            return tuple(replace(step, doings=()) if step.id in ids else step for step in real(*how))

        monkeypatch.setattr(flight, "steps", steps)

    return leave_out


def test_the_sound_engine_breaks_nothing() -> None:
    for story in (CUTOVER, THERE_AND_BACK, FAILING):
        assert fly(story).broken == ()


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (("fence", "quiesce", "verify"), "O2: "),
        (("pause", "quiesce", "verify"), "O2: "),
        (("drain", "verify"), "O2: "),
        (("sequences",), "O4: "),
        (("route",), "O6: pooler-1 goes to blue"),
        (("steer",), "O6: channel-1 names blue"),
        (("resume",), "law 3: green serves and is left fenced"),
        (("resume",), "O6: pooler-1 is left paused"),
    ],
)
def test_a_step_left_out_is_seen(without: Callable[..., None], ids: tuple[str, ...], said: str) -> None:
    without(*ids)
    assert says(fly(replace(CUTOVER, delay_s=0.3) if "drain" in ids else CUTOVER), said)


def test_a_lost_write_is_seen(monkeypatch: pytest.MonkeyPatch, without: Callable[..., None]) -> None:
    """Replication drops a row and nothing proves the sides: O1."""
    without("verify")
    monkeypatch.setattr(flight, "not_held", lambda readings: None)
    monkeypatch.setattr(confirming, "turned", lambda readings: None)
    real = Node.apply

    def apply(node: Node, row: Row) -> None:
        if node.side is Side.BLUE or row.op != "app-01-2":
            real(node, row)

    monkeypatch.setattr(Node, "apply", apply)
    assert says(fly(CUTOVER), "O1: app-01-2 was acknowledged")


def test_sides_that_differ_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror to blue drops a row after the handover: O5."""
    real = Node.apply

    def apply(node: Node, row: Row) -> None:
        if node.side is Side.GREEN or row.ours or not row.op.endswith("9"):
            real(node, row)

    monkeypatch.setattr(Node, "apply", apply)
    assert says(fly(CUTOVER), "O5: only one side has")


def test_a_way_home_that_does_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stay(*how: object) -> tuple[str, ...]:
        return ()

    monkeypatch.setattr(flight, "go_home", stay)
    verdict = fly(FAILING)
    assert says(verdict, "law 3: blue serves and is left fenced")
    assert says(verdict, "O6: pooler-1 is left paused")
    assert says(verdict, "O12: app-0")


def test_a_guardian_that_does_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guardian, "_goes_home", lambda *how: False)
    assert says(fly(struck(("apply drain*", pilot_killed))), "law 3: blue serves and is left fenced")


def test_a_guardian_that_goes_the_wrong_way_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Home from beyond the return, where green has taken writes: what it took is lost, or both sides took some."""
    monkeypatch.setattr(Guardian, "_goes_home", lambda *how: True)
    assert says(fly(struck(("apply canary green to blue", lambda scene: None), ("probe resume*", pilot_killed))), "O")


def test_a_frozen_pilot_that_nobody_ends_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guardian, "_overdue", lambda self: "")
    monkeypatch.setattr(simulated, "PATIENCE_S", 100.0)
    monkeypatch.setattr(simulated, "GIVE_UP_S", 100.0)
    verdict = fly(struck(("apply drain*", pilot_frozen(FOR_EVER))))
    assert says(verdict, "never ended")
    assert says(verdict, "O6: pooler-1 is left paused")


def test_an_open_end_without_a_cause_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = home._Way._try

    async def attempt(way: home._Way, action: Any, *how: Any) -> str:
        return "no" if action.name.startswith("resume") else await real(way, action, *how)

    monkeypatch.setattr(home._Way, "_try", attempt)
    assert says(fly(FAILING), "law 3: left open without a cause: resume pooler-1")


def test_a_secret_in_the_timeline_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "in_words", str)
    foreign = call_fails("apply drain*", "error", 1, 1, 0.0, "foreign")
    story = replace(CUTOVER, troubles=(Trouble("a driver says a secret", When(), foreign),))
    assert says(fly(story), "O10: a secret")
    monkeypatch.undo()
    verdict = fly(story)
    assert verdict.broken == ()
    assert CANARY.encode() not in verdict.timeline


def test_a_changed_record_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = journal.seal
    monkeypatch.setattr(
        journal,
        "seal",
        lambda body: (
            real(body.replace(b"steer", b"Steer")) if b"downtime" in body else (real(body)[0].replace(b"drain", b"brain"), real(body)[1])
        ),
    )
    assert says(fly(CUTOVER), "O7: the timeline is damaged")


def test_a_run_that_nobody_closes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def leave(self: Guardian, pilot: object, why: str) -> int:
        return 1

    monkeypatch.setattr(Guardian, "_after", leave)
    assert says(fly(struck(("apply quiesce*", pilot_killed))), "O7: the run has ended and its timeline ends in window")


def test_an_app_that_stays_shut_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unfence that forgets one role: O12."""
    real = Node.login

    def login(node: Node, role: str, application: str, via: str) -> MemorySession:
        if node.side is Side.GREEN and role == "app-02_role":
            raise SystemFault("permission denied", where="green")
        return real(node, role, application, via)

    monkeypatch.setattr(Node, "login", login)
    assert says(fly(CUTOVER), "O12: app-02 by pooler-1")


def test_a_window_beyond_its_budget_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flight forgets its budget and its deadlines, and a drain that hangs takes 400 s."""
    shipped = simulated.scenario()
    steps = {name: replace(step, deadline=1000.0) for name, step in shipped.steps.items()}
    patient = replace(shipped, steps=steps, budgets=replace(shipped.budgets, downtime=1000.0))
    real = simulated.oracles._budgets
    monkeypatch.setattr(simulated, "scenario", lambda: patient)

    def budgets(scene: Any, state: Any) -> Any:
        scene.scenario = shipped
        return real(scene, state)

    monkeypatch.setattr(simulated.oracles, "_budgets", budgets)
    hang = call_fails("apply drain*", "hang", 1, 1, 500.0, "")
    assert says(fly(replace(CUTOVER, troubles=(Trouble("the drain hangs", When(), hang),))), "downtime: handover 1 stalled writes for")


def test_a_slow_rollback_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = call_fails("apply canary blue to green", "delay", 2, 0, 400.0, "")
    shipped = simulated.scenario()
    steps = {name: replace(step, deadline=1000.0) for name, step in shipped.steps.items()}
    monkeypatch.setattr(simulated, "scenario", lambda: replace(shipped, steps=steps))
    calm = tuple(replace(app, rate=1.0) for app in APPS)
    story = replace(THERE_AND_BACK, apps=calm, troubles=(Trouble("arming the way back takes 400 s", When("apply resume*"), slow),))
    assert says(fly(story), "O9: rollback 2 took")


def test_both_processes_gone_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the run up later owes the same."""
    story = struck(("apply drain*", guardian_killed), ("apply sequences*", pilot_killed))
    assert fly(story).broken == ()
    monkeypatch.setattr(flight, "go_home", lambda *how: _nothing())
    monkeypatch.setattr(flight, "go_forward", lambda *how: _nothing())
    assert says(fly(story), "law 3: blue serves and is left fenced")


async def _nothing() -> tuple[str, ...]:
    return ()
