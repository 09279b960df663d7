"""The five panes by their names, in the order of their numbers."""

from __future__ import annotations

from cockpit.screen import lag, procedure, recon, route, story
from cockpit.screen.actions import PANES
from cockpit.screen.content import Content, Wish
from cockpit.screen.view import View

NUMBERS = {name: number for number, name in enumerate(PANES, 1)}


def content(name: str, view: View, wish: Wish, width: int, height: int) -> Content:
    """Pane `name` for an inner size of `width` x `height` cells; `KeyError` for what is none of the five."""
    match name:
        case "lag":
            return lag.content(view, width, height)
        case "recon":
            return recon.content(view, wish, width, height)
        case "route":
            return route.content(view, wish, width, height)
        case "procedure":
            return procedure.content(view, width, height)
        case "timeline":
            return story.content(view, wish, width, height)
    raise KeyError(name)
