"""A config that is right, and a way to write it wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from cockpit.config import Mistakes, load_config
from cockpit.model.secret import Secret
from cockpit.model.settings import Config
from cockpit.systems import kinds

GOOD = """\
[cockpit]
runs = "runs"

[pairs.arp]
exempt_roles = ["monitoring"]

[pairs.arp.blue]
host = "blue.example"
database = "arp"
user = "cockpit"
password = "env:BLUE"

[pairs.arp.blue.peer]
user = "replication"
password = "file:peer.secret"

[pairs.arp.green]
host = "green.example"
port = 5433
database = "arp"
user = "cockpit"

[[pairs.arp.channels]]
name = "pool"
kind = "gate"
admin = "env:POOL"
hosts = ["a", "b"]

[[pairs.arp.apps]]
name = "orders"
role = "app_orders"
channel = "pool"

[[pairs.arp.apps]]
name = "billing"
role = "app_billing"
channel = "pool"
"""
ENVIRON = {"BLUE": "blue-secret", "POOL": "pool-secret"}


class GateOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    admin: Secret
    hosts: tuple[str, ...] = ()
    window: float = 1.0
    file: Path | None = None


def _made(*_: object) -> object:
    raise AssertionError("loading a config makes no channel")


@pytest.fixture(autouse=True)
def a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel kind `gate` beside the installed ones, as another package would bring it."""
    installed = kinds.load
    own = kinds.Kind(GateOptions, _made, pooler=True)  # type: ignore[arg-type]
    monkeypatch.setattr(kinds, "load", lambda name: own if name == "gate" else installed(name))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a config with a private secret file beside it."""
    secret = tmp_path / "peer.secret"
    secret.write_text("peer-secret\n")
    secret.chmod(0o600)

    def to(text: str) -> Path:
        path = tmp_path / "my.toml"
        path.write_text(text)
        return path

    return to


@pytest.fixture
def load(write: Callable[[str], Path]) -> Callable[[str], Config]:
    return lambda text: load_config(write(text), ENVIRON)


@pytest.fixture
def mistakes(write: Callable[[str], Path]) -> Callable[..., tuple[str, ...]]:
    """What is wrong with a config, each without the file's folder."""

    def of(text: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
        path = write(text)
        with pytest.raises(Mistakes) as caught:
            load_config(path, ENVIRON if environ is None else environ)
        assert caught.value.exit_code == 2
        assert str(caught.value) == "\n".join(caught.value.mistakes)
        return tuple(line.removeprefix(f"{path.parent}/") for line in caught.value.mistakes)

    return of
