"""What a seed draws: a world, what a lead does in it, and up to four troubles. Nothing here runs anything."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from cockpit.model.words import Side
from cockpit.systems.memory.apps import AppPlan
from cockpit.systems.memory.world import HARDCODED
from tests.simulate import troubles as tr
from tests.simulate.disk import Ache, Fail, Moment
from tests.simulate.moves import Move
from tests.simulate.standstill import drawn
from tests.simulate.troubles import FOR_EVER, Trouble, When
from tests.simulate.worst import worst_day

__all__ = ["Move", "Story", "draw"]

WINDOW = (
    "apply route channel*", "reconciler.catch_up", "apply pause*", "apply fence * on", "apply quiesce*", "apply drain*",
    "reconciler.verify_changed", "apply sequences*", "probe replicate*", "apply route pooler*", "apply fence * off", "apply resume*",
    "probe resume*", "apply canary*",
)  # fmt: skip
"""The calls of a window, in order."""
AROUND = (
    "servers.open*", "servers.lock", "servers.versions", "servers.preflight", "servers.census*", "servers.server*", "servers.lag*", "servers.beat*",
    "servers.shape", "apply install*", "apply replicate*", "apply stage*", "probe fence*", "reconciler.open", "reconciler.samples", "*.sample",
    "*.intended", "*.preflight", "*.open", "*", "apply *", "probe *",
)  # fmt: skip
LATE = ("apply pause*", "apply resume*", "apply quiesce*", "apply sequences*", "apply replicate*", "apply canary*", "apply drain*")
"""What may take effect after its caller gave up. Not a fence: its script first takes the lock that the next fence's script waits for.
Not a route: a pooler's file is replaced at once, the late RELOAD reads what it says then; a channel's late change fails its compare."""
KINDS = ("error", "error", "lost", "lost", "hang", "hang-after", "delay", "partial", "late")
MOVES = ("fly", "fly", "fly", "fly", "back", "back", "expire", "disarm", "abort", "abort", "wrong", "note", "duty", "recheck", "soak")


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that a seed decides."""

    seed: int
    poolers: int
    channels: int
    delay_s: float
    apps: tuple[AppPlan, ...]
    moves: tuple[Move, ...]
    troubles: tuple[Trouble, ...]
    again: bool
    """Whether the lead takes a stuck handover up again."""

    def __str__(self) -> str:
        apps = ", ".join(f"{a.name} on {a.channel} {a.rate:.1f}/s" + (f" long {a.long_s:g} s" if a.long_every else "") for a in self.apps)
        world = f"{self.poolers} poolers, {self.channels} channels, replication {self.delay_s:g} s late; {apps}"
        lines = [f"seed {self.seed}: {world}", f"lead: {', '.join(map(str, self.moves))}"]
        return "\n".join([*lines, *(f"trouble: {trouble}" for trouble in self.troubles)])


def draw(seed: int) -> Story:
    """The story of a seed."""
    dice = Random(f"story {seed}")
    poolers = dice.choice((0, 1, 1, 2, 3))
    channels = dice.choice((0, 1, 1, 2, 3)) if poolers else dice.choice((1, 2))
    apps = _apps(dice, poolers, channels)
    moves = (*(_move(dice) for _ in range(dice.choice((1, 2, 2, 3)))), Move("close"))
    if dice.random() < 0.5:
        moves = (Move("fly"), *moves[1:])
    count = dice.choice((0, 1, 1, 1, 2, 2, 3, 4))
    found = tuple(_trouble(dice, poolers, channels) for _ in range(count))
    moves, found = worst_day(seed, poolers) or (moves, found)
    return Story(seed, poolers, channels, dice.choice((0.002, 0.005, 0.05, 0.3)), apps, moves, found, dice.random() < 0.7)


def _apps(dice: Random, poolers: int, channels: int) -> tuple[AppPlan, ...]:
    paths = [f"pooler-{n + 1}" for n in range(poolers)] + [f"channel-{n + 1}" for n in range(channels)]
    apps = [_app(dice, n, paths[n % len(paths)]) for n in range(dice.randint(1, 5))]
    if dice.random() < 0.05:
        apps.append(AppPlan("bypass", HARDCODED, rate=2.0, retry_s=1.0))
    return tuple(apps)


def _app(dice: Random, number: int, path: str) -> AppPlan:
    long_every, long_s = dice.choice(((0, 0.0), (0, 0.0), (0, 0.0), (0, 0.0), (5, 0.5), (9, 2.5), (20, 40.0)))
    return AppPlan(
        f"app-{number + 1:02d}", path, rate=dice.choice((1.0, 2.0, 4.0)), xact_s=dice.choice((0.0005, 0.002, 0.02)),
        ack_s=dice.choice((0.0005, 0.001, 0.01)), long_every=long_every, long_s=long_s, retry_s=dice.choice((0.05, 0.3)),
    )  # fmt: skip


def _move(dice: Random) -> Move:
    what = dice.choice(MOVES)
    if what == "abort":
        return Move("abort", dice.choice((0.0, 0.0003, 0.001, 0.003, 0.006, 0.01, 0.03, 0.1)) * dice.uniform(0.5, 1.5))
    if what == "soak":
        return Move("soak", dice.uniform(0.1, 5.0))
    return Move(what, dice.choice((0.0, 0.1, 0.5)))


def _when(dice: Random) -> When:
    delay = dice.choice((0.0, 0.0, 0.0, 0.0002, 0.0005, 0.001, 0.005, 0.05, 0.5))
    if dice.random() < 0.7:
        return When(dice.choice(WINDOW), dice.choice((1, 1, 1, 2, 3)), delay)
    if dice.random() < 0.5:
        return When(dice.choice(AROUND), dice.choice((1, 2, 5, 20)), delay)
    return When("", 1, dice.uniform(0.0, 15.0))


def _trouble(dice: Random, poolers: int, channels: int) -> Trouble:
    makers = [_call] * 10 + [_server] * 3 + [_process] * 5 + [_machine] * 2 + [_disk] * 2 + [_clock] + [_hand] * 4
    makers += [_pooler] * 2 if poolers else []
    makers += [_channel] * 2 if channels else []
    return dice.choice(makers)(dice, poolers, channels)


def _seconds(dice: Random) -> float:
    return dice.choice((0.01, 0.3, 1.0, 3.0, 8.0, 30.0, 90.0, FOR_EVER))


def _while(seconds: float) -> str:
    return "for ever" if seconds == FOR_EVER else f"for {seconds:g} s"


def _call(dice: Random, poolers: int, channels: int) -> Trouble:
    kind = dice.choice(KINDS)
    on = dice.choice(LATE) if kind == "late" else dice.choice(WINDOW if dice.random() < 0.75 else AROUND)
    error = dice.choice(("", "", "refused", "foreign", "os")) if kind == "error" else ""
    nth, times = dice.choice((1, 1, 2, 3)), dice.choice((1, 1, 1, 2, 4))
    seconds = dice.choice((0.002, 0.05, 0.4, 2.0, 4.0)) if kind in {"late", "delay"} else 0.0
    if kind.startswith("hang"):  # more would be an outage, which has a trouble of its own
        seconds, times = dice.choice((1.0, tr.OWN_S, 60.0)), min(times, 2)
    said = (
        f"call {nth} of {on!r}: {kind} {error}".rstrip()
        + (f" {seconds:g} s" if seconds else "")
        + (f", {times} times" if times > 1 else "")
    )
    return Trouble(said, When("", 1, dice.choice((0.0, 0.0, 3.0, 8.0))), tr.call_fails(on, kind, nth, times, seconds, error))


def _server(dice: Random, poolers: int, channels: int) -> Trouble:
    side, seconds = dice.choice(tuple(Side)), _seconds(dice)
    what = dice.choice(("down", "cut", "stall"))
    act = {"down": tr.server_down, "cut": tr.link_cut, "stall": tr.stalled}[what](side, seconds)
    said = {"down": f"{side} is down", "cut": f"the cockpit cannot reach {side}", "stall": f"replication from {side} stands still"}[what]
    return Trouble(f"{said} {_while(seconds)}", _when(dice), act)


def _pooler(dice: Random, poolers: int, channels: int) -> Trouble:
    number, seconds = dice.randrange(poolers), dice.choice((0.0, 0.0, _seconds(dice)))
    name = f"pooler-{number + 1}"
    if dice.random() < 0.3 and seconds:
        return Trouble(f"{name} hangs {_while(seconds)}", _when(dice), tr.silent(name, "hang", seconds))
    said = f"{name} is restarted" if not seconds else f"{name} is down {_while(seconds)}"
    return Trouble(said, _when(dice), tr.pooler_down(number, seconds))


def _channel(dice: Random, poolers: int, channels: int) -> Trouble:
    number, seconds = dice.randrange(channels), _seconds(dice)
    name = f"channel-{number + 1}"
    if dice.random() < 0.25:
        side = dice.choice(tuple(Side))
        return Trouble(f"somebody sets {name} to {side}", _when(dice), tr.channel_changed(number, side))
    kind = dice.choice(("hang", "error"))
    return Trouble(f"{name}: {kind} {_while(seconds)}", _when(dice), tr.silent(name, kind, seconds))


def _process(dice: Random, poolers: int, channels: int) -> Trouble:
    roll = dice.random()
    if roll < 0.45:
        number, moment = dice.randint(1, 170), dice.choice(tuple(Moment))
        return Trouble(f"the pilot is killed at its record {number}, {moment}", When(), tr.killed_at_record(number, moment))
    if roll < 0.6:
        return Trouble("the pilot is killed", _when(dice), tr.pilot_killed)
    if roll < 0.75:
        seconds = dice.choice((0.5, 2.0, 10.0, FOR_EVER))
        return Trouble(f"the pilot is frozen {_while(seconds)}", _when(dice), tr.pilot_frozen(seconds))
    if roll < 0.83:
        return Trouble("the guardian is killed", _when(dice), tr.guardian_killed)
    if roll < 0.93:
        return Trouble("pilot and guardian are killed", _when(dice), tr.both_killed)
    return Trouble("the cockpit's machine loses its power", _when(dice), tr.power_cut)


def _machine(dice: Random, poolers: int, channels: int) -> Trouble:
    """It asks for the lock in its window once: that is drawn as often as any other call of it."""
    asks = When("servers.lock", dice.choice((2, 3, 4)), dice.choice((0.0002, 0.0003, 0.0004)))
    return drawn(dice, asks if dice.random() < 0.1 else _when(dice))


def _disk(dice: Random, poolers: int, channels: int) -> Trouble:
    ache = Ache(dice.choice(tuple(Fail)), dice.randint(1, 40), 0)
    if ache.fail is Fail.SLOW:
        ache = Ache(ache.fail, ache.nth, dice.choice((1, 5)))
    return Trouble(f"{ache.fail} from the record after {ache.nth} more on", _when(dice), tr.disk_aches(ache))


def _clock(dice: Random, poolers: int, channels: int) -> Trouble:
    seconds = dice.choice((3600.0, -3600.0, 0.5, -86400.0))
    return Trouble(f"the wall clock jumps {seconds:+g} s", _when(dice), tr.clock_moved(seconds))


def _hand(dice: Random, poolers: int, channels: int) -> Trouble:
    side = dice.choice(tuple(Side))
    seconds = dice.choice((0.5, 3.0, 30.0, FOR_EVER))
    made = {
        f"somebody drops the slot of {side}": tr.slot_dropped(side),
        f"somebody disables the subscription to {side}": tr.subscription_disabled(side),
        f"somebody removes the fence of {side}": tr.fence_removed(side),
        f"somebody changes the schema of {side}": tr.schema_changed(side),
        f"somebody moves a sequence of {side} up": tr.sequence_moved(side, 500),
        f"a transaction is prepared on {side} {_while(seconds)}": tr.prepared(side, seconds),
    }
    if poolers:
        number = dice.randrange(poolers)
        made[f"somebody resumes pooler-{number + 1}"] = tr.pooler_resumed(number)
    said = dice.choice(tuple(made))
    return Trouble(said, _when(dice), made[said])
