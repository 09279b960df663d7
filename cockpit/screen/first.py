"""The whole screen while nothing is known of the run, as lines: what is painted before the screen's library has loaded.

It is what the library's own first frame shows, made of the same parts, so that nothing moves when that takes over.
"""

from __future__ import annotations

from cockpit.model.state import EMPTY
from cockpit.screen import clockband, detail, panes, starting
from cockpit.screen.arrange import FIRST, Place, Shown, places, too_small
from cockpit.screen.cells import BLANK, Line, fill
from cockpit.screen.content import Content, Wish
from cockpit.screen.foot import enlarge
from cockpit.screen.frame import EDGES, framed
from cockpit.screen.prompt import Prompt
from cockpit.screen.view import View
from cockpit.timeline.follow import Latest


def lines(width: int, height: int, *, watch: bool = False, drill: bool = False) -> list[Line]:
    """`height` lines of `width` cells; a drill's say that its rig is being set up."""
    view = View(0.0, EMPTY, Latest(), watch=watch)
    shown = Shown(FIRST.focus, covered=True) if drill else FIRST
    found = places(width, height, shown)
    parts = {name: _part(name, view, place, shown) for name, place in found.items()}
    return [_across(found, parts, y, width) for y in range(height)]


def _part(name: str, view: View, place: Place, shown: Shown) -> list[Line]:
    if name == "clock":
        return list(clockband.lines(view, place.width))
    if name == "foot":
        small = too_small(place.width, place.y + place.height)
        return [enlarge(place.width)] if small else list(Prompt().lines(view, shown.focus, place.width))
    made = _content(name, view, place.width - EDGES, place.height - EDGES)
    focused = name in (shown.focus, "over")
    return framed(made, panes.NUMBERS.get(name, 0), place.width, place.height, focused=focused)


def _content(name: str, view: View, width: int, height: int) -> Content:
    if name == "over":
        return starting.content(starting.Progress(), width, height)
    if name == "side":
        return detail.content(view, FIRST.focus, "", width)
    return panes.content(name, view, Wish(), width, height)


def _across(found: dict[str, Place], parts: dict[str, list[Line]], y: int, width: int) -> Line:
    """Line `y` of the terminal: what the parts beside each other have there."""
    here = sorted((place.x, name) for name, place in found.items() if place.y <= y < place.y + place.height)
    spans: list[tuple[str, str]] = []
    for _, name in here:
        row = y - found[name].y
        spans.extend(fill(parts[name][row] if row < len(parts[name]) else BLANK, found[name].width))
    return fill(tuple(spans), width)
