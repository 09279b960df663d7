"""Text as an outside system may send it, and a run that is full of it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from cockpit.model import events as ev
from tests.screen.demo import SOAK, Story, story

HOSTILE = (
    "\x1b[2J\x1b[H owned", "\x1b]52;c;cm0gLXJmIC8=\x07", "\x9b31m C1", "\x07bell\x08\x08", "line\nbreak\r\ttab", "[red]not red[/red]", "error: [/foo] bad",
    "\u202egnp.exe", "\u2066isolate\u2069", "zero\u200bwidth", "\ufeffbom", "é́́́ combining", "名前が長い" * 20, "\x00null", "\u2028separator", "a" * 5000, "", "👩‍👩‍👧 family",
)  # fmt: skip


def poisoned(value: Any, poison: str) -> Any:
    """`value` with every free text in it replaced."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: poisoned(getattr(value, f.name), poison) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(poisoned(item, poison) for item in value)
    return poison if type(value) is str else value


def samples(source: Story) -> list[Any]:
    """The newest of every kind that the story has."""
    latest = source.latest
    return [latest.lag, latest.routing, latest.recon, latest.gates, latest.readiness, *latest.servers.values(), *latest.poolers.values()]


def poison_story(poison: str) -> Story:
    """A run in its soak in which every free text is `poison`."""
    clean = story(SOAK)
    made = Story(seconds=clean.seconds)
    for event in clean.state.tail:
        fact = event.fact if isinstance(event.fact, ev.RunOpened | ev.StepStarted | ev.StepFinished) else poisoned(event.fact, poison)
        made.take(fact, event.mono - 1000)
    made.take(poisoned(ev.AlarmRaised("a", "w", "q", "r"), poison))
    made.take(ev.NoteTaken(poison, poison))
    for sample in samples(clean):
        made.latest.take(poisoned(sample, poison))
    made.damage = poison
    return made
