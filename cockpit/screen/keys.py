"""Further keys of a person's own: each stands for one that the screen has anyhow.

They add and take nothing away: every prompt, message and manual names the shipped keys, and whoever sits down beside a person, at any
screen, finds `B` where it is. So a key of one's own may not be one that means something already, and what answers a question (`Y`,
enter, esc) is nobody else's. What changes the world is reached by no lower-case letter that a finger may brush.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cockpit.model.text import plain
from cockpit.screen.actions import BY_KEY, Action

_PUNCTUATION = {
    "solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at", "hyphen_minus": "minus", "plus_sign": "plus", "low_line": "underscore",
}  # fmt: skip
"""Unicode's names, in lower case, that Textual shortens (`textual.keys`, `KEY_NAME_REPLACEMENTS`)."""
_NAMED = {"insert", "delete", *(f"f{number}" for number in range(2, 13))}
_ANSWERS = {"Y", "enter", "escape"}
_LEAVES = {"Y", "y", "d", "n"}
"""What answers a question: a key that stood for something else there would be taken for it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """`stands_for`: Textual's name of a further key, and of the key whose work it does. `shown`: the further keys of an action, as printed."""

    stands_for: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def meant(self, key: str, *, typing: bool) -> str:
        """The key whose work `key` does. Where something is typed every key is itself: what corrects a word must not move the world."""
        return key if typing else self.stands_for.get(key, key)

    def also(self, action: Action) -> str:
        """`also F9`, where the action has further keys; else nothing."""
        return f"also {' '.join(self.shown[action.id])}" if action.id in self.shown else ""


SHIPPED = Keys()


def keys_of(table: Mapping[str, object]) -> tuple[Keys, dict[str, str]]:
    """The keys of a `[keys]` table, further key to shipped key, and by entry what is wrong with it and what would be right."""
    wrong: dict[str, str] = {}
    stands_for: dict[str, str] = {}
    shown: dict[str, tuple[str, ...]] = {}
    for text, meant in table.items():
        key, target = named(text), named(meant) if isinstance(meant, str) else ""
        found = next(_mistakes(text, key, meant, target), "")
        if not found and key in stands_for:
            found = f"{plain(text, 20)} is there twice"
        if found:
            wrong[text] = found
            continue
        stands_for[key] = target
        action = BY_KEY[target]
        shown[action.id] = (*shown.get(action.id, ()), _printed(text, key))
    return Keys(stands_for, shown), wrong


def named(text: str) -> str:
    """Textual's name of the key that a person writes: a character, or a name such as `F9`, `down` or `space`; empty where it is none."""
    if len(text) != 1:
        return text.lower().replace(" ", "")
    if text.isalnum():
        return text
    if not text.isprintable() or text == " ":
        return "space" if text == " " else ""
    name = unicodedata.name(text, "").lower().replace("-", "_").replace(" ", "_")
    return _PUNCTUATION.get(name, name)


def _mistakes(text: str, key: str, meant: object, target: str) -> Iterator[str]:
    said = plain(text, 20)
    if not (key in _NAMED or (len(text) == 1 and key and key != "space")):
        yield f"{said} is no key that can be given: a single character, F2 to F12, insert or delete"
    if key in BY_KEY:
        yield f"{said} means something already ({BY_KEY[key].label}): take a key that is free"
    if key in _ANSWERS | _LEAVES:
        yield f"{said} answers questions: take another key"
    if not isinstance(meant, str) or target not in BY_KEY or target in _ANSWERS:
        yield f'{said} must name a key of the screen in quotes, such as "B", "down" or "]"; `?` on screen lists them'
        return
    action = BY_KEY[target]
    changes = action.ask is not None and action.level > 0 and action.id not in ("less", "more")
    if changes and not (key[1:].isdigit() or text.isupper()):
        yield f"{said} cannot stand for {plain(meant, 20)}, which changes the world: take a capital letter or F2 to F12"


def _printed(text: str, key: str) -> str:
    return text if len(text) == 1 else key.upper() if key[1:].isdigit() else key
