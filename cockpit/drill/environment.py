"""The rig as a config: the same kind of file that a live run has, so that a drill flies exactly the code of the live run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cockpit.drill import arp, cloud
from cockpit.drill.fleet import App
from cockpit.drill.fleet import Path as Way
from cockpit.drill.pooler import ADMIN, PROBE, Pooler, probe_of
from cockpit.drill.proxy import Proxy
from cockpit.drill.servers import HOST, Server
from cockpit.model.words import Side

PAIR = "arp"
POOL = "pool-1"
ADDRESS = "addresses"
_SECRETS = "secrets"
WAYS = ("blue", "green", "pooler", "cloud", "to-blue", "to-green")
"""Every way a proxy may stand in: from the cockpit to each system, and `to-SIDE`: from the other server, which mirrors it."""

_APPEND_ONLY = "append only: it never takes UPDATE or DELETE, and json has no equality to identify a row by"
_UNLOGGED = "a cache in an unlogged table: it fills itself again"
_TICKET = "goes round by design (CYCLE)"


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything of the rig is."""

    folder: Path
    blue: Server
    green: Server
    pooler: Pooler | None
    cloud: cloud.Cloud | None
    apps: tuple[App, ...]
    ways: Mapping[str, Proxy] = field(default_factory=dict)
    """The proxies between the cockpit and what it speaks to, by name (`WAYS`); empty where none was asked for."""

    def port(self, way: str, port: int) -> int:
        """Where the way to `port` begins."""
        return self.ways[way].port if way in self.ways else port

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def address_file(self) -> Path:
        """The file that tells direct apps their address."""
        return self.folder / "address.json"


def keep(folder: Path, name: str, secret: str) -> str:
    """The secret is in a file of its own (0600); returns the reference to it."""
    place = folder / _SECRETS
    place.mkdir(mode=0o700, exist_ok=True)
    file = place / name
    file.touch(mode=0o600)
    file.write_text(secret + "\n", encoding="utf-8")
    return f"file:{_SECRETS}/{name}"


def config(site: Site, passwords: Mapping[str, str], runs: Path | None) -> str:
    """The text of the rig's config. `passwords` by role: the cockpit's and the peer's."""
    control = keep(site.folder, arp.PILOT, passwords[arp.PILOT])
    peer = keep(site.folder, arp.PEER, passwords[arp.PEER])
    parts = [_table("cockpit", {"runs": str(runs)})] if runs else []
    # A rehearsal of a scenario that asks for a second person: any other user of this machine is one.
    parts.append(_table("cockpit.approvals", {"users": ["*"]}))
    parts.append(
        _table(
            "pairs.arp",
            {"exclude_tables": list(arp.EXCLUDED), "exempt_roles": ["postgres"], "activity_feed": str(site.folder / "apps.json")},
        )
    )
    for name, server in (("blue", site.blue), ("green", site.green)):
        login = {"host": HOST, "port": site.port(name, server.port), "database": arp.DATABASE, "sslmode": "disable"}
        parts.append(_table(f"pairs.arp.{name}", {**login, "user": arp.PILOT, "password": control}))
        mirrored = {"port": site.port(f"to-{name}", server.port)} if site.ways else {}
        parts.append(_table(f"pairs.arp.{name}.peer", {**mirrored, "user": arp.PEER, "password": peer}))
    parts += _channels(site)
    # No application_name: each app has a role of its own, and PgBouncer opens sessions that do not carry their client's name yet.
    parts += [_entry("apps", {"name": app.name, "role": app.role, "channel": _channel(app)}) for app in site.apps]
    parts += [_entry("waivers", waiver) for waiver in _waivers()]
    return "\n".join(parts)


def _channel(app: App) -> str:
    return {Way.POOL: POOL, Way.FILE: ADDRESS, Way.SECRET: f"secret {app.name}"}[app.path]


def _channels(site: Site) -> Iterable[str]:
    if site.pooler is not None:
        yield _entry(
            "channels", {"name": POOL, "kind": "pgbouncer", "databases_file": str(site.pooler.databases_file), "database": arp.DATABASE}
        )
        yield from _own_addresses(site)
        word = keep(site.folder, ADMIN, site.pooler.admin_password)
        yield _table(
            "pairs.arp.channels.admin",
            {"host": HOST, "port": site.port("pooler", site.pooler.port), "user": ADMIN, "password": word, "sslmode": "disable"},
        )
        yield _table("pairs.arp.channels.probe", {"name": PROBE, **{str(side): probe_of(side) for side in Side}})
    if any(app.path is Way.FILE for app in site.apps):
        yield _entry("channels", {"name": ADDRESS, "kind": "file", "path": str(site.address_file), "format": "json"})
        yield from _own_addresses(site)
    if site.cloud is None:
        return
    login = {
        "region": cloud.REGION,
        "endpoint_url": f"http://{HOST}:{site.port('cloud', site.cloud.port)}",
        "access_key_id": keep(site.folder, "aws-id", cloud.ACCESS_KEY),
        "secret_access_key": keep(site.folder, "aws-key", cloud.SECRET_KEY),
    }
    for app in site.apps:
        if app.path is Way.SECRET:
            yield _entry("channels", {"name": _channel(app), "kind": "aws-secret", "secret_id": app.secret, **login})
            yield from _own_addresses(site)


def _own_addresses(site: Site) -> Iterable[str]:
    """Apps and pooler reach the servers themselves, also where the cockpit goes through a proxy."""
    if site.ways:
        for name, server in (("blue", site.blue), ("green", site.green)):
            yield _table(f"pairs.arp.channels.{name}", {"host": HOST, "port": server.port})


def _waivers() -> Iterable[dict[str, object]]:
    for table in arp.APPEND_ONLY:
        yield {"check": "D1", "object": table, "reason": _APPEND_ONLY}
    for table in arp.EXCLUDED:
        yield {"check": "D4", "object": table, "reason": _UNLOGGED}
    yield {"check": "D3", "object": "sales.ticket", "reason": _TICKET}


def _table(name: str, values: Mapping[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _entry(group: str, values: Mapping[str, object]) -> str:
    return f"[[pairs.arp.{group}]]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: object) -> str:
    # JSON's strings, numbers and lists of strings are TOML's too, once DEL is escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
