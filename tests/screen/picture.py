"""`python -m tests.screen.picture [COLUMNSxROWS second theme FILE key ...]`: the screen as SVG; without arguments the README's picture."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from cockpit.screen.app import CockpitApp
from cockpit.screen.options import Options
from tests.screen.demo import SOAK, Recorder, Story, story

README_PICTURE = Path(__file__).parents[2] / "docs" / "screen.svg"


async def draw(source: Story, columns: int, rows: int, *keys: str, options: Options | None = None) -> str:
    """The screen on `source` after `keys`, as SVG."""
    app = CockpitApp(source, Recorder(source), options or Options(drill=True, by="ana@bastion"))
    async with app.run_test(size=(columns, rows)) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        return _self_contained(app.export_screenshot(title="cockpit", simplify=True))


def _self_contained(svg: str) -> str:
    """`svg` without fonts from elsewhere: the viewer's own monospace font; text lengths in it keep the columns."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    return svg.replace("font-family: Fira Code, monospace", "font-family: monospace").replace("Fira Code", "monospace")


def main(argv: list[str]) -> None:
    size, second, theme, target, *keys = argv or ["120x40", str(SOAK), "dark", str(README_PICTURE)]
    columns, rows = size.split("x")
    options = Options(theme=theme, drill=True, by="ana@bastion")
    svg = asyncio.run(draw(story(float(second)), int(columns), int(rows), *keys, options=options))
    Path(target).parent.mkdir(exist_ok=True)
    Path(target).write_text(svg)


if __name__ == "__main__":
    main(sys.argv[1:])
