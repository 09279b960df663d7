"""The answers to `cockpit init`: from flags, from a person, or by default; each is checked as the config's own loader would check it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cockpit._texts import FilePath, Host, Identifier, PairName, mistake_in
from cockpit.config import secret_at
from cockpit.errors import ConfigError
from cockpit.initial.questions import NONE, QUESTIONS, Question, default, is_needed
from cockpit.places import runs_folder

Ask = Callable[[Question, str], str]
"""Asks a person one question, offering its default; an empty answer is the default."""

NOTHING: Mapping[str, str] = MappingProxyType({})
_KINDS = {"host": Host, "database": Identifier, "user": Identifier}
_REFERENCE = re.compile(r"env:|file:|aws-sm:|vault:")


@dataclass(frozen=True, slots=True)
class Server:
    """How the cockpit reaches a server. `password` is where it is, None where the server asks for none."""

    host: str
    port: int
    database: str
    user: str
    password: str | None


@dataclass(frozen=True, slots=True)
class Pooler:
    """PgBouncer: the addresses of its consoles, and the file of its databases."""

    consoles: tuple[tuple[str, int], ...]
    user: str
    password: str | None
    file: str


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that was said. `runs` is None where runs are kept in the usual place."""

    pair: str
    blue: Server
    green: Server
    pooler: Pooler | None
    channel_file: str | None
    runs: str | None

    @property
    def sides(self) -> tuple[tuple[str, Server], ...]:
        return (("blue", self.blue), ("green", self.green))


def gather(
    given: Mapping[str, str], folder: Path, ask: Ask | None, tell: Callable[[str], None], before: Mapping[str, str] = NOTHING
) -> dict[str, str]:
    """An answer to each question that makes sense, all of them checked; relative paths start at `folder`. What was not `given` is asked, or
    is the default where nobody can be; `before` holds answers that are offered again. `ConfigError` names the flag that is wrong; what a person types wrong is told and asked again."""
    said: dict[str, str] = {}
    for question in QUESTIONS:
        if not is_needed(question.key, said):
            if question.key in given:
                raise ConfigError(
                    "there is no pooler that this could be of", where=f"--{question.key}", remedy="say --pooler HOST:PORT too"
                )
            continue
        offered = before.get(question.key) or default(question.key, said, str(runs_folder()))
        if question.key in given or ask is None:
            said[question.key] = _checked(question.key, given.get(question.key, offered), said, folder)
        else:
            said[question.key] = _asked(question, offered, said, folder, ask, tell)
    return said


def _checked(key: str, text: str, said: Mapping[str, str], folder: Path) -> str:
    wrong = mistake(key, text, said, folder)
    if wrong:
        # What would be right mostly stands behind a semicolon already.
        raise ConfigError(wrong, where=f"--{key}", remedy="" if "; " in wrong else f"give another --{key}")
    return text


def _asked(question: Question, offered: str, said: Mapping[str, str], folder: Path, ask: Ask, tell: Callable[[str], None]) -> str:
    while True:
        text = ask(question, offered).strip() or offered
        wrong = mistake(question.key, text, said, folder)
        if not wrong:
            return text
        tell(f"  {wrong}")


def mistake(key: str, text: str, said: Mapping[str, str], folder: Path) -> str:
    """What is wrong with this answer, in a sentence that never repeats a password; empty where nothing is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it is not UTF-8"
    about, _, part = key.partition("-")
    if part == "password":
        return "" if text == NONE else _of_reference(text, folder)
    if key == "pair":
        return "a pair's name is lower-case letters, digits and _, a letter first, 31 at most" if mistake_in(PairName, text) else ""
    if key == "pooler":
        return "" if text == NONE else _of_consoles(text)
    if part == "port":
        return _of_port(text) or _of_same_server(about, text, said)
    return _empty_or(mistake_in(_KINDS.get(part, FilePath), text))


def _empty_or(wrong: str) -> str:
    return f"it {wrong}" if wrong else ""


def _of_reference(text: str, folder: Path) -> str:
    if not _REFERENCE.match(text):
        return (
            "a password is never typed here: it would stand in the file, on the screen and in your shell's history; "
            "keep it in a variable or a private file, and say env:NAME or file:PATH"
        )
    try:
        secret_at(text, folder)
    except ValueError as err:
        return str(err)
    return ""


def _of_port(text: str) -> str:
    return "" if re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= 65535 else "a port is a number from 1 to 65535"


def _of_same_server(about: str, port: str, said: Mapping[str, str]) -> str:
    same = about == "green" and said["green-host"] == said["blue-host"] and int(port) == int(said["blue-port"])
    return "blue and green are the same server: they must differ in host or port" if same else ""


def _of_consoles(text: str) -> str:
    for each in text.split(","):
        host, _, port = each.strip().rpartition(":")
        wrong = _of_port(port) or _empty_or(mistake_in(Host, host))
        if wrong:
            return f"each console is HOST:PORT, such as pool-1:6432: {wrong}"
    return ""


# --- from what was said to what it means --------------------------------------------------------------


def answers(said: Mapping[str, str]) -> Answers:
    """What `gather` took, as values."""
    return Answers(
        pair=said["pair"],
        blue=_server("blue", said),
        green=_server("green", said),
        pooler=_pooler(said) if said["pooler"] != NONE else None,
        channel_file=_unless_none(said["channel-file"]),
        runs=None if said["runs"] == str(runs_folder()) else said["runs"],
    )


def _server(side: str, said: Mapping[str, str]) -> Server:
    host, port, database, user, password = (said[f"{side}-{part}"] for part in ("host", "port", "database", "user", "password"))
    return Server(host, int(port), database, user, _unless_none(password))


def _pooler(said: Mapping[str, str]) -> Pooler:
    split = [each.strip().rpartition(":") for each in said["pooler"].split(",")]
    consoles = tuple(dict.fromkeys((host, int(port)) for host, _, port in split))
    return Pooler(consoles, said["pooler-user"], _unless_none(said["pooler-password"]), said["pooler-file"])


def _unless_none(text: str) -> str | None:
    return None if text == NONE else text
