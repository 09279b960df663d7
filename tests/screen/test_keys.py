"""Nothing dangerous happens by habit, by accident or by paste; and what is meant happens at once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual import events

from cockpit.errors import LinkError
from cockpit.model import events as ev
from cockpit.model.intents import Ask, Intent
from cockpit.model.telemetry import ReadinessSample, ServerSample
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.screen import tour
from cockpit.screen.actions import ACTIONS, table
from cockpit.screen.cells import line_width, text_of
from cockpit.screen.main import CLOCK_S, STILL_S, MainScreen
from cockpit.screen.options import Ending, Options
from cockpit.screen.tour import PAGES
from cockpit.timeline.journal import Journal
from cockpit.timeline.wire import Reply
from tests.screen.demo import ARMED, READY, SOAK, WINDOW, Story, approved, story, ungraceful, waiting
from tests.screen.flying import Cockpit, cockpit

ROLLBACK_WINDOW = 91.2
"""A rollback is in its window."""


async def test_a_arms_what_comes_next() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("a")
        assert c.intents() == ["arm"]
        assert c.asked.asked[0].saw == c.source.state.seq
        assert c.asked.asked[0].by == "ana@bastion"


async def test_the_typed_name_and_enter_fly_it() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.later(0.5)
        await c.press("a", "r", "p")
        assert "type arp: arp_" in c.prompt
        await c.press("enter")
        assert c.intents() == ["go arp"]


async def test_a_wrong_name_is_said_at_once_and_never_flies() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.later(0.5)
        await c.press("a", "x")
        assert "✗ NOT arp" in c.prompt
        await c.press("enter")
        assert c.intents() == []
        assert "type arp" in c.prompt


async def test_the_bill_stays_in_sight_until_its_phrase_is_typed() -> None:
    source = ungraceful()
    async with cockpit(source) as c:
        await c.later(0.5)
        assert "311  sales.orders" in c.text
        assert "UNGRACEFUL: green keeps at least 412 changes in 3 tables" in c.prompt
        await c.press("a", "r", "p", "enter")
        assert c.intents() == [], "the pair's name is not enough"
        await c.press(*"arp", "space", *"ungraceful", "enter")
        assert c.intents() == ["go arp ungraceful"]
        source.take(ev.ModeChanged(Mode.WINDOW))
        await c.look()
        assert "311  sales.orders" not in c.text


async def test_escape_disarms_an_ungraceful_rollback_and_no_two_keys_fly_it() -> None:
    async with cockpit(ungraceful()) as c:
        await c.later(0.5)
        await c.press("B", "Y")
        assert c.intents() == []
        await c.press("ctrl+u", "escape")
        assert c.intents() == ["disarm"]


async def test_enter_alone_does_nothing() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.later(0.5)
        await c.press("enter", "enter", "enter")
        assert c.intents() == []
        assert "enter alone does nothing: type arp" in c.prompt, "the name as it is to be typed"


async def test_a_double_enter_flies_once() -> None:
    async with cockpit(story(ARMED)) as c:
        c.main._asking.link = _Slow(c)
        await c.later(0.5)
        await c.press("a", "r", "p", "enter", "enter", "enter")
        assert c.intents() == ["go arp"]
        assert "sent" in c.prompt


async def test_the_first_instant_after_arming_ignores_keys() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.press("a", "r", "p", "enter")
        assert c.intents() == []
        assert "type arp: _" in c.prompt


async def test_pasting_never_confirms() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.later(0.5)
        for text in ("arp", "arp\n", "x" * 10_000, "\x1b]52;c;AAAA\x07" * 500):
            c.app.post_message(events.Paste(text))
            await c.pilot.pause()
        assert "PASTING DOES NOT CONFIRM" in c.prompt
        await c.press("enter")
        assert c.intents() == []


async def test_ten_thousand_pasted_characters_in_a_note_are_bounded() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("m")
        c.app.post_message(events.Paste("n\n\x1b[31m" * 10_000))
        await c.pilot.pause()
        await c.press("enter")
        assert len(c.asked.asked[0].argument) <= 500
        assert c.asked.asked[0].argument.isprintable()


async def test_an_expired_arming_does_not_fly() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.later(0.5)
        await c.press("a", "r", "p")
        await c.later(60)
        await c.press("enter")
        assert c.intents() == []
        assert "EXPIRED" in c.prompt


async def test_what_was_typed_is_forgotten_when_it_is_no_longer_armed() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.later(0.5)
        await c.press("a", "r", "p")
        full = story(SOAK)
        c.source.state, c.source.latest, c.source.seconds = full.state, full.latest, full.seconds
        await c.look()
        await c.press("enter")
        assert c.intents() == []
        assert "type arp" not in c.prompt


async def test_while_a_second_person_is_waited_for_the_name_flies_nothing() -> None:
    async with cockpit(waiting()) as c:
        await c.later(0.5)
        assert "WAITING for a second person: cockpit approve arp-7f3a" in c.prompt
        assert "8:11 left" in c.prompt
        await c.press("r", "p", "enter", "escape", "escape")
        assert c.intents() == []
        await c.later(60)
        assert "7:11 left" in c.prompt


async def test_while_it_waits_the_lead_may_look_note_and_disarm() -> None:
    async with cockpit(waiting()) as c:
        await c.later(0.5)
        await c.press("m", *"called", "space", "bob")
        await c.later(0.5)
        assert "a note into the timeline" in c.prompt, "and is not interrupted"
        await c.press("b", "enter")
        await c.press("question_mark", "escape")
        await c.later(9)
        assert "WAITING for a second person" in c.prompt
        await c.press("exclamation_mark")
        assert "a second person is waited for" in c.text
        await c.press("escape", "D")
        assert c.intents()[0].startswith("note called ")
        assert c.intents()[-1] == "disarm"


async def test_back_to_blue_needs_no_second_person() -> None:
    async with cockpit(waiting()) as c:
        await c.later(0.5)
        await c.press("B", "Y")
        assert c.intents() == ["back"]


async def test_once_approved_the_typed_name_flies_it() -> None:
    source = waiting()
    async with cockpit(source) as c:
        await c.later(0.5)
        given = approved()
        source.state, source.latest, source.seconds = given.state, given.latest, given.seconds
        await c.look()
        assert "approved by bob" in c.prompt
        assert "20 s left" in c.prompt
        await c.later(0.5)
        await c.press("a", "r", "p", "enter")
        assert c.intents() == ["go arp"]


async def test_who_watches_sees_what_is_waited_for() -> None:
    async with cockpit(waiting(), watch=True) as c:
        await c.look()
        assert "WAITING for a second person: cockpit approve arp-7f3a" in c.prompt
        await c.press("D", "B", "Y")
        assert c.intents() == []


async def test_escape_disarms() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.press("escape")
        assert c.intents() == ["disarm"]


async def test_back_needs_y_after_b() -> None:
    async with cockpit(story(SOAK)) as c:
        await c.press("Y")
        assert c.intents() == []
        await c.press("B")
        assert "BACK TO BLUE?" in c.prompt
        await c.press("enter", "B", "y")
        assert c.intents() == []
        await c.press("B", "Y")
        assert c.intents() == ["back"]


async def test_a_small_y_is_no_answer_and_leaves_the_question_standing() -> None:
    for moment, opens, question, asked in ((SOAK, "B", "BACK TO BLUE?", "back"), (ROLLBACK_WINDOW, "A", "ABORT?", "abort")):
        async with cockpit(story(moment)) as c:
            await c.press(opens, "y")
            assert question in c.prompt
            assert "Y is a capital letter" in c.prompt
            assert "copied" not in c.text
            await c.press(opens, "Y")
            assert c.intents() == [asked]


async def test_no_other_action_runs_under_a_question() -> None:
    for key in ("a", "U", "D", "z", "q", "ctrl+c", "Q", "m", "r", "plus", "question_mark", "enter", "S"):
        async with cockpit(story(SOAK)) as c:
            before = c.lines()[:-2]
            await c.press("B", key)
            assert "stayed: nothing was done" in c.prompt, key
            assert c.lines()[:-2] == before, key
            await c.press("Y")
            assert c.intents() == [], key


async def test_what_was_taken_gives_way_to_how_it_ended() -> None:
    source = story(SOAK)
    async with cockpit(source) as c:
        await c.press("B", "Y")
        assert "✓ back: taken" in c.prompt
        source.take(ev.HandoverOpened(2, Direction.ROLLBACK, "c0ffee", "B, then Y", 20.0))
        source.take(ev.ModeChanged(Mode.ARMING))
        await c.look()
        assert "✓ back: taken" in c.prompt
        source.take(ev.HandoverClosed(2, Outcome.ABORTED, 0.02, Side.GREEN, "green cannot be reached"))
        source.take(ev.ModeChanged(Mode.READY))
        await c.look()
        assert "taken" not in c.prompt
        assert "rollback 2 ABORTED: green cannot be reached" in c.prompt


async def test_what_was_taken_gives_way_to_being_stuck_also_when_that_was_faster_than_the_reply() -> None:
    source = story(WINDOW - 0.4)
    async with cockpit(source) as c:
        c.main._asking.link = _Ending(c)
        await c.press("B", "Y")
        await c.look()
        assert "taken" not in c.prompt
        assert "STUCK: blue does not answer" in c.prompt


async def test_a_run_that_stays_stuck_is_closed_as_it_is_by_a_longer_word() -> None:
    source = story(WINDOW - 0.4)
    source.take(ev.AlarmRaised("open: resume pool", "resume pool: no answer"))
    source.take(ev.HandoverClosed(1, Outcome.STUCK, 0.02, Side.BLUE, "pool does not answer"))
    source.take(ev.ModeChanged(Mode.STUCK, "pool does not answer"))
    async with cockpit(source) as c:
        await c.press("Q")
        assert "CLOSE the run AS IT IS" in c.prompt
        assert "type arp half way:" in c.prompt
        await c.later(1.0)
        await c.press(*"arp", "enter")
        assert c.intents() == []
        await c.press(*"arp", "space", *"half", "space", *"way", "enter")
        assert c.intents() == ["close arp half way"]


async def test_letters_count_a_tenth_of_a_second_after_arming_and_enter_later() -> None:
    async with cockpit(story(ARMED)) as c:
        await c.later(0.15)
        await c.press("a", "r", "p", "enter")
        assert c.intents() == []
        assert "type arp: arp_" in c.prompt
        await c.later(0.2)
        await c.press("enter")
        assert c.intents() == ["go arp"]


async def test_what_is_typed_is_seen_where_there_is_no_room_for_hints() -> None:
    async with cockpit(story(ARMED), (40, 12)) as c:
        await c.later(0.5)
        await c.press("a", "r")
        assert "type arp: ar_" in c.prompt
        await c.press("x")
        assert "NOT arp" in c.prompt


async def test_a_refusal_names_the_key_and_no_inner_word() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("U")
        assert "U: blue serves already" in c.prompt


async def test_a_closed_run_offers_only_to_look_and_to_leave() -> None:
    source = story(SOAK)
    source.take(ev.RunClosed("done", 0, Side.GREEN, ()))
    source.take(ev.ModeChanged(Mode.CLOSED))
    async with cockpit(source, (120, 40)) as c:
        assert "BACK" not in c.lines()[-1]
        assert "arm" not in c.lines()[-1]
        assert "note" not in c.lines()[-1]
        assert "q leave" in c.lines()[-1]


async def test_without_green_the_way_without_it_is_read_first() -> None:
    source = story(SOAK)
    source.take(ReadinessSample(source.now(), None, (), "green cannot be reached: " + "connection refused " * 6))
    async with cockpit(source) as c:
        await c.press("B")
        assert "BACK TO BLUE?  U goes WITHOUT what blue has not" in c.prompt
        assert cell_len(c.lines()[-2].rstrip()) <= 80


async def test_a_new_load_is_told() -> None:
    async with cockpit(story(READY)) as c:
        c.main._asking.link = _Loaded()
        await c.press("plus")
        assert "load 15%" in c.prompt


async def test_a_side_that_is_down_is_told_at_every_width() -> None:
    for size in ((40, 12), (60, 18), (80, 24), (100, 30), (120, 40), (200, 60)):
        source = story(SOAK)
        source.take(ServerSample(source.now(), Side.GREEN, False, "", None, None, None, None, "connection refused"))
        source.take(ev.AlarmRaised("green", "green is down", "", ""))
        async with cockpit(source, size) as c:
            assert re.search("✗ green[ a-z0-9.]* DOWN", c.lines()[0]), size


async def test_back_expires_after_ten_seconds() -> None:
    async with cockpit(story(SOAK)) as c:
        await c.press("B")
        await c.later(10.5)
        await c.press("Y")
        assert c.intents() == []
        assert "nothing was done" in c.prompt


async def test_back_works_in_the_window_and_while_armed() -> None:
    for moment in (WINDOW - 0.4, ARMED):
        async with cockpit(story(moment)) as c:
            await c.later(0.4)
            await c.press("B", "Y")
            assert c.intents() == ["back"]


async def test_abort_needs_y_after_a_and_works_in_a_rollbacks_window() -> None:
    async with cockpit(story(ROLLBACK_WINDOW)) as c:
        await c.press("B")
        assert "A, then Y aborts it" in c.prompt
        await c.press("Y", "A")
        assert "ABORT?" in c.prompt
        assert "green serves on" in c.prompt
        await c.press("enter", "A", "y", "A", "escape")
        assert c.intents() == []
        await c.press("A", "Y")
        assert c.intents() == ["abort"]


async def test_abort_expires_as_back_does() -> None:
    async with cockpit(story(WINDOW - 0.4)) as c:
        await c.press("A")
        await c.later(10.5)
        await c.press("Y")
        assert c.intents() == []
        assert "abort: not confirmed in time" in c.prompt


async def test_a_key_that_cannot_says_why() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("B")
        assert "blue serves already" in c.prompt
        await c.press("D")
        assert "nothing is armed" in c.prompt
        assert c.intents() == []


async def test_keys_before_anything_is_armed_ask_for_nothing() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("p", "p", "Y", "y", "enter", "escape", "z", "z", "tab", "s", "j", "k", "G", "t", "1", "2", "x", "ctrl+x", "f5", "Z")
        assert c.intents() == []


async def test_watching_asks_for_nothing() -> None:
    async with cockpit(story(ARMED), watch=True) as c:
        await c.later(0.5)
        await c.press("a", "r", "p", "enter", "B", "Y", "D", "m", "Q")
        assert c.intents() == []
        assert "watch" in c.text


async def test_closing_needs_the_name() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("Q")
        await c.later(0.5)
        await c.press("y", "enter")
        assert c.intents() == []
        await c.press("a", "r", "p", "enter")
        assert c.intents() == ["close arp"]


async def test_a_drill_is_asked_about_before_it_is_left() -> None:
    for keys, ending in ((("q", "Y"), Ending.END_DRILL), (("q", "d"), Ending.LEFT), (("ctrl+c", "d"), Ending.LEFT)):
        async with cockpit(story(READY)) as c:
            await c.press("q", "escape")
            assert c.app.is_running
            await c.press(*keys)
        assert c.app.return_value == ending


async def test_a_live_run_is_left_at_once() -> None:
    async with cockpit(story(READY), options=Options(drill=False)) as c:
        await c.press("q")
    assert c.app.return_value == Ending.LEFT


async def test_an_unreachable_pilot_is_said() -> None:
    async with cockpit(story(READY)) as c:
        c.main._asking.link = _Gone()
        await c.press("a")
        await c.pilot.pause()
        assert "cannot be reached" in c.prompt


async def test_a_note_is_written() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("m", *"calm", "space", "q", "1", "enter")
        assert c.intents() == ["note calm q1"]


async def test_a_filter_narrows_and_escape_clears_it() -> None:
    async with cockpit(story(SOAK), (120, 40)) as c:
        await c.press("2", "slash", *"tags", "enter")
        assert len(c.main.listed) == 1
        await c.press("escape")
        assert len(c.main.listed) == 40


async def test_the_palette_finds_and_does() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("colon", *"arm", "enter")
        assert c.intents() == ["arm"]
        assert "COMMANDS" not in c.text


async def test_the_mouse_chooses_but_never_fires() -> None:
    async with cockpit(story(ARMED), (120, 40)) as c:
        await c.later(0.5)
        for name in ("lag", "recon", "route", "procedure", "timeline", "foot", "clock"):
            await c.pilot.click(f"#{name}", offset=(3, 5 if name not in ("foot", "clock") else 1))
        assert c.intents() == []
        assert c.main.focus_name == "timeline"


async def test_a_frozen_view_is_released_by_what_a_person_must_see() -> None:
    source = story(READY)
    async with cockpit(source) as c:
        await c.press("p")
        await c.later(3)
        assert "VIEW FROZEN 3s" in c.prompt
        source.play(ARMED)
        await c.look()
        assert "FROZEN" not in c.prompt


async def test_only_changed_rows_are_painted() -> None:
    async with cockpit(story(SOAK), (120, 40)) as c:
        parts = [c.main.query_one("#recon"), c.main.query_one("#route"), c.main.query_one("#procedure")]
        before = [p.repainted for p in parts]  # type: ignore[attr-defined]
        await c.look()
        assert [p.repainted for p in parts] == before  # type: ignore[attr-defined]


async def test_what_came_at_once_is_painted_when_all_of_it_is_read() -> None:
    """Half of it would be painted for a few milliseconds; but a reader that stays behind keeps nobody from seeing what is known."""
    async with cockpit(story(SOAK), (120, 40)) as c:
        before = c.text
        c.source.behind = True
        c.source.play(SOAK + CLOCK_S - 0.1)
        await c.look()
        assert c.text == before
        c.source.play(SOAK + STILL_S + 0.1)
        await c.look()
        assert c.text != before
        shown = c.text
        c.source.play(SOAK + STILL_S + 0.4)
        await c.look()
        assert c.text == shown
        c.source.behind = False
        await c.look()
        assert c.text != shown, "nothing more was read, but all of it is now"
        half = c.text
        await c.later(0.2)
        assert c.text == half, "nothing new: neither clocks nor ages are due"
        await c.later(STILL_S)
        assert c.text != half, "clocks and ages go on"


def test_every_action_is_done_somewhere_and_no_key_has_two_meanings() -> None:
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys))
    for action in ACTIONS:
        here = hasattr(MainScreen, f"_do_{action.id}")
        assert here or action.ask is not None, action.id
        assert action.level == 0 or action.ask is not None, action.id
    assert table().count("\n") == len(ACTIONS) + 2


async def test_after_a_cutover_the_rollback_is_what_a_arms() -> None:
    source = story(SOAK)
    assert source.state.mode is Mode.READY
    async with cockpit(source) as c:
        await c.press("a")
        assert c.intents() == ["arm"]
        assert "arm rollback" in c.prompt


class _Slow:
    """A pilot that has not answered yet."""

    def __init__(self, cockpit: Cockpit) -> None:
        self.cockpit = cockpit

    async def ask(self, intent: Intent) -> Reply:
        import asyncio

        self.cockpit.asked.asked.append(intent)
        await asyncio.Event().wait()
        raise AssertionError


class _Ending:
    """A pilot whose flight has come to grief before its reply arrives."""

    def __init__(self, cockpit: Cockpit) -> None:
        self.source = cockpit.source

    async def ask(self, intent: Intent) -> Reply:
        self.source.take(ev.HandoverClosed(1, Outcome.STUCK, 0.02, Side.BLUE, "blue does not answer"))
        self.source.take(ev.ModeChanged(Mode.STUCK, "blue does not answer"))
        return Reply(True, self.source.state.seq)


class _Loaded:
    async def ask(self, intent: Intent) -> Reply:
        return Reply(True, 1, "load 15%")


class _Gone:
    async def ask(self, intent: Intent) -> Reply:
        raise LinkError("the pilot cannot be reached (FileNotFoundError)")


def test_the_story_is_whole() -> None:
    """The demo that pictures are taken of ends where it began, after a cutover and a rollback."""
    made: Story = story(399)
    assert [str(h.outcome) for h in made.state.past] == ["done", "done"]
    assert made.state.serving == "blue"
    assert Ask.BACK in [getattr(e.fact, "intent", None) for e in made.state.tail]


async def test_until_a_run_is_read_it_is_not_judged_and_no_key_acts_on_half_of_it() -> None:
    source = story(ARMED)
    source.behind, source.seconds = True, source.seconds + 31
    async with cockpit(source) as c:
        assert "reading the run" in c.prompt
        assert "LINK" not in c.text
        assert "serves" not in c.lines()[0], "half of a timeline shows a run as it was"
        await c.press("a", "B", "Y")
        assert c.intents() == []
        assert "being read" in c.prompt
        source.behind = False
        await c.look()
        assert "LINK" in c.text


async def test_the_tour_goes_round_the_panes_and_gives_way_to_what_is_meant() -> None:
    async with cockpit(story(READY)) as c:
        assert "T shows you round" in c.prompt
        await c.press("T")
        assert f"1/{len(PAGES)} " in c.prompt
        for page in PAGES[1:]:
            await c.press("enter")
            assert page.what in c.prompt
            assert not page.pane or c.main.focus_name == page.pane
        await c.press("backspace")
        assert PAGES[-2].what in c.prompt
        await c.press("enter", "enter")
        assert "T shows you round" in c.prompt, "after the last page it is over"
        await c.press("T", "escape")
        assert PAGES[0].what not in c.prompt
        await c.press("T", "a")
        assert c.intents() == ["arm"], "every other key does what it always does"
        c.source.play(ARMED)
        await c.look()
        assert "type arp" in c.prompt


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_page_of_the_tour_fits(width: int) -> None:
    for number, page in enumerate(PAGES):
        first, second = tour.lines(number, width)
        assert max(line_width(first), line_width(second)) < width
        assert width < 80 or page.what in text_of(first)


async def test_e_writes_the_report_beside_the_run(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "timeline.jsonl", "pilot")
    for event in story(SOAK).state.tail:
        journal.append(event.fact, durable=False)
    journal.close()
    async with cockpit(story(SOAK), (120, 40), options=Options(files=tmp_path)) as c:
        await c.press("e")
        await asyncio.gather(*c.main._asking.under_way)
        await c.look()
        assert "report saved: " in c.prompt
    assert "# " in (tmp_path / "report.md").read_text()


async def test_a_report_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    async with cockpit(story(SOAK), (120, 40), options=Options(files=tmp_path / "gone")) as c:
        await c.press("e")
        await asyncio.gather(*c.main._asking.under_way)
        await c.look()
        assert "NOT SAVED" in c.prompt
