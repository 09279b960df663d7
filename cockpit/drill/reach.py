"""How an app reaches its database: where it learns the address, and one connection that is made again when it breaks.

An app behind the pooler knows one address for ever. A direct app reads its source (a file, a secret) when its connection is
gone: at once when the address there is a new one, and again and again, with jitter, while it is the one that just refused it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psycopg

from cockpit.drill.fleet import App
from cockpit.model.text import plain

CONNECT_S = 5
FILE_S = (0.10, 0.20)
"""How long a direct app waits before it looks at its file again, drawn anew each time."""
SECRET_S = (0.25, 0.45)
"""The same for a secret: one request costs what a hundred looks at a file do, and the service limits them."""
AGAIN_S = (0.25, 0.45)
"""How long it waits before it knocks again at the address that refused it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect and as whom."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)


class Source(Protocol):
    """Where an app learns its address."""

    @property
    def every_s(self) -> tuple[float, float]:
        """How long to wait between two looks: from, to."""

    async def read(self) -> Address: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """An address that never changes: the pooler's."""

    address: Address

    @property
    def every_s(self) -> tuple[float, float]:
        return FILE_S

    async def read(self) -> Address:
        return self.address

    async def close(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class InFile:
    """The address is in a file of JSON: `host`, `port`, `database`; user and password are the app's own."""

    file: Path
    user: str
    password: str = field(repr=False)

    @property
    def every_s(self) -> tuple[float, float]:
        return FILE_S

    async def read(self) -> Address:
        text = await asyncio.to_thread(self.file.read_text, encoding="utf-8")
        found = json.loads(text)
        return Address(found["host"], int(found["port"]), found["database"], self.user, self.password)

    async def close(self) -> None:
        return None


@dataclass(slots=True)
class InSecret:
    """Address, user and password are in AWS Secrets Manager, in the version labelled AWSCURRENT."""

    secret: str
    cloud: dict[str, str] = field(repr=False)
    _client: Any = None
    _context: Any = None

    @property
    def every_s(self) -> tuple[float, float]:
        return SECRET_S

    async def read(self) -> Address:
        client = await self._opened()
        answer = await client.get_secret_value(SecretId=self.secret, VersionStage="AWSCURRENT")
        found = json.loads(answer["SecretString"])
        return Address(found["host"], int(found["port"]), found["dbname"], found["username"], found["password"])

    async def _opened(self) -> Any:
        if self._client is None:
            # Loading the driver takes a second: on a thread, so that the other apps of this process go on.
            aioboto3, config = await asyncio.to_thread(_drivers)
            self._context = aioboto3.Session().client(
                "secretsmanager", config=config(connect_timeout=3, read_timeout=3, retries={"max_attempts": 1}), **self.cloud
            )
            self._client = await self._context.__aenter__()
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._context.__aexit__(None, None, None)
            self._client = None


def _drivers() -> tuple[Any, Any]:
    import aioboto3
    from botocore.config import Config

    return aioboto3, Config


Connection = psycopg.AsyncConnection[tuple[Any, ...]]


async def connect(app: App, address: Address) -> Connection:
    """A connection in autocommit, so that what is sent is what is meant; `psycopg.OperationalError` when there is none."""
    return await psycopg.AsyncConnection.connect(
        host=address.host,
        port=address.port,
        dbname=address.database,
        user=address.user,
        password=address.password,
        application_name=app.name,
        connect_timeout=CONNECT_S,
        sslmode="disable",
        gssencmode="disable",
        autocommit=True,
        prepare_threshold=None,
    )


@dataclass(slots=True)
class Finder:
    """One app's way to a server that takes its writes, shared by its workers: one of them looks, the others wait for it."""

    app: App
    source: Source
    rng: random.Random
    troubled: Callable[[str], None] = lambda why: None
    """Told of every attempt that failed."""
    _known: Address | None = None
    _refused: Address | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def connection(self) -> Connection:
        """A new connection where the app's source says. Comes back only with one; cancel to stop."""
        while True:
            address = self._known
            if address is not None:
                made = await self._tried(address)
            else:
                async with self._looking:
                    # Whoever waited here for another's look connects at the address it found, all at once.
                    made = await self._tried(await self._look()) if self._known is None else None
            if made is not None:
                return made

    async def _tried(self, address: Address) -> Connection | None:
        try:
            made = await connect(self.app, address)
        except psycopg.Error as err:
            self.troubled(f"no connection: {plain(err, 120)}")
            self.refused(address)
            return None
        self._known, self._refused = address, None
        return made

    def refused(self, address: Address | None) -> None:
        """The address does not take the app's writes now: the source is read before anybody tries again."""
        if address is None or self._known in (None, address):
            self._refused, self._known = address or self._known or self._refused, None

    @property
    def address(self) -> Address | None:
        """Where the last connection was made to; None when it was refused since."""
        return self._known

    async def _look(self) -> Address:
        loop = asyncio.get_running_loop()
        again = loop.time() + self.rng.uniform(*AGAIN_S)
        while True:
            found = await self._read()
            now = loop.time()
            if found is not None and (found != self._refused or now >= again):
                return found
            pause = self.rng.uniform(*self.source.every_s)
            await asyncio.sleep(min(pause, again - now) if now < again else pause)

    async def _read(self) -> Address | None:
        # A source that cannot be read now, or holds half a file, is read again.
        try:
            return await self.source.read()
        except asyncio.CancelledError:
            raise
        except Exception:
            return None
