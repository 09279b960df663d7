"""Two widgets: `Lines` paints lines and repaints only those that changed; `Pane` frames a content, scrolls it and keeps a choice."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from cockpit.screen.cells import BLANK, Line, apart, crop, fill, marked, strip
from cockpit.screen.content import Content
from cockpit.screen.look import Look

_LIGHT = "┌─┐│└┘"
_HEAVY = "┏━┓┃┗┛"


class Lines(Widget):
    """Lines of spans, painted row by row."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._shown: tuple[Line, ...] = ()
        self._look = Look()
        self.repainted = 0
        """Rows repainted so far: what a test counts."""

    def put(self, lines: Sequence[Line], look: Look) -> None:
        """`lines` are shown; only rows that differ are painted."""
        before, self._shown = self._shown, tuple(lines)
        if look != self._look:
            self._look = look
            self.refresh()
            return
        width = self.size.width
        for y in range(max(len(before), len(self._shown))):
            old = before[y] if y < len(before) else None
            new = self._shown[y] if y < len(self._shown) else None
            if old != new:
                self.repainted += 1
                self.refresh(Region(0, y, width, 1))

    def render_line(self, y: int) -> Strip:
        line = self._shown[y] if y < len(self._shown) else BLANK
        return strip(line, self.size.width, self._look)


class Pane(Lines):
    """A framed content. A heavy frame is the focus; the chosen row is marked while the pane has it."""

    class Picked(Message):
        """The mouse chose this pane, and a row of it where there was one; `again` when that row was chosen already."""

        def __init__(self, pane: str, key: str | None, *, again: bool) -> None:
            super().__init__()
            self.pane, self.key, self.again = pane, key, again

    def __init__(self, number: int, *, id: str) -> None:
        super().__init__(id=id)
        self.number = number
        self.chosen: str | None = None
        self.offset_rows = 0
        self.content = Content(title=())

    @property
    def inner(self) -> tuple[int, int]:
        """Cells inside the frame."""
        return max(self.size.width - 2, 0), max(self.size.height - 2, 0)

    @property
    def room(self) -> int:
        """Rows that can be shown at once."""
        return max(self.inner[1] - len(self.content.head), 0)

    @property
    def index(self) -> int:
        """Of the chosen row; the first one while none is chosen or it is gone."""
        return next((i for i, row in enumerate(self.content.rows) if row.key == self.chosen), 0)

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

    def show(self, content: Content, look: Look, *, focused: bool) -> None:
        """`content` is shown; the chosen row stays in sight."""
        self.content = content
        room, index, count = self.room, self.index, len(content.rows) or len(content.body)
        if content.rows:
            self.offset_rows = min(self.offset_rows, index)
            self.offset_rows = max(self.offset_rows, index - room + 1)
        self.offset_rows = max(0, min(self.offset_rows, count - room))
        self.put(self._framed(look, focused=focused), look)

    def _framed(self, look: Look, *, focused: bool) -> list[Line]:
        width, height = self.inner
        if width < 1 or height < 1:
            return []
        frame = _HEAVY if focused else _LIGHT
        role = "focus" if focused else "frame"
        rows = self._inside(height, focused=focused)
        lines = [self._top(frame, role, width)]
        lines.extend(((frame[3], role), *fill(row, width), (frame[3], role)) for row in rows)
        lines.append(self._bottom(frame, role, width))
        return lines

    def _inside(self, height: int, *, focused: bool) -> list[Line]:
        content = self.content
        first, room = self.offset_rows, self.room
        if content.rows:
            body = [row.line for row in content.rows[first : first + room]]
            if focused and 0 <= self.index - first < len(body):
                chosen = fill(body[self.index - first], self.inner[0])
                body[self.index - first] = marked(chosen)
        else:
            body = list(content.body[first : first + room])
        lines = [*content.head, *body][:height]
        return lines + [BLANK] * (height - len(lines))

    def _top(self, frame: str, role: str, width: int) -> Line:
        number: Line = ((f"{self.number} ", "key"),) if self.number else ()
        badge: Line = ((" ", role), *self.content.badge, (" ", role)) if self.content.badge else ()
        room = width - 3 - sum(len(text) for text, _ in badge)
        title = crop((*number, *self.content.title), max(room, 0))
        left: Line = ((frame[0] + frame[1] + " ", role), *title, (" ", role))
        gap = width + 1 - sum(len(text) for text, _ in left) - sum(len(text) for text, _ in badge)
        return apart((*left, (frame[1] * max(gap - 1, 0), role)), (*badge, (frame[1] + frame[2], role)), width + 2)

    def _bottom(self, frame: str, role: str, width: int) -> Line:
        count = len(self.content.rows) or len(self.content.body)
        below = count - self.offset_rows - self.room
        note = f" {below} more ↓ " if below > 0 else f" {self.offset_rows} above ↑ " if self.offset_rows else ""
        return ((frame[4] + frame[1] * (width - len(note) - 1), role), (note, "dim"), (frame[1] + frame[5], role))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        at = event.y - 1 - len(self.content.head) + self.offset_rows
        inside = event.y > len(self.content.head) and 0 <= at < len(self.content.rows)
        key = self.content.rows[at].key if inside else None
        self.post_message(self.Picked(self.id or "", key, again=key is not None and key == self.chosen))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move(-3)
