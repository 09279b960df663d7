"""The distribution's PgBouncer in front of the pair: transaction pooling, scram, routed by an included file of databases.

The included file names the database and the alias `cockpit_probe` with the same target: PAUSE of the one leaves the other
open, so the cockpit can see through the pool which server answers while the apps wait. An alias for each side, which never moves,
shows that the pooler's logins reach the side that does not serve.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from cockpit.drill.privileges import Identity, server_identity, spawn, until_ended
from cockpit.drill.servers import HOST, free_port
from cockpit.errors import CockpitError
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side

ADMIN = "pgbouncer_admin"
PROBE = "cockpit_probe"
_PLACES = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/sbin:/opt/homebrew/bin"
_START_S = 10.0
_STOP_S = 5.0
_POLL_S = 0.02

# One server connection an app keeps busy a fifth of the time by its load, and three in reserve: after RESUME every further login
# and its cold caches (4.5 ms of a processor, measured) would compete with the writes that waited.
_INI = """\
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
admin_users = {admin}
pool_mode = transaction
max_client_conn = 500
default_pool_size = 1
reserve_pool_size = 3
reserve_pool_timeout = 0.5
server_login_retry = 0.2
server_connect_timeout = 5
query_wait_timeout = 120
server_lifetime = 3600
server_idle_timeout = 600
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits

%include {folder}/databases.ini
"""


def binary() -> Path | None:
    """Where `pgbouncer` is; None where it is not installed."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=_PLACES)
    return Path(found) if found else None


@dataclass(slots=True)
class Pooler:
    """One PgBouncer of the rig."""

    folder: Path
    port: int
    database: str
    admin_password: str
    _binary: Path
    _identity: Identity
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self.running and self._process else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def admin(self) -> Endpoint:
        """The admin console."""
        return Endpoint(HOST, self.port, "pgbouncer", ADMIN, Secret(self.admin_password), "disable")

    @property
    def databases_file(self) -> Path:
        """The file that says where the pool goes; PgBouncer reads it at RELOAD."""
        return self.folder / "databases.ini"

    async def start(self) -> None:
        """PgBouncer answers on its admin console. `CockpitError` with its log's end when it does not."""
        with (self.folder / "pgbouncer.log").open("ab") as log:
            argv = [str(self._binary), str(self.folder / "pgbouncer.ini")]
            self._process = spawn(argv, log=log, cwd=self.folder, identity=self._identity)
        deadline = asyncio.get_running_loop().time() + _START_S
        while not await asyncio.to_thread(self._answers):
            if not self.running or asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise CockpitError("PgBouncer did not start", where=str(self._binary), remedy=_last_line(self.folder / "pgbouncer.log"))
            await asyncio.sleep(_POLL_S)

    def _answers(self) -> bool:
        # The admin console takes only the simple query protocol.
        try:
            with psycopg.connect(
                host=HOST, port=self.port, dbname="pgbouncer", user=ADMIN, password=self.admin_password, autocommit=True, connect_timeout=2
            ) as conn:
                return psycopg.ClientCursor(conn).execute("SHOW VERSION").fetchone() is not None
        except psycopg.OperationalError:
            return False

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """PgBouncer has ended; its clients are cut off (SIGTERM is an immediate shutdown there)."""
        process, self._process = self._process, None
        if process is None:
            return
        for wish in (number, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(wish)
                await until_ended(process, _STOP_S)


async def launch(folder: Path, sides: Mapping[Side, Endpoint], verifiers: Mapping[str, str], admin: tuple[str, str]) -> Pooler:
    """PgBouncer runs in front of blue, for the users of `verifiers` (user to SCRAM verifier).

    `admin` is the admin user's password and its verifier. `CockpitError` where there is no PgBouncer."""
    found = binary()
    if found is None:
        raise CockpitError("PgBouncer is not installed", remedy="apt-get install pgbouncer")
    pooler = Pooler(folder, free_port(), sides[Side.BLUE].database, admin[0], found, server_identity())
    await asyncio.to_thread(_write, pooler, sides, {**verifiers, ADMIN: admin[1]})
    await pooler.start()
    return pooler


def _write(pooler: Pooler, sides: Mapping[Side, Endpoint], users: Mapping[str, str]) -> None:
    folder = pooler.folder
    folder.mkdir(parents=True, exist_ok=True)
    userlist = folder / "userlist.txt"
    userlist.touch(mode=0o600)
    userlist.write_text("".join(f"{_word(user)} {_word(word)}\n" for user, word in users.items()), encoding="utf-8")
    (folder / "pgbouncer.ini").write_text(_INI.format(host=HOST, port=pooler.port, folder=folder, admin=ADMIN), encoding="utf-8")
    pooler.databases_file.write_text(databases(pooler.database, sides), encoding="utf-8")
    for path in (folder, userlist, folder / "pgbouncer.ini", pooler.databases_file):
        pooler._identity.owns(path)
    folder.chmod(0o700)


def databases(name: str, sides: Mapping[Side, Endpoint]) -> str:
    """The included file that sends `name` and the probe alias to blue, and an alias to each side."""
    entries = {name: sides[Side.BLUE], PROBE: sides[Side.BLUE], **{probe_of(side): endpoint for side, endpoint in sides.items()}}
    return "[databases]\n" + "".join(f"{entry} = host={e.host} port={e.port} dbname={e.database}\n" for entry, e in entries.items())


def probe_of(side: Side) -> str:
    """The entry that always leads to `side`."""
    return f"{PROBE}_{side}"


def _word(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _last_line(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return "it wrote no log"
