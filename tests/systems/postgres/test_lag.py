"""What successive lag samples keep between them. No server is needed."""

from __future__ import annotations

from types import SimpleNamespace

from cockpit.model.words import Side
from cockpit.systems.postgres.lag import ERRORS_OVER_S, Meter


def meter() -> Meter:
    return Meter(SimpleNamespace(), Side.BLUE, Side.GREEN)  # type: ignore[arg-type]


def test_an_apply_error_of_long_ago_holds_no_gate() -> None:
    """The server counts since its statistics were reset: one error that was survived would close the gate of every later handover."""
    looking = meter()
    assert looking.fresh_errors(0.0, 1) == 0, "before anybody looked"
    assert looking.fresh_errors(1.0, 2) == 1
    assert looking.counted_errors == 2, "the preflight warns of them all the same"
    assert looking.fresh_errors(1.0 + ERRORS_OVER_S - 1, 2) == 1
    assert looking.fresh_errors(1.0 + ERRORS_OVER_S + 1, 2) == 0


def test_a_worker_that_fails_again_and_again_counts_all_the_time() -> None:
    looking = meter()
    counts = [looking.fresh_errors(5.0 * n, n) for n in range(40)]
    assert counts[0] == 0
    assert all(counts[1:])


def test_a_count_that_was_reset_starts_over() -> None:
    looking = meter()
    looking.fresh_errors(0.0, 7)
    assert looking.fresh_errors(1.0, 0) == 0
    assert looking.fresh_errors(2.0, 1) == 1
    assert looking.fresh_errors(3.0, None) is None
