"""`make chaos`: the rig, under load, struck by every fault in turn, in both directions; a table at the end, and 1 on any violation.

What a round is and what is asked after it: `rounds.py`. A rig serves as many rounds as it comes whole out of.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cockpit import wiring
from cockpit.drill import harm
from cockpit.drill.environment import PAIR
from cockpit.drill.faults import CALM, FAULTS, Fault, fault, listed
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.mortal import Moment, boundary
from cockpit.drill.rig import Rig, Wanted
from cockpit.drill.rounds import Flying, Round
from cockpit.drill.striker import Due, due_of
from cockpit.errors import CockpitError
from cockpit.model.state import RunState
from cockpit.model.words import Direction, Side

ROUNDS_A_RIG = 25
RECORDS = 75
"""About as many as a handover writes."""
LAST_RECORD = 58
"""So many records a handover writes from the opening of its window to its end."""
WINDOW_S = 0.4
HANDLED = 90
"""Characters of a line's longest cell."""


# --- many rounds ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """A fault to be flown, and the direction it is wanted in; None: whichever comes."""

    fault: Fault
    direction: Direction | None
    due: Due
    program: tuple[str, ...] = (wiring.PROGRAM,)
    """What the run's processes are started by."""


@dataclass(slots=True)
class Range:
    """Where rounds are flown: one rig after the other."""

    wanted: Wanted
    runs: Path
    scenario: str = PAIR
    rig: Rig | None = None
    flown: int = 0
    serving: Side = Side.BLUE

    async def standing(self) -> Rig:
        """A whole rig with room for a round."""
        if self.rig is not None and self.flown >= ROUNDS_A_RIG:
            await self.stop()
        if self.rig is None:
            self.rig, self.flown = Rig(claim(new_folder()), self.wanted), 0
            await self.rig.start()
        return self.rig

    async def fly(self, task: Task) -> Round:
        """The task's round. A rig that did not come out of it whole is given up."""
        rig = await self.standing()
        spec = wiring.read_order(rig.config, self.scenario, None).spec
        folder = wiring.open_run(self.runs, rig.config, self.scenario, spec, drill=True)
        flying = Flying(rig, folder, task.fault, task.due, task.program)
        self.flown += 1
        found = await flying.fly()
        self.serving = flying.state.serving or Side.BLUE
        if found.wrong or task.fault.spoils:
            await self.stop()
        return found

    async def stop(self) -> None:
        """The rig is gone, where there is one."""
        self.serving = Side.BLUE
        if self.rig is not None:
            rig, self.rig = self.rig, None
            await rig.stop()


Tell = Callable[[Round], None]


async def fly_all(where: Range, tasks: Sequence[Task], tell: Tell) -> list[Round]:
    """Every task's round, those first that fit the side that serves; where none fits, an undisturbed handover between."""
    rounds: list[Round] = []
    left = list(tasks)
    try:
        while left:
            direction = Direction.away_from(where.serving)
            fits = next((task for task in left if task.direction in {None, direction}), None)
            if fits is not None:
                left.remove(fits)
            rounds.append(await where.fly(fits or task_of(CALM, None)))
            tell(rounds[-1])
    finally:
        await where.stop()
    return rounds


def task_of(each: Fault, direction: Direction | None) -> Task:
    return Task(each, direction, due_of(each))


def kills(count: int, seed: int) -> list[Task]:
    """So many kills of the pilot: every other one when a record of the handover is on disk, every other one at a time in the window."""
    rng = random.Random(seed)  # noqa: S311 - a proof repeats itself
    return [_killed_at_record(rng.randint(1, RECORDS)) if number % 2 else _killed_at(rng.random() * WINDOW_S) for number in range(count)]


def boundaries(stride: int) -> list[Task]:
    """The pilot killed at every `stride`-th boundary of its timeline, from the opening of the window to the end, in both directions."""
    moments = [(record, moment) for record in range(1, LAST_RECORD + 1) for moment in Moment]
    return [
        _killed_exactly(record, moment, way)
        for way in Direction
        for record, moment in moments[stride // 2 * (way is Direction.ROLLBACK) :: stride]
    ]


def _killed_exactly(record: int, moment: Moment, way: Direction) -> Task:
    """Nothing is sent to it: it dies by itself, and whoever reads on sees who took over."""
    said = boundary(record, moment)
    dead = Fault(f"pilot dies at record {said}", "", "steer", harm.calm)
    return Task(dead, way, lambda state: state.owner_role == "guardian", ("cockpit.drill.mortal", said))


def _killed_at_record(number: int) -> Task:
    def due(state: RunState) -> bool:
        return state.handover is not None and state.seq >= state.handover.opened_seq + number

    return Task(replace(FAULTS["pilot-killed"], name=f"pilot-killed, record {number}"), None, due)


def _killed_at(seconds: float) -> Task:
    def due(state: RunState) -> bool:
        handover = state.handover
        since = handover.downtime_mono if handover is not None else None
        return since is not None and time.monotonic() >= since + seconds

    return Task(replace(FAULTS["pilot-killed"], name=f"pilot-killed, {seconds * 1000:.0f} ms"), None, due)


# --- the table ------------------------------------------------------------------------------------

HEAD = ("fault", "direction", "struck in", "handled", "safe after", "verdict")


def line(each: Round) -> tuple[str, ...]:
    safe = "-" if each.safe_s is None else f"{each.safe_s:.2f} s"
    said = each.verdict if not each.wrong else f"{each.verdict}: {'; '.join(each.wrong)}"
    return (each.fault, str(each.direction), each.where, each.handled[:HANDLED], safe, said)


def table(rounds: Sequence[Round]) -> str:
    """A line for each round, and how many failed."""
    rows = [HEAD, *(line(each) for each in rounds)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
    lines = ["  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])) for row in rows]
    failed = sum(bool(each.wrong) for each in rounds)
    return "\n".join([*lines, "", f"{len(rounds)} rounds, {failed} violations"])


def main(words: Sequence[str] | None = None) -> int:
    """0 when every round passed, 1 when one did not."""
    asked = _parser().parse_args(words)
    if asked.faults == ["list"]:
        _print(listed())
        return 0
    tasks = _tasks(asked)
    with tempfile.TemporaryDirectory(prefix="cockpit-chaos-") as scratch:
        wanted = Wanted(rows=asked.rows, apps=15, rate=asked.rate, seed=asked.seed, proxied=True)
        where = Range(wanted, asked.runs or Path(scratch), asked.scenario)
        rounds = asyncio.run(fly_all(where, tasks, _tell))
    _print(table(rounds))
    return 1 if any(each.wrong for each in rounds) else 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _tell(each: Round) -> None:
    sys.stderr.write("  ".join(line(each)) + "\n")


def _tasks(asked: argparse.Namespace) -> list[Task]:
    named = [fault(name) for name in asked.faults] or ([] if asked.kills or asked.boundaries else list(FAULTS.values()))
    ways = {"both": tuple(Direction), "any": (None,)}.get(asked.direction) or (Direction(asked.direction),)
    return [
        *(task_of(each, way) for way in ways for each in named),
        *kills(asked.kills, asked.seed),
        *(boundaries(asked.boundaries) if asked.boundaries else ()),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make chaos ARGS=...", description="Fly the rig under every fault, in both directions, with oracles."
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="names, or NAME@STEP (default: all); `list` prints them")
    parser.add_argument("--direction", choices=("both", "any", *Direction), default="both")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="also kill the pilot N times, at records and at times by chance")
    parser.add_argument(
        "--boundaries", type=int, default=0, metavar="N", help="also kill it at every N-th boundary of its timeline (1: at each)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the kills, the data and the load")
    parser.add_argument("--rows", type=int, default=20_000, metavar="N", help="rows of the database")
    parser.add_argument("--rate", type=float, default=200.0, metavar="N", help="transactions a second, all apps together")
    parser.add_argument(
        "--scenario", default=PAIR, metavar="FILE", help="fly this one (default: the shipped one, whose gates take half a minute a round)"
    )
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="keep the runs there (default: they are removed)")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CockpitError as err:
        sys.stderr.write(f"{err}\n")
        sys.exit(err.exit_code)
