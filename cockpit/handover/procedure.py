"""The handover, in order. One procedure, two directions: `origin` is the side that serves, `target` the side that will.

Read `steps` from top to bottom: it is the whole of it. `home.go_home` is what any failure before the point of no return converges to.
The order and its reasons: the target is fenced while nobody goes there; channels are steered to it while writes still flow, so that a
slow cloud is no downtime; writes are stalled before the fence of the origin, so that no app sees an error; the fence LSN is taken when
no app transaction can commit any more; a canary written after that proves that everything before it was applied; the target is
unfenced only when every route leads to it, and the poolers resume last, so that no session is opened under a fence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cockpit.handover.actions import CaughtUp, ChangedVerified, EveryAppSeen, Hold, PausedTogether, Together, unheld
from cockpit.handover.ports import Action, World
from cockpit.handover.serving import FenceOfTheIdle
from cockpit.model.settings import PairSpec, Scenario
from cockpit.model.words import Direction


@dataclass(frozen=True, slots=True)
class Do:
    """One action as a step does it."""

    action: Action
    find: bool = False
    """Probe first; what is found done is not applied."""
    see: bool = True
    """Probe after: the step believes the world, not the call. False where `apply` itself ends with the seeing, as inside the window
    every action's does: there a second look would cost a round trip of downtime and show the same."""


@dataclass(frozen=True, slots=True)
class Step:
    id: str
    title: str
    doings: tuple[Do, ...] = ()
    undone_by: str = ""
    in_window: bool = False


IDS = (
    "arm",
    "gates",
    "confirm",
    "steer",
    "pause",
    "fence",
    "quiesce",
    "drain",
    "verify",
    "sequences",
    "reverse",
    "route",
    "resume",
    "mirror",
    "prove",
)
CATCH_UP_S = 1.0
"""Seconds of proving right before the window."""
PROVE_S = 5.0
"""Seconds in which apps are expected back: so long the landing waits, and no rollback can take off; who comes later clears the alarm."""
WINDOW = IDS[IDS.index("pause") : IDS.index("resume") + 1]


def steps(world: World, spec: PairSpec, scenario: Scenario, direction: Direction, hold: Hold = unheld) -> tuple[Step, ...]:
    """Every step of the handover, in order. `hold` is asked again by what goes on for longer than one request."""
    makers: tuple[Callable[[World, PairSpec, Scenario, Direction], Step], ...] = (
        _arm,
        _gates,
        _confirm,
        _steer,
        partial(_pause, hold),
        _fence,
        _quiesce,
        _drain,
        _verify,
        _sequences,
        _reverse,
        _route,
        _resume,
        _mirror,
        _prove,
    )
    return tuple(make(world, spec, scenario, direction) for make in makers)


def _arm(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    servers, origin, target = world.servers, direction.origin, direction.target
    doings = (
        Do(servers.install(origin), find=True),
        Do(servers.install(target), find=True),
        Do(FenceOfTheIdle(world, spec, target), find=True),
        Do(servers.replicate(origin, target, copy=direction is Direction.CUTOVER), find=True, see=False),
        Do(servers.replicate(target, origin, copy=False), find=True, see=False),
        Do(servers.canary(origin, target), see=False),
        Do(servers.canary(target, origin), see=False),
        *(Do(channel.stage(), find=True) for channel in world.channels),
    )
    title = f"arm: {target} fenced, replication both ways, canaries seen"
    return Step("arm", title, doings, undone_by="disarm: what was armed may stay, the service does not notice it")


def _gates(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    return Step("gates", "every gate holds", undone_by="stop")


def _confirm(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    confirmation = scenario.cutover_confirmation if direction is Direction.CUTOVER else scenario.rollback_confirmation
    return Step("confirm", "a second person approves, the lead confirms" if confirmation.second else "the lead confirms", undone_by="stop")


def _steer(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    """Slow and fallible things before writes stall: a cloud's answer of 100 ms must not be downtime, nor its refusal an abort inside it.

    It is safe so early: the target is fenced, so an app that already follows its channel waits there as it would inside the window."""
    routes = tuple(channel.route(direction.target) for channel in world.channels)
    doings = (
        *((Do(Together(f"route every channel to {direction.target}", routes), see=False),) if routes else ()),
        Do(CaughtUp(world.reconciler, CATCH_UP_S), see=False),
    )
    return Step("steer", f"channels lead to {direction.target}; the last proofs before the window", doings, "route back")


def _pause(hold: Hold, world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    together = PausedTogether(world.servers, tuple(world.poolers), direction.origin, scenario.tuning, hold)
    doings = (Do(together, see=False),) if world.poolers else ()
    return Step("pause", "pause every pooler: writes stall", doings, "resume", in_window=True)


def _fence(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    doing = Do(world.servers.fence(direction.origin, on=True), see=False)
    return Step("fence", f"fence {direction.origin} for every app", (doing,), "unfence, resume", in_window=True)


def _quiesce(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    doing = Do(world.servers.quiesce(direction.origin), see=False)
    return Step("quiesce", f"no app transaction left on {direction.origin}", (doing,), "unfence, resume", in_window=True)


def _drain(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    doing = Do(world.servers.drain(direction.origin, direction.target), see=False)
    return Step("drain", f"{direction.target} has applied everything", (doing,), "unfence, resume", in_window=True)


def _verify(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    """A cutover is proven or does not happen. A rollback is for bad days: what its proof did not reach is recorded, and the drain's canary
    has shown that every write arrived; a difference that was seen ends either."""
    tuning = scenario.tuning
    required = tuning.verify_required and direction is Direction.CUTOVER
    changed = ChangedVerified(world.reconciler, direction.origin, direction.target, tuning.verify_box, required)
    return Step("verify", "what changed is proven equal", (Do(changed, see=False),), "unfence, resume", in_window=True)


def _sequences(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    doing = Do(world.servers.sequences(direction.origin, direction.target), see=False)
    return Step("sequences", f"sequences on {direction.target} go on", (doing,), "unfence, resume", in_window=True)


def _reverse(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    doing = Do(world.servers.replicate(direction.target, direction.origin, copy=False), find=True)
    title = f"the way back is armed: {direction.target} to {direction.origin}"
    return Step("reverse", title, (doing,), "unfence, resume", in_window=True)


def _route(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    routes = tuple(pooler.route(direction.target) for pooler in world.poolers)
    doings = (Do(Together(f"route every pooler to {direction.target}", routes), see=False),) if routes else ()
    return Step("route", f"every pooler leads to {direction.target}", doings, "route back, unfence, resume", in_window=True)


def _resume(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    resume = tuple(pooler.resume() for pooler in world.poolers)
    doings = (
        Do(world.servers.fence(direction.target, on=False), see=False),
        *((Do(Together("resume every pooler", resume)),) if resume else ()),
    )
    return Step("resume", f"{direction.target} takes writes: point of no return", doings, "a rollback", in_window=True)


def _mirror(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    doing = Do(world.servers.canary(direction.target, direction.origin), see=False)
    return Step("mirror", f"{direction.origin} mirrors {direction.target}", (doing,), "a rollback")


def _prove(world: World, spec: PairSpec, scenario: Scenario, direction: Direction) -> Step:
    doing = Do(EveryAppSeen(world.servers, spec, direction.origin, direction.target, PROVE_S), see=False)
    return Step("prove", f"every app seen on {direction.target}", (doing,), "a rollback")
