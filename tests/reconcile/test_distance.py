"""How far the servers are, by their own word."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cockpit.drill.servers import Server
from cockpit.model.words import Side
from cockpit.reconcile.distance import measure
from cockpit.reconcile.sessions import Line, Row
from tests.conftest import MakeDatabase


@pytest.mark.servers
async def test_servers_on_this_machine_say_so(blue16: Server, green18: Server, make_database: MakeDatabase) -> None:
    ends = {Side.BLUE: await make_database(blue16, "far"), Side.GREEN: await make_database(green18, "far")}
    lines = {side: Line(side, end) for side, end in ends.items()}
    try:
        found = await measure(lines)
    finally:
        for line in lines.values():
            await line.close()
    assert (found.one_machine, found.here) == (True, True)
    assert 0 < found.trip_s < 0.1


class Told:
    """A line whose server says of itself what it is told to."""

    def __init__(self, machine: str, here: bool) -> None:
        self._row = {"machine": machine, "here": here}

    async def fetch(self, sql: str) -> list[Row]:
        return [self._row]

    async def again(self, sql: str) -> list[Row]:
        return []


@pytest.mark.parametrize(
    ("blue", "green", "expected"),
    [
        (("10.0.0.4", False), ("10.0.0.5", False), (False, False)),
        (("10.0.0.4", False), ("10.0.0.4", False), (True, False)),
        (("10.0.0.4", True), ("10.0.0.5", False), (False, True)),
        (("", True), ("", True), (True, True)),
        (("", True), ("127.0.0.1", True), (True, True)),
    ],
)
async def test_one_machine_is_one_address(blue: tuple[str, bool], green: tuple[str, bool], expected: tuple[bool, bool]) -> None:
    lines: Mapping[Side, Line] = {Side.BLUE: Told(*blue), Side.GREEN: Told(*green)}  # type: ignore[dict-item]
    found = await measure(lines)
    assert (found.one_machine, found.here) == expected
