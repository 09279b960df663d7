"""A machine that stood still and wakes when another one has flown its run from a copy: it touches nothing, and says why.

And each oracle of it can fail: the token is broken on purpose, and the oracle speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from cockpit.errors import StepError, Superseded
from cockpit.handover import awake, procedure
from cockpit.handover.actions import unheld
from cockpit.handover.lease import Inheritance, Lease
from cockpit.model import events as ev
from cockpit.model.state import replay
from cockpit.model.words import Mode, Side
from cockpit.systems.memory.apps import AppPlan
from cockpit.systems.memory.cluster import Node
from cockpit.systems.memory.lock import MemoryLock
from cockpit.timeline.journal import verify
from tests.simulate import disk
from tests.simulate.machine import Machine
from tests.simulate.moves import Move
from tests.simulate.scene import Scene, Verdict, fly
from tests.simulate.standstill import KEEPALIVE_S, NAMES_IT, Standstill, Wakes
from tests.simulate.story import Story
from tests.simulate.troubles import FOR_EVER, Trouble, When, both_killed, stalled
from tests.simulate.worst import FORCE, WORST, from_then

APPS = (AppPlan("app-01", "pooler-1", rate=10.0), AppPlan("app-02", "pooler-1", rate=10.0), AppPlan("app-03", "channel-1", rate=10.0))
CUTOVER = Story(3, 1, 1, 0.05, APPS, (Move("fly"), Move("soak", 1.0), Move("close")), (), True)
HOME, ON = (Move("abort-left"), Move("close")), (Move("resume"), Move("abort-left"), Move("close"))
BACK = (Move("resume"), Move("back", 0.1), Move("abort-left"), Move("close"))
LEFT = When("", 1, 5.0)
"""So long after the other one has left."""
APART_S = 20.0
CALLS = (
    "apply pause*",
    "apply fence blue on",
    "apply drain*",
    "apply route pooler*",
    "apply fence green off",
    "probe resume*",
    "servers.lock",
)


def still(at: str, story: Story = CUTOVER, *, suspended: bool = True, wakes: Wakes = Wakes.AFTER, when: When = LEFT, **how: Any) -> Story:
    """The machine stands still at this call of its window."""
    standstill = Standstill(suspended, wakes, when, **how)
    when = When(at, 4 if at == "servers.lock" else 1, 0.0003)  # the fourth: the last question before the return
    return replace(story, troubles=(*story.troubles, Trouble(str(standstill), when, standstill.begin)))


def facts(timeline: bytes) -> list[ev.Fact]:
    return [event.fact for event in verify(timeline).events]


def names_another(timeline: bytes) -> bool:
    return any(words in repr(fact) for fact in facts(timeline) for words in NAMES_IT)


def says(verdict: Verdict, what: str) -> None:
    assert [text for text in verdict.broken if what in text], (what, verdict.broken[:5], verdict.ended)


# --- what holds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suspended", [True, False], ids=["suspended", "stopped"])
@pytest.mark.parametrize(("moves", "ended"), [(HOME, "aborted"), (ON, "done"), (BACK, "rolled-back")], ids=["home", "on", "back"])
@pytest.mark.parametrize("at", CALLS)
def test_who_wakes_when_another_one_has_flown_and_left_touches_nothing(
    at: str, moves: tuple[Move, ...], ended: str, suspended: bool
) -> None:
    verdict = fly(still(at, suspended=suspended, moves=moves))
    assert verdict.broken == ()
    past = at in {"apply fence green off", "probe resume*"}  # then there is no way home: it goes forward
    assert verdict.ended == f"elsewhere: {'done' if past and moves is HOME else ended}"
    assert names_another(verdict.others[0])


@pytest.mark.parametrize("which", [(), ("guardian",), ("pilot",)], ids=["both", "guardian", "pilot"])
@pytest.mark.parametrize("call", ["servers.lock", "apply fence*", "apply drain*", "apply route pooler*", "apply resume*"])
def test_who_wakes_while_another_one_flies_touches_nothing(call: str, which: tuple[str, ...]) -> None:
    when = When(call, 1, 0.0002)
    verdict = fly(still("apply fence blue on", suspended=not which, wakes=Wakes.FLYING, when=when, moves=BACK, which=which))
    assert (verdict.broken, verdict.ended) == ((), "elsewhere: rolled-back")
    assert names_another(verdict.others[0])


def test_a_guardian_that_wakes_alone_leaves_the_run_to_whoever_has_the_pair() -> None:
    verdict = fly(still("apply drain*", suspended=False, moves=ON, which=("guardian",)))
    assert (verdict.broken, verdict.ended) == ((), "elsewhere: done")
    state = replay(verify(verdict.others[0]).events)
    assert (state.owner_role, state.mode) == ("guardian", Mode.STUCK)
    assert any("the way out" in alarm.what and NAMES_IT[0] in alarm.what for alarm in state.alarms)


def test_what_another_one_left_open_is_not_the_first_ones_again() -> None:
    """The second machine dies in the middle of it: nobody flies when the first one wakes."""
    dies = (Trouble("both are killed", When("apply drain*"), both_killed),)
    verdict = fly(still("apply fence blue on", moves=ON, troubles=dies))
    assert verdict.broken == ()
    assert verdict.ended.startswith("elsewhere")
    assert names_another(verdict.others[0])


@pytest.mark.parametrize("suspended", [True, False], ids=["suspended", "stopped"])
def test_who_wakes_when_nobody_took_off_still_owns_the_pair(suspended: bool) -> None:
    """The servers have not ended its sessions yet: the other one is refused, and its copy says by whom."""
    early = still("apply drain*", suspended=suspended, copied_s=KEEPALIVE_S - 5, wakes=Wakes.EARLY, when=When("", 1, KEEPALIVE_S - 1))
    verdict = fly(early)
    assert verdict.broken == ()
    assert not verdict.ended.startswith("elsewhere")
    assert names_another(verdict.others[0])
    assert not any(isinstance(fact, ev.ActionIntended) for fact in facts(verdict.others[0])[len(facts(verdict.others[0])) - 3 :])


@pytest.mark.parametrize("suspended", [True, False], ids=["suspended", "stopped"])
def test_the_clock_of_a_suspended_machine_stood_still(suspended: bool) -> None:
    """Its monotonic clock has not moved, so that no deadline of it says that anything happened."""
    verdict = fly(still("apply drain*", suspended=suspended, moves=ON))
    events = verify(verdict.others[0]).events
    longest = max(later.mono - earlier.mono for earlier, later in pairwise(events))
    assert longest < 10 if suspended else longest > 30


def test_who_went_without_what_green_has_is_not_undone() -> None:
    """The first machine stood still on its way into an ungraceful rollback; the second one flew it to its end."""
    moves = (Move("fly"), Move("soak", 1.0), Move("worst", 1.0), Move("force", 0.1), Move("soak", 3.0), Move("close"))
    behind = Trouble("replication from green stands still", When(WORST), stalled(Side.GREEN, FOR_EVER))
    standstill = Standstill(True, Wakes.AFTER, LEFT, moves=ON)
    stops = Trouble("from the force on", When(FORCE), from_then(Trouble(str(standstill), When("apply part*"), standstill.begin)))
    verdict = fly(replace(CUTOVER, moves=moves, troubles=(behind, stops)))
    assert (verdict.broken, verdict.ended) == ((), "elsewhere: rolled-back")
    assert names_another(verdict.others[0])


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wakes reaches poolers and channels at once, the servers `APART_S` later: a tunnel that is dialled anew, a stale address."""
    real = Standstill._wake

    def wake(self: Standstill, scene: Scene, machine: Machine) -> None:
        if not machine.awake.is_set():
            scene.memory.faults.link_down(*Side)
            asyncio.get_running_loop().call_later(APART_S, scene.memory.faults.link_up, *Side)
        real(self, scene, machine)

    monkeypatch.setattr(Standstill, "_wake", wake)
    monkeypatch.setattr("tests.simulate.standstill._deaf", lambda machine, at: False)  # and a silent server excuses nothing


@pytest.mark.parametrize("which", [(), ("pilot",), ("guardian",)], ids=["both", "pilot", "guardian"])
@pytest.mark.parametrize("at", ["apply fence blue on", "apply drain*", "apply sequences*"])
def test_who_wakes_apart_from_the_servers_touches_nothing(apart: None, at: str, which: tuple[str, ...]) -> None:
    """It waits for a server's word: another one has flown and left."""
    verdict = fly(still(at, suspended=not which, moves=ON, which=which))
    assert (verdict.broken, verdict.ended) == ((), "elsewhere: done")
    assert names_another(verdict.others[0])


# --- what is seen where it does not hold ------------------------------------------------------------------------------


async def _nobody_asks(self: Lease) -> None:
    """The right is never looked at."""


@pytest.fixture
def no_token(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A free lock is taken for one that nobody had, and a fence takes whoever comes."""
    return lambda: monkeypatch.setattr(MemoryLock, "compare", lambda self, node: None)


@pytest.fixture
def no_lease(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Pilot and guardian act without asking; the fences alone compare."""

    def leave_out() -> None:
        for kind, name in ((Lease, "hold"), (Lease, "ask"), (Inheritance, "ask")):
            monkeypatch.setattr(kind, name, _nobody_asks)

    return leave_out


@pytest.mark.parametrize("which", [(), ("guardian",)], ids=["both", "guardian"])
def test_a_pair_without_a_token_is_seen(no_token: Callable[[], None], no_lease: Callable[[], None], which: tuple[str, ...]) -> None:
    """The first one takes its own word for it, and goes on against the one that has flown."""
    story = still("apply drain*", suspended=not which, moves=ON, which=which)
    assert fly(story).broken == ()
    no_token()
    no_lease()
    verdict = fly(story)
    says(verdict, "law 11: ana@bastion did 'apply ")
    says(verdict, "law 7: ana@bastion went on and its timeline does not say whose the pair is")


def test_a_token_that_the_fences_alone_compare_is_seen(no_lease: Callable[[], None]) -> None:
    """Poolers and channels know of no token: they would follow the one that woke."""
    no_lease()
    verdict = fly(still("apply drain*", moves=ON))
    says(verdict, "law 11: ana@bastion did 'apply route ")
    says(verdict, "O6: ")


@pytest.mark.parametrize("which", [("pilot",), ("guardian",)], ids=["pilot", "guardian"])
def test_who_goes_on_without_a_word_is_seen(monkeypatch: pytest.MonkeyPatch, apart: None, which: tuple[str, ...]) -> None:
    """As who never stood still may, where no server answers."""
    monkeypatch.setattr(Lease, "_unheard", _no)
    says(fly(still("apply drain*", suspended=False, moves=ON, which=which)), "law 11: ana@bastion did 'apply r")


def test_a_free_lock_that_is_taken_for_ours_is_seen(no_token: Callable[[], None]) -> None:
    """Without the token whoever asks last has the pair: then it is the second one's work that is undone."""
    no_token()
    verdict = fly(still("apply fence green off", moves=BACK))
    assert verdict.broken != ()
    assert not verdict.ended.startswith("elsewhere")


def test_a_lease_by_a_clock_that_stands_still_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was proven a moment ago, by the clock of a machine that has slept since."""
    monkeypatch.setattr(disk, "boottime", lambda: asyncio.get_running_loop().time())
    says(fly(still("apply quiesce*", moves=HOME)), "law 11: ana@bastion did 'apply ")


def _no(fault: object) -> None:
    """Nothing is to be said of it."""


def test_a_pause_that_is_tried_again_without_asking_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on for many seconds: who stood still in the middle of it paused what another one had resumed, and nobody resumed it again."""
    busy = StepError("clients in a transaction", where="pause pooler-1")
    blocked = Trouble(
        "a client is in a transaction", When(), lambda scene: _no(scene.memory.faults.add("apply pause*", "error", error=busy))
    )
    story = still("apply resume*", replace(CUTOVER, troubles=(blocked,)), moves=HOME)
    assert fly(story).broken == ()
    real = procedure._pause
    monkeypatch.setattr(procedure, "_pause", lambda hold, *how: real(unheld, *how))
    verdict = fly(story)
    says(verdict, "law 11: ana@bastion did 'apply pause pooler-1'")
    says(verdict, "O6: pooler-1 is left paused")


def test_an_answer_that_was_slept_on_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window begins with a question. A proof that is dated when the answer is read, and not when it was asked for, routes the channels."""
    standstill = Standstill(True, Wakes.AFTER, LEFT, moves=(Move("fly"), Move("close")))
    story = replace(CUTOVER, troubles=(Trouble(str(standstill), When("servers.lock", 3, 0.0003), standstill.begin),))
    assert fly(story).broken == ()

    async def renew(self: Lease) -> None:
        await self._lock()
        self._prove(awake.clocks())

    monkeypatch.setattr(Lease, "renew", renew)
    says(fly(story), "law 11: ana@bastion did 'apply route channel-1 to green'")


def test_a_refusal_that_names_nobody_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = MemoryLock.compare

    def compare(self: MemoryLock, node: Node) -> None:
        try:
            real(self, node)
        except Superseded:
            raise Superseded("no", owner="") from None

    monkeypatch.setattr(MemoryLock, "compare", compare)
    story = still("apply drain*", suspended=False, moves=ON, which=("guardian",))
    says(fly(story), "law 7: ana@bastion went on and its timeline does not say whose the pair is")
