"""`cockpit init`: asks, looks at both servers, and writes a config that `cockpit plan` takes."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import shlex
import shutil
import socket
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from cockpit.asked import typed
from cockpit.cli import put, say
from cockpit.config import secret_at
from cockpit.errors import CockpitError, ConfigError, Refused
from cockpit.initial.answers import Answers, Server, answers, gather
from cockpit.initial.proposals import Proposals, propose
from cockpit.initial.questions import QUESTIONS, Question
from cockpit.initial.telling import between, facts
from cockpit.initial.writing import channels, written
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain
from cockpit.model.words import Direction, Side
from cockpit.scenario import named_for
from cockpit.systems.postgres.survey import Survey, survey

RESOLVE_S = 2.0
"""Seconds for the address of a pooler's host."""

_MARGIN = "green  "

Looks = dict[str, Survey | str]
"""For each side what was seen, or why nothing was."""


def init(arguments: argparse.Namespace) -> int:
    """0 when the file is written, also where a server could not be looked at, or when the person wants none; nothing is written but it."""
    target: Path = arguments.file
    _check_target(target, force=arguments.force)
    given = {question.key: value for question in QUESTIONS if (value := _flag(arguments, question)) is not None}
    asks = not arguments.yes
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused("it asks, and here is no terminal", where="cockpit init", remedy="--yes takes the default of what no flag answers")
    told, looks, proposals = _asked(given, target) if asks else _unasked(given, target)
    text = written(told, looks, proposals, _commands(told, target))
    if asks and not _agreed(f"write {plain(target)}? [Y/n] ", otherwise=True):
        say("nothing was written")
        return 0
    unset = _save(text, target, told.pair, force=arguments.force)
    if unset:
        say(f"not set here, and needed by all but plan: export {', '.join(sorted(unset))}")
    put("\n".join((f"written: {plain(target)}; next:", *(f"  {plain(command)}" for command in _commands(told, target)))))
    return 0


def _flag(arguments: argparse.Namespace, question: Question) -> str | None:
    value: str | None = getattr(arguments, question.key.replace("-", "_"))
    return value


def _check_target(target: Path, *, force: bool) -> None:
    shown = plain(target)
    if target.is_dir():
        raise Refused("it is a folder", where=shown, remedy="name a file in it")
    if not target.absolute().parent.is_dir():
        raise Refused("its folder is not there", where=shown, remedy="make the folder, or name another file")
    if not os.access(target.absolute().parent, os.W_OK | os.X_OK):
        raise Refused("you may not write in its folder", where=shown, remedy="name a file in a folder of yours")
    if os.path.lexists(target) and not force:
        raise Refused("it is there already", where=shown, remedy="name another file, or say --force to replace it")


def _commands(told: Answers, target: Path) -> tuple[str, ...]:
    """What to type next."""
    words = shlex.join([named_for(told.pair), "--config", str(target)])
    does = {f"cockpit plan {words}": "every step, offline", f"cockpit preflight {words}": "what stands in the way"}
    width = max(map(len, does))
    return tuple(f"{command:<{width}}  # {what}" for command, what in does.items())


# --- with a person, and without ----------------------------------------------------------------------------------


def _asked(given: Mapping[str, str], target: Path) -> tuple[Answers, Looks, Proposals]:
    """Asked until both servers are seen, or the person goes on without."""
    say("enter takes what is in brackets; ctrl-c leaves, and nothing is written")
    folder, secrets = target.absolute().parent, dict[str, Secret]()
    said = gather(given, folder, _ask, say)
    while True:
        told = answers(said)
        secrets.update(_typed_words(told, folder, secrets))
        looks, proposals = _looked(told, folder, secrets)
        unseen = [side for side, look in looks.items() if isinstance(look, str)]
        if not unseen or not _agreed(f"answer again for {' and '.join(unseen)}? [y/N] ", otherwise=False):
            return told, looks, proposals
        for server in (server for side, server in told.sides if side in unseen):
            secrets.pop(server.password or "", None)  # it may have been the wrong one
        kept = {key: text for key, text in said.items() if key.partition("-")[0] not in unseen}
        said = gather(kept, folder, _ask, say, before=said)


def _unasked(given: Mapping[str, str], target: Path) -> tuple[Answers, Looks, Proposals]:
    folder = target.absolute().parent
    told = answers(gather(given, folder, None, say))
    return told, *_looked(told, folder, {})


def _ask(question: Question, offered: str) -> str:
    say(f"{question.key}: {question.asks}")
    return _line(f"  [{plain(offered)}] ")


def _line(prompt: str) -> str:
    """What is typed behind the prompt; `Refused` where nothing more can be."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    try:
        return typed()
    except (EOFError, UnicodeDecodeError):
        raise Refused("the answers ended too early", where="cockpit init", remedy="nothing was written; start it again") from None


def _agreed(prompt: str, *, otherwise: bool) -> bool:
    said = _line(prompt).strip().lower()
    return said in {"y", "yes"} if said else otherwise


def _typed_words(told: Answers, folder: Path, known: Mapping[str, Secret]) -> dict[str, Secret]:
    """Passwords of variables that are not set here, as typed for the look alone; they are kept nowhere."""
    typed: dict[str, Secret] = {}
    for side, server in told.sides:
        reference = server.password
        if reference is None or not reference.startswith("env:") or reference in {*known, *typed}:
            continue
        if secret_at(reference, folder) is not None:
            continue
        say(f"{reference.removeprefix('env:')} is not set here: {side}'s password, for this look alone?")
        word = getpass.getpass("  (not shown; enter: do not look) ", stream=sys.stderr)
        if word:
            typed[reference] = Secret(word)
    return typed


# --- looking -----------------------------------------------------------------------------------------------------------


def _looked(told: Answers, folder: Path, secrets: Mapping[str, Secret]) -> tuple[Looks, Proposals]:
    """Both sides and the poolers' addresses, looked at together; what was found is told."""
    say("looking at both servers: reads only, a few seconds at most")
    looks, poolers = asyncio.run(_look(told, folder, secrets))
    for side, look in looks.items():
        _say_of(side, facts(look) if isinstance(look, Survey) else [f"not looked at: {look}"])
    surveys = [look for look in looks.values() if isinstance(look, Survey)]
    if len(surveys) == len(looks):
        _say_of("", between(*surveys))
    proposals = propose(surveys, {told.blue.user, told.green.user}, poolers, channels(told))
    _tell(proposals)
    return looks, proposals


def _say_of(side: str, lines: Iterable[str]) -> None:
    """The lines beside the side's name, broken where the terminal ends."""
    room = max(shutil.get_terminal_size().columns - len(_MARGIN), 40)
    broken = [part for line in lines for part in textwrap.wrap(plain(line), room, subsequent_indent="  ", break_on_hyphens=False)]
    for number, line in enumerate(broken):
        say(f"{side if number == 0 else '':<{len(_MARGIN)}}{line}")


def _tell(proposals: Proposals) -> None:
    sure = [app.name for app in proposals.apps if not app.doubt]
    unsure = [app.name for app in proposals.apps if app.doubt]
    for what, names in (("apps", sure), ("apps, commented out", unsure), ("exempt roles", list(proposals.exempt))):
        if names:
            more = f", and {len(names) - 8} more" if len(names) > 8 else ""
            say(f"{what}: {', '.join(plain(name, 40) for name in names[:8])}{more}")


async def _look(told: Answers, folder: Path, secrets: Mapping[str, Secret]) -> tuple[Looks, set[str]]:
    hosts = sorted({host for host, _ in told.pooler.consoles}) if told.pooler else []
    looking = asyncio.gather(*(_look_at(side, server, folder, secrets) for side, server in told.sides))
    looks, addresses = await asyncio.gather(looking, asyncio.gather(*map(_addresses, hosts)))
    return dict(zip((side for side, _ in told.sides), looks, strict=True)), set[str]().union(*addresses)


async def _look_at(side: str, server: Server, folder: Path, secrets: Mapping[str, Secret]) -> Survey | str:
    reference = server.password
    try:
        word = (secrets.get(reference) or secret_at(reference, folder)) if reference else None
    except ValueError as err:  # the file has gone since it was named
        return str(err)
    if reference and word is None:
        return f"{reference.removeprefix('env:')} is not set; export it, then `cockpit preflight` looks"
    try:
        return await survey(Side(side), Endpoint(server.host, server.port, server.database, server.user, word))
    except CockpitError as err:
        return f"{err.what}; {err.remedy}" if err.remedy else err.what


async def _addresses(host: str) -> set[str]:
    """Under which addresses sessions of this host would be seen; none where its name leads nowhere in time."""
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {str(address[0]) for *_, address in found}


# --- writing ------------------------------------------------------------------------------------------------------------------


def _save(text: str, target: Path, pair: str, *, force: bool) -> set[str]:
    """The file is there, whole, for this user alone, and makes a plan; or it is as it was, and the error says why. The variables it names
    that are not set here."""
    descriptor, name = tempfile.mkstemp(prefix=".cockpit-init-", suffix=".toml", dir=target.absolute().parent)
    made = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unset = _check_plan(made, target, pair)
        _put_in_place(made, target, force=force)
        return unset
    finally:
        made.unlink(missing_ok=True)


def _check_plan(made: Path, target: Path, pair: str) -> set[str]:
    """The file makes a plan; the variables that are not set here, which a plan does without."""
    from cockpit.wiring import read_order

    unset: set[str] = set()
    try:
        read_order(made, named_for(pair), None, unset).plan(Direction.CUTOVER)
    except ConfigError as err:
        told = str(err).replace(plain(made), plain(target))
        raise ConfigError(f"nothing was written, this would be wrong with it: {told}") from None
    return unset


def _put_in_place(made: Path, target: Path, *, force: bool) -> None:
    if force:
        made.replace(target)
        return
    try:
        os.link(made, target)  # unlike a rename it never replaces what somebody made meanwhile
    except FileExistsError:
        raise Refused("it was made meanwhile", where=plain(target), remedy="look at it, or say --force to replace it") from None
