"""The behaviours any `Servers` must show, on the twin."""

from __future__ import annotations

import pytest

from cockpit.handover.ports import Servers
from cockpit.systems.memory import MemoryWorld
from tests.systems.conformance_servers import ServersConformance


class TestTwin(ServersConformance):
    @pytest.fixture
    def memory(self) -> MemoryWorld:
        return MemoryWorld(1, apps=1)

    @pytest.fixture
    async def pair(self, memory: MemoryWorld) -> Servers:
        servers = memory.world().servers
        await servers.open()
        return servers

    @pytest.fixture
    def second(self, memory: MemoryWorld) -> Servers:
        return memory.world().servers
