"""P12: the newest drill of this very scenario speaks, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.model import events as ev
from cockpit.model.settings import Scenario, Waiver
from cockpit.model.words import Direction, Outcome, Severity, Side
from cockpit.scenario import load_scenario
from cockpit.timeline.journal import Journal
from cockpit.timeline.rehearsals import rehearsed


@pytest.fixture
def scenario() -> Scenario:
    return load_scenario("arp")


def flown(runs: Path, name: str, digest: str, *flights: tuple[Direction, Outcome, float | None], drill: bool = True) -> None:
    folder = runs / name
    folder.mkdir(parents=True)
    journal = Journal.create(folder / "timeline.jsonl", "test", clock=lambda: 0.0)
    journal.append(ev.RunOpened(name, "arp", "arp", digest, "c", "p", "ana", "bastion", "0", drill, 300, 300, (), ()))
    for number, (direction, outcome, stalled) in enumerate(flights, 1):
        journal.append(ev.HandoverOpened(number, direction, "p", "typed"))
        journal.append(ev.HandoverClosed(number, outcome, 999.0, Side.BLUE, downtime_s=stalled))
    journal.close()


THERE = (Direction.CUTOVER, Outcome.DONE, 9.0)
BACK = (Direction.ROLLBACK, Outcome.DONE, 7.5)


def test_there_and_back_inside_the_budget_is_good(tmp_path: Path, scenario: Scenario) -> None:
    flown(tmp_path, "2026-01-01", scenario.digest, THERE)
    flown(tmp_path, "2026-01-02", scenario.digest, THERE, BACK)
    flown(tmp_path, "2026-01-03", scenario.digest)  # nothing was flown in it
    flown(tmp_path, "2026-01-04", "another", THERE)
    flown(tmp_path, "2026-01-05", scenario.digest, THERE, drill=False)
    (tmp_path / "2026-01-06").mkdir()
    (tmp_path / "2026-01-06" / "timeline.jsonl").write_text("no record\n")
    found = rehearsed(tmp_path, scenario)
    assert (found.check, found.object, found.severity, found.remedy) == ("P12", "arp", Severity.GOOD, "")
    assert found.seen == "the newest drill, 2026-01-02, handed over and went back: writes stalled for 7.5 s, the rollback budget is 300 s"
    assert found.query == f"cockpit runs --runs {tmp_path}"


@pytest.mark.parametrize(
    ("flights", "seen"),
    [
        ((THERE,), "the rollback was not flown"),
        ((BACK,), "the cutover was not flown"),
        ((THERE, (Direction.ROLLBACK, Outcome.STUCK, 9.0)), "the rollback ended stuck"),
        (((Direction.CUTOVER, Outcome.ABORTED, 9.0),), "the cutover ended aborted"),
        ((THERE, (Direction.ROLLBACK, Outcome.DONE, 300.0)), "stalled for 300.0 s, the rollback budget is 300 s"),
        ((THERE, (Direction.ROLLBACK, Outcome.DONE, None)), "nobody measured"),
    ],
)
def test_what_is_less_warns(
    tmp_path: Path, scenario: Scenario, flights: tuple[tuple[Direction, Outcome, float | None], ...], seen: str
) -> None:
    flown(tmp_path, "2026-01-01", scenario.digest, THERE, BACK)
    flown(tmp_path, "2026-01-02", scenario.digest, *flights)
    found = rehearsed(tmp_path, scenario)
    assert found.severity is Severity.WARN
    assert seen in found.seen
    assert found.remedy == f"cockpit drill arp --runs {tmp_path}, there and back"


def test_a_changed_scenario_is_not_rehearsed_and_a_waiver_accepts_it(tmp_path: Path, scenario: Scenario) -> None:
    flown(tmp_path / "runs", "2026-01-01", scenario.digest, THERE, BACK)
    changed = replace(scenario, digest="changed")
    for runs in (tmp_path / "runs", tmp_path / "none"):
        found = rehearsed(runs, changed)
        assert (found.severity, found.waived) == (Severity.WARN, "")
        assert found.seen == "no drill of arp as it is now has handed over and is on record here"
    waived = rehearsed(tmp_path / "runs", changed, (Waiver("P12", "arp", "flown on a rig of our own"),))
    assert waived.waived == "flown on a rig of our own"
