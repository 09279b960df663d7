"""The small pair, filled once for a session: a test's own is a copy of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.settings import Endpoint
from tests.conftest import MakeDatabase, create
from tests.reconcile.pairs import ROWS, SCHEMA, copy_rows, replicate, run

FILLED = "small pair"

SmallPair = Callable[[str], Awaitable[tuple[Endpoint, Endpoint]]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _filled(blue16: Server, green18: Server) -> None:
    blue, green = await create(blue16, FILLED), await create(green18, FILLED)
    await run(blue, SCHEMA, ROWS)
    # Other OIDs on green than on blue: what hashes them is found out.
    await run(green, "CREATE TYPE other AS ENUM ('x', 'y', 'z')", SCHEMA)
    await copy_rows(blue, green)


@pytest.fixture
def small_pair(_filled: None, blue16: Server, green18: Server, make_database: MakeDatabase) -> SmallPair:
    """`await small_pair("name")`: two databases of that name, of `SCHEMA`, with the same `ROWS`, each following the other."""

    async def make(name: str) -> tuple[Endpoint, Endpoint]:
        blue, green = await make_database(blue16, name, FILLED), await make_database(green18, name, FILLED)
        await replicate(blue, green, copied=True)
        return blue, green

    return make
