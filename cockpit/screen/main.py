"""The main screen: it polls, makes one view of what it read, gives each pane its content, and turns keys into intents.

Nothing here waits: an intent is asked in a task of its own, its reply comes back as a message in the prompt row.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partialmethod

from textual import events
from textual.app import ComposeResult
from textual.layout import Layout
from textual.screen import Screen

from cockpit.model.intents import Ask
from cockpit.model.state import EMPTY
from cockpit.model.words import Mode
from cockpit.screen import arrange, attention, checks, clockband, detail, keeping, manual, panes, procedure, starting, tour
from cockpit.screen.actions import BY_ID, BY_KEY, LISTS, PANES, Action
from cockpit.screen.asking import Asking
from cockpit.screen.bands import Bands
from cockpit.screen.cells import Line, text_of
from cockpit.screen.content import Content, Row, Wish
from cockpit.screen.foot import enlarge
from cockpit.screen.look import Look, Status
from cockpit.screen.options import Ending, Options
from cockpit.screen.over import BILL, Over
from cockpit.screen.prompt import FREE, TYPED, Decision, Kind, Prompt
from cockpit.screen.view import Link, Player, Source, View, playing
from cockpit.screen.widgets import Lines, Pane

TICK_S = 0.2
STILL_S = 1.0
"""So often all is painted while nothing new is read and nothing flies: ages go on, and what has become too old says so."""
CLOCK_S = 0.45
"""And so often the clocks: no second is passed over."""
TURN_S = 0.002
"""Parts are painted until so much of a turn is over: a turn of its own for each cost a tenth of what the whole screen does."""
_POLLS_A_TICK = 4
_NEXT_POLL_S = 0.002
NEXT_TO_ALL = frozenset({"foot", "side", "over"})
"""Parts that may answer any key, whatever pane it was meant for."""
ALL = frozenset({"clock", *NEXT_TO_ALL, *PANES})
_ORDERS = ("worst", "name", "age")
_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "home": -(10**6), "g": -(10**6), "end": 10**6, "G": 10**6}


class MainScreen(Screen[None], inherit_bindings=False):
    """Clock band, panes, prompt: one screen for a run's whole life."""

    def __init__(self, source: Source, link: Link | None, options: Options, leave: Callable[[Ending], None]) -> None:
        super().__init__()
        self._source, self._options, self._leave = source, options, leave
        self.look = Look(options.theme, options.ascii)
        self.prompt = Prompt()
        self.wish = Wish()
        self.over: list[Over] = []
        self._bands = Bands()
        self._bands.shown = arrange.FIRST
        self._frozen: View | None = None
        self._asking = Asking(link, options.by, self.prompt, lambda: self.view, self.tick)
        self._owed: list[str] = []
        """Parts that have still to show the newest view."""
        self._touched: set[str] = set()
        """Parts that the last key may have changed; the others show it with the next tick."""
        self._news = False
        """Something was read between two ticks."""
        self._painted = self._clocked = -STILL_S
        """When all was painted last, and the clocks."""
        self._billed = 0
        """The armed ungraceful handover whose bill was opened."""
        self._read = False
        """The run was read to its end once."""
        self._polls_left = 0
        self.view = self._look_now()

    # --- parts ---------------------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        return self._bands

    def compose(self) -> ComposeResult:
        yield Lines(self.look, id="clock")
        for name, number in panes.NUMBERS.items():
            yield Pane(number, self.look, id=name)
        yield Pane(0, self.look, id="side")
        yield Pane(0, self.look, id="over")
        yield Lines(self.look, id="foot")

    def on_mount(self) -> None:
        if wrong := len(self._options.wrong):
            mistakes = "a mistake" if wrong == 1 else f"{wrong} mistakes"
            self.prompt.say(Status.WARN, f"{mistakes} in screen.toml: ? says which, and what is right", self.view.clock)
        self.tick()
        self.set_interval(TICK_S, self.tick)

    def pane(self, name: str) -> Pane:
        return self.query_one(f"#{name}", Pane)

    @property
    def focus_name(self) -> str:
        return self._bands.shown.focus

    # --- time ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What was appended is read and shown; called by a timer, and harmless at any time."""
        news, self._news = self._source.poll() or self._news, False
        if self._source.more and not self._polls_left:
            self._polls_left = _POLLS_A_TICK - 1
            self.set_timer(_NEXT_POLL_S, self._read_on)
        self._read = self._read or not self._source.behind
        self.view = self._look_now()
        if self.view.state.seq == 0 and not self.view.reading and self._options.gone is not None and self._options.gone():
            self._leave(Ending.REFUSED)
        self._start_or_fly()
        self._thaw()
        self.prompt.follow(self.view)
        self._show_bill()
        self._paint_what_is_due(news)

    def _paint_what_is_due(self, news: bool) -> None:
        """All, where something is new or flies; but not half of what came at once, which is read to its end in a moment."""
        now, said = self.view.clock, self.prompt.message is not None or self.prompt.kind is not Kind.IDLE
        moving = news or self.view.in_air or self._options.player is not None
        self._news = news and self._source.behind  # what is not painted now is news still
        if not 0 <= now - self._painted < STILL_S or (moving and not self._source.behind):
            self._painted = self._clocked = now
            self._paint_in_turns()
        elif said or not 0 <= now - self._clocked < CLOCK_S:
            self._clocked = now
            self.paint(("clock", "foot"))

    def _read_on(self) -> None:
        """One more piece, each in a turn of its own: to the end while behind, of what is earlier only some with each tick."""
        behind, self._news = self._source.behind, self._source.poll() or self._news
        self._polls_left = max(self._polls_left - 1, 0)
        if self._source.behind or (self._source.more and self._polls_left):
            self.set_timer(_NEXT_POLL_S, self._read_on)
            return
        self._polls_left = 0
        if behind:
            self.tick()

    def _look_now(self) -> View:
        source, clock = self._source, self._source.now()
        state = source.state if self._read or self._options.player else EMPTY  # half of a timeline shows a run as it was, not as it is
        reading = source.behind and self._options.player is None
        now = state.mono if state.mode is Mode.CLOSED else clock
        return View(now, state, source.latest, source.damage, self._asking.link is None, clock, playing(self._options.player), reading)

    def _start_or_fly(self) -> None:
        waiting = self.view.state.seq == 0 and not self.view.reading and self._options.progress is not None
        shown = bool(self.over) and self.over[0].kind == "starting"
        if waiting and not shown:
            self.over.insert(0, Over("starting"))
        elif shown and not waiting:
            self.over.pop(0)
        self._show_parts()

    def _show_bill(self) -> None:
        """Whoever is asked to go without something sees what it is, table by table, until it is decided."""
        handover = self.view.state.handover
        asked = self.view.state.mode is Mode.ARMED and handover is not None and handover.ungraceful
        number = handover.number if handover is not None and asked else 0
        if number and number != self._billed:
            self._cover_with(BILL)
        elif self._billed and not number and self.over and self.over[-1] == BILL:
            self.over.pop()
            self._show_parts()
        self._billed = number

    def _thaw(self) -> None:
        """A frozen view is released by itself when something happens that a person must see."""
        if self._frozen is not None and (
            self.view.state.mode is not self._frozen.state.mode or len(self.view.state.alarms) > len(self._frozen.state.alarms)
        ):
            self._frozen = None

    # --- painting ------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.paint)

    def paint(self, only: Collection[str] | None = None) -> None:
        """Every visible part shows the view; of these `only` those named."""
        found = arrange.places(*self.size, self._bands.shown)
        for name, place in found.items():
            if only is None or name in only:
                self._paint_part(name, place)

    def _paint_in_turns(self) -> None:
        """Every visible part shows the view, a few in each turn: a key pressed meanwhile waits for those, not for all."""
        begun = bool(self._owed)
        self._owed = list(arrange.places(*self.size, self._bands.shown))
        if not begun:
            self.call_later(self._paint_next)

    def _paint_next(self) -> None:
        until = time.perf_counter() + TURN_S
        while self._owed and time.perf_counter() < until:
            self.paint((self._owed.pop(0),))
        if self._owed:
            self.call_later(self._paint_next)

    def _paint_part(self, name: str, place: arrange.Place) -> None:
        width, height = self.size
        if name == "clock":
            self.query_one("#clock", Lines).put(clockband.lines(self.view, width))
        elif name == "foot":
            self.query_one("#foot", Lines).put(self._foot(width, height))
        else:
            pane = self.pane(name)
            if pane.size == (place.width, place.height):
                pane.show(self._content(name, *pane.inner), focused=name in (self.focus_name, "over"))

    def _foot(self, width: int, height: int) -> tuple[Line, ...]:
        if arrange.too_small(width, height):
            return (enlarge(width),)
        first, second = self.prompt.lines(self.view, self.focus_name, width)
        if self._frozen is not None and self.prompt.kind is Kind.IDLE:
            first = (
                (f" ! VIEW FROZEN {int(self.view.clock - self._frozen.clock)}s", "warn"),
                ("   p releases it; the run goes on", "text"),
            )
        return first, second

    def _content(self, name: str, width: int, height: int) -> Content:
        view = self._frozen or self.view
        if name == "side":
            return detail.content(view, self.focus_name, self.pane(self.focus_name).chosen_key or "", width)
        if name == "over":
            return self._over_content(view, width, height)
        return panes.content(name, view, self._wish_for(name), width, height)

    def _wish_for(self, name: str) -> Wish:
        """The filter is of the list it was typed for, the order of all."""
        return self.wish if name == self._filtered else replace(self.wish, needle="")

    def _over_content(self, view: View, width: int, height: int) -> Content:
        over = self.over[-1]
        match over.kind:
            case "starting":
                return starting.content(starting.read(self._options.progress), width, height)
            case "help":
                return manual.content(view, self.focus_name, width, self._options.keys, self._options.wrong)
            case "palette":
                return manual.palette(view, self.focus_name, self.prompt.text, width)
            case "attention":
                return attention.content(view, width, height)
            case "checks":
                return checks.content(view, width)
            case _:
                return detail.content(view, over.pane, over.key, width)

    def _show_parts(self, focus: str | None = None, zoomed: bool | None = None) -> None:
        """The layout fits what is to be seen; nothing is laid out again when nothing changed."""
        before = self._bands.shown
        shown = arrange.Shown(focus or before.focus, before.zoomed if zoomed is None else zoomed, bool(self.over))
        if shown != before:
            self._bands.shown = shown
            self._clear_arrangement_cache()
            self.refresh(layout=True)
            self.call_after_refresh(self.paint)

    # --- keys ----------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self.view = self._look_now()
        self._touched = set(NEXT_TO_ALL)
        character = event.character if event.is_printable else None
        typed = character if character and character.isalpha() else event.key
        key = self._options.keys.meant(typed, typing=self.prompt.kind in (*TYPED, *FREE))
        if key != typed:
            character = None
        filtering = self.prompt.kind is Kind.FILTER
        decision = self.prompt.key(key, character, self.view)
        if filtering:
            self.wish.needle = "" if key == "escape" else self.prompt.text
        if decision is None:
            self._do(key)
        else:
            self._decided(decision)
        self._after_key()

    def _after_key(self) -> None:
        if self.over and self.over[-1].kind == "palette" and self.prompt.kind is not Kind.PALETTE:
            self.over.pop()
        self._show_parts(tour.PAGES[self.prompt.page].pane if self.prompt.kind is Kind.TOUR else None)
        self.paint(self._touched | {self.focus_name})

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self.prompt.pasted(event.text, self.view.clock)
        self.paint()

    def _decided(self, decision: Decision) -> None:
        if decision.leave:
            self._leave(Ending.END_DRILL if decision.end else Ending.LEFT)
        elif decision.ask is not None:
            self._asking.send(decision.ask, decision.argument)

    def _do(self, key: str) -> None:
        action = BY_KEY.get(key)
        if action is not None:
            self.perform(action, key)

    def perform(self, action: Action, key: str = "") -> None:
        """`action` is done, or the prompt row says why it cannot be."""
        refused = action.refused(self.view, self.focus_name)
        if refused:
            self.prompt.say(Status.WARN, f"{action.short or action.shown}: {refused}", self.view.clock)
            return
        if action.id in ("back", "abort", "note", "announce", "close", "resume"):
            self.prompt.message = None
            self.prompt.open(Kind(action.id), self.view.clock)
        elif action.ask is not None and action.id != "go":
            self._asking.send(action.ask, action.argument)
        else:
            getattr(self, f"_do_{action.id}", lambda key: None)(key)

    # --- what keys do here ---------------------------------------------------------------------------------

    def _do_pane(self, key: str) -> None:
        if key.isdigit():
            self._focus(PANES[int(key) - 1])

    def _focus(self, name: str) -> None:
        if self.over and self.over[0].kind != "starting":
            self.over.clear()
            self._show_parts(name)
            return
        again = name == self.focus_name
        self._show_parts(name, not self._bands.shown.zoomed if again else None)

    def _do_next(self, key: str, by: int = 1) -> None:
        self._show_parts(PANES[(PANES.index(self.focus_name) + by) % len(PANES)])

    def _do_previous(self, key: str) -> None:
        self._do_next(key, -1)

    def _do_move(self, key: str) -> None:
        pane = self.pane("over" if self.over else self.focus_name)
        page = max(pane.room - 1, 1)
        pane.move(_MOVES.get(key) or (page if key == "pagedown" else -page))

    def _do_zoom(self, key: str) -> None:
        if not self.over:
            self._show_parts(zoomed=not self._bands.shown.zoomed)

    def _do_detail(self, key: str) -> None:
        if not self.over:
            self._cover_with(Over("detail", self.focus_name, self.pane(self.focus_name).chosen_key or self._only_step()))
            return
        chosen = self.pane("over").chosen_key
        if self.over[-1].kind in ("attention", "checks") and chosen:
            self._cover_with(Over("detail", self.over[-1].kind, chosen))
        elif self.over[-1].kind == "palette" and chosen:
            self.over.pop()
            self.prompt.shut()
            self.perform(BY_ID[chosen], "")

    def _only_step(self) -> str:
        """In two columns no step can be chosen: the one that runs, or failed, or comes next."""
        steps = procedure.shown_steps(self.view)
        ranked = sorted(steps, key=lambda s: procedure.STATES[s.state][0].rank)
        return ranked[0].id if ranked else ""

    def _cover_with(self, over: Over) -> None:
        self.over.append(over)
        pane = self.pane("over")
        pane.chosen, pane.offset_rows = None, 0
        self._show_parts()

    def _do_palette(self, key: str) -> None:
        self.prompt.open(Kind.PALETTE, self.view.clock)
        self._cover_with(Over("palette"))

    def _toggle(self, kind: str, key: str) -> None:
        if self.over and self.over[-1].kind == kind:
            self.over.pop()
        else:
            self._cover_with(Over(kind))

    _do_attention = partialmethod(_toggle, "attention")
    _do_checks = partialmethod(_toggle, "checks")
    _do_help = partialmethod(_toggle, "help")

    _filtered = ""

    def _do_filter(self, key: str) -> None:
        self._filtered = self.focus_name
        self.prompt.open(Kind.FILTER, self.view.clock, self.wish.needle)

    def _do_sort(self, key: str) -> None:
        self._touched |= set(LISTS)
        self.wish.order = _ORDERS[(_ORDERS.index(self.wish.order) + 1) % len(_ORDERS)]
        self.prompt.say(Status.OK, f"order: {self.wish.order}", self.view.clock)

    def _do_freeze(self, key: str) -> None:
        self._touched |= ALL
        if self._frozen is not None:
            self._frozen = None
            return
        latest = self.view.latest
        self._frozen = replace(self.view, latest=replace(latest, lag_history=deque(latest.lag_history), tables=dict(latest.tables)))

    def _do_escape(self, key: str) -> None:
        if self.over and self.over[-1].kind != "starting":
            self.over.pop()
        elif self._bands.shown.zoomed:
            self._show_parts(zoomed=False)
        elif self.wish.needle:
            self.wish.needle = ""
            self._touched.add(self._filtered)
        elif self.view.state.mode is Mode.ARMING and self._asking.link is not None:
            self._asking.send(Ask.DISARM)

    def _steer(self, key: str, how: Callable[[Player, int], None]) -> None:
        """The recording goes on otherwise or elsewhere; the moment it is at then is shown with the key, not with the next tick."""
        if self._options.player is not None:
            how(self._options.player, 1 if key.startswith(("right", "greater")) else -1)
            self.view, self._touched = self._look_now(), set(ALL)

    _do_play = partialmethod(_steer, how=lambda player, by: (player.pause if player.playing else player.play)())
    _do_step = partialmethod(_steer, how=lambda player, by: (player.step if by > 0 else player.back)())
    _do_turn = partialmethod(_steer, how=lambda player, by: player.turn(by))
    _do_speed = partialmethod(_steer, how=lambda player, by: player.faster(by))

    def _do_theme(self, key: str) -> None:
        if self._options.colourless:
            self.prompt.say(Status.SKIP, "no colours: NO_COLOR is set", self.view.clock)
            return
        self._touched |= ALL
        self.look = self.look.next_theme()
        for lines in self.query(Lines):
            lines.wear(self.look)
        self.prompt.say(Status.OK, f"theme: {self.look.theme}", self.view.clock)

    def _do_leave(self, key: str) -> None:
        running = self.view.state.mode is not Mode.CLOSED
        if self._options.drill and running and self._asking.link is not None:
            self.prompt.open(Kind.LEAVE, self.view.clock)
        else:
            self._leave(Ending.LEFT)

    def _do_copy(self, key: str) -> None:
        pane = self.pane("over" if self.over else self.focus_name)
        rows = pane.content.rows
        text = text_of(rows[pane.index].line) if rows else "\n".join(text_of(line) for line in pane.content.body)
        self.app.copy_to_clipboard(text)
        self._say(keeping.keep(self._options.files, "copied.txt", text + "\n", "copied"))

    def _do_picture(self, key: str) -> None:
        picture = self.app.export_screenshot(title="cockpit")
        self._say(keeping.keep(self._options.files, "screen.svg", picture, "picture saved"))

    def _do_export(self, key: str) -> None:
        self._asking.begin(self._report())

    async def _report(self) -> None:
        self._say(await keeping.report(self._options.files))

    def _say(self, said: keeping.Said) -> None:
        self.prompt.say(*said, self.view.clock)

    def _do_tour(self, key: str) -> None:
        self.over.clear()
        self.prompt.open(Kind.TOUR, self.view.clock)

    # --- the mouse: it chooses and opens, it never fires a step ----------------------------------------------

    def on_pane_scrolled(self, message: Pane.Scrolled) -> None:
        message.stop()
        self.paint((message.pane,))

    def on_pane_picked(self, message: Pane.Picked) -> None:
        message.stop()
        self._touched = {*NEXT_TO_ALL, message.pane}
        if message.pane in PANES:
            self._show_parts(message.pane)
        if message.key is not None:
            self.pane(message.pane).chosen = message.key
            if message.again and self.prompt.kind not in FREE:
                self._do_detail("")
        self._after_key()

    @property
    def listed(self) -> Sequence[Row]:
        """The rows of the focused list, as shown."""
        return self.pane(self.focus_name).content.rows if self.focus_name in LISTS else ()
