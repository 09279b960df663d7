"""A round: one run, one handover, one fault, and after it, with the apps at rest, the oracles.

Nothing acknowledged is lost or there twice; never two sides took writes; the side serves that must, and is open; the other is fenced
once it was armed; nothing is paused, every route leads to the serving side, every app writes; both sides hold the same rows; the
timeline verifies.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cockpit import wiring
from cockpit.drill import evidence, harm
from cockpit.drill.crew import end_guardian, launch_guardian
from cockpit.drill.environment import PAIR
from cockpit.drill.faults import READY, Fault
from cockpit.drill.lead import Lead
from cockpit.drill.ledger import Ack
from cockpit.drill.privileges import until_ended
from cockpit.drill.rig import Rig
from cockpit.drill.scorecard import duplicated, lost, overlap_ms
from cockpit.drill.striker import Due, Striker, Struck
from cockpit.errors import CockpitError
from cockpit.handover import leaving
from cockpit.handover.gates import GATES
from cockpit.handover.plan import gates_of
from cockpit.model.intents import Ask
from cockpit.model.settings import Endpoint
from cockpit.model.state import RunState, replay
from cockpit.model.text import plain
from cockpit.model.words import Direction, Light, Mode, Side
from cockpit.scenario import load_scenario
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import read

SEEN_S = 2.0
"""Seconds within which what others do must be seen."""
GUARDIAN_S = 10.0
"""Seconds from a dead cockpit to a side that serves."""
BUDGET_S = 300.0
STALL_S = 0.5
ROUND_S = 420.0
EQUAL_S = 30.0
CLOSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one fault came to."""

    fault: str
    direction: str
    where: str
    """Where the handover was when it was struck."""
    handled: str
    safe_s: float | None
    """From the strike until writes flowed again for good; for what others do, until it was seen."""
    wrong: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return "pass" if not self.wrong else "FAIL"


@dataclass(slots=True)
class Flying:
    """A round in the air."""

    rig: Rig
    folder: RunFolder
    fault: Fault
    due: Due
    program: tuple[str, ...] = (wiring.PROGRAM,)
    """What the run's processes are started by."""
    wrong: list[str] = field(default_factory=list)
    state: RunState = field(default_factory=RunState)
    direction: Direction = Direction.CUTOVER
    opened: float = 0.0
    stuck: bool = False

    async def fly(self) -> Round:
        """The round is over, the rig's run closed, the oracles asked."""
        self.opened = asyncio.get_running_loop().time()
        assert self.rig.site is not None
        guardian = launch_guardian(self.rig.claim, self.folder, self.program)
        striker = Striker(self.rig.site, self.rig.claim, self.folder, guardian.pid, self.fault, self.due)
        lead = Lead(self.folder)
        try:
            async with asyncio.timeout(ROUND_S):
                await lead.ready()
                self.direction = lead.next_direction
                handled, safe = await (self._watched(lead, striker) if self.fault.at == READY else self._struck(lead, striker))
                await self._close(lead)
                if not await until_ended(guardian, 60):
                    self.wrong.append("the run's processes did not leave")
        except (CockpitError, TimeoutError) as err:
            handled, safe = f"{plain(err, 160) or 'no end'}", None
            self.wrong.append("the round did not come to its end")
        finally:
            await striker.undo()
            await lead.leave()
            await end_guardian(guardian)
            harm.send(lead.state.owner_pid if lead.state.mode is not Mode.CLOSED else 0, signal.SIGKILL)
        self.wrong += [striker.failure] if striker.failure else []
        found = await self._judged(striker)
        where = striker.struck.where if striker.struck else "never struck"
        if striker.struck is None:
            self.wrong.append("the fault never struck")
        return Round(self.fault.name, self.direction, where, handled, safe if safe is not None else found, tuple(self.wrong))

    # --- what is flown ----------------------------------------------------------------------

    async def _struck(self, lead: Lead, striker: Striker) -> tuple[str, float | None]:
        """One handover, struck on its way, and whatever it takes until the run has come down."""
        striking = asyncio.create_task(striker.run())
        try:
            await self._hand_over(lead)
        finally:
            if striker.struck is None:
                striking.cancel()
            with suppress(asyncio.CancelledError):
                await striking
            await striker.undo()
        if lead.state.mode is Mode.STUCK:
            self.stuck = True
            await lead.ask(Ask.ABORT)
            await lead.until(lambda s: s.mode in {Mode.READY, Mode.CLOSED}, 120, "a settled handover")
        return f"{'stuck, then ' if self.stuck else ''}{handled(lead.state, striker.struck)}", None

    async def _hand_over(self, lead: Lead) -> None:
        def over(state: RunState) -> bool:
            return state.mode is Mode.CLOSED or (len(state.past) > 0 and state.mode in {Mode.READY, Mode.STUCK})

        if self.direction is Direction.CUTOVER:
            await lead.ask(Ask.ARM)
            state = await lead.until(lambda s: s.mode is Mode.ARMED or over(s), 240, "an armed handover")
            if state.mode is Mode.ARMED:
                with suppress(CockpitError):
                    # A pilot that is struck right here cannot answer; what it did is in its timeline.
                    await lead.ask(Ask.GO, state.pair)
        else:
            await lead.ask(Ask.BACK)
        await lead.until(over, 400, "the handover's end")

    async def _watched(self, lead: Lead, striker: Striker) -> tuple[str, float | None]:
        """Nothing is in the air; somebody does something, and the gates have two seconds to close."""
        gates = [g for g in self.fault.seen_by if g in {spec.id for spec in gates_of(load_scenario(PAIR), self.direction)}]
        if any(_light(lead.state, gate) is not Light.PASS for gate in gates):
            # The first arming of all fences the other side; what was armed stays.
            await lead.ask(Ask.ARM)
            await lead.until(lambda s: s.mode is Mode.ARMED, 240, "an armed handover")
            await lead.ask(Ask.DISARM)
            await lead.until(lambda s: s.mode is Mode.READY, 60, "a disarmed handover")
        await lead.until(lambda s: all(_light(s, g) is Light.PASS for g in gates), 60, f"open gates {', '.join(gates)}")
        await striker.run()
        assert striker.struck is not None
        seen = await lead.until(lambda s: named(s, self.fault) is not None, 15, "a closed gate")
        gate, mono, reason, query = named(seen, self.fault) or ("", 0.0, "", "")
        took = mono - striker.struck.mono
        if took > SEEN_S:
            self.wrong.append(f"seen after {took:.1f} s, {SEEN_S:g} s allowed")
        if not reason or (not query and gate in GATES):
            self.wrong.append(f"{gate} does not say {'why' if not reason else 'which query shows it'}")
        await striker.undo()
        return f"{gate}: {reason}", took

    async def _close(self, lead: Lead) -> None:
        try:
            await lead.close_run()
        except CockpitError:
            # A pilot that was told to end is ending by itself.
            await lead.until(lambda s: s.mode is Mode.CLOSED, CLOSE_S, "the run's end")

    # --- oracles ----------------------------------------------------------------------------

    async def _judged(self, striker: Striker) -> float | None:
        """How long writes did not flow after the strike; everything that is not as it must be is in `wrong`."""
        reading = read(self.folder.timeline)
        self.state = replay(reading.events)
        if not reading.intact:
            self.wrong.append(f"the timeline does not verify: {reading.damage}")
        serving = self._serving()
        await self._world_is_whole(serving)
        try:
            await self.rig.control.rest()
            acks = await self._rows(serving)
        except CockpitError as err:
            self.wrong.append(plain(err, 200))
            return None
        finally:
            with suppress(CockpitError):
                await self.rig.control.go_on()
        return self._flowed(acks, striker)

    def _serving(self) -> Side:
        """The side that must serve by law: where the return was not passed, the one it started from."""
        last = self.state.past[-1] if self.state.past else self.state.handover
        home = self.direction.origin
        must = home if last is None or not last.past_return or self.state.serving is home else self.direction.target
        if self.state.serving is not must:
            self.wrong.append(f"the timeline says {self.state.serving} serves, {must} must")
        return must

    async def _world_is_whole(self, serving: Side) -> None:
        """The serving side is open, the other shut once it was armed, every pooler flows to the serving side."""
        world = wiring.read_order(self.rig.config, PAIR, None).world()
        try:
            await world.servers.open()
            await asyncio.gather(*(p.open() for p in world.poolers), *(c.open() for c in world.channels))
            checks = {f"{serving} is not open": world.servers.fence(serving, on=False)}
            if self.state.past and any(s.id == "arm" and s.ms is not None for s in self.state.past[-1].steps):
                checks[f"{serving.other} is not fenced"] = world.servers.fence(serving.other, on=True)
            for pooler in world.poolers:
                checks[f"{pooler.name} is paused"] = pooler.resume()
                checks[f"{pooler.name} does not lead to {serving}"] = pooler.route(serving)
            self.wrong += [why for why, action in checks.items() if not (await action.probe()).done]
            led = {channel.name: await channel.intended() for channel in world.channels}
            self.wrong += [f"{name} leads to {side}" for name, side in led.items() if side is not serving]
        except CockpitError as err:
            self.wrong.append(f"the world cannot be seen: {plain(err, 160)}")
        finally:
            await leaving.close(world)

    async def _rows(self, serving: Side) -> list[Ack]:
        """Both sides are compared; the acknowledgements of the round."""
        site = self.rig.site
        assert site is not None
        servers = {Side.BLUE: site.blue.superuser, Side.GREEN: site.green.superuser}
        if not self.fault.spoils:
            self.wrong += await _differing(servers[serving], servers[serving.other])
        written = await evidence.written(servers[serving])
        kept = await asyncio.to_thread(evidence.acknowledged, self.rig.folder, site.apps)
        acks = [ack for each in kept.values() for ack in each]
        mine = [ack for ack in acks if ack.acked >= self.opened]
        overlap = overlap_ms(mine, self.direction.origin)
        counts = (("writes lost", lost(acks, written)), ("writes doubled", duplicated(acks, written)), ("ms with two sides", overlap))
        self.wrong += [f"{count:g} {what}" for what, count in counts if count]
        return mine

    def _flowed(self, acks: Sequence[Ack], striker: Striker) -> float | None:
        """From the strike until the last write that was held up was answered."""
        if striker.struck is None:
            return None
        safe = flowed_s(acks, striker.struck.mono)
        if safe is None:
            self.wrong.append("nobody wrote afterwards")
            return None
        limit = GUARDIAN_S if self.state.owner_role == "guardian" else BUDGET_S
        if safe > limit:
            self.wrong.append(f"writes flowed after {safe:.1f} s, {limit:g} s allowed")
        return safe


def _light(state: RunState, gate: str) -> Light:
    return next((g.light for g in state.gates if g.id == gate), Light.UNKNOWN)


def handled(state: RunState, struck: Struck | None) -> str:
    """How the handover that was struck ended, by whom, and why."""
    number = struck.handover if struck else None
    last = next((view for view in state.past if view.number == number), state.past[-1] if state.past else None)
    how, why = (str(last.outcome), last.why) if last else (state.outcome, "")
    return f"{how}{' by the guardian' if state.owner_role == 'guardian' else ''}{f': {why}' if why else ''}"


def named(state: RunState, fault: Fault) -> tuple[str, float, str, str] | None:
    """The gate or alarm that names what others did: its name, when it turned, why, and the query."""
    shown = [(g.id, g.since_mono, g.reason, g.query) for g in state.gates if g.light is not Light.PASS]
    shown += [(a.id, a.mono, a.what, a.query) for a in state.alarms]
    return next((each for each in shown if each[0] in fault.seen_by), None)


def flowed_s(acks: Sequence[Ack], struck: float) -> float | None:
    """Seconds from the strike until the last write that was held up was answered; None when nobody wrote afterwards."""
    late = [ack.acked for ack in acks if ack.acked >= struck and ack.acked - ack.due > STALL_S]
    first = min((ack.acked for ack in acks if ack.due >= struck), default=None)
    return None if first is None else max(late, default=first) - struck


async def _differing(serving: Endpoint, other: Endpoint) -> list[str]:
    """Empty when both sides hold the same rows, as soon as the mirror has caught up."""
    loop = asyncio.get_running_loop()
    end = loop.time() + EQUAL_S
    while True:
        await evidence.caught_up(serving)
        here, there = await asyncio.gather(evidence.sums(serving), evidence.sums(other))
        different = evidence.differing(here, there)
        if not different:
            return []
        if loop.time() > end:
            return [f"the sides differ in {', '.join(different[:3])}"]
        await asyncio.sleep(0.2)
