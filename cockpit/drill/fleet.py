"""The drill's applications: who they are, how each learns where its database is, and what share of the writes each has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

_NAMES = (
    "orders",
    "billing",
    "crm",
    "warehouse",
    "portal",
    "mobile",
    "pricing",
    "invoicing",
    "support",
    "shipping",
    "payroll",
    "kettle-bridge",
    "fraud",
    "reports",
    "Legacy Audit",
)
_FILES, _SECRETS, _OF = 3, 2, 15
_SHARES = (3.0, 2.5, 2.0, 2.0, 1.5, 1.5, 1.0, 1.0, 0.75, 0.75)


class Path(StrEnum):
    """How an app reaches its database."""

    POOL = "pool"
    FILE = "file"
    SECRET = "secret"


@dataclass(frozen=True, slots=True)
class App:
    """One application: its login, its path, and which of the work mixes it does."""

    number: int
    name: str
    path: Path

    @property
    def role(self) -> str:
        """The role it logs in as; one of them needs quoting."""
        return self.name if " " in self.name else f"app_{self.name.replace('-', '_')}"

    @property
    def secret(self) -> str:
        """The id of its secret, where it has one."""
        return f"arp/{self.name.lower().replace(' ', '-')}"

    @property
    def share(self) -> float:
        return _SHARES[self.number % len(_SHARES)]


def fleet(count: int = 15, *, pooler: bool = True) -> tuple[App, ...]:
    """`count` apps: of every fifteen, ten behind the pooler (by file where there is none), three by file, two with a secret."""
    files, hidden = _direct(count)
    apps = (App(n, _name(n), _path(n, count, files, hidden)) for n in range(count))
    return tuple(app if pooler or app.path is not Path.POOL else replace(app, path=Path.FILE) for app in apps)


def _direct(count: int) -> tuple[int, int]:
    return (round(count * _FILES / _OF), round(count * _SECRETS / _OF)) if count > 2 else (0, 0)


def _name(number: int) -> str:
    return _NAMES[number] if number < len(_NAMES) else f"service-{number + 1}"


def _path(number: int, count: int, files: int, hidden: int) -> Path:
    if number >= count - hidden:
        return Path.SECRET
    return Path.FILE if number >= count - hidden - files else Path.POOL


def rates(apps: tuple[App, ...], total: float) -> dict[str, float]:
    """Writes a second by app name, `total` in all."""
    whole = sum(app.share for app in apps) or 1.0
    return {app.name: total * app.share / whole for app in apps}
