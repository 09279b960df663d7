"""Making outside text safe to show (law 10): what comes from a server, an app or a file never reaches a terminal as control.

`plain` replaces every control character, bidirectional override and invisible format character by a visible escape. It keeps
printable Unicode: a Cyrillic table name stays readable. One line in, one line out.
"""

from __future__ import annotations

import unicodedata

_VISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def plain(text: object, limit: int | None = None) -> str:
    """`text` as one printable line; what was not printable is shown as `^[`, `\\n` or `\\u202e`; at most `limit` characters."""
    raw = str(text)
    shown = raw if raw.isascii() and raw.isprintable() else "".join(_show(ch) for ch in raw)
    return shown if limit is None or len(shown) <= limit else shown[: max(limit - 1, 0)] + "…"


def statement(sql: str) -> str:
    """`sql` whole on one printable line, fit to be run: what breaks its lines is one blank, blanks inside a line stay (a name may hold two)."""
    return plain(" ".join(line.strip() for line in sql.strip().splitlines()))


def _show(ch: str) -> str:
    if ch.isprintable() and unicodedata.category(ch) not in _VISIBLE:
        return ch
    code = ord(ch)
    if ch in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[ch]
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
