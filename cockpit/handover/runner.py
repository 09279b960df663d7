"""Flies steps: intent on disk, effect, what was seen; each within its deadline.

An unknown outcome (sent, no answer) is looked up by probing until it is known or the step's deadline ends; an effect that turns out
not to have happened is applied again, which every action allows. Whatever is raised, also what no port may raise, leaves a step as
`StepError`; the caller decides whether that means home or forward. Nothing here decides; nothing here knows a driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from cockpit.errors import JournalError, LinkError, OutcomeUnknown, StepError, StepTimeout, Superseded
from cockpit.handover.lease import Lease
from cockpit.handover.ports import Action, Probe
from cockpit.handover.procedure import Do, Step
from cockpit.handover.record import Recorder, in_words, remedy_of
from cockpit.model import events as ev
from cockpit.model.settings import StepSpec
from cockpit.model.words import Known

LOOK_AGAIN_S = 0.05
ATTEMPTS = 3
"""How often an action whose effect is seen not to have happened is applied."""


class Runner:
    """Runs steps and single actions against the world, recording each."""

    def __init__(self, recorder: Recorder, specs: Mapping[str, StepSpec], lease: Lease) -> None:
        self._record = recorder.record
        self._try_record = recorder.try_record
        self._specs = specs
        self._lease = lease

    async def step(self, step: Step, body: Callable[[], Awaitable[ev.Evidence]] | None = None) -> dict[str, ev.Evidence]:
        """The step is done and recorded; what each action saw, by its name. `body` stands in for a step that has no actions.

        `StepError` (recorded) when it failed or its deadline passed; `JournalError` before any effect that could not be recorded."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = self._specs[step.id].deadline
        self._record(ev.StepStarted(step.id), durable=False)
        seen: dict[str, ev.Evidence] = {}
        try:
            async with asyncio.timeout(deadline) as limit:
                if body is not None:
                    seen[step.id] = await body()
                for doing in step.doings:
                    seen[doing.action.name] = await self._do(doing)
        except JournalError:
            raise
        except Exception as err:
            late = limit.expired() and isinstance(err, TimeoutError)
            raise self._failed(step, started, StepTimeout(f"not done within {deadline:g} s", where=step.id) if late else err) from err
        self._record(ev.StepFinished(step.id, _ms(loop.time() - started), dict(seen)), durable=False)
        return seen

    def _failed(self, step: Step, started: float, err: Exception) -> StepError:
        ms = _ms(asyncio.get_running_loop().time() - started)
        self._try_record(ev.StepFailed(step.id, ms, in_words(err), remedy_of(err)))
        if isinstance(err, StepError):
            return err
        return StepError(in_words(err), where=step.id, remedy=remedy_of(err))

    async def _do(self, doing: Do) -> ev.Evidence:
        if doing.find:
            probe = await doing.action.probe()
            if probe.done:
                self._record(ev.ActionProbed(doing.action.name, probe.known, probe.evidence), durable=False)
                return probe.evidence
        return await self.action(doing.action, see=doing.see)

    async def action(self, action: Action, *, see: bool = True) -> ev.Evidence:
        """The action is applied and, where `see`, seen to be so. Raises what the world answered."""
        for attempt in range(1, ATTEMPTS + 1):
            evidence = await self._apply(action)
            if evidence is not None and not see:
                return evidence
            probe = await self._look(action)
            if probe.done:
                return evidence if evidence is not None else probe.evidence
            if attempt == ATTEMPTS:
                raise StepError(f"{action.name}: applied {ATTEMPTS} times and still not so", remedy=f"it shows {dict(probe.evidence)}")
        raise AssertionError("unreachable")

    async def _apply(self, action: Action) -> ev.Evidence | None:
        """What was seen, or None when the outcome is unknown and has to be looked up. `Refused` where the pair is another's by now."""
        await self._lease.hold()
        self._record(ev.ActionIntended(action.name, action.describe()))
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            evidence = await action.apply()
        except OutcomeUnknown as err:
            self._record(ev.ActionFailed(action.name, _ms(loop.time() - started), str(err), unknown=True), durable=False)
            return None
        except Exception as err:
            if isinstance(err, Superseded):
                self._lease.lose(err)
            self._record(ev.ActionFailed(action.name, _ms(loop.time() - started), in_words(err)), durable=False)
            raise
        self._record(ev.ActionDone(action.name, _ms(loop.time() - started), evidence), durable=False)
        return evidence

    async def _look(self, action: Action) -> Probe:
        """The first probe that knows; looked for again and again until the caller's deadline."""
        while True:
            try:
                probe = await action.probe()
            except LinkError:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            if probe.known is not Known.UNKNOWN:
                self._record(ev.ActionProbed(action.name, probe.known, probe.evidence), durable=False)
                return probe
            await asyncio.sleep(LOOK_AGAIN_S)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
