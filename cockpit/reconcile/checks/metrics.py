"""Metrics and spot checks: the same SELECT on both sides, each in one read-only snapshot, compared exactly.

While replication runs both sides move, so unequal is not different yet (`suspects` says the same of rows). An unequal key is read on the
serving side (h1), the other side is given the time to apply everything committed by then, and both are read again (h2 there, h3 here).
h2 like h1 or h3: it was lag. h1 like h3 and h2 neither: it did not move and is different. Else it moved; after some looks it is hot.
"""

# ruff: noqa: S608 - the statement is the scenario's own; it is run as a subquery in a read-only transaction
from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from cockpit.errors import LinkError, SystemFault
from cockpit.model.checks import CheckProgress, CheckResult, CheckResults, Checks, CheckVerdict, Difference, Literal, Metric, Spot
from cockpit.model.settings import PairSpec
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.checks.values import FLOATS, NUMBERS, Reading, Row, alike, literal, named, ordered, reading, unlike
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.sessions import Line

MOST_ROWS = 10_000
MOST_TEXT = 16 << 20
"""Characters of one side's answer."""
FETCH = 1000
SHOWN_DIFFERENCES = 20
LOOKS = 5
"""Second looks at what is unequal, before it is called hot."""
WAIT_S = 2.0
"""How long the other side may take to apply what was committed before a second look."""
SETTINGS = {"search_path": "pg_catalog, public"}

Tell = Callable[[CheckProgress], None]


class _Failed(Exception):
    """Why a check has no verdict."""


async def run_checks(spec: PairSpec, checks: Checks, tell: Tell, *, serving: Side = Side.BLUE, box_s: float | None = None) -> CheckResults:
    """Every check has its result, in their order; none of them raises: what cannot be read is `failed` with its reason, and so is what
    was not settled when `box_s` seconds for all of them were over."""
    lines = {side: Line(side, spec.side(side).control, settings=SETTINGS) for side in Side}
    asked: list[Metric | Spot] = [*checks.metrics, *checks.spots]
    judges = [Judge(one, lines, serving) for one in asked]
    results = []
    until = None if box_s is None else asyncio.get_running_loop().time() + box_s
    try:
        for number, judge in enumerate(judges, 1):
            tell(CheckProgress(number, len(judges), judge.metric.name))
            results.append(await _within(judge, until, box_s))
            tell(CheckProgress(number, len(judges), judge.metric.name, results[-1].verdict))
    finally:
        await asyncio.gather(*(line.close() for line in lines.values()))
    return CheckResults(tuple(results))


async def _within(judge: Judge, until: float | None, box_s: float | None) -> CheckResult:
    """The check's result, or that its time was over."""
    try:
        async with asyncio.timeout_at(until):
            return await judge.result()
    except TimeoutError:
        return unread(judge.asked, f"not settled within the {box_s:g} s that all checks have together")


def unread(asked: Metric | Spot, why: str) -> CheckResult:
    """The result of a check that was not compared."""
    return CheckResult(asked.name, "spot" if isinstance(asked, Spot) else "metric", CheckVerdict.FAILED, asked.sql, asked.title, why)


@dataclass(slots=True)
class Look:
    """What became of the unequal keys so far, and the reading by which each is shown."""

    open: list[Row]
    confirmed: list[Row] = field(default_factory=list)


class Judge:
    """One check on both sides. A spot check is a metric of one key, the empty one, and may have several rows."""

    def __init__(self, asked: Metric | Spot, lines: Mapping[Side, Line], serving: Side) -> None:
        self.asked = asked
        self.metric = asked if isinstance(asked, Metric) else Metric(asked.name, asked.sql, title=asked.title, timeout=asked.timeout)
        self._spot = asked if isinstance(asked, Spot) else None
        self._lines = lines
        self._passage = Passage(lines)
        self._serving = serving
        self._looks = 0

    async def result(self) -> CheckResult:
        started = asyncio.get_running_loop().time()
        asked = self.metric
        base = unread(self.asked, "")
        try:
            found = await self._judged(base)
        except _Failed as err:
            found = replace(base, reason=str(err))
        except (LinkError, SystemFault) as err:
            found = replace(base, reason=_reason(err, asked.timeout))
        return replace(found, looks=self._looks, seconds=asyncio.get_running_loop().time() - started)

    async def _judged(self, base: CheckResult) -> CheckResult:
        both = await self._both()
        blue, green = both[Side.BLUE], both[Side.GREEN]
        groups = len(blue.groups.keys() | green.groups.keys())
        base = replace(base, rows=max(blue.rows, green.rows), groups=groups, notes=tuple(self._notes(blue)))
        if (blue.key, blue.measures) != (green.key, green.measures):
            shown = f"blue gives {', '.join(map(plain, blue.types))}; green gives {', '.join(map(plain, green.types))}"
            return replace(base, verdict=CheckVerdict.DIFFERS, reason=f"the columns differ: {shown}")
        self._fit(blue, green)
        look = Look(unlike(blue, green, self.metric.tolerance))
        if look.open:
            both = await self._looked_again(look, both)
        return self._verdict(base, look, both)

    async def _looked_again(self, look: Look, both: dict[Side, Reading]) -> dict[Side, Reading]:
        """Every open key is clean, confirmed, or still open after the looks; returns the last readings."""
        here, there = self._serving, self._serving.other
        first = await self._read(here)
        for _ in range(LOOKS):
            if await self._passage.passed(here, WAIT_S) is False:
                raise _Failed(f"unequal, and {there} does not move on within {WAIT_S:g} s: lag cannot be told from a difference")
            both = await self._both()
            look.open = self._settled(look, first, both[there], both[here])
            if not look.open:
                break
            first = both[here]
        return both

    def _settled(self, look: Look, first: Reading, there: Reading, again: Reading) -> list[Row]:
        limits = self._limits(first.measures)
        left: list[Row] = []
        for key in look.open:
            h1, h2, h3 = (reading.groups.get(key, ()) for reading in (first, there, again))
            if alike(h2, h1, limits) or alike(h2, h3, limits):
                continue
            (look.confirmed if h1 == h3 else left).append(key)
        return left

    def _verdict(self, base: CheckResult, look: Look, both: Mapping[Side, Reading]) -> CheckResult:
        blue, green = both[Side.BLUE], both[Side.GREEN]
        if look.confirmed or look.open:
            keys = look.confirmed or look.open
            verdict = CheckVerdict.DIFFERS if look.confirmed else CheckVerdict.HOT
            reason = (
                ""
                if look.confirmed
                else f"moves faster than both sides can be read; unequal in {self._looks} readings, ask again in a quiet moment"
            )
            differing = tuple(_difference(key, blue, green) for key in keys[:SHOWN_DIFFERENCES])
            return replace(base, verdict=verdict, reason=reason, differing=differing, differing_keys=len(keys))
        if self._spot and self._spot.expect is not None:
            return self._expected(base, self._spot.expect, both[self._serving])
        if self.metric.tolerance:
            named = ", ".join(f"{plain(name)} {limit}" for name, limit in self.metric.tolerance.items())
            return replace(base, verdict=CheckVerdict.WITHIN, reason=f"within tolerance: {named}")
        return replace(base, verdict=CheckVerdict.EQUAL)

    def _expected(self, base: CheckResult, expect: Sequence[Sequence[Literal]], found: Reading) -> CheckResult:
        """Both sides gave the same; whether it is what the scenario says."""
        types = [found.types[name] for name in found.measures]
        if any(len(row) != len(types) for row in expect):
            raise _Failed(f"expect names rows of another width than the {len(types)} columns of the query")
        rows = [tuple(literal(part, kind) for part, kind in zip(row, types, strict=True)) for row in expect]
        given = found.groups.get((), ())
        if ordered(rows) == given:
            return replace(base, verdict=CheckVerdict.EQUAL)
        wanted = "; ".join(named(found.measures, row) for row in rows) or "no row"
        got = "; ".join(named(found.measures, row) for row in given) or "no row"
        both = Difference("", got, got)
        return replace(base, verdict=CheckVerdict.DIFFERS, reason=f"expected {wanted}", differing=(both,), differing_keys=1)

    def _limits(self, measures: Sequence[str]) -> list[Decimal | None]:
        return [self.metric.tolerance.get(name) for name in measures]

    def _notes(self, blue: Reading) -> list[str]:
        return [
            f"{plain(name)} is floating point and has no tolerance: its exact text is compared, and a sum of floats depends on the order "
            "in which its rows are read; cast it to numeric"
            for name in blue.floats()
            if name not in self.metric.tolerance
        ]

    def _fit(self, blue: Reading, green: Reading) -> None:
        """Nothing about the readings makes their comparison mean less than it says."""
        expects_nothing = self._spot is not None and self._spot.expect == ()
        if not blue.rows and not green.rows and not expects_nothing:
            raise _Failed("no row on either side: nothing was compared")
        if self._spot is None and not self.metric.key and max(blue.rows, green.rows) > 1:
            raise _Failed("several rows and no key: name the key columns")
        for name in self.metric.tolerance:
            if name not in blue.measures or any(r.types[name] not in NUMBERS | FLOATS for r in (blue, green)):
                raise _Failed(f"tolerance.{plain(name)}: there is no such measure that is a number")
        if self.metric.tolerance and any(len(rows) > 1 for r in (blue, green) for rows in r.groups.values()):
            raise _Failed("several rows have the same key: a tolerance needs a key that names one row")

    async def _both(self) -> dict[Side, Reading]:
        """Both sides at the same time; the first error after both have ended, so that no reading is left behind."""
        found = await asyncio.gather(*(self._read(side) for side in Side), return_exceptions=True)
        self._looks += 1
        done: dict[Side, Reading] = {}
        for side, answer in zip(Side, found, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            done[side] = answer
        return done

    async def _read(self, side: Side) -> Reading:
        line, limit = self._lines[side], self.metric.timeout
        async with line.snapshot(limit + 5):
            await line.fetch("SELECT pg_catalog.set_config('statement_timeout', $1, true)", f"{round(limit * 1000)}")
            try:
                async with asyncio.timeout(limit + 1):
                    columns = await line.shape(bare(self.metric.sql), limit + 1)
                    if self._spot:
                        columns = [(f"{name} ({n})" if _twice(name, columns) else name, kind) for n, (name, kind) in enumerate(columns, 1)]
                    _check_columns(columns, self.metric.key)
                    return reading(columns, self.metric.key, await self._rows(line, len(columns)))
            except TimeoutError:
                raise SystemFault("took too long", where=str(side), code="57014") from None

    async def _rows(self, line: Line, width: int) -> list[list[str | None]]:
        names = ", ".join(f"c{n}" for n in range(width))
        texts = ", ".join(f"q.c{n}::pg_catalog.text" for n in range(width))
        # The line ends keep a comment at the statement's end from taking what follows with it.
        wrapped = f"SELECT {texts} FROM (\n{bare(self.metric.sql)}\n) AS q({names})"
        deadline = self.metric.timeout + 1
        await line.fetch(f"DECLARE cockpit_check NO SCROLL CURSOR FOR {wrapped}", deadline=deadline)
        rows: list[list[str | None]] = []
        length = 0
        while part := await line.fetch(f"FETCH FORWARD {FETCH} FROM cockpit_check", deadline=deadline):
            rows += [list(row.values()) for row in part]
            length += sum(len(text or "") for row in part for text in row.values())
            if len(rows) > MOST_ROWS or length > MOST_TEXT:
                raise _Failed(f"more than {MOST_ROWS} rows or {MOST_TEXT >> 20} MiB on {line.side}: group more coarsely")
        return rows


def bare(sql: str) -> str:
    """The SELECT without what would end it, fit to stand in brackets on lines of its own."""
    return sql.strip().rstrip(";").rstrip()


def _twice(name: str, columns: Sequence[tuple[str, str]]) -> bool:
    return sum(name == other for other, _ in columns) > 1


def _check_columns(columns: Sequence[tuple[str, str]], key: Sequence[str]) -> None:
    names = [name for name, _ in columns]
    if twice := sorted({name for name in names if _twice(name, columns)}):
        raise _Failed(f"two columns are named {plain(twice[0])}: give each a name of its own")
    for name in key:
        if name not in names:
            raise _Failed(f"the key column {plain(name)} is not in the answer: it has {', '.join(map(plain, names)) or 'no columns'}")
    if len(key) == len(names):
        raise _Failed("every column is a key: there is no measure to compare")


def _difference(key: Row, blue: Reading, green: Reading) -> Difference:
    """The key, and of each side the measures that differ."""
    one, other = blue.groups.get(key, ()), green.groups.get(key, ())
    single = len(one) == len(other) == 1
    chosen = [n for n in range(len(blue.measures)) if not single or one[0][n] != other[0][n]]
    return Difference(named(blue.key, key), _side(one, blue, chosen), _side(other, green, chosen))


def _side(rows: Sequence[Row], found: Reading, chosen: Sequence[int]) -> str:
    names = [found.measures[n] for n in chosen]
    return plain("; ".join(named(names, tuple(row[n] for n in chosen)) for row in rows) or "absent", 800)


def _reason(err: LinkError | SystemFault, timeout: float) -> str:
    if isinstance(err, SystemFault) and err.code == "57014":
        return f"{err.where}: took longer than {timeout:g} s: allow more (timeout), or group more coarsely"
    if isinstance(err, SystemFault) and err.code == "42P01":
        return f"{err.brief}; name tables as schema.table"
    return str(err)
