"""Secrets by reference: `env:NAME` or `file:PATH`. A reference is resolved once, when the config is loaded, into a `Secret`.

A `file:` must not be readable by everyone nor writable by its group (mode 0640 at most): a secret that any account of the machine
can read is none. Its last line end is not part of the secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from cockpit._toml import Mistake, slurp
from cockpit.model.text import plain

LIMIT = 64 << 10
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LATER = ("aws-sm:", "vault:")


def resolver(folder: Path, environ: Mapping[str, str], unset: set[str] | None = None) -> Callable[[str], str]:
    """A function from a reference to its secret; relative paths start at `folder`. It raises `ValueError` without the value; with `unset`,
    the name of a variable that is not set is put there instead, and `stand_in` is its value."""

    def resolve(reference: str) -> str:
        if reference.startswith("env:"):
            if unset is not None and _NAME.fullmatch(reference[4:]) and not environ.get(reference[4:]):
                unset.add(reference[4:])
                return stand_in(reference[4:])
            return _from_environment(reference[4:], environ)
        if reference.startswith("file:"):
            return _from_file(folder / Path(reference[5:]).expanduser())
        if reference.startswith(_LATER):
            raise ValueError(f"{reference.split(':')[0]}: references are not available in this version: use env:NAME or file:PATH")
        raise ValueError('a secret does not stand in this file: write "env:NAME" or "file:PATH" and keep it there')

    return resolve


def stand_in(name: str) -> str:
    """What stands where an environment variable's value would, in a config that is read without it."""
    return f"the value of {name}"


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("after env: stands the name of an environment variable: letters, digits and _")
    if not environ.get(name):
        state = "empty" if name in environ else "not set"
        raise ValueError(f"the environment variable {name} is {state}: export it before starting the cockpit")
    return _clean(environ[name], f"the environment variable {name}")


def _from_file(path: Path) -> str:
    shown = plain(path, 200)
    try:
        text = slurp(path, LIMIT).decode("utf-8")
        mode = path.stat().st_mode
    except Mistake as err:
        raise ValueError(f"the secret file {shown} {err.what}") from None
    except OSError as err:
        raise ValueError(f"the secret file {shown} cannot be read: {err.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the secret file {shown} is not UTF-8") from None
    if mode & 0o026:
        raise ValueError(f"the secret file {shown} has mode {mode & 0o777:04o}: others can read or change it; chmod 0600 (0640 at most)")
    return _clean(text.removesuffix("\n").removesuffix("\r"), f"the secret file {shown}")


def _clean(value: str, where: str) -> str:
    if not value:
        raise ValueError(f"{where} is empty")
    if "\x00" in value or "\n" in value:
        raise ValueError(f"{where} holds more than one line or a NUL: a password is one line")
    return value
