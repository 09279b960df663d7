"""What one person likes on their own screen: theme, symbols and further keys, from `screen.toml` of their own configuration.

It is a person's and no environment's: it changes nothing of what is flown, and a run's config says nothing of it. What the command
line says counts before it. Nothing is imported here that would keep the first picture waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit._toml import Document, Mistake, read
from cockpit.model.text import plain

if TYPE_CHECKING:
    from cockpit.screen.keys import Keys

THEMES = ("dark", "light", "mono", "contrast")


@dataclass(frozen=True, slots=True)
class Taste:
    """How a person wants to be shown a run; `keys` is None where the shipped ones do."""

    theme: str = "dark"
    ascii: bool = False
    keys: Keys | None = None
    wrong: tuple[str, ...] = ()
    """What of the file was left out, each as `file:line: what, and what would be right`."""


SHIPPED = Taste()


def taste_of(file: Path, theme: str | None, ascii: bool) -> Taste:
    """What `file` says, where there is one, and before it what the command line does. A mistake in it keeps nobody from the screen of a run
    that is in the air: that line is left out, and told."""
    try:
        if not file.exists():
            return Taste(theme or "dark", ascii)
        document = read(file)
    except OSError as err:
        return Taste(theme or "dark", ascii, wrong=(f"{plain(file, 200)}: cannot be read: {err.strerror}",))
    except Mistake as err:
        return Taste(theme or "dark", ascii, wrong=(f"{plain(file)}:{err.line}: {err.what}",))
    wrong = _mistakes(document.content)
    keys, wrong_keys = _keys(document)
    wrong |= {("keys", key): text for key, text in wrong_keys.items()}
    liked = {key: value for key, value in document.content.items() if (key,) not in wrong}
    told = sorted((document.line(path), text) for path, text in wrong.items())
    return Taste(
        theme or str(liked.get("theme", "dark")),
        ascii or liked.get("ascii") is True,
        keys,
        tuple(f"{plain(file)}:{line}: {text}" for line, text in told),
    )


def _mistakes(content: dict[str, object]) -> dict[tuple[str, ...], str]:
    known = "theme, ascii, [keys]"
    wrong: dict[tuple[str, ...], str] = {
        (key,): f"{plain(key, 80)} is not a key of this file: the keys here are {known}"
        for key in content
        if key not in ("theme", "ascii", "keys")
    }
    if content.get("theme", "dark") not in THEMES:
        wrong["theme",] = f"theme must be one of {', '.join(THEMES)}, in quotes"
    if not isinstance(content.get("ascii", False), bool):
        wrong["ascii",] = "ascii must be true or false, without quotes"
    if not isinstance(content.get("keys", {}), dict):
        wrong["keys",] = "keys must be a table: [keys]"
    return wrong


def _keys(document: Document) -> tuple[Keys | None, dict[str, str]]:
    table = document.content.get("keys")
    if not isinstance(table, dict) or not table:
        return None, {}
    from cockpit.screen.keys import keys_of

    return keys_of(table)
