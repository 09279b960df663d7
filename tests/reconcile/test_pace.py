"""What the window will take is told from what has come since, not from what was drained already."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from cockpit.model.settings import Endpoint, PairSpec, SideSpec, Tuning
from cockpit.reconcile import reconciler as reconciler_module
from cockpit.reconcile.ledger import Ledger
from cockpit.reconcile.pace import BULK, DrainPace, KeyPace
from cockpit.reconcile.reconciler import PostgresReconciler
from cockpit.reconcile.watch import LONGEST_REST_S, Watch


def test_a_burst_that_is_drained_costs_nothing_any_more() -> None:
    pace = DrainPace()
    for second in range(20):
        pace.took(5, 0.004, second * 0.4)
    quiet = pace.next_s(8.0)
    pace.took(100_000, 1.2, 8.4)
    assert pace.next_s(8.4) == pytest.approx(quiet, abs=0.005)


def test_what_comes_is_told_by_how_fast_it_came_and_what_a_change_costs() -> None:
    pace = DrainPace()
    pace.took(0, 0.005, 0.0)
    for second in range(1, 30):
        pace.took(10_000, 0.105, float(second))
    assert pace.next_s(30.0) == pytest.approx(0.105, rel=0.2), "a second's changes"
    assert pace.next_s(29.5) == pytest.approx(0.055, rel=0.2), "half a second's"


def test_a_drain_of_few_changes_tells_what_the_least_is() -> None:
    pace = DrainPace()
    for second in range(30):
        pace.took(BULK - 1, 0.05, second * 100.0)
    assert pace.next_s(2900.0) == pytest.approx(0.05, rel=0.05)


def test_faster_readings_are_nearer_to_the_window_and_its_own_is_nearest() -> None:
    pace = KeyPace(50_000.0)
    pace.took(20_000, 0.2)
    assert pace.keys_s == 75_000
    pace.took(20_000, 1.0)
    assert pace.keys_s == pytest.approx(69_500)
    pace.took(100_000, 0.8, window=True)
    assert pace.keys_s == pytest.approx(108_350)
    pace.took(0, 1.0)
    assert pace.keys_s == pytest.approx(108_350)


@pytest.mark.parametrize(
    ("busy_s", "share", "rest_s"),
    [(0.01, 0.5, Watch.EVERY_S), (0.015, 0.1, 0.485), (0.04, 0.5, Watch.EVERY_S), (2.0, 0.1, LONGEST_REST_S), (0.0, 0.01, Watch.EVERY_S)],
)
def test_the_watch_takes_its_part_of_the_load_limit_and_is_never_long_away(busy_s: float, share: float, rest_s: float) -> None:
    none = cast(Any, None)
    watch = Watch(Ledger(), {}, none, none, none)
    watch.busy_s = busy_s
    assert watch.rest_s(share) == pytest.approx(rest_s)


@pytest.mark.parametrize(
    ("busy_s", "share", "scan"),
    [
        (0.0, 0.1, 0.1),
        (0.01, 0.1, 0.1 - 0.01 / 0.41),
        (0.025, 0.1, 0.06),
        (2.0, 0.1, 0.03),
        (2.0, 0.5, 0.25),
        (0.01, 0.5, 0.5 - 0.01 / 0.41),
    ],
)
def test_watch_and_scan_together_take_the_load_limit(busy_s: float, share: float, scan: float) -> None:
    """But for a watch that has more to do: the scan goes on, with a little where it is to be gentle and with half where it is not."""
    reconciler = unopened(share)
    reconciler._watch.busy_s = busy_s
    assert reconciler._for_scan() == pytest.approx(scan)


def unopened(share: float) -> PostgresReconciler:
    end = Endpoint("127.0.0.1", 1, "none", "nobody", None)
    side = SideSpec(end, end)
    return PostgresReconciler(PairSpec("pair", side, side, (), ()), Tuning(recon_duty=share))


@pytest.mark.parametrize(("longest_s", "rests"), [(60.0, [0.01, 0.03, 0.3]), (-1.0, [0.01, 0.01, 0.01])])
async def test_the_scan_reads_short_ranges_one_after_the_other_and_rests_by_all_of_them(
    monkeypatch: pytest.MonkeyPatch, longest_s: float, rests: list[float]
) -> None:
    """Or by what it has read after a while: servers that are far away, or tables that are many, are little work for a long time."""
    reconciler, rested, done = unopened(0.1), [], asyncio.Event()
    took = iter([0.01, 0.01, 0.01, 0.01, 0.3])

    async def step() -> float:
        return next(took)

    async def rest(share: float | None, busy: float) -> None:
        rested.append(round(busy, 3))
        if len(rested) == 3:
            done.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(reconciler_module, "LONGEST_BURST_S", longest_s)
    monkeypatch.setattr(reconciler, "_step", step)
    monkeypatch.setattr(reconciler, "_rest", rest)
    reconciler._tapped.set()
    scanning = asyncio.create_task(reconciler._scanning())
    try:
        await asyncio.wait_for(done.wait(), 5.0)
    finally:
        scanning.cancel()
        await asyncio.gather(scanning, return_exceptions=True)
    assert rested == rests
