"""One handover from arming to its end. The order is `procedure.steps`; what is decided here is what a failure means.

Before the point of no return every failure, timeout, abort and overrun of the downtime budget goes home. The point of no return is
the durable record `return.passed`, written before the target is unfenced: between the two the target cannot have taken a write, so
an unfence that is seen not to have happened still goes home. After it the tail runs forward; what cannot be finished is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cockpit.errors import CockpitError, JournalError, StepError
from cockpit.handover.gates import not_held, turned
from cockpit.handover.home import go_home
from cockpit.handover.ports import Pooler, World
from cockpit.handover.procedure import WINDOW, Step, steps
from cockpit.handover.record import Recorder
from cockpit.handover.runner import Runner
from cockpit.handover.watch import Stage
from cockpit.model import events as ev
from cockpit.model.settings import Confirmation, PairSpec, Scenario
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Direction, Known, Mode, Outcome, Side

HOME_S = 60.0
"""Seconds the way home may take at least, whatever is left of the downtime budget."""
WATCH_S = 0.02
LATE_S = 5.0
"""Seconds a request whose answer was lost may still take effect: the admin connection is closed long before."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a flight needs beside the world: readings, the guardian's word, and quiet telemetry inside the window."""

    readings: Callable[[], Sequence[GateReading]]
    """The gates of the direction in the air, as read last."""
    quiet: Callable[[bool], None]
    """True: heartbeats and background reading stop. False: they go on."""
    stage: Callable[[Stage, Direction], None]
    """Tells the guardian where the handover is."""


class Flight:
    """One handover. `fly` runs it; `go` and `abort` are what a person says while it runs."""

    def __init__(
        self,
        world: World,
        spec: PairSpec,
        scenario: Scenario,
        recorder: Recorder,
        surroundings: Surroundings,
        direction: Direction,
    ) -> None:
        self.direction = direction
        self._world = world
        self._scenario = scenario
        self._recorder = recorder
        self._around = surroundings
        self._runner = Runner(recorder, scenario.steps)
        self._steps = {step.id: step for step in steps(world, spec, scenario, direction)}
        self._go = asyncio.Event()
        self._stop = ""
        self._window: asyncio.Task[str] | asyncio.Task[None] | None = None
        self._started = 0.0

    @property
    def confirmation(self) -> Confirmation:
        cutover = self.direction is Direction.CUTOVER
        return self._scenario.cutover_confirmation if cutover else self._scenario.rollback_confirmation

    def go(self) -> None:
        """The lead confirmed."""
        self._go.set()

    def abort(self, why: str) -> None:
        """The handover ends with the side it started from serving; no effect once the point of no return is recorded."""
        self._stop = self._stop or why
        if self._window is not None:
            self._window.cancel()

    async def fly(self, number: int, plan_digest: str) -> Outcome:
        """How it ended, recorded. Being cancelled itself counts as an abort."""
        self._started = asyncio.get_running_loop().time()
        confirm = self.confirmation
        gesture = f'type "{self._recorder.state.pair}"' if confirm.gesture == "typed" else "B, then Y"
        self._recorder.record(ev.HandoverOpened(number, self.direction, plan_digest, gesture, confirm.expires))
        self._mode(Mode.ARMING)
        why = await self._get_ready()
        if why:
            return self._close(number, Outcome.ABORTED, self.direction.origin, why)
        failure = await self._fly_window()
        if failure:
            return await self._abort(number, failure)
        return await self._land(number)

    # --- before the window ---------------------------------------------------------------

    async def _get_ready(self) -> str:
        """Armed, gates held, confirmed: empty; or why not. Nothing is stalled yet."""
        ready = asyncio.create_task(self._arm_hold_confirm())
        self._window = ready
        try:
            return await ready
        except asyncio.CancelledError:
            if not self._stop:
                raise
            return self._stop
        except StepError as err:
            return err.brief
        finally:
            self._window = None

    async def _arm_hold_confirm(self) -> str:
        await self._runner.step(self._steps["arm"])
        await self._runner.step(self._steps["gates"], self._hold_gates)
        if self._stop:
            return self._stop
        self._mode(Mode.ARMED)
        await self._runner.step(self._steps["confirm"], self._confirmed)
        return self._stop

    async def _hold_gates(self) -> ev.Evidence:
        """Every gate passes and has for as long as it must; the step's deadline names the one that does not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._scenario.steps["gates"].deadline - 0.1
        missing = not_held(self._around.readings())
        while missing is not None:
            if loop.time() > until:
                raise StepError(f"gate {missing.id}: {missing.reason}", where="gates", remedy="see the gate's page for its query")
            await asyncio.sleep(WATCH_S)
            missing = not_held(self._around.readings())
        return {reading.id: reading.reason for reading in self._around.readings()}

    async def _confirmed(self) -> ev.Evidence:
        """The lead said go; a gate that turns, a stop or the expiry ends it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.confirmation.expires
        while not self._go.is_set():
            fallen = turned(self._around.readings())
            if fallen is not None:
                raise StepError(f"disarmed: gate {fallen.id} turned: {fallen.reason}", where="confirm")
            if loop.time() > until:
                raise StepError(f"disarmed: not confirmed within {self.confirmation.expires:g} s", where="confirm")
            await asyncio.sleep(WATCH_S)
        return {"confirmed": True}

    # --- the window ------------------------------------------------------------------------

    async def _fly_window(self) -> str:
        """Empty when everything up to the point of no return is done; else why not. The guardian knows before anything is touched."""
        self._mode(Mode.WINDOW)
        self._around.stage(Stage.STALLED, self.direction)
        self._window = asyncio.create_task(self._stalled_steps())
        try:
            await self._window
        except asyncio.CancelledError:
            return self._stop or "the pilot was stopped"
        except CockpitError as err:
            return err.brief
        finally:
            self._window = None
        return self._stop

    async def _stalled_steps(self) -> None:
        budget = self._scenario.budgets.downtime
        await self._runner.step(self._steps["steer"])
        self._around.quiet(True)
        self._recorder.record(ev.DowntimeStarted())
        try:
            async with asyncio.timeout(budget):
                for name in WINDOW[:-1]:
                    seen = await self._runner.step(self._steps[name])
                    if name == "quiesce":
                        self._note_fence(seen)
        except TimeoutError:
            raise StepError(f"the downtime budget of {budget:g} s is used up", where="window") from None

    def _note_fence(self, seen: dict[str, ev.Evidence]) -> None:
        lsn = next((str(evidence["lsn"]) for evidence in seen.values() if "lsn" in evidence), "")
        self._recorder.record(ev.FenceSet(self.direction.origin, lsn), durable=False)

    async def _abort(self, number: int, why: str) -> Outcome:
        self._recorder.try_record(ev.ModeChanged(Mode.ABORTING, why))
        left = self._scenario.budgets.downtime - self._downtime()
        open_ends = await asyncio.shield(go_home(self._world, self.direction, self._recorder, max(left, HOME_S)))
        if self._stalled:
            self._recorder.try_record(ev.DowntimeEnded(round(self._downtime(), 4)))
        await self._keep_flowing()
        self._settle()
        outcome = Outcome.STUCK if open_ends else Outcome.ABORTED
        text = f"{why}; still open: {'; '.join(open_ends)}" if open_ends else why
        return self._close(number, outcome, self.direction.origin, text)

    @property
    def _stalled(self) -> bool:
        handover = self._recorder.state.handover
        return handover is not None and handover.downtime_mono is not None

    def _downtime(self) -> float:
        handover = self._recorder.state.handover
        if handover is None or handover.downtime_mono is None:
            return 0.0
        return max(asyncio.get_running_loop().time() - handover.downtime_mono, 0.0)

    # --- past the point of no return -----------------------------------------------------------

    async def _land(self, number: int) -> Outcome:
        try:
            self._recorder.record(ev.ReturnPassed(self.direction.target))
        except JournalError as err:
            return await self._abort(number, str(err))
        # From here on nothing may turn round by itself: `abort` finds no window to cancel.
        return await asyncio.shield(asyncio.ensure_future(self._land_shielded(number)))

    async def _land_shielded(self, number: int) -> Outcome:
        self._around.stage(Stage.RETURNED, self.direction)
        self._recorder.try_record(ev.ModeChanged(Mode.LANDING))
        why = await self._forward(self._steps["resume"])
        if why and await self._target_still_fenced():
            return await self._abort(number, f"{why}; {self.direction.target} never took a write")
        self._recorder.try_record(ev.DowntimeEnded(round(self._downtime(), 4)))
        self._settle()
        if why:
            self._alarm("resume", why, "resume what is paused by hand, or go back")
            return self._close(number, Outcome.STUCK, self.direction.target, why)
        await self._keep_flowing()
        await self._tail("mirror", "the way back is not armed: a rollback would lose writes")
        await self._tail("prove", "not every app was seen on the new side")
        return self._close(number, Outcome.DONE, self.direction.target, "")

    async def _forward(self, step: Step) -> str:
        """Empty when done; else why, after a second try: there is no way but forward."""
        why = ""
        for _ in range(2):
            try:
                await self._runner.step(step)
            except JournalError as err:
                why = err.brief
                await self._without_record(step)
            except StepError as err:
                why = err.brief
            else:
                return ""
        return why

    async def _without_record(self, step: Step) -> None:
        """The step's actions are applied although the disk takes no record: past the return a pause must not stay for a disk's sake."""
        for doing in step.doings:
            try:
                async with asyncio.timeout(self._scenario.steps[step.id].deadline):
                    await doing.action.apply()
            except (CockpitError, TimeoutError):
                return

    async def _target_still_fenced(self) -> bool:
        try:
            async with asyncio.timeout(5):
                probe = await self._world.servers.fence(self.direction.target, on=True).probe()
        except (CockpitError, TimeoutError):
            return False
        return probe.known is Known.DONE

    async def _tail(self, step: str, what: str) -> None:
        try:
            seen = await self._runner.step(self._steps[step])
        except CockpitError as err:
            self._alarm(step, f"{what}: {err.brief}", err.remedy)
            return
        missing = [name for evidence in seen.values() for name in _listed(evidence.get("not_routed"))]
        if missing:
            self._alarm(step, f"{what}: {', '.join(missing[:5])}", "they are fenced out of the old side; restart them")

    async def _keep_flowing(self) -> None:
        """A pause whose answer was lost may still arrive: for `LATE_S` the poolers are looked at, and resumed when it did."""
        facts = [event.fact for event in self._recorder.state.tail if event.mono >= self._started]
        if not any(isinstance(fact, ev.ActionFailed) and fact.unknown and fact.action.startswith("pause") for fact in facts):
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + LATE_S
        while loop.time() < until:
            for pooler in self._world.poolers:
                await self._flows(pooler)
            await asyncio.sleep(WATCH_S)

    async def _flows(self, pooler: Pooler) -> None:
        resume = pooler.resume()
        try:
            async with asyncio.timeout(LATE_S):
                if (await resume.probe()).known is Known.PENDING:
                    await self._runner.action(resume)
        except (CockpitError, TimeoutError) as err:
            self._alarm(f"late {pooler.name}", f"{pooler.name} may be paused: {err}", "RESUME it")

    # --- ends ------------------------------------------------------------------------------------

    def _alarm(self, name: str, what: str, remedy: str) -> None:
        self._recorder.try_record(ev.AlarmRaised(name, what, remedy=remedy))

    def _settle(self) -> None:
        self._around.quiet(False)
        self._around.stage(Stage.SETTLED, self.direction)

    def _close(self, number: int, outcome: Outcome, serving: Side, why: str) -> Outcome:
        seconds = round(asyncio.get_running_loop().time() - self._started, 4)
        handover = self._recorder.state.handover
        downtime = handover.downtime_s if handover else None
        self._recorder.try_record(ev.HandoverClosed(number, outcome, seconds, serving, why, downtime))
        self._recorder.try_record(ev.ModeChanged(Mode.STUCK if outcome is Outcome.STUCK else Mode.READY, why))
        return outcome

    def _mode(self, mode: Mode) -> None:
        self._recorder.record(ev.ModeChanged(mode))


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
