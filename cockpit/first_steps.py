"""`cockpit` alone: what is here, each with the command that goes on with it. On a terminal a number starts that very command.

Only files are looked at: runs, scenarios, and the configs of this folder. Nothing is connected to, and nothing is started unasked.
"""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cockpit import __version__
from cockpit._toml import Mistake, slurp
from cockpit.asked import typed
from cockpit.cli import put
from cockpit.config import Mistakes, load_config
from cockpit.errors import CockpitError, ConfigError
from cockpit.model.settings import Config
from cockpit.model.state import RunState, replay
from cockpit.model.text import plain
from cockpit.model.words import Mode
from cockpit.places import runs_folder
from cockpit.scenario import load_scenario, named_for, names
from cockpit.timeline.folder import RunFolder, every
from cockpit.timeline.journal import is_closed, is_flown, read

RUNS = 6
"""Runs that are shown; `cockpit runs` lists all of them."""
CONFIGS = 4
OPEN = 40
"""Runs of no drill that nobody closed and that are looked into for one that is half way: the newest ones."""
COLUMN = 52
"""Cells of a command, with its number, before what is said of it; a longer one has it on the next line."""
PEEK = 1 << 20


@dataclass(frozen=True, slots=True)
class Offer:
    """A command and what is known of what it is for; without `words` it only tells."""

    words: tuple[str, ...]
    about: str

    @property
    def command(self) -> str:
        return plain(shlex.join(("cockpit", *self.words)))


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    offers: tuple[Offer, ...]


def offer(run: Callable[[Sequence[str]], int]) -> int:
    """What is here is on stdout; the exit code of the command that was chosen and given to `run`, 0 where none was."""
    sections = here()
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    put(render(sections, numbered=asks))
    offers = [offer for section in sections for offer in section.offers if offer.words]
    chosen = _chosen(offers) if asks else None
    return 0 if chosen is None else run(chosen.words)


def _chosen(offers: Sequence[Offer]) -> Offer | None:
    """The offer whose number was typed; None for nothing, `q`, ctrl-c and the end of the input."""
    numbered = {str(number): each for number, each in enumerate(offers, 1)}
    while True:
        try:
            sys.stdout.write(f"a number starts it, enter leaves [1-{len(offers)}]: ")
            sys.stdout.flush()
            said = typed().strip()
        except (EOFError, KeyboardInterrupt):
            put("")
            return None
        except UnicodeDecodeError:
            said = "?"
        if said in {"", "q", "Q"}:
            return None
        if said in numbered:
            return numbered[said]


def render(sections: Iterable[Section], *, numbered: bool) -> str:
    """The sections as plain lines, each command as it is typed, numbered where a number can be typed."""
    lines, number = [f"cockpit {__version__}: flies a PostgreSQL blue-green cutover, and flies it back", ""], 0
    for section in sections:
        rows = []
        for each in section.offers:
            number += bool(each.words)
            mark = f"{number:>3}  " if numbered and each.words else "     "
            rows.append((f"{mark}{each.command}" if each.words else "", plain(each.about)))
        lines += [section.title, *_table(rows), ""]
    lines.append("`cockpit --help` names every command")
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Commands, and beside each what is known of it; beneath it where the command is too long for that."""
    column = max((len(command) + 2 for command, _ in rows if len(command) + 2 <= COLUMN), default=COLUMN)
    for command, about in rows:
        if not command:
            yield f"     {about}"
        elif len(command) < column:
            yield f"{command:<{column}}{about}"
        else:
            yield command
            yield f"       {about}"


def here(now: datetime | None = None) -> tuple[Section, ...]:
    """What this folder and this user have: runs, then configs, then scenarios to rehearse."""
    configs = [_read(path) for path in _config_files()]
    kept = [runs_folder(), *(Path(config.runs) for _, config, _, _ in configs if config is not None)]
    folders = {folder.resolve(): folder for folder in reversed(kept)}.values()
    return tuple(
        section for section in (*_runs(reversed(folders), now or datetime.now(UTC)), _configs(configs), _scenarios()) if section.offers
    )


# --- runs -----------------------------------------------------------------------------------------------------


def _runs(folders: Iterable[Path], now: datetime) -> Iterator[Section]:
    for folder in folders:
        try:
            found = _sorted(list(every(folder)))
        except OSError as err:
            yield Section(f"runs in {plain(_short(folder))}", (Offer((), f"cannot be read: {err.strerror}; see that the folder is yours"),))
            continue
        offers = [_offer_run(run, state, flown, folder, now) for run, state, flown in found[:RUNS]]
        if len(found) > RUNS:
            offers.append(Offer(("runs", *_where(folder)), f"{len(found) - RUNS} more"))
        yield Section(f"runs in {plain(_short(folder))}, newest first", tuple(offers))


Found = tuple[RunFolder, RunState | None, bool]


def _sorted(runs: Sequence[RunFolder]) -> list[Found]:
    """Those in the air, those of no drill that are half way, then the newest. Only what may be shown is read; None is a state that cannot be
    trusted."""
    flown = [run for run in reversed(runs) if is_flown(run.timeline)]
    left = [run for run in reversed(runs) if run not in flown and not is_closed(run.timeline) and not _is_drill(run)][:OPEN]
    states = {run.root: _state(run) for run in (*flown[:RUNS], *left)}
    half_way = [run for run in left if (state := states[run.root]) is not None and _is_half_way(state)]
    first = [*flown, *half_way]
    shown = [*first, *(run for run in reversed(runs) if run not in first)]
    return [(run, _once(states, run) if number < RUNS else None, run in flown) for number, run in enumerate(shown)]


def _is_drill(run: RunFolder) -> bool:
    """By how the run was started, without its timeline."""
    try:
        launch = json.loads(run.launch.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(launch, dict) and launch.get("drill") is True


def _once(states: dict[Path, RunState | None], run: RunFolder) -> RunState | None:
    return states[run.root] if run.root in states else _state(run)


def _state(run: RunFolder) -> RunState | None:
    try:
        reading = read(run.timeline)
    except CockpitError:
        return None
    return None if reading.damage else replay(reading.events)


def _is_half_way(state: RunState) -> bool:
    return state.half_way is not None or state.at_large is not None


def _offer_run(run: RunFolder, state: RunState | None, flown: bool, folder: Path, now: datetime) -> Offer:
    where = (_briefly(run.name, folder), *_where(folder))
    if state is None:
        return Offer(("verify", *where), "its timeline cannot be trusted")
    who = f"{state.pair}{' drill' if state.drill else ''}, {state.user or 'nobody'}, {_ago(state.opened_at, now)}"
    if flown:
        return Offer(("join", *where), f"in the air{_doing(state)}, {state.serving or 'nobody'} serves; {who}")
    if is_closed(run.timeline):
        serves = f", {state.serving} serves" if state.serving else ""
        return Offer(("replay", *where), f"{state.outcome or 'closed'}{serves}; {who}")
    if state.drill:
        return Offer(("replay", *where), f"never ended; {who}")
    if _is_half_way(state):
        return Offer(("join", *where), f"LEFT HALF WAY, NOBODY FLIES IT; {who}")
    return Offer(("join", *where), f"left open, nobody flies it; {who}")


def _doing(state: RunState) -> str:
    return "" if state.mode is Mode.READY else f": {state.mode}"


def _briefly(name: str, folder: Path) -> str:
    """The end of the run's name that tells it from every other: mostly the pair and its four letters."""
    others = [run.name for run in every(folder) if run.name != name]
    parts = name.split("-")
    for count in range(2, len(parts)):
        short = "-".join(parts[-count:])
        if not any(other.endswith(short) for other in others):
            return short
    return name


def _where(folder: Path) -> tuple[str, ...]:
    return () if folder.absolute() == runs_folder().absolute() else ("--runs", _short(folder))


def _short(folder: Path) -> str:
    """The folder as it is said from here."""
    try:
        return str(folder.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)


def _ago(stamp: str, now: datetime) -> str:
    """How long ago, in one unit; the stamp itself where it cannot be read."""
    try:
        seconds = (now - datetime.fromisoformat(stamp)).total_seconds()
    except (ValueError, TypeError):
        return stamp
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"


# --- configs ------------------------------------------------------------------------------------------------------

Read = tuple[Path, Config | None, str, tuple[str, ...]]
"""A config's path; what it says, or what is wrong with it; and the variables that are not set here."""


def _config_files() -> list[Path]:
    """TOML files of this folder that name pairs; not the examples."""
    found = (path for path in sorted(Path().glob("*.toml")) if not path.name.startswith(".") and ".example." not in path.name)
    return [path for path in found if _names_pairs(path)][:CONFIGS]


def _names_pairs(path: Path) -> bool:
    try:
        text = slurp(path, PEEK).decode(errors="replace")
    except Mistake:
        return False
    try:
        return isinstance(tomllib.loads(text).get("pairs"), dict)
    except (ValueError, RecursionError):
        return "[pairs." in text


def _read(path: Path) -> Read:
    unset: set[str] = set()
    try:
        return path, load_config(path, unset=unset), "", tuple(sorted(unset))
    except Mistakes as err:
        count = len(err.mistakes)
        return path, None, f"{count} mistake{'s' if count > 1 else ''} in it: this lists {'them' if count > 1 else 'it'}", ()
    except ConfigError as err:
        return path, None, str(err), ()


def _configs(configs: Sequence[Read]) -> Section:
    offers = [each for read in configs for each in _offer_config(*read)]
    if not offers:
        return Section("configs: none in this folder", (Offer(("init",), "writes one: asks, and looks at both servers"),))
    return Section("configs in this folder", tuple(offers))


def _offer_config(path: Path, config: Config | None, wrong: str, unset: tuple[str, ...]) -> Iterator[Offer]:
    if config is None:
        yield Offer(("plan", named_for(""), "--config", str(path)), wrong)
        return
    for pair in config.pairs:
        words = (named_for(pair), "--config", str(path), *(("--pair", pair) if len(config.pairs) > 1 else ()))
        yield Offer(("plan", *words), "every step, offline")
        yield Offer(("preflight", *words), "what stands in the way")
        yield Offer(("run", *words), "only looks until you arm")
    if unset:
        more = f", and {len(unset) - 2} more" if len(unset) > 2 else ""
        yield Offer((), f"not set here: {', '.join(unset[:2])}{more}")


# --- scenarios --------------------------------------------------------------------------------------------------------


def _scenarios() -> Section:
    return Section("scenarios to rehearse, on servers of their own", tuple(Offer(("drill", name), _title(name)) for name in names()))


def _title(name: str) -> str:
    try:
        return load_scenario(name).title
    except ConfigError:
        return "has a mistake: `cockpit plan` tells which"
