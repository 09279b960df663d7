"""The scenario's business checks in a run: read beside the background reconciliation, never inside a window.

Which tables a check reads is asked of the server beforehand (`checks.plans`). So at the freeze, where rows are proven equal, it is known
without a statement which checks are equal by that, and which are not told by rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

from cockpit.errors import CockpitError
from cockpit.model.checks import CheckResult, CheckResults, Checks, CheckVerdict, Difference, Metric, Spot
from cockpit.model.settings import PairSpec
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.checks.metrics import SETTINGS, bare, run_checks, unread
from cockpit.reconcile.checks.plans import Reads, reads
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Name

HIDDEN = "not shown"
MOST_NAMED = 20


class Business:
    """The checks of one pair. Each reading has connections of its own, which are closed again."""

    def __init__(self, spec: PairSpec, checks: Checks) -> None:
        self._spec = spec
        self._checks = checks
        self._asked: tuple[Metric | Spot, ...] = (*checks.metrics, *checks.spots)
        self._reads: dict[str, Reads] = {}

    async def plan(self, serving: Side) -> None:
        """What each check reads is known as the serving side plans it now, or why it is not; raises nothing of a server's."""
        if not self._asked:
            return
        line = Line(serving, self._spec.side(serving).control, settings=SETTINGS)
        try:
            for asked in self._asked:
                self._reads[_name(asked)] = await self._planned(line, asked)
        finally:
            await line.close()

    async def _planned(self, line: Line, asked: Metric | Spot) -> Reads:
        try:
            return await reads(line, bare(asked.sql), self._spec.is_sensitive)
        except CockpitError as err:
            return Reads(unseen=f"it cannot be planned: {plain(err.brief, 150)}")

    async def read(self, serving: Side, box_s: float, patience_s: float = 0.0) -> tuple[CheckResult, ...]:
        """Every check as both sides answer it, in their order; nothing of a server's is raised, what cannot be read is `failed`.

        `patience_s`: seconds that the other side has beforehand to apply what was committed. Afterwards all of them have `box_s`."""
        if not self._asked:
            return ()
        await self.plan(serving)
        lines = {side: Line(side, self._spec.side(side).control, settings=SETTINGS) for side in Side}
        try:
            if patience_s and await Passage(lines).passed(serving, patience_s) is False:
                return self.unread(f"{serving.other} did not catch up with {serving} within {patience_s:g} s")
            results = (await self._compared(serving, box_s)).results
            carried = await Passage(lines).carries_all(serving)
        except CockpitError as err:
            return self.unread(plain(err.brief, 200))
        finally:
            await asyncio.gather(*(line.close() for line in lines.values()))
        return tuple(result if carried else _too_early(result, serving) for result in results)

    async def compare(self, serving: Side) -> CheckResults:
        """Every check as both sides answer it, whether one follows the other or not."""
        await self.plan(serving)
        return await self._compared(serving, None)

    async def _compared(self, serving: Side, box_s: float | None) -> CheckResults:
        found = await run_checks(self._spec, self._checks, lambda progress: None, serving=serving, box_s=box_s)
        return CheckResults(tuple(self._told(asked, result) for asked, result in zip(self._asked, found.results, strict=True)))

    def unread(self, why: str) -> tuple[CheckResult, ...]:
        """The results where nothing was read."""
        return tuple(unread(asked, why) for asked in self._asked)

    def _told(self, asked: Metric | Spot, result: CheckResult) -> CheckResult:
        """The result as it may be told: without values where they are made of sensitive columns, or may be."""
        found = self._reads.get(_name(asked), Reads(unseen="it was not planned"))
        if not (found.sensitive or (found.unseen and self._spec.sensitive_columns)):
            return result
        why = f"values not shown: {found.sensitive[0]} is sensitive" if found.sensitive else f"values not shown: {found.unseen}"
        hidden = (Difference("", HIDDEN, HIDDEN),) if result.differing else ()
        shown = why if result.verdict is CheckVerdict.DIFFERS else result.reason
        return replace(result, differing=hidden, reason=shown, notes=())

    def follows(self, proven: Collection[Name]) -> dict[str, object]:
        """Evidence of how many checks are equal because every row they read is proven so, and which are not told by rows. Asks nobody."""
        if not self._asked:
            return {}
        names, left = frozenset(proven), []
        follow = {Metric: 0, Spot: 0}
        for asked in self._asked:
            why = _open(self._reads.get(_name(asked), Reads(unseen="it was not planned yet")), names)
            if why:
                left.append(f"{_name(asked)}: {why}")
            else:
                follow[type(asked)] += 1
        return {"metrics_follow": follow[Metric], "spots_follow": follow[Spot], "checks_left": left[:MOST_NAMED]}


def _name(asked: Metric | Spot) -> str:
    return f"{'spot' if isinstance(asked, Spot) else 'metric'} {plain(asked.name, 80)}"


def _open(found: Reads, proven: Collection[Name]) -> str:
    """Why proven rows do not say that both sides give the same; empty where they do."""
    missing = sorted(f"{schema}.{name}" for schema, name in found.tables if (schema, name) not in proven)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"{plain(missing[0], 100)}{more} not proven row by row"
    return found.unseen or found.loose


def _too_early(result: CheckResult, serving: Side) -> CheckResult:
    """While a copy is not finished, or nothing is mirrored, a difference says nothing yet."""
    if result.verdict is not CheckVerdict.DIFFERS:
        return result
    why = f"unequal, and {serving.other} does not follow {serving} with every table yet: arm, wait for the copy, then run the preflight again (r)"
    return replace(result, verdict=CheckVerdict.FAILED, reason=why, differing=(), differing_keys=0)
