"""The rig: blue and green, the pooler, the cloud and the apps, brought up on this machine and taken down without a trace.

    async with Rig(claim(new_folder()), Wanted(rows=100_000)) as rig:
        await rig.control.interval(t0, t1)

Nothing in it is a mock: what flies it afterwards is the live cockpit with the config that the rig writes.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from cockpit.config import load_config
from cockpit.drill import arp, cloud, environment, pooler, room, servers
from cockpit.drill.apps_control import AppsControl
from cockpit.drill.environment import Site
from cockpit.drill.fleet import Path as Way
from cockpit.drill.fleet import fleet
from cockpit.drill.folders import Claim
from cockpit.drill.privileges import spawn, until_ended
from cockpit.drill.proxy import Proxy
from cockpit.drill.scram import verifier
from cockpit.errors import CockpitError
from cockpit.model.settings import Endpoint, Tuning
from cockpit.model.words import Side

_SYNC = {"max_sync_workers_per_subscription": "8"}
_APPS_S = 20.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the rig shall be. `rate`: writes a second, all apps together. `settings`: of both servers, over the rig's own."""

    rows: int = 1_000_000
    apps: int = 15
    rate: float = 400.0
    seed: int = 1
    runs: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    proxied: bool = False
    """Whether the cockpit reaches everything through fault proxies."""


@dataclass(slots=True)
class Progress:
    """The rig's start, told in `progress.jsonl`: `{"done", "of", "what", "mono"}` a line; `what` is what is being done now."""

    file: Path
    of: int
    done: int = -1

    def now(self, what: str) -> None:
        self.done = min(self.done + 1, self.of)
        self._say({"what": what})

    def failed(self, why: str) -> None:
        self._say({"what": "the rig did not come up", "error": why})

    def _say(self, told: Mapping[str, str]) -> None:
        line = {"done": self.done, "of": self.of, **told, "mono": round(time.monotonic(), 3)}
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")


class Rig:
    """A rig in a claimed folder. `start` and `stop`, or `async with`."""

    def __init__(self, claimed: Claim, wanted: Wanted | None = None) -> None:
        self.claim = claimed
        self.wanted = wanted or Wanted()
        self.control = AppsControl(claimed.folder)
        self.site: Site | None = None
        self._servers: list[servers.Server] = []
        self._pooler: pooler.Pooler | None = None
        self._cloud: cloud.Cloud | None = None
        self._apps: subprocess.Popen[bytes] | None = None
        self._ways: dict[str, Proxy] = {}
        self._progress = Progress(claimed.folder / "progress.jsonl", of=6)

    @property
    def folder(self) -> Path:
        return self.claim.folder

    @property
    def config(self) -> Path:
        """The rig's config file."""
        return self.folder / "config.toml"

    async def __aenter__(self) -> Rig:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Everything is up, replicated, and the apps are writing to blue. `CockpitError` where the disk has no room for it."""
        copied = await asyncio.to_thread(servers.copied, (16, 18))
        room.check(self.folder, self.wanted.rows, copied)
        try:
            await self._start()
        except (BaseExceptionGroup, CockpitError, OSError) as err:
            first = _first(err)
            if room.ran_out(first, (self.folder / name / servers.LOG for name in ("blue", "green"))):
                raise room.none_left(self.folder, self.wanted.rows, copied) from err
            if first is err:
                raise
            raise first from err

    async def _start(self) -> None:
        words = self._passwords()
        self._progress.now("starting PostgreSQL 16 and 18")
        blue, green = await self._launch_servers()
        self._progress.now("making ARP's schema and roles on both")
        verifiers = {role: verifier(word) for role, word in words.items()}
        await _together(arp.create(blue.superuser, verifiers), arp.create(green.superuser, verifiers))
        self._progress.now(f"filling blue with about {self.wanted.rows:,} rows")
        site = await self._surround(blue, green, words, verifiers)
        self._progress.now("replicating blue to green")
        await _together(self._replicate(site), arp.settle(blue.superuser))
        self._progress.now("gathering statistics on green")
        await _together(arp.settle(green.superuser), self._cloud_ready())
        self._progress.now(f"starting {len(site.apps)} apps")
        await self._launch_apps(site, words)
        self._progress.now("flying")

    def _passwords(self) -> dict[str, str]:
        roles = [app.role for app in fleet(self.wanted.apps)]
        return {role: secrets.token_urlsafe(18) for role in (*roles, arp.PILOT, arp.PEER)}

    async def _launch_servers(self) -> tuple[servers.Server, servers.Server]:
        blue, green = await _together(self._launch_server("blue", 16), self._launch_server("green", 18))
        return blue, green

    async def _launch_server(self, name: str, major: int) -> servers.Server:
        server = await servers.launch(self.folder / name, major, name=name, settings={**_SYNC, **self.wanted.settings})
        self._servers.append(server)
        self.claim.adopt(server.pid)
        return server

    async def _surround(self, blue: servers.Server, green: servers.Server, words: Mapping[str, str], verifiers: Mapping[str, str]) -> Site:
        target = blue.endpoint(arp.DATABASE, "", None)
        has_pooler = pooler.binary() is not None
        apps = fleet(self.wanted.apps, pooler=has_pooler)
        hidden = {app.secret: cloud.secret_text(target, app.role, words[app.role]) for app in apps if app.path is Way.SECRET}
        if hidden:
            self._cloud = cloud.launch(self.folder / "cloud", hidden)
            self.claim.adopt(self._cloud.pid)
        work: list[Coroutine[Any, Any, Any]] = [arp.fill(blue.superuser, self.wanted.rows, self.wanted.seed)]
        if has_pooler:
            sides = {Side.BLUE: target, Side.GREEN: green.endpoint(arp.DATABASE, "", None)}
            work.append(self._launch_pooler(sides, verifiers))
        await _together(*work)
        if self.wanted.proxied:
            await self._open_ways(blue, green)
        self.site = Site(self.folder, blue, green, self._pooler, self._cloud, apps, self._ways)
        await asyncio.to_thread(self._write, self.site, words)
        return self.site

    async def _launch_pooler(self, sides: Mapping[Side, Endpoint], verifiers: Mapping[str, str]) -> None:
        word = secrets.token_urlsafe(18)
        users = {role: text for role, text in verifiers.items() if role != arp.PEER}
        self._pooler = await pooler.launch(self.folder / "pooler", sides, users, (word, verifier(word)))
        self.claim.adopt(self._pooler.pid)

    async def _open_ways(self, blue: servers.Server, green: servers.Server) -> None:
        ports = {"blue": blue.port, "green": green.port, "to-blue": blue.port, "to-green": green.port}
        ports |= {name: part.port for name, part in (("pooler", self._pooler), ("cloud", self._cloud)) if part is not None}
        self._ways = {name: Proxy(name, port) for name, port in ports.items()}
        for way in self._ways.values():
            await way.open()

    def _write(self, site: Site, words: Mapping[str, str]) -> None:
        site.address_file.write_text(json.dumps(_address(site.blue)) + "\n", encoding="utf-8")
        self.config.write_text(environment.config(site, words, self.wanted.runs), encoding="utf-8")

    async def _replicate(self, site: Site) -> None:
        # The live run's own actions, on the live run's own config: set up here because a drill begins in flight.
        from cockpit.systems.postgres import PostgresPair

        config = await asyncio.to_thread(load_config, site.config)
        pair = PostgresPair(config.pairs["arp"], Tuning())
        await pair.open()
        try:
            await _together(pair.install(Side.BLUE).apply(), pair.install(Side.GREEN).apply())
            await pair.replicate(Side.BLUE, Side.GREEN, copy=True).apply()
        finally:
            await pair.close()

    async def _cloud_ready(self) -> None:
        if self._cloud is not None:
            await self._cloud.ready()

    async def _launch_apps(self, site: Site, words: Mapping[str, str]) -> None:
        spec = self.folder / "apps.spec.json"
        spec.touch(mode=0o600)
        spec.write_text(json.dumps(self._apps_spec(site, words)), encoding="utf-8")
        with (self.folder / "apps.log").open("ab") as log:
            argv = [sys.executable, "-m", "cockpit.drill.apps", str(spec)]
            # With its servers gone it could never finish what is due, so it does not try to.
            self._apps = spawn(argv, log=log, cwd=self.folder)
        self.claim.adopt(self._apps.pid)
        await self._until_all_write()

    def _apps_spec(self, site: Site, words: Mapping[str, str]) -> dict[str, Any]:
        place = self._cloud
        return {
            "apps": self.wanted.apps,
            "rate": self.wanted.rate,
            "seed": self.wanted.seed,
            "sizes": arp.sizes(self.wanted.rows),
            "passwords": {app.role: words[app.role] for app in site.apps},
            "pool": {"host": servers.HOST, "port": site.pooler.port, "database": arp.DATABASE} if site.pooler else None,
            "address_file": str(site.address_file),
            "cloud": cloud.client_settings(place) if place else {},
        }

    async def _until_all_write(self) -> None:
        deadline = time.monotonic() + _APPS_S
        while not await self._all_write():
            if time.monotonic() > deadline or (self._apps and self._apps.poll() is not None):
                raise CockpitError("not every app came to write", where=str(self.folder / "apps.log"), remedy=await self._complaint())
            await asyncio.sleep(_POLL_S)

    async def _all_write(self) -> bool:
        try:
            feed = await self.control.feed()
        except (OSError, ValueError):
            return False
        return all(app["writes"] for app in feed["apps"].values())

    async def _complaint(self) -> str:
        try:
            totals = await self.control.totals()
        except CockpitError as err:
            return str(err)
        return "; ".join(f"{name}: {', '.join(app.kinds) or 'no answer'}" for name, app in totals.items() if not app.writes)

    def described(self) -> dict[str, Any]:
        """What the rig is made of, for a report."""
        site = self.site
        return {
            "rows": self.wanted.rows,
            "apps": self.wanted.apps,
            "rate": self.wanted.rate,
            "seed": self.wanted.seed,
            "postgresql": {"blue": 16, "green": 18},
            "pooler": bool(site and site.pooler),
            "cloud": bool(site and site.cloud),
        }

    def say_failed(self, why: str) -> None:
        """Whoever watches the start reads why it ended."""
        self._progress.failed(why)

    async def stop(self, keep: bool = False) -> None:
        """Every process of the rig has ended and its folder is gone, unless `keep`: then its files stay. Safe to repeat."""
        if self._apps is not None and self._apps.poll() is None:
            self._apps.kill()
            await until_ended(self._apps, 5.0)
        endings: list[Coroutine[Any, Any, Any]] = [server.stop(immediate=True) for server in self._servers]
        endings += [part.stop() for part in (self._pooler, self._cloud) if part is not None]
        endings += [way.close() for way in self._ways.values()]
        try:
            await asyncio.gather(*endings, return_exceptions=True)
        finally:
            self.claim.release(keep)


def _address(server: servers.Server) -> dict[str, Any]:
    return {"host": servers.HOST, "port": server.port, "database": arp.DATABASE}


async def _together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in work]
    return [task.result() for task in tasks]


def _first(err: BaseException) -> BaseException:
    while isinstance(err, BaseExceptionGroup):
        err = err.exceptions[0]
    return err
