"""Every kind of fact is one complete, printable sentence, whatever its texts hold."""

from __future__ import annotations

import re

import pytest

from cockpit.model import events as ev
from cockpit.model.words import Light, Mode, Outcome, Severity, Side
from cockpit.spoken.sentences import is_detail, long, sentence, tell
from tests.facts import facts

HOSTILE = (
    "\x1b[2J\x1b[H owned",
    "\x9b31m",
    "line\nbreak\r\ttab",
    "[red]x[/red]",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "\x00",
    "a" * 5000,
    "",
    "Склад",
)


def test_every_kind_of_fact_has_a_sentence() -> None:
    told = {type(fact): tell(fact) for fact in facts("calm")}
    assert set(told) == set(ev.FACT_KINDS)
    for text in told.values():
        assert re.fullmatch(r"[A-Z'].* .*[.?!]", text), text


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_what_comes_from_outside_stays_text_on_one_line(word: str) -> None:
    for fact in facts(word):
        text = tell(fact)
        assert text.isprintable(), repr(text)
        assert len(text) < 1100


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (ev.StepFinished("drain", 5.3), "The step drain is done after 5 ms."),
        (ev.StepFailed("drain", 9300.0, "no answer", "look at green"), "The step drain FAILED after 9.3 s: no answer; look at green."),
        (ev.ModeChanged(Mode.STUCK, "left half way"), "The handover is STUCK: left half way."),
        (ev.GateTurned("lag", Light.FAIL, "4 MB behind"), "The gate lag does NOT PASS: 4 MB behind."),
        (ev.DowntimeEnded(130.0), "Writes flow again after 2 min 10 s."),
        (
            ev.HandoverClosed(2, Outcome.DONE, 1.2, Side.GREEN, "", 0.068),
            "Handover 2 was done after 1.2 s, writes were stalled for 68 ms, and green serves.",
        ),
        (
            ev.FindingSeen("D2", "audit.log", Severity.BLOCK, "no key", "SELECT 1", "add a key"),
            "Preflight check D2 of audit.log BLOCKS: no key; add a key.",
        ),
        (
            ev.RunClosed("failed", 1, None, ("fence blue off",)),
            "The run is closed as failed, and which side serves is UNKNOWN: fence blue off.",
        ),
    ],
)
def test_what_asks_for_somebody_is_in_upper_case(fact: ev.Fact, said: str) -> None:
    assert tell(fact) == said


def test_a_sentence_begins_with_its_time() -> None:
    event = ev.Event(7, "2026-11-21T14:32:07.123456Z", 1.0, "pilot", ev.ReturnPassed(Side.GREEN))
    assert sentence(event) == "14:32:07 The point of no return is passed, green serves."


def test_what_a_later_sentence_sums_up_is_a_detail() -> None:
    good = ev.FindingSeen("R1", "blue", Severity.GOOD, "logical", "SHOW wal_level", "")
    bad = ev.FindingSeen("R1", "blue", Severity.BLOCK, "replica", "SHOW wal_level", "set it")
    assert [is_detail(fact) for fact in (good, bad, ev.ActionDone("x", 1.0), ev.ActionFailed("x", 1.0, "no"))] == [True, False, True, False]


@pytest.mark.parametrize(
    ("value", "said"), [(None, "an unknown time"), (0.012, "12 ms"), (59.9, "59.9 s"), (60.0, "1 min"), (150.4, "2 min 30 s")]
)
def test_a_duration_is_read_as_one(value: float | None, said: str) -> None:
    assert long(value) == said
