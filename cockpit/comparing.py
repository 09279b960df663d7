"""`cockpit reconcile`: prove that both sides hold the same data, without a screen and without a run.

What proves is what a run's RECON pane shows (`reconcile/`), over the same connections and within a load limit; it holds the pair's lock,
so that no pilot flies meanwhile. Every table is read whole once; what changes meanwhile is proven again, and at the end what changed
last. It ends when everything is proven or confirmed different, when what is left waits for a side that does not move on, or when its time is
over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from cockpit import wiring
from cockpit.errors import CockpitError, ConfigError
from cockpit.handover.leaving import close
from cockpit.handover.ports import Reconciler, World
from cockpit.handover.serving import who_serves
from cockpit.model.checks import CheckResults, DbtResult, DbtSpec, Outcome
from cockpit.model.parity import Parity
from cockpit.model.settings import PairSpec, Tuning
from cockpit.model.telemetry import ReconSample, RowDifference, TableProof
from cockpit.model.text import plain
from cockpit.model.words import ProofState, Side
from cockpit.reconcile.business import Business
from cockpit.reconcile.checks import render as render_checks
from cockpit.reconcile.checks import render_dbt, run_dbt
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.sessions import Line
from cockpit.timeline.parity import render as render_parity

CATCH_UP_S = 5.0
ROUNDS = 6
"""How often what changed last is proven, with the other side having applied it, before what still changes is called so: on a database under
load something always does."""
FOLLOW_S = 2.0
"""Seconds the other side has to apply what is committed."""
STILL_S = 20.0
"""Seconds without anything applied after which it does not move on; a subscription that fails is begun again after five."""
SETTLED = frozenset({ProofState.EQUAL, ProofState.DIRTY, ProofState.DIFFERS, ProofState.UNVERIFIABLE})
MOST_ROWS = 10
"""Differing rows of a table that are told."""

Tell = Callable[[ReconSample, float | None], None]
"""Hears a headline a second, and the seconds that are left, where they can be told."""


class Following:
    """Whether the other side applies what the serving one commits; connections of its own."""

    def __init__(self, spec: PairSpec, serving: Side) -> None:
        self._lines = {side: Line(side, spec.side(side).control) for side in Side}
        self._passage = Passage(self._lines)
        self._serving = serving
        self._mark: int | None = None
        """What it is waited for: another one each time would never be reached where it is always a little behind."""
        self._reached: int | None = None
        self._since_mono = 0.0

    async def behind(self) -> str:
        """Why rows that changed may differ by lag alone; empty where everything is applied that was committed when it first was asked."""
        try:
            if self._mark is None:
                self._mark = await self._passage.mark(self._serving)
            if await self._passage.beyond(self._serving, self._mark, FOLLOW_S) is not False:
                self._reached = self._mark = None
                return ""
            reached = await self._passage.reached(self._serving)
        except CockpitError as err:
            self._reached = None
            return err.brief
        now = asyncio.get_running_loop().time()
        if reached != self._reached:
            self._reached, self._since_mono = reached, now
        if self.still:
            return f"replication does not move on, {self._serving.other} has applied nothing of {self._serving} for {now - self._since_mono:.0f} s"
        return f"{self._serving.other} is behind {self._serving}"

    @property
    def still(self) -> bool:
        """Whether it has been behind for long and applied nothing."""
        return self._reached is not None and asyncio.get_running_loop().time() - self._since_mono > STILL_S

    async def close(self) -> None:
        await asyncio.gather(*(line.close() for line in self._lines.values()))


@dataclass(frozen=True, slots=True)
class Work:
    """How far it came: the newest standing of each table, the last headline, whether it came to its end, and what keeps rows that changed
    from being proven again."""

    tables: dict[str, TableProof]
    last: ReconSample
    complete: bool
    trouble: str


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found. `equal`: every row that is owed was proven equal, and what changed since was proven again but for `dirty` rows; and
    nothing beside the rows differs that changes how the database behaves."""

    verdict: Outcome
    pair: str
    serving: str
    seconds: float
    rows: int
    proven: int
    dirty: int | None
    differences: int
    tables: tuple[TableProof, ...]
    unproven: tuple[str, ...]
    """Tables that are owed and were not proven, each with why."""
    note: str = ""
    parity: Parity | None = None
    """Whether both are the same database in everything beside the rows; None where that was not asked."""
    checks: CheckResults | None = None
    """The scenario's metrics and spot checks; None where it has none."""
    dbt: DbtResult | None = None

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code


async def compare(
    order: wiring.Order, duty: float | None, within_s: float, tell: Tell, serving: Side | None = None, *, parity: bool = True
) -> Compared:
    """Everything that can be compared was, or `within_s` seconds are over. `Flown` while a pilot has the pair."""
    world = wiring.build_world(order.spec, replace(order.scenario, tuning=_tuned(order.scenario.tuning, duty)))
    started = time.monotonic()
    try:
        await world.servers.open()
        await world.servers.lock(wiring.owner())
        serves = serving or await _serving(world, order)
        await world.reconciler.open(serves)
        following = Following(order.spec, serves)
        try:
            work = await _work(world.reconciler, following, within_s, tell)
        finally:
            await following.close()
        found = _found(order.spec.name, serves, time.monotonic() - started, work)
        return await _beside(found, order, world.reconciler, serves) if parity else found
    finally:
        await close(world)


async def _beside(found: Compared, order: wiring.Order, reconciler: Reconciler, serving: Side) -> Compared:
    """What was found, and all that is asked beside the rows."""
    parity, asked = await reconciler.parity(), order.scenario.checks
    checks = await Business(order.spec, asked).compare(serving) if asked.metrics or asked.spots else None
    outcomes = [found.verdict, Outcome.DIFFERENT if parity.bad else Outcome.EQUAL, *([checks.outcome] if checks else [])]
    return replace(found, verdict=Outcome.of(outcomes), parity=parity, checks=checks)


def dbt_of(order: wiring.Order) -> DbtSpec:
    """The config's dbt project; asked before the rows are read, so that its absence is not told an hour later. `ConfigError` where none is."""
    if order.config.dbt is None:
        raise ConfigError("the config names no dbt project", where=order.config.path, remedy="add [checks.dbt], see docs/checks.md")
    return order.config.dbt


async def with_dbt(found: Compared, project: DbtSpec, tell: Callable[[str], None]) -> Compared:
    """What was found, and what the dbt project says of both sides."""
    result = await run_dbt(project, lambda p: tell(f"dbt {p.command} {p.side or 'relations'} {p.number}/{p.total} {p.node}: {p.status}"))
    return replace(found, verdict=Outcome.of([found.verdict, result.outcome]), dbt=result)


def _tuned(tuning: Tuning, duty: float | None) -> Tuning:
    return tuning if duty is None else replace(tuning, recon_duty=duty)


async def _serving(world: World, order: wiring.Order) -> Side:
    await asyncio.gather(*(pooler.open() for pooler in world.poolers), *(channel.open() for channel in world.channels))
    serves, _ = await who_serves(world, order.spec)
    return serves


async def _work(reconciler: Reconciler, following: Following, within_s: float, tell: Tell) -> Work:
    """Until nothing is left to prove, or what is left waits for a side that does not move on."""
    loop = asyncio.get_running_loop()
    ends, pace = loop.time() + within_s, Pace(loop.time())
    tables: dict[str, TableProof] = {}
    rounds, trouble = 0, ""
    samples = reconciler.samples()
    try:
        async for sample in samples:
            tables.update({proof.table: proof for proof in sample.tables})
            tell(sample, pace.left_s(sample, loop.time()))
            whole = bool(tables) and all(_settled(proof) for proof in tables.values())
            behind = await following.behind() if whole and _changed(sample, tables) else ""
            # A round that began while the other side was behind proves nothing of what changes meanwhile.
            rounds = rounds + 1 if whole and not behind else 0
            complete = rounds > 0 and (_proven(sample, tables) or rounds > ROUNDS)
            if complete or (behind and following.still) or loop.time() > ends:
                return Work(tables, sample, complete, behind or trouble)
            trouble = str((await reconciler.catch_up(CATCH_UP_S)).get("trouble", "")) if whole else ""
        raise AssertionError("the samples ended")
    finally:
        with suppress(asyncio.CancelledError):
            await samples.aclose()  # type: ignore[attr-defined]


def _settled(proof: TableProof) -> bool:
    """It was read to its end once, or cannot be read."""
    return proof.state in SETTLED and (proof.coverage >= 1.0 or proof.state in {ProofState.DIFFERS, ProofState.UNVERIFIABLE})


def _changed(sample: ReconSample, tables: dict[str, TableProof]) -> bool:
    """Whether anything changed since it was proven, be it a moment ago."""
    return bool(sample.dirty_keys) or any(_waits(proof) for proof in tables.values())


def _waits(proof: TableProof) -> bool:
    """Rows of it changed more than a moment ago, or change all the time."""
    return proof.state is ProofState.DIRTY


def _proven(sample: ReconSample, tables: dict[str, TableProof]) -> bool:
    """Nothing waits to be proven again; of what was confirmed different nothing is left to be told."""
    waits = any(_waits(proof) for proof in tables.values())
    return not waits and all(proof.rows or "rows differ" not in proof.reason for proof in tables.values())


@dataclass(slots=True)
class Pace:
    """How fast rows are proven, and so how long the rest takes."""

    began: float

    def left_s(self, sample: ReconSample, now: float) -> float | None:
        took, left = now - self.began, sample.all_rows - sample.proven_rows
        if left <= 0:
            return 0.0
        return left * took / sample.proven_rows if sample.proven_rows > 0 and took > 1 else None


def _found(pair: str, serving: Side, seconds: float, work: Work) -> Compared:
    last, owed = work.last, [proof for proof in work.tables.values() if proof.owed]
    unproven = tuple(f"{proof.table}: {why}" for proof in owed if (why := _unproven(proof, work.trouble)))
    proven = work.complete and not unproven and last.dirty_keys is not None
    verdict = Outcome.DIFFERENT if last.differences else Outcome.EQUAL if proven else Outcome.NOT_PROVEN
    proofs = tuple(sorted(work.tables.values(), key=lambda p: (p.state is not ProofState.DIFFERS, p.table)))
    return Compared(
        verdict, pair, str(serving), round(seconds, 3), last.all_rows, last.proven_rows, last.dirty_keys, last.differences, proofs, unproven, last.note
    )  # fmt: skip


def _unproven(proof: TableProof, trouble: str) -> str:
    """Why the table is not proven; empty where it is, but for rows that change all the time."""
    if proof.state is ProofState.UNVERIFIABLE or not _settled(proof):
        return proof.reason or str(proof.state)
    return f"rows changed and are not proven again: {trouble.split(';')[0]}" if trouble and _waits(proof) else ""


def render(found: Compared) -> str:
    """For people: the verdict, then what differs row by row, then what is not proven."""
    share = found.proven / found.rows if found.rows else 1.0
    lately = "in the last moments" if found.verdict is Outcome.EQUAL else "and not proven again"
    dirty = "" if found.dirty is None else f", {found.dirty} rows changed {lately}"
    lines = [
        f"{found.pair}: {found.verdict.upper() if found.verdict is not Outcome.EQUAL else found.verdict}, {found.serving} serves",
        f"  {found.proven:,} of {found.rows:,} rows in {len(found.tables)} tables proven ({share:.1%}){dirty}, {found.seconds:.1f} s",
    ]
    for proof in found.tables:
        if proof.state is ProofState.DIFFERS:
            lines += [f"  ✗ {proof.table}: {proof.reason}", *(f"      {line}" for row in proof.rows[:MOST_ROWS] for line in row_lines(row))]
    lines += [f"  ? {why}" for why in found.unproven]
    lines += [f"  · {proof.table}: {proof.reason}" for proof in found.tables if not proof.owed]
    if found.note:
        lines.append(f"  note: {found.note}")
    told = [plain_lines(lines)]
    told += [render_checks(found.checks)] if found.checks else []
    told += [render_dbt(found.dbt)] if found.dbt else []
    told += [render_parity(found.parity)] if found.parity else []
    return "\n\n".join(text.rstrip("\n") for text in told)


def row_lines(row: RowDifference) -> Iterator[str]:
    """A differing row, and each of its columns that differ, as both sides print them."""
    yield f"{row.key}: {row.how}"
    for column in row.columns:
        both = "values not shown" if column.masked else f"blue {_value(column.blue)}, green {_value(column.green)}"
        yield f"  {column.column}: {both}"


def _value(text: str | None) -> str:
    return "NULL" if text is None else repr(text)


def plain_lines(lines: Sequence[str]) -> str:
    return "\n".join(plain(line) for line in lines)
