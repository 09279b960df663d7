"""Text in terminal cells: a line is spans of text with a role each; the last gate before the terminal is `segments`.

Nothing reaches a terminal but through `segments`, and `segments` makes every span plain (law 10): no control character, no
bidirectional override, no markup. Widths are cells, not characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment

from cockpit.model.text import plain
from cockpit.screen.look import Look

Span = tuple[str, str]
"""Text and its role."""
Line = tuple[Span, ...]

BLANK: Line = ()


def clean(text: str) -> str:
    """`text` as one printable line; an accent that would join the cell before it stays with its letter."""
    return text if text.isascii() and text.isprintable() else _plain(text)


# Only what takes long is kept: numbers that change four times a second would fill it for nothing.
_plain = lru_cache(maxsize=1024)(plain)


def fit(text: object, width: int, align: str = "<") -> str:
    """`text` in exactly `width` cells: padded, or cut with `…`."""
    shown = clean(str(text))
    size = _size(shown)
    if size > width:
        return _cut(shown, width)
    pad = " " * (width - size)
    return pad + shown if align == ">" else shown + pad


def fit_end(text: object, width: int) -> str:
    """`text` in exactly `width` cells; when it is cut, its end is kept."""
    shown = clean(str(text))
    while cell_len(shown) > max(width - 1, 0) and cell_len(clean(str(text))) > width:
        shown = shown[1:]
    return fit(shown if shown == clean(str(text)) else "…" + shown, width)


def _cut(text: str, width: int) -> str:
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1) + "…"


def line_width(line: Line) -> int:
    return sum(_size(clean(text)) for text, _ in line)


def _size(shown: str) -> int:
    return len(shown) if shown.isascii() else cell_len(shown)


def crop(line: Line, width: int) -> Line:
    """`line` in at most `width` cells; the last span that does not fit is cut with `…`."""
    return _cropped(line, width)[0]


def fill(line: Line, width: int, role: str = "text") -> Line:
    """`line` in exactly `width` cells."""
    cropped, missing = _cropped(line, width)
    return (*cropped, (" " * missing, role)) if missing > 0 else cropped


def _cropped(line: Line, width: int) -> tuple[Line, int]:
    """What fits, and the cells that are left of `width`: painted for every row of the screen, so in one pass."""
    kept: list[Span] = []
    left = width
    for text, role in line:
        shown = clean(text)
        size = _size(shown)
        if size > left:
            if left > 0:
                kept.append((_cut(shown, left), role))
            return tuple(kept), 0
        kept.append((shown, role))
        left -= size
    return tuple(kept), left


def apart(left: Line, right: Line, width: int) -> Line:
    """`left` at the left and `right` at the right edge of `width` cells; the left one gives way."""
    room = max(width - line_width(right), 0)
    gap = 1 if right and line_width(left) > room else 0
    return (*fill(crop(left, room - gap), room), *crop(right, width))


def marked(line: Line) -> Line:
    """`line` as the cursor's line."""
    return tuple((text, role + "+cursor") for text, role in line)


def doubtful(line: Line) -> Line:
    """`line` as what can no longer be believed: its own sign and colour instead of those it had."""
    return tuple((text.replace("✓", "?"), "stale") for text, _ in line)


def joined(parts: Iterable[Line], gap: str = "  ") -> Line:
    """The parts that are not empty, with a gap between them."""
    spans: list[Span] = []
    for part in parts:
        if part:
            if spans:
                spans.append((gap, "text"))
            spans.extend(part)
    return tuple(spans)


def wrap(text: str, width: int, role: str = "text") -> list[Line]:
    """`text` in lines of at most `width` cells (at least two), broken at blanks where there are any."""
    lines: list[Line] = []
    current = ""
    for word in clean(text).split(" "):
        longer = f"{current} {word}" if current else word
        if cell_len(longer) > width and current:
            lines.append(((current, role),))
            longer = word
        *whole, current = _pieces(longer, max(width, 2))
        lines.extend(((piece, role),) for piece in whole)
    lines.append(((current, role),))
    return lines


def _pieces(word: str, width: int) -> list[str]:
    """`word` cut into pieces of at most `width` cells; one empty piece for an empty word."""
    pieces, current, used = [], "", 0
    for ch in word:
        cells = cell_len(ch)
        if used + cells > width:
            pieces.append(current)
            current, used = "", 0
        current, used = current + ch, used + cells
    return [*pieces, current]


def segments(line: Line, width: int, look: Look) -> list[Segment]:
    """`line` as what the terminal gets: plain, in this theme, exactly `width` cells wide."""
    return [Segment(look.glyphs(clean(text)), look.style(role)) for text, role in fill(line, width)]


def text_of(line: Line) -> str:
    return "".join(clean(text) for text, _ in line)
