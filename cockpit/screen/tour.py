"""A short tour of the screen, in the two rows of the prompt: what each part shows, and what to press, on the run that is there.

Everything goes on meanwhile, and every other key does what it always does: whoever arms in the middle of it is asked as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.screen.cells import Line, apart, crop


@dataclass(frozen=True, slots=True)
class Page:
    """`pane` has the focus while the page is read; empty where none of them is meant."""

    pane: str
    what: str
    """At most 66 cells: it is whole at 80 columns."""


PAGES = (
    Page("", "above: who serves, writes' downtime, the way back, the gates"),
    Page("lag", "how far the other side is behind; arming needs it near nothing"),
    Page("recon", "what is proven equal on both sides, row by row, the worst first"),
    Page("route", "where each app's sessions really are, by the servers' own views"),
    Page("procedure", "the steps of a handover: planned, done; enter: its statements"),
    Page("timeline", "every event, newest first; it is the report afterwards"),
    Page("recon", "s sorts a list, / finds in it, enter opens a row, z zooms"),
    Page("", "a arms: the gates hold, then type arp and enter, and it flies"),
    Page("", "B, then Y goes BACK TO BLUE: in the window, and after it"),
    Page("", "! is what asks for you, ? every key, q leaves; nothing else flies"),
)


def lines(number: int, width: int) -> tuple[Line, Line]:
    """The two rows of page `number`."""
    page = PAGES[number]
    name = f"{page.pane.upper()}: " if page.pane else ""
    first: Line = ((f"{number + 1}/{len(PAGES)} ", "dim"), (name, "title"), (page.what, "text"))
    keys: Line = (
        ("enter", "key"),
        (" next   ", "text"),
        ("backspace", "key"),
        (" before   ", "text"),
        ("esc", "key"),
        (" ends the tour", "text"),
    )
    return crop(first, width - 1), apart(keys, ((" ", "text"),), width - 1)
