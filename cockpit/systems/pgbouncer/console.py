"""One warm connection to PgBouncer: its admin console, or a database through its pool.

The console knows only the simple query protocol ("Admin console", PgBouncer usage), hence psycopg with a client-side cursor. A
call that outlives its deadline, or is cancelled, costs its connection: it is shut and the next call makes a new one, because a
PAUSE that waits can neither be cancelled nor followed by anything else on the same connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cockpit.errors import LinkError, OutcomeUnknown, SystemFault
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain

if TYPE_CHECKING:
    import psycopg

Row = Mapping[str, Any]


class Console:
    """`where` names it in errors."""

    def __init__(self, endpoint: Endpoint, where: str) -> None:
        self.endpoint = endpoint
        self.where = where
        self._conn: psycopg.AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()
        self._left: set[asyncio.Task[list[Row]]] = set()

    async def open(self, deadline_s: float) -> None:
        """Connected, or `LinkError`."""
        async with self._lock:
            await self._connected(deadline_s)

    async def close(self) -> None:
        async with self._lock:
            conn, self._conn = self._conn, None
            if conn is not None:
                await conn.close()
            if self._left:
                await asyncio.wait(self._left, timeout=1.0)

    async def ask(self, text: str, deadline_s: float, *, effect: bool = False) -> list[Row]:
        """The rows of one statement. When no answer came: `OutcomeUnknown` for an `effect`, `LinkError` for a question.

        A connection that turns out to be broken (the instance was restarted, it was idle too long) is made anew and the statement
        sent once more: everything that is sent here may be repeated.
        """
        async with self._lock:
            for last in (False, True):
                conn = await self._connected(deadline_s)
                task = await self._asked(conn, text, deadline_s, effect)
                broken = self._conn is None or conn.closed
                if not broken or last:
                    break
                self._conn = None
            return self._result(conn, task, text, effect)

    async def _asked(self, conn: psycopg.AsyncConnection[Any], text: str, deadline_s: float, effect: bool) -> asyncio.Task[list[Row]]:
        """The statement, ended in whatever way within the deadline."""
        task = asyncio.get_running_loop().create_task(_run(conn, text))
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline_s)
        except asyncio.CancelledError:
            self._drop(conn, task)
            raise
        if not done:
            self._drop(conn, task)
            raise self._silent(text, f"no answer in {deadline_s:g} s", effect)
        task.exception()  # looked at: a first try that failed warns nobody
        return task

    def _result(self, conn: psycopg.AsyncConnection[Any], task: asyncio.Task[list[Row]], text: str, effect: bool) -> list[Row]:
        import psycopg

        try:
            return task.result()
        except psycopg.Error as err:
            what = plain((str(err).strip().splitlines() or [type(err).__name__])[0], 300)
            if conn.closed or err.sqlstate is None:
                self._conn = None
                raise self._silent(text, what, effect) from None
            raise SystemFault(f"{text}: {what}", where=self.where, code=err.sqlstate) from None

    def _silent(self, text: str, why: str, effect: bool) -> LinkError:
        kind = OutcomeUnknown if effect else LinkError
        return kind(f"{text}: {why}", where=self.where, remedy="look with SHOW DATABASES and SHOW SERVERS before anything else")

    async def _connected(self, deadline_s: float) -> psycopg.AsyncConnection[Any]:
        if self._conn is not None and not self._conn.closed:
            return self._conn
        import psycopg

        end = self.endpoint
        password = end.password.reveal() if end.password else None
        tls: dict[str, Any] = {"sslmode": end.sslmode, **({"sslrootcert": end.sslrootcert} if end.sslrootcert else {})}
        try:
            async with asyncio.timeout(deadline_s):
                self._conn = await psycopg.AsyncConnection.connect(
                    host=end.host, port=end.port, dbname=end.database, user=end.user, password=password, autocommit=True,
                    application_name="cockpit", prepare_threshold=None, cursor_factory=psycopg.AsyncClientCursor, **tls,
                )  # fmt: skip
        except TimeoutError:
            raise LinkError(f"no connection in {deadline_s:g} s", where=self.where, remedy=self._check()) from None
        except (psycopg.Error, OSError) as err:
            why = plain((str(err).strip().splitlines() or [type(err).__name__])[0], 300)
            raise LinkError(f"no connection: {why}", where=self.where, remedy=self._check()) from None
        return self._conn

    def _check(self) -> str:
        return f"check {self.endpoint.host}:{self.endpoint.port} and the login of {self.endpoint.user}"

    def _drop(self, conn: psycopg.AsyncConnection[Any], task: asyncio.Task[list[Row]]) -> None:
        """The connection is shut under the call that waits on it, which then ends by itself.

        Cancelling that call instead would make psycopg ask for a cancellation and wait for it, which PAUSE never grants.
        """
        import psycopg

        self._conn = None
        self._left.add(task)
        task.add_done_callback(lambda done: self._gone(conn, done))
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    def _gone(self, conn: psycopg.AsyncConnection[Any], task: asyncio.Task[list[Row]]) -> None:
        self._left.discard(task)
        conn.pgconn.finish()
        if not task.cancelled():
            task.exception()


async def _run(conn: psycopg.AsyncConnection[Any], text: str) -> list[Row]:
    cursor = await conn.execute(text)
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


def quoted(name: str) -> str:
    """A name as the console takes it."""
    return '"' + name.replace('"', '""') + '"'
