"""The one table of actions: key bar, help, palette, the README's table and what a key does are all made from it.

Lower case looks, or is undone by the same key; upper case changes the world. A level says how much it takes: 0 one key;
1 one key, undone by its opposite; 2 two different keys; 3 the pair's name typed. `python -m cockpit.screen.actions` prints the README's table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cockpit.model.intents import Ask, refusal, to_close, to_type
from cockpit.model.words import Mode
from cockpit.screen.view import View

PANES = ("lag", "recon", "route", "procedure", "timeline")
LISTS = ("recon", "route", "timeline")


def _always(view: View, pane: str) -> str:
    return ""


def _asks(ask: Ask, argument: str = "") -> Callable[[View, str], str]:
    def refused(view: View, pane: str) -> str:
        if view.watch:
            return "this screen only watches"
        if view.reading and view.state.seq == 0:
            return "the run is being read: in a moment"
        if view.state.seq == 0:
            return "the pilot has not started yet"
        typed = {Ask.CLOSE: to_close(view.state), Ask.RESUME: to_type(view.state)}.get(ask, argument)
        return refusal(view.state, ask, typed)

    return refused


def _in_list(view: View, pane: str) -> str:
    return "" if pane in LISTS else "only in RECON, ROUTE and TIMELINE: press 2, 3 or 5"


def _replays(view: View, pane: str) -> str:
    return "" if view.replay is not None else "only in a replay: cockpit replay RUN"


def _sortable(view: View, pane: str) -> str:
    return "" if pane in ("recon", "route") else "only in RECON and ROUTE: press 2 or 3"


@dataclass(frozen=True, slots=True)
class Action:
    """What a person can do. `keys` are Textual's key names; `shown` is how they are printed."""

    id: str
    keys: tuple[str, ...]
    shown: str
    label: str
    level: int
    group: str
    refused: Callable[[View, str], str] = _always
    """Why it cannot be done now, in words; empty when it can."""
    ask: Ask | None = None
    argument: str = ""
    short: str = ""
    """Its words in the key bar; empty keeps it out."""
    rank: int = 9
    """The key bar drops the highest first where there is no room."""


_FLY, _LOOK, _PLAY, _SCREEN = "fly", "look", "play", "screen"

ACTIONS: tuple[Action, ...] = (
    Action("arm", ("a",), "a", "arm the next handover: test the way back, hold the gates", 1, _FLY, _asks(Ask.ARM), Ask.ARM, "", "arm", 0),
    Action("go", (), "name, enter", "fly the armed handover: type the pair's name, then enter", 3, _FLY, _asks(Ask.GO), Ask.GO),
    Action("back", ("B",), "B, then Y", "BACK TO BLUE: abort in the window, a rollback after it", 2, _FLY, _asks(Ask.BACK), Ask.BACK, "", "BACK", 0),
    Action("force", ("U",), "U", "back WITHOUT what blue has not: the bill, then a phrase", 3, _FLY, _asks(Ask.FORCE), Ask.FORCE),
    Action("abort", ("A",), "A, then Y", "abort the handover; stuck: settle it again", 2, _FLY, _asks(Ask.ABORT), Ask.ABORT),
    Action("resume", ("R",), "R", "go on with what a crash left half way: type the name", 3, _FLY, _asks(Ask.RESUME), Ask.RESUME),
    Action("disarm", ("D",), "D", "disarm", 1, _FLY, _asks(Ask.DISARM), Ask.DISARM),
    Action("recheck", ("r",), "r", "run the preflight again", 0, _FLY, _asks(Ask.RECHECK), Ask.RECHECK),
    Action("note", ("m",), "m", "write a note into the timeline", 0, _FLY, _asks(Ask.NOTE, "note"), Ask.NOTE, "", "note", 4),
    Action("announce", ("l",), "l", "announce when the cutover begins: 02:00, or none", 0, _FLY, _asks(Ask.ANNOUNCE, "none"), Ask.ANNOUNCE),
    Action("less", ("minus",), "-", "reconciliation: less load on the servers", 1, _FLY, _asks(Ask.DUTY, "-"), Ask.DUTY, "-"),
    Action("more", ("plus",), "+", "reconciliation: more load on the servers", 1, _FLY, _asks(Ask.DUTY, "+"), Ask.DUTY, "+"),
    Action("close", ("Q",), "Q", "close the run: the pilot settles and leaves", 3, _FLY, _asks(Ask.CLOSE), Ask.CLOSE),
    Action("pane", ("1", "2", "3", "4", "5"), "1-5", "lag, recon, route, procedure, timeline; again zooms", 0, _LOOK, short="pane", rank=3),
    Action("next", ("tab",), "tab", "next pane", 0, _LOOK),
    Action("previous", ("shift+tab",), "shift+tab", "previous pane", 0, _LOOK),
    Action("move", ("up", "down", "k", "j", "pageup", "pagedown", "home", "end", "g", "G"), "arrows, j k, g G", "move in a list", 0, _LOOK),
    Action("zoom", ("z",), "z", "zoom the pane, or back", 0, _LOOK, short="zoom", rank=5),
    Action("detail", ("enter",), "enter", "detail: cause, query, remedy", 0, _LOOK, short="detail", rank=6),
    Action("attention", ("exclamation_mark",), "!", "what asks for you: alarms, gates, findings", 0, _LOOK, short="attention", rank=4),
    Action("checks", ("c",), "c", "business checks, and in what the sides differ beside the rows", 0, _LOOK),
    Action("filter", ("slash",), "/", "find in the list", 0, _LOOK, _in_list, short="find", rank=7),
    Action("sort", ("s",), "s", "order: worst first, name, age", 0, _LOOK, _sortable),
    Action("freeze", ("p",), "p", "hold the view still (the run goes on)", 0, _LOOK),
    Action("copy", ("y",), "y", "copy the row, also into the run folder", 0, _LOOK),
    Action("picture", ("S",), "S", "save the screen as SVG", 0, _LOOK),
    Action("export", ("e",), "e", "write the report into the run folder", 0, _LOOK),
    Action("play", ("space",), "space", "play, or stand still", 0, _PLAY, _replays, short="play", rank=0),
    Action("step", ("right_square_bracket", "left_square_bracket"), "] [", "the next event, the one before", 0, _PLAY, _replays, short="event", rank=2),
    Action("turn", ("right_curly_bracket", "left_curly_bracket"), "} {", "the next turn of the run, the one before", 0, _PLAY, _replays, short="turn", rank=1),
    Action("speed", ("greater_than_sign", "less_than_sign"), "> <", "faster, slower", 0, _PLAY, _replays, short="speed", rank=1),
    Action("theme", ("t",), "t", "theme: dark, light, contrast, mono", 0, _SCREEN),
    Action("tour", ("T",), "T", "a short tour of this screen", 0, _SCREEN),
    Action("help", ("question_mark", "f1"), "?", "every key", 0, _SCREEN, short="help", rank=1),
    Action("palette", ("colon", "ctrl+p"), ":", "every command, with why it cannot be done now", 0, _SCREEN, short="commands", rank=6),
    Action("escape", ("escape",), "esc", "back to safe: leave, clear, disarm", 0, _SCREEN),
    Action("leave", ("q", "ctrl+c"), "q", "leave the screen; the pilot flies on", 0, _SCREEN, short="leave", rank=2),
)  # fmt: skip

REPLAY = _PLAY
"""The group of keys that only a replay has."""

BY_ID = {action.id: action for action in ACTIONS}
BY_KEY = {key: action for action in ACTIONS for key in action.keys}


def label(action: Action, view: View) -> str:
    """The action's words now: what would be armed is named."""
    return f"arm {view.state.next_direction.value}" if action.id == "arm" and view.state.mode is Mode.READY else action.short


def table() -> str:
    """The README's table of keys."""
    gestures = ("one key", "one key", "two keys", "typed name")
    head = "| key | does | takes |\n|---|---|---|\n"
    return head + "".join(f"| `{a.shown}` | {a.label} | {gestures[a.level]} |\n" for a in ACTIONS)


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201
