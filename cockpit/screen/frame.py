"""A content in its frame, as lines: title and badge above, what is hidden below. Pure; a heavy frame is the focus."""

from __future__ import annotations

from cockpit.screen.cells import BLANK, Line, apart, crop, fill, marked
from cockpit.screen.content import Content

_LIGHT = "┌─┐│└┘"
_HEAVY = "┏━┓┃┗┛"
EDGES = 2
"""Cells the frame takes of width and of height."""


def room(content: Content, height: int) -> int:
    """Rows of `content` that can be seen at once inside a frame of `height` cells."""
    return max(height - EDGES - len(content.head), 0)


def framed(content: Content, number: int, width: int, height: int, *, first: int = 0, chosen: int = 0, focused: bool = False) -> list[Line]:
    """`height` lines of `width` cells; `first` is the first row in sight, `chosen` the one that is marked while focused."""
    if width <= EDGES or height <= EDGES:
        return []
    frame = _HEAVY if focused else _LIGHT
    role = "focus" if focused else "frame"
    inner = width - EDGES
    edge = (frame[3], role)
    rows = _inside(content, inner, height, first, chosen if focused else -1)
    below = (len(content.rows) or len(content.body)) - first - room(content, height)
    return [
        _top(content, number, frame, role, inner),
        *((edge, *fill(row, inner), edge) for row in rows),
        _bottom(frame, role, inner, below, first),
    ]


def _inside(content: Content, width: int, height: int, first: int, chosen: int) -> list[Line]:
    count = room(content, height)
    if content.rows:
        body = [row.line for row in content.rows[first : first + count]]
        if 0 <= chosen - first < len(body):
            body[chosen - first] = marked(fill(body[chosen - first], width))
    else:
        body = list(content.body[first : first + count])
    lines = [*content.head, *body][: height - EDGES]
    return lines + [BLANK] * (height - EDGES - len(lines))


def _top(content: Content, number: int, frame: str, role: str, width: int) -> Line:
    numbered: Line = ((f"{number} ", "key"),) if number else ()
    badge: Line = ((" ", role), *content.badge, (" ", role)) if content.badge else ()
    left_over = width - 3 - sum(len(text) for text, _ in badge)
    title = crop((*numbered, *content.title), max(left_over, 0))
    left: Line = ((frame[0] + frame[1] + " ", role), *title, (" ", role))
    gap = width + 1 - sum(len(text) for text, _ in left) - sum(len(text) for text, _ in badge)
    return apart((*left, (frame[1] * max(gap - 1, 0), role)), (*badge, (frame[1] + frame[2], role)), width + EDGES)


def _bottom(frame: str, role: str, width: int, below: int, above: int) -> Line:
    note = f" {below} more ↓ " if below > 0 else f" {above} above ↑ " if above else ""
    return ((frame[4] + frame[1] * (width - len(note) - 1), role), (note, "dim"), (frame[1] + frame[5], role))
