"""A finished run on the same screen: it plays, stands still, steps and jumps, and nothing of it can be flown."""

from __future__ import annotations

from pathlib import Path

from cockpit.model import events as ev
from cockpit.model.words import Direction, Mode, Outcome, Side
from cockpit.screen.actions import ACTIONS, REPLAY
from cockpit.screen.options import Options
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import Journal
from cockpit.timeline.replayer import Replayer
from tests.screen.demo import SOAK, story
from tests.screen.flying import cockpit


def recorded(root: Path, wall: list[float]) -> Replayer:
    """A cutover of ten seconds, with the demo's own opening."""
    moments = iter([100.0, 101.0, 102.0, 103.0, 105.0, 107.0, 110.0])
    journal = Journal.create(RunFolder(root).timeline, "pilot", lambda: next(moments))
    opened = next(e.fact for e in story(SOAK).state.tail if isinstance(e.fact, ev.RunOpened))
    for fact in (
        opened, ev.SidesSeen(Side.BLUE, "16.9", "18.1"), ev.ModeChanged(Mode.READY), ev.HandoverOpened(1, Direction.CUTOVER, "c0ffee", "type it"),
        ev.StepStarted("arm"), ev.HandoverClosed(1, Outcome.DONE, 4.0, Side.GREEN), ev.RunClosed("done", 0, Side.GREEN),
    ):  # fmt: skip
        journal.append(fact, durable=False)
    journal.close()
    return Replayer(RunFolder(root), clock=lambda: wall[0])


async def test_it_plays_at_its_speed_and_ends(tmp_path: Path) -> None:
    wall = [0.0]
    player = recorded(tmp_path, wall)
    async with cockpit(player, watch=True, options=Options(player=player)) as c:  # type: ignore[arg-type]
        assert "REPLAY x1  00:00 of 00:10" in c.prompt
        wall[0] += 3.5
        await c.look()
        assert "00:02 of 00:10" in c.prompt
        assert "BLUE serves" in c.text
        for timer in list(c.main._timers):
            timer.pause()
        await c.press("greater_than_sign")
        assert "REPLAY x2" in c.prompt, "shown by the key itself, not by the next tick"
        wall[0] += 100
        await c.look()
        assert "REPLAY OVER  00:10 of 00:10" in c.prompt
        assert "GREEN serves" in c.text
        assert "closed" in c.text


async def test_space_stands_still_and_brackets_step(tmp_path: Path) -> None:
    wall = [0.0]
    player = recorded(tmp_path, wall)
    async with cockpit(player, watch=True, options=Options(player=player)) as c:  # type: ignore[arg-type]
        await c.press("space")
        wall[0] += 60
        await c.look()
        assert "REPLAY STANDS STILL  00:00 of 00:10" in c.prompt
        await c.press("]", "]")
        assert player.state.seq == 2
        await c.press("[")
        assert player.state.seq == 1
        await c.press("}")
        assert player.state.seq == 4, "a handover opened"
        assert "cutover 1" in c.text
        await c.press("}", "{")
        assert player.state.seq == 4


async def test_nothing_can_be_flown_and_its_keys_are_only_there(tmp_path: Path) -> None:
    player = recorded(tmp_path, [0.0])
    async with cockpit(player, watch=True, options=Options(player=player)) as c:  # type: ignore[arg-type]
        assert "a arm" not in c.prompt
        assert "space play" in c.prompt
        await c.press("B")
        assert "this screen only watches" in c.prompt
    async with cockpit(story(SOAK)) as c:
        assert "space play" not in c.prompt
        await c.press("space")
        assert "only in a replay" in c.prompt
    assert {a.id for a in ACTIONS if a.group == REPLAY} == {"play", "step", "turn", "speed"}
