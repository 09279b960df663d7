"""What a fault does to the rig, and how it is undone: each function here does one harm and returns its relief.

Real signals to real processes, real statements on real servers, real ways that fail: nothing pretends.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import psycopg

from cockpit.drill import arp
from cockpit.drill.environment import Site
from cockpit.drill.fleet import App, Path
from cockpit.drill.folders import Claim
from cockpit.drill.links import connection, quoted
from cockpit.drill.pooler import ADMIN
from cockpit.drill.proxy import Kind
from cockpit.drill.servers import HOST, Server
from cockpit.errors import CockpitError, LinkError
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain
from cockpit.model.words import Direction, Side
from cockpit.timeline.folder import RunFolder

Relief = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault strikes: the rig, the run that is flown on it, its two processes, and the way it is flying."""

    site: Site
    claim: Claim
    folder: RunFolder
    pilot: int
    guardian: int
    direction: Direction

    def server(self, side: Side) -> Server:
        return self.site.blue if side is Side.BLUE else self.site.green

    @property
    def serving(self) -> Side:
        return self.direction.origin


Harm = Callable[[Scene], Awaitable[Relief]]


async def nothing() -> None:
    """There is nothing to undo."""


async def calm(scene: Scene) -> Relief:
    """Nothing goes wrong."""
    return nothing


# --- processes ------------------------------------------------------------------------


def signalled(number: signal.Signals, *, pilot: bool = True, guardian: bool = False) -> Harm:
    """The run's processes get the signal."""

    async def harm(scene: Scene) -> Relief:
        for pid in ([scene.pilot] if pilot else []) + ([scene.guardian] if guardian else []):
            send(pid, number)
        return nothing

    return harm


def send(pid: int, number: signal.Signals) -> None:
    """A process that has ended by itself needs no signal; and never a whole group."""
    if pid > 0:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def frozen(what: str) -> Harm:
    """The process of the pilot, the pooler or the cloud stands still."""

    async def harm(scene: Scene) -> Relief:
        parts = {"pilot": scene.pilot, "pooler": _pid(scene.site.pooler), "cloud": _pid(scene.site.cloud)}
        send(parts[what], signal.SIGSTOP)

        async def relief() -> None:
            send(parts[what], signal.SIGCONT)

        return relief

    return harm


def _pid(part: object) -> int:
    return int(getattr(part, "pid", 0))


async def full_disk(scene: Scene) -> Relief:
    """Every file of the pilot is as long as it may be: the next byte of its timeline is refused (EFBIG)."""
    size = scene.folder.timeline.stat().st_size
    with suppress(ProcessLookupError):
        resource.prlimit(scene.pilot, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def relief() -> None:
        with suppress(ProcessLookupError):
            resource.prlimit(scene.pilot, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return relief


def crashed(side: Side) -> Harm:
    """The server stops as in a crash; relief starts it again."""

    async def harm(scene: Scene) -> Relief:
        server = scene.server(side)
        await server.stop(immediate=True)

        async def relief() -> None:
            if not server.running:
                await server.start()
                scene.claim.adopt(server.pid)

        return relief

    return harm


async def pooler_killed(scene: Scene) -> Relief:
    """PgBouncer was killed and started again at once, as its service manager does: it is not paused any more."""
    pooler = scene.site.pooler
    assert pooler is not None
    await pooler.stop(signal.SIGKILL)
    await pooler.start()
    scene.claim.adopt(pooler.pid)
    return nothing


def console(*statements: str) -> Harm:
    """Somebody types at PgBouncer's console."""

    async def harm(scene: Scene) -> Relief:
        await asyncio.to_thread(_type, scene.site, statements)

        async def relief() -> None:
            await asyncio.to_thread(_type, scene.site, (f"RESUME {quoted(arp.DATABASE)}",))

        return relief

    return harm


def _type(site: Site, statements: Iterable[str]) -> None:
    assert site.pooler is not None
    with (
        suppress(psycopg.errors.DatabaseError),
        psycopg.connect(
            host=HOST, port=site.pooler.port, dbname="pgbouncer", user=ADMIN, password=site.pooler.admin_password, autocommit=True
        ) as conn,
    ):
        for statement in statements:
            psycopg.ClientCursor(conn).execute(statement.encode())


# --- the network ----------------------------------------------------------------------


def cut(way: str, kind: Kind) -> Harm:
    """The way fails in this manner; relief heals it."""

    async def harm(scene: Scene) -> Relief:
        proxy = scene.site.ways[way]
        proxy.strike(kind)
        return proxy.heal

    return harm


# --- statements on the servers ----------------------------------------------------------


def statements(side: Side | None, *harms: str, relief: tuple[str, ...] = ()) -> Harm:
    """A superuser runs these on the side (None: the one that serves), and to undo them the others."""

    async def harm(scene: Scene) -> Relief:
        server = scene.server(side or scene.serving).superuser
        await run(server, harms)

        async def undo() -> None:
            await run(server, relief)

        return undo

    return harm


async def run(server: Endpoint, texts: Iterable[str]) -> None:
    async with connection(server, database=arp.DATABASE) as conn:
        for text in texts:
            await conn.execute(text)


def backend_ended(kind: str) -> Harm:
    """Every backend of that type, a regular expression, of both servers was told to end."""

    async def harm(scene: Scene) -> Relief:
        for server in (scene.site.blue, scene.site.green):
            async with connection(server.superuser, database=arp.DATABASE) as conn:
                await conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ $1", kind)
        return nothing

    return harm


async def slot_dropped(scene: Scene) -> Relief:
    """The slot that the mirror of the serving side lives on is gone: its sender ended, it was dropped in the same breath."""
    mine = f"{arp.PILOT}%"
    text = f"""DO $$ DECLARE s record; BEGIN
      FOR s IN SELECT slot_name, active_pid FROM pg_replication_slots WHERE active AND slot_type = 'logical' AND slot_name LIKE '{mine}' LOOP
        PERFORM pg_terminate_backend(s.active_pid, 2000);
        PERFORM pg_drop_replication_slot(s.slot_name);
      END LOOP; END $$"""  # noqa: S608 - our own words alone
    for _ in range(20):
        with suppress(CockpitError):
            await run(scene.server(scene.serving).superuser, (text,))
            break
    return nothing


def subscription(enabled: bool) -> Harm:
    """The subscription that mirrors the serving side was switched by hand."""

    async def harm(scene: Scene) -> Relief:
        server = scene.server(scene.serving.other).superuser

        async def switch(word: str) -> None:
            text = "SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
            async with connection(server, database=arp.DATABASE) as conn:
                for row in await conn.fetch(text):
                    await conn.execute(f"ALTER SUBSCRIPTION {quoted(row[0])} {word}")

        await switch("ENABLE" if enabled else "DISABLE")

        async def undo() -> None:
            await switch("DISABLE" if enabled else "ENABLE")

        return undo

    return harm


async def fence_removed(scene: Scene) -> Relief:
    """Somebody opened the side that does not serve: writes are its default again, and everybody may log in."""
    server = scene.server(scene.serving.other).superuser
    name = quoted(arp.DATABASE)
    async with connection(server, database=arp.DATABASE) as conn:
        if await conn.fetchval("SELECT has_database_privilege('public', current_database(), 'CONNECT')"):
            return nothing  # it was open: what is not there cannot be removed, nor put back
    await run(server, (f"ALTER DATABASE {name} RESET default_transaction_read_only", f"GRANT CONNECT ON DATABASE {name} TO PUBLIC"))

    async def relief() -> None:
        shut = f"ALTER DATABASE {name} SET default_transaction_read_only = on"
        await run(server, (shut, f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"))

    return relief


async def sequence_set_back(scene: Scene) -> Relief:
    """A sequence of the serving side was set back to where numbers are taken already."""
    server = scene.server(scene.serving).superuser
    async with connection(server, database=arp.DATABASE) as conn:
        last = await conn.fetchval("SELECT last_value FROM billing.voucher_no")
        await conn.execute("SELECT setval('billing.voucher_no', greatest($1::bigint - 500, 1))", last)

    async def relief() -> None:
        async with connection(server, database=arp.DATABASE) as conn:
            await conn.execute("SELECT setval('billing.voucher_no', $1::bigint + 1000)", last)

    return relief


# --- apps that behave badly ---------------------------------------------------------------


def open_transaction(way: Path, *, forgotten: bool = False) -> Harm:
    """An app has written and does not commit: through the pooler, or straight on the server; `forgotten`: prepared, and left so."""

    async def harm(scene: Scene) -> Relief:
        app = next(app for app in scene.site.apps if app.path is way)
        server = scene.server(scene.serving).superuser
        try:
            conn = await _as(scene, app)
            await conn.execute("BEGIN")
            await conn.execute("INSERT INTO public.app_ledger (app, op_id) VALUES ('left open', %s)", (uuid4(),))
            if forgotten:
                await conn.execute("PREPARE TRANSACTION 'left open'")
                await conn.close()
        except psycopg.Error as err:  # the fence stands already, or its session was ended
            raise LinkError(plain(err, 200), where=app.name) from None

        async def relief() -> None:
            if not forgotten:
                return await conn.close()
            async with connection(server, database=arp.DATABASE) as admin:
                if await admin.fetchval("SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'left open'"):
                    await admin.execute("ROLLBACK PREPARED 'left open'")

        return relief

    return harm


async def _as(scene: Scene, app: App) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A session as that app, on the way it takes."""
    spec = await asyncio.to_thread((scene.site.folder / "apps.spec.json").read_text, encoding="utf-8")
    port = scene.server(scene.serving).port
    if app.path is Path.POOL and scene.site.pooler is not None:
        port = scene.site.pooler.port
    return await psycopg.AsyncConnection.connect(
        host=HOST,
        port=port,
        dbname=arp.DATABASE,
        user=app.role,
        password=json.loads(spec)["passwords"][app.role],
        application_name=app.name,
        autocommit=True,
        prepare_threshold=None,
    )
