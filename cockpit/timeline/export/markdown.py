"""A page as GitHub-flavoured Markdown in which no text of the run can become markup: no cell, link, tag or fence of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cockpit.timeline.export.page import Block, Grid, Heading, Sent, Words

_MARKUP = re.compile(r"[\\`*\[\]<>~&$@]|:(?=//)|(?<=mailto):|(?<=xmpp):|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=www)\.", re.IGNORECASE)
"""What could become markup: signs, bare addresses, and underscores that are not inside a word."""


def to_markdown(page: Iterable[Block]) -> str:
    """The page as one Markdown text."""
    return "\n\n".join(_block(block) for block in page) + "\n"


def text(raw: str) -> str:
    """`raw` so that Markdown shows exactly it. A pipe becomes a reference, because a table splits cells before it reads escapes."""
    return _MARKUP.sub(lambda found: "\\" + found.group(), raw).replace("|", "&#124;")


def _line(raw: str) -> str:
    """`raw` as a line of its own: it starts no list, rule or underline."""
    escaped = text(raw)
    return re.sub(r"^(\s*\d*)([-+=.)#])", r"\1\\\2", escaped)


def _block(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_line(block.text)}"
        case Words():
            return f"**{text(block.text.strip())}**" if block.loud and block.text.strip() else _line(block.text)
        case Sent():
            return _fenced(block.lines)
        case Grid():
            return "\n".join(_rows(block)) if block.rows else "None."


def _rows(grid: Grid) -> Iterator[str]:
    yield _row(grid.head)
    yield _row(("---:" if name in grid.right else "---" for name in grid.head), raw=True)
    for row in grid.rows:
        yield _row(row)


def _row(cells: Iterable[str], raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else text(cell) for cell in cells) + " |"


def _fenced(lines: tuple[str, ...]) -> str:
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence + "text", *lines, fence])
