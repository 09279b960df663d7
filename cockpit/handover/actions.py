"""Desired states that span several systems: all poolers paused or none, everything routed, what changed verified, every app seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cockpit.errors import CockpitError, StepError, VerifyFailed
from cockpit.handover.ports import Action, Pooler, Probe, Reconciler, Servers
from cockpit.handover.record import in_words
from cockpit.handover.routing import verdict_of
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.settings import PairSpec, Tuning
from cockpit.model.words import Known, Side, Verdict

Hold = Callable[[], Awaitable[None]]
"""Says that the pair is still ours (`Lease.hold`)."""


async def unheld() -> None:
    """Nobody is asked: nothing is flown."""


async def all_or_first_error(actions: Sequence[Action]) -> dict[str, Evidence]:
    """Every action was applied at the same time and all have ended, each with its own `ms`; the first error is raised once they have."""
    results = await asyncio.gather(*(_timed(action) for action in actions), return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise errors[0]
    return {action.name: result for action, result in zip(actions, results, strict=True) if not isinstance(result, BaseException)}


async def _timed(action: Action) -> Evidence:
    loop = asyncio.get_running_loop()
    started = loop.time()
    evidence = await action.apply()
    return {"ms": round((loop.time() - started) * 1000, 1), **evidence}


@dataclass(frozen=True, slots=True)
class Together:
    """All of `actions`, at the same time."""

    name: str
    actions: tuple[Action, ...]

    def describe(self) -> tuple[Statement, ...]:
        return tuple(statement for action in self.actions for statement in action.describe())

    async def probe(self) -> Probe:
        probes = await asyncio.gather(*(action.probe() for action in self.actions))
        evidence = {action.name: probe.evidence for action, probe in zip(self.actions, probes, strict=True)}
        found = {probe.known for probe in probes}
        known = next((k for k in (Known.UNKNOWN, Known.PENDING) if k in found), Known.DONE)
        return Probe(known, evidence)

    async def apply(self) -> Evidence:
        return await all_or_first_error(self.actions)


@dataclass(frozen=True, slots=True)
class PausedTogether:
    """Every pooler paused, or none. An attempt that does not finish on all of them is taken back on all of them.

    Sessions that keep a pooler from pausing are named, waited for, and after `terminate_blockers_after` attempts terminated.
    That takes a while: `hold` says, before each attempt and before one is taken back, that the pair is still ours.
    """

    servers: Servers
    poolers: tuple[Pooler, ...]
    origin: Side
    tuning: Tuning
    hold: Hold
    name: str = "pause every pooler"

    def describe(self) -> tuple[Statement, ...]:
        return tuple(statement for pooler in self.poolers for statement in pooler.pause().describe())

    async def probe(self) -> Probe:
        return await Together(self.name, tuple(pooler.pause() for pooler in self.poolers)).probe()

    async def apply(self) -> Evidence:
        terminated: list[int] = []
        for attempt in range(1, self.tuning.pause_attempts + 1):
            try:
                seen = await self._attempt()
            except StepError as err:
                if attempt == self.tuning.pause_attempts:
                    raise
                if attempt >= self.tuning.terminate_blockers_after and err.pids:
                    await self.servers.terminate(self.origin, err.pids).apply()
                    terminated.extend(err.pids)
                continue
            return {"attempts": attempt, "terminated": terminated, **seen}
        raise StepError("no pooler pause was attempted", where="pause")

    async def _attempt(self) -> dict[str, Evidence]:
        await self.hold()
        try:
            return await all_or_first_error([pooler.pause() for pooler in self.poolers])
        except CockpitError:
            await self.hold()
            await all_or_first_error([pooler.resume() for pooler in self.poolers])
            raise


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What changed until a moment ago is proven, so that the window finds little to prove. What is left is no failure."""

    reconciler: Reconciler
    box_s: float
    name: str = "prove what changed so far"

    def describe(self) -> tuple[Statement, ...]:
        text = f"compare, by keyed row hash, the rows changed since they were last proven; at most {self.box_s:g} s, writes flow"
        return (Statement("blue and green", text), *self.reconciler.describe())

    async def probe(self) -> Probe:
        return Probe(Known.UNKNOWN, {"why": "a proof is made, not found"})

    async def apply(self) -> Evidence:
        try:
            return await self.reconciler.catch_up(self.box_s)
        except Exception as err:
            return {"not_caught_up": in_words(err)}


@dataclass(frozen=True, slots=True)
class ChangedVerified:
    """Every row that changed since it was last proven is proven equal on both sides, within the time box."""

    reconciler: Reconciler
    origin: Side
    target: Side
    box_s: float
    required: bool
    name: str = "verify what changed"

    def describe(self) -> tuple[Statement, ...]:
        text = f"compare, by count and keyed row hash, every row changed since it was last proven; time box {self.box_s:g} s"
        return (Statement("blue and green", text), *self.reconciler.describe())

    async def probe(self) -> Probe:
        return Probe(Known.UNKNOWN, {"why": "a proof is made, not found"})

    async def apply(self) -> Evidence:
        found = await self.reconciler.verify_changed(self.origin, self.target, self.box_s)
        evidence: dict[str, object] = {
            "equal": found.equal,
            "keys": found.keys,
            "tables": found.tables,
            "seconds": round(found.seconds, 4),
            **found.evidence,
        }
        if found.equal is False:
            raise VerifyFailed(
                f"{len(found.differing)} tables differ: {', '.join(found.differing[:5])}",
                where="verify",
                remedy="look at the tables in the reconciliation pane before the next try",
            )
        if found.equal is None and self.required:
            raise VerifyFailed(
                f"{len(found.unproven)} tables could not be proven within {self.box_s:g} s: {', '.join(found.unproven[:5])}",
                where="verify",
                remedy="raise tuning.verify_box, or wait until the predicted freeze cost is lower",
            )
        return evidence | ({"unproven": list(found.unproven)} if found.unproven else {})


@dataclass(frozen=True, slots=True)
class EveryAppSeen:
    """Every configured app has sessions on `target` and none on `origin`. Stragglers are named, not an error: they are fenced out."""

    servers: Servers
    spec: PairSpec
    origin: Side
    target: Side
    patience_s: float
    lone: bool = False
    """Only `target` is asked: `origin` may be dead."""
    name: str = "every app seen on the new side"

    def describe(self) -> tuple[Statement, ...]:
        text = "SELECT usename, application_name, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2"
        return tuple(Statement(side, text) for side in sorted(self.sides))

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.target,) if self.lone else (self.origin, self.target)

    async def probe(self) -> Probe:
        missing = await self._not_routed()
        return Probe(Known.PENDING if missing else Known.DONE, {"not_routed": missing})

    async def apply(self) -> Evidence:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience_s
        missing = await self._not_routed()
        while missing and loop.time() < until:
            await asyncio.sleep(0.1)
            missing = await self._not_routed()
        return {"not_routed": missing, "apps": len(self.spec.apps)}

    async def _not_routed(self) -> list[str]:
        sessions = [session for found in await asyncio.gather(*map(self.servers.census, self.sides)) for session in found]
        verdicts = ((app.name, verdict_of(app, self.target, self.target, tuple(sessions))) for app in self.spec.apps)
        return [f"{name}: {verdict}" for name, verdict in verdicts if verdict is not Verdict.ROUTED]
