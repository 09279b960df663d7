"""What an outside system sends never reaches the terminal as a control sequence, as markup, or as more cells than it was given."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from cockpit.screen.cells import fill, fit, fit_end, segments, wrap
from cockpit.screen.look import Look
from tests.screen.demo import SOAK, story
from tests.screen.flying import SIZES, cockpit
from tests.screen.poison import HOSTILE, poison_story


def _unprintable(text: str) -> list[str]:
    return [ch for ch in text if unicodedata.category(ch) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


ALL = " ".join(text[:40] for text in HOSTILE)
CASES = [*((poison, (120, 40)) for poison in HOSTILE), *((ALL, size) for size in SIZES)]


@pytest.mark.parametrize(("poison", "size"), CASES, ids=[f"{n}-{size[0]}" for n, (_, size) in enumerate(CASES)])
async def test_hostile_text_stays_text_everywhere(poison: str, size: tuple[int, int]) -> None:
    async with cockpit(poison_story(poison), size) as c:
        for keys in (
            (),
            ("1", "enter"),
            ("escape", "2", "enter"),
            ("escape", "3", "enter"),
            ("escape", "5", "enter"),
            ("escape", "exclamation_mark"),
            ("enter",),
        ):
            await c.press(*keys)
            await c.look()
            for line in c.lines():
                assert _unprintable(line) == []
                assert cell_len(line) == size[0]


async def test_markup_is_shown_as_it_is() -> None:
    async with cockpit(poison_story("[red]x[/red]"), (200, 60)) as c:
        assert "[red]x[/red]" in c.text


async def test_hostile_typing_is_harmless() -> None:
    async with cockpit(story(SOAK)) as c:
        await c.press("m", *"[/]", "left_square_bracket", "escape")
        assert c.intents() == []


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60), width=st.integers(1, 40))
def test_a_fitted_text_has_exactly_its_width(text: str, width: int) -> None:
    for fitted in (fit(text, width), fit(text, width, ">"), fit_end(text, width)):
        assert cell_len(fitted) == width
        assert _unprintable(fitted) == []
    assert cell_len("".join(s for s, _ in fill(((text, "text"),), width))) == width
    assert sum(s.cell_length for s in segments(((text, "bad"), (text, "nonsense")), width, Look())) == width
    assert all(sum(cell_len(s) for s, _ in line) <= max(width, 2) for line in wrap(text, width))
