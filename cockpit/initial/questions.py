"""What `cockpit init` asks: each question is a flag as well, and has a default that may rest on what was said before it.

Standard library only: the command line is made from this table before anything is known to be needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

NONE = "none"
"""What is typed where there is no such thing."""


class Question(NamedTuple):
    """One question. `key` is its flag without the dashes, what it is about before what it asks for."""

    key: str
    metavar: str
    asks: str


def _server(side: str, what: str) -> tuple[Question, ...]:
    return (
        Question(f"{side}-host", "HOST", f"the {what}; its own address, not a pooler's"),
        Question(f"{side}-port", "PORT", "where it listens"),
        Question(f"{side}-database", "NAME", f"the database on {side}"),
        Question(f"{side}-user", "ROLE", "the cockpit's own role: owns the tables or is superuser, no app's"),
        Question(f"{side}-password", "WHERE", "where its password is: env:NAME, file:PATH or none"),
    )


QUESTIONS = (
    Question("pair", "NAME", "its name, which you will type to confirm a cutover: a-z, 0-9, _"),
    *_server("blue", "old server, which serves now"),
    *_server("green", "new server"),
    Question("pooler", "HOST:PORT", "PgBouncer's admin consoles, commas between them, or none"),
    Question("pooler-user", "USER", "a user of PgBouncer's admin_users"),
    Question("pooler-password", "WHERE", "where its password is: env:NAME, file:PATH or none"),
    Question("pooler-file", "PATH", "the file of its [databases], which pgbouncer.ini includes"),
    Question("channel-file", "PATH", "a file in which apps read where their database is, or none"),
    Question("runs", "DIR", "where runs are kept"),
)


def default(key: str, said: Mapping[str, str], usual_runs: str) -> str:
    """What an empty answer means, after what was said so far."""
    pair = said.get("pair", "")
    about, _, part = key.partition("-")
    fixed = {"pair": "arp", "pooler": NONE, "pooler-user": "cockpit", "channel-file": NONE, "runs": usual_runs}
    if key in fixed:
        return fixed[key]
    if part == "password":
        return f"env:{pair.upper()}_{about.upper()}_PASSWORD"
    if key == "pooler-file":
        return f"/etc/pgbouncer/{pair}.ini"
    if about == "green":
        return _like_blue(part, said)
    return {"host": "localhost", "port": "5432", "database": pair, "user": "cockpit"}[part]


def _like_blue(part: str, said: Mapping[str, str]) -> str:
    """Green is asked for as blue was said to be; on the same machine it has the next port."""
    blue = said[f"blue-{part}"]
    return str(int(blue) % 65535 + 1) if part == "port" and said["green-host"] == said["blue-host"] else blue


def is_needed(key: str, said: Mapping[str, str]) -> bool:
    """Whether the question makes sense after what was said: a pooler that there is not has no user."""
    return not key.startswith("pooler-") or said.get("pooler", NONE) != NONE
