"""`cockpit bill`: what an ungraceful rollback left behind is read from the slot that keeps it and written to the run's folder.

`bill/changes.jsonl` has one object a line in the order of the commits: `lsn`, `at`, `xid`, `table`, `op`, `key`, `row`, and, where there are
such, `unsent`: large values that did not change and are not in the log. They are rows as the apps wrote them, readable by this user alone.
`bill/bill.json` says what was read, how far, and the SHA-256 of the changes. The slot stays as it is: reading again reads the same.
"""

from __future__ import annotations

import getpass
import hashlib
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from cockpit import wiring
from cockpit.errors import CockpitError, Refused
from cockpit.model import events as ev
from cockpit.model.state import HandoverView, RunState, replay
from cockpit.model.text import plain
from cockpit.remembering import remember
from cockpit.systems.postgres.bill import Change, Keeper, applied
from cockpit.systems.postgres.link import Link
from cockpit.systems.postgres.names import Names
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import read


@dataclass(frozen=True, slots=True)
class Exported:
    """What was read."""

    run: str
    origin: str
    target: str
    changes: int
    tables: dict[str, dict[str, int]]
    """By table, how many changes of each kind."""
    from_lsn: str
    to_lsn: str
    certain: bool
    """Every change is one that the target has not. Else it may have some of the first: how far it got could not be asked of it."""
    path: str
    sha256: str


async def export_bill(folder: RunFolder, tell: Callable[[str], None]) -> Exported:
    """The changes are in the run's folder and the export in its timeline. `Refused` where nothing was left behind; `CockpitError` where the
    server that has it does not answer, or no longer keeps it: then an earlier export is as it was."""
    state = replay(read(folder.timeline).trusted(str(folder.timeline)).events)
    left = _left_behind(state, folder)
    _, order = wiring.order_of(folder)
    origin, target = left.direction.origin, left.direction.target
    slot = Names.of(order.spec.name).link(origin)
    keeper = Keeper(origin, order.spec.side(origin).control, slot)
    try:
        kept = await keeper.kept()
        has = await _applied(Link(target, order.spec.side(target).control, "bill"), slot, tell)
        behind = has or kept.confirmed
        written = await _write(folder.bill, keeper, behind)
    finally:
        await keeper.close()
    exported = Exported(
        run=folder.name, origin=str(origin), target=str(target), changes=written.changes, tables=written.tables,
        from_lsn=behind, to_lsn=kept.end, certain=has is not None, path=str(written.path), sha256=written.sha256,
    )  # fmt: skip
    _summarise(folder.bill, exported)
    await _remember(folder, state, exported, tell)
    return exported


def _left_behind(state: RunState, folder: RunFolder) -> HandoverView:
    if state.parted is None:
        raise Refused(
            "nothing was left behind: no ungraceful rollback was flown",
            where=folder.name,
            remedy=f"`cockpit rollback {folder.name} --ungraceful` shows what one would leave behind",
        )
    return state.parted


async def _applied(link: Link, slot: str, tell: Callable[[str], None]) -> str | None:
    """How far the target had got; None, and told, where it cannot be asked."""
    try:
        has = await applied(link, slot)
    except CockpitError as err:
        tell(f"{link.side} cannot say how far it got: {err.brief}")
        return None
    finally:
        await link.close()
    if has is None:
        tell(f"{link.side} does not say how far it got: the first changes may be there already")
    return has


@dataclass(frozen=True, slots=True)
class Written:
    path: Path
    changes: int
    tables: dict[str, dict[str, int]]
    sha256: str


async def _write(folder: Path, keeper: Keeper, behind: str) -> Written:
    """The changes stand in their file whole, or what stood there before still does."""
    counts: dict[str, Counter[str]] = {}
    digest, total = hashlib.sha256(), 0
    path, draft = folder / "changes.jsonl", folder / "changes.jsonl.part"
    try:
        with _private(draft) as file:
            async for change in keeper.changes(behind):
                line = _line(change)
                file.write(line)
                digest.update(line)
                counts.setdefault(plain(change.table, 200), Counter())[change.op] += 1
                total += 1
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as err:
        raise CockpitError(f"cannot write the bill: {err.strerror}", where=str(folder), remedy="make room, then again") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return Written(path, total, {table: dict(found) for table, found in sorted(counts.items())}, digest.hexdigest())


def _private(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")


def _line(change: Change) -> bytes:
    told: dict[str, object] = {
        "lsn": change.lsn, "at": change.at.isoformat(), "xid": change.xid, "table": change.table, "op": change.op, "key": change.key,
        "row": change.row,
    }  # fmt: skip
    if change.unsent:
        told["unsent"] = change.unsent
    return msgspec.json.encode(told) + b"\n"


def _summarise(folder: Path, exported: Exported) -> None:
    try:
        with _private(folder / "bill.json") as file:
            file.write(msgspec.json.format(msgspec.json.encode(exported)) + b"\n")
    except OSError as err:
        raise CockpitError(f"cannot write the bill: {err.strerror}", where=str(folder), remedy="make room, then again") from None


async def _remember(folder: RunFolder, state: RunState, exported: Exported, tell: Callable[[str], None]) -> None:
    """The export is in the timeline, by its pilot's hand while one flies; told where it cannot be."""
    fact = ev.BillExported(
        getpass.getuser(), exported.changes, len(exported.tables), exported.from_lsn, exported.to_lsn, exported.path, exported.sha256
    )
    try:
        await remember(folder, state, fact)
    except CockpitError as err:
        tell(f"the export is not in the timeline: {err.brief}")


def render(exported: Exported) -> str:
    """For people: what was read, by table, and where it is."""
    lines = [f"{exported.changes} changes that {exported.target} has not, {exported.from_lsn} to {exported.to_lsn} of {exported.origin}:"]
    for table, kinds in sorted(exported.tables.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        lines.append(f"  {sum(kinds.values()):>8}  {table}  {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")
    if not exported.certain:
        lines.append(f"{exported.target} may have the first of them: it could not be asked how far it got")
    return "\n".join([*lines, f"in {exported.path}", f"sha256 {exported.sha256}"])
