"""A real PgBouncer in front of the test servers, started as the user that the servers run as."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg

from cockpit.drill.folders import Claim
from cockpit.drill.privileges import server_identity, spawn
from cockpit.drill.servers import HOST, Server, free_port
from cockpit.model.settings import Endpoint

BINARY = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
ADMIN, PASSWORD = "pooler_admin", "admin-secret"

INI = """
[databases]
%include {databases}

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
admin_users = {admin}
pool_mode = {pool_mode}
max_client_conn = 500
default_pool_size = 20
server_login_retry = 1
query_wait_timeout = {query_wait}
ignore_startup_parameters = extra_float_digits
logfile = {log}
"""


@dataclass(slots=True)
class Bouncer:
    """One instance; `databases` is the file that the cockpit writes."""

    folder: Path
    port: int
    pid: int
    process: subprocess.Popen[bytes]

    @property
    def databases(self) -> Path:
        return self.folder / "databases.ini"

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait(10)


def entry(name: str, server: Server, extra: str = "", dbname: str | None = None) -> str:
    return f"{name} = host={HOST} port={server.port} dbname={dbname or name}{extra}\n"


async def start(
    claim: Claim, name: str, databases: str, users: dict[str, str], *, pool_mode: str = "transaction", query_wait: int = 120
) -> Bouncer:
    """PgBouncer answers on its admin console."""
    folder, port = claim.folder / name, free_port()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    values = {"host": HOST, "port": port, "admin": ADMIN, "pool_mode": pool_mode, "query_wait": query_wait}
    files = {"databases": folder / "databases.ini", "users": folder / "users.txt", "log": folder / "pgbouncer.log"}
    files["databases"].write_text(databases, encoding="utf-8")
    files["users"].write_text("".join(f'"{user}" "{word}"\n' for user, word in {ADMIN: PASSWORD, **users}.items()), encoding="utf-8")
    (folder / "pgbouncer.ini").write_text(INI.format(**values, **files), encoding="utf-8")
    for path in (folder, *folder.iterdir()):
        server_identity().owns(path)
    process = launch(folder)
    claim.adopt(process.pid)
    bouncer = Bouncer(folder, port, process.pid, process)
    await answers(bouncer)
    return bouncer


def launch(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "out.log").open("ab") as log:
        return spawn([BINARY, str(folder / "pgbouncer.ini")], log=log, cwd=folder, identity=server_identity())


async def answers(bouncer: Bouncer) -> None:
    until = asyncio.get_running_loop().time() + 10
    while True:
        try:
            conn = await asyncio.to_thread(admin, bouncer)
        except psycopg.OperationalError:
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.02)
        else:
            conn.close()
            return


def admin(bouncer: Bouncer) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=HOST, port=bouncer.port, dbname="pgbouncer", user=ADMIN, password=PASSWORD, autocommit=True,
        cursor_factory=psycopg.ClientCursor, connect_timeout=2, sslmode="disable",
    )  # fmt: skip


def client(bouncer: Bouncer, database: str, user: str, password: str, app: str = "app") -> Endpoint:
    from cockpit.model.secret import Secret

    return Endpoint(HOST, bouncer.port, database, user, Secret(password), "disable")
