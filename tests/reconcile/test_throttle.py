"""The background takes less while a server shows strain, and what it was allowed when it does not."""

from __future__ import annotations

import pytest

from cockpit.model.words import Side
from cockpit.reconcile.throttle import (
    BUSY,
    GENTLE,
    GROWTH,
    IN_A_ROW,
    LAG_BYTES,
    LEAST,
    LEAST_GENTLY,
    NOTICED_S,
    RETAINED_BYTES,
    OwnTime,
    Strain,
    Throttle,
)

WELL = Strain(Side.BLUE, 0.01)


def test_it_takes_what_it_may_while_all_is_well() -> None:
    throttle = Throttle(0.10)
    for _ in range(5):
        throttle.judge((WELL,))
    assert (throttle.share, throttle.cause) == (0.10, "")
    throttle.allow(0.25)
    assert throttle.share == 0.25


@pytest.mark.parametrize(("strain", "why"), [
    (Strain(Side.GREEN, 0.01, behind=LAG_BYTES + (1 << 20)), "replication from green is 65 MB behind"),
    (Strain(Side.BLUE, 0.01, retained=RETAINED_BYTES + (1 << 30)), "a slot holds back 5 GB of log on blue"),
    (Strain(Side.BLUE, 0.01, active=int(100 * BUSY) + 1), "61 backends work on blue"),
])  # fmt: skip
def test_strain_halves_it_and_says_why(strain: Strain, why: str) -> None:
    throttle = Throttle(0.20)
    throttle.judge((WELL,))
    throttle.judge((WELL, strain))
    assert (throttle.share, throttle.cause) == (0.10, why)
    throttle.judge((strain,))
    assert throttle.share == 0.05


def test_it_never_stands_still_and_grows_back_little_by_little() -> None:
    throttle = Throttle(0.10)
    throttle.judge((WELL,))
    for _ in range(20):
        throttle.judge((Strain(Side.BLUE, 0.01, behind=LAG_BYTES * 2),))
    assert throttle.share == LEAST
    throttle.allow(0.30)
    assert throttle.share == LEAST, "strain outranks the lead's wish for more"
    for _ in range(5):
        throttle.judge((WELL,))
    assert throttle.share == pytest.approx(LEAST + 5 * GROWTH)
    assert throttle.cause
    for _ in range(100):
        throttle.judge((WELL,))
    assert (throttle.share, throttle.cause) == (0.30, "")


def test_the_lead_may_take_less_at_once() -> None:
    throttle = Throttle(0.30)
    throttle.allow(0.05)
    assert throttle.share == 0.05


def test_a_short_answer_is_no_strain_however_much_longer_than_usual() -> None:
    throttle = Throttle(0.10)
    throttle.judge((Strain(Side.BLUE, 0.001),))
    throttle.judge((Strain(Side.BLUE, NOTICED_S * 0.9),))
    assert throttle.cause == ""


def test_slow_answers_in_a_row_are_strain_and_one_is_chance() -> None:
    throttle = Throttle(0.20)
    throttle.judge((WELL,))
    for _ in range(IN_A_ROW):
        assert throttle.cause == ""
        throttle.judge((Strain(Side.BLUE, 0.05),))
    assert (throttle.share, throttle.cause) == (0.10, "blue answers in 50 ms, 14 usually")
    throttle.judge((WELL,))
    assert throttle.share == 0.10 + GROWTH


def test_a_server_that_is_slower_for_good_is_usual_after_a_while() -> None:
    throttle = Throttle(0.10)
    throttle.judge((Strain(Side.BLUE, 0.020),))
    for _ in range(200):
        throttle.judge((Strain(Side.BLUE, 0.029),))
    throttle.judge((Strain(Side.BLUE, 0.040),))
    assert throttle.cause == ""


def test_what_this_process_takes_of_the_servers_machine_is_within_the_limit() -> None:
    throttle = Throttle(GENTLE)
    throttle._own._share, throttle._own._at = 0.05, float("inf")
    assert throttle.for_scan(0.08, here=False) == pytest.approx(GENTLE - 0.08)
    assert throttle.for_scan(0.08, here=True) == pytest.approx(GENTLE - 0.08 - 0.05)
    assert throttle.for_scan(0.24, here=True) == pytest.approx(GENTLE * LEAST_GENTLY)


def test_own_time_is_of_the_last_seconds() -> None:
    own = OwnTime()
    start, worked = own._at, own._worked
    assert own._took(start + 0.5, worked + 0.5) == 0.0, "too soon to tell"
    for second in range(1, 21):
        share = own._took(start + second, worked + 0.04 * second)
    assert share == pytest.approx(0.04, rel=0.01)
    for second in range(21, 41):
        share = own._took(start + second, worked + 0.8)
    assert share < 0.001
