"""Looks at servers that never were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cockpit.initial.answers import Answers, Pooler, Server
from cockpit.model.words import Side
from cockpit.systems.postgres.survey import Role, Seen, Survey

POOL = "10.0.0.9"
ORDINARY = Role("app", super=False, replication=False, watches=False, writes=False, ours=False)
BLUE = Survey(
    side=Side.BLUE, version="16.4", version_num=160004, database="arp", size=200 << 30, tls=True, super=True,
    settings=(("max_wal_senders", "10"), ("wal_level", "logical")), schemas=("public",), tables=12, keyless=(),
    roles=(), seen=(),
)  # fmt: skip
GREEN = replace(BLUE, side=Side.GREEN, version="18.1", version_num=180001)
ANSWERS = Answers(
    "arp",
    Server("blue.example", 5432, "arp", "cockpit", "env:B"),
    Server("green.example", 5432, "arp", "cockpit", None),
    Pooler((("pool.example", 6432),), "cockpit", "env:P", "/etc/pgbouncer/arp.ini"),
    None,
    None,
)


def role(name: str, **other: bool) -> Role:
    return replace(ORDINARY, name=name, **other)


def seen(role: str, application: str = "", clients: Sequence[str] = (POOL,), sessions: int = 1) -> Seen:
    return Seen(role, application, tuple(clients), sessions)


def blue(*found: Seen, roles: Sequence[Role] = ()) -> Survey:
    """Blue with these sessions; their roles are ordinary ones unless said otherwise."""
    named = {each.name for each in roles}
    return replace(BLUE, seen=found, roles=(*roles, *(role(name) for name in dict.fromkeys(s.role for s in found) if name not in named)))
