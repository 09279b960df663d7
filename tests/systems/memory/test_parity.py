"""The twin's parity: nothing differs unless told so, and a side that is down is not equal."""

from __future__ import annotations

import pytest

from cockpit.errors import LinkError
from cockpit.model.parity import Difference, Parity, Weight
from cockpit.model.words import Side
from cockpit.systems.memory import MemoryWorld
from cockpit.systems.memory.reconciler import MemoryReconciler


async def test_nothing_differs_unless_told_so() -> None:
    memory = MemoryWorld(1, apps=1)
    reconciler = memory.world().reconciler
    assert isinstance(reconciler, MemoryReconciler)
    assert (await reconciler.parity()).differences == ()
    told = Parity((Difference("index", "public.orders.i", "CREATE INDEX ..", "", Weight.BAD, "CREATE INDEX ..", "SELECT 1", Side.GREEN),))
    reconciler.differs = told
    assert await reconciler.parity() == told
    assert told.bad == told.differences
    memory.cluster.nodes[Side.GREEN].up = False
    with pytest.raises(LinkError, match="green"):
        await reconciler.parity()
