"""The Textual program around the main screen, and the way in: `run_screen`.

It owns what belongs to a terminal: whether there is one, colour or none, signals, and what is shown when the screen itself fails
(never a local variable, never a message that could carry a secret). The pilot is another process; nothing here can end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rich.segment import Segment, Segments
from textual.app import App

from cockpit.screen.look import wants_no_color
from cockpit.screen.main import MainScreen
from cockpit.screen.options import Ending, Options, options_of
from cockpit.screen.taste import SHIPPED, Taste
from cockpit.screen.terminal import Hangup, TerminalDriver, has_terminal
from cockpit.screen.view import Link, Source
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Follower
from cockpit.timeline.replayer import Replayer
from cockpit.timeline.wire import FolderLink

NO_TERMINAL = "cockpit draws on the terminal through stderr: stdin and stderr must both be a terminal; without one use --headless"


PATIENCE_S = 3.0


class CockpitApp(App[int], inherit_bindings=False):
    """One main screen on one source; returns an `Ending`."""

    TITLE = "cockpit"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    MainScreen { background: ansi_default; color: ansi_default; }
    MainScreen > * { background: ansi_default; }
    """

    def __init__(self, source: Source, link: Link | None, options: Options) -> None:
        super().__init__(driver_class=TerminalDriver, ansi_color=True)
        self.theme = "ansi-dark"
        self._parts = (source, link, options)
        self._lost = threading.Lock()
        self._handlers: dict[signal.Signals, Any] = {}
        self._before = {number: signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT)}
        """The driver takes these when it is made, and never gives them back."""
        self._hangup: Hangup | None = None
        self._last_resort = threading.Timer(PATIENCE_S, os._exit, (int(Ending.LOST),))
        self._last_resort.daemon = True
        self.animation_level = "none"

    def on_mount(self) -> None:
        source, link, options = self._parts
        self.push_screen(MainScreen(source, link, options, self.leave))
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ValueError):
            self._hear_signals(loop)
        if not self.is_headless and sys.__stdin__ is not None:
            self._hangup = Hangup(sys.__stdin__.fileno(), lambda: self._lose(loop))

    def _hear_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """A lost terminal ends the screen. `ValueError` outside the main thread, where no signal can be heard.

        A closing terminal sends SIGHUP and SIGCONT together ("kill(2)", "setpgid(2)"); the driver takes SIGCONT for a return to the
        foreground and would start drawing again while it is being shut down, so a lost terminal no longer continues."""
        draw_again = signal.getsignal(signal.SIGCONT)

        def lose(number: int, frame: FrameType | None) -> None:
            self._lose(loop)

        def go_on(number: int, frame: FrameType | None) -> None:
            if not self._lost.locked() and callable(draw_again):
                draw_again(number, frame)

        heard = {signal.SIGHUP: lose, signal.SIGTERM: lose, signal.SIGCONT: go_on}
        self._handlers = {number: signal.signal(number, handler) for number, handler in heard.items()}

    def _lose(self, loop: asyncio.AbstractEventLoop) -> None:
        """The terminal is gone: nothing is waited for longer than `PATIENCE_S`, not even the loop, which waits for a terminal that takes nothing.

        From any thread and from within a signal's handler; only the first call does anything."""
        if self._lost.acquire(blocking=False):
            self._last_resort.start()
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.leave, Ending.LOST)

    def on_unmount(self) -> None:
        """Signals are whose they were."""
        if self._hangup is not None:
            self._hangup.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def settle(self) -> None:
        """The program goes on after the screen: nothing of the screen ends it any more, and ctrl-z and fg do not bring the screen back."""
        self._last_resort.cancel()
        with contextlib.suppress(ValueError):  # outside the main thread, where the driver could not take them either
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def leave(self, ending: Ending) -> None:
        """The screen ends; the pilot flies on."""
        self.exit(int(ending), return_code=int(ending))

    def _fatal_error(self) -> None:
        """In place of a traceback with local variables: what kind of fault, and where in our code."""
        self._exit_renderables.append(Segments([Segment(crash_text(self._exception) + "\n")]))
        self._close_messages_no_wait()

    def _handle_exception(self, error: Exception) -> None:
        self._return_code = int(Ending.CRASHED)
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._fatal_error()


def crash_text(error: BaseException | None) -> str:
    """The fault by type and place alone: its message and its variables may hold what nobody may see."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    where = [f"  {Path(f.filename).name}:{f.lineno} in {f.name}" for f in frames][-6:]
    lines = [
        f"the screen failed ({type(error).__name__}); the pilot flies on",
        *where,
        "open it again with: cockpit join last   (only looking: cockpit watch last)",
    ]
    return "\n".join(lines)


def run_screen(
    folder: Path,
    *,
    watch: bool,
    drill: bool,
    progress: Path | None = None,
    gone: Callable[[], bool] | None = None,
    taste: Taste = SHIPPED,
    no_color: bool | None = None,
) -> int:
    """Shows the run in `folder` until the lead leaves; returns an `Ending`. With `watch` it has no rights at all.

    While the run has not begun, `gone` is asked whether it never will."""
    if not has_terminal():
        sys.stderr.write(NO_TERMINAL + "\n")
        return int(Ending.REFUSED)
    plain = wants_no_color(os.environ) if no_color is None else no_color
    os.environ.pop("NO_COLOR", None)
    run = RunFolder(folder)
    follower = Follower(run)
    options = options_of(taste, plain, drill=drill, files=folder, progress=progress, gone=gone)
    app = CockpitApp(follower, None if watch else FolderLink(run), options)
    _tidy()
    try:
        ending = app.run()
    finally:
        app.settle()
        follower.close()
    return int(Ending.CRASHED) if ending is None else ending


def _tidy() -> None:
    """What is loaded stays: a full collection walked over it for 20 ms, while a key waited. What comes later is collected often: as shipped,
    Python lets 16,000 dead objects of painted pages lie (measured). A first collection, of nothing, tells it how little there is:
    a full one waits until a quarter as much as the last one kept has come anew."""
    gc.freeze()
    gc.collect()
    gc.set_threshold(3000, 2, 2)


def run_replay(folder: Path, speed: float, taste: Taste = SHIPPED) -> int:
    """Plays the run in `folder` back until the viewer leaves; returns an `Ending`."""
    plain = wants_no_color(os.environ)
    os.environ.pop("NO_COLOR", None)
    player = Replayer(RunFolder(folder), speed)
    options = options_of(taste, plain, files=folder, player=player)
    app = CockpitApp(player, None, options)
    _tidy()
    try:
        ending = app.run()
    finally:
        app.settle()
    return int(Ending.CRASHED) if ending is None else ending
