"""The scenario: found by name or path, linted, and digested by its meaning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit.config import Mistakes
from cockpit.handover.gates import GATES as READ_GATES
from cockpit.handover.procedure import IDS, WINDOW
from cockpit.model.settings import Scenario
from cockpit.model.words import Direction
from cockpit.scenario import GATES, find, load_scenario, names

ARP = Path("scenarios/arp.toml")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Scenario]:
    """The ARP scenario with some text replaced."""

    def of(*changes: tuple[str, str]) -> Scenario:
        text = ARP.read_text()
        for right, wrong in changes:
            assert right in text
            text = text.replace(right, wrong, 1)
        (tmp_path / "my.toml").write_text(text)
        return load_scenario(tmp_path / "my.toml")

    return of


def test_arp() -> None:
    arp = load_scenario("arp")
    assert tuple(arp.steps) == IDS
    assert (arp.budgets.downtime, arp.budgets.rollback, arp.budgets.rollback_target) == (300, 300, 180)
    assert sum(arp.steps[step].planned for step in WINDOW) < 0.5
    assert max(gate.hold for gate in arp.rollback_gates) <= 1
    assert (arp.tuning.recon_duty, arp.drill.recon_duty) == (0.1, 0.3)
    assert arp.drill.handovers == ("cutover", "rollback", "cutover")


def test_every_gate_that_may_be_asked_for_can_be_read() -> None:
    assert set(GATES) == set(READ_GATES)


def test_the_digest_is_of_the_meaning(load: Callable[..., Scenario]) -> None:
    arp = load().digest
    assert load(("# ARP:", "# another comment")).digest == arp
    assert load(("rows = 1_000_000", "rows = 5")).digest == arp
    assert load(("downtime = 300", "downtime = 300.0")).digest == arp
    assert load(("recon_duty = 0.10 ", "#")).digest == arp
    assert load(("downtime = 300", "downtime = 299")).digest != arp
    assert load(("lag_bytes = { limit = 1048576, hold = 5 }", "lag_bytes = { limit = 1048576, hold = 4 }")).digest != arp


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("[steps.drain]", "[steps.drian]", "steps.drain is missing: add [steps.drain]"),
        ("[steps.drain]", "[steps.drian]", "steps.drian is no step of the procedure"),
        ("planned = 0.01\ndeadline = 10", "planned = 11\ndeadline = 10", "steps.fence.deadline is below planned: allow at least 11 s"),
        ("planned = 0.02\ndeadline = 60", "planned = 0.02\ndeadline = 600", "steps.drain.deadline is above the downtime budget"),
        ("downtime = 300", "downtime = 0.1", "budgets.downtime is 0.1 s but the window's steps are planned to take 0.145 s"),
        ("rollback_target = 180", "rollback_target = 3", "budgets.rollback_target is 3 s but a rollback is planned to take"),
        ("rollback_target = 180", "rollback_target = 301", "budgets.rollback_target must be at most budgets.rollback"),
        ("lag_seconds =", "lag_secnods =", "gates.cutover.lag_secnods is no gate"),
        (
            "lag_bytes = { limit = 1048576, hold = 5 }",
            "lag_bytes = { hold = 5 }",
            "gates.cutover.lag_bytes.limit is missing: add it, in bytes",
        ),
        ("slot = { hold = 5 }", "slot = { limit = 3 }", "gates.cutover.slot has no limit"),
        ("reverse = { hold = 0 }\n", "", "gates.cutover.reverse is missing: no cutover is safe without it"),
        ("slot = { hold = 1 }\n", "", "gates.rollback.slot is missing: no rollback is safe without it"),
        ("slot = { hold = 1 }", "slot = { hold = 6 }", "gates.rollback.slot.hold is longer than the cutover's"),
        ("pause_attempts = 5", "pause_attempts = 8", "steps.pause.deadline is below pause_attempts x pause_attempt: allow at least 16 s"),
        ("verify_box = 1.0", "verify_box = 0.5", "gates.cutover.freeze_cost.limit is above half of tuning.verify_box: a prediction may be"),
        ("verify_box = 1.0", "verify_box = 50", "steps.verify.deadline is below tuning.verify_box: allow at least 50 s"),
        (
            "terminate_blockers_after = 2",
            "terminate_blockers_after = 5",
            "tuning.terminate_blockers_after must be below tuning.pause_attempts",
        ),
        ('gesture = "typed"', 'gesture = "keys"', "confirm.cutover.gesture: should be 'typed'"),
        ("deadline = 25", "deadline = 19", "steps.confirm.deadline is below what confirm.cutover lets people take: allow at least 20 s"),
        (
            "expires = 20 ",
            'approval = "second"\nexpires = 20 ',
            "steps.confirm.deadline is below what confirm.cutover lets people take: allow at least 920 s",
        ),
        ("expires = 20 ", 'approval = "both"\nexpires = 20 ', "confirm.cutover.approval: should be 'none' or 'second'"),
        ("expires = 20 ", "approval_expires = 0\nexpires = 20 ", "confirm.cutover.approval_expires"),
        ("expires = 10", 'approval = "second"\nexpires = 10', "confirm.rollback.approval: the way back waits for nobody"),
        ("recon_duty = 0.10", "recon_duty = 2", "tuning.recon_duty: should be less than or equal to 1"),
        ("deadline = 60", "deadline = inf", "steps.arm.deadline"),
        ("deadline = 60", "deadline = nan", "steps.arm.deadline"),
        ('"cutover", "rollback", "cutover"', '"cutover", "sideways"', "drill.handovers[2]: should be 'cutover' or 'rollback'"),
        (
            '"cutover", "rollback", "cutover"',
            '"rollback", "cutover"',
            "drill.handovers[1]: should be 'cutover': a drill begins with a cutover",
        ),
        ('"cutover", "rollback", "cutover"', "", "drill.handovers must have at least 1 entry"),
        ('"cutover", "rollback", "cutover"', '"cutover", "cutover"', "drill.handovers[2]: should be 'rollback'"),
    ],
)
def test_the_lint(load: Callable[..., Scenario], right: str, wrong: str, said: str) -> None:
    with pytest.raises(Mistakes) as caught:
        load((right, wrong))
    found = [line.split(": ", 1)[1] for line in caught.value.mistakes]
    assert any(line.startswith(said) for line in found), found


def test_a_second_person_is_part_of_what_the_digest_is_of(load: Callable[..., Scenario]) -> None:
    patient = ("deadline = 25", "deadline = 400")
    alone = load(patient)
    second = load(patient, ("expires = 20 ", 'approval = "second"\napproval_expires = 300\nexpires = 20 '))
    assert (alone.cutover_confirmation.second, second.cutover_confirmation.second) == (False, True)
    assert (second.cutover_confirmation.approval_expires, second.rollback_confirmation.second) == (300, False)
    assert alone.digest != second.digest


def test_found_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("arp") == ARP
    assert "arp" in names()
    whole = ARP.absolute()
    monkeypatch.chdir(tmp_path)
    assert load_scenario("arp").digest == load_scenario(whole).digest
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "arp.toml").write_text(whole.read_text().replace("downtime = 300", "downtime = 200"))
    assert load_scenario("arp").budgets.downtime == 200
    with pytest.raises(Mistakes, match="apr: no scenario has this name: there is arp"):
        load_scenario("apr")


def test_directions_have_their_own_gates() -> None:
    arp = load_scenario("arp")
    ids = {direction: [gate.id for gate in gates] for direction, gates in zip(Direction, (arp.gates, arp.rollback_gates), strict=True)}
    assert set(ids[Direction.ROLLBACK]) < set(ids[Direction.CUTOVER])
