"""What an ungraceful handover owes once it is over, flown by a pilot or ended by a guardian: the sides parted for good, the bill told and
the origin named that may not be fenced; or, where it went home, sides that follow each other again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cockpit.handover.ports import Action, World
from cockpit.handover.record import Recorder, in_words, remedy_of
from cockpit.model import bill
from cockpit.model import events as ev
from cockpit.model.bill import Bill
from cockpit.model.state import RunState
from cockpit.model.words import Direction, Known

BILL_S = 10.0
"""Seconds in which the bill is drawn once more after the landing, and each mirror made again after an abort."""

Make = Callable[[Action], Awaitable[object]]
"""Applies an action until it is seen to be so, or raises why not."""


async def mirror_again(world: World, direction: Direction, recorder: Recorder, make: Make) -> tuple[str, ...]:
    """The sides follow each other as before; empty, or what does not and why. Until then neither the way back nor the next cutover stands."""
    origin, target = direction.origin, direction.target
    missed = []
    for one, other in ((origin, target), (target, origin)):
        back = world.servers.replicate(one, other, copy=False)
        try:
            async with asyncio.timeout(BILL_S):
                await _made(back, make)
        except Exception as err:
            missed.append(f"{back.name}: {in_words(err)}")
            recorder.try_record(ev.AlarmRaised("mirror", missed[-1], remedy=remedy_of(err)))
    return tuple(missed)


async def _made(action: Action, make: Make) -> None:
    if not (await action.probe()).done:
        await make(action)


async def tell(world: World, direction: Direction, recorder: Recorder) -> tuple[str, ...]:
    """The bill as it stands, and the origin that may take writes still, are raised as alarms; what they say."""
    bill_said = await _bill(world, direction, recorder)
    return (bill_said, *await _unfenced(world, direction, recorder))


async def _bill(world: World, direction: Direction, recorder: Recorder) -> str:
    origin, target = direction.origin, direction.target
    known = _known(recorder.state)
    try:
        async with asyncio.timeout(BILL_S):
            drawn = await world.servers.bill(origin, target)
        if drawn.total is None and known is not None:  # who draws it now may never have seen the origin: what was seen of it stays
            drawn = replace(known, unkept=drawn.unkept or known.unkept)
        told = bill.in_words(drawn)
        if recorder.state.handover is not None:
            recorder.try_record(ev.BillDrawn(recorder.state.handover.number, drawn))
    except Exception as err:
        before = f"; before it was {bill.in_words(known)}" if known is not None else ""
        told = f"it could not be drawn again: {in_words(err)}{before}"
    said = f"{origin} holds what {target} has not: {told}"
    recorder.try_record(ev.AlarmRaised("bill", said, remedy=f"`cockpit bill {recorder.state.run}` exports it once {origin} answers"))
    return said


def _known(state: RunState) -> Bill | None:
    """The bill as it was drawn last, so much older by now; None where nobody knows more of it than that there is one."""
    handover = state.handover
    if handover is None or handover.bill is None or handover.bill.total is None:
        return None
    drawn = next((event.mono for event in reversed(state.tail) if isinstance(event.fact, ev.BillDrawn)), handover.opened_mono)
    age = max(asyncio.get_running_loop().time() - drawn, 0.0)
    return replace(handover.bill, seen_s=(handover.bill.seen_s or 0.0) + age, exact=False)


async def _unfenced(world: World, direction: Direction, recorder: Recorder) -> tuple[str, ...]:
    origin = direction.origin
    fence = world.servers.fence(origin, on=True)
    try:
        async with asyncio.timeout(5):
            fenced = (await fence.probe()).known is Known.DONE
    except Exception:
        fenced = False
    if fenced:
        return ()
    said = f"{origin} did not answer and may not be fenced"
    recorder.try_record(
        ev.AlarmRaised(f"open: {fence.name}", said, remedy="a pilot that flies fences it as soon as it answers; else do it by hand")
    )
    return (said,)
