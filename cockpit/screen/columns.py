"""Tables by line: columns of fixed width chosen by the real width of the pane, so that nothing moves when a figure changes."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from cockpit.screen.cells import Line, fit, fit_end
from cockpit.screen.look import Status


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    width: int
    """Cells; 0 takes what is left."""
    align: str = "<"
    least: int = 0
    """Cells that a stretching column wants; where it cannot have them, a narrower policy is taken."""


def choose(policies: tuple[tuple[Column, ...], ...], width: int) -> tuple[Column, ...]:
    """The first of `policies` (widest first) that leaves its stretching column what it wants; else the last."""
    for columns in policies:
        if spare(columns, width) >= max(c.least for c in columns):
            return columns
    return policies[-1]


def spare(columns: tuple[Column, ...], width: int) -> int:
    """Cells left for the stretching column, after the symbol and one blank between columns."""
    return width - 2 - sum(c.width for c in columns) - (len(columns) - 1)


def heading(columns: tuple[Column, ...], width: int) -> Line:
    rest = max(spare(columns, width), 1)
    return (("  " + " ".join(fit(c.name[: c.width or rest], c.width or rest, c.align) for c in columns), "dim"),)


def _cell(text: str, column: Column, rest: int) -> str:
    """A qualified name that does not fit gives way at its beginning: names of one schema differ at their end."""
    if column.width or "." not in text:
        return fit(text, column.width or rest, column.align)
    own = text.rpartition(".")[2]
    return fit_end(text if cell_len(text) <= rest or cell_len(own) > rest else own, rest)


def line(columns: tuple[Column, ...], width: int, status: Status, cells: dict[str, str], loud: tuple[str, ...]) -> Line:
    """One row: the status symbol, then the cells; those named in `loud` carry the status's colour, the others are plain text."""
    rest = max(spare(columns, width), 1)
    spans = [(f"{status.symbol} ", status.value)]
    for index, column in enumerate(columns):
        text = _cell(cells.get(column.name, ""), column, rest)
        spans.append((text if index == len(columns) - 1 else text + " ", status.value if column.name in loud else "text"))
    return tuple(spans)
