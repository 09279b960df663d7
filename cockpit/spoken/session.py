"""`--plain`: a run told in sentences on stdout, and flown by words on stdin. No picture, no colour, nothing that moves.

Who joins in the middle is told how it stands, and from then on every event. Only what a terminal types is taken: a pipe on stdin is no person.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cockpit.errors import CockpitError
from cockpit.model.intents import Intent
from cockpit.model.state import EMPTY
from cockpit.model.words import Mode
from cockpit.screen import starting
from cockpit.screen.options import Ending, Options
from cockpit.screen.prompt import Decision
from cockpit.screen.view import Link, Source, View, playing
from cockpit.spoken import standing
from cockpit.spoken.sentences import is_detail, long, sentence, whole
from cockpit.spoken.typed import Typed

TICK_S = 0.2
JOINS_S = 10.0
"""Who comes to a run that has gone on for longer is told how it stands; to a younger one, everything from its beginning."""
_POLLS_A_TICK = 50
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is told: `every_event` also what a later one sums up."""

    every_event: bool = False


class Session:
    """One listener of one run. `tell` until it ends; `hear` takes what is typed."""

    def __init__(self, source: Source, link: Link | None, options: Options, manner: Manner, say: Say) -> None:
        self._source, self._link, self._options, self._manner, self._say = source, link, options, manner, say
        self._typed = Typed(acts=link is not None, drill=options.drill)
        self._told = 0
        """The newest event that was said."""
        self._caught_up = False
        self._silent = False
        self._level = "calm"
        self._damage = ""
        self._starting = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def run(self) -> Ending:
        """How it ended: the run closed, the listener left, or there is nothing to tell."""
        while not self._ending.done():
            self.tell()
            await asyncio.wait({self._ending}, timeout=TICK_S)
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        return self._ending.result()

    def end(self, ending: Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)

    def interrupt(self, hearing: bool) -> None:
        """As `leave` typed; where nobody can answer what that asks, a drill ends with its listener."""
        if hearing:
            self.hear("leave")
        else:
            self.end(Ending.END_DRILL if self._options.drill else Ending.LEFT)

    # --- telling -------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """What came since the last time, in its order; then what of it is a question or a warning."""
        self._tell_start()
        for _ in range(_POLLS_A_TICK):
            self._source.poll()
            self._tell_events()
            if not self._source.behind:
                break
        view = self._view()
        if not self._caught_up and not self._source.behind and view.state.seq:
            self._caught_up = True
            self._all(standing.status(view) if self._told > 1 else [])
        self._tell_clocks(view)
        self._all(self._typed.follow(view))
        self._tell_end(view)

    def _tell_events(self) -> None:
        new = [event for event in self._source.state.tail if event.seq > self._told]
        if self._source.state.seq < self._told:  # the timeline was cut at a torn end
            self._told = self._source.state.seq
        if not new:
            return
        young = self._source.now() - new[0].mono < JOINS_S
        from_start = self._told == 0 and new[0].seq == 1 and young and not self._source.behind
        self._told = new[-1].seq
        if self._caught_up or from_start or self._options.player is not None:
            self._caught_up = True
            self._all([sentence(event) for event in new if self._manner.every_event or not is_detail(event.fact)])

    def _tell_start(self) -> None:
        """While a drill's rig is set up: each thing as it begins."""
        if self._options.progress is None or self._told:
            return
        progress = starting.read(self._options.progress)
        for what in progress.what[self._starting :]:
            self._say(whole(f"The drill is being set up: {what}"))
        self._starting = len(progress.what)

    def _tell_clocks(self, view: View) -> None:
        if view.damage and view.damage != self._damage:
            self._damage = view.damage
            self._say(whole(f"The timeline CANNOT BE TRUSTED: {view.damage}"))
        silent = bool(view.silence_s)
        if silent is not self._silent and not view.replay:
            self._silent = silent
            self._say("The pilot is SILENT: its figures are old, and the guardian watches it." if silent else "The pilot is heard again.")
        used = view.downtime
        if used.level != self._level:
            self._level = used.level
            if view.in_air and used.level != "calm":
                self._say(f"Writes are STALLED for {long(used.used_s)} of {long(used.budget_s)} that they may be.")

    def _tell_end(self, view: View) -> None:
        gone = self._options.gone
        if view.state.seq == 0 and gone is not None and gone():
            self.end(Ending.REFUSED)
        player = self._options.player
        over = not self._source.behind and (view.state.mode is Mode.CLOSED if player is None else player.position >= player.span[1])
        if over and view.state.seq:
            self.end(Ending.LEFT)

    def _view(self) -> View:
        source, clock = self._source, self._source.now()
        behind = source.behind and self._options.player is None
        state = EMPTY if behind and not self._caught_up else source.state
        now = state.mono if state.mode is Mode.CLOSED else clock
        return View(now, state, source.latest, source.damage, self._link is None, clock, playing(self._options.player), behind)

    def _all(self, sentences: list[str] | tuple[str, ...]) -> None:
        for each in sentences:
            self._say(each)

    # --- hearing -------------------------------------------------------------------------------------------

    def hear(self, line: str) -> None:
        """A line was typed."""
        self._source.poll()
        meant = self._typed.line(line, self._view())
        self._all(meant.said)
        if meant.decision is not None:
            self._decided(meant.decision)

    def _decided(self, decision: Decision) -> None:
        if decision.leave:
            self.end(Ending.END_DRILL if decision.end else Ending.LEFT)
        elif decision.ask is not None and self._link is None:
            self._say("This only watches: nothing was asked.")
        elif decision.ask is not None and self._link is not None:
            intent = Intent(decision.ask, self._options.by, self._source.state.seq, decision.argument)
            task = asyncio.get_running_loop().create_task(self._ask(self._link, intent))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, link: Link, intent: Intent) -> None:
        try:
            reply = await link.ask(intent)
        except CockpitError as err:
            ok, reason = False, str(err)
        except Exception as err:
            # Whatever it is, the telling goes on; its message may hold what nobody may see.
            ok, reason = False, f"asking failed ({type(err).__name__})"
        else:
            ok, reason = reply.ok, reply.reason
        self._all(self._typed.replied(intent.ask, ok, reason, self._view()))


# --- the way in ---------------------------------------------------------------------------------------------


def told(source: Source, link: Link | None, options: Options, manner: Manner) -> int:
    """The run is told until it ends or its listener leaves; an `Ending`."""
    ending = asyncio.run(_told(source, link, options, manner))
    return int(ending)


async def _told(source: Source, link: Link | None, options: Options, manner: Manner) -> Ending:
    session: Session

    def say(text: str) -> None:
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            _drop_stdout()
            session.end(Ending.LOST)
        except OSError:
            session.end(Ending.LOST)

    session = Session(source, link, options, manner, say)
    loop = asyncio.get_running_loop()
    for lost in (signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(lost, session.end, Ending.LOST)
    hearing = sys.stdin is not None and sys.stdin.isatty()
    loop.add_signal_handler(signal.SIGINT, session.interrupt, hearing)
    say(
        "Told in sentences, times are UTC; "
        + ("type help for every command." if hearing else "nothing is taken from stdin, it is no terminal.")
    )
    if hearing:
        loop.add_reader(sys.stdin.fileno(), _read, session)
    try:
        return await session.run()
    finally:
        if hearing:
            loop.remove_reader(sys.stdin.fileno())


def _read(session: Session) -> None:
    """Lines as the terminal gives them, whole; its end is leaving."""
    try:
        text = os.read(sys.stdin.fileno(), 4096)
    except OSError:
        text = b""
    if not text:
        session.end(Ending.LOST if not sys.stdin.isatty() else Ending.LEFT)
        return
    for line in text.decode(errors="replace").splitlines():
        session.hear(line)


def _drop_stdout() -> None:
    """What is still to be written goes nowhere, so that the interpreter does not fail on it at its end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_plain(
    folder: Path,
    *,
    watch: bool,
    drill: bool,
    progress: Path | None = None,
    gone: Callable[[], bool] | None = None,
    manner: Manner = Manner(),
) -> int:
    """Tells the run in `folder`; an `Ending`. With `watch` it has no rights at all."""
    from cockpit.screen.options import who
    from cockpit.timeline.folder import RunFolder
    from cockpit.timeline.follow import Follower
    from cockpit.timeline.wire import FolderLink

    run = RunFolder(folder)
    follower = Follower(run)
    try:
        options = Options(drill=drill, by=who(), files=folder, progress=progress, gone=gone)
        return told(follower, None if watch else FolderLink(run), options, manner)
    finally:
        follower.close()


def replay_plain(folder: Path, speed: float, manner: Manner) -> int:
    """Tells the run in `folder` again, as fast as it was times `speed`; an `Ending`."""
    from cockpit.timeline.folder import RunFolder
    from cockpit.timeline.replayer import Replayer

    player = Replayer(RunFolder(folder), speed)
    return told(player, None, Options(files=folder, player=player), manner)
