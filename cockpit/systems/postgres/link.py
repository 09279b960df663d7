"""One connection to one side: warm, serial, with a deadline on every use, made anew after it broke.

A statement is prepared once per connection, so that a use is one round trip. A reading is repeated once on a fresh connection; a
change never is: when its answer is lost it raises `OutcomeUnknown`. A use that was cancelled or ran out of time drops its
connection, so that the next use cannot trip over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg

from cockpit.model.settings import Endpoint
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres import border
from cockpit.systems.postgres.tls import tls_of

CONNECT_S = 5.0
USE_S = 5.0
Row = Mapping[str, Any]
_T = TypeVar("_T")
_Job = Callable[[Any], Awaitable[_T]]


def session_settings(application: str, statement_s: float) -> dict[str, str]:
    """What every session of the cockpit sets for itself: nothing of the legacy database's own settings may bend a statement."""
    return {
        "application_name": application,
        "default_transaction_read_only": "off",
        "default_transaction_isolation": "read committed",
        "search_path": "pg_catalog",
        "synchronous_commit": "on",
        "standard_conforming_strings": "on",
        "jit": "off",
        "statement_timeout": str(round(statement_s * 1000)),
        "lock_timeout": str(round(statement_s * 800)),
        "idle_in_transaction_session_timeout": "60000",
        # A cockpit whose machine vanished must not hold the pair's lock for hours.
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "DateStyle": "ISO",
        "TimeZone": "UTC",
    }


class Link:
    """A connection of one `use` (`act`, `watch`, `work`, `lock`) to one side."""

    def __init__(self, side: Side, endpoint: Endpoint, use: str, *, statement_s: float = USE_S) -> None:
        self.side = side
        self.endpoint = endpoint
        self.where = f"{side} ({plain(endpoint.host)}:{endpoint.port}/{plain(endpoint.database)})"
        self.application = "cockpit" if use == "act" else f"cockpit {use}"
        self.statement_s = statement_s
        self.version_num = 0
        self.version = ""
        self._conn: Any = None
        self._prepared: dict[str, Any] = {}
        self._names = 0
        self._turn = asyncio.Lock()

    @property
    def up(self) -> bool:
        return self._conn is not None and not self._conn.is_closed()

    async def open(self, within: float = CONNECT_S) -> None:
        """The connection is up, or `LinkError` says why not."""
        await self._use(_nothing, within, effect=False)

    async def close(self) -> None:
        """The connection is ended; a server that does not answer is not waited for."""
        conn, self._conn = self._conn, None
        self._prepared.clear()
        if conn is None or conn.is_closed():
            return
        try:
            async with asyncio.timeout(1.0):
                await conn.close()
        except (TimeoutError, asyncpg.PostgresError, *border.BROKEN):
            conn.terminate()

    async def warm(self, *statements: str) -> None:
        """The statements are prepared now. On a connection that is made anew each is prepared at its first use: all of them before it would
        take longer than a use may, where the server is far away, and would be begun again and again."""

        async def job(conn: Any) -> None:
            await self._prepare_warm(conn, statements)

        await self._use(job, USE_S, effect=False)

    async def rows(self, sql: str, *args: object, within: float = USE_S) -> list[Row]:
        """What a reading returned."""

        async def job(conn: Any) -> list[Row]:
            statement = await self._statement(conn, sql)
            return list(await statement.fetch(*args))

        return await self._use(job, within, effect=False)

    async def row(self, sql: str, *args: object, within: float = USE_S) -> Row:
        """The first row of a reading that always has one."""
        return (await self.rows(sql, *args, within=within))[0]

    async def look(self, statements: Sequence[str], *args: object, within: float = USE_S) -> list[list[Row]]:
        """What each returned, all of them read in one read-only transaction, at one moment; each takes all of `args`."""

        async def job(conn: Any) -> list[list[Row]]:
            async with conn.transaction(isolation="repeatable_read", readonly=True):
                return [list(await conn.fetch(sql, *args)) for sql in statements]

        return await self._use(job, within, effect=False)

    async def change(self, sql: str, *args: object, within: float = USE_S) -> list[Row]:
        """One prepared statement with an effect took effect; its rows. `OutcomeUnknown` when the answer was lost."""

        async def job(conn: Any) -> list[Row]:
            statement = await self._statement(conn, sql)
            return list(await statement.fetch(*args))

        return await self._use(job, within, effect=True)

    async def run(self, sql: str, *, within: float = USE_S) -> None:
        """Statements without parameters took effect, all or none, in one round trip (the simple protocol's implicit transaction)."""

        async def job(conn: Any) -> None:
            await conn.execute(sql)

        await self._use(job, within, effect=True)

    async def script(self, statements: tuple[str, ...], *, within: float = USE_S) -> None:
        """The statements took effect in order inside one transaction, each sent by itself."""

        async def job(conn: Any) -> None:
            async with conn.transaction():
                for statement in statements:
                    await conn.execute(statement)

        await self._use(job, within, effect=True)

    async def _use(self, job: _Job[_T], within: float, *, effect: bool) -> _T:
        sent = False
        try:
            async with asyncio.timeout(within), self._turn:
                conn = await self._connected()
                sent = True
                return await self._attempt(conn, job, effect)
        except TimeoutError:
            raise border.broken(self.where, effect and sent, f"no answer within {within:g} s") from None

    async def _attempt(self, conn: Any, job: _Job[_T], effect: bool) -> _T:
        try:
            return await self._guarded(conn, job)
        except _Broke as err:
            if effect:
                raise border.broken(self.where, True, f"the connection broke ({err})") from None
        try:
            return await self._guarded(await self._connected(), job)
        except _Broke as err:
            raise border.broken(self.where, False, f"the connection broke twice ({err})") from None

    async def _guarded(self, conn: Any, job: _Job[_T]) -> _T:
        """What the job returned. `SystemFault` where the server refused; `_Broke`, or any other error, and the connection is dropped."""
        try:
            return await self._planned(conn, job)
        except asyncpg.PostgresError as err:
            if not border.ends_session(err):
                raise border.fault(err, self.where) from None
            self._drop()
            raise _Broke(type(err).__name__) from None
        except border.BROKEN as err:
            self._drop()
            raise _Broke(type(err).__name__) from None
        except BaseException:
            self._drop()
            raise

    async def _planned(self, conn: Any, job: _Job[_T]) -> _T:
        """A statement whose plan no longer fits the table took no effect: it is prepared and sent anew."""
        try:
            return await job(conn)
        except asyncpg.exceptions.InvalidCachedStatementError:
            self._prepared.clear()
            return await job(conn)

    async def _connected(self) -> Any:
        """A connection that is ready for use, or `LinkError`; one that failed on the way there is not kept."""
        if self.up:
            return self._conn
        self._prepared.clear()
        try:
            conn = await asyncpg.connect(**self._arguments())
        except (asyncpg.PostgresError, *border.BROKEN, ValueError, EOFError) as err:
            raise border.unreachable(err, self.where, self.endpoint) from None
        try:
            await self._ready(conn)
        except BaseException as err:
            self._prepared.clear()
            conn.terminate()
            if isinstance(err, (asyncpg.PostgresError, *border.BROKEN)):
                raise border.unreachable(err, self.where, self.endpoint) from None
            raise
        self._conn = conn
        return conn

    async def _ready(self, conn: Any) -> None:
        self.version = plain(conn.get_settings().server_version)
        major = conn.get_server_version()
        self.version_num = int(major.major) * 10000 + int(major.minor)
        await conn.execute(_unbounded(self.version_num))

    def _arguments(self) -> dict[str, Any]:
        end = self.endpoint
        return {
            "host": end.host,
            "port": end.port,
            "user": end.user,
            "password": end.password.reveal() if end.password else None,
            "database": end.database,
            "ssl": tls_of(end),
            "timeout": CONNECT_S,
            "statement_cache_size": 0,
            "server_settings": session_settings(self.application[:63], self.statement_s),
        }

    async def _prepare_warm(self, conn: Any, statements: tuple[str, ...]) -> None:
        """Prepared as far as the server lets us: what it refuses now (no such table yet, no right, a lock) is refused by name at its use."""
        for sql in statements:
            try:
                await self._statement(conn, sql)
            except asyncpg.PostgresError as err:
                if border.ends_session(err):
                    raise
                if isinstance(err, asyncpg.LockNotAvailableError | asyncpg.QueryCanceledError):
                    break  # the next one would wait as long
        # asyncpg prepares without a Sync: until the next one the session would stand in a transaction, with its locks and snapshot.
        await conn.execute("SELECT 1")

    async def _statement(self, conn: Any, sql: str) -> Any:
        statement = self._prepared.get(sql)
        if statement is None:
            # Without a name of its own asyncpg sends the text to be parsed and planned again with every call.
            self._names += 1
            statement = self._prepared[sql] = await conn.prepare(sql, name=f"cockpit_{self._names}")
        return statement

    def _drop(self) -> None:
        conn, self._conn = self._conn, None
        self._prepared.clear()
        if conn is not None:
            conn.terminate()


class _Broke(Exception):
    """The connection failed under a use; how is its text."""


async def _nothing(conn: Any) -> None:
    return None


def _unbounded(version_num: int) -> str:
    """The server's limits that would end an idle or a long session of ours, and with it the pair's lock; younger than other settings."""
    since = {"idle_session_timeout": 140000, "transaction_timeout": 170000}
    return "; ".join(f"SET {name} = 0" for name, first in since.items() if version_num >= first) or "SELECT 1"
