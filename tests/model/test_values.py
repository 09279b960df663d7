"""A value with some fields changed is what `dataclasses.replace` would make of it, and a wrong name is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cockpit.model.state import EMPTY, RunState
from cockpit.model.values import replace
from cockpit.model.words import Mode


def test_it_is_what_the_library_makes_and_the_old_one_stays() -> None:
    changed = replace(EMPTY, seq=3, mode=Mode.READY)
    assert changed == dataclasses.replace(EMPTY, seq=3, mode=Mode.READY)
    assert (hash(changed), repr(changed)) == (hash(RunState(seq=3, mode=Mode.READY)), repr(RunState(seq=3, mode=Mode.READY)))
    assert RunState() == EMPTY
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.seq = 4  # type: ignore[misc]


def test_a_field_that_is_not_there_is_refused() -> None:
    wrong: dict[str, Any] = {"seq": 3, "sequence": 3}
    with pytest.raises(TypeError, match="RunState has no field sequence"):
        replace(EMPTY, **wrong)


def test_every_view_that_a_fold_changes_can_be_changed() -> None:
    """A value with slots would be refused only when an event of its kind comes."""
    from cockpit.model import state, views

    ours = {state.__name__, views.__name__}
    found = [kind for kind in vars(state).values() if dataclasses.is_dataclass(kind) and kind.__module__ in ours]
    assert len(found) > 5
    assert [kind for kind in found if hasattr(kind, "__slots__")] == []
