"""What a person types, line by line, and what it means: the same actions, questions and refusals as on the screen, from the same tables.

A command is its word (`arm`, `back`, `status`) or the screen's key for it (`a`, `B`). What changes the world is asked about first and answered
by what no habit gives: the pair's name, or `Y`. An answer that comes with the question, as pasted lines do, is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cockpit.model.announced import HOW
from cockpit.model.intents import Ask, to_close, to_type
from cockpit.model.text import plain
from cockpit.model.words import Mode
from cockpit.screen.actions import ACTIONS, BY_ID, Action
from cockpit.screen.cells import text_of
from cockpit.screen.prompt import GUARD_S, SURE, TYPED, Decision, Kind, Prompt
from cockpit.screen.view import View
from cockpit.spoken import standing
from cockpit.spoken.sentences import whole

WIDE = 2000
"""Cells: what the screen crops is told whole."""

LOOKS: Mapping[str, tuple[str, Callable[[View], list[str]]]] = {
    "status": ("how the run stands, in a few sentences", standing.status),
    "gates": ("which gates pass, and why the others do not", standing.gates),
    "lag": ("how far the other side is behind", standing.lag),
    "recon": ("what is proven equal, and what is not", standing.recon),
    "route": ("where each app goes", standing.route),
    "steps": ("the steps of the handover, planned and done", standing.steps),
    "attention": ("everything that asks for you", standing.attention),
}
_OURS = {"help": ("every command", "?"), "leave": ("leave; the pilot flies on", "q")}
_FLIES = tuple(action for action in ACTIONS if action.ask is not None and action.id != "go")
_KEYS = {action.shown.split(",")[0]: action.id for action in _FLIES} | {"?": "help", "q": "leave", "!": "attention"}

_WORDY = {"note": "A note needs words: note TEXT.", "announce": f"An announcement needs a time: {HOW}."}
"""Commands that are nothing without words."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What a line came to: something to send or to leave by, and sentences to say."""

    said: tuple[str, ...] = ()
    decision: Decision | None = None


class Typed:
    """The questions that are open and the lines that answer them. `acts`: whether this person may change anything."""

    def __init__(self, *, acts: bool, drill: bool) -> None:
        self._acts, self._drill = acts, drill
        self._prompt = Prompt()
        self._asked = Kind.IDLE
        """The question that was said last."""

    def follow(self, view: View) -> list[str]:
        """Questions open, expire and close with the run; what is new of them, in sentences."""
        self._prompt.follow(view)
        told = self._message()
        if self._prompt.kind is not self._asked:
            self._asked = self._prompt.kind
            told += self._question(view)
        return told

    def line(self, text: str, view: View) -> Meant:
        """What the line means now."""
        text = plain(text.strip(), 500)
        kind = self._prompt.kind
        if kind in SURE or kind is Kind.LEAVE:
            return self._answered(text, view)
        if kind in TYPED and (text == self._wanted(view) or self._command(text) is None):
            return self._named(text, view)
        if not text:
            return Meant()
        return self._do(text, view)

    def replied(self, ask: Ask, ok: bool, reason: str, view: View) -> list[str]:
        """What the pilot answered."""
        self._prompt.answered(ok, reason, view.clock)
        told = self._message()
        if ok and (reason or ask not in {Ask.ARM, Ask.GO}):
            told.append(whole(f"{ask.value}: {reason or 'taken'}"))
        return told + self.follow(view)

    # --- questions -----------------------------------------------------------------------------------------

    def _question(self, view: View) -> list[str]:
        """The open question with everything that is known of it, and what answers it."""
        match self._prompt.kind:
            case Kind.IDLE:
                return []
            case Kind.LEAVE:
                return ["End the drill? Type Y to end it and clean up, d to leave it running, anything else to stay."]
            case Kind.GO | Kind.CLOSE | Kind.RESUME:
                out = {Kind.GO: "'disarm' lets it be"}.get(self._prompt.kind, "any command lets it be")
                return [*standing.bill(view), *self._title(view), f"Type '{self._wanted(view)}' to do it; {out}."]
            case Kind.SECOND:
                return self._title(view)
            case _:
                return [*self._title(view), "Type Y to do it, anything else to stay."]

    def _title(self, view: View) -> list[str]:
        first, _ = self._prompt.lines(view, "lag", WIDE)
        return [whole(text_of(first).replace("→", "to").strip().lstrip("!✗▸·✓? "))]

    def _answered(self, text: str, view: View) -> Meant:
        if text == "Y" and view.clock - self._prompt.since < GUARD_S:
            return Meant(("That came with the question: read it, then type Y.",))
        answer = text if text in {"Y", "d"} else "escape"
        decision = self._prompt.key(answer, answer, view)
        return self._after(decision, view)

    def _named(self, text: str, view: View) -> Meant:
        self._prompt.text = text
        early = bool(text) and view.clock - self._prompt.since < GUARD_S
        decision = self._prompt.key("enter", None, view)
        if early:
            self._prompt.text = ""
            return Meant(("That came with the question: read it, then type the name.",))
        return self._after(decision, view)

    def _wanted(self, view: View) -> str:
        return to_close(view.state) if self._prompt.kind is Kind.CLOSE else to_type(view.state)

    def _after(self, decision: Decision | None, view: View) -> Meant:
        said = tuple(self.follow(view))
        acts = decision is not None and (decision.ask is not None or decision.leave)
        return Meant(said, decision if acts else None)

    def _message(self) -> list[str]:
        if self._prompt.message is None:
            return []
        _, text = self._prompt.message
        self._prompt.message = None
        return [whole(text)]

    # --- commands ------------------------------------------------------------------------------------------

    def _command(self, text: str) -> str | None:
        word = text.split(" ", 1)[0] if text else ""
        name = _KEYS.get(word, word)
        known = name in LOOKS or name in _OURS or any(action.id == name for action in _FLIES)
        return name if known and (name in _WORDY or " " not in text) else None

    def _do(self, text: str, view: View) -> Meant:
        name = self._command(text)
        if name is None:
            return Meant((whole(f"'{text}' is no command: help lists them"),))
        if self._prompt.kind in (Kind.CLOSE, Kind.RESUME):
            self._prompt.shut()
            self._asked = Kind.IDLE
        if name in LOOKS:
            return Meant(tuple(LOOKS[name][1](view)))
        if name == "help":
            return Meant(tuple(self._help(view)))
        if name == "leave":
            return self._leave(view)
        return self._act(BY_ID[name], text.partition(" ")[2], view)

    def _act(self, action: Action, words: str, view: View) -> Meant:
        refused = action.refused(view, "lag")
        if refused:
            return Meant((whole(f"{action.id}: {refused}"),))
        if action.id in _WORDY and not words.strip():
            return Meant((_WORDY[action.id],))
        if action.id in ("back", "abort", "close", "resume"):
            self._prompt.open(Kind(action.id), view.clock)
            return self._after(None, view)
        assert action.ask is not None
        return Meant((), Decision(action.ask, words.strip() if action.id in _WORDY else action.argument))

    def _leave(self, view: View) -> Meant:
        if self._drill and view.state.mode is not Mode.CLOSED and self._acts:
            self._prompt.open(Kind.LEAVE, view.clock)
            return self._after(None, view)
        return Meant((), Decision(leave=True))

    def _help(self, view: View) -> list[str]:
        told = [f"{name}: {what}." for name, (what, _) in LOOKS.items()]
        for action in _FLIES if self._acts else ():
            why = action.refused(view, "lag") if action.id not in _WORDY else ""
            told.append(whole(f"{action.id}, or {action.shown.split(',')[0]}: {action.label}{f' (not now: {why})' if why else ''}"))
        return told + [f"{name}, or {key}: {what}." for name, (what, key) in _OURS.items()]
