"""The two rows at the bottom: messages and keys, or a question and its answer. They are always there, so nothing moves.

A question that changes the world has an answer that no habit gives: the pair's name and Enter, or `Y` after `B`. Enter alone never
fires; pasted text never answers; every question expires. A typed answer is not heard right after its question appeared (`TYPING_GUARD_S`,
`GUARD_S`); `Y` is at once, for the way back is meant to be quick and no key but its own stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rich.cells import cell_len

from cockpit.model.intents import Ask, to_close, to_type
from cockpit.model.text import plain
from cockpit.model.words import Direction, Mode, Outcome
from cockpit.screen import foot, tour
from cockpit.screen.cells import Line, apart, crop, fit
from cockpit.screen.look import Status
from cockpit.screen.view import View

GUARD_S = 0.3
"""Enter right after a question appeared was meant for something else."""
TYPING_GUARD_S = 0.1
"""So was a letter; a person who reads the question first is later than this."""
BACK_S = 10.0
MESSAGE_S = 8.0
TEXT_LIMIT = 500


class Kind(StrEnum):
    IDLE = "idle"
    BACK = "back"
    ABORT = "abort"
    SECOND = "second"
    GO = "go"
    CLOSE = "close"
    RESUME = "resume"
    LEAVE = "leave"
    NOTE = "note"
    ANNOUNCE = "announce"
    FILTER = "filter"
    PALETTE = "palette"
    TOUR = "tour"


TYPED = (Kind.GO, Kind.CLOSE, Kind.RESUME)
_ASKS = {Kind.GO: Ask.GO, Kind.CLOSE: Ask.CLOSE, Kind.RESUME: Ask.RESUME}
SURE = (Kind.BACK, Kind.ABORT)
_OPENS = {Kind.BACK: "B", Kind.ABORT: "A"}
FREE = (Kind.NOTE, Kind.ANNOUNCE, Kind.FILTER, Kind.PALETTE)
_SAYS = {Kind.NOTE: Ask.NOTE, Kind.ANNOUNCE: Ask.ANNOUNCE}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a key decided: an intent, or leaving (`end`: and ending the drill), or only that the key is used up."""

    ask: Ask | None = None
    argument: str = ""
    leave: bool = False
    end: bool = False


USED = Decision()
Ended = tuple[int, Outcome | None]
"""A handover's number and how it ended; 0 while there was none."""


def ended(view: View) -> Ended:
    """How the newest handover stands."""
    handover = view.state.handover
    return (handover.number, handover.outcome) if handover else (0, None)


@dataclass(slots=True)
class Prompt:
    """The state of the two rows. Times are seconds of the view's clock."""

    kind: Kind = Kind.IDLE
    text: str = ""
    since: float = 0.0
    page: int = 0
    """Of the tour."""
    sent: bool = False
    message: tuple[Status, str] | None = None
    message_until: float = field(default=0.0)
    taken: Ended | None = None
    """How the newest handover stood when what the message calls taken was asked; None where it speaks of no handover."""

    def open(self, kind: Kind, now: float, text: str = "") -> None:
        """`kind` is asked from now on."""
        self.kind, self.text, self.since, self.sent, self.page = kind, text, now, False, 0

    def shut(self) -> None:
        self.kind, self.text, self.sent = Kind.IDLE, "", False

    def say(self, status: Status, text: str, now: float) -> None:
        """`text` is in the prompt row for a while."""
        self.message, self.message_until, self.taken = (status, plain(text)), now + MESSAGE_S, None

    def say_taken(self, text: str, before: Ended, now: float) -> None:
        """`text`, until the handover that it began, or ended, has come to grief: then that is said instead."""
        self.say(Status.OK, text, now)
        self.taken = before

    def _give_way(self, view: View) -> None:
        handover = view.state.handover
        if self.taken is None or handover is None or ended(view) == self.taken:
            return
        if handover.outcome is Outcome.STUCK:
            self.message = self.taken = None
        elif handover.outcome is Outcome.ABORTED:
            name = f"{handover.direction.value} {handover.number}"
            self.say(Status.WARN, f"{name} ABORTED: {handover.why or 'the timeline says why'}", view.clock)

    def follow(self, view: View) -> None:
        """The prompt fits the run: an armed handover is asked about, one that is no longer armed is not; questions expire."""
        armed = view.state.mode is Mode.ARMED and not view.watch
        waits = armed and view.awaits_second
        if (self.kind is Kind.GO and not armed) or (self.kind is Kind.SECOND and not waits):
            self.shut()
        if waits and self.kind is Kind.IDLE:
            self.open(Kind.SECOND, view.clock)
        if armed and not waits and self.kind in (Kind.IDLE, Kind.TOUR, *FREE):
            self.open(Kind.GO, view.clock)
            self.message = None
        if self.kind in SURE and view.clock - self.since > BACK_S:
            what = "back to blue" if self.kind is Kind.BACK else "abort"
            self.shut()
            self.say(Status.SKIP, f"{what}: not confirmed in time, nothing was done", view.clock)
        self._give_way(view)
        if self.message and view.clock > self.message_until:
            self.message = None

    def answered(self, ok: bool, reason: str, now: float) -> None:
        """The pilot replied; a refusal is shown and the answer can be given again."""
        self.sent, self.text = False, "" if self.kind in TYPED else self.text
        if not ok:
            self.say(Status.WARN, f"REFUSED: {reason}", now)
        elif self.kind in (Kind.CLOSE, Kind.RESUME):
            self.shut()

    def pasted(self, text: str, now: float) -> None:
        """Pasted text goes into free text only; it never confirms anything."""
        if self.kind in FREE:
            self.text = plain(self.text + text[:TEXT_LIMIT], TEXT_LIMIT)
        elif self.kind in TYPED:
            self.say(Status.WARN, "PASTING DOES NOT CONFIRM: type the name", now)
        else:
            self.say(Status.SKIP, "pasted text is ignored", now)

    def key(self, key: str, character: str | None, view: View) -> Decision | None:
        """What the key decided; None when it is none of the prompt's business."""
        match self.kind:
            case Kind.IDLE | Kind.SECOND:
                return None
            case Kind.BACK | Kind.ABORT:
                return self._key_sure(key, view)
            case Kind.LEAVE:
                return self._key_leave(key)
            case Kind.TOUR:
                return self._key_tour(key)
            case Kind.GO | Kind.CLOSE | Kind.RESUME:
                return self._key_typed(key, character, view)
            case _:
                return self._key_free(key, character)

    def _key_sure(self, key: str, view: View) -> Decision | None:
        """`Y` does it; `y`, and the question's own key again, leave it standing; any other key stays, and does nothing else."""
        if key == "y" or key == _OPENS[self.kind]:
            self.text = key
            return USED
        ask = Ask.BACK if self.kind is Kind.BACK else Ask.ABORT
        self.shut()
        if key == "Y":
            return Decision(ask)
        again = "" if key == "escape" else "; press the key again for what it does"
        self.say(Status.SKIP, f"stayed: nothing was done{again}", view.clock)
        return USED

    def _key_leave(self, key: str) -> Decision:
        if key == "Y":
            return Decision(leave=True, end=True)
        if key == "d":
            return Decision(leave=True)
        if key in ("escape", "n", "q", "ctrl+c"):
            self.shut()
        return USED

    def _key_tour(self, key: str) -> Decision | None:
        turns = {"enter": 1, "backspace": -1}
        if key not in turns and key != "escape":
            return None
        self.page = max(self.page + turns.get(key, len(tour.PAGES)), 0)
        if self.page >= len(tour.PAGES):
            self.shut()
        return USED

    def _key_typed(self, key: str, character: str | None, view: View) -> Decision | None:
        if key == "escape":
            going = self.kind is Kind.GO
            self.shut()
            return Decision(Ask.DISARM) if going else USED
        if key == "enter":
            return self._enter(view)
        if view.clock - self.since < TYPING_GUARD_S or self.sent:
            return USED if character or key == "backspace" else None
        return self._edit(key, character, len(self._wanted(view)) + 16, {"A", "B", "D"} - {view.state.pair[:1]})

    def _wanted(self, view: View) -> str:
        """What is to be typed."""
        return to_close(view.state) if self.kind is Kind.CLOSE else to_type(view.state)

    def _enter(self, view: View) -> Decision:
        left = view.armed_left_s
        if view.clock - self.since < GUARD_S or self.sent:
            return USED
        if self.kind is Kind.GO and left is not None and left <= 0:
            self.say(Status.WARN, "EXPIRED: arm again", view.clock)
        elif self.text != (wanted := self._wanted(view)):
            said = f"{self.text} is not it: type {wanted}" if self.text else f"enter alone does nothing: type {wanted}"
            self.say(Status.WARN, said, view.clock)
            self.text = ""
        else:
            self.sent = True
            return Decision(_ASKS[self.kind], self.text)
        return USED

    def _key_free(self, key: str, character: str | None) -> Decision | None:
        if key == "escape":
            self.shut()
            return USED
        if key == "enter" and self.kind in _SAYS:
            ask, text = _SAYS[self.kind], self.text.strip()
            self.shut()
            return Decision(ask, text) if text else USED
        if key == "enter" and self.kind is Kind.FILTER:
            self.kind = Kind.IDLE
            return USED
        return self._edit(key, character, TEXT_LIMIT, set())

    def _edit(self, key: str, character: str | None, limit: int, verbs: set[str]) -> Decision | None:
        if key == "backspace":
            self.text = self.text[:-1]
        elif key == "ctrl+u":
            self.text = ""
        elif character and character.isprintable():
            if not self.text and character in verbs:
                return None
            self.text = (self.text + character)[:limit]
        else:
            return None
        return USED

    def lines(self, view: View, pane: str, width: int) -> tuple[Line, Line]:
        """The two rows, each at most `width` cells."""
        match self.kind:
            case Kind.BACK:
                rows = foot.back_title(view), self._sure_row(view, width)
            case Kind.ABORT:
                rows = foot.abort_title(view), self._sure_row(view, width)
            case Kind.SECOND:
                rows = (self._said() or foot.second_row(view, width), foot.second_keys(view, width))
            case Kind.GO:
                rows = self._go_rows(view, width)
            case Kind.CLOSE:
                rows = (self._said() or foot.close_title(view), self._field_row(to_close(view.state), "enter=CLOSE  esc=stay", width))
            case Kind.RESUME:
                rows = (self._said() or foot.resume_title(view), self._field_row(to_type(view.state), "enter=GO ON  esc=stay", width))
            case Kind.LEAVE:
                rows = ((("end the drill?", "title"), ("  the rig goes with it", "text")),
                        (("Y", "key"), (" ends it and cleans up   ", "text"), ("d", "key"), (" leaves it running   ", "text"), ("esc", "key"), (" stays", "text")))  # fmt: skip
            case Kind.TOUR:
                rows = (self._said() or tour.lines(self.page, width)[0], tour.lines(self.page, width)[1])
            case Kind.IDLE:
                rows = (
                    self._said() or (foot.replay_row(view.replay, width) if view.replay else foot.idle_row(view, width)),
                    foot.key_bar(view, pane, width),
                )
            case _:
                rows = self._free_rows(pane, width)
        first, second = rows
        return crop(((" ", "text"), *first), width), crop(((" ", "text"), *second), width)

    def _said(self) -> Line:
        if self.message is None:
            return ()
        status, text = self.message
        return ((f"{status.symbol} {text}", status.value),)

    def _go_rows(self, view: View, width: int) -> tuple[Line, Line]:
        handover = view.state.handover
        name = f"{view.direction.value} {handover.number if handover else ''}"
        route = f"{view.direction.origin.value.upper()} → {view.direction.target.value.upper()}"
        undo = "undo: B, then Y" if view.direction is Direction.CUTOVER else "undo: another cutover"
        approved = f"   approved by {view.approval.by}" if view.approval and view.approval.by else ""
        if handover is not None and handover.ungraceful:
            return self._said() or foot.bill_row(handover.bill, width), self._field_row(to_type(view.state), foot.left_to_fly(view), width)
        title: Line = (("! ARMED ", "warn"), (f"{name}  {route}  on ", "text"), (view.state.pair, "title"), (f"   {undo}{approved}", "dim"))
        hint = foot.left_to_fly(view)
        if view.direction is Direction.ROLLBACK and width >= 80:
            hint = f"or B, Y   {hint}"
        return self._said() or title, self._field_row(view.state.pair, hint, width)

    def _field_row(self, name: str, hint: str, width: int) -> Line:
        if self.sent:
            return (("▸ sent, waiting for the pilot", "run"),)
        wrong = not name.startswith(self.text)
        typed = self.text[-24:]
        box = fit(typed + "_", max(len(name) + 2, min(cell_len(typed) + 1, 25)))
        left: Line = ((f"type {name}: ", "key"), (box, "input"))
        if wrong:
            left = (*left, (f"  ✗ NOT {name}", "bad"))
        return apart(left, foot.room_for(hint.split("   "), left, width - 1), width - 1)

    def _sure_row(self, view: View, width: int) -> Line:
        left = max(BACK_S - (view.clock - self.since), 0.0)
        keys: Line = (("Y", "key"), (" = do it now   ", "text"), ("esc", "key"), (" = stay", "text"))
        if self.text == "y":
            keys = (("Y is a capital letter", "warn"), ("   ", "text"), *keys)
        return apart(keys, foot.room_for((f"{left:.0f} s left ",), keys, width - 1), width - 1)

    def _free_rows(self, pane: str, width: int) -> tuple[Line, Line]:
        titles = {
            Kind.NOTE: ("a note into the timeline", "enter=write  esc=cancel"),
            Kind.ANNOUNCE: ("when the cutover begins: 02:00, 2026-11-23 02:00, in 45 min, or none", "enter=announce  esc=cancel"),
            Kind.FILTER: (f"find in {pane.upper()}", "enter=keep  esc=clear"),
            Kind.PALETTE: ("every command: type to find, enter does it", "enter=do  esc=close"),
        }
        title, hint = titles[self.kind]
        room = max(width - len(hint) - 5, 8)
        return self._said() or ((title, "title"),), apart(
            (("> ", "key"), (fit(self.text[-(room - 3) :] + "_", room - 2), "input")), ((hint + " ", "text"),), width - 1
        )
