"""What the two rows at the bottom say: titles of questions, hints, the newest event, the key bar. Which of it is shown: `prompt`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from cockpit.model.bill import Bill, in_words
from cockpit.model.budgets import mm_ss
from cockpit.model.intents import goes_on, to_close
from cockpit.model.words import Direction, Mode, Side
from cockpit.screen.actions import ACTIONS, REPLAY, label
from cockpit.screen.cells import Line, apart, crop, joined, line_width
from cockpit.screen.figures import seconds
from cockpit.screen.story import last_line
from cockpit.screen.view import Playing, View


def room_for(hints: Sequence[str], left: Line, width: int) -> Line:
    """As many of the hints, the first ones first, as leave `left` whole; none rather than a part of it."""
    room = width - line_width(left) - 2
    while hints and cell_len("   ".join(hints)) > room:
        hints = hints[:-1]
    return (("   ".join(hints) + " ", "text"),) if hints else ()


def left_to_fly(view: View) -> str:
    left = view.armed_left_s
    return f"{left:.0f} s left   enter=FLY   esc=disarm" if left is not None else "enter=FLY   esc=disarm"


def bill_row(bill: Bill | None, width: int) -> Line:
    """What is left behind, as much of it as there is room for; the detail page of the confirm step has it by table."""
    told = in_words(bill) if bill is not None else "no bill was drawn"
    return crop((("! UNGRACEFUL: green keeps ", "warn"), (told, "title")), width - 1)


def second_row(view: View, width: int) -> Line:
    """Who is waited for, what they type, and how long they have."""
    left, approval = view.second_left_s, view.approval
    command = approval.command if approval else ""
    right = f"{_minutes(left)} left " if left is not None else " "
    return apart((("! WAITING for a second person: ", "warn"), (command, "title")), ((right, "text"),), width - 1)


def second_keys(view: View, width: int) -> Line:
    handover = view.state.handover
    route = f"{view.direction.origin.value.upper()} → {view.direction.target.value.upper()}"
    what = f"{view.direction.value} {handover.number if handover else ''}  {route}  on {view.state.pair}"
    return apart(
        ((what, "text"),),
        (("D", "key"), (" disarm   ", "text"), ("m", "key"), (" note   ", "text"), ("?", "key"), (" help ", "text")),
        width - 1,
    )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def close_title(view: View) -> Line:
    if to_close(view.state) != view.state.pair:
        return (
            ("CLOSE the run AS IT IS", "warn"),
            (f"  {len(view.state.alarms)} open: nobody settles them any more; A tries again", "text"),
        )
    return (("CLOSE the run", "warn"), (f"  {view.state.pair}: the pilot settles and leaves", "text"))


def resume_title(view: View) -> Line:
    handover = view.state.handover
    if handover is None:
        return (("GO ON?", "warn"),)
    rest = "it goes forward" if handover.past_return else "every step of the window again: found so, or made so; what fails goes home"
    name = f"{'ungraceful ' if handover.ungraceful else ''}{handover.direction.value}"
    return (("GO ON?", "warn"), (f"  {name} {handover.number}: {rest}", "text"))


def back_title(view: View) -> Line:
    ready = view.latest.readiness
    takes = f"   about {seconds(ready.seconds)}" if ready and ready.seconds is not None else ""
    takes += f", unproven: {ready.unproven}" if takes and ready and ready.unproven else ""
    in_air = view.in_air and view.direction is Direction.CUTOVER
    what = "abort the cutover, blue serves again" if in_air else "fly the rollback: green is fenced and drained, blue serves"
    if goes_on(view.state):
        what = "go on with the rollback that was left half way; what fails goes home"
    elif not in_air and ready is not None and ready.blocked_by:
        what = f"U goes WITHOUT what blue has not. As it stands: {ready.blocked_by}"
    return ("BACK TO BLUE?", "warn"), (f"  {what}{takes}", "text")


def abort_title(view: View) -> Line:
    origin = view.direction.origin.value
    forward = view.state.mode is Mode.STUCK and view.state.serving is view.direction.target
    again = "settle it again: poolers lead to where it landed and flow" if forward else f"go home again: {origin} serves on"
    what = again if view.state.mode is Mode.STUCK else f"the {view.direction.value} ends, {origin} serves on"
    return ("ABORT?", "warn"), (f"  {what}", "text")


def replay_row(playing: Playing, width: int) -> Line:
    """Where the replay stands, how fast it goes, and what was said last is above in the timeline."""
    word, role = (f"▸ REPLAY x{playing.speed:g}", "run") if playing.going else ("! REPLAY STANDS STILL", "warn")
    if playing.at >= playing.of:
        word, role = "✓ REPLAY OVER", "ok"
    at = f"  {mm_ss(max(playing.at, 0.0))} of {mm_ss(playing.of)}"
    room = max(width - len(word) - len(at) - 6, 0)
    done = round(room * min(max(playing.at / playing.of, 0.0), 1.0)) if playing.of else room
    return ((word, role), (at + "  ", "text"), ("█" * done, "run"), ("░" * (room - done), "dim"))


def idle_row(view: View, width: int) -> Line:
    """What is most worth knowing now: damage, an alarm, silence, what the pilot says, the newest event."""
    state = view.state
    if view.damage:
        return ((f"✗ THE TIMELINE CANNOT BE TRUSTED: {view.damage}", "bad"),)
    if view.silence_s:
        return ((f"? no word from the pilot for {int(view.silence_s)} s: figures are old, the guardian watches it", "stale"),)
    if view.reading:
        return (("▸ reading the run: how it stands comes in a moment", "run"),)
    if state.seq == 0:
        return (("· waiting for the pilot; q leaves", "wait"),)
    if view.awaits_second:
        return second_row(view, width)
    if state.alarms:
        return ((f"✗ {state.alarms[-1].what}", "bad"), ("   ! shows the remedy", "text"))
    if state.mode is Mode.STUCK:
        return ((f"✗ STUCK: {state.mode_why}", "bad"), *_ways_out(view))
    if state.mode is Mode.CLOSED:
        serves = f", {state.serving.value} serves" if state.serving else ""
        return ((f"run closed: {state.outcome}{serves}; q leaves", "title"),)
    if state.refusal:
        return ((f"! REFUSED: {state.refusal}", "warn"),)
    if state.mode is Mode.READY and state.serving is Side.GREEN and not state.tail:
        return ((state.mode_why, "text"),)
    if state.drill and state.mode is Mode.READY and state.handover is None and not view.watch:
        return apart(last_line(view, width - 22), ((" T", "key"), (" shows you round ", "text")), width - 1)
    return last_line(view, width - 1)


def _ways_out(view: View) -> Line:
    """The keys that fit a handover that was left half way."""
    handover = view.state.handover
    if handover is None or not handover.half_way or handover.outcome is not None:
        return ()
    return ((("   R", "key"), (" goes forward", "text")) if handover.past_return else
            (("   R", "key"), (" goes on  ", "text"), ("A", "key"), (" goes home", "text")))  # fmt: skip


def key_bar(view: View, pane: str, width: int) -> Line:
    """The keys that fit, most needed first kept; what cannot be done now is dim and without its emphasis."""
    unfit = (lambda a: a.group == REPLAY) if view.replay is None else (lambda a: a.ask is not None)
    over = view.state.mode is Mode.CLOSED
    shown = [a for a in ACTIONS if a.short and not unfit(a) and not (over and a.ask is not None)]
    while shown:
        line = joined(
            [
                _key(view, pane, a.keys[0] if len(a.shown) > 3 and a.group != REPLAY else a.shown, label(a, view), a.refused(view, pane))
                for a in shown
            ],
            "  ",
        )
        if sum(len(text) for text, _ in line) < width - 1:
            return line
        shown.remove(max(shown, key=lambda a: a.rank))
    return ()


def _key(view: View, pane: str, key: str, words: str, refused: str) -> Line:
    return ((f"{key} {words}", "dim"),) if refused else ((key, "key"), (f" {words}", "text"))


def enlarge(width: int) -> Line:
    """What stands in the prompt's place where nothing else fits."""
    return crop(((" enlarge the terminal: 80x24 shows all", "warn"),), width)
