"""Connections of the reconciliation: bounded, fixed in every setting that changes what a value looks like, re-made when they break.

A `Line` is one connection to one side. Its settings make text output the same on both sides (TimeZone, DateStyle, IntervalStyle,
extra_float_digits, bytea_output: "Client Connection Defaults" in the PostgreSQL manual), keep it from hurting the server it reads
(statement_timeout, lock_timeout, no parallel workers) and make it fail rather than read half of a table (row_security = off).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
from asyncpg import exceptions as pg

from cockpit.errors import LinkError, SystemFault
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres.tls import tls_of

Row = Mapping[str, Any]

T = TypeVar("T")

APPLICATION = "cockpit-recon"
CONNECT_S = 5.0
RECENT = 8
FETCH_TRIPS = 2
"""Round trips of `Line.fetch`, which has its statement parsed each time."""

_SAME_TEXT = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "search_path": "pg_catalog",
    "lc_monetary": "C",
}
_BOUNDED = {
    "application_name": APPLICATION,
    "statement_timeout": "5s",
    "lock_timeout": "500ms",
    "idle_in_transaction_session_timeout": "30s",
    "row_security": "off",
    "work_mem": "16MB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

_GONE = (
    pg.ConnectionDoesNotExistError,
    pg.ConnectionFailureError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.CannotConnectNowError,
    pg.TooManyConnectionsError,
    pg.InterfaceError,
    pg.InternalClientError,
)


class Line:
    """One connection to one side, opened on first use. Calls on one line queue up; a broken line is re-made by the next call."""

    def __init__(self, side: Side, endpoint: Endpoint, *, writes: bool = False, settings: Mapping[str, str] | None = None) -> None:
        self.side = side
        self._endpoint = endpoint
        self._settings = {
            **_SAME_TEXT,
            **_BOUNDED,
            "default_transaction_read_only": "off" if writes else "on",
            **(settings or {}),
        }
        self._connection: Any = None
        self._statements: dict[str, Any] = {}
        self._recent: dict[str, None] = {}
        """Of `again`, the last one behind."""
        self._names = 0
        self._turn = asyncio.Lock()
        self._held = False
        """Whether its connection holds a snapshot."""

    async def fetch(self, sql: str, *args: object, deadline: float = 6.0) -> list[Row]:
        """Every row of `sql`, within `deadline` seconds. `LinkError` where the side cannot be reached, `SystemFault` where it refuses."""
        async with self._turn, self._border():
            async with asyncio.timeout(deadline):
                connection = await self._connected()
                return list(await connection.fetch(sql, *args))

    async def run(self, sql: str, *args: object, deadline: float = 6.0) -> list[Row]:
        """As `fetch`, but through a statement that is kept prepared: the second call costs one round trip and no planning of its text."""
        async with self._turn, self._border():
            async with asyncio.timeout(deadline):
                statement = await self._prepared(sql)
                return list(await statement.fetch(*args))

    async def again(self, sql: str, *args: object, deadline: float = 6.0) -> list[Row]:
        """As `run`, for what is asked many times now and then no more: of such statements the last `RECENT` are kept prepared."""
        async with self._turn, self._border():
            async with asyncio.timeout(deadline):
                statement = await self._prepared(sql)
                self._recent[sql] = self._recent.pop(sql, None)
                for old in list(self._recent)[:-RECENT]:
                    del self._recent[old]
                    self._statements.pop(old, None)
                return list(await statement.fetch(*args))

    async def warm(self, *sqls: str) -> None:
        """These statements are prepared: their first run costs one round trip, and takes no snapshot before it is sent."""
        async with self._turn, self._border(), asyncio.timeout(6.0):
            if (await self._connected()) and all(sql in self._statements for sql in sqls):
                return
            for sql in sqls:
                await self._prepared(sql)
            # asyncpg sends no Sync after a Parse: what that began would still be open when BEGIN comes.
            await self._connection.execute("SELECT")

    async def shape(self, sql: str, deadline: float = 6.0) -> list[tuple[str, str]]:
        """Name and type (a domain's base type) of each column that `sql` gives; it is parsed, not run. It may take no parameters."""
        async with self._turn, self._border():
            async with asyncio.timeout(deadline):
                statement = await (await self._connected()).prepare(sql)
                if statement.get_parameters():
                    raise SystemFault("the statement takes a parameter ($1): write the value itself", where=str(self.side))
                return [(a.name, a.type.name) for a in statement.get_attributes()]

    async def stream(self, sql: str, *args: object, size: int = 5000, deadline: float = 30.0) -> AsyncIterator[list[Row]]:
        """The rows of `sql` in lists of at most `size`, so that a large result never is in memory as a whole."""
        async with self._turn, self._border():
            async with asyncio.timeout(deadline):
                statement = await self._prepared(sql)
                async with self._connection.transaction():
                    cursor = await statement.cursor(*args)
                    while rows := await cursor.fetch(size):
                        yield list(rows)

    @asynccontextmanager
    async def snapshot(self, lease_s: float, begin: str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") -> AsyncIterator[Line]:
        """One snapshot for every read inside the block, for at most `lease_s` seconds: it holds back vacuum on the server. `begin` opens
        its transaction; where that fails the connection is gone, with whatever it held. Where the connection breaks, every read inside the
        block is a `LinkError` from then on."""
        try:
            async with asyncio.timeout(lease_s):
                await self._begin(begin)
                self._held = True
                yield self
        except TimeoutError as err:
            raise SystemFault(
                f"the reading outlasted its snapshot of {lease_s:g} s", where=str(self.side), remedy="raise the load limit"
            ) from err
        finally:
            self._held = False
            await self._end()

    async def _begin(self, script: str) -> None:
        async with self._turn, self._border():
            try:
                async with asyncio.timeout(6.0):
                    await (await self._connected()).execute(script)
            except BaseException:
                self.drop()
                raise

    def unset(self) -> Line:
        """A line of its own to the same side that sets nothing which a setting of the server's could be read by."""
        line = Line(self.side, self._endpoint)
        line._settings = {"application_name": APPLICATION}
        return line

    async def close(self) -> None:
        """The connection is closed; at the latest after two seconds, the hard way."""
        connection, self._connection, self._statements = self._connection, None, {}
        if connection is None or connection.is_closed():
            return
        try:
            await connection.close(timeout=2.0)
        except (TimeoutError, OSError, pg.PostgresError, pg.InterfaceError):
            connection.terminate()

    def drop(self) -> None:
        """The connection is closed at once, without a word: the server ends its transaction and gives its locks back when it notices."""
        connection, self._connection, self._statements = self._connection, None, {}
        if connection is not None and not connection.is_closed():
            connection.terminate()

    async def _end(self) -> None:
        """Committed, though nothing was written: reading prunes pages, and the log of that is flushed soon after a commit, but after a
        rollback not before somebody else's, so that on a quiet server nothing would pass the position up to which it was inserted."""
        if self._connection is None or self._connection.is_closed():
            return
        try:
            await self.fetch("COMMIT", deadline=2.0)
        except (LinkError, SystemFault):
            await self.close()
        except BaseException:
            self.drop()  # cut short twice: the next reader must not find itself in this snapshot
            raise

    async def _prepared(self, sql: str) -> Any:
        connection = await self._connected()
        statement = self._statements.get(sql)
        if statement is None:
            # Without a name asyncpg sends the text to be parsed and planned again with every call.
            self._names += 1
            statement = self._statements[sql] = await connection.prepare(sql, name=f"cockpit_{self._names}")
        return statement

    def forget(self, sqls: Sequence[str]) -> None:
        """These statements are prepared anew when they are next used."""
        for sql in sqls:
            self._statements.pop(sql, None)

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            if self._held:
                raise LinkError("the connection that held the snapshot is gone", where=str(self.side), remedy="the table is read anew")
            self._statements = {}
            self._connection = await _connect(self._endpoint, self._settings)
        return self._connection

    @asynccontextmanager
    async def _border(self) -> AsyncIterator[None]:
        where = str(self.side)
        try:
            yield
        except TimeoutError as err:
            # A server whose machine is gone answers nothing ever again, not even that a statement was cancelled.
            self.drop()
            raise LinkError("no answer within the deadline", where=where, remedy="look at the server's load and the network") from err
        except _GONE as err:
            await self.close()
            raise LinkError(plain(err, 200), where=where, remedy="the connection is made again by itself") from err
        except pg.PostgresError as err:
            raise SystemFault(plain(err, 300), where=where, code=getattr(err, "sqlstate", "") or "") from err
        except OSError as err:
            await self.close()
            raise LinkError(plain(err, 200), where=where, remedy="check host, port and network") from err


async def _connect(endpoint: Endpoint, settings: Mapping[str, str]) -> Any:
    return await asyncpg.connect(
        host=endpoint.host,
        port=endpoint.port,
        database=endpoint.database,
        user=endpoint.user,
        password=endpoint.password.reveal() if endpoint.password else None,
        ssl=tls_of(endpoint),
        server_settings=dict(settings),
        statement_cache_size=0,
        timeout=CONNECT_S,
    )


async def together(*works: Awaitable[T]) -> list[T]:
    """What each gives. Where one fails, or the whole is cancelled, the others are cancelled and have ended."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def both(asks: Sequence[Callable[[], Awaitable[T]]], *, in_turn: bool) -> tuple[float, list[T]]:
    """Seconds of the slowest, and what each said. `in_turn` asks one after the other: servers that share a machine are not both at work then."""
    now = asyncio.get_running_loop().time
    if not in_turn:
        started = now()
        answers = await together(*(ask() for ask in asks))
        return now() - started, answers
    took, said = 0.0, []
    for ask in asks:
        started = now()
        said.append(await ask())
        took = max(took, now() - started)
    return took, said
