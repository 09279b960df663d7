"""What a pane shows, before anything is painted: a title with its counts, fixed lines, and rows that scroll and can be chosen."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.screen.cells import Line


@dataclass(frozen=True, slots=True)
class Row:
    """A line that stands for one thing; `key` names it (a table, an app, a step, an event)."""

    key: str
    line: Line


@dataclass(frozen=True, slots=True)
class Content:
    """`badge` goes into the frame's top right: the age, or the word STALE."""

    title: Line
    badge: Line = ()
    head: tuple[Line, ...] = ()
    rows: tuple[Row, ...] = ()
    body: tuple[Line, ...] = ()
    """Lines under the head where a pane has no rows."""


@dataclass(slots=True)
class Wish:
    """What a person asked of a list: filter and order. Not part of the run."""

    needle: str = ""
    order: str = "worst"

    def wants(self, *texts: str) -> bool:
        needle = self.needle.casefold()
        return not needle or any(needle in text.casefold() for text in texts)
