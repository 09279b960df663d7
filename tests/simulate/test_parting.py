"""Every oracle of two sides that have parted can fail: an ungraceful rollback is broken on purpose, and the oracle that watches that says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cockpit.handover import forced, judging, parting, pilot, ungraceful
from cockpit.handover.procedure import Step
from cockpit.model.bill import Bill
from cockpit.model.words import Side
from cockpit.systems.memory.apps import AppPlan
from cockpit.systems.memory.servers import MemoryServers
from tests.simulate import oracles
from tests.simulate.moves import Move
from tests.simulate.scene import Scene, Verdict, fly
from tests.simulate.story import Story
from tests.simulate.troubles import FOR_EVER, Trouble, When, call_fails, link_cut, server_down, stalled
from tests.simulate.worst import FORCE, WORST, worst_day

APPS = (AppPlan("app-01", "pooler-1", rate=10.0), AppPlan("app-02", "pooler-1", rate=10.0), AppPlan("app-03", "channel-1", rate=10.0))
MOVES = (Move("fly"), Move("soak", 1.0), Move("worst", 1.0), Move("force", 0.1), Move("soak", 3.0), Move("close"))
STOOD = Trouble("replication from green stands still", When(WORST), stalled(Side.GREEN, FOR_EVER))
BEHIND = Story(3, 1, 1, 0.05, APPS, MOVES, (STOOD,), False)
DEAD = replace(BEHIND, troubles=(STOOD, Trouble("green is dead", When(FORCE), server_down(Side.GREEN, FOR_EVER))))
BACK = replace(BEHIND, troubles=(STOOD, Trouble("green is dead for 10 s", When(FORCE), server_down(Side.GREEN, 10.0))))
ALIVE = replace(BEHIND, troubles=(Trouble("only we cannot reach green", When(FORCE), link_cut(Side.GREEN, FOR_EVER)),))
LANDED = "servers.bill*"
"""The first is drawn when it is armed, the second when blue has taken writes."""


def struck(story: Story, act: Callable[[Scene], None], call: str = LANDED, nth: int = 2) -> Story:
    return replace(story, troubles=(*story.troubles, Trouble(f"call {nth} of {call}", When(call, nth), act)))


def says(verdict: Verdict, what: str) -> None:
    assert [text for text in verdict.broken if what in text], (what, verdict.broken[:5], verdict.ended)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The ungraceful rollback lacks what these steps do."""

    def leave_out(*ids: str) -> None:
        real = ungraceful.ungraceful_steps

        def steps(*how: Any) -> tuple[Step, ...]:
            return tuple(replace(step, doings=()) if step.id in ids else step for step in real(*how))

        monkeypatch.setattr(forced, "ungraceful_steps", steps)

    return leave_out


async def nothing(*how: object, **more: object) -> tuple[str, ...]:
    return ()


@pytest.mark.parametrize("story", [BEHIND, DEAD, BACK, ALIVE], ids=["behind", "dead", "back", "alive"])
def test_the_sound_engine_breaks_nothing(story: Story) -> None:
    verdict = fly(story)
    assert verdict.broken == ()
    assert verdict.ended == ("pilot: aborted" if story is ALIVE else "pilot: rolled-back")


def test_a_rollback_that_flies_without_its_phrase_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "refusal", lambda *how: "")
    moves = (*MOVES[:3], Move("force-late"), *MOVES[4:])
    says(fly(replace(BEHIND, moves=moves)), "law 2: ungraceful rollback 2 flew without its phrase")


def test_a_rollback_that_flies_without_a_bill_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(self: forced.Forced) -> dict[str, object]:
        return {}

    monkeypatch.setattr(forced.Forced, "_draw_bill", none)
    says(fly(BEHIND), "law 2: ungraceful rollback 2 flew without a bill")


def test_what_the_timeline_does_not_explain_is_seen() -> None:
    def off(scene: Scene) -> None:
        scene.memory.cluster.streams[Side.GREEN].enabled = False

    def gone(scene: Scene) -> None:
        scene.memory.cluster.streams[Side.GREEN].exists = False

    moves = (*MOVES[:3], Move("force-wrong"), *MOVES[4:])
    calm = replace(BEHIND, moves=moves)
    assert fly(calm).broken == ()
    says(fly(struck(calm, off, FORCE, 1)), "O7: blue follows green no more and the timeline does not say why")
    says(fly(struck(calm, gone, FORCE, 1)), "O7: the slot of green is gone and the timeline does not say why")


def test_a_mirror_that_an_abort_leaves_off_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = call_fails("apply sequences of*", "error", 1, 1, 0.0, "refused")
    aborted = struck(BEHIND, refused, FORCE, 1)
    verdict = fly(aborted)
    assert (verdict.broken, verdict.ended) == ((), "pilot: aborted")
    monkeypatch.setattr(forced, "mirrored_again", nothing)
    says(fly(aborted), "law 2: nothing was left behind, and blue follows green no more")


def test_a_blue_that_follows_still_is_seen(without: Callable[..., None]) -> None:
    without("reverse")
    says(fly(DEAD), "law 2: blue follows green still")


def test_a_log_that_blue_keeps_is_seen(monkeypatch: pytest.MonkeyPatch, without: Callable[..., None]) -> None:
    without("mirror")
    monkeypatch.setattr(pilot.Pilot, "_released", nothing)
    says(fly(BEHIND), "law 9: blue keeps its log")


def test_a_green_that_nobody_names_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "_unfenced", nothing)
    says(fly(DEAD), "law 1: green may take writes when it comes back, and nobody says so")


def test_a_bill_that_nobody_tells_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "_bill", nothing)
    verdict = fly(DEAD)
    says(verdict, "law 2: green holds what blue has not, and nobody says so")
    says(verdict, "law 2: no bill was drawn after the return")


def consumed(scene: Scene) -> None:
    """Somebody moved the slot on."""
    stream = scene.memory.cluster.streams[Side.GREEN]
    stream.position = len(stream.origin.rows)


def test_a_slot_that_was_consumed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    says(fly(struck(BEHIND, consumed)), "O1: app-0")
    real = oracles.reached

    async def reached(scene: Scene) -> list[str]:
        consumed(scene)
        return await real(scene)

    monkeypatch.setattr(oracles, "reached", reached)
    says(fly(BEHIND), "law 2: green's slot no longer keeps app-0")


def test_a_blue_that_takes_what_it_went_without_is_seen() -> None:
    def followed(scene: Scene) -> None:
        stream = scene.memory.cluster.streams[Side.GREEN]
        stream.stalled, stream.enabled = False, True

    says(fly(struck(BEHIND, followed)), "law 2: blue applied app-0")


def test_a_green_that_takes_what_blue_writes_is_seen() -> None:
    def followed(scene: Scene) -> None:
        stream = scene.memory.cluster.streams[Side.BLUE]
        stream.exists = stream.enabled = True

    says(fly(struck(BEHIND, followed)), "law 2: green applied app-0")


def test_two_writable_sides_are_seen(monkeypatch: pytest.MonkeyPatch, without: Callable[..., None]) -> None:
    without("fence", "quiesce")
    monkeypatch.setattr(pilot, "shut_out", nothing)
    says(fly(BEHIND), "O2: ")


def test_a_green_that_is_believed_dead_and_is_not_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(self: ungraceful.Silence) -> ungraceful.Said:
        return ungraceful.Said(self.target, None, (), 0)

    monkeypatch.setattr(ungraceful.Silence, "ask", deaf)
    says(fly(ALIVE), "two sides writable")


def test_a_green_that_comes_back_and_is_let_in_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody fences it; or everybody only when the landing is over."""
    patient = replace(BACK, moves=(*MOVES[:4], Move("soak", 15.0), Move("close")))
    assert fly(patient).broken == ()
    monkeypatch.setattr(pilot, "shut_out", nothing)
    says(fly(patient), "two sides writable")


def test_a_number_given_twice_is_seen(without: Callable[..., None]) -> None:
    def level(scene: Scene) -> None:
        """Blue's sequence stands where green's stood when the mirror stopped."""
        blue = scene.memory.cluster.nodes[Side.BLUE]
        blue.sequences["orders_id_seq"] = scene.memory.cluster.streams[Side.GREEN].waiting()[0].key - 1

    story = struck(BEHIND, level, "apply part*", 1)
    assert fly(story).broken == ()
    without("sequences")
    says(fly(story), "O4: blue gave app-0")


def test_a_bill_that_does_not_add_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = MemoryServers._bill

    def short(self: MemoryServers, origin: Side, target: Side) -> Bill:
        bill = real(self, origin, target)
        return replace(bill, rows={table: count - 1 for table, count in (bill.rows or {}).items()})

    monkeypatch.setattr(MemoryServers, "_bill", short)
    says(fly(BEHIND), "law 2: the bill says")


def test_a_slot_that_was_dropped_before_is_told_with_the_bill() -> None:
    def dropped(scene: Scene) -> None:
        scene.memory.cluster.streams[Side.GREEN].exists = False
        scene.mirrors_broken.add(Side.GREEN)

    verdict = fly(struck(BEHIND, dropped, FORCE, 1))
    assert verdict.broken == ()
    assert b"UNREADABLE" in verdict.timeline or b"slot cockpit_green is gone" in verdict.timeline


def test_one_lost_answer_leaves_no_pooler_paused() -> None:
    """Green is dead, so the way home uses up its time on it: a pooler has more than one try all the same."""
    refused = call_fails("apply sequences of*", "error", 1, 1, 0.0, "refused")
    broken = call_fails("apply resume pooler-1", "partial", 1, 1, 0.0, "")
    assert fly(struck(struck(DEAD, refused, FORCE, 1), broken, FORCE, 1)).broken == ()


def test_a_pause_that_comes_after_the_cut_leaves_no_pooler_paused() -> None:
    late = call_fails("apply pause*", "late", 1, 2, 4.0, "")
    assert fly(struck(DEAD, late, FORCE, 1)).broken == ()


def test_many_seeds_have_such_a_day() -> None:
    days = [seed for seed in range(400) if worst_day(seed, 1)]
    assert 0.1 < len(days) / 400 < 0.25
