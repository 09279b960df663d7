"""A person's own file: theme, symbols and further keys; nothing in it keeps anybody from a screen, and no key in it moves the world by accident."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from cockpit import onscreen
from cockpit.places import screen_file
from cockpit.screen.actions import ACTIONS, BY_KEY
from cockpit.screen.keys import Keys, keys_of, named
from cockpit.screen.look import THEMES as LOOKS
from cockpit.screen.options import Options
from cockpit.screen.taste import THEMES, taste_of
from tests.screen.demo import ARMED, READY, SOAK, story
from tests.screen.flying import cockpit


def keys(**table: Any) -> Keys:
    made, wrong = keys_of(table)
    assert wrong == {}
    return made


def with_keys(made: Keys, *wrong: str) -> Options:
    return Options(drill=True, by="ana@bastion", keys=made, wrong=wrong)


async def test_a_further_key_does_what_its_own_does_and_the_shipped_one_goes_on_doing_it() -> None:
    async with cockpit(story(SOAK), options=with_keys(keys(F9="B"))) as c:
        await c.press("f9")
        assert "BACK TO BLUE?" in c.prompt
        await c.press("f9")
        assert "BACK TO BLUE?" in c.prompt, "its own key again leaves the question standing"
        await c.press("Y")
        assert c.intents() == ["back"]
        await c.press("B")
        assert "BACK TO BLUE?" in c.prompt


async def test_a_character_is_itself_where_something_is_typed() -> None:
    async with cockpit(story(READY), options=with_keys(keys(**{"x": "m", "ü": "/"}))) as c:
        await c.press("x", "x", "ü")
        assert "xü" in c.prompt
        await c.press("enter")
        assert c.intents() == ["note xü"]


async def test_where_something_is_typed_no_further_key_acts() -> None:
    async with cockpit(story(ARMED), options=with_keys(keys(F8="D", X="D", F9="Q", F5="5"))) as c:
        await c.later(0.5)
        await c.press("a", "r", "X", "f8", "f9", "f5")
        assert c.intents() == []
        assert "type arp: arX" in c.prompt
        await c.press("escape")
        assert c.intents() == ["disarm"]
    async with cockpit(story(SOAK), options=with_keys(keys(F9="B"))) as c:
        await c.press("m", *"tell", "f9", "Y", "enter")
        assert c.intents() == ["note tellY"]


async def test_help_shows_them() -> None:
    async with cockpit(story(READY), (120, 40), options=with_keys(keys(F9="B", F10="B", w="!"))) as c:
        await c.press("question_mark")
        assert any("BACK TO BLUE" in line and "also F9 F10" in line for line in c.lines())


async def test_what_could_not_be_followed_is_told_first() -> None:
    async with cockpit(story(READY), options=with_keys(Keys(), "screen.toml:3: x is wrong", "screen.toml:9: " + "y " * 60 + "ends")) as c:
        assert "! 2 mistakes in screen.toml: ? says which" in c.prompt
        await c.press("question_mark")
        assert "! screen.toml:3: x is wrong" in c.text
        assert "y ends" in c.text, "the whole of it, at 80 columns"


@pytest.mark.parametrize(
    ("key", "meant", "said"),
    [
        ("B", "A", "means something already (BACK TO BLUE"),
        ("k", "down", "means something already"),
        ("Y", "B", "answers questions"),
        ("d", "down", "answers questions"),
        ("x", "B", "take a capital letter or F2 to F12"),
        ("x", "a", "take a capital letter or F2 to F12"),
        ("delete", "a", "take a capital letter or F2 to F12"),
        ("X", "Y", "must name a key of the screen"),
        ("X", "enter", "must name a key of the screen"),
        ("X", "escape", "must name a key of the screen"),
        ("X", "launch", "must name a key of the screen"),
        ("X", 7, "must name a key of the screen"),
        ("ctrl+b", "B", "is no key that can be given"),
        ("space", "down", "is no key that can be given"),
        (" ", "down", "is no key that can be given"),
        ("", "down", "is no key that can be given"),
        ("\x1b[31m", "down", "is no key that can be given"),
    ],
)
def test_what_a_further_key_may_not_be(key: str, meant: object, said: str) -> None:
    made, wrong = keys_of({key: meant})
    assert said in wrong[key]
    assert made.stands_for == {}
    assert "\x1b" not in wrong[key]


def test_every_shipped_key_can_be_named_as_it_is_printed() -> None:
    printed = {"minus": "-", "plus": "+", "exclamation_mark": "!", "slash": "/", "space": "space", "colon": ":", "question_mark": "?"}
    printed |= {"right_square_bracket": "]", "left_square_bracket": "[", "right_curly_bracket": "}", "left_curly_bracket": "{"}
    printed |= {"greater_than_sign": ">", "less_than_sign": "<"}
    for action in ACTIONS:
        for key in action.keys:
            assert named(printed.get(key, key)) == key
    assert set(printed) <= set(BY_KEY)


def test_the_file_says_theme_symbols_and_keys(tmp_path: Path) -> None:
    file = tmp_path / "screen.toml"
    assert taste_of(file, None, False).theme == "dark"
    file.write_text('theme = "light"\nascii = true\n[keys]\nF9 = "B"\n"ö" = "["\n')
    taste = taste_of(file, None, False)
    assert (taste.theme, taste.ascii, taste.wrong) == ("light", True, ())
    assert taste.keys is not None
    assert taste.keys.stands_for == {"f9": "B", "ö": "left_square_bracket"}
    assert taste_of(file, "mono", False).theme == "mono", "the command line counts first"


def test_a_mistake_is_told_with_its_line_and_the_rest_counts(tmp_path: Path) -> None:
    file = tmp_path / "screen.toml"
    file.write_text('theme = "pink"\nascii = true\n[keys]\nF9 = "B"\nx = "B"\n')
    taste = taste_of(file, None, False)
    first, second = taste.wrong
    assert first == f"{file}:1: theme must be one of dark, light, mono, contrast, in quotes"
    assert second.startswith(f"{file}:5: ")
    assert (taste.theme, taste.ascii) == ("dark", True)
    assert taste.keys is not None
    assert taste.keys.stands_for == {"f9": "B"}


@pytest.mark.parametrize("text", ["theme = ", "keys = 3", "\x00", "colour = 1", "[keys.B]\na = 1"])
def test_a_broken_file_keeps_nobody_out(tmp_path: Path, text: str) -> None:
    file = tmp_path / "screen.toml"
    file.write_text(text)
    taste = taste_of(file, None, False)
    assert taste.wrong[0].startswith(f"{file}:1: ")
    assert taste.theme == "dark"
    assert taste_of(tmp_path, None, False).wrong, "nor does a folder in its place"


def test_a_place_that_cannot_even_be_looked_at_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be read: File name too long" in taste_of(tmp_path / ("x" * 300), None, False).wrong[0]
    monkeypatch.setenv("COCKPIT_SCREEN", "~nobody-of-this-name/x")
    asked = argparse.Namespace(theme="light", ascii=True)
    assert onscreen._taste(asked).wrong == ("screen.toml is not looked for: whose home? set COCKPIT_SCREEN to a path",)
    assert onscreen._taste(asked).theme == "light"


def test_where_it_is() -> None:
    assert screen_file({"HOME": "/home/ana"}) == Path("/home/ana/.config/cockpit/screen.toml")
    assert screen_file({"HOME": "/home/ana", "XDG_CONFIG_HOME": "/etc/xdg"}) == Path("/etc/xdg/cockpit/screen.toml")
    assert screen_file({"HOME": "/home/ana", "COCKPIT_SCREEN": "/srv/mine.toml"}) == Path("/srv/mine.toml")


def test_the_themes_are_those_of_the_screen() -> None:
    assert set(THEMES) == set(LOOKS)
