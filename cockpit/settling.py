"""`cockpit resume`, `abort` and `rollback`: what a lead says to a run without a screen.

A run that a crash left is taken up first, and what was found is told: what is done, what is not, what nobody can know, which side serves.
Nothing is touched before the pair's name was typed. The run is flown on after `resume`; `abort` and `rollback` close it.
"""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from cockpit import left
from cockpit.asked import typed_meanwhile
from cockpit.drill.lead import Lead
from cockpit.errors import CockpitError, Refused, StepError, StepTimeout
from cockpit.model import events as ev
from cockpit.model.bill import Bill, by_table
from cockpit.model.bill import in_words as bill_words
from cockpit.model.intents import Ask, goes_on, refusal, to_type, too_late
from cockpit.model.state import RunState, StepView, replay
from cockpit.model.text import plain
from cockpit.model.words import Direction, Known, Mode, Outcome, Side, StepState
from cockpit.places import runs_folder
from cockpit.timeline.folder import RunFolder, last_words, said
from cockpit.timeline.journal import is_flown, read
from cockpit.timeline.room import check_room

SEEN_S = 20.0
"""Seconds for which a pilot is waited for until it has looked; it stays up when that takes longer."""
TABLES = 20
"""How many tables of a bill are told; `cockpit bill` has them all."""
SETTLED_S = 900.0
"""Longer than a downtime budget and a way home, and the gates before a rollback."""
_RESTING = frozenset({Mode.READY, Mode.STUCK, Mode.CLOSED})
_WORDS = {Known.DONE: "is so", Known.PENDING: "is not so", Known.UNKNOWN: "not known"}


class Wish(StrEnum):
    """What the lead wants of the run."""

    RESUME = "resume"
    ABORT = "abort"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Settled:
    """How it ended. `found` is what was seen of each step before anything was done: `is so`, `is not so`, `not known`."""

    run: str
    wish: str
    outcome: str
    serving: str
    exit_code: int
    found: dict[str, str]
    open_ends: tuple[str, ...] = ()


async def settle(
    folder: RunFolder, wish: Wish, confirm: str | None, tell: Callable[[str], None], *, interactive: bool, ungraceful: bool = False
) -> Settled:
    """The wish is fulfilled, or `CockpitError` says why not. `tell` hears one line for each thing that happens."""
    before = replay(read(folder.timeline).trusted(str(folder.timeline)).events)
    started = None if is_flown(folder.timeline) else left.take_up(folder)
    if started is not None:
        tell(f"nobody flies {folder.name}: it is taken up again, and nothing is touched before you have confirmed")
    lead = Lead(folder)
    try:
        state = await _seen(lead, folder, wish, started, before.owner)
        for line in told(state):
            tell(line)
        if ungraceful:
            return await _forced(lead, folder, confirm, tell, interactive=interactive)
        _check(state, wish, folder)
        if wish is Wish.ROLLBACK:
            tell(_way_back(state))
        wanted = to_type(state) if _ask_of(state, wish) is Ask.RESUME else state.pair
        await confirmed(wanted, wish, state.run, confirm, tell, interactive=interactive)
        return await _done(lead, wish, found_of(state), tell)
    finally:
        await lead.leave()


async def _seen(lead: Lead, folder: RunFolder, wish: Wish, started: subprocess.Popen[bytes] | None, owner: str) -> RunState:
    """What the pilot sees, once it has looked. `owner`: who flew before, where another was `started`. `StepTimeout` where it looks for longer
    than `SEEN_S`: it stays up, and what was said can be said again; `CockpitError` where it has left."""

    def looked(state: RunState) -> bool:
        if started is not None and started.poll() is not None:
            raise StepError("it could not be taken up", where=folder.name)
        return state.mode is not Mode.OPENING and (started is None or state.owner != owner)

    try:
        state = await lead.until(looked, SEEN_S, "a pilot that has looked")
    except StepTimeout as err:
        again = f"`cockpit {wish} {said(folder, runs_folder())}`"
        raise StepTimeout(err.what, where=folder.name, remedy=f"its pilot stays up and looks on: say {again} again") from None
    except CockpitError as err:
        check_room(folder)  # where it is full, the last words are nowhere
        raise StepError(err.what, where=folder.name, remedy=last_words(folder) or err.remedy) from None
    await lead.meet()
    return state


def told(state: RunState) -> Iterator[str]:
    """The truth of a run, a line each: who serves, what the witnesses saw, what each step of a handover left half way shows."""
    handover = state.handover
    yield f"run {state.run}, pair {state.pair}: {state.mode}{': ' + state.mode_why if state.mode_why else ''}"
    yield f"{state.serving or 'nobody known'} serves"
    for what, seen in _witnesses(state):
        yield f"  {what}: {plain(str(seen), 200)}"
    if handover is None or not handover.half_way:
        return
    without = f", without what {handover.direction.target} has not," if handover.ungraceful else ""
    yield f"{handover.direction} {handover.number}{without} was left half way:"
    for step in handover.steps:
        yield f"  {step.id:<10} {_timeline_word(step):<12} {_WORDS[step.found] if step.found else ''}".rstrip()


def _witnesses(state: RunState) -> Iterator[tuple[str, object]]:
    seen = next((event.fact for event in reversed(state.tail) if isinstance(event.fact, ev.SidesSeen)), None)
    yield from (seen.evidence.items() if seen else ())


def _timeline_word(step: StepView) -> str:
    if step.detail == "cut off":
        return "was cut off"
    return {StepState.WAITING: "not begun", StepState.DONE: "was done", StepState.FAILED: "failed", StepState.RUNNING: "runs"}[step.state]


def found_of(state: RunState) -> dict[str, str]:
    """By step, what a look at the world said."""
    steps = state.handover.steps if state.handover else ()
    return {step.id: _WORDS[step.found] for step in steps if step.found is not None}


def _ask_of(state: RunState, wish: Wish) -> Ask | None:
    """What to ask first; None where the run is as wished already."""
    half_way = state.handover is not None and state.handover.half_way and state.mode is Mode.STUCK
    match wish:
        case Wish.RESUME:
            return Ask.RESUME if half_way and state.handover and state.handover.outcome is None else Ask.ABORT if half_way else None
        case Wish.ABORT:
            return None if state.mode is Mode.READY else Ask.ABORT
        case Wish.ROLLBACK:
            return _back(state, half_way=half_way)


def _back(state: RunState, *, half_way: bool) -> Ask | None:
    """A rollback that is half way goes on while it may; whatever else is half way is settled first."""
    if half_way:
        late = too_late(state, state.downtime_budget_s, asyncio.get_running_loop().time())
        return Ask.RESUME if goes_on(state) and not late else Ask.ABORT
    return None if state.serving is Side.BLUE else Ask.BACK


def _way_back(state: RunState) -> str:
    """What a rollback comes to, as the run stands."""
    left, ask = state.half_way, _ask_of(state, Wish.ROLLBACK)
    if left is None or state.mode is not Mode.STUCK:
        return "blue serves already" if ask is None else "it is a rollback from here"
    name = f"{left.direction} {left.number} is half way"
    if ask is Ask.RESUME:
        return f"{name}: it is gone on with, and no other is opened"
    before = left.direction is Direction.CUTOVER and state.serving is Side.BLUE
    return f"{name}: " + ("it is aborted, blue serves on" if before else "it is settled first, then a rollback flies where green serves")


def _check(state: RunState, wish: Wish, folder: RunFolder) -> None:
    """`Refused` where the wish does not fit what was seen."""
    ask = _ask_of(state, wish)
    if wish is Wish.ABORT and state.mode is Mode.READY and state.serving is Side.GREEN:
        raise Refused("nothing is in the air, green serves", where=folder.name, remedy="`cockpit rollback` goes back to blue")
    past = state.handover is not None and state.handover.past_return and state.handover.half_way
    if wish is Wish.ABORT and past:
        raise Refused("past the point of no return", where=folder.name, remedy="`cockpit resume` settles it, `cockpit rollback` goes back")
    why = refusal(state, ask, to_type(state) if ask is Ask.RESUME else state.pair) if ask is not None else ""
    if why:
        raise Refused(why, where=folder.name)


async def confirmed(wanted: str, what: str, run: str, confirm: str | None, tell: Callable[[str], None], *, interactive: bool) -> None:
    """The wanted words were said; `Refused` where they were not, or where no more can be said."""
    if confirm is None and interactive:
        tell(f"type {wanted} to {what}, anything else leaves it as it is:")
        confirm = await _typed()
    if confirm is None:
        raise Refused(
            f"{what} needs your word", where=run, remedy=f"say --confirm {shlex.quote(wanted)}; the run stays as it is until then"
        )
    if confirm != wanted:
        raise Refused(f"{plain(confirm, 40)!r} is not {wanted}: nothing was done", where=run)


async def _typed() -> str:
    """What is typed, while the run is followed on; nothing where the terminal ends or what is typed is no text."""
    try:
        return (await typed_meanwhile()).strip()
    except (EOFError, UnicodeDecodeError):
        return ""


async def _forced(lead: Lead, folder: RunFolder, confirm: str | None, tell: Callable[[str], None], *, interactive: bool) -> Settled:
    """An ungraceful rollback: armed, its bill told, confirmed by its phrase, flown; the run is closed. Not confirmed, it is disarmed."""
    why = refusal(lead.state, Ask.FORCE)
    if why:
        raise Refused(why, where=folder.name)
    saw = lead.state.seq
    await lead.ask(Ask.FORCE)
    state = await lead.until(lambda s: s.mode is Mode.ARMED or _ended_since(s, saw), SETTLED_S, "the bill")
    handover = state.handover
    if state.mode is not Mode.ARMED or handover is None or handover.bill is None:
        raise StepError(state.past[-1].why if state.past else "not armed", where=folder.name)
    for line in bill_lines(handover.bill):
        tell(line)
    try:
        await confirmed(to_type(state), "go back without it", state.run, confirm, tell, interactive=interactive)
    except (Refused, asyncio.CancelledError):
        if lead.state.mode is Mode.ARMED:  # it expires by itself too
            await lead.ask(Ask.DISARM)
        raise
    await lead.ask(Ask.GO, to_type(state))
    await lead.until(lambda s: s.mode in _RESTING and _ended_since(s, saw), SETTLED_S, "the end of the rollback")
    unfenced = [alarm for alarm in lead.state.alarms if alarm.id.startswith("open: fence")]
    for alarm in unfenced:
        tell(f"{alarm.what}: {alarm.remedy}, so its pilot flies on")
    if lead.state.mode is Mode.READY and not unfenced:
        await lead.close_run()
    return _settled(lead.state, Wish.ROLLBACK, {}, tell)


def bill_lines(bill: Bill) -> Iterator[str]:
    """The bill, a line each: what it comes to, then by table."""
    yield f"{bill.origin} has, and {bill.target} has not: {bill_words(bill)}"
    for table, changes in by_table(bill)[:TABLES]:
        yield f"  {changes:>8}  {table}"
    more = len(by_table(bill)) - TABLES
    if more > 0:
        yield f"  and {more} more tables"


async def _done(lead: Lead, wish: Wish, found: dict[str, str], tell: Callable[[str], None]) -> Settled:
    ask = _ask_of(lead.state, wish)
    if ask is not None:
        state = await _asked(lead, ask, tell)
        if ask is Ask.ABORT and wish is Wish.ROLLBACK and state.mode is Mode.READY and state.serving is Side.GREEN:
            state = await _asked(lead, Ask.BACK, tell)
    if wish is not Wish.RESUME and lead.state.mode is Mode.READY and lead.state.at_large is None:
        await lead.close_run()
    return _settled(lead.state, wish, found, tell)


async def _asked(lead: Lead, ask: Ask, tell: Callable[[str], None]) -> RunState:
    """The state once what was asked has ended."""
    saw = lead.state.seq
    await lead.ask(ask, to_type(lead.state) if ask is Ask.RESUME else "")
    state = await lead.until(lambda s: s.mode in _RESTING and _ended_since(s, saw), SETTLED_S, f"the end of {ask}")
    handover = state.handover
    if handover is not None:
        tell(f"{handover.direction} {handover.number}: {handover.outcome or 'open'}{': ' + handover.why if handover.why else ''}")
    return state


def _ended_since(state: RunState, saw: int) -> bool:
    ends = (ev.HandoverClosed, ev.RunClosed)
    return any(event.seq > saw and isinstance(event.fact, ends) for event in state.tail)


def _settled(state: RunState, wish: Wish, found: dict[str, str], tell: Callable[[str], None]) -> Settled:
    ends = tuple(alarm.what for alarm in state.alarms)
    if state.mode is Mode.CLOSED:
        tell(f"run {state.run}: {state.outcome}, {state.serving or 'nobody'} serves")
        return Settled(state.run, wish, state.outcome, str(state.serving or ""), state.exit_code or 0, found, ends)
    last = state.handover.outcome if state.handover else None
    code = 1 if state.mode is Mode.STUCK else 4 if last is Outcome.ABORTED and found else 0
    tell(f"run {state.run} is flown on, {state.serving or 'nobody'} serves: `cockpit join` opens it")
    return Settled(state.run, wish, str(last or "flown"), str(state.serving or ""), code, found, ends)
