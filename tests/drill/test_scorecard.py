"""The scorecard's arithmetic on ledgers made by hand: what is lost, what is there twice, who wrote where and when."""

from __future__ import annotations

import io
import json
from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cockpit.drill.evidence import Sum, differing
from cockpit.drill.fleet import Path, fleet, rates
from cockpit.drill.ledger import Ack, Felt, Ledger, acks, quantile
from cockpit.drill.scorecard import Facts, Flown, duplicated, judge, lost, overlap_ms, serving_after
from cockpit.model.state import HandoverView, StepView
from cockpit.model.words import Direction, Outcome, Side, StepState

OPS = st.integers(0, 2**128 - 1).map(lambda n: UUID(int=n))
TIMES = st.floats(0, 1000, allow_nan=False)


def ack(n: int, acked: float, side: str = "blue", sent: float | None = None) -> Ack:
    return Ack(UUID(int=n), acked - 0.02, acked - 0.01 if sent is None else sent, acked, side)


def view(
    number: int, direction: Direction, opened: float, outcome: Outcome = Outcome.DONE, *, past_return: bool | None = None
) -> HandoverView:
    steps = (StepView("pause", "pause", 0.1, True, StepState.DONE, opened, 12.3456), StepView("prove", "prove", 1, False))
    past = outcome is Outcome.DONE if past_return is None else past_return
    return HandoverView(number, direction, steps, opened, "typed", downtime_s=0.08, past_return=past, outcome=outcome, seconds=1.5)


def felt(stall: float, errors: int = 0) -> Felt:
    return Felt(10, stall, 1.0, stall, errors, 0, 0)


@given(st.lists(OPS, unique=True), st.data())
def test_what_is_not_there_is_lost_and_nothing_else(ops: list[UUID], data: st.DataObject) -> None:
    there = {op for op in ops if data.draw(st.booleans())}
    made = [Ack(op, 0, 0, 1, "blue") for op in ops]
    assert lost(made, Counter(there)) == len(ops) - len(there)


@given(st.dictionaries(OPS, st.integers(1, 3)))
def test_what_is_there_more_than_once_is_duplicated(written: dict[UUID, int]) -> None:
    made = [Ack(op, 0, 0, 1, "blue") for op in written]
    assert duplicated(made, written) == sum(times > 1 for times in written.values())


def test_a_write_acknowledged_twice_is_duplicated() -> None:
    assert duplicated([ack(1, 1.0), ack(1, 2.0)], {UUID(int=1): 1}) == 1


@given(st.lists(st.floats(0, 10), min_size=1), st.lists(st.floats(10.1, 20), min_size=1))
def test_sides_that_take_turns_do_not_overlap(before: list[float], after: list[float]) -> None:
    made = [ack(1, t, "blue") for t in before] + [ack(2, t, "green") for t in after]
    assert overlap_ms(made, Side.BLUE) == 0


def test_a_write_sent_to_the_old_side_after_the_new_one_answered_is_an_overlap() -> None:
    made = [ack(1, 1.0, "blue"), ack(2, 2.0, "green"), ack(3, 2.3, "blue", sent=2.25)]
    assert overlap_ms(made, Side.BLUE) == 250.0


def test_a_late_answer_to_an_early_commit_is_no_overlap() -> None:
    made = [ack(1, 2.5, "blue", sent=1.0), ack(2, 2.0, "green")]
    assert overlap_ms(made, Side.BLUE) == 0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_one_of_the_values_and_covers_its_share(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert found in ordered
    assert sum(v <= found for v in ordered) >= share * len(ordered) - 1e-9


@given(st.lists(st.tuples(TIMES, st.floats(0, 5)), max_size=50), TIMES, st.floats(0, 50))
def test_an_interval_holds_every_write_that_waited_in_it(writes: list[tuple[float, float]], t0: float, length: float) -> None:
    book, t1 = Ledger(io.StringIO()), t0 + length
    done = sorted(((due + wait, due) for due, wait in writes))
    for number, (acked, due) in enumerate(done):
        book.begin(UUID(int=number), due)
        book.ack(Ack(UUID(int=number), due, due, acked, "blue"))
    waited = [acked - due for acked, due in done if acked >= t0 and due <= t1]
    found = book.felt(t0, t1, now=2000.0)
    assert found.writes == len(waited)
    assert found.stall_ms == round(max(waited, default=0.0) * 1000, 3)
    assert found.waiting == 0


def test_a_write_that_still_waits_counts_with_its_age() -> None:
    book = Ledger(io.StringIO())
    book.begin(UUID(int=1), due=10.0)
    found = book.felt(9.0, 11.0, now=12.5)
    assert (found.stall_ms, found.waiting, found.writes) == (2500.0, 1, 0)


@given(st.lists(st.tuples(OPS, TIMES, TIMES, TIMES, st.sampled_from(["blue", "green"]))))
def test_the_ledger_file_gives_back_what_was_written(tmp_path_factory, rows: list[tuple[UUID, float, float, float, str]]) -> None:
    file = tmp_path_factory.mktemp("ledger") / "1.acks"
    made = [Ack(op, round(a, 6), round(b, 6), round(c, 6), side) for op, a, b, c, side in rows]
    torn = "".join(each.line() for each in made) + "0b1e5"
    file.write_text(torn, encoding="utf-8")
    assert list(acks(file)) == made


def facts(made: dict[str, list[Ack]], missing: set[int] = frozenset(), twice: set[int] = frozenset()) -> Facts:
    written = Counter({each.op: 1 for group in made.values() for each in group if each.op.int not in missing})
    written.update({UUID(int=n): 1 for n in twice})
    same = {"core.customer": Sum(5, 77)}
    return Facts(made, written, same, dict(same))


APPS = fleet(15)


def flights() -> list[Flown]:
    calm = {app.name: felt(40.0 + app.number) for app in APPS}
    return [Flown(view(1, Direction.CUTOVER, 10.0), calm), Flown(view(2, Direction.ROLLBACK, 20.0), calm)]


def test_a_clean_drill_passes_and_its_json_has_the_documented_keys() -> None:
    made = {"orders": [ack(1, 5.0), ack(2, 15.0, "green"), ack(3, 25.0)]}
    card = judge(flights(), facts(made), APPS, {"rows": 1})
    told = json.loads(card.to_json())
    assert (card.verdict, card.why) == ("pass", ())
    assert told["sides_equal"] is True
    assert told["rig"] == {"rows": 1, "writes": 3}
    first = told["handovers"][0]
    assert first.keys() >= {"direction", "outcome", "seconds", "stall_ms", "errors", "lost", "duplicated", "steps", "apps"}
    assert first["stall_ms"] == {"p50": 44.0, "p99": 49.0, "max": 49.0}
    assert first["steps"] == [{"id": "pause", "ms": 12.346}]
    assert first["apps"][0].keys() >= {"name", "channel", "stall_ms", "errors", "lost", "duplicated"}


def test_a_lost_write_is_charged_to_its_handover() -> None:
    made = {"orders": [ack(1, 5.0), ack(2, 21.0)]}
    card = judge(flights(), facts(made, missing={2}), APPS, {})
    assert [each.lost for each in card.handovers] == [0, 1]
    assert card.verdict == "fail"


def test_a_write_that_stands_twice_without_an_answer_fails_too() -> None:
    made = {"orders": [ack(1, 5.0), ack(2, 25.0)]}
    card = judge(flights(), facts(made, twice={9}), APPS, {})
    assert card.verdict == "pass"
    card = judge(flights(), Facts(made, {UUID(int=1): 1, UUID(int=2): 1, UUID(int=9): 2}, {}, {}), APPS, {})
    assert "1 writes stand twice" in card.why[0]


def test_an_app_without_figures_and_a_handover_without_writes_are_no_zeros() -> None:
    silent, spoken = APPS[3], {app.name: felt(40.0) for app in APPS}
    flights = [
        Flown(view(1, Direction.CUTOVER, 10.0), {name: each for name, each in spoken.items() if name != silent.name}),
        Flown(view(2, Direction.ROLLBACK, 20.0), spoken),
    ]
    card = judge(flights, facts({"orders": [ack(1, 5.0)], "other": []}), APPS, {})
    assert (card.verdict, card.why) == (
        "fail",
        (f"no figures of app {silent.name} in handover 1", "no write was acknowledged in handover 2"),
    )
    assert judge(flights[1:], facts({}), APPS, {}).why == ("no write was acknowledged in handover 1",)


def test_only_the_pooled_apps_make_the_stall_and_the_errors() -> None:
    rough = {app.name: felt(900.0, 3) if app.path is not Path.POOL else felt(50.0, 0) for app in APPS}
    card = judge([Flown(view(1, Direction.CUTOVER, 10.0), rough)], facts({}), APPS, {})
    assert (card.handovers[0].stall_ms.max, card.handovers[0].errors) == (50.0, 0)
    assert max(app.stall_ms for app in card.handovers[0].apps) == 900.0


def test_an_aborted_handover_leaves_the_side_it_started_from() -> None:
    assert serving_after([]) is Side.BLUE
    assert serving_after([Flown(view(1, Direction.CUTOVER, 1.0), {})]) is Side.GREEN
    assert serving_after([Flown(view(1, Direction.CUTOVER, 1.0, Outcome.ABORTED), {})]) is Side.BLUE


def test_a_handover_stuck_past_its_return_leaves_the_side_it_went_to() -> None:
    cutover = Flown(view(1, Direction.CUTOVER, 1.0, Outcome.STUCK, past_return=True), {})
    assert serving_after([cutover]) is Side.GREEN
    assert serving_after([Flown(view(1, Direction.CUTOVER, 1.0, Outcome.STUCK, past_return=False), {})]) is Side.BLUE
    assert serving_after([cutover, Flown(view(2, Direction.ROLLBACK, 9.0, Outcome.STUCK, past_return=True), {})]) is Side.BLUE


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.integers(0, 9), st.integers()), max_size=6), st.data())
def test_tables_differ_where_count_or_sum_differ(tables: dict[str, tuple[int, int]], data: st.DataObject) -> None:
    blue = {name: Sum(*both) for name, both in tables.items()}
    spoiled = {name for name in blue if data.draw(st.booleans())}
    green = {name: Sum(each.rows + 1, each.digest) if name in spoiled else each for name, each in blue.items()}
    assert set(differing(blue, green)) == spoiled


@given(st.integers(1, 60))
def test_a_fleet_has_as_many_apps_as_asked_each_with_its_own_name(count: int) -> None:
    apps = fleet(count)
    assert len({app.role for app in apps}) == len({app.name for app in apps}) == count
    assert abs(sum(rates(apps, 400.0).values()) - 400.0) < 1e-6


def test_of_fifteen_apps_ten_are_pooled_three_read_a_file_two_a_secret() -> None:
    assert Counter(app.path for app in fleet(15)) == {Path.POOL: 10, Path.FILE: 3, Path.SECRET: 2}
    assert Counter(app.path for app in fleet(15, pooler=False)) == {Path.FILE: 13, Path.SECRET: 2}
