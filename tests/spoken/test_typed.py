"""What a person types: the screen's actions, questions and guards, in lines."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.words import Mode
from cockpit.screen.actions import ACTIONS
from cockpit.screen.prompt import BACK_S, Decision
from cockpit.screen.view import View
from cockpit.spoken import standing
from cockpit.spoken.typed import LOOKS, Meant, Typed
from tests.screen.demo import ARMED, ARMING, READY, SOAK, Story, story, ungraceful

LATER = 1.0
"""Seconds in which a question is read."""


class Person:
    """Types at a run that stands at some second."""

    def __init__(self, source: Story, *, acts: bool = True, drill: bool = False) -> None:
        self.source, self.acts = source, acts
        self.typed = Typed(acts=acts, drill=drill)
        self.heard = self.typed.follow(self.view)

    @property
    def view(self) -> View:
        now = self.source.now()
        return View(now, self.source.state, self.source.latest, "", not self.acts, now)

    def after(self, seconds: float) -> list[str]:
        self.source.seconds += seconds
        return self.typed.follow(self.view)

    def types(self, line: str, after: float = LATER) -> Meant:
        self.after(after)
        return self.typed.line(line, self.view)


@pytest.mark.parametrize("line", ["arm", "a", "  arm  "])
def test_a_command_is_its_word_or_its_key(line: str) -> None:
    assert Person(story(READY)).types(line) == Meant((), Decision(Ask.ARM, ""))


def test_what_does_not_fit_says_why() -> None:
    person = Person(story(READY))
    (said,) = person.types("disarm").said
    assert said == "Disarm: nothing is armed."
    assert person.types("destroy").said == ("'destroy' is no command: help lists them.",)
    assert person.types("arm now").said == ("'arm now' is no command: help lists them.",)


def test_an_armed_handover_is_asked_about_and_flies_by_its_name_alone() -> None:
    person = Person(story(ARMED))
    assert person.heard[-1] == "Type 'arp' to do it; 'disarm' lets it be."
    assert "cutover 1 BLUE to GREEN on arp" in person.heard[0]
    assert person.types("otc").said == ("Otc is not it: type arp.",)
    assert person.types("yes").decision is None
    assert person.types("").said == ("Enter alone does nothing: type arp.",)
    assert person.types("arp").decision == Decision(Ask.GO, "arp")


def test_an_answer_that_came_with_its_question_is_none() -> None:
    """Lines that were pasted, or typed for something else."""
    person = Person(story(ARMED))
    meant = person.types("arp", after=0.0)
    assert meant == Meant(("That came with the question: read it, then type the name.",))
    assert person.types("arp").decision == Decision(Ask.GO, "arp")
    person = Person(story(SOAK))
    person.types("back")
    assert person.types("Y", after=0.0).decision is None
    assert person.types("Y").decision == Decision(Ask.BACK)


def test_an_armed_handover_can_be_let_be() -> None:
    assert Person(story(ARMED)).types("disarm").decision == Decision(Ask.DISARM)


def test_an_armed_handover_that_is_looked_at_stays_armed() -> None:
    person = Person(story(ARMED))
    assert person.types("gates").said
    assert person.types("arp").decision == Decision(Ask.GO, "arp")


def test_back_to_blue_takes_two_words_and_expires() -> None:
    person = Person(story(SOAK))
    asked = person.types("back")
    assert asked.decision is None
    assert asked.said[-1] == "Type Y to do it, anything else to stay."
    assert person.types("y").said == ("Stayed: nothing was done.",)
    assert person.types("Y").said == ("'Y' is no command: help lists them.",), "a question that was answered is no longer open"
    person.types("B")
    assert person.after(BACK_S + 1) == ["Back to blue: not confirmed in time, nothing was done."]
    assert person.types("Y").decision is None


def test_without_what_blue_has_not_the_bill_is_read_first() -> None:
    person = Person(ungraceful())
    assert "Green would keep: " in person.heard[0]
    assert person.types("arp").decision is None
    assert person.types("arp ungraceful").decision == Decision(Ask.GO, "arp ungraceful")


def test_closing_takes_the_name_and_any_command_lets_it_be() -> None:
    person = Person(story(READY))
    person.types("close")
    assert person.types("status").said
    assert person.types("arp").said == ("'arp' is no command: help lists them.",)
    person.types("Q")
    assert person.types("arp").decision == Decision(Ask.CLOSE, "arp")


def test_an_announcement_is_a_time() -> None:
    person = Person(story(READY))
    assert person.types("announce").said == (
        "An announcement needs a time: say when as 02:00, as 2026-11-23 02:00 or as in 45 min; none takes it back.",
    )
    assert person.types("announce in 45 min").decision == Decision(Ask.ANNOUNCE, "in 45 min")
    person.source.take(ev.StartAnnounced("ana", "2026-03-14T15:31:00+00:00"))
    assert "The announced start is in 60 min 28 s." in standing.status(person.view)
    person.after(7200)
    assert any(re.fullmatch(r"The announced start was 59 min \d+ s ago, it is LATE\.", line) for line in standing.status(person.view))


def test_a_countdown_says_what_holds_it() -> None:
    person = Person(story(ARMING))
    person.after(60)
    assert "Writes stall in 5.0 s by the plan; the clock is HELD by gates." in standing.status(person.view)


def test_a_note_is_words() -> None:
    person = Person(story(READY))
    assert person.types("note").said == ("A note needs words: note TEXT.",)
    assert person.types("note all well at 2").decision == Decision(Ask.NOTE, "all well at 2")
    assert person.types("m \x1b[2Jwell").decision == Decision(Ask.NOTE, "^[[2Jwell")


def test_who_only_watches_changes_nothing() -> None:
    person = Person(story(ARMED), acts=False)
    assert person.heard == []
    for action in ACTIONS:
        if action.ask is not None and action.id != "go":
            meant = person.types({"note": "note x", "announce": "announce 02:00"}.get(action.id, action.id))
            assert meant.decision is None
            assert "only watches" in meant.said[0]


def test_leaving_a_drill_asks_whether_it_ends() -> None:
    person = Person(story(READY), drill=True)
    assert person.types("q").said[-1].startswith("End the drill?")
    assert person.types("no").decision is None
    for answer, end in (("d", False), ("Y", True)):
        person = Person(story(READY), drill=True)
        person.types("leave")
        assert person.types(answer).decision == Decision(leave=True, end=end)
    assert Person(story(READY)).types("leave").decision == Decision(leave=True)


def test_help_lists_every_command_with_why_it_cannot_be_done_now() -> None:
    said = Person(story(READY)).types("help").said
    names = [*LOOKS, *(a.id for a in ACTIONS if a.ask is not None and a.id != "go"), "help", "leave"]
    assert [text.split(":")[0].split(",")[0].lower() for text in said] == names
    assert any("not now: nothing is armed" in text for text in said)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("at", [0.0, READY, ARMED, SOAK])
def test_every_look_answers_in_whole_sentences_at_any_time(look: str, at: float) -> None:
    said = Person(story(at)).types(look, after=0.0).said
    assert said
    assert all(text.isprintable() and text.endswith((".", "?")) for text in said), said


def test_old_figures_are_said_to_be_old() -> None:
    person = Person(story(READY))
    person.after(60)
    assert any(text.startswith("OLD, of 1 min") for text in person.types("lag").said)


def test_what_the_pilot_answers_is_said() -> None:
    person = Person(story(READY))
    assert person.typed.replied(Ask.ARM, False, "a gate holds", person.view) == ["REFUSED: a gate holds."]
    assert person.typed.replied(Ask.NOTE, True, "", person.view) == ["Note: taken."]


def test_an_alarm_is_in_the_status_with_its_remedy() -> None:
    source = story(READY)
    source.take(ev.AlarmRaised("slot", "the slot is gone", "SELECT 1", "arm again"))
    source.take(ev.ModeChanged(Mode.STUCK, "half way"))
    said = Person(source).types("status").said
    assert "ALARM: the slot is gone; arm again." in said
    assert any("STUCK" in text for text in said)
    assert replace(source.state).alarms
