"""A statement on one line that means the same: a name or a text with a line break, an escape or a bidi override in it would not
survive being shown, and what cannot be copied from the screen cannot be run.

Literals with such characters become escape strings (`E'..'`), names become `U&".."`: "String Constants with C-Style Escapes" and
"Identifiers and Key Words" in the PostgreSQL manual. Line breaks between tokens become blanks.
"""

from __future__ import annotations

import re

from cockpit.model.text import plain

_TOKEN = re.compile(
    r"""(?P<escape>\b[eE]'(?:[^'\\]|\\.|'')*')
      | (?P<text>'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*")
      | (?P<body>(?<![\w$])\$(?P<tag>[^\W\d]?\w*)\$.*?\$(?P=tag)\$)
      | (?P<blank>[^\S ]\s*|\s+[^\S ]\s*)""",
    re.VERBOSE | re.DOTALL,
)


def one_line(sql: str) -> str:
    """`sql` without a character that could not be shown; it is its own `plain`."""
    return _TOKEN.sub(_token, sql.strip()) if plain(sql) != sql else sql


def literal(text: str) -> str:
    """`text` as a constant on one line."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if plain(text) == text else "E'" + "".join(_escaped(ch) for ch in quoted.replace("\\", "\\\\")) + "'"


def _token(found: re.Match[str]) -> str:
    token = found.group()
    if found["blank"]:
        return " "
    if plain(token) == token:
        return token
    if found["name"]:
        inner = token[1:-1].replace("\\", "\\\\")
        return 'U&"' + "".join(_coded(ch) for ch in inner) + '"'
    if found["body"]:
        mark = len(found["tag"]) + 2
        return literal(token[mark:-mark])
    if found["text"]:
        return literal(token[1:-1].replace("''", "'"))
    return "".join(_escaped(ch) for ch in token)


def _escaped(ch: str) -> str:
    if plain(ch) == ch:
        return ch
    code = ord(ch)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(ch) or (f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}")


def _coded(ch: str) -> str:
    if plain(ch) == ch:
        return ch
    code = ord(ch)
    return f"\\{code:04X}" if code < 0x10000 else f"\\+{code:06X}"
