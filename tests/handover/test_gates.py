"""Gates read samples: a limit passes or fails, and anything missing, old or foreign is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cockpit.handover.gates import GATES, Gates, Picture, aged, not_held, turned
from cockpit.model.events import FindingSeen
from cockpit.model.settings import GateSpec, Tuning
from cockpit.model.state import RunState
from cockpit.model.telemetry import (
    AppRoute,
    LagSample,
    PoolerSample,
    ReconSample,
    RoutingSample,
    Sample,
    ServerSample,
    TableProof,
    TableSync,
)
from cockpit.model.words import Exactness, Light, Mode, ProofState, Severity, Side, Verdict
from cockpit.scenario import load_scenario
from cockpit.timeline.follow import Latest

NOW = 1000.0
SHAPE = {Side.BLUE: "b", Side.GREEN: "g"}
LAG = LagSample(
    NOW, Side.BLUE, Side.GREEN, 100, 0.1, 1e6, 0.0, "slot", "active", 4096, "streaming", "running", 0.1, 0, 4, 4, reverse_armed=True
)
BLUE = ServerSample(NOW, Side.BLUE, True, "16", False, 20, 0.4, 0)
GREEN = ServerSample(NOW, Side.GREEN, True, "18", True, 0, None, 0)
POOLER = PoolerSample(NOW, "pool-1", True, False, Side.BLUE, 10, 0, "transaction")
ROUTE = AppRoute("billing", "pool-1", Side.BLUE, 3, 0, 20.0, Verdict.ROUTED)
RECON = ReconSample(NOW, 1000, 1000, 4, 4, 0, 0, NOW, 0.01, 0.1)
FINDING = FindingSeen("R1", "blue", Severity.BLOCK, "wal_level is replica", "SHOW wal_level", "set it to logical")


def picture(*samples: Sample, now: float = NOW, **changes: object) -> Picture:
    latest = Latest()
    for sample in (LAG, BLUE, GREEN, POOLER, RoutingSample(NOW, (ROUTE,)), RECON, *samples):
        latest.take(sample)
    state = RunState(serving=Side.BLUE, mode=Mode.READY)
    made = Picture(now, state, latest, Tuning(), SHAPE, SHAPE, now, "", ("pool-1",))
    return replace(made, **changes)  # type: ignore[arg-type]


LIMITS = {gate.id: gate.limit for gate in load_scenario("arp").gates}


@pytest.mark.parametrize("gate", sorted(GATES))
def test_a_healthy_picture_passes_every_gate(gate: str) -> None:
    read = GATES[gate](picture(), LIMITS[gate])
    assert read.light is Light.PASS, read.reason


@pytest.mark.parametrize("gate", [gate for gate, limit in LIMITS.items() if limit is not None and gate != "recon"])
def test_a_limit_that_was_left_out_asks_for_the_strictest(gate: str) -> None:
    assert GATES[gate](picture(), None).light is Light.FAIL


@pytest.mark.parametrize("gate", sorted(set(GATES) - {"schema", "preflight", "guardian"}))
def test_old_data_is_unknown_and_never_passes(gate: str) -> None:
    assert GATES[gate](picture(now=NOW + 60), None).light is Light.UNKNOWN


@pytest.mark.parametrize("gate", sorted(set(GATES) - {"guardian"}))
def test_nothing_measured_is_unknown(gate: str) -> None:
    empty = replace(picture(), latest=Latest(), shape_at_preflight=None, shape_now=None, shape_mono=None)
    assert GATES[gate](empty, None).light is Light.UNKNOWN


def test_a_pooler_of_the_config_that_was_never_seen_is_unknown() -> None:
    read = GATES["poolers"](picture(poolers=("pool-1", "pool-2")), None)
    assert (read.light, read.reason) == (Light.UNKNOWN, "pool-2: not seen yet")


def test_a_pooler_that_does_not_say_whether_it_is_paused_is_unknown() -> None:
    assert GATES["poolers"](picture(replace(POOLER, paused=None)), None).light is Light.UNKNOWN


def test_a_pooler_that_fails_is_named_before_one_that_is_unknown() -> None:
    down = replace(POOLER, pooler="pool-2", up=False, error="refused")
    read = GATES["poolers"](picture(down, poolers=("pool-1", "pool-2", "pool-0")), None)
    assert (read.light, read.reason) == (Light.FAIL, "pool-2: refused")


def test_a_pair_without_poolers_passes() -> None:
    assert GATES["poolers"](replace(picture(), latest=Latest(), poolers=()), None).light is Light.PASS


def test_no_reading_holds_nothing() -> None:
    assert not_held(()) is not None
    assert turned(()) is not None


def test_readings_that_were_read_too_long_ago_hold_nothing() -> None:
    readings = Gates().read((GateSpec("slot", "slot"),), picture())
    assert not_held(aged(readings, NOW, NOW + 2, stale_after=2)) is None
    old = not_held(aged(readings, NOW, NOW + 3, stale_after=2))
    assert old is not None
    assert (old.id, old.light, old.reason) == ("slot", Light.UNKNOWN, "last read 3 s ago")


FAILING: list[tuple[str, Sample, str]] = [
    ("lag_bytes", replace(LAG, lag_bytes=2_000_000), "2,000,000 B behind"),
    ("lag_seconds", replace(LAG, lag_s=9.0), "9.0 s behind"),
    ("tables_ready", replace(LAG, tables_ready=3, not_ready=(TableSync("a.b", "d"),)), "a.b (d)"),
    ("slot", replace(LAG, slot_state="lost"), "slot lost"),
    ("slot", replace(LAG, sender="missing"), "sender missing"),
    ("slot", replace(LAG, worker="disabled"), "worker disabled"),
    ("lag_seconds", replace(LAG, lag_s=9.0), "limit 2 s"),
    ("apply_errors", replace(LAG, apply_errors=1), "1 apply errors of late"),
    ("reverse", replace(LAG, reverse_armed=False), "not armed"),
    ("reverse", replace(LAG, reverse_armed=False, reverse_missing=("public.fresh",)), "does not carry public.fresh"),
    (
        "tables_ready",
        replace(LAG, tables_ready=4, tables_total=5, not_ready=(TableSync("public.fresh", "missing"),)),
        "4 of 5 tables ready: public.fresh (missing)",
    ),
    ("long_transactions", replace(BLUE, oldest_xact_s=16.0), "16.0 s"),
    ("prepared", replace(BLUE, prepared=1), "1 prepared"),
    ("poolers", replace(POOLER, paused=True), "is paused"),
    ("poolers", replace(POOLER, up=False, error="refused"), "refused"),
    ("poolers", replace(POOLER, routes_to=Side.GREEN), "leads to green"),
    ("census", RoutingSample(NOW, (replace(ROUTE, verdict=Verdict.STRANGER, cause="from 10.0.0.9"),)), "10.0.0.9"),
    ("recon", replace(RECON, differences=1), "1 row differs; cockpit repair"),
    ("recon", replace(RECON, proven_rows=500), "50.0%"),
    ("recon", replace(RECON, proven_rows=0, all_rows=0, tables_equal=0), "0.0%"),
    ("freeze_cost", replace(RECON, freeze_cost_s=2.0), "2.00 s"),
    ("target_fenced", replace(GREEN, fenced=False), "not fenced"),
]


@pytest.mark.parametrize(("gate", "sample", "reason"), FAILING, ids=[f"{g}-{n}" for n, (g, _, _) in enumerate(FAILING)])
def test_a_gate_that_fails_names_the_cause(gate: str, sample: Sample, reason: str) -> None:
    read = GATES[gate](picture(sample), LIMITS[gate])
    assert read.light is Light.FAIL
    assert reason in read.reason


def test_a_fence_that_is_gone_names_the_query_that_shows_it() -> None:
    assert GATES["target_fenced"](picture(replace(GREEN, fenced=False)), None).query.startswith("SELECT ")


def test_a_pair_without_a_row_is_proven_when_its_tables_are() -> None:
    bare = replace(RECON, proven_rows=0, all_rows=0)
    assert GATES["recon"](picture(bare), LIMITS["recon"]).light is Light.PASS
    assert GATES["recon"](picture(replace(bare, tables_equal=3)), LIMITS["recon"]).light is Light.FAIL
    assert GATES["recon"](picture(replace(bare, tables_equal=0, tables_total=0)), LIMITS["recon"]).light is Light.FAIL


@pytest.mark.parametrize("gate", ["lag_bytes", "lag_seconds", "slot", "tables_ready", "apply_errors", "reverse"])
def test_a_measurement_of_the_other_direction_is_unknown(gate: str) -> None:
    other = replace(LAG, origin=Side.GREEN, target=Side.BLUE)
    assert GATES[gate](picture(other), None).light is Light.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "least"), [("2038 rows differ: (1) missing", ""), ("at least 2000 rows differ: (1) missing", "at least ")]
)
def test_rows_that_differ_are_counted_as_rows_and_named_by_their_tables(reason: str, least: str) -> None:
    made = picture(replace(RECON, differences=2038))
    proof = TableProof("public.orders", 1, 1, ProofState.DIFFERS, Exactness.EXACT, 1.0, NOW, reason)
    latest = replace(
        made.latest, tables={"public.orders": proof, "public.lines": replace(proof, table="public.lines", state=ProofState.EQUAL)}
    )
    read = GATES["recon"](replace(made, latest=latest, state=replace(made.state, run="arp-7f3a")), LIMITS["recon"])
    assert read.reason == f"{least}2038 rows differ in 1 table: public.orders; cockpit repair arp-7f3a"


def test_findings_schema_and_guardian() -> None:
    blocked = RunState(serving=Side.BLUE, findings=(FINDING,))
    assert "R1 blue" in GATES["preflight"](picture(state=blocked), None).reason
    waived = RunState(serving=Side.BLUE, findings=(replace(FINDING, waived="agreed"),))
    assert GATES["preflight"](picture(state=waived), None).light is Light.PASS
    assert GATES["guardian"](picture(guardian="silent"), None).light is Light.FAIL


@pytest.mark.parametrize("side", Side)
def test_a_schema_that_changed_is_named_with_its_side_and_a_query(side: Side) -> None:
    read = GATES["schema"](picture(shape_now={**SHAPE, side: "other"}), None)
    assert (read.light, read.reason) == (Light.FAIL, f"the schema of {side} changed since the preflight: run it again (r)")
    assert read.query.startswith("SELECT ")


def test_schemas_that_were_read_too_long_ago_are_unknown() -> None:
    read = GATES["schema"](picture(shape_mono=NOW - 7), None)
    assert (read.light, read.reason) == (Light.UNKNOWN, "the schemas were last read 7 s ago")


def test_a_gate_must_hold_and_starts_over_when_it_turned() -> None:
    gates = Gates()
    specs = (GateSpec("lag_bytes", "lag", 1000, hold=5.0),)
    first = gates.read(specs, picture())
    assert not_held(first) is not None
    assert turned(first) is None
    late = replace(LAG, mono=NOW + 4)
    bad = replace(late, lag_bytes=5000)
    assert turned(gates.read(specs, picture(bad, now=NOW + 4))) is not None
    again = gates.read(specs, picture(late, now=NOW + 4.5))
    assert not_held(again) is not None
    held = gates.read(specs, picture(replace(LAG, mono=NOW + 9.5), now=NOW + 9.5))
    assert not_held(held) is None
    assert held[0].held_s == 5.0


@pytest.mark.parametrize("gate", ["lag_bytes", "long_transactions", "prepared", "poolers", "census", "target_fenced"])
def test_what_was_measured_before_a_window_ended_is_unknown_after_it(gate: str) -> None:
    after = GATES[gate](picture(now=NOW + 0.2, since=NOW + 0.1), LIMITS[gate])
    assert after.light is Light.UNKNOWN, after.reason
    assert GATES[gate](picture(now=NOW + 0.2, since=NOW - 0.1), LIMITS[gate]).light is Light.PASS
