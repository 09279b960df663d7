"""The lag chart: bytes over time, on a logarithmic scale that never changes, a gap where there is no data, the fence where it was.

One column is a fixed span of time; a column shows the largest figure in it. Below 1 kB the lowest block is drawn, so that "none"
and "no data" differ; above 1 MB the column is full and marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Reversible
from functools import lru_cache
from itertools import groupby

from cockpit.screen.cells import Line, Span, fill
from cockpit.timeline.follow import LagPoint

SPAN_S = 75.0
FLOOR, CEILING = 1024.0, 1024.0 * 1024.0
_FILLED: tuple[Span, ...] = ((" ", "text"), *((block, "chart") for block in "▁▂▃▄▅▆▇█"))
"""A cell, by how many eighths of it are filled: one of each for all the bars that are kept."""
_AXIS = 4


def chart(points: Reversible[LagPoint], now: float, width: int, height: int, fence_mono: float | None) -> tuple[Line, ...]:
    """`height` lines of `width` cells: the plot, then its time axis; nothing where there is no room. `points` oldest first."""
    rows, columns = height - 1, width - _AXIS
    if rows < 2 or columns < 8:
        return ()
    levels = _levels(points, now, columns, rows * 8)
    fence = _column(fence_mono, now, columns) if fence_mono is not None else None
    upright = [_bar(level, rows, column == fence) for column, level in enumerate(levels)]
    plot = [_joined(across) for across in zip(*upright, strict=True)]
    labels = {0: "1M", rows - 1: "1k"} | ({rows // 2: "32k"} if rows >= 5 else {})
    lines = [fill(((f"{labels.get(i, ''):<{_AXIS}}", "dim"), *line), width) for i, line in enumerate(plot)]
    return (*lines, _axis(width))


def _axis(width: int) -> Line:
    left = f"-{SPAN_S:.0f}s"
    return ((left + " " * (width - len(left) - 3) + "now", "dim"),)


def _column(mono: float, now: float, columns: int) -> int | None:
    """Columns are aligned to whole spans of time, so that a bar keeps its shape while it moves left."""
    bucket = SPAN_S / columns
    column = columns - 1 - (math.floor(now / bucket) - math.floor(mono / bucket))
    return column if 0 <= column < columns else None


def _levels(points: Reversible[LagPoint], now: float, columns: int, top: int) -> list[int | None]:
    levels: list[int | None] = [None] * columns
    for mono, behind in reversed(points):
        if now - mono > SPAN_S * (1 + 1 / columns):
            break
        column = _column(mono, now, columns)
        if column is None or behind is None:
            continue
        level = _level(behind, top)
        before = levels[column]
        levels[column] = level if before is None else max(before, level)
    return levels


def _level(amount: int, top: int) -> int:
    """1..`top`, and `top + 1` for what is beyond the scale."""
    if amount < FLOOR:
        return 1
    if amount > CEILING:
        return top + 1
    share = math.log(amount / FLOOR) / math.log(CEILING / FLOOR)
    return max(1, min(round(share * top), top))


@lru_cache(maxsize=512)
def _bar(level: int | None, rows: int, fence: bool) -> tuple[Span, ...]:
    """One column of the plot, from its top."""
    return tuple(_cell(level, rows - 1 - index, rows, fence, top=index == 0) for index in range(rows))


def _joined(cells: Iterable[Span]) -> Line:
    """Neighbours of one role make one span."""
    return tuple(("".join(char for char, _ in same), role) for role, same in groupby(cells, key=lambda cell: cell[1]))


def _cell(level: int | None, row: int, rows: int, fence: bool, *, top: bool) -> tuple[str, str]:
    if fence:
        return ("F" if top else "│", "mark")
    if level is None:
        return (" ", "text")
    if level > rows * 8:
        return ("█", "warn")
    filled = max(0, min(level - row * 8, 8))
    if filled == 0 and top:
        return ("┄", "frame")
    return _FILLED[filled]
