"""The arguments of the commands: what can be said behind each, and what is told about it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NoReturn

from cockpit.initial.questions import QUESTIONS
from cockpit.model.text import plain
from cockpit.screen.taste import THEMES


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments on one line, and where the right ones are told."""

    def error(self, message: str) -> NoReturn:
        said = re.sub(r", '_\w+'", "", message)  # the commands that processes of a run start each other with
        print(plain(f"{self.prog}: {said}; see `{self.prog} --help`".replace("\n", " ")), file=sys.stderr)  # noqa: T201
        sys.exit(2)


def where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, metavar="DIR", help="where runs are kept")


def pair_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("scenario", help="a scenario's name or file, such as arp")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the environment's TOML file")
    parser.add_argument("--pair", metavar="NAME", help="which pair, where the config has several")
    if name == "run":
        where(parser)
        screen_arguments(parser)
    if name == "plan":
        parser.add_argument("--direction", choices=("cutover", "rollback"), default="cutover")
        parser.add_argument("--ungraceful", action="store_true", help="of a rollback: without what blue has not")
    if name == "reconcile":
        reconciling_arguments(parser)
    if name == "cleanup":
        parser.add_argument("--without-bill", action="store_true", help="also where what was left behind has not been read")
    if name in {"plan", "preflight", "cleanup"}:
        parser.add_argument("--json", action="store_true", help="one JSON object")


def init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, default=Path("cockpit.toml"), help="the config to write (default: cockpit.toml)")
    for question in QUESTIONS:
        parser.add_argument(f"--{question.key}", metavar=question.metavar, help=question.asks)
    parser.add_argument("--yes", action="store_true", help="ask nothing: what no flag answers has its default")
    parser.add_argument("--force", action="store_true", help="replace the file where there is one")


def reconciling_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--duty", type=share, metavar="SHARE", help="share of the time it may keep a server busy, 0.01 to 0.5")
    parser.add_argument("--within", type=float, default=86400.0, metavar="SECONDS", help="after this it ends with what is proven by then")
    parser.add_argument(
        "--rows-only",
        action="store_true",
        help="leave out what is beside them: definitions, indexes, rights, settings, the scenario's checks",
    )
    parser.add_argument("--dbt", action="store_true", help="also run the config's dbt project for both sides")
    parser.add_argument("--serving", choices=("blue", "green"), help="which side's writes count (default: as it is seen)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.01 <= share <= 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: a number from 0.01 to 0.5")
    return share


def run_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "approve":
        approve_arguments(parser)
        return
    parser.add_argument("run", help="a run's name, the end of it, its folder, or `last`")
    where(parser)
    if name in {"join", "watch", "replay"}:
        screen_arguments(parser)
    if name == "replay":
        parser.add_argument("--speed", type=speed, default=1.0, metavar="N", help="times as fast as it was (default: 1)")
    if name == "export":
        parser.add_argument("--format", choices=("md", "html", "json"), default="md")
        parser.add_argument("--output", type=Path, metavar="FILE", help="write there instead of to stdout")
    if name == "repair":
        parser.add_argument("--table", action="append", default=[], metavar="PATTERN", help="SCHEMA.TABLE, with * for any; can be repeated")
        parser.add_argument("--apply", action="store_true", help="run the statements, once confirmed")
        parser.add_argument("--confirm", metavar="NAME", help="the pair's name, typed as on screen; without it you are asked")
    if name in {"verify", "bill", "repair"}:
        parser.add_argument("--json", action="store_true", help="one JSON object")


def approve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run's name, or the end of it")
    parser.add_argument(
        "--at", type=Path, metavar="DIR", help="the folder that the lead's config names (default: where pilots of this machine are)"
    )
    word = parser.add_mutually_exclusive_group()
    word.add_argument("--approve", metavar="NAME", help="the pair's name, instead of typing it on a terminal")
    word.add_argument("--reject", action="store_true", help="the lead's arming ends with the comment")
    word.add_argument("--json", action="store_true", help="only look: what would be shown, as one JSON object")
    parser.add_argument("--comment", metavar="TEXT", help="why")


def settling_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.set_defaults(name=name)
    parser.add_argument("run", help="a run's name, the end of it, its folder, or `last`")
    where(parser)
    parser.add_argument("--confirm", metavar="NAME", help="the pair's name, typed as on screen; without it you are asked")
    if name == "rollback":
        parser.add_argument(
            "--ungraceful", action="store_true", help="without what blue has not: the bill is shown first; --confirm 'NAME ungraceful'"
        )
    parser.add_argument("--json", action="store_true", help="print what was found and how it ended as one JSON object")


def screen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--theme", choices=THEMES, help="without it that of your screen.toml, else dark")
    parser.add_argument("--ascii", action="store_true", help="no symbols beyond ASCII")
    parser.add_argument("--plain", action="store_true", help="no screen: a sentence for each event, words to fly by; also where TERM=dumb")
    parser.add_argument("--every-event", action="store_true", help="of --plain: also for each action of a step and each check that is good")


def drill_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", nargs="?", default="arp", help="a scenario's name or file (default: arp)")
    parser.add_argument("--headless", action="store_true", help="fly the scenario's handovers unattended, there and back in turn")
    parser.add_argument("--json", action="store_true", help="print the scorecard as one JSON object")
    parser.add_argument("--rows", type=int, metavar="N", help="rows of the database")
    parser.add_argument("--apps", type=int, metavar="N", help="number of applications")
    parser.add_argument("--rate", type=float, metavar="N", help="transactions a second, all apps together")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of data and load")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="how often the handovers are flown (headless)")
    parser.add_argument("--fault", metavar="NAME[@STEP]", help="let this go wrong, once, at its time; `list` prints what there is")
    where(parser)
    screen_arguments(parser)


def speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.01 <= speed <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: a number from 0.01 to 1000")
    return speed
