"""What a killed pilot leaves on the servers is taken away by its guardian's process, unless somebody flies the pair."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.settings import Config
from cockpit.model.words import Side
from cockpit.reconcile.taps import Tap
from cockpit.scenario import load_scenario
from cockpit.wiring import Order, clear_taps
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import pair
from tests.reconcile.test_taps import slots

pytestmark = pytest.mark.servers


@pytest_asyncio.fixture
async def order(blue16: Server, green18: Server, make_database: MakeDatabase) -> AsyncIterator[Order]:
    """A pair on which a pilot made its taps and was killed."""
    blue, green = await make_database(blue16, "leftover"), await make_database(green18, "leftover")
    spec = pair(blue, green)
    for side in Side:
        tap = Tap(side, spec.side(side).control, spec.name, "0123abcd")
        assert await tap.ensure({})
        await tap.close(keep=True)
    yield Order(Config({spec.name: spec}, "", ""), load_scenario("arp"), spec)


async def left(order: Order) -> int:
    return sum([len(await slots(order.spec.side(side).control)) for side in Side])


async def test_a_killed_pilots_taps_are_gone(order: Order) -> None:
    assert await left(order) == 2
    await clear_taps(order)
    assert await left(order) == 0


async def test_they_stay_while_somebody_flies_the_pair(order: Order) -> None:
    world = order.world()
    await world.servers.open()
    try:
        await world.servers.lock("the other lead")
        await clear_taps(order)
        assert await left(order) == 2
    finally:
        await world.servers.close()
