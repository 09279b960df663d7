"""Writing TOML that reads back as what was meant, whatever the text holds, and that nobody's terminal obeys."""

from __future__ import annotations

from collections.abc import Iterable

from cockpit.model.text import plain


def quoted(text: str) -> str:
    """`text` as a TOML string on one line: what is not printable is written as its number. `ValueError` for what is no Unicode text."""
    text.encode()
    return '"' + "".join(_escaped(ch) for ch in text) + '"'


def listed(texts: Iterable[str]) -> str:
    return "[" + ", ".join(quoted(text) for text in texts) + "]"


def remark(text: str) -> str:
    """`text` as a comment on one line."""
    return f"# {plain(text)}".rstrip()


def _escaped(ch: str) -> str:
    if ch in '"\\':
        return "\\" + ch
    if plain(ch) == ch:
        return ch
    return f"\\u{ord(ch):04X}" if ord(ch) < 0x10000 else f"\\U{ord(ch):08X}"
