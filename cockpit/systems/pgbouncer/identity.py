"""Which side answered: told from what a server says of itself, through the pool and straight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cockpit.model.words import Side

QUESTION = (
    "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text AS system, "
    "pg_catalog.current_setting('server_version_num') AS version, "
    "pg_catalog.host(pg_catalog.inet_server_addr()) AS address, pg_catalog.inet_server_port()::text AS port"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A server's system identifier, version and the address a session reached it at (empty through a Unix socket)."""

    system: str
    version: str
    address: str
    port: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Identity:
        return cls(*(str(row[key] or "") for key in ("system", "version", "address", "port")))


_WAYS = (("system",), ("system", "version"), ("system", "version", "address", "port"))
"""A restored snapshot has its origin's system identifier, an upgraded one too where it was copied: then more is asked."""


def told(answer: Identity, known: Mapping[Side, Identity]) -> Side | None:
    """The side that `answer` is, by the first thing in which the two known sides differ; None when it is neither or cannot be told."""
    if len(known) < 2:
        return None
    for keys in _WAYS:
        if _by(known[Side.BLUE], keys) != _by(known[Side.GREEN], keys):
            return next((side for side in Side if _by(known[side], keys) == _by(answer, keys)), None)
    return None


def _by(identity: Identity, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(identity, key) for key in keys)
