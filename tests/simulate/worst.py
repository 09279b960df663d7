"""The worst day: green serves, something befalls it, and the lead goes back without what blue has not. A script of its own beside `story`.

It has a die of its own, so that the stories of the other seeds stay what they are. What befalls green comes when the lead reaches for the
rollback (`lead.worst`, `lead.force`); what strikes the flight is counted from there.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from cockpit.model.words import Side
from tests.simulate import troubles as tr
from tests.simulate.disk import Ache, Fail, Moment
from tests.simulate.moves import Move
from tests.simulate.standstill import drawn
from tests.simulate.troubles import FOR_EVER, Triggers, Trouble, When

if TYPE_CHECKING:
    from tests.simulate.scene import Scene

SHARE = 0.18
"""Of all seeds."""
WORST, FORCE = "lead.worst", "lead.force"
"""What the lead does, in the words of a call: troubles wait for it."""
FLIGHT = (
    "servers.bill*", "servers.heard*", "probe fence green on", "apply route channel*", "apply pause*", "apply cut*", "apply fence green on",
    "apply quiesce green", "apply part*", "apply sequences of*", "apply route pooler*", "apply fence blue off", "apply resume*",
    "apply keep no log*", "apply replicate*", "apply fence green off", "servers.census blue",
)  # fmt: skip
"""The calls of an ungraceful rollback, in order, and of its ways out."""
LATE = ("apply pause*", "apply resume*", "apply quiesce*", "apply part*", "apply keep no log*", "apply replicate*")
KINDS = ("error", "error", "lost", "hang", "hang-after", "delay", "partial", "late")
WAYS = ("force",) * 8 + ("force-abort", "force-abort", "force-wrong", "force-late")


def worst_day(seed: int, poolers: int) -> tuple[tuple[Move, ...], tuple[Trouble, ...]] | None:
    """What the lead does and what befalls him; None where this seed's day is another."""
    dice = Random(f"worst {seed}")
    if dice.random() >= SHARE:
        return None
    moves = [Move("fly"), Move("soak", dice.uniform(0.5, 4.0)), Move("worst", dice.choice((0.0, 0.5, 3.0))), _forced(dice)]
    if dice.random() < 0.4:
        moves.append(_forced(dice))
    count = dice.choice((0, 0, 1, 1, 1, 2, 3))
    struck = [_strike(dice, poolers) for _ in range(count)]
    return (*moves, Move("soak", dice.choice((0.0, 2.0, 15.0))), Move("close")), (*_green(dice), *struck)


def _forced(dice: Random) -> Move:
    what = dice.choice(WAYS)
    wait = dice.choice((0.0, 0.0003, 0.001, 0.003, 0.01, 0.1, 2.0)) if what == "force-abort" else dice.choice((0.1, 1.0, 5.0))
    return Move(what, wait)


def _green(dice: Random) -> tuple[Trouble, ...]:
    """Dead, dead with a mirror that had stood still, out of our reach alone, not drained, or well."""
    dead = dice.choice((FOR_EVER, FOR_EVER, 1.5, 3.0, 8.0, 12.0, 30.0, 90.0))
    cut = dice.choice((FOR_EVER, 3.0, 20.0, 60.0))
    stood = Trouble("replication from green stands still for ever", When(WORST), tr.stalled(Side.GREEN, FOR_EVER))
    down = Trouble(f"green is down {_while(dead)}", When(FORCE), tr.server_down(Side.GREEN, dead))
    unreachable = Trouble(f"the cockpit cannot reach green {_while(cut)}", When(FORCE), tr.link_cut(Side.GREEN, cut))
    kinds = (((down,), 5), ((stood, down), 4), ((unreachable,), 3), ((stood, unreachable), 1), ((stood,), 4), ((), 2))
    return dice.choice([troubles for troubles, weight in kinds for _ in range(weight)])


def _while(seconds: float) -> str:
    return "for ever" if seconds == FOR_EVER else f"for {seconds:g} s"


def _strike(dice: Random, poolers: int) -> Trouble:
    makers = [_call] * 8 + [_gone] * 6 + [_still] * 2 + [_frozen] * 2 + [_disk] * 2 + [_comes_back] * 3 + [_blue] + [_by_hand]
    makers += [_pooler] * 2 if poolers else []
    inner = dice.choice(makers)(dice, poolers)
    return Trouble(f"from the force on, {inner}", When(FORCE), from_then(inner))


def from_then(trouble: Trouble) -> Callable[[Scene], None]:
    """Its calls are counted from now on."""

    def act(scene: Scene) -> None:
        scene.memory.faults.heard.append(Triggers(scene, (trouble,)).hear)

    return act


def _when(dice: Random) -> When:
    return When(dice.choice(FLIGHT), dice.choice((1, 1, 1, 2)), dice.choice((0.0, 0.0, 0.0, 0.0002, 0.001, 0.05, 0.5)))


def _call(dice: Random, poolers: int) -> Trouble:
    kind = dice.choice(KINDS)
    on = dice.choice(LATE if kind == "late" else FLIGHT)
    error = dice.choice(("", "", "refused", "foreign", "os")) if kind == "error" else ""
    seconds = dice.choice((0.002, 0.4, 4.0)) if kind in {"late", "delay"} else dice.choice((1.0, 20.0)) if kind.startswith("hang") else 0.0
    times = dice.choice((1, 1, 2, 4))
    said = f"call of {on!r}: {kind} {error} {seconds:g} s, {times} times"
    return Trouble(said, When("*"), tr.call_fails(on, kind, 1, times, seconds, error))


def _gone(dice: Random, poolers: int) -> Trouble:
    number, moment = dice.randint(1, 75), dice.choice(tuple(Moment))
    at_record = (f"the pilot is killed at its record {number} from there, {moment}", killed_at_record_from_here(number, moment))
    by_call = (
        ("the pilot is killed", tr.pilot_killed), ("the guardian is killed", tr.guardian_killed), ("both are killed", tr.both_killed),
        ("the cockpit's machine loses its power", tr.power_cut),
    )  # fmt: skip
    if dice.random() < 0.5:
        return Trouble(at_record[0], When("*"), at_record[1])
    said, act = dice.choice(by_call)
    return Trouble(said, _when(dice), act)


def killed_at_record_from_here(number: int, moment: Moment) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        disk = scene.here.disk
        disk.kills["pilot", disk.records.get("pilot", 0) + number, moment] = scene.here.kill_pilot

    return act


def _frozen(dice: Random, poolers: int) -> Trouble:
    seconds = dice.choice((0.5, 2.0, 10.0, FOR_EVER))
    return Trouble(f"the pilot is frozen {_while(seconds)}", _when(dice), tr.pilot_frozen(seconds))


def _still(dice: Random, poolers: int) -> Trouble:
    return drawn(dice, _when(dice))


def _disk(dice: Random, poolers: int) -> Trouble:
    ache = Ache(dice.choice((Fail.FULL, Fail.BROKEN, Fail.SHORT, Fail.NO_SYNC)), dice.randint(1, 60))
    return Trouble(f"{ache.fail} from the record after {ache.nth} more on", When("*"), tr.disk_aches(ache))


def _comes_back(dice: Random, poolers: int) -> Trouble:
    return Trouble("green comes back", _when(dice), comes_back)


def comes_back(scene: Scene) -> None:
    """Started by somebody, in the middle of it."""
    tr.recovered(scene, Side.GREEN)


def _blue(dice: Random, poolers: int) -> Trouble:
    seconds = dice.choice((0.3, 3.0, 30.0))
    return Trouble(f"blue is down {_while(seconds)}", _when(dice), tr.server_down(Side.BLUE, seconds))


def _pooler(dice: Random, poolers: int) -> Trouble:
    number, seconds = dice.randrange(poolers), dice.choice((0.0, 0.0, 3.0, 30.0))
    said = f"pooler-{number + 1} is down {_while(seconds)}" if seconds else f"pooler-{number + 1} is restarted"
    return Trouble(said, _when(dice), tr.pooler_down(number, seconds))


def _by_hand(dice: Random, poolers: int) -> Trouble:
    made = {
        "somebody drops the slot of green": tr.slot_dropped(Side.GREEN),
        "somebody disables the subscription to green": tr.subscription_disabled(Side.GREEN),
        "somebody removes the fence of green": tr.fence_removed(Side.GREEN),
        "somebody removes the fence of blue": tr.fence_removed(Side.BLUE),
    }
    said = dice.choice(tuple(made))
    return Trouble(said, _when(dice), made[said])
