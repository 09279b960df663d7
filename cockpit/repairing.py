"""`cockpit repair`: the statements that would make the side that does not serve equal again, for review; with `--apply` they are run.

The tables that the run last showed as different are compared anew, so that only rows that are different now are touched. The statements
are written to `repair.sql` in the run's folder, for this user alone: they hold the apps' data.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cockpit import wiring
from cockpit.errors import CockpitError, Refused
from cockpit.handover.leaving import close
from cockpit.handover.serving import FenceOfTheIdle
from cockpit.model import events as ev
from cockpit.model.settings import PairSpec
from cockpit.model.state import RunState, replay
from cockpit.model.text import plain
from cockpit.model.words import Mode, ProofState, Side
from cockpit.reconcile.differing import Found, Looker
from cockpit.reconcile.repair import Fix, Mended, Mending, mend, script
from cockpit.remembering import remember
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Latest
from cockpit.timeline.journal import is_flown, read
from cockpit.timeline.replayer import read_samples


@dataclass(frozen=True, slots=True)
class Repair:
    """What would be done, or was."""

    run: str
    side: str
    rows: dict[str, dict[str, int]]
    """By table, how many rows are to be inserted, updated, deleted."""
    by_hand: dict[str, str]
    """Tables that differ and whose rows cannot be named, and why."""
    path: str
    sha256: str
    applied: bool = False
    done: int = 0
    left: int = 0
    """Rows that had changed meanwhile and were left alone."""

    @property
    def total(self) -> int:
        return sum(sum(kinds.values()) for kinds in self.rows.values())


@dataclass(frozen=True, slots=True)
class Planned:
    """A repair and what it is made of."""

    repair: Repair
    fixes: tuple[Fix, ...]
    target: Side
    state: RunState
    order: wiring.Order


async def plan_repair(folder: RunFolder, patterns: Sequence[str]) -> Planned:
    """The statements are in the run's folder. `patterns`: of `schema.table`; none means the tables that the run showed as different."""
    state = replay(read(folder.timeline).trusted(str(folder.timeline)).events)
    if state.serving is None:
        raise Refused("which side serves is not known", where=folder.name, remedy="open the run first")
    if state.parted is not None:
        raise Refused(
            "the sides went their own ways: a repair would overwrite what one has alone", where=folder.name, remedy="`cockpit bill`"
        )
    _, order = wiring.order_of(folder)
    wanted = patterns or _differing(folder)
    if not wanted:
        raise Refused("the run showed no table as different", where=folder.name, remedy="name one with --table SCHEMA.TABLE")
    found = await _look(order.spec, state.serving, wanted)
    sql = script(found.fixes, state.serving.other)
    _write(folder, sql)
    rows: dict[str, Counter[str]] = {}
    for fix in found.fixes:
        rows.setdefault(plain(fix.table.shown, 200), Counter())[fix.verb] += 1
    repair = Repair(
        folder.name, str(state.serving.other), {table: dict(kinds) for table, kinds in rows.items()}, found.by_hand,
        str(folder.repair), hashlib.sha256(sql.encode()).hexdigest(),
    )  # fmt: skip
    return Planned(repair, found.fixes, state.serving.other, state, order)


def _differing(folder: RunFolder) -> list[str]:
    latest = Latest()
    for sample in read_samples(folder.samples):
        latest.take(sample)
    return [name for name, proof in sorted(latest.tables.items()) if proof.state is ProofState.DIFFERS]


async def _look(spec: PairSpec, serving: Side, wanted: Sequence[str]) -> Found:
    looker = Looker(spec, serving)
    try:
        return await looker.look(lambda name: any(fnmatchcase(name, pattern) or name == pattern for pattern in wanted))
    finally:
        await looker.close()


def _write(folder: RunFolder, sql: str) -> None:
    try:
        descriptor = os.open(folder.repair, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(sql)
    except OSError as err:
        raise CockpitError(
            f"cannot write the statements: {err.strerror}", where=str(folder.repair), remedy="make room, then again"
        ) from None


async def apply_repair(folder: RunFolder, planned: Planned, tell: Callable[[str], None]) -> Repair:
    """The rows are as the serving side has them, but for those that changed meanwhile; what was done is in the timeline, its intent before
    the first row. `StepError` where the side is not idle: apps may be writing there."""
    state, target, order = planned.state, planned.target, planned.order
    if is_flown(folder.timeline) and state.mode is not Mode.READY:
        raise Refused(f"the run is {state.mode}: a repair is for a run at rest", where=folder.name)
    async with AsyncExitStack() as ends:
        world = order.world()
        ends.push_async_callback(close, world)
        await world.servers.open()
        await asyncio.gather(*(pooler.open() for pooler in world.poolers), *(channel.open() for channel in world.channels))
        if not is_flown(folder.timeline):
            await world.servers.lock(wiring.owner())
        idle = FenceOfTheIdle(world, order.spec, target)
        if not (await idle.probe()).done:
            await idle.apply()
        by = getpass.getuser()
        counts = {table: sum(kinds.values()) for table, kinds in planned.repair.rows.items()}
        await remember(folder, state, ev.RepairBegun(by, target, counts, planned.repair.path, planned.repair.sha256))
        mended = await carry_out(folder, planned, by, tell)
    return _applied(planned.repair, mended)


async def carry_out(folder: RunFolder, planned: Planned, by: str, tell: Callable[[str], None]) -> Mended:
    """The planned rows are as the serving side has them, or left alone, and that is in the timeline. Where only the last cannot be had it is
    told, so that what was done, or what stopped it, is still the answer."""
    line = Mending(planned.target, planned.order.spec.side(planned.target).control, writes=True)
    mended, failed = Mended(), ""
    try:
        await mend(line, planned.fixes, mended)
    except CockpitError as err:
        failed = err.brief
        raise
    finally:
        await line.close()
        try:
            await remember(folder, planned.state, ev.RepairDone(by, planned.target, mended.done, len(mended.left), failed))
        except CockpitError as err:
            tell(f"the repair's end is not in the timeline ({mended.done} rows done, {len(mended.left)} left alone): {err.brief}")
    return mended


def _applied(repair: Repair, mended: Mended) -> Repair:
    return Repair(
        repair.run, repair.side, repair.rows, repair.by_hand, repair.path, repair.sha256, applied=True, done=mended.done, left=len(mended.left)
    )  # fmt: skip


def render(repair: Repair) -> str:
    """For people: what would be done to which table, or was, and where the statements are."""
    lines = [f"{repair.total} rows of {repair.side} would be made as {Side(repair.side).other} has them:"]
    if repair.applied:
        lines = [f"{repair.done} rows of {repair.side} were made as {Side(repair.side).other} has them"]
        if repair.left:
            lines.append(f"{repair.left} rows had changed meanwhile and were left alone: look again")
    lines += [f"  {table}: {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}" for table, kinds in sorted(repair.rows.items())]
    lines += [f"  {table}: by hand: {why}" for table, why in sorted(repair.by_hand.items())]
    return "\n".join(plain(line) for line in [*lines, f"in {repair.path}", f"sha256 {repair.sha256}"])
