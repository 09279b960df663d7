"""What an instance shows of itself: `SHOW DATABASES`, `SHOW SERVERS`, `SHOW CLIENTS`, `SHOW POOLS` ("Admin console").

`paused` is 1 in SHOW DATABASES as soon as PAUSE was asked for: it is in effect only when no server connection is in use any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cockpit.model.text import plain

Row = Mapping[str, Any]

BUSY = ("active", "active_cancel", "being_canceled", "tested", "new")
"""States of a server connection that still works for somebody, or is about to."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of SHOW DATABASES."""

    host: str
    port: int
    paused: bool
    database: str

    @classmethod
    def of(cls, rows: Iterable[Row], name: str) -> Entry | None:
        found = next((row for row in rows if row["name"] == name), None)
        if found is None:
            return None
        return cls(str(found["host"] or ""), int(found["port"]), bool(int(found["paused"])), str(found["database"]))


@dataclass(frozen=True, slots=True)
class InTheWay:
    """A server connection in use, and for whom."""

    pid: int
    application: str
    client: str
    user: str
    age_s: float | None
    host: str
    port: int

    def __str__(self) -> str:
        age = "" if self.age_s is None else f", last request {self.age_s:.0f} s ago"
        return f"{self.application or 'an unnamed app'} ({self.user}, {self.client}, server pid {self.pid}{age})"


def servers_of(rows: Iterable[Row], database: str) -> list[Row]:
    return [row for row in rows if row["database"] == database]


def busy(rows: Iterable[Row], database: str) -> list[Row]:
    return [row for row in servers_of(rows, database) if row["state"] in BUSY]


def in_the_way(servers: Iterable[Row], clients: Sequence[Row], database: str) -> list[InTheWay]:
    """Every server connection of `database` in use, with the client it is linked to."""
    by_pointer = {str(row["ptr"]): row for row in clients}
    return [_one(row, by_pointer.get(str(row["link"]), {})) for row in busy(servers, database)]


def _one(server: Row, client: Row) -> InTheWay:
    # application_name is shown since 1.18; before that an app is known by its user and address.
    application = client.get("application_name") or server.get("application_name") or ""
    return InTheWay(
        pid=int(server["remote_pid"]),
        application=plain(application, 64),
        client=plain(f"{client.get('addr', '?')}:{client.get('port', '?')}", 80),
        user=plain(server["user"], 64),
        age_s=_age(client.get("request_time") or server.get("request_time")),
        host=str(server["addr"]),
        port=int(server["port"]),
    )


def _age(shown: object) -> float | None:
    """Seconds since a time as PgBouncer prints it, whole seconds of UTC."""
    try:
        then = datetime.strptime(str(shown), "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max((datetime.now(UTC) - then).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Load:
    """SHOW POOLS of one database, summed over its users."""

    clients: int
    waiting: int
    pool_mode: str

    @classmethod
    def of(cls, rows: Iterable[Row], database: str) -> Load:
        mine = [row for row in rows if row["database"] == database]
        waiting = sum(int(row["cl_waiting"]) for row in mine)
        modes = sorted({str(row["pool_mode"]) for row in mine})
        return cls(sum(int(row["cl_active"]) for row in mine) + waiting, waiting, plain(",".join(modes), 40))
