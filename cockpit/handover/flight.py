"""One handover from arming to its end. The order is `procedure.steps`; what is decided here is what a failure means.

Before the point of no return every failure, timeout, abort and overrun of the downtime budget goes home. The point of no return is
the durable record `return.passed`, written before the target is unfenced: between the two the target cannot have taken a write, so
an unfence that is seen not to have happened still goes home. After it the tail runs forward; what cannot be finished is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from cockpit.errors import JournalError, Refused, StepError
from cockpit.handover import reality
from cockpit.handover.certificate import certified
from cockpit.handover.confirming import Asked, Words
from cockpit.handover.gates import not_held
from cockpit.handover.home import HOME_S, go_forward, go_home, keep_flowing
from cockpit.handover.ports import World
from cockpit.handover.procedure import WINDOW, Step, steps
from cockpit.handover.record import Recorder, in_words, remedy_of
from cockpit.handover.runner import Runner
from cockpit.handover.surroundings import Surroundings
from cockpit.handover.watch import Stage
from cockpit.model import events as ev
from cockpit.model.intents import CONTRADICTED
from cockpit.model.settings import Confirmation, PairSpec, Scenario, StepSpec
from cockpit.model.state import HandoverView
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Direction, Known, Mode, Outcome, Side

WATCH_S = 0.02
LOCK_S = 10.0
"""Seconds within which both servers must say that the pair is still ours."""
REST_S = 0.1
"""Seconds after the resume in which the apps that waited have the servers for themselves."""
UNHELD_HALF_WAY = frozenset({"poolers", "census", "schema", "preflight", "long_transactions"})
"""Gates that a handover in the air cannot pass, because it has paused and fenced; or that compare with a look before the crash. What
they guard, the steps of the window prove for themselves."""


class Flight:
    """One handover. `fly` runs it; `go` and `abort` are what a person says while it runs."""

    UNGRACEFUL = False
    """It goes without what the target has not."""

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
        self._spec = spec
        self._runner = Runner(recorder, self._specs, surroundings.lease)
        self._steps = {step.id: step for step in self._course()}
        self._stop = ""
        self._window: asyncio.Task[str] | asyncio.Task[None] | None = None
        self._number = 0
        self._unproven = ""
        self._words = Words(recorder, self._gates, self.confirmation)
        self._opened = self._started = 0.0

    @property
    def confirmation(self) -> Confirmation:
        cutover = self.direction is Direction.CUTOVER
        return self._scenario.cutover_confirmation if cutover else self._scenario.rollback_confirmation

    @property
    def _specs(self) -> Mapping[str, StepSpec]:
        return self._scenario.steps

    @property
    def _gates(self) -> Callable[[], Sequence[GateReading]] | None:
        return self._around.readings

    def _course(self) -> Iterable[Step]:
        return steps(self._world, self._spec, self._scenario, self.direction, self._around.lease.hold)

    def go(self) -> None:
        """The lead confirmed; without effect while a second person's approval is missing."""
        self._words.go()

    def abort(self, why: str) -> None:
        """The handover ends with the side it started from serving; no effect once the point of no return is recorded."""
        self._stop = self._stop or why
        if self._window is not None:
            self._window.cancel()

    def open(self, number: int, plan_digest: str, asked: Asked) -> None:
        """The handover is on record and arming: from here on no other fits."""
        self._number = number
        self._words.ask_of(number, asked)
        self._opened = self._started = asyncio.get_running_loop().time()
        self._recorder.record(self._opening(number, plan_digest))
        self._mode(Mode.ARMING)

    def _opening(self, number: int, plan_digest: str) -> ev.HandoverOpened:
        confirm = self.confirmation
        words = confirm.words(self._recorder.state.pair)
        return ev.HandoverOpened(number, self.direction, plan_digest, words, confirm.expires, confirm.second)

    async def fly(self) -> Outcome:
        """How it ended, recorded. Being cancelled itself counts as an abort."""
        why = await self._get_ready() or self._stop
        if why:
            self._words.lapse(why)
            return self._close(Outcome.ABORTED, self.direction.origin, why)
        failure = await self._fly_window()
        if failure:
            return await self._abort(failure)
        return await self._land()

    @property
    def number(self) -> int:
        return self._number

    def adopt(self, view: HandoverView) -> None:
        """The handover that another process left half way is this one; nothing is touched."""
        self._number = view.number
        self._opened, self._started = view.opened_mono, asyncio.get_running_loop().time()

    async def look(self) -> list[ev.StepFound]:
        """What the world shows of every step. Nothing is touched."""
        return await reality.look(self._steps.values())

    def take_up(self, by: str) -> None:
        """A stuck handover is in the air again, on record; `fly_again` flies it."""
        self._started = asyncio.get_running_loop().time()
        self._recorder.record(ev.ModeChanged(Mode.LANDING if self.past_return else Mode.ABORTING, f"taken up again by {by}"))

    async def fly_again(self) -> Outcome:
        """How a stuck handover ended: home where the target took no write, forward to its end where it did."""
        try:
            await self._around.lease.ask()  # a side that is silent names nobody, and is not waited for
        except Refused as err:
            self._alarm("flight", err.brief, err.remedy)
            return self._close(Outcome.STUCK, self.direction.target if self.past_return else self.direction.origin, err.brief)
        if self.past_return:
            self._around.stage(Stage.RETURNED, self.direction)
            return await self._land_again()
        if await self._target_took_over():
            return self._contradicted()
        self._around.stage(Stage.STALLED, self.direction)
        return await self._abort("the way home was taken up again")

    def take_on(self, by: str) -> None:
        """A handover that was left before its return flies on, on record; `fly_on` flies it."""
        self._started = asyncio.get_running_loop().time()
        self._around.stage(Stage.STALLED, self.direction)
        self._recorder.record(ev.ModeChanged(Mode.WINDOW, f"gone on with by {by}"))

    async def fly_on(self) -> Outcome:
        """How it ended: every step that the window still needs is found so or made so again; what fails goes home as ever."""
        if await self._target_took_over():
            return self._contradicted()
        failure = await self._within_window(self._again())
        if failure:
            return await self._abort(failure)
        return await self._land()

    async def _target_took_over(self) -> bool:
        return await reality.target_took_over(self._world, self.direction)

    def _contradicted(self) -> Outcome:
        """Nothing is touched: going home would leave behind what apps wrote to the target meanwhile."""
        origin, target = self.direction.origin, self.direction.target
        why = f"{target} is open and {origin} fenced, although the timeline ends before the return: {target} may have taken writes"
        self._alarm(CONTRADICTED, why, f"fence {target} again if no app wrote there, then A, then Y; else close the run and open a new one")
        self._go_on_proving()
        self._settled()
        return self._close(Outcome.STUCK, origin, why)

    @property
    def past_return(self) -> bool:
        """The durable record says so: the target may have taken writes."""
        return self._recorder.state.serving is self.direction.target

    # --- before the window ---------------------------------------------------------------

    async def _get_ready(self) -> str:
        """Armed, gates held, confirmed and still ours: empty; or why not. Nothing is stalled yet."""
        ready = asyncio.create_task(self._arm_hold_confirm())
        self._window = ready
        try:
            return await ready
        except asyncio.CancelledError:
            if not self._stop:
                raise
            return self._stop
        except Exception as err:
            return in_words(err)
        finally:
            self._window = None

    async def _arm_hold_confirm(self) -> str:
        await self._lock()
        await self._arm()
        if self._stop:
            return self._stop
        self._mode(Mode.ARMED)
        await self._runner.step(self._steps["confirm"], self._words.given)
        if not self._stop:
            await self._lock()
        return self._stop

    async def _arm(self) -> None:
        await self._runner.step(self._steps["arm"])
        await self._runner.step(self._steps["gates"], self._hold_gates)

    async def _lock(self) -> None:
        """The pair is ours on both sides, asked anew: before the world is touched, and never inside the window."""
        try:
            async with asyncio.timeout(LOCK_S):
                await self._around.lease.renew()
        except TimeoutError:
            raise StepError(f"the pair's lock was not seen within {LOCK_S:g} s", where="lock", remedy="look at both servers") from None

    async def _hold_gates(self, wanted: Callable[[GateReading], bool] = lambda reading: True) -> ev.Evidence:
        """Every wanted gate passes and has for as long as it must; the step's deadline names the one that does not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._scenario.steps["gates"].deadline - 0.1
        while True:
            readings = [reading for reading in self._around.readings() if wanted(reading)]
            missing = not_held(readings)
            if missing is None:
                return {reading.id: reading.reason for reading in readings}
            if loop.time() > until:
                raise StepError(f"gate {missing.id}: {missing.reason}", where="gates", remedy="see the gate's page for its query")
            await asyncio.sleep(WATCH_S)

    # --- the window ------------------------------------------------------------------------

    async def _fly_window(self) -> str:
        """Empty when everything up to the point of no return is done; else why not, whatever was raised.

        The guardian knows before anything is touched."""
        try:
            self._mode(Mode.WINDOW)
            self._around.stage(Stage.STEERING, self.direction)
        except Exception as err:
            return in_words(err)
        return await self._within_window(self._stalled_steps())

    async def _within_window(self, work: Coroutine[Any, Any, None]) -> str:
        """Empty when the work is done; else why not, whatever was raised. `abort` can cancel it."""
        try:
            self._window = asyncio.create_task(work)
            await self._window
        except asyncio.CancelledError:
            return self._stop or "the pilot was stopped"
        except Exception as err:
            return in_words(err)
        finally:
            self._window = None
        return self._stop

    async def _again(self) -> None:
        """Armed as before and provable, then the window from its beginning: every action may be applied to what is so already."""
        await self._lock()
        async with asyncio.timeout(self._budget_left()) as limit:
            try:
                await self._arm_again()
            except TimeoutError:
                raise self._used_up() if limit.expired() else StepError("no answer in time", where="window") from None
        await self._stalled_steps()

    async def _arm_again(self) -> None:
        await self._runner.step(self._steps["arm"])
        await self._runner.step(self._steps["gates"], self._hold_gates_half_way)

    async def _hold_gates_half_way(self) -> ev.Evidence:
        """The gates of the data hold; those of a service that is not interrupted cannot."""
        return await self._hold_gates(lambda reading: reading.id not in UNHELD_HALF_WAY)

    def _budget_left(self) -> float:
        return max(self._scenario.budgets.downtime - self._downtime(), 0.0)

    def _used_up(self) -> StepError:
        return StepError(f"the downtime budget of {self._scenario.budgets.downtime:g} s is used up", where="window")

    async def _stalled_steps(self) -> None:
        await self._runner.step(self._steps["steer"])
        self._around.quiet(True)
        self._around.stage(Stage.STALLED, self.direction)
        handover = self._recorder.state.handover
        if handover is None or handover.downtime_mono is None or handover.downtime_s is not None:
            self._recorder.record(ev.DowntimeStarted(), durable=False)  # the first intent makes it so
        try:
            async with asyncio.timeout(self._budget_left()) as limit:
                for name in (name for name in self._steps if name in WINDOW[:-1]):
                    seen = await self._runner.step(self._steps[name])
                    self._note(name, seen)
                await self._around.lease.ask()  # before the return: who slept through the window may find that it is another's
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._used_up() from None

    def _note(self, step: str, seen: dict[str, ev.Evidence]) -> None:
        if step == "quiesce":
            lsn = next((str(evidence["lsn"]) for evidence in seen.values() if "lsn" in evidence), "")
            if lsn:
                self._recorder.record(ev.FenceSet(self.direction.origin, lsn), durable=False)
                self._world.reconciler.quieted(self.direction.origin)
        if step == "verify":
            proof = next((evidence for evidence in seen.values() if "equal" in evidence), {})
            self._unproven = _unproven(proof) if proof.get("equal", True) is None else ""
            lsn = self._recorder.state.handover.fence_lsn if self._recorder.state.handover else ""
            self._recorder.record(certified(self.direction, lsn, proof), durable=False)

    async def _abort(self, why: str) -> Outcome:
        self._recorder.try_record(ev.ModeChanged(Mode.ABORTING, why))
        home = go_home(self._world, self.direction, self._recorder, self._home_s(), self._around.lease)
        return await self._home(why, await asyncio.shield(home))

    def _home_s(self) -> float:
        return max(self._scenario.budgets.downtime - self._downtime(), HOME_S)

    async def _home(self, why: str, open_ends: Sequence[str]) -> Outcome:
        """The way home was gone: what is known of it is on record."""
        if not open_ends:
            self._end_downtime()
        await self._keep_flowing()
        self._go_on_proving()
        self._settled()
        outcome = Outcome.STUCK if open_ends else Outcome.ABORTED
        text = f"{why}; still open: {'; '.join(open_ends)}" if open_ends else why
        return self._close(outcome, self.direction.origin, text)

    def _end_downtime(self) -> None:
        """On record once, and only when writes flow: while something stays open that may stall them, the clock goes on."""
        handover = self._recorder.state.handover
        if handover is not None and handover.downtime_mono is not None and handover.downtime_s is None:
            self._recorder.try_record(ev.DowntimeEnded(round(self._downtime(), 4)))

    def _downtime(self) -> float:
        handover = self._recorder.state.handover
        if handover is None or handover.downtime_mono is None:
            return 0.0
        return max(asyncio.get_running_loop().time() - handover.downtime_mono, 0.0)

    # --- past the point of no return -----------------------------------------------------------

    async def _land(self) -> Outcome:
        try:
            self._recorder.record(ev.ReturnPassed(self.direction.target))
        except Exception as err:
            return await self._abort(in_words(err))
        # From here on nothing may turn round by itself: `abort` finds no window to cancel.
        return await asyncio.shield(asyncio.ensure_future(self._land_shielded()))

    async def _land_shielded(self) -> Outcome:
        self._around.stage(Stage.RETURNED, self.direction)
        self._recorder.try_record(ev.ModeChanged(Mode.LANDING), durable=False)  # the return is on disk: it says the same
        why = await self._forward(self._steps["resume"])
        if why and await self._target_still_fenced():
            self._around.stage(Stage.STALLED, self.direction)
            return await self._abort(f"{why}; {self.direction.target} never took a write")
        # Two tries are over in a moment; a server that restarts is back in seconds, and until then no app is served anywhere.
        return await self._land_again() if why else await self._touch_down("")

    async def _land_again(self) -> Outcome:
        way = go_forward(self._world, self.direction, self._recorder, HOME_S, self._around.lease, ungraceful=self.UNGRACEFUL)
        serving, open_ends = await asyncio.shield(way)
        if serving is self.direction.origin:
            return await self._home(f"{self.direction.target} never took a write", open_ends)
        return await self._touch_down("; ".join(open_ends))

    async def _touch_down(self, why: str) -> Outcome:
        """The target serves: the tail of the handover, or, with `why`, what a person has to look at."""
        if not why:
            self._end_downtime()
            await asyncio.sleep(REST_S)
        self._go_on_proving()
        if why:
            self._alarm("resume", why, "A, then Y tries again; or resume what is paused by hand first")
            self._settled()
            return self._close(Outcome.STUCK, self.direction.target, why)
        if self._unproven:
            self._alarm("verify", f"handed over unproven: {self._unproven}", "the reconciliation pane shows what is left to prove")
        await self._keep_flowing()
        await self._mirrored()
        await self._tail("prove", "not every app was seen on the new side")
        self._settled()  # not before: a pilot that hangs while it lands leaves what it owes to the guardian
        return self._close(Outcome.DONE, self.direction.target, "")

    async def _mirrored(self) -> None:
        await self._tail("mirror", "the way back is not armed: a rollback would lose writes")

    async def _fenced(self, side: Side) -> bool | None:
        try:
            async with asyncio.timeout(5):
                return (await self._world.servers.fence(side, on=True).probe()).known is Known.DONE
        except Exception:
            return None

    async def _forward(self, step: Step) -> str:
        """Empty when done; else why, after a second try: there is no way but forward."""
        why = ""
        for _ in range(2):
            try:
                await self._runner.step(step)
            except JournalError as err:
                why = err.brief
                await self._without_record(step)
            except Exception as err:
                why = in_words(err)
            else:
                return ""
        return why

    async def _without_record(self, step: Step) -> None:
        """The step's actions are applied although the disk takes no record: past the return a pause must not stay for a disk's sake."""
        for doing in step.doings:
            try:
                async with asyncio.timeout(self._scenario.steps[step.id].deadline):
                    await self._around.lease.hold()
                    await doing.action.apply()
            except Exception:
                return

    async def _target_still_fenced(self) -> bool:
        return await self._fenced(self.direction.target) is True

    async def _tail(self, step: str, what: str) -> None:
        try:
            seen = await self._runner.step(self._steps[step])
        except Exception as err:
            self._alarm(step, f"{what}: {in_words(err)}", remedy_of(err))
            return
        missing = [name for evidence in seen.values() for name in _listed(evidence.get("not_routed"))]
        if missing:
            self._alarm(step, f"{what}: {', '.join(missing[:5])}", "they are fenced out of the old side; restart them")

    async def _keep_flowing(self) -> None:
        await keep_flowing(self._world, self._recorder, self._runner.action, self._opened)

    # --- ends ------------------------------------------------------------------------------------

    def _alarm(self, name: str, what: str, remedy: str) -> None:
        self._recorder.try_record(ev.AlarmRaised(name, what, remedy=remedy))

    def _settled(self) -> None:
        """The guardian has been told that nothing is in the air."""
        self._around.stage(Stage.SETTLED, self.direction)

    def _go_on_proving(self) -> None:
        try:
            self._around.quiet(False)
        except Exception as err:
            self._alarm("reconciliation", f"it did not go on after the window: {in_words(err)}", remedy_of(err))

    def _close(self, outcome: Outcome, serving: Side, why: str) -> Outcome:
        """On record; one that touched nothing leaves an earlier one that is half way as it was."""
        seconds = round(asyncio.get_running_loop().time() - self._opened, 4)
        handover = self._recorder.state.handover
        downtime = handover.downtime_s if handover else None
        self._recorder.try_record(ev.HandoverClosed(self._number, outcome, seconds, serving, why, downtime))
        left = self._recorder.state.half_way
        if outcome is not Outcome.STUCK and left is None:
            self._clear_settled(settles=handover is not None and (handover.touched or handover.past_return))
        if outcome is Outcome.ABORTED and left is not None:
            why = f"{left.direction} {left.number} is half way still ({self.direction} {self._number}: {why})"
        self._recorder.try_record(ev.ModeChanged(Mode.STUCK if outcome is Outcome.STUCK or left is not None else Mode.READY, why))
        return outcome

    def _clear_settled(self, *, settles: bool) -> None:
        """What an earlier handover left open is settled by one that ended whole; by one that touched nothing it is not."""
        for alarm in self._recorder.state.alarms:
            settled = alarm.id in {"resume", CONTRADICTED} or alarm.id.startswith("open: ")
            if settles and alarm.mono < self._started and settled:
                self._recorder.try_record(ev.AlarmCleared(alarm.id))

    def _mode(self, mode: Mode) -> None:
        self._recorder.record(ev.ModeChanged(mode))


def _unproven(evidence: ev.Evidence) -> str:
    """The tables that a proof did not reach, in words."""
    tables = _listed(evidence.get("unproven"))
    more = f" and {len(tables) - 5} more" if len(tables) > 5 else ""
    return f"{', '.join(tables[:5])}{more}" if tables else "what the proof inside the window did not reach"


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
