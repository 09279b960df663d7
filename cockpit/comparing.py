"""`cockpit reconcile`: prove that both sides hold the same data, without a screen and without a run.

What proves is what a run's RECON pane shows (`reconcile/`), over the same connections and within a load limit; it holds the pair's lock,
so that no pilot flies meanwhile. Every table is read whole once; what changes meanwhile is proven again, and at the end what changed
last. It ends when everything is proven or confirmed different, or when its time is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from cockpit import wiring
from cockpit.errors import ConfigError
from cockpit.handover.leaving import close
from cockpit.handover.ports import Reconciler, World
from cockpit.handover.serving import who_serves
from cockpit.model.checks import CheckResults, DbtResult, DbtSpec, Outcome
from cockpit.model.parity import Parity
from cockpit.model.settings import Tuning
from cockpit.model.telemetry import ReconSample, RowDifference, TableProof
from cockpit.model.text import plain
from cockpit.model.words import ProofState, Side
from cockpit.reconcile.business import Business
from cockpit.reconcile.checks import render as render_checks
from cockpit.reconcile.checks import render_dbt, run_dbt
from cockpit.timeline.parity import render as render_parity

CATCH_UP_S = 5.0
ROUNDS = 6
"""How often what changed last is proven before what still changes is called so."""
SETTLED = frozenset({ProofState.EQUAL, ProofState.DIRTY, ProofState.DIFFERS, ProofState.UNVERIFIABLE})
MOST_ROWS = 10
"""Differing rows of a table that are told."""

Tell = Callable[[ReconSample, float | None], None]
"""Hears a headline a second, and the seconds that are left, where they can be told."""


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
        tables, last, complete = await _work(world.reconciler, within_s, tell)
        found = _found(order.spec.name, serves, time.monotonic() - started, tables, last, complete)
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


async def _work(reconciler: Reconciler, within_s: float, tell: Tell) -> tuple[dict[str, TableProof], ReconSample, bool]:
    """The newest standing of each table, the last headline, and whether it came to its end."""
    loop = asyncio.get_running_loop()
    ends, pace = loop.time() + within_s, Pace(loop.time())
    tables: dict[str, TableProof] = {}
    complete, rounds = False, 0
    samples = reconciler.samples()
    try:
        async for sample in samples:
            tables.update({proof.table: proof for proof in sample.tables})
            tell(sample, pace.left_s(sample, loop.time()))
            whole = bool(tables) and all(_settled(proof) for proof in tables.values())
            rounds = rounds + 1 if whole else 0
            complete = whole and (_proven(sample, tables) or rounds > ROUNDS)
            if complete or loop.time() > ends:
                return tables, sample, complete
            if whole:
                await reconciler.catch_up(CATCH_UP_S)
        raise AssertionError("the samples ended")
    finally:
        with suppress(asyncio.CancelledError):
            await samples.aclose()  # type: ignore[attr-defined]


def _settled(proof: TableProof) -> bool:
    """It was read to its end once, or cannot be read."""
    return proof.state in SETTLED and (proof.coverage >= 1.0 or proof.state in {ProofState.DIFFERS, ProofState.UNVERIFIABLE})


def _proven(sample: ReconSample, tables: dict[str, TableProof]) -> bool:
    """Nothing waits to be proven again; of what was confirmed different nothing is left to be told."""
    waits = any(proof.state is ProofState.DIRTY for proof in tables.values())
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


def _found(pair: str, serving: Side, seconds: float, tables: dict[str, TableProof], last: ReconSample, complete: bool) -> Compared:
    owed = [proof for proof in tables.values() if proof.owed]
    unproven = tuple(f"{p.table}: {p.reason or p.state}" for p in owed if p.state is ProofState.UNVERIFIABLE or not _settled(p))
    proven = complete and not unproven and last.dirty_keys is not None
    verdict = Outcome.DIFFERENT if last.differences else Outcome.EQUAL if proven else Outcome.NOT_PROVEN
    proofs = tuple(sorted(tables.values(), key=lambda p: (p.state is not ProofState.DIFFERS, p.table)))
    return Compared(
        verdict, pair, str(serving), round(seconds, 3), last.all_rows, last.proven_rows, last.dirty_keys, last.differences, proofs, unproven, last.note
    )  # fmt: skip


def render(found: Compared) -> str:
    """For people: the verdict, then what differs row by row, then what is not proven."""
    share = found.proven / found.rows if found.rows else 1.0
    dirty = "" if found.dirty is None else f", {found.dirty} rows changed in the last moments"
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
