"""Two servers as asyncpg shows them, on the warped clock: the real `Link`, `PairLock`, `Seat` and `PostgresPair` run over them.

No server and no socket, so that a line of 150 ms, a stall of a second and a side that one machine alone cannot reach cost nothing and come
exactly when they are meant to. Of SQL they know what the lock and the seat say, and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from cockpit.model.settings import Endpoint, PairSpec, SideSpec
from cockpit.model.words import Side
from cockpit.systems.postgres import seat
from cockpit.systems.postgres.lock import PairLock
from cockpit.systems.postgres.names import SCHEMA, Names
from cockpit.systems.postgres.seat import Seat

HELLO = 5
"""Round trips until a connection stands: TCP, the startup message, SCRAM. What `Link` asks on it first comes on top."""
LOOK_S = 0.05
"""So often a statement looks whether its server answers again."""
PORTS = {Side.BLUE: 5430, Side.GREEN: 5431}

SeatRow = dict[str, Any]


@dataclass
class WarpedServer:
    """One side. `row` is the seat on record; None until arming made the table."""

    rtt_s: float = 0.0005
    holder: WarpedConnection | None = None
    """Whose the pair's lock is here."""
    row: SeatRow | None = None
    silent: set[str] = field(default_factory=set)
    """Machines whose packets it never sees."""
    connects: int = 0
    """Connections that were begun, also those that never stood."""

    def silent_for(self, seconds: float, machine: str) -> None:
        """It answers that machine again after so long; what was sent meanwhile arrives then."""
        self.silent.add(machine)
        asyncio.get_running_loop().call_later(seconds, self.silent.discard, machine)


@dataclass
class WarpedConnection:
    """What `asyncpg.connect` returned."""

    server: WarpedServer
    machine: str
    application: str
    closed: bool = False

    async def trip(self) -> None:
        """One round trip; as long as the server is silent it has no end."""
        while self.machine in self.server.silent and not self.closed:  # noqa: ASYNC110 - the clock is warped
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(self.server.rtt_s)
        if self.closed:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def answer(self, sql: str, args: tuple[Any, ...]) -> list[SeatRow]:
        """What the server says to a statement of the lock or of the seat."""
        server = self.server
        if "pg_try_advisory_lock" in sql:
            got = server.holder in (None, self)
            server.holder = self if got else server.holder
            return [{"got": got}]
        if "pg_locks" in sql:
            mine, who = server.holder is self, server.holder.application if server.holder else ""
            return [{"mine": mine, "who": who, "since": "then", "client": "local"}] if who else []
        if server.row is None:
            raise asyncpg.UndefinedTableError(f'relation "{SCHEMA}.seat" does not exist')
        if sql == seat.READ:
            return [dict(server.row)]
        assert sql == seat._SIT, sql
        if server.row["epoch"] < args[0]:
            server.row = {"epoch": args[0], "name": args[1], "owner": args[2], "at": "then"}
            return [{"epoch": args[0]}]
        return []

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        """It is gone, and with it the lock that it held."""
        self.closed = True
        if self.server.holder is self:
            self.server.holder = None

    async def close(self) -> None:
        self.terminate()

    async def prepare(self, sql: str, name: str) -> WarpedStatement:
        await self.trip()
        return WarpedStatement(self, sql)

    async def execute(self, sql: str) -> None:
        await self.trip()

    def get_settings(self) -> SimpleNamespace:
        return SimpleNamespace(server_version="16.4")

    def get_server_version(self) -> SimpleNamespace:
        return SimpleNamespace(major=16, minor=4)


@dataclass(frozen=True)
class WarpedStatement:
    """Prepared on its connection."""

    connection: WarpedConnection
    sql: str

    async def fetch(self, *args: Any) -> list[SeatRow]:
        await self.connection.trip()
        return self.connection.answer(self.sql, args)


class WarpedPair:
    """Both sides, armed once: the table of the seat is there and names nobody. In place of asyncpg's until the test has ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers = {side: WarpedServer(row={"epoch": 0, "name": "", "owner": "", "at": "then"}) for side in Side}
        monkeypatch.setattr(asyncpg, "connect", self._connect)

    @property
    def blue(self) -> WarpedServer:
        return self.servers[Side.BLUE]

    @property
    def green(self) -> WarpedServer:
        return self.servers[Side.GREEN]

    def spec(self, machine: str) -> PairSpec:
        """The pair as a config on that machine names it."""
        ends = {side: Endpoint(machine, port, "arp", "cockpit") for side, port in PORTS.items()}
        blue, green = (SideSpec(ends[side], ends[side]) for side in (Side.BLUE, Side.GREEN))
        return PairSpec("arp", blue, green, (), ())

    def lock(self, machine: str) -> PairLock:
        """The pair's lock as a cockpit on that machine has it; nothing is connected yet."""
        return PairLock(self.spec(machine), Names.of("arp"), Seat())

    async def _connect(self, *, host: str, port: int, timeout: float, server_settings: dict[str, str], **_: Any) -> WarpedConnection:
        server = next(self.servers[side] for side in Side if PORTS[side] == port)
        server.connects += 1
        made = WarpedConnection(server, host, server_settings["application_name"])
        async with asyncio.timeout(timeout):
            for _trip in range(HELLO):
                await made.trip()
        return made
