"""Where everything is, as a function of the terminal's size: same order and same numbers at every size."""

from __future__ import annotations

from dataclasses import dataclass

CLOCK, FOOT = 2, 2
LEAST_WIDTH, LEAST_HEIGHT = 40, 10


@dataclass(frozen=True, slots=True)
class Place:
    """A part's place on the terminal, in cells from its top left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person chose to see: the focused pane, whether it is zoomed, whether a list or detail covers the panes."""

    focus: str = "route"
    zoomed: bool = False
    covered: bool = False


FIRST = Shown(focus="procedure")
"""What is seen before anybody chose."""


def too_small(width: int, height: int) -> bool:
    """Whether only the clock and one row more have a place."""
    return width < LEAST_WIDTH or height < LEAST_HEIGHT


def places(width: int, height: int, shown: Shown) -> dict[str, Place]:
    """The place of every visible part; what is not named is not visible."""
    if too_small(width, height):
        return {"clock": Place(0, 0, width, min(CLOCK, height)), "foot": Place(0, CLOCK, width, max(min(FOOT, height - CLOCK), 0))}
    middle = Place(0, CLOCK, width, height - CLOCK - FOOT)
    found = {"clock": Place(0, 0, width, CLOCK), "foot": Place(0, height - FOOT, width, FOOT)}
    if shown.covered:
        return found | {"over": middle}
    if shown.zoomed or width < 80 or height < 22:
        return found | {shown.focus: middle}
    return found | _panes(middle, shown)


def _panes(middle: Place, shown: Shown) -> dict[str, Place]:
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


def _lower_height(middle: Place) -> int:
    """Fourteen steps and their heading in one column where there is room, in two where there is not."""
    if middle.width < 110:
        return 9 if middle.height < 34 else max(24, middle.height // 2 + 2)
    return 17 if middle.height >= 32 else 9


def _wide(middle: Place, *, tall: bool) -> dict[str, Place]:
    column = middle.width // 4
    rest, timeline = _split_columns(middle, middle.width - column)
    top, bottom = _split_rows(rest, middle.height - (18 if tall else 17))
    steps, side = _split_columns(bottom, rest.width * 3 // 5)
    return _three(top) | {"timeline": timeline, "procedure": steps, "side": side}


def _three(top: Place) -> dict[str, Place]:
    """Lag needs least, routing most; what cannot be divided goes to routing."""
    lag = top.width * 30 // 100
    recon = (top.width - lag) // 2
    first, rest = _split_columns(top, lag)
    second, third = _split_columns(rest, recon)
    return {"lag": first, "recon": second, "route": third}


def _split_columns(whole: Place, at: int) -> tuple[Place, Place]:
    return Place(whole.x, whole.y, at, whole.height), Place(whole.x + at, whole.y, whole.width - at, whole.height)


def _split_rows(whole: Place, at: int) -> tuple[Place, Place]:
    return Place(whole.x, whole.y, whole.width, at), Place(whole.x, whole.y + at, whole.width, whole.height - at)
