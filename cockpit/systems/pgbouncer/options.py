"""What a config says of one PgBouncer instance."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from cockpit.model.secret import Secret
from cockpit.systems.replacing import ConfigPath


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Admin(Strict):
    """The console: a user of `admin_users`."""

    host: str
    port: int = Field(default=6432, ge=1, le=65535)
    user: str
    password: Secret | None = None
    sslmode: str = "prefer"
    sslrootcert: str | None = None


class Address(Strict):
    """A server as the pooler reaches it."""

    host: str
    port: int = Field(default=5432, ge=1, le=65535)


class Alias(Strict):
    """A second entry of the databases file that only the cockpit uses: it shows which server answers through the pooler.

    Without `user` the serving side's control login is used; the pooler has to know that user.
    """

    name: str = "cockpit_probe"
    user: str | None = None
    password: Secret | None = None
    blue: str | None = None
    """An entry that always leads to blue: preflight proves by it that the pooler's logins reach blue while it does not serve."""
    green: str | None = None


class Options(Strict):
    """`database` is the entry that the apps use (without it: the pair's database), in the file `databases_file`, which the
    pooler's configuration includes (`%include`). Durations are seconds."""

    admin: Admin
    databases_file: ConfigPath
    database: str | None = None
    blue: Address | None = None
    green: Address | None = None
    probe: Alias | None = None
    deadline: float = Field(default=3.0, gt=0)
    """For every call but the attempt to pause, which is the scenario's `pause_attempt`."""
