"""The first picture of the screen, painted while the screen's library is loading; the library then draws over it.

Loading the library takes half a second of a processor, this takes a third of that. Sequences: "XTerm Control Sequences",
"DEC Private Mode Set" (1049 the other screen, 25 the cursor) and "SGR".
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from rich.color import ColorSystem

from cockpit.screen import first
from cockpit.screen.cells import Line, segments
from cockpit.screen.look import Look, wants_no_color

_RAISE = "\x1b[?1049h\x1b[?25l\x1b[H"
_LOWER = "\x1b[?1049l\x1b[?25h"
_LOCAL_MODES, _CHARACTERS = 3, 6
"""Places in what `termios.tcgetattr` returns."""
_LOSSES = (signal.SIGHUP, signal.SIGTERM)


class Curtain:
    """While it is entered the terminal shows the first picture and echoes no key; afterwards it is as it was found.

    Keys that are pressed meanwhile wait for whoever reads next. A signal that ends the process raises `SystemExit`, so that the
    terminal is given back. Needs a terminal on stdin and stderr; where it cannot place a cursor (TERM=dumb) nothing is painted."""

    def __init__(self, look: Look, *, watch: bool = False, drill: bool = False) -> None:
        self._look, self._watch, self._drill = look, watch, drill
        self._found: list[Any] = []
        self._handlers: dict[signal.Signals, Any] = {}
        self._raised = False

    def __enter__(self) -> Curtain:
        # A signal may raise between the end of this method and the body that `__exit__` belongs to.
        atexit.register(self._lower)
        self._handlers = {number: signal.signal(number, _end) for number in _LOSSES}
        self._found = termios.tcgetattr(sys.stdin.fileno())
        try:
            self._quiet()
            if places_a_cursor(os.environ):
                self._raised = True
                self._paint()
        except BaseException:
            self._lower()
            raise
        return self

    def hand_over(self) -> None:
        """From now on the other screen belongs to whoever draws next, who leaves it by itself."""
        self._raised = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lower()

    def _quiet(self) -> None:
        """Keys come one by one and unseen; stopping the program (ctrl-z) waits until the screen can be given back."""
        modes = termios.tcgetattr(sys.stdin.fileno())
        modes[_LOCAL_MODES] &= ~(termios.ECHO | termios.ICANON)
        modes[_CHARACTERS][termios.VSUSP] = os.fpathconf(sys.stdin.fileno(), "PC_VDISABLE").to_bytes(1, "little")
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, modes)

    def _paint(self) -> None:
        width, height = os.get_terminal_size(sys.stderr.fileno())
        lines = first.lines(width, height, watch=self._watch, drill=self._drill)
        _write(_RAISE + "\r\n".join(_painted(line, width, self._look) for line in lines))

    def _lower(self) -> None:
        atexit.unregister(self._lower)
        # A terminal that is gone takes nothing back.
        with suppress(OSError, termios.error):
            if self._raised:
                self._raised = False
                _write(_LOWER)
        with suppress(OSError, termios.error):
            if self._found:
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._found)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def look(theme: str, *, ascii: bool) -> Look:
    """As the environment wants it: https://no-color.org goes before the theme."""
    return Look("mono" if wants_no_color(os.environ) else theme, ascii)


def _painted(line: Line, width: int, look: Look) -> str:
    colours = _colours(os.environ)
    return "".join(segment.style.render(segment.text, color_system=colours) for segment in segments(line, width, look) if segment.style)


def places_a_cursor(environment: Mapping[str, str]) -> bool:
    """Whether the terminal can draw a screen at all."""
    return environment.get("TERM", "dumb") not in ("dumb", "unknown")


def _colours(environment: Mapping[str, str]) -> ColorSystem:
    """As many as the terminal says it has, by the rules of Rich's console, which draws the pictures after this one."""
    if environment.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return ColorSystem.TRUECOLOR
    return ColorSystem.EIGHT_BIT if environment.get("TERM", "").endswith(("256color", "kitty")) else ColorSystem.STANDARD


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
