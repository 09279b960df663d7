"""T- and L-: what counts down, what holds it, and that a clock is a function of facts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cockpit.model import events as ev
from cockpit.model.budgets import Countdown, countdown
from cockpit.model.telemetry import PulseSample
from cockpit.model.words import Mode, Side
from tests.screen.demo import ARMED, ARMING, CUTOVER_AT, READY, SOAK, START, WINDOW, story
from tests.screen.flying import Cockpit, cockpit


def announced(in_s: float, at: float) -> ev.StartAnnounced:
    return ev.StartAnnounced("ana@bastion", (START + timedelta(seconds=at + in_s)).isoformat())


def test_t_minus_is_what_the_plan_leaves_before_writes_stall() -> None:
    source = story(CUTOVER_AT + 0.1)
    assert source.state.handover is not None
    found = countdown(source.state.handover, source.now())
    assert found == Countdown(pytest.approx(10.91, abs=0.001))


def test_a_step_that_takes_longer_than_planned_holds_it() -> None:
    source = story(ARMING)
    handover = source.state.handover
    assert handover is not None
    assert handover.current is not None
    assert handover.current.id == "gates"
    assert countdown(handover, source.now() + 60) == Countdown(5.0, "gates")


@pytest.mark.parametrize("at", [WINDOW, SOAK])
def test_once_writes_stall_nothing_counts_down_any_more(at: float) -> None:
    source = story(at)
    assert source.state.handover is not None
    assert countdown(source.state.handover, source.now()) is None


async def alive_after(c: Cockpit, seconds: float) -> None:
    """So much later, and the pilot was heard just now."""
    c.source.seconds += seconds
    c.source.take(PulseSample(c.source.now(), 4242, 10))
    await c.look()


async def test_the_band_counts_down_holds_and_counts_up() -> None:
    async with cockpit(story(READY)) as c:
        assert c.lines()[0].startswith(" T --:--")
    async with cockpit(story(ARMING)) as c:
        assert c.lines()[0].startswith(" T-00:09   ▸ arming")
        await alive_after(c, 30)
        assert c.lines()[0].startswith(" T-00:05   ! HOLD"), "the gates take longer than planned"
    async with cockpit(story(ARMED)) as c:
        await alive_after(c, 10)
        assert c.lines()[0].startswith(" T-00:00   ! ARMED"), "the lead's word is what it waits for"
    async with cockpit(story(SOAK)) as c:
        assert c.lines()[0].startswith(" T+00:2")


async def test_the_announced_start_is_counted_down_to_and_past() -> None:
    source = story(READY)
    source.take(announced(5400, READY))
    async with cockpit(source) as c:
        assert c.lines()[0].startswith(" L-1:30:00")
        await c.later(5400 - 59.5)
        assert c.lines()[0].startswith(" L-01:00")
        await c.later(180)
        assert c.lines()[0].startswith(" L+02:00")
        source.take(ev.StartAnnounced("ana@bastion", ""))
        await c.look()
        assert c.lines()[0].startswith(" T --:--")


async def test_on_its_way_the_plan_counts_and_afterwards_the_announcement_is_over() -> None:
    source = story(READY)
    source.take(announced(60, READY))
    source.play(ARMING)
    async with cockpit(source) as c:
        assert c.lines()[0].startswith(" T-00:0")
        source.play(WINDOW)
        await c.look()
        assert source.state.announced == ""
        assert c.lines()[0].startswith(" T+00:00")


@pytest.mark.parametrize("start", ["garbage", "2026-11-23T02:00:00", ""])
async def test_a_start_that_no_clock_can_count_to_is_none(start: str) -> None:
    source = story(READY)
    source.take(ev.StartAnnounced("ana@bastion", start))
    async with cockpit(source) as c:
        assert c.lines()[0].startswith(" T --:--")


async def test_what_goes_home_or_is_over_counts_down_to_nothing() -> None:
    source = story(ARMING)
    source.take(announced(5400, ARMING))
    for mode in (Mode.ABORTING, Mode.STUCK):
        source.take(ev.ModeChanged(mode))
        async with cockpit(source) as c:
            assert " T-" not in c.lines()[0]
    source.take(ev.RunClosed("aborted", 4, Side.BLUE, ()))
    async with cockpit(source) as c:
        assert " L-" not in c.lines()[0]


async def test_an_announcement_hides_no_downtime() -> None:
    source = story(WINDOW)
    source.take(announced(5400, WINDOW))
    async with cockpit(source) as c:
        assert c.lines()[0].startswith(" T+00:00")


async def test_l_announces_and_takes_back() -> None:
    async with cockpit(story(READY)) as c:
        await c.press("l")
        assert "when the cutover begins: 02:00, 2026-11-23 02:00, in 45 min, or none" in c.prompt
        await c.press(*"02", "colon", *"00", "enter")
        await c.press("l", *"soon", "enter")
        assert c.intents() == ["announce 02:00", "announce soon"]
        assert "REFUSED: say when as 02:00" in c.prompt
        await c.press("l", "enter")
        assert len(c.intents()) == 2, "nothing said is nothing asked"
