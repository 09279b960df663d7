"""A page as one self-contained HTML file: no script, no request, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from cockpit.timeline.export.page import Block, Grid, Heading, Sent, Words

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #8886; padding-bottom: .2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .6rem 0; font-size: .92em; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #8883; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { overflow-x: auto; padding: .7rem; background: #8881; font-size: .85em; }
.loud { font-weight: 700; border-left: .3rem solid #c33; padding-left: .7rem; }
@media print { body { max-width: none; margin: 0; } pre { white-space: pre-wrap; } }
"""


def to_html(page: Iterable[Block]) -> str:
    """The page as one HTML document."""
    blocks = tuple(page)
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Run")
    return "\n".join([*_head(title), *(_block(block) for block in blocks), "</main></body></html>", ""])


def _head(title: str) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"


def _block(block: Block) -> str:
    match block:
        case Heading():
            return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
        case Words():
            return f"<p{' class=loud' if block.loud else ''}>{escape(block.text)}</p>"
        case Sent():
            return f"<pre>{escape(chr(10).join(block.lines))}</pre>"
        case Grid():
            return _table(block) if block.rows else "<p>None.</p>"


def _table(grid: Grid) -> str:
    figures = [' class="n"' if name in grid.right else "" for name in grid.head]
    head = "".join(f'<th scope="col"{cls}>{escape(name)}</th>' for name, cls in zip(grid.head, figures, strict=True))
    rows = (_row(row, figures) for row in grid.rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n' + "\n".join(rows) + "\n</tbody></table></div>"


def _row(row: tuple[str, ...], figures: list[str]) -> str:
    return "<tr>" + "".join(f"<td{cls}>{escape(cell)}</td>" for cell, cls in zip(row, figures, strict=True)) + "</tr>"
