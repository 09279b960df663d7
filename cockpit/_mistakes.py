"""Every mistake of a file, gathered, in the order of its lines, in words that say what would be right.

A value of the file is never repeated: the wrong place for a password is a place all the same.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cockpit._toml import KeyPath, Mistake, read
from cockpit.errors import ConfigError
from cockpit.model.text import plain

Model = TypeVar("Model", bound=BaseModel)


class Mistakes(ConfigError):
    """What is wrong with a file: `mistakes` holds one `file:line: what, and what would be right` each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class Checked:
    """A file being checked: mistakes are added while everything else is looked at too, and raised together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: set[tuple[int, str]] = set()
        try:
            self.document = read(path)
        except Mistake as err:
            self._found.add((err.line, err.what))
            raise self.error() from None
        self.content: dict[str, object] = typing.cast("dict[str, object]", self._undated(self.document.content, ()))

    def add(self, path: KeyPath, what: str) -> None:
        self._found.add((self.document.line(path), what))

    def line(self, path: KeyPath) -> int:
        return self.document.line(path)

    def error(self) -> Mistakes:
        name = plain(self.path)
        return Mistakes(f"{name}:{line}: {what}" for line, what in sorted(self._found))

    def done(self) -> None:
        """Returns if there was no mistake, else raises all of them."""
        if self._found:
            raise self.error()

    def validated(self, model: type[Model], content: Mapping[str, object], path: KeyPath, context: Mapping[str, object]) -> Model | None:
        """`content` as a `model`, or None and its mistakes added, as they stand in the file under `path`.

        Goes through JSON so that a strict model takes a list for a tuple and a string for an enumeration."""
        try:
            return model.model_validate_json(json.dumps(content), strict=True, context=dict(context))
        except ValidationError as err:
            for detail in err.errors(include_url=False, include_input=False):
                inner = tuple(part for part in detail["loc"] if part != "[key]")
                self.add((*path, *inner), _words(detail, model, (*path, *inner), inner))
            return None

    def _undated(self, item: object, path: KeyPath) -> object:
        """`item` with dates turned into strings, each said to be a mistake: nothing here is a date."""
        if isinstance(item, dict):
            return {key: self._undated(value, (*path, key)) for key, value in item.items()}
        if isinstance(item, list):
            return [self._undated(value, (*path, number)) for number, value in enumerate(item)]
        if isinstance(item, datetime | date | time):
            self.add(path, f"{dotted(path)} is a date: put it in quotes if text is meant")
            return item.isoformat()
        return item


def dotted(path: KeyPath) -> str:
    """A key's path as a person would write it: `pairs.arp.apps[2].name`."""
    shown = ""
    for part in path:
        shown += f"[{part + 1}]" if isinstance(part, int) else f".{plain(part, 80)}" if shown else plain(part, 80)
    return shown


_TYPES = {
    "string_type": "text in quotes",
    "int_type": "a whole number, without quotes",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number, without quotes",
    "finite_number": "a finite number",
    "bool_type": "true or false, without quotes",
    "tuple_type": "a list in [ ]",
    "list_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def _words(detail: ErrorDetails, model: type[BaseModel], path: KeyPath, inner: KeyPath) -> str:
    name = dotted(path)
    kind = detail["type"]
    if kind == "missing":
        return f"{name} is missing: add it"
    if kind == "extra_forbidden":
        return f"{name} is not a key of this file{_instead(str(path[-1]), _keys(model, inner[:-1]))}"
    if kind == "too_short":
        least = detail.get("ctx", {}).get("min_length", 1)
        return f"{name} must have at least {least} {'entry' if least == 1 else 'entries'}"
    if kind in _TYPES:
        return f"{name} must be {_TYPES[kind]}"
    said = detail["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{name}: {plain(said, 300)}"


def _instead(wrong: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    if close:
        return f": did you mean {close[0]}?"
    return f": the keys here are {', '.join(known)}" if known else ": remove it"


def _keys(model: type[BaseModel], inner: KeyPath) -> tuple[str, ...]:
    """The keys that a table of `model` at `inner` may have."""
    here: object = model
    for part in inner:
        here = _inside(here, part)
    found = _model_in(here)
    return tuple(found.model_fields) if found else ()


def _inside(kind: object, part: str | int) -> object:
    found = _model_in(kind)
    if found is not None and isinstance(part, str) and part in found.model_fields:
        return found.model_fields[part].annotation
    args = typing.get_args(kind)
    return args[0 if isinstance(part, int) else -1] if args else None


def _model_in(kind: object) -> type[BaseModel] | None:
    """The model that `kind` is, or that it may be besides None."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next((found for arg in typing.get_args(kind) if (found := _model_in(arg))), None)
    return None
