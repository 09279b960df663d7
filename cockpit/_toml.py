"""Reading a TOML file that a person wrote: safely, whole, and with the line of every key.

`read` gives the parsed content and where each key stands, or a `Mistake`: a directory, a FIFO, a file that is too large, not UTF-8
or not TOML is said in one line. The standard parser keeps no positions; `lines` finds them by scanning the text again.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cockpit.model.text import plain

LIMIT = 1 << 20
"""Bytes; a config of a hundred apps has some 20 KiB."""
DEPTH = 32
"""Nesting of tables and lists; what a config or scenario needs is 6."""

KeyPath = tuple[str | int, ...]


class Mistake(ValueError):
    """What is wrong with the file at `line`, and what would be right; never quotes a value, it might be a secret."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file's text, its content, and the line (from 1) at which each key or list item starts."""

    text: str
    content: dict[str, object]
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest table around it; 1 where there is none."""
        for end in range(len(path), 0, -1):
            if (line := self.lines.get(path[:end])) is not None:
                return line
        return 1


def read(path: Path) -> Document:
    """The document at `path`; `Mistake` says why there is none."""
    text = _decoded(slurp(path, LIMIT))
    try:
        content = tomllib.loads(text)
        _check_depth(text, content)
        return Document(text, content, lines(text))
    except tomllib.TOMLDecodeError as err:
        raise _syntax(text, str(err)) from None
    except RecursionError:
        raise _too_deep(text) from None
    except ValueError as err:
        if isinstance(err, Mistake):
            raise
        raise Mistake(1, f"not a value TOML can hold: {plain(err, 120)}") from None


def slurp(path: Path, limit: int) -> bytes:
    """The bytes of the regular file at `path`; opening never waits (a FIFO, a device), and at most `limit` bytes are taken."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as err:
        raise Mistake(1, _unreadable(err)) from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise Mistake(1, f"{_kind(mode)}, not a file: name a regular file")
        return _bytes(handle, limit)
    except OSError as err:
        raise Mistake(1, _unreadable(err)) from None
    finally:
        os.close(handle)


def _bytes(handle: int, limit: int) -> bytes:
    with open(handle, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Mistake(1, f"larger than {limit >> 10} KiB: not what this program reads here")
    return data


def _unreadable(err: Exception) -> str:
    reason = err.strerror if isinstance(err, OSError) and err.strerror else "not a usable path"
    return f"cannot be read: {reason}"


def _kind(mode: int) -> str:
    names = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in names if test(mode)), "a device")


def _decoded(data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise Mistake(1, "starts with a byte order mark: save it as UTF-8 without one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as err:
        line = data.count(b"\n", 0, err.start) + 1
        raise Mistake(line, f"byte {err.start} is not UTF-8: save the file as UTF-8") from None


_AT_LINE = re.compile(r" \(at line (\d+), column (\d+)\)$")


def _syntax(text: str, message: str) -> Mistake:
    if found := _AT_LINE.search(message):
        what = message[: found.start()]
        return Mistake(int(found[1]), f"not TOML: {plain(what, 200)}, at column {found[2]}")
    ended = message.removesuffix(" (at end of document)")
    return Mistake(max(len(text.splitlines()), 1), f"not TOML: {plain(ended, 200)}, at the end of the file")


def _check_depth(text: str, content: dict[str, object]) -> None:
    level: list[object] = [content]
    for _ in range(DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise _too_deep(text)


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _too_deep(text: str) -> Mistake:
    """Names the line on which most brackets or dots stand: where the nesting is."""
    rows = text.splitlines() or [""]
    worst = max(range(len(rows)), key=lambda n: sum(rows[n].count(c) for c in "[{."))
    return Mistake(worst + 1, f"nested deeper than {DEPTH} levels: no key of this file is")


def lines(text: str) -> dict[KeyPath, int]:
    """The line of every key and list item of `text`, which the standard parser has accepted."""
    return _Scan(text).run()


_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' + r"|'''.*?'''(?:'{0,2})" + r'|"(?:\\.|[^"\\])*"' + r"|'[^']*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^,\]}\s#]*|[^,\]}\s#]+")


class _Scan:
    """One pass over a valid TOML text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[KeyPath, int] = {}
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._counts: dict[KeyPath, int] = {}

    def run(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_SPACE)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_SPACE)
        return self.found

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError("not TOML that this scan knows")
        self.at = match.end()
        return match.group()

    def _next_is(self, sign: str) -> bool:
        """Steps over `sign` if it is next."""
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def _note(self, path: KeyPath, start: int) -> None:
        self.found.setdefault(path, bisect_right(self._starts, start))

    def _header(self) -> KeyPath:
        """Steps over `[table]` or `[[table]]`; returns the path under which its keys stand."""
        start = self.at
        array = self._next_is("[[")
        if not array:
            self._next_is("[")
        path: KeyPath = ()
        parts = self._key()
        for number, part in enumerate(parts):
            path = (*path, part)
            self._note(path, start)
            if array and number == len(parts) - 1:
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self._note(path, start)
        self._skip(_BLANK)
        self._next_is("]]" if array else "]")
        return path

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_BLANK)
            quoted = self.text[self.at] in "\"'"
            raw = self._skip(_STRING if quoted else _BARE_KEY)
            parts.append(str(tomllib.loads(f"k={raw}")["k"]) if quoted else raw)
            self._skip(_BLANK)
            if not self._next_is("."):
                return parts

    def _pair(self, table: KeyPath) -> None:
        """Steps over `key = value`, also a dotted key."""
        start = self.at
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self._next_is("=")
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        first = self.text[self.at]
        if first == "[":
            self._list(path)
        elif first == "{":
            self._inline(path)
        else:
            self._skip(_STRING if first in "\"'" else _BARE_VALUE)

    def _list(self, path: KeyPath) -> None:
        self._next_is("[")
        number = 0
        self._skip(_SPACE)
        while not self._next_is("]"):
            self._note((*path, number), self.at)
            self._value((*path, number))
            number += 1
            self._skip(_SPACE)
            self._next_is(",")
            self._skip(_SPACE)

    def _inline(self, path: KeyPath) -> None:
        self._next_is("{")
        self._skip(_SPACE)
        while not self._next_is("}"):
            self._pair(path)
            self._skip(_SPACE)
            self._next_is(",")
            self._skip(_SPACE)
