"""What the preflight says of the sides beside their rows, without servers."""

from __future__ import annotations

from cockpit.errors import LinkError
from cockpit.model.parity import Difference, Parity, Weight
from cockpit.model.settings import Waiver
from cockpit.model.words import Severity, Side
from cockpit.reconcile.findings import MOST_NAMED, beside


def difference(number: int, weight: Weight = Weight.BAD, blue: str = "btree (id)") -> Difference:
    return Difference("index", f"public.i{number}", blue, "", weight, f"CREATE INDEX i{number} ...", "SELECT ...", Side.GREEN)


async def read(*differences: Difference) -> Parity:
    return Parity(differences, {"index": 7, "view": 0})


async def unread() -> Parity:
    raise LinkError("connection refused", where="green")


async def test_a_difference_is_a_warning_with_both_values_its_remedy_and_where_to_run_it() -> None:
    told, counted = await beside(read(difference(1), difference(2, Weight.LOOK)))
    assert (told.check, told.object, told.severity) == ("D15", "index public.i1", Severity.WARN)
    assert told.seen == "blue: btree (id); green: -"
    assert (told.remedy, told.query) == ("on green: CREATE INDEX i1 ...", "SELECT ...")
    assert (counted.severity, counted.seen) == (Severity.GOOD, "7 objects of 1 kinds compared, 1 differences may be meant")
    assert "cockpit reconcile" in counted.remedy


async def test_an_accepted_one_says_by_whom_and_why() -> None:
    waivers = (Waiver("D15", "index public.i2", "dropped on purpose"), Waiver("P11", "index public.i1", "another check's"))
    one, two, _ = await beside(read(difference(1), difference(2)), waivers)
    assert (one.waived, two.waived) == ("", "dropped on purpose")


async def test_a_flood_is_counted() -> None:
    told = await beside(read(*(difference(n) for n in range(MOST_NAMED + 5))))
    assert len(told) == MOST_NAMED + 2
    assert (told[-2].severity, told[-2].seen) == (Severity.WARN, "5 differences more")


async def test_what_could_not_be_read_is_never_taken_as_equal() -> None:
    (told,) = await beside(unread())
    assert told.severity is Severity.WARN
    assert "not compared beside the rows: green: connection refused" in told.seen
    assert told.remedy


async def test_nothing_of_a_name_reaches_a_terminal_as_control() -> None:
    told = (await beside(read(difference(1, blue="\x1b[2J\u202e"))))[0]
    assert told.seen.isprintable()
