"""The screen's parts laid out by `arrange`, in the library's terms."""

from __future__ import annotations

from textual.geometry import Offset, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from cockpit.screen.arrange import Place, Shown, places

NO_OFFSET, NO_SPACING = Offset(0, 0), Spacing()


class Bands(Layout):
    """Places the screen's parts by their ids; a part without a place is not shown."""

    name = "bands"

    def __init__(self) -> None:
        self.shown = Shown()

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        found = places(size.width, size.height, self.shown)
        return [WidgetPlacement(_region(found[c.id]), NO_OFFSET, NO_SPACING, c) for c in children if c.id in found]


def _region(place: Place) -> Region:
    return Region(place.x, place.y, place.width, place.height)
