"""The rig's own connections: asyncpg at an endpoint, with deadlines, its errors in the cockpit's words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg

from cockpit.errors import LinkError, SystemFault
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain

CONNECT_S = 10.0
STATEMENT_S = 120.0


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string constant, whatever `standard_conforming_strings` says."""
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@asynccontextmanager
async def connection(
    endpoint: Endpoint, *, database: str | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[asyncpg.Connection]:
    """A connection that is closed afterwards; may write on a fenced side. `LinkError` when it cannot be made, `SystemFault` in use."""
    where = f"{endpoint.host}:{endpoint.port}/{database or endpoint.database}"
    try:
        conn = await asyncpg.connect(
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            password=endpoint.password.reveal() if endpoint.password else None,
            database=database or endpoint.database,
            ssl=False,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_S,
            server_settings={"application_name": "cockpit drill", "default_transaction_read_only": "off", **(settings or {})},
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
        raise LinkError(plain(err, 200), where=where) from err
    try:
        yield conn
    except asyncpg.PostgresError as err:
        raise SystemFault(plain(err, 400), where=where, code=err.sqlstate or "") from err
    except (OSError, TimeoutError, asyncpg.InterfaceError) as err:
        raise LinkError(plain(err, 200), where=where) from err
    finally:
        try:
            await conn.close(timeout=CONNECT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            conn.terminate()
