"""The commands that open a screen: on a new run, on one that is flown or was left, or only to look."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli import found, say
from cockpit.errors import Refused
from cockpit.opening import Opening
from cockpit.places import runs_folder, screen_file
from cockpit.screen.taste import Taste, taste_of
from cockpit.timeline.folder import RunFolder, last_words, said

if TYPE_CHECKING:
    from cockpit.screen.curtain import Curtain


def run(arguments: argparse.Namespace, again: Sequence[str]) -> int:
    """The screen shows itself and loads while another process reads, connects and starts the pilot."""
    need_terminal(arguments)
    opening = Opening(again)
    try:
        root, ending = _shown_while(opening, arguments)
    except BaseException:
        opening.give_up()
        raise
    code, words = opening.end()
    if code:
        say(words)
        return code
    assert root is not None
    return ending or _afterwards(RunFolder(root))


def _shown_while(opening: Opening, arguments: argparse.Namespace) -> tuple[Path | None, int]:
    """The run's folder, None where there will be none, and what `_shown` returned."""
    from importlib import import_module

    with curtain(arguments) as raised:
        if raised is not None:
            import_module("cockpit.screen.app")  # takes as long as the other process needs to name the folder
        root = opening.folder()
        return root, _shown(RunFolder(root), arguments, raised, gone=opening.refused) if root is not None else 1


def in_sentences(arguments: argparse.Namespace) -> bool:
    """No screen is wanted, or the terminal has none."""
    from cockpit.screen.curtain import places_a_cursor

    return bool(arguments.plain) or not places_a_cursor(os.environ)


def curtain(arguments: argparse.Namespace, *, watch: bool = False, drill: bool = False) -> AbstractContextManager[Curtain | None]:
    """What the terminal shows until the screen has loaded, None where there will be none; to be entered as soon as that is known."""
    if in_sentences(arguments):
        return nullcontext()
    from cockpit.screen.curtain import Curtain, look

    return Curtain(look(arguments.taste.theme, ascii=arguments.taste.ascii), watch=watch, drill=drill)


def shown(
    folder: RunFolder,
    arguments: argparse.Namespace,
    raised: Curtain | None,
    *,
    watch: bool = False,
    drill: bool = False,
    progress: Path | None = None,
    gone: Callable[[], bool] | None = None,
) -> int:
    """The run is shown, or told, until it ends or is left; an `Ending`."""
    if raised is None:
        from cockpit.spoken.session import Manner, run_plain

        manner = Manner(arguments.every_event)
        return run_plain(folder.root, watch=watch, drill=drill, progress=progress, gone=gone, manner=manner)
    from cockpit.screen.app import run_screen
    from cockpit.screen.options import Ending
    from cockpit.screen.terminal import has_terminal

    if not has_terminal():
        # It was there when the curtain rose, and nobody may have been told: only who leads the terminal's session hears of its end.
        return int(Ending.LOST)
    raised.hand_over()
    return run_screen(folder.root, watch=watch, drill=drill, progress=progress, gone=gone, taste=arguments.taste)


def join(arguments: argparse.Namespace) -> int:
    """A run that is flown, or that a crash left: that one is taken up, and nothing is touched before the lead has chosen."""
    need_terminal(arguments)
    folder = found(arguments)
    from cockpit.timeline.journal import is_flown

    if not is_flown(folder.timeline):
        _take_up(folder)
    return _on_screen(folder, arguments, watch=False)


def _take_up(folder: RunFolder) -> None:
    from cockpit import left

    left.check_left(folder)
    asyncio.run(left.check_unflown(folder))
    left.take_up(folder)


def watch(arguments: argparse.Namespace) -> int:
    """The same screen without rights."""
    need_terminal(arguments)
    return _on_screen(found(arguments), arguments, watch=True)


def replay(arguments: argparse.Namespace) -> int:
    """A run that is over, played back; 1 when the screen failed or the timeline is damaged, which the screen shows."""
    need_terminal(arguments)
    folder = found(arguments)
    with curtain(arguments, watch=True) as raised:
        from cockpit.screen.options import Ending

        ending = _replayed(folder, arguments, raised)
    return 1 if ending == Ending.CRASHED else 0


def _replayed(folder: RunFolder, arguments: argparse.Namespace, raised: Curtain | None) -> int:
    if raised is None:
        from cockpit.spoken.session import Manner, replay_plain

        return replay_plain(folder.root, arguments.speed, Manner(arguments.every_event))
    from cockpit.screen.app import run_replay

    raised.hand_over()
    return run_replay(folder.root, arguments.speed, arguments.taste)


def _on_screen(folder: RunFolder, arguments: argparse.Namespace, *, watch: bool) -> int:
    """The run's exit code where it ended, else 0 with a word on how to come back."""
    with curtain(arguments, watch=watch) as raised:
        code = _shown(folder, arguments, raised, watch=watch)
    return code or (0 if watch else _afterwards(folder))


def _shown(
    folder: RunFolder,
    arguments: argparse.Namespace,
    raised: Curtain | None,
    *,
    watch: bool = False,
    gone: Callable[[], bool] | None = None,
) -> int:
    """1 when the screen failed, else 0: the run has its own exit code."""
    from cockpit.screen.options import Ending

    if shown(folder, arguments, raised, watch=watch, gone=gone) == Ending.CRASHED:
        say(f"the screen failed, the run goes on: `cockpit join {said(folder, runs_folder())}` opens it again")
        return 1
    return 0


def _afterwards(folder: RunFolder) -> int:
    from cockpit.wiring import closed_state

    state = closed_state(folder)
    if not folder.timeline.exists():
        say(f"run {folder.name} never opened: {last_words(folder) or 'its processes said nothing'}")
        return 1
    if state is None:
        say(f"run {folder.name} is still flown: `cockpit join {said(folder, runs_folder())}` opens it again")
        return 0
    why = state.alarms[-1].what if state.alarms else ""
    say(f"run {folder.name}: {state.outcome or 'left open'}; {state.serving or 'unknown'} serves{'; ' + why if why else ''}")
    return state.exit_code if state.exit_code is not None else 1


def _taste(arguments: argparse.Namespace) -> Taste:
    try:
        return taste_of(screen_file(), arguments.theme, arguments.ascii)
    except RuntimeError:  # pathlib knows no home of this user, or of the one that a `~` names
        return Taste(
            arguments.theme or "dark", arguments.ascii, wrong=("screen.toml is not looked for: whose home? set COCKPIT_SCREEN to a path",)
        )


def need_terminal(arguments: argparse.Namespace) -> None:
    """The screen is drawn on stderr by its library; without a terminal there is nothing to draw on. Sentences need none.

    From here on `arguments.taste` says how it is to look."""
    if in_sentences(arguments):
        return
    arguments.taste = _taste(arguments)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            "the screen needs a terminal on stdin and stderr",
            remedy="do not redirect them, or add --plain; `cockpit plan` and `export` need none",
        )
