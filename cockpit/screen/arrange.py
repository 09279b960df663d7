"""Where everything is, as a function of the terminal's size: same order and same numbers at every size."""

from __future__ import annotations

from dataclasses import dataclass

from textual.geometry import Offset, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

CLOCK, FOOT = 2, 2
LEAST_WIDTH, LEAST_HEIGHT = 40, 10


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person chose to see: the focused pane, whether it is zoomed, whether a list or detail covers the panes."""

    focus: str = "route"
    zoomed: bool = False
    covered: bool = False


def places(width: int, height: int, shown: Shown) -> dict[str, Region]:
    """The region of every visible part; what is not named is not visible."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return {"clock": Region(0, 0, width, min(CLOCK, height)), "foot": Region(0, CLOCK, width, max(min(FOOT, height - CLOCK), 0))}
    middle = Region(0, CLOCK, width, height - CLOCK - FOOT)
    found = {"clock": Region(0, 0, width, CLOCK), "foot": Region(0, height - FOOT, width, FOOT)}
    if shown.covered:
        return found | {"over": middle}
    if shown.zoomed or width < 80 or height < 22:
        return found | {shown.focus: middle}
    return found | _panes(middle, shown)


def _panes(middle: Region, shown: Shown) -> dict[str, Region]:
    if middle.width >= 180:
        return _wide(middle, tall=middle.height >= 40)
    lower = _lower_height(middle)
    top, bottom = _split_rows(middle, middle.height - lower)
    upper = _three(top)
    if middle.width >= 110:
        left, right = _split_columns(bottom, bottom.width * 11 // 20)
        return upper | {"procedure": left, "timeline": right}
    if middle.height >= 34:
        steps, story = _split_rows(bottom, 17)
        return upper | {"procedure": steps, "timeline": story}
    return upper | {"timeline" if shown.focus == "timeline" else "procedure": bottom}


def _lower_height(middle: Region) -> int:
    """Fourteen steps and their heading in one column where there is room, in two where there is not."""
    if middle.width < 110:
        return 9 if middle.height < 34 else max(24, middle.height // 2 + 2)
    return 17 if middle.height >= 32 else 9


def _wide(middle: Region, *, tall: bool) -> dict[str, Region]:
    column = middle.width // 4
    rest, timeline = _split_columns(middle, middle.width - column)
    top, bottom = _split_rows(rest, middle.height - (18 if tall else 17))
    steps, side = _split_columns(bottom, rest.width * 3 // 5)
    return _three(top) | {"timeline": timeline, "procedure": steps, "side": side}


def _three(top: Region) -> dict[str, Region]:
    """Lag needs least, routing most; what cannot be divided goes to routing."""
    lag = top.width * 30 // 100
    recon = (top.width - lag) // 2
    first, rest = _split_columns(top, lag)
    second, third = _split_columns(rest, recon)
    return {"lag": first, "recon": second, "route": third}


def _split_columns(region: Region, at: int) -> tuple[Region, Region]:
    return Region(region.x, region.y, at, region.height), Region(region.x + at, region.y, region.width - at, region.height)


def _split_rows(region: Region, at: int) -> tuple[Region, Region]:
    return Region(region.x, region.y, region.width, at), Region(region.x, region.y + at, region.width, region.height - at)


class Bands(Layout):
    """Places the screen's parts by their ids; a part without a place is not shown."""

    name = "bands"

    def __init__(self) -> None:
        self.shown = Shown()

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        found = places(size.width, size.height, self.shown)
        return [WidgetPlacement(found[c.id], Offset(0, 0), Spacing(), c) for c in children if c.id in found]
