"""The databases file: lines `name = key=value ...` ("Section [databases]", PgBouncer configuration).

Only `host` and `port` of the entries that the cockpit routes are changed; every other line, comment, entry and key stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_LINE = re.compile(r"^(?P<head>\s*(?P<quote>\"?)(?P<name>[^=\"]+?)(?P=quote)\s*=)(?P<rest>.*)$")
_PAIR = re.compile(r"(?P<key>\w+)\s*=\s*(?P<value>'(?:[^']|'')*'|[^\s']\S*)")


def routed(text: str, names: Collection[str], host: str, port: int, database: str) -> str:
    """`text` with the entries of `names` leading to `host` and `port`; an entry that is missing is added, for `database`."""
    lines, left = [], list(names)
    for line in text.splitlines():
        found = _LINE.match(line)
        name = found["name"] if found else None
        if found and name in names:
            left = [other for other in left if other != name]
            line = found["head"] + _changed(found["rest"], {"host": _value(host), "port": str(port)})
        lines.append(line)
    lines += [_line(name, host, port, database) for name in left]
    return "\n".join(lines) + "\n"


def missing(text: str, names: Collection[str], host: str, port: int, database: str) -> tuple[str, ...]:
    """The lines of those `names` that have no entry yet."""
    return tuple(_line(name, host, port, database) for name in names if goes_to(text, name) is None)


def _line(name: str, host: str, port: int, database: str) -> str:
    return f"{name} = host={_value(host)} port={port} dbname={_value(database)}"


def goes_to(text: str, name: str) -> tuple[str, int] | None:
    """Host and port of the entry `name`; None where there is none. The last entry of a name counts, as it does for PgBouncer."""
    found = [match for line in text.splitlines() if (match := _LINE.match(line)) and match["name"] == name]
    if not found:
        return None
    pairs = {match["key"]: match["value"] for match in _PAIR.finditer(found[-1]["rest"])}
    port = _plain(pairs.get("port", "5432"))
    return _plain(pairs.get("host", "")), int(port) if port.isdigit() else 0


def _changed(rest: str, wanted: dict[str, str]) -> str:
    left = dict(wanted)

    def change(pair: re.Match[str]) -> str:
        value = left.pop(pair["key"], wanted.get(pair["key"]))
        return pair[0] if value is None else f"{pair['key']}={value}"

    changed = _PAIR.sub(change, rest)
    return changed.rstrip() + "".join(f" {key}={value}" for key, value in left.items())


def _value(text: str) -> str:
    return text if re.fullmatch(r"[\w.:/-]+", text) else "'" + text.replace("'", "''") + "'"


def _plain(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
