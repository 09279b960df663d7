"""A pilot that dies at exactly the record it is told to, before it, written, or after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.drill.chaos import LAST_RECORD, boundaries
from cockpit.drill.mortal import Moment, boundary, dies_at
from cockpit.model import events as ev
from cockpit.model.words import Mode
from cockpit.timeline.journal import Journal, read


class Dead(Exception):
    """Instead of the signal."""


def _die() -> None:
    raise Dead


@pytest.mark.parametrize(("moment", "left"), [(Moment.BEFORE, 3), (Moment.WRITTEN, 4), (Moment.AFTER, 4)])
def test_it_dies_at_the_record_counted_from_the_opening_of_the_window(tmp_path: Path, moment: Moment, left: int) -> None:
    append = dies_at(boundary(2, moment), _die)
    path = tmp_path / "timeline.jsonl"
    journal = Journal.create(path, "pilot")
    for fact in (ev.NoteTaken("ana", "x"), ev.NoteTaken("ana", "y"), ev.ModeChanged(Mode.WINDOW)):
        append(journal, fact)
    with pytest.raises(Dead):
        append(journal, ev.StepStarted("steer"))
    journal.close()
    assert len(read(path).events) == left


def test_every_boundary_both_ways_is_a_round() -> None:
    every = boundaries(1)
    assert len(every) == LAST_RECORD * len(Moment) * 2
    assert len({(task.fault.name, task.direction) for task in every}) == len(every)
    assert len(boundaries(10)) in range(33, 38)
    assert {task.program[1] for task in every} >= {boundary(1, Moment.BEFORE), boundary(LAST_RECORD, Moment.AFTER)}
