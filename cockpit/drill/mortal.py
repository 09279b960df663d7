"""A pilot that dies at an exact record of its timeline: `python -m cockpit.drill.mortal 17:written _guard FOLDER`.

It is the live cockpit in every respect but one: when the pilot comes to the 17th record since its window opened, its process is killed,
`before` the record is written, `written` but not yet synced, or `after` it, when the effect that it announces has not begun. What lies
after an effect and before its result is `before` the record of that result.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial

from cockpit.cli import main
from cockpit.model import events as ev
from cockpit.model.words import Mode
from cockpit.timeline.journal import Journal

WHERE = "COCKPIT_DRILL_DIES_AT"
"""Handed on from the guardian to the pilot that it starts."""


class Moment(StrEnum):
    BEFORE = "before"
    WRITTEN = "written"
    AFTER = "after"


def boundary(record: int, moment: Moment) -> str:
    """As it is said on the command line."""
    return f"{record}:{moment}"


def dies_at(said: str, kill: Callable[[], None]) -> Callable[..., ev.Event]:
    """`Journal.append`, which calls `kill` at the boundary."""
    number, _, moment = said.partition(":")
    whole, wanted, passed = Journal.append, (int(number), Moment(moment)), 0

    def append(journal: Journal, fact: ev.Fact, *, durable: bool = True) -> ev.Event:
        nonlocal passed
        if passed or (isinstance(fact, ev.ModeChanged) and fact.mode is Mode.WINDOW):
            passed += 1
        if (passed, Moment.BEFORE) == wanted:
            kill()
        event = whole(journal, fact, durable=durable and (passed, Moment.WRITTEN) != wanted)
        if (passed, Moment.WRITTEN) == wanted or (passed, Moment.AFTER) == wanted:
            kill()
        return event

    return append


def run(words: Sequence[str]) -> int:
    """The cockpit's own command; as pilot it is mortal."""
    if words and ":" in words[0]:
        os.environ[WHERE], words = words[0], words[1:]
    if words and words[0] == "_fly" and WHERE in os.environ:
        Journal.append = dies_at(os.environ[WHERE], partial(os.kill, os.getpid(), signal.SIGKILL))  # type: ignore[method-assign]
    sys.argv = ["cockpit", *words]
    return main()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
