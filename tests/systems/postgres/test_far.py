"""A side whose answers come 0.6 s late, or never: what must be done is done, and no connection is begun again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from cockpit.drill.proxy import Kind, Proxy
from cockpit.errors import HalfHeard, LinkError
from cockpit.handover.home import LATER_TRY_S
from cockpit.handover.ports import Claim
from cockpit.model.settings import SideSpec
from cockpit.model.words import Known
from cockpit.systems.postgres import PostgresPair
from cockpit.systems.postgres.lock import OTHER_S
from tests.systems.postgres.conftest import BLUE, Rig


@pytest.fixture
async def way(rig: Rig) -> AsyncIterator[Proxy]:
    """The room's way to blue."""
    proxy = Proxy("blue", rig.blue.port)
    await proxy.open()
    await rig.remade(blue=SideSpec(replace(rig.blue, port=proxy.port), rig.blue))
    yield proxy
    await rig.pair.close()
    await proxy.close()


@pytest.mark.parametrize("broken", [False, True], ids=["on standing connections", "on connections that broke"])
async def test_a_fence_far_away_is_lifted(rig: Rig, way: Proxy, broken: bool) -> None:
    await rig.mesh()
    await rig.pair.fence(BLUE, on=True).apply()
    way.strike(Kind.DELAYED)
    if broken:
        for links in (rig.pair._wires.act, rig.pair._wires.watch):
            await links[BLUE].close()
    lifted = rig.pair.fence(BLUE, on=False)
    async with asyncio.timeout(LATER_TRY_S * 0.75):
        await lifted.apply()
        assert (await lifted.probe()).known is Known.DONE


async def test_who_has_the_pair_goes_by_the_side_that_answers(rig: Rig, way: Proxy) -> None:
    """In the window every second counts: a way home does not wait for a side that may never answer."""
    await rig.mesh()
    claim = Claim("seat a")
    await rig.pair.lock("cockpit ann@ops pid 7", claim)
    way.strike(Kind.BLACKHOLE)
    async with asyncio.timeout(OTHER_S + 0.5):
        with pytest.raises(HalfHeard, match="blue"):
            await rig.pair.lock("cockpit ann@ops pid 7", claim)
    await way.heal()
    await rig.pair.lock("cockpit ann@ops pid 7", claim)


async def test_who_never_had_the_pair_needs_both_sides(rig: Rig, way: Proxy) -> None:
    way.strike(Kind.BLACKHOLE)
    with pytest.raises((LinkError, TimeoutError)):
        async with asyncio.timeout(OTHER_S + 0.5):
            await rig.pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
    await way.heal()


async def test_an_heir_is_not_kept_waiting_by_the_side_that_is_silent(rig: Rig, way: Proxy) -> None:
    """A guardian's way home asks again and again: nothing else is done with a side that does not answer."""
    await rig.mesh()
    await rig.pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
    await rig.pair.close()
    heir = PostgresPair(rig.spec, rig.tuning)
    way.strike(Kind.BLACKHOLE)
    try:
        for _ in range(2):
            async with asyncio.timeout(OTHER_S + 1.0):
                await heir.lock("cockpit ann@ops pid 8", Claim("seat a", heir=True))
    finally:
        await way.heal()
        await heir.close()
