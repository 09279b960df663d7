"""The rollback of a bad day: blue takes over without what it has not, and every write that it leaves behind is on the bill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cockpit.errors import Refused, SystemFault
from cockpit.handover.procedure import IDS
from cockpit.handover.ungraceful import ungraceful_steps
from cockpit.model import events as ev
from cockpit.model.bill import in_words
from cockpit.model.intents import Ask
from cockpit.model.state import RunState
from cockpit.model.words import Mode, Outcome, Side
from cockpit.settling import Wish
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.systems.memory.apps import AppPlan
from cockpit.systems.memory.oracle import lost
from cockpit.systems.memory.servers import MemoryServers
from cockpit.timeline.journal import read
from cockpit.wiring import cleanup
from tests.handover.apart import TAIL, WINDOW, WORDS, arm_force, die_forced, follows, forced, on_green, parted, world
from tests.handover.commanded import settled
from tests.handover.crashed import bury, kept, take_over, taken_up
from tests.handover.harness import Seat, flying, quick_scenario, seated


def _bill(state: RunState) -> int:
    assert state.handover is not None
    assert state.handover.bill is not None
    total = state.handover.bill.total
    assert total is not None
    return total


def _kept_on_green(memory: MemoryWorld) -> list[str]:
    """What green's slot keeps, of the apps."""
    return [row.op for row in memory.cluster.streams[Side.GREEN].waiting() if not row.ours]


def _broken_laws(memory: MemoryWorld) -> list[str]:
    """Every law but the one that is given up on purpose: that blue has all that green had."""
    return [what for what in memory.oracle(expect=Side.BLUE) if "diverged" not in what and not what.startswith("lost:")]


def test_every_step_is_one_that_a_scenario_knows() -> None:
    memory = world()
    steps = [step.id for step in ungraceful_steps(memory.world(), memory.pair, quick_scenario())]
    assert set(steps) < set(IDS)
    assert steps[:2] == ["arm", "confirm"]
    assert not {"drain", "verify", "gates"} & set(steps)


def test_green_is_dead_and_blue_takes_over_without_its_last_writes(tmp_path: Path) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat, ahead_s=3, dead=True)
            await arm_force(seat)
            assert _bill(seat.state) > 5, "the bill is there before anything is touched"
            assert not seat.state.handover.bill.exact
            assert memory.serving is None
            for word in ("", "arp", "ungraceful"):
                assert (await seat.ask(Ask.GO, word)).reason == f"type {WORDS} to confirm"
            assert not (await seat.ask(Ask.BACK)).ok, "two quick keys do not confirm it"
            assert (await seat.ask(Ask.GO, WORDS)).ok
            assert await seat.landed(1) is Outcome.DONE, seat.tail()
            assert seat.state.serving is Side.BLUE
            assert memory.serving is Side.BLUE
            assert {"bill", "open: fence green on"} <= {alarm.id for alarm in seat.state.alarms}
            assert await memory.probe_apps() == []
            missing = lost(memory.cluster, memory.ledger, Side.BLUE)
            assert missing
            assert set(missing) <= set(_kept_on_green(memory)), "what is lost is kept by green's slot"
            back_at = asyncio.get_running_loop().time()
            memory.cluster.nodes[Side.GREEN].recover()
            memory.cluster.streams[Side.GREEN].stalled = False
            await seat.until(lambda s: "open: fence green on" not in {alarm.id for alarm in s.alarms}, 20)
            assert memory.cluster.nodes[Side.GREEN].fenced, "it is fenced as soon as it answers"
            kept = _kept_on_green(memory)
            assert set(missing) <= set(kept), "its state is preserved: nothing of it is applied now"
            assert (await seat.ask(Ask.ARM)).reason.startswith("green holds writes that blue has not")
            await memory.settle()
            assert _kept_on_green(memory) == kept
            # A server that comes back is open for the moment until it is seen: nobody is led there.
            broken = [what for what in _broken_laws(memory) if not 0 <= float(what.split()[0]) - back_at <= 1]
            assert broken == [], seat.tail()

    run_warped(main())


def test_the_mirror_stands_still_and_the_bill_is_counted_to_the_last_row(tmp_path: Path) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat, ahead_s=10)
            assert await seat.back() is Outcome.ABORTED, "the graceful way back does not drain"
            assert memory.serving is Side.GREEN
            assert await forced(seat) is Outcome.DONE, seat.tail()
            assert memory.cluster.nodes[Side.GREEN].fenced
            missing = lost(memory.cluster, memory.ledger, Side.BLUE)
            assert set(missing) <= set(_kept_on_green(memory))
            assert _bill(seat.state) == len(_kept_on_green(memory)) > 10
            assert seat.state.handover.bill.exact
            assert "changes in 1 table, the oldest" in in_words(seat.state.handover.bill)
            assert not memory.cluster.streams[Side.BLUE].exists, "blue keeps no log for a side that will not come back"
            assert await memory.probe_apps() == []
            await memory.settle()
            assert _broken_laws(memory) == []

    run_warped(main())


def test_a_green_that_only_we_cannot_reach_keeps_serving(tmp_path: Path) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            memory.faults.link_down(Side.GREEN)
            assert await forced(seat) is Outcome.ABORTED
            assert "green does not answer us, but it lives: blue heard of it" in seat.state.handover.why
            assert not seat.state.handover.touched
            assert memory.serving is Side.GREEN
            memory.faults.clear()
            await memory.settle()
            assert memory.oracle(expect=Side.GREEN) == []

    run_warped(main())


def test_apps_that_still_write_speak_for_green_too(tmp_path: Path) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            memory.faults.link_down(Side.GREEN)
            memory.cluster.streams[Side.GREEN].enabled = False
            assert await forced(seat) is Outcome.ABORTED
            assert "apps count writes: app-01" in seat.state.handover.why
            assert memory.serving is Side.GREEN

    run_warped(main())


@pytest.mark.parametrize(
    "call", ["apply pause*", "apply fence green on", "apply quiesce green", "apply part blue*", "apply sequences*", "apply route pooler*"]
)
@pytest.mark.parametrize("kind", ["error", "hang"])
def test_what_fails_before_the_return_ends_with_green_serving_and_mirrored(tmp_path: Path, call: str, kind: str) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            await arm_force(seat)
            fault = memory.faults.add(call.replace("route pooler*", "route pooler* to blue"), kind, times=0)
            assert (await seat.ask(Ask.GO, WORDS)).ok
            assert await seat.landed(1) is Outcome.ABORTED, seat.tail()
            assert fault.seen
            memory.faults.clear()
            assert memory.serving is Side.GREEN
            assert await memory.probe_apps() == []
            await memory.settle(5)
            assert memory.cluster.streams[Side.GREEN].running, "the sides follow each other again"
            assert memory.oracle(expect=Side.GREEN, equal=True) == [], seat.tail()

    run_warped(main())


def test_a_graceful_rollback_follows_an_ungraceful_one_that_was_not_confirmed(tmp_path: Path) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            assert (await seat.ask(Ask.FORCE)).reason != ""
            await on_green(seat)
            await arm_force(seat)
            assert (await seat.ask(Ask.DISARM)).ok
            assert await seat.landed(1) is Outcome.ABORTED
            assert await seat.back() is Outcome.DONE
            assert (await seat.ask(Ask.FORCE)).reason == "blue serves already"
            await memory.settle()
            assert memory.oracle(expect=Side.BLUE, equal=True) == []

    run_warped(main())


async def something_else() -> str:
    return "arp"


async def ctrl_d() -> str:
    raise EOFError


async def ctrl_c() -> str:
    raise asyncio.CancelledError


@pytest.mark.parametrize(("typed", "ends"), [(something_else, Refused), (ctrl_d, Refused), (ctrl_c, asyncio.CancelledError)])
def test_at_the_terminal_whatever_is_not_its_phrase_disarms_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Callable[[], Awaitable[str]], ends: type[BaseException]
) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            with pytest.raises(ends):
                await settled(seat, Wish.ROLLBACK, monkeypatch, typed=typed, ungraceful=True)
            assert await seat.landed(1) is Outcome.ABORTED
            assert seat.state.past[-1].why.startswith("disarm by ")
            await memory.settle()
            assert memory.serving is Side.GREEN
            assert memory.oracle(expect=Side.GREEN, equal=True) == []

    run_warped(main())


def test_a_frozen_green_whose_connections_never_end_is_cut_off(tmp_path: Path) -> None:
    """Clients hold its server connections for ever: no pause would end."""

    async def main() -> None:
        memory = world(pause_attempt_s=0.5)
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            memory.faults.link_down(Side.GREEN)
            memory.cluster.streams[Side.GREEN].enabled = False
            for app in memory.apps:
                app.running = False
            await asyncio.sleep(3)
            stuck = [pooler.server("old", "hangs") for pooler in memory.poolers]
            for context in stuck:
                session = await context.__aenter__()
                session.read_only = True
            assert await forced(seat) is Outcome.DONE, seat.tail()
            assert memory.serving is Side.BLUE or memory.cluster.nodes[Side.BLUE].writable
            assert not any(pooler.paused or pooler.connections(Side.GREEN) for pooler in memory.poolers)
            for context in stuck:
                await context.__aexit__(None, None, None)

    run_warped(main())


@pytest.mark.parametrize("green_dead", [True, False], ids=["dead", "behind"])
@pytest.mark.parametrize("call", WINDOW + TAIL)
def test_a_killed_pilot_is_gone_on_from(tmp_path: Path, call: str, green_dead: bool) -> None:
    async def main() -> None:
        memory = world()
        async with memory:
            first = Seat(memory, tmp_path, quick_scenario())
            await die_forced(memory, first, call, green_dead=green_dead)
            async with taken_up(memory, first, tmp_path) as seat:
                assert seat.state.mode is Mode.STUCK
                assert seat.state.handover.ungraceful
                assert (await seat.ask(Ask.RESUME, "arp")).reason == f"type {WORDS} to confirm"
                assert (await seat.ask(Ask.RESUME, WORDS)).ok, seat.tail()
                state = await seat.until(lambda s: s.mode in {Mode.READY, Mode.STUCK} and s.handover.outcome is not None)
                assert state.handover.outcome is Outcome.DONE, seat.tail()
                assert memory.serving is Side.BLUE
                assert await memory.probe_apps() == []
                assert set(lost(memory.cluster, memory.ledger, Side.BLUE)) <= set(_kept_on_green(memory))
                assert not memory.cluster.streams[Side.BLUE].exists
                await memory.settle()
                assert _broken_laws(memory) == [], seat.tail()

    run_warped(main())


@pytest.mark.parametrize("green_dead", [True, False], ids=["dead", "behind"])
@pytest.mark.parametrize("call", WINDOW + TAIL)
def test_a_guardian_brings_it_home_or_forward(tmp_path: Path, call: str, green_dead: bool) -> None:
    """Home is a dead server before the return: that is said, and nothing is opened that should not be."""

    async def main() -> None:
        memory = world()
        async with memory:
            first = Seat(memory, tmp_path, quick_scenario())
            await die_forced(memory, first, call, green_dead=green_dead)
            taking = asyncio.create_task(take_over(memory, first))
            stays = call in TAIL and green_dead  # until green is back: `test_apart`
            while not (taking.done() or (stays and isinstance(read(first.timeline).events[-1].fact, ev.ModeChanged))):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            closed = read(first.timeline).events[-1].fact
            if call not in TAIL and green_dead:
                assert isinstance(closed, ev.ModeChanged), "half way still: the run stays open, to be taken up again"
                assert closed.mode is Mode.STUCK
                assert "fence green off" in closed.why
                assert memory.serving is None
            elif call in TAIL:
                assert isinstance(closed, ev.ModeChanged if green_dead else ev.RunClosed)
                state = kept(first)
                assert state.serving is Side.BLUE
                assert memory.serving is Side.BLUE
                assert not memory.cluster.streams[Side.BLUE].exists, "blue keeps no log for a side that will not come back"
                assert any("green holds what blue has not" in end for end in state.open_words)
                assert any("green did not answer and may not be fenced" in end for end in state.open_words) is green_dead
            else:
                assert isinstance(closed, ev.RunClosed)
                assert (closed.outcome, closed.serving) == ("aborted", Side.GREEN)
                assert memory.serving is Side.GREEN
                assert memory.cluster.streams[Side.GREEN].running, "the sides follow each other again"
                assert memory.cluster.streams[Side.BLUE].running
            assert not any(pooler.paused for pooler in memory.poolers)
            for task in (taking, first.task):
                task.cancel()
            await asyncio.gather(taking, first.task, return_exceptions=True)
            await memory.settle()
            assert [what for what in memory.watch.violations if "diverged" not in what] == []

    run_warped(main())


@pytest.mark.parametrize("heard", [20.0, 0.0])
def test_a_mirror_that_is_connected_speaks_for_green_however_little_it_carries(tmp_path: Path, heard: float) -> None:
    """At night no app writes and nothing comes over the mirror for half a minute: green lives all the same, we alone cannot reach it."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            for app in memory.apps:
                app.running = False
            await asyncio.sleep(3)
            memory.faults.link_down(Side.GREEN)
            real = MemoryServers.heard

            async def quiet(servers: MemoryServers, by: Side, of: Side) -> float | None:
                return None if await real(servers, by, of) is None else heard

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(MemoryServers, "heard", quiet)
                assert await forced(seat) is Outcome.ABORTED
            assert "green does not answer us, but it lives" in seat.state.handover.why
            assert memory.serving is Side.GREEN

    run_warped(main())


@pytest.mark.parametrize("noticed_after", [0.0, 30.0])
def test_a_mirror_that_works_off_the_last_words_of_a_dead_green_does_not_speak_for_it(tmp_path: Path, noticed_after: float) -> None:
    """Green may have ended, or vanished, which its worker notices half a minute later. Its worker had waited for a lock: messages that green sent before it died are read for seconds after, each as one just received."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat, ahead_s=3, dead=True)
            worked_off = asyncio.get_running_loop().time() + 5

            async def heard(servers: MemoryServers, by: Side, of: Side) -> float | None:
                now = asyncio.get_running_loop().time()
                return max(now - worked_off, 0.0) if now < worked_off + noticed_after else None

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(MemoryServers, "heard", heard)
                assert await forced(seat) is Outcome.DONE, seat.tail()
            assert memory.serving is Side.BLUE

    run_warped(main())


def test_apps_that_write_seldom_speak_for_green_too(tmp_path: Path) -> None:
    """One silent moment is no silence."""

    async def main() -> None:
        memory = world(apps=1, poolers=1, rate=1.5)
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            memory.faults.link_down(Side.GREEN)
            memory.cluster.streams[Side.GREEN].enabled = False
            assert await forced(seat) is Outcome.ABORTED
            assert "apps count writes: app-01" in seat.state.handover.why

    run_warped(main())


def test_a_green_that_comes_back_is_shut_out_whole(tmp_path: Path) -> None:
    """A session that came in before its fence would write on under it, and its own subscription would bring it what blue writes."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            green = memory.cluster.nodes[Side.GREEN]
            await parted(seat, dead=True)
            green.recover()
            session = green.login("stray", "stray", "direct")
            await seat.until(lambda s: "open: fence green on" not in {alarm.id for alarm in s.alarms} and not follows(memory), 20)
            assert not session.alive
            assert not green.writable
            assert seat.state.handover.bill.exact, "what nobody could count before is counted now"
            assert _bill(seat.state) == len(_kept_on_green(memory))

    run_warped(main())


def test_a_green_that_is_just_starting_does_not_end_the_watch_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await parted(seat, dead=True)
            memory.faults.add("probe fence green on", "error", error=SystemFault("the database system is starting up"), times=3)
            memory.cluster.nodes[Side.GREEN].recover()
            await seat.until(lambda s: memory.cluster.nodes[Side.GREEN].fenced, 20)

    run_warped(main())


@pytest.mark.parametrize("back", [True, False], ids=["green back", "green dead"])
def test_a_run_that_is_taken_up_after_it_keeps_green_out(tmp_path: Path, back: bool) -> None:
    async def main() -> None:
        memory = world()
        async with memory:
            first = Seat(memory, tmp_path, quick_scenario())
            green = memory.cluster.nodes[Side.GREEN]
            await parted(first, dead=True)
            bury(memory, first)
            await asyncio.sleep(10)
            if back:
                green.recover()
            async with taken_up(memory, first, tmp_path) as seat:
                assert seat.state.mode is Mode.READY, seat.tail()
                assert seat.state.serving is Side.BLUE
                green.recover()
                await seat.until(lambda s: green.fenced and not follows(memory), 20)

    run_warped(main())


def test_nobody_fences_green_behind_the_back_of_a_flight_that_opens_it(tmp_path: Path) -> None:
    """Stuck past the return with blue still fenced, green comes back: taken up, it goes one way and stays there."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat, dead=True)
            await arm_force(seat)
            memory.faults.add("apply fence blue off", "error", times=0)
            memory.faults.add("probe fence blue *", "error", times=0)
            assert (await seat.ask(Ask.GO, WORDS)).ok
            assert await seat.landed(1) is Outcome.STUCK
            memory.faults.clear()
            memory.faults.add("apply fence green on", "error", times=3)
            memory.cluster.nodes[Side.GREEN].recover()
            state = await seat.abort()
            await asyncio.sleep(20)
            assert memory.serving is state.serving, seat.tail()

    run_warped(main())


def test_green_dies_while_the_bill_is_read(tmp_path: Path) -> None:
    """It answered when it was armed; a pooler full of dead connections is cut, not waited for."""

    async def main() -> None:
        memory = world(pause_attempt_s=0.5)
        async with flying(memory, tmp_path) as seat:
            await on_green(seat)
            memory.cluster.streams[Side.GREEN].stalled = True
            await arm_force(seat)
            for app in memory.apps:
                app.running = False
            await asyncio.sleep(3)
            memory.faults.link_down(Side.GREEN)
            memory.cluster.streams[Side.GREEN].enabled = False
            stuck = [pooler.server("old", "hangs") for pooler in memory.poolers]
            for context in stuck:
                (await context.__aenter__()).read_only = True
            assert (await seat.ask(Ask.GO, WORDS)).ok
            assert await seat.landed(1) is Outcome.DONE, seat.tail()
            for context in stuck:
                await context.__aexit__(None, None, None)

    run_warped(main())


def test_a_later_run_that_arms_does_not_take_away_what_green_keeps(tmp_path: Path) -> None:
    """Its timeline knows nothing of it; the servers do."""

    async def main() -> None:
        memory = world()
        (tmp_path / "later").mkdir()
        async with memory:
            async with seated(memory, tmp_path) as seat:
                await parted(seat, ahead_s=3)
            memory.cluster.streams[Side.GREEN].stalled = False
            memory.cluster.streams[Side.BLUE].exists = True  # somebody made it again
            kept = _kept_on_green(memory)
            async with seated(memory, tmp_path / "later") as seat:
                await seat.ready()
                assert (await seat.ask(Ask.ARM)).ok
                assert await seat.landed(0) is Outcome.ABORTED
                assert "was parted from its slot: green keeps what blue has not" in seat.state.handover.why
            assert _kept_on_green(memory) == kept
            assert len(kept) > 5

    run_warped(main())


def test_the_way_home_from_a_dead_green_is_given_up_in_a_minute(tmp_path: Path) -> None:
    """Then the lead can go without it again; a downtime budget of minutes is not waited out for a server that is dead."""

    async def main() -> None:
        memory = world()
        async with flying(memory, tmp_path) as seat:
            await on_green(seat, dead=True)
            await arm_force(seat)
            memory.faults.add("apply sequences*", "error", error=SystemFault("no"))
            began = asyncio.get_running_loop().time()
            assert (await seat.ask(Ask.GO, WORDS)).ok
            assert await seat.landed(1) is Outcome.STUCK
            assert asyncio.get_running_loop().time() - began < 90
            assert await forced(seat) is Outcome.DONE, seat.tail()
            assert memory.serving is Side.BLUE

    run_warped(main())


def test_a_link_that_breaks_while_the_bill_is_read_is_no_death(tmp_path: Path) -> None:
    """The mirror is off and a direct app writes now and then: one silent moment inside the window would be believed."""

    async def main() -> None:
        memory = world(apps=[AppPlan("direct", "hard-coded", rate=0.9)], poolers=1, serving=Side.GREEN)
        memory.cluster.nodes[Side.BLUE].fenced = memory.cluster.nodes[Side.BLUE].fence_kept = True
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            await arm_force(seat)
            memory.faults.link_down(Side.GREEN)
            assert (await seat.ask(Ask.GO, WORDS)).ok
            assert await seat.landed(0) is Outcome.STUCK, seat.tail()
            assert "apps count writes: direct" in seat.state.handover.why
            assert not memory.cluster.nodes[Side.BLUE].writable

    run_warped(main())


def test_cleanup_gives_no_bill_away_of_which_no_run_here_knows(tmp_path: Path) -> None:
    """The run may have been flown on another machine: the servers say that the sides have parted."""

    async def main() -> None:
        memory = world()
        async with memory:
            async with seated(memory, tmp_path) as seat:
                await parted(seat, ahead_s=3)
            order = SimpleNamespace(world=memory.world)
            with pytest.raises(Refused, match="green keeps what an ungraceful rollback left behind"):
                await cleanup(order)  # type: ignore[arg-type]
            assert memory.cluster.streams[Side.GREEN].exists
            assert not (await cleanup(order, without_bill=True)).failed  # type: ignore[arg-type]
            assert not memory.cluster.streams[Side.GREEN].exists
            assert not (await cleanup(order)).failed, "cleaned up, nothing keeps anything"  # type: ignore[arg-type]

    run_warped(main())
