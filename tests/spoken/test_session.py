"""A run that is told: every event once and in order, what is open as a question, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cockpit.model import events as ev
from cockpit.model.words import Mode, Side
from cockpit.screen.options import Ending, Options
from cockpit.spoken.session import Manner, Session
from tests.screen.demo import ARMED, READY, Recorder, Story, story


class Told:
    """A session on a story, what it said, and what it asked."""

    def __init__(self, source: Story, *, watch: bool = False, manner: Manner | None = None, **options: object) -> None:
        self.source, self.said = source, list[str]()
        self.asked = Recorder(source)
        made = Options(by="ana@bastion", **options)  # type: ignore[arg-type]
        self.session = Session(source, None if watch else self.asked, made, manner or Manner(), self.said.append)

    def look(self, seconds: float = 0.0) -> list[str]:
        """What is said then."""
        before = len(self.said)
        self.source.play(self.source.seconds + seconds)
        self.session.tell()
        return self.said[before:]


def test_a_run_is_told_from_its_beginning_each_event_once() -> None:
    async def main() -> None:
        source = story(play=False)
        told = Told(source)
        for _ in range(200):
            told.look(0.5)
        events = [text for text in told.said if text[2:3] == ":"]
        details = sum(type(e.fact) in {ev.ActionIntended, ev.ActionDone, ev.ActionProbed} for e in source.state.tail)
        good = sum(isinstance(e.fact, ev.FindingSeen) and e.fact.severity == "good" for e in source.state.tail)
        assert len(events) == source.state.seq - details - good
        assert events == sorted(events, key=lambda text: text[:8])
        assert any("The point of no return is passed, green serves." in text for text in events)

    asyncio.run(main())


def test_every_event_is_told_to_who_wants_it() -> None:
    async def main() -> None:
        source = story(play=False)
        told = Told(source, manner=Manner(every_event=True))
        for _ in range(200):
            told.look(0.5)
        assert len([text for text in told.said if text[2:3] == ":"]) == source.state.seq

    asyncio.run(main())


def test_who_joins_in_the_middle_is_told_how_it_stands_and_what_is_asked() -> None:
    async def main() -> None:
        told = Told(story(ARMED))
        first = told.look()
        assert first[0].endswith("ARMED; blue serves.")
        assert first[-1] == "Type 'arp' to do it; 'disarm' lets it be."
        assert not any(text[2:3] == ":" for text in first), "what was before is not told again"
        assert any("writes flow" not in text for text in told.look(2.0))

    asyncio.run(main())


def test_words_become_intents_and_answers_sentences() -> None:
    async def main() -> None:
        told = Told(story(READY))
        told.look()
        told.session.hear("note half past two")
        told.session.hear("disarm")
        await asyncio.gather(*told.session._asking)
        assert [(i.ask.value, i.argument, i.by) for i in told.asked.asked] == [("note", "half past two", "ana@bastion")]
        assert told.said[-2:] == ["Disarm: nothing is armed.", "Note: taken."]

    asyncio.run(main())


def test_a_pilot_that_cannot_be_asked_is_said_without_what_nobody_may_see() -> None:
    async def main() -> None:
        told = Told(story(READY))

        async def broken(intent: object) -> None:
            raise RuntimeError("secret-canary")

        told.asked.ask = broken  # type: ignore[assignment,method-assign]
        told.session.hear("arm")
        await asyncio.gather(*told.session._asking)
        assert told.said[-1] == "REFUSED: asking failed (RuntimeError)."

    asyncio.run(main())


def test_silence_and_what_is_used_of_the_budget_are_said_once() -> None:
    async def main() -> None:
        told = Told(story(49.5))  # writes have just been stalled
        told.look()
        told.source._script.clear()
        quiet = [text for _ in range(5) for text in told.look(2.0)]
        assert quiet.count("The pilot is SILENT: its figures are old, and the guardian watches it.") == 1
        late = [text for _ in range(7) for text in told.look(40.0)]
        assert [text for text in late if text.startswith("Writes are STALLED for ")] == late
        assert len(late) == 2, "at half of it, and at four fifths"

    asyncio.run(main())


def test_it_ends_with_the_run_and_when_nothing_comes() -> None:
    async def ends(source: Story, gone: Callable[[], bool] | None = None) -> Ending:
        return await asyncio.wait_for(Told(source, gone=gone).session.run(), 5)

    source = story(READY)
    source.take(ev.ModeChanged(Mode.CLOSED))
    source.take(ev.RunClosed("done", 0, Side.GREEN))
    assert asyncio.run(ends(source)) is Ending.LEFT
    assert asyncio.run(ends(Story(), lambda: True)) is Ending.REFUSED


def test_who_watches_asks_nothing() -> None:
    async def main() -> None:
        told = Told(story(READY), watch=True)
        told.look()
        told.session.hear("arm")
        assert told.said[-1] == "Arm: this screen only watches."

    asyncio.run(main())


def test_a_damaged_timeline_is_said() -> None:
    async def main() -> None:
        source = story(READY)
        source.damage = "record 7 was changed"
        assert "The timeline CANNOT BE TRUSTED: record 7 was changed." in Told(source).look()

    asyncio.run(main())


@pytest.mark.parametrize(("drill", "ending"), [(True, Ending.END_DRILL), (False, Ending.LEFT)])
def test_an_interrupt_leaves_also_where_nobody_can_be_asked(drill: bool, ending: Ending) -> None:
    async def main() -> None:
        told = Told(story(READY), drill=drill)
        told.session.interrupt(True)
        assert told.session._ending.done() is not drill, "a person at a drill is asked whether it ends"
        alone = Told(story(READY), drill=drill)
        alone.session.interrupt(False)
        assert alone.session._ending.result() is ending

    asyncio.run(main())
