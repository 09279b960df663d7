"""Two widgets: `Lines` paints lines and repaints only those that changed; `Pane` frames a content, scrolls it and keeps a choice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from cockpit.screen.cells import BLANK, Line, segments
from cockpit.screen.content import Content, place
from cockpit.screen.frame import EDGES, framed, room
from cockpit.screen.look import Look


class Lines(Widget):
    """Lines of spans, painted row by row."""

    ALLOW_SELECT = False

    def __init__(self, look: Look, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._shown: tuple[Line, ...] = ()
        self._look = look
        self.repainted = 0
        """Rows repainted so far: what a test counts."""

    def wear(self, look: Look) -> None:
        """It looks like that from now on, also where it is not in sight: one that comes up later must not flash in another theme."""
        self._look = look
        self.refresh()

    def put(self, lines: Sequence[Line]) -> None:
        """`lines` are shown; only rows that differ are painted."""
        before, self._shown = self._shown, tuple(lines)
        rows = [y for y, (old, new) in enumerate(zip_longest(before, self._shown)) if old != new]
        if rows:
            self.repainted += len(rows)
            width = self.size.width
            self.refresh(*(Region(0, y, width, 1) for y in rows))

    def render_line(self, y: int) -> Strip:
        line = self._shown[y] if y < len(self._shown) else BLANK
        return Strip(segments(line, self.size.width, self._look), self.size.width)


class Pane(Lines):
    """A framed content. A heavy frame is the focus; the chosen row is marked while the pane has it."""

    class Picked(Message):
        """The mouse chose this pane, and a row of it where there was one; `again` when that row was chosen already."""

        def __init__(self, pane: str, key: str | None, *, again: bool) -> None:
            super().__init__()
            self.pane, self.key, self.again = pane, key, again

    class Scrolled(Message):
        """The wheel moved what this pane shows."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, number: int, look: Look, *, id: str) -> None:
        super().__init__(look, id=id)
        self.number = number
        self.chosen: str | None = None
        self.offset_rows = 0
        self.content = Content(title=())

    @property
    def inner(self) -> tuple[int, int]:
        """Cells inside the frame."""
        width, height = self.size
        return max(width - EDGES, 0), max(height - EDGES, 0)

    @property
    def room(self) -> int:
        """Rows that can be shown at once."""
        return room(self.content, self.size.height)

    @property
    def index(self) -> int:
        """Of the chosen row; the first one while none is chosen or it is gone."""
        return place(self.content.rows, self.chosen)

    @property
    def chosen_key(self) -> str | None:
        return self.content.rows[self.index].key if self.content.rows else None

    def move(self, by: int) -> None:
        """The choice moves by rows; a pane without rows scrolls."""
        if self.content.rows:
            target = max(0, min(self.index + by, len(self.content.rows) - 1))
            self.chosen = self.content.rows[target].key if target else None
        else:
            self.offset_rows = max(0, min(self.offset_rows + by, len(self.content.body) - self.room))

    def show(self, content: Content, *, focused: bool) -> None:
        """`content` is shown; the chosen row stays in sight."""
        self.content = content
        index, count = self.index, len(content.rows) or len(content.body)
        width, height = self.size  # asked once: each time it works out what the styles leave of it
        seen = room(content, height)
        if content.rows:
            self.offset_rows = min(self.offset_rows, index)
            self.offset_rows = max(self.offset_rows, index - seen + 1)
        self.offset_rows = max(0, min(self.offset_rows, count - seen))
        self.put(framed(content, self.number, width, height, first=self.offset_rows, chosen=index, focused=focused))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        at = event.y - 1 - len(self.content.head) + self.offset_rows
        inside = event.y > len(self.content.head) and 0 <= at < len(self.content.rows)
        key = self.content.rows[at].key if inside else None
        self.post_message(self.Picked(self.id or "", key, again=key is not None and key == self.chosen))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._scroll(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._scroll(-3)

    def _scroll(self, by: int) -> None:
        self.move(by)
        self.post_message(self.Scrolled(self.id or ""))
