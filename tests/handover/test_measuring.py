"""What is measured while nothing is flown, and what of it goes wrong: a failed reading says so, grows old, and ends nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.handover.readiness import readiness
from cockpit.handover.telemetry import LULL_S
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.state import RunState
from cockpit.model.telemetry import RoutingSample
from cockpit.model.words import Light, Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, run_warped
from cockpit.timeline.codec import decode_sample
from cockpit.timeline.follow import Latest
from cockpit.timeline.journal import read
from tests.handover.harness import flying, quick_scenario
from tests.handover.measured import LAG, RECON

MIRROR = replace(LAG, origin=Side.GREEN, target=Side.BLUE)


def seconds(latest: Latest, what: str) -> float:
    sample = readiness(100.0, RunState(serving=Side.GREEN), quick_scenario(), latest, 2.0)
    return next(share.seconds for share in sample.shares if share.what == what)


@pytest.mark.parametrize(
    ("serving", "lag", "said"),
    [
        (None, LAG, "which side serves is not known"),
        (Side.BLUE, None, "replication is not measured yet"),
        (Side.BLUE, replace(LAG, mono=90.0), "replication was last measured 10 s ago"),
        (Side.BLUE, replace(LAG, reverse_armed=False), "the way back is not armed yet"),
        (Side.BLUE, replace(LAG, reverse_armed=None), "the way back is not armed yet"),
        (Side.BLUE, LAG, ""),
        (Side.GREEN, replace(MIRROR, error="blue cannot be reached"), "blue cannot be reached"),
        (Side.GREEN, replace(MIRROR, worker="disabled"), "mirroring to blue stands still: slot active, worker disabled"),
        (Side.GREEN, replace(MIRROR, slot_state="lost"), "mirroring to blue stands still: slot lost, worker running"),
        (Side.GREEN, replace(MIRROR, lag_bytes=None), "mirroring to blue cannot be measured"),
        (Side.GREEN, MIRROR, ""),
    ],
)
def test_a_way_back_that_does_not_work_has_a_cause_and_no_figure(serving: Side | None, lag: object, said: str) -> None:
    sample = readiness(100.0, RunState(serving=serving), quick_scenario(), Latest(lag=lag), 2.0)  # type: ignore[arg-type]
    assert sample.blocked_by == said
    assert (sample.seconds is None) == bool(said)


def test_the_drain_and_the_proof_cost_what_they_cost_now() -> None:
    calm, behind = Latest(lag=MIRROR), Latest(lag=replace(MIRROR, lag_bytes=30_000_000, apply_bytes_s=1e6))
    assert seconds(behind, "drain") - seconds(calm, "drain") == pytest.approx(30.0)
    dirty = Latest(lag=MIRROR)
    dirty.take(replace(RECON, freeze_cost_s=4.5))
    assert seconds(dirty, "verify") == 4.5


def test_a_reading_that_fails_says_why_and_comes_back(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=71, apps=2, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            latest = seat.pilot.telemetry.latest
            memory.faults.add("servers.lag*", "error", times=20)
            await seat.until(lambda s: latest.lag is not None and latest.lag.error != "")
            assert latest.lag is not None
            assert latest.lag.lag_bytes is None, "a figure that could not be had is none, never 0"
            await seat.until(lambda s: latest.lag is not None and latest.lag.error == "")

    run_warped(main())


def test_a_side_that_cannot_be_reached_closes_the_gates_and_ends_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=74, apps=2, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            latest = seat.pilot.telemetry.latest
            memory.faults.link_down(Side.BLUE)
            await seat.until(lambda s: not latest.servers[Side.BLUE].up and latest.servers[Side.GREEN].up)
            await seat.until(lambda s: any(g.id == "lag_bytes" and g.light is Light.UNKNOWN for g in s.gates))
            assert seat.state.mode is Mode.READY
            memory.faults.link_up(Side.BLUE)
            await seat.until(
                lambda s: latest.servers[Side.BLUE].up and any(g.id == "lag_bytes" and g.light is not Light.UNKNOWN for g in s.gates)
            )

    run_warped(main())


@pytest.mark.parametrize("seed", range(81, 85))
def test_what_was_measured_inside_a_window_turns_no_gate_after_it_and_strands_no_app(tmp_path: Path, seed: int) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=seed, apps=4, poolers=2, channels=0, rate=5.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            for _ in range(3):
                assert await seat.hand_over() is Outcome.DONE
                await asyncio.sleep(5)
        told = read(tmp_path / "timeline.jsonl").events
        windows = [event.mono for event in told if isinstance(event.fact, ev.DowntimeEnded)]
        turned = [e.fact for e in told if isinstance(e.fact, ev.GateTurned) and any(0 <= e.mono - end < 2 for end in windows)]
        assert not [fact for fact in turned if fact.gate in {"poolers", "census"}], turned
        samples = [decode_sample(line) for line in (tmp_path / "samples.jsonl").read_bytes().splitlines()]
        after = [s for s in samples if isinstance(s, RoutingSample) and any(0 < s.mono - end < 2 for end in windows)]
        assert after
        assert not [app for sample in after for app in sample.apps if "its channel says" in app.cause]

    run_warped(main())


def test_a_new_load_is_told_to_who_asked(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=75, apps=2, poolers=1, channels=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            said = await seat.ask(Ask.DUTY, "+")
            assert said.ok
            assert "reconciliation: load at most " in said.reason

    run_warped(main())


def test_an_error_that_nobody_expected_is_an_alarm_until_it_goes_well_again(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=72, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            memory.faults.add("servers.shape", "error", times=3, error=ValueError("secret-canary"))
            raised = await seat.until(lambda s: any(alarm.id == "measure shape" for alarm in s.alarms))
            alarm = next(alarm for alarm in raised.alarms if alarm.id == "measure shape")
            assert alarm.what.startswith("shape cannot be measured: ")
            assert alarm.remedy
            await seat.until(lambda s: not any(alarm.id == "measure shape" for alarm in s.alarms))
            told = [e.fact for e in seat.state.tail if isinstance(e.fact, ev.AlarmRaised) and e.fact.alarm == "measure shape"]
            assert len(told) == 1, "named once, not at every try"

    run_warped(main())


@pytest.mark.parametrize("side", Side)
def test_ddl_closes_the_gate_within_two_seconds_and_names_the_side(tmp_path: Path, side: Side) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=75, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            await seat.until(lambda s: any(g.id == "schema" and g.light is Light.PASS for g in s.gates))
            memory.cluster.nodes[side].schema += 1
            state = await seat.until(lambda s: any(g.id == "schema" and g.light is Light.FAIL for g in s.gates), 2.0)
            gate = next(gate for gate in state.gates if gate.id == "schema")
            assert f"the schema of {side} changed" in gate.reason
            assert gate.query

    run_warped(main())


def test_schemas_that_cannot_be_read_any_more_close_the_gate(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=76, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            await seat.until(lambda s: any(g.id == "schema" and g.light is Light.PASS for g in s.gates))
            memory.faults.add("servers.shape", "error", times=1000)
            await seat.until(lambda s: any(g.id == "schema" and g.light is Light.UNKNOWN for g in s.gates), 8.0)

    run_warped(main())


@pytest.mark.parametrize("side", Side)
def test_ddl_after_a_cutover_is_an_alarm_until_the_preflight_was_run_again(tmp_path: Path, side: Side) -> None:
    """A rollback asks no gate for the schemas, so that an index made on green keeps nobody from going back; but it is said."""

    async def main() -> None:
        memory = MemoryWorld(seed=77, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.cut_over()
            memory.cluster.nodes[side].schema += 1
            state = await seat.until(lambda s: any(a.id == "schema" for a in s.alarms), 2.0)
            alarm = next(alarm for alarm in state.alarms if alarm.id == "schema")
            assert alarm.what == f"the schema of {side} changed since the preflight"
            assert alarm.query
            assert alarm.remedy
            assert (await seat.ask(Ask.RECHECK)).ok
            await seat.until(lambda s: not any(a.id == "schema" for a in s.alarms), 10.0)

    run_warped(main())


@pytest.mark.parametrize("serving", Side)
def test_a_sequence_that_was_set_back_is_an_alarm_and_closes_the_gate_until_it_stands_further_on(tmp_path: Path, serving: Side) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=78, apps=2, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            if serving is Side.GREEN:
                assert await seat.hand_over() is Outcome.DONE
            numbers, latest = memory.cluster.nodes[serving].sequences, seat.pilot.telemetry.latest
            await seat.until(lambda s: numbers["orders_id_seq"] > 5 and latest.servers[serving].mono > s.mono - 1)
            numbers["spare_seq"] = 700
            await seat.until(lambda s: "spare_seq" in memory.cluster.nodes[serving].stood)
            numbers["spare_seq"] = 200
            state = await seat.until(lambda s: any(a.id == "sequences" for a in s.alarms), 2.0)
            alarm = next(alarm for alarm in state.alarms if alarm.id == "sequences")
            assert alarm.what == f"a sequence of {serving} was set back: spare_seq stood at 700, stands at 200"
            assert alarm.query
            assert alarm.remedy
            if serving is Side.BLUE:
                await seat.until(lambda s: any(g.id == "schema" and "spare_seq" in g.reason for g in s.gates), 1.0)
            numbers["spare_seq"] = 701
            await seat.until(lambda s: not any(a.id == "sequences" for a in s.alarms), 3.0)

    run_warped(main())


def test_nothing_is_written_to_the_origin_between_fence_and_drain(tmp_path: Path) -> None:
    """Heartbeats and schema readings stand still inside the window: the fence's position must not move."""

    async def main() -> None:
        memory = MemoryWorld(seed=73, apps=2, poolers=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            memory.faults.add("apply quiesce*", "delay", seconds=5)
            assert await seat.hand_over() is Outcome.DONE
            calls = memory.faults.calls
            start = next(n for n, call in enumerate(calls) if call.startswith("apply fence blue on"))
            end = next(n for n, call in enumerate(calls) if n > start and call.startswith("apply drain"))
            assert [call for call in calls[start:end] if "beat" in call or "shape" in call] == []
            assert any("beat" in call for call in calls[:start])

    run_warped(main())


def test_the_start_of_a_window_belongs_to_its_steps_and_a_long_one_is_measured_again(tmp_path: Path) -> None:
    async def main() -> None:
        memory = MemoryWorld(seed=74, apps=2, poolers=1, rate=2.0)
        async with flying(memory, tmp_path) as seat:
            await seat.ready()
            memory.faults.add("apply quiesce*", "delay", seconds=3)
            assert await seat.hand_over() is Outcome.DONE
        events = read(tmp_path / "timeline.jsonl").events
        start = next(event.mono for event in events if isinstance(event.fact, ev.DowntimeStarted))
        measured = [decode_sample(line).mono - start for line in (tmp_path / "samples.jsonl").read_bytes().splitlines()]
        under_way = 0.05  # what was asked before the window is answered in it
        assert [at for at in measured if under_way < at < LULL_S - 0.01] == []
        assert len([at for at in measured if LULL_S - 0.01 <= at < 3]) > 10

    run_warped(main())
