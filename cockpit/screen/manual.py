"""Help and palette: the table of actions as people read it, each with why it cannot be done now."""

from __future__ import annotations

from collections.abc import Sequence

from cockpit.screen.actions import ACTIONS, REPLAY, Action
from cockpit.screen.cells import BLANK, Line, crop, fit, wrap
from cockpit.screen.content import Content, Row
from cockpit.screen.keys import SHIPPED, Keys
from cockpit.screen.look import Status
from cockpit.screen.view import View

_TITLES = {"fly": "flying", "look": "looking", "play": "in a replay", "screen": "this screen"}
_TAKES = ("", "", "two keys", "typed name")


def content(view: View, pane: str, width: int, keys: Keys = SHIPPED, wrong: Sequence[str] = ()) -> Content:
    """Every key, by group; before them what is wrong with the person's own."""
    lines: list[Line] = [line for text in wrong for line in wrap(f"! {text}", width, "warn")]
    if lines:
        lines.append(BLANK)
    for group, title in _TITLES.items():
        if group == REPLAY and view.replay is None:
            continue
        lines.append((("  " + title, "title"),))
        lines.extend(_line(view, pane, action, width, keys) for action in ACTIONS if action.group == group)
        lines.append(BLANK)
    lines.extend(_legend())
    return Content(title=(("HELP ", "title"), ("esc closes", "text")), body=tuple(lines))


def palette(view: View, pane: str, needle: str, width: int) -> Content:
    """The actions whose words contain `needle`; `enter` does the chosen one."""
    wanted = needle.casefold()
    rows = tuple(
        Row(a.id, _line(view, pane, a, width))
        for a in ACTIONS
        if a.id not in ("move", "escape", "palette", "go", "pane")
        and (a.group != REPLAY or view.replay)
        and wanted in f"{a.id} {a.label}".casefold()
    )
    head: tuple[Line, ...] = () if rows else ((("· no such command", "wait"),),)
    return Content(title=(("COMMANDS", "title"),), head=head, rows=rows)


def _line(view: View, pane: str, action: Action, width: int, keys: Keys = SHIPPED) -> Line:
    refused = action.refused(view, pane)
    takes = f"  ({_TAKES[action.level]})" if _TAKES[action.level] else ""
    key = (f"  {fit(action.shown, 17)}", "dim" if refused else "key")
    also = f"  {keys.also(action)}" if keys.also(action) else ""
    words = (action.label + takes + also, "dim" if refused else "text")
    why = (f"   not now: {refused}", "warn") if refused else ("", "text")
    return crop((key, words, why), width)


def _legend() -> list[Line]:
    words = {
        Status.OK: "nothing to do",
        Status.RUN: "moving",
        Status.WAIT: "not started",
        Status.WARN: "LOOK: a word in upper case asks for a person",
        Status.BAD: "ACT",
        Status.STALE: "cannot be known now: too old, or could not be read",
        Status.SKIP: "decided not to",
    }
    return [(("  signs", "title"),), *(((f"  {s.symbol}               ", s.value), (text, "text")) for s, text in words.items())]
