"""The behaviours any `Servers` must show, on real 16 and 18."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cockpit.handover.ports import Servers
from cockpit.systems.postgres import PostgresPair
from tests.systems.conformance_servers import ServersConformance
from tests.systems.postgres.conftest import Rig


@pytest.mark.servers
class TestPostgres(ServersConformance):
    @pytest.fixture
    async def pair(self, rig: Rig) -> Servers:
        return rig.pair

    @pytest.fixture
    async def second(self, rig: Rig) -> AsyncIterator[Servers]:
        other = PostgresPair(rig.spec, rig.tuning)
        yield other
        await other.close()
