"""The front door: commands and exit codes, nothing else. Every command imports what it needs when it runs, so that `--help` is quick.

Exit codes: 0 done; 1 failed; 2 bad usage or bad config; 3 no-go; 4 aborted, the side it started from serves; 5 rolled back.
stdout carries results, stderr carries everything else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.arguments import (
    Parser,
    drill_arguments,
    init_arguments,
    pair_arguments,
    run_arguments,
    settling_arguments,
    where,
)

if TYPE_CHECKING:
    from cockpit.timeline.folder import RunFolder
    from cockpit.wiring import Order

    Subcommands = argparse._SubParsersAction["Parser"]

EXITS = """exit codes:
  0  done                    3  no-go: a finding or a gate says no
  1  failed                  4  aborted, the side it started from serves
  2  bad usage or config     5  rolled back
"""
DRILL_EXITS = """exit codes:
  0  done; on screen also: you ended it, whatever was flown (an abort or a rollback is a good rehearsal)
  1  failed: a handover got stuck, a write was lost or doubled, the sides differ, or the rig did not come up
  2  bad usage or config
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command in `argv`."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.command(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except Exception as err:
        return _failed(err)
    return code


def _failed(err: Exception) -> int:
    """One line on stderr for what went wrong, and its exit code."""
    from cockpit._failure import told

    said, code = told(err)
    say(said)
    return code


def say(text: str) -> None:
    """The lines are on stderr, with nothing in them that steers a terminal."""
    from cockpit.model.text import plain

    for line in text.splitlines():
        print(plain(line), file=sys.stderr)  # noqa: T201


def put(text: str) -> None:
    """The result is on stdout; `CockpitError` where it cannot be written, `BrokenPipeError` where nobody reads it."""
    from cockpit.errors import CockpitError

    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as err:
        _drop_stdout()
        raise CockpitError(
            f"the result cannot be written: {err.strerror}", where="stdout", remedy="make room, or write it elsewhere"
        ) from None


def _drop_stdout() -> None:
    """What is still to be written goes nowhere, so that the interpreter does not fail on it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- the commands -----------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    from cockpit import __version__

    parser = Parser(
        prog="cockpit",
        description="Fly a live PostgreSQL blue-green cutover from a terminal, and fly it back.\nWithout a command: what is here, to choose from.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cockpit {__version__}")
    parser.set_defaults(command=_first_steps)
    commands = parser.add_subparsers(metavar="COMMAND")
    init_arguments(_command(commands, "init", "write a config: asks, and looks at both servers", _init))
    drill_arguments(_command(commands, "drill", "rehearse on an embedded pair of real servers", _drill, DRILL_EXITS))
    for name, text, run in (
        ("run", "fly: open the cockpit on a live pair", _run),
        ("plan", "dry run: every step with its exact statements", _plan),
        ("preflight", "go or no-go, with every finding, its query and its remedy", _preflight),
        ("reconcile", "prove that both sides hold the same data, without a run", _reconcile),
        ("cleanup", "remove every cockpit_* object from both sides", _cleanup),
    ):
        pair_arguments(_command(commands, name, text, run), name)
    for name, text, run in (
        ("join", "open the cockpit again on a run that is flown", _join),
        ("watch", "the same screen on a run that is flown, without rights", _watch),
        ("replay", "a run played back on the same screen", _replay),
        ("approve", "as the second person: see what waits for you, and approve or reject it", _approve),
        ("bill", "what an ungraceful rollback left behind: read from the slot that keeps it", _bill),
        ("repair", "what would make the other side equal again, as SQL for review; --apply does it", _repair),
        ("export", "a report of a run", _export),
        ("verify", "check a run's timeline record by record", _verify),
    ):
        run_arguments(_command(commands, name, text, run), name)
    for name, text in (
        ("resume", "go on with a run that a crash left, without a screen"),
        ("abort", "bring a handover home to the side it started from, without a screen"),
        ("rollback", "bring the service back to blue, without a screen"),
    ):
        settling_arguments(_command(commands, name, text, _settle), name)
    runs = _command(commands, "runs", "list the runs", _runs)
    where(runs)
    runs.add_argument("--json", action="store_true", help="one JSON array")
    inner = commands.add_parser("_open")
    pair_arguments(inner, "run")
    inner.set_defaults(command=_open)
    for hidden in ("_guard", "_fly"):
        inner = commands.add_parser(hidden)
        inner.add_argument("folder", type=Path)
        inner.set_defaults(command=_process, descriptor=None)
        if hidden == "_fly":
            inner.add_argument("descriptor", type=int)
    return parser


def _command(
    commands: Subcommands, name: str, text: str, run: Callable[[argparse.Namespace], int], exits: str = EXITS
) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=text, description=text, epilog=exits, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.set_defaults(command=run)
    return made


# --- before there is anything ----------------------------------------------------------------------------


def _first_steps(arguments: argparse.Namespace) -> int:
    from cockpit import first_steps

    return first_steps.offer(main)


def _init(arguments: argparse.Namespace) -> int:
    from cockpit.initial import command

    return command.init(arguments)


# --- flying -----------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    from cockpit import onscreen

    return onscreen.run(arguments, _again(arguments))


def _join(arguments: argparse.Namespace) -> int:
    from cockpit import onscreen

    return onscreen.join(arguments)


def _watch(arguments: argparse.Namespace) -> int:
    from cockpit import onscreen

    return onscreen.watch(arguments)


def _replay(arguments: argparse.Namespace) -> int:
    from cockpit import onscreen

    return onscreen.replay(arguments)


def _again(arguments: argparse.Namespace) -> list[str]:
    """The arguments that say where and what to fly."""
    named = {"--config": arguments.config, "--pair": arguments.pair, "--runs": arguments.runs}
    return [arguments.scenario, *(part for name, value in named.items() if value is not None for part in (name, str(value)))]


def _open(arguments: argparse.Namespace) -> int:
    import asyncio
    import shutil
    import signal

    from cockpit import left, wiring
    from cockpit.errors import Refused
    from cockpit.opening import announce
    from cockpit.places import runs_folder
    from cockpit.timeline.folder import said

    for lost in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(lost, signal.default_int_handler)
    order = _order(arguments)
    runs = arguments.runs or Path(order.config.runs)
    flown = left.flown_here(runs, arguments.config, order.spec.name)
    if flown is not None:
        opens = f"`cockpit join {said(flown, runs_folder())}` opens it, `cockpit watch` looks at it"
        raise Refused("this pair is flown already", where=flown.name, remedy=f"{opens}; a second pilot is not possible")
    left_run = left.left_open(runs, arguments.config, order.spec.name)
    if left_run is not None:
        asyncio.run(left.check_unflown(left_run))
        left.check_left(left_run)
        announce(left_run.root)
        left.take_up(left_run)
        return 0
    folder = wiring.open_run(runs, arguments.config, arguments.scenario, order.spec, drill=False)
    try:
        announce(folder.root)
        asyncio.run(wiring.check_reachable(order))
    except BaseException:
        shutil.rmtree(folder.root, ignore_errors=True)
        raise
    wiring.start(folder)
    return 0


def _settle(arguments: argparse.Namespace) -> int:
    import asyncio

    from cockpit.settling import Wish, settle

    folder = found(arguments)
    wish, forced = Wish(arguments.name), getattr(arguments, "ungraceful", False)
    settled = asyncio.run(settle(folder, wish, arguments.confirm, say, interactive=sys.stdin.isatty(), ungraceful=forced))
    if arguments.json:
        put(_json(settled))
    return settled.exit_code


def _approve(arguments: argparse.Namespace) -> int:
    from cockpit.approving import approve

    return approve(arguments)


def _drill(arguments: argparse.Namespace) -> int:
    from cockpit.drill import command

    return command.drill(arguments)


# --- looking --------------------------------------------------------------------------------------------------


def _plan(arguments: argparse.Namespace) -> int:
    from cockpit.errors import ConfigError
    from cockpit.handover.plan import render
    from cockpit.model.words import Direction

    direction = Direction(arguments.direction)
    if arguments.ungraceful and direction is not Direction.ROLLBACK:
        raise ConfigError("only a rollback can be ungraceful", where="--ungraceful", remedy="add --direction rollback")
    unset: set[str] = set()
    plan = _order(arguments, unset).plan(direction, ungraceful=arguments.ungraceful)
    if unset:
        say(f"note: not set here, and not needed to plan: {', '.join(sorted(unset))}")
    put(_json(plan) if arguments.json else render(plan))
    return 0


def _preflight(arguments: argparse.Namespace) -> int:
    import asyncio

    from cockpit import wiring
    from cockpit.errors import NoGo
    from cockpit.handover.findings import summary
    from cockpit.model.words import Severity
    from cockpit.timeline.findings import render

    findings = asyncio.run(wiring.preflight(_order(arguments)))
    verdict = summary(findings)
    put(_json({"go": verdict.blocks == 0, "summary": verdict, "findings": findings}) if arguments.json else render(findings, verdict))
    if not verdict.blocks:
        return 0
    first = next(finding for finding in findings if finding.severity is Severity.BLOCK and not finding.waived)
    more = f" ({verdict.blocks - 1} more block)" if verdict.blocks > 1 else ""
    raise NoGo(f"no-go: {first.seen}{more}", where=f"{first.check} {first.object}", remedy=first.remedy)


def _cleanup(arguments: argparse.Namespace) -> int:
    import asyncio

    from cockpit import left, wiring
    from cockpit.errors import Refused

    unset: set[str] = set()
    order = _order(arguments, unset)
    wiring.need_control(order, unset)
    owing = None if arguments.without_bill else left.owing(Path(order.config.runs), arguments.config, order.spec.name)
    if owing is not None:
        raise Refused(
            "a side keeps what an ungraceful rollback left behind, and nobody has read it",
            where=owing.name,
            remedy=f"`cockpit bill {owing.name}` reads it; --without-bill gives it up",
        )
    given_up = arguments.without_bill or left.billed(Path(order.config.runs), arguments.config, order.spec.name)
    cleaned = asyncio.run(wiring.cleanup(order, without_bill=given_up))
    if arguments.json:
        put(_json(cleaned))
    elif cleaned.stays:
        put("\n".join(cleaned.stays))
    for why in cleaned.failed:
        say(why)
    if not cleaned.failed:
        say("no object of ours is left on either side" + (", but a fence stays: see above" if cleaned.stays else ""))
    return 1 if cleaned.failed else 0


def _reconcile(arguments: argparse.Namespace) -> int:
    import asyncio

    from cockpit import comparing, headline
    from cockpit.model.words import Side

    order, serving = _order(arguments), Side(arguments.serving) if arguments.serving else None
    project = comparing.dbt_of(order) if arguments.dbt else None
    with headline.shown(sys.stderr) as tell:
        found = asyncio.run(comparing.compare(order, arguments.duty, arguments.within, tell, serving, parity=not arguments.rows_only))
    if project:
        found = asyncio.run(comparing.with_dbt(found, project, say))
    put(_json(found) if arguments.json else comparing.render(found))
    return found.exit_code


def _runs(arguments: argparse.Namespace) -> int:
    from cockpit.timeline.listing import listing, render

    rows = listing(_runs_folder(arguments))
    put(_json(rows) if arguments.json else render(rows))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from cockpit.errors import CockpitError
    from cockpit.timeline.export import export

    text = export(found(arguments), arguments.format)
    if arguments.output is None:
        put(text)
        return 0
    try:
        arguments.output.write_text(text)
    except OSError as err:
        raise CockpitError(f"cannot write: {err.strerror}", where=str(arguments.output)) from None
    return 0


def _bill(arguments: argparse.Namespace) -> int:
    import asyncio

    from cockpit.billing import export_bill, render

    exported = asyncio.run(export_bill(found(arguments), say))
    put(_json(exported) if arguments.json else render(exported))
    return 0


def _repair(arguments: argparse.Namespace) -> int:
    import asyncio

    from cockpit import repairing
    from cockpit.settling import confirmed

    folder = found(arguments)
    planned = asyncio.run(repairing.plan_repair(folder, arguments.table))
    repair = planned.repair
    if arguments.apply and planned.fixes:
        say(repairing.render(repair))
        pair = planned.state.pair
        asyncio.run(confirmed(pair, "repair it", folder.name, arguments.confirm, say, interactive=sys.stdin.isatty()))
        repair = asyncio.run(repairing.apply_repair(folder, planned, say))
    put(_json(repair) if arguments.json else repairing.render(repair))
    return 1 if repair.left or repair.by_hand else 0


def _verify(arguments: argparse.Namespace) -> int:
    from cockpit.timeline.journal import is_flown, read

    folder = found(arguments)
    reading, flown = read(folder.timeline), is_flown(folder.timeline)
    if arguments.json:
        told = {"run": folder.name, "records": len(reading.events), "head": reading.head, "intact": reading.intact}
        told |= {"torn": reading.torn, "damage": reading.damage, "damaged_record": reading.damaged_record}
        put(_json(told | {"closed": reading.closed, "flown": flown}))
    elif reading.damage:
        put(f"{folder.name}: DAMAGED at record {reading.damaged_record}: it {reading.damage}")
    else:
        open_end = f"ends open: no closing record, {'it is in the air' if flown else 'and nobody flies it'}"
        parts = (f"intact, {len(reading.events)} records, head {reading.head[:16]}", reading.torn, "" if reading.closed else open_end)
        put(f"{folder.name}: " + "; ".join(part for part in parts if part))
    return 0 if reading.intact else 1


# --- the processes of a run -----------------------------------------------------------------------------------------


def _process(arguments: argparse.Namespace) -> int:
    """The guardian's process, or, with its end of the thread to one, the pilot's."""
    import asyncio

    from cockpit import wiring
    from cockpit.timeline.folder import RunFolder

    folder, end = RunFolder(arguments.folder), arguments.descriptor
    return asyncio.run(wiring.guard(folder) if end is None else wiring.fly(folder, end))


# --- shared -------------------------------------------------------------------------------------------------------------


def _order(arguments: argparse.Namespace, unset: set[str] | None = None) -> Order:
    from cockpit.wiring import read_order

    return read_order(arguments.config, arguments.scenario, arguments.pair, unset)


def _runs_folder(arguments: argparse.Namespace) -> Path:
    from cockpit.places import runs_folder

    chosen: Path | None = arguments.runs
    return chosen or runs_folder()


def found(arguments: argparse.Namespace) -> RunFolder:
    """The run's folder; `Refused` lists what there is."""
    from cockpit.timeline.folder import find

    return find(_runs_folder(arguments), arguments.run)


def _json(value: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value)).decode()
