"""What a first look found, in lines: for the person who asked, and as remarks in the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cockpit.model.text import plain
from cockpit.systems.postgres.replicate import FILTERED_SINCE
from cockpit.systems.postgres.survey import Survey

SOME = 5
"""Names in a line; the rest is counted."""


def facts(look: Survey) -> tuple[str, ...]:
    """What one side is, and what preflight will say no to."""
    tls = "TLS" if look.tls else "without TLS"
    return (
        f"PostgreSQL {plain(look.version, 40)}, {tls}; database {plain(look.database, 63)}, {size(look.size)}",
        f"{_counted(look.tables, 'table')} in {_counted(len(look.schemas), 'schema')}{_named(look.schemas)}",
        *_warnings(look),
        "only a restart changes: " + ", ".join(f"{name} {plain(value, 20)}" for name, value in look.settings if name != "wal_level"),
    )


def _warnings(look: Survey) -> Iterator[str]:
    if look.version_num < FILTERED_SINCE:
        yield "NO-GO below PostgreSQL 16: the way back could not stand beside the mirror; upgrade first"
    level = dict(look.settings).get("wal_level", "unknown")
    if level != "logical":
        yield f"NO-GO wal_level = {plain(level, 20)}: ALTER SYSTEM SET wal_level = logical, then restart the server"
    if look.keyless:
        yield f"{_counted(len(look.keyless), 'table')} without a key{_named(look.keyless)}: add one, or REPLICA IDENTITY FULL"


def between(blue: Survey, green: Survey) -> tuple[str, ...]:
    """What only both sides together show."""
    if green.tables < blue.tables:
        return (f"green has {green.tables} of blue's {_counted(blue.tables, 'table')}: pg_dump --schema-only from blue, restored on green",)
    return ()


def size(number: int) -> str:
    """Bytes as a person says them."""
    value, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    if not listed:
        return ""
    more = f", and {len(listed) - SOME} more" if len(listed) > SOME else ""
    return f" ({', '.join(plain(name, 63) for name in listed[:SOME])}{more})"
