"""How the cockpit's objects are called, and how foreign names and values enter a statement.

Identifiers are quoted as PostgreSQL's `quote_ident` does ("String Constants" and "Identifiers and Key Words" in its manual);
statements run with `standard_conforming_strings = on`, so a literal needs only its quotes doubled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cockpit.model.settings import Endpoint
from cockpit.model.words import Side

SCHEMA = "cockpit_control"
MASK = "•••"
_NAME_BYTES = 63
_PREFIX = "cockpit_"
_SUFFIX = "_b2g"


def ident(name: str) -> str:
    """`name` as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def table(schema: str, name: str) -> str:
    """`"schema"."name"`, quoted."""
    return f"{ident(schema)}.{ident(name)}"


def literal(value: str) -> str:
    """`value` as a string constant. A NUL cannot occur in PostgreSQL text and is refused."""
    if "\0" in value:
        raise ValueError("a NUL character cannot be part of a PostgreSQL string")
    return "'" + value.replace("'", "''") + "'"


def text_array(values: Iterable[str]) -> str:
    """`ARRAY['a','b']::text[]`, also for none."""
    return f"ARRAY[{', '.join(literal(value) for value in values)}]::text[]"


def dotted(schema: str, name: str) -> str:
    """`schema.name` as people and the config write it: not quoted."""
    return f"{schema}.{name}"


def conninfo(endpoint: Endpoint, application: str, *, masked: bool) -> str:
    """A libpq connection string ("Connection Strings" in the manual), each value quoted; `masked` hides the password."""
    parts = {
        "host": endpoint.host,
        "port": str(endpoint.port),
        "dbname": endpoint.database,
        "user": endpoint.user,
        "sslmode": endpoint.sslmode,
        "application_name": application,
    }
    if endpoint.sslrootcert:
        parts["sslrootcert"] = endpoint.sslrootcert
    if endpoint.password is not None:
        parts["password"] = MASK if masked else endpoint.password.reveal()
    return " ".join(f"{key}={_libpq(value)}" for key, value in parts.items())


def _libpq(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one pair's objects. A pair's name that is not a plain word is told apart by a digest."""

    stem: str

    @classmethod
    def of(cls, pair: str) -> Names:
        word = re.sub(r"[^a-z0-9_]+", "_", pair.lower()).strip("_")
        room = _NAME_BYTES - len(_PREFIX) - len(_SUFFIX)
        if word == pair.lower() and len(word) <= room:
            return cls(_PREFIX + word)
        mark = hashlib.sha256(pair.encode()).hexdigest()[:6]
        return cls(f"{_PREFIX}{word[: room - 7]}_{mark}")

    def link(self, origin: Side) -> str:
        """Publication, slot and subscription of one direction share this name: `cockpit_arp_b2g`."""
        return f"{self.stem}_{origin.letter.lower()}2{origin.other.letter.lower()}"

    @property
    def lock_key(self) -> int:
        """The pair's advisory lock: the first 63 bits of a digest of the stem."""
        return _key(self.stem)

    @property
    def fence_key(self) -> int:
        """The advisory lock under which a fence goes up or comes down."""
        return _key(f"{self.stem} fence")


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
