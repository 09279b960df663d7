"""What a config and a scenario mean, as frozen values. `config.py` and `scenario.py` make them; everything else only reads them.

Durations are seconds (float), sizes are bytes (int). Secrets are `Secret`; nothing here is ever written to a file as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from cockpit.model.bill import phrase
from cockpit.model.checks import Checks, DbtSpec
from cockpit.model.secret import Secret
from cockpit.model.words import Side

NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach one server as one role."""

    host: str
    port: int
    database: str
    user: str
    password: Secret | None = None
    sslmode: str = "prefer"
    sslrootcert: str | None = None


@dataclass(frozen=True, slots=True)
class SideSpec:
    """One server of a pair: `control` is how the cockpit reaches it, `peer` how the other server's subscription reaches it."""

    control: Endpoint
    peer: Endpoint


@dataclass(frozen=True, slots=True)
class AppSpec:
    """One application: the role it logs in as, what it calls itself, and the channel that tells it where its database is."""

    name: str
    role: str
    channel: str
    application_name: str | None = None
    """Where several apps share a role, their `application_name` tells them apart."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One channel; `kind` names an entry point of group `cockpit.channels`, `options` is what that kind's own model accepted."""

    name: str
    kind: str
    options: Mapping[str, object] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class Waiver:
    """A preflight finding accepted by name, with a reason that is shown and recorded; `object` may be `*`."""

    check: str
    object: str
    reason: str


@dataclass(frozen=True, slots=True)
class PairSpec:
    """One database's blue and green with its apps and channels."""

    name: str
    """What the lead types to confirm; also the database's name on screen."""
    blue: SideSpec
    green: SideSpec
    apps: tuple[AppSpec, ...]
    channels: tuple[ChannelSpec, ...]
    exempt_roles: tuple[str, ...] = ()
    """Roles never fenced beside the cockpit's and the replication's own: monitoring, backups."""
    exclude_tables: tuple[str, ...] = ()
    """`schema.table` names that are not replicated and not compared, each shown as such."""
    sensitive_columns: tuple[str, ...] = ()
    """Patterns of `schema.table.column` (`*.*.email`) whose values are never shown."""
    waivers: tuple[Waiver, ...] = ()
    activity_feed: str | None = None
    """A JSON file that apps keep of their own counters (see docs/feeds.md); None where they offer none."""

    def is_sensitive(self, column: str) -> bool:
        """Whether the values of `schema.table.column` may not be shown."""
        return any(fnmatchcase(column, pattern) for pattern in self.sensitive_columns)

    def side(self, side: Side) -> SideSpec:
        return self.blue if side is Side.BLUE else self.green

    def channel(self, name: str) -> ChannelSpec:
        return next(c for c in self.channels if c.name == name)


@dataclass(frozen=True, slots=True)
class GateSpec:
    """A condition of a handover: which measurement, its limit, and for how long it must hold."""

    id: str
    title: str
    limit: float | None = None
    hold: float = 0.0


@dataclass(frozen=True, slots=True)
class StepSpec:
    """What a scenario says of one step: how long it is planned to take and how long it may."""

    id: str
    planned: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Budgets:
    downtime: float = 300.0
    rollback: float = 300.0
    rollback_target: float = 180.0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How a handover's direction is confirmed: `typed` the pair's name, or `keys` (two different keys)."""

    gesture: str = "typed"
    expires: float = 20.0
    """Seconds in which the lead must say it: from the arming, or from the approval."""
    approval: str = "none"
    """`second`: a second person must approve the armed handover first."""
    approval_expires: float = 900.0
    """Seconds in which the second person must."""

    @property
    def second(self) -> bool:
        return self.approval == "second"

    def words(self, pair: str, *, ungraceful: bool = False) -> str:
        """What it takes, as the plan says it."""
        gesture = f'type "{phrase(pair)}"' if ungraceful else f'type "{pair}"' if self.gesture == "typed" else "B, then Y"
        return f"a second person approves within {self.approval_expires:g} s, then {gesture}" if self.second else gesture


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the handover behaves inside its window; each with the default other systems of the field use."""

    pause_attempt: float = 2.0
    pause_attempts: int = 5
    terminate_blockers_after: int = 2
    """Pause attempts after which the named blockers are terminated."""
    long_transaction: float = 15.0
    sequence_stride: int = 1000
    verify_box: float = 1.0
    """Seconds the verification inside the window may take."""
    verify_required: bool = True
    """Whether a verification that ran out of its box aborts the handover (else it is recorded as unfinished)."""
    recon_duty: float = 0.10
    """Share of the time the background reconciliation may keep a server busy, 0..1."""
    stale_after: float = 2.0
    """Age in seconds after which a measurement is unknown."""


@dataclass(frozen=True, slots=True)
class DrillSpec:
    """What only a drill needs."""

    rows: int = 1_000_000
    apps: int = 15
    rate: float = 400.0
    soak: float = 5.0
    handovers: tuple[str, ...] = ("cutover", "rollback", "cutover")
    recon_duty: float | None = None
    """In place of the one in `Tuning`."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The procedure's parameters; the same digest in a drill and in the live run."""

    name: str
    title: str
    digest: str
    steps: Mapping[str, StepSpec]
    gates: tuple[GateSpec, ...]
    rollback_gates: tuple[GateSpec, ...]
    budgets: Budgets = Budgets()
    cutover_confirmation: Confirmation = Confirmation()
    rollback_confirmation: Confirmation = Confirmation(gesture="keys", expires=10.0)
    tuning: Tuning = Tuning()
    checks: Checks = field(default_factory=Checks)
    """What both sides must agree on beside their rows."""
    drill: DrillSpec = field(default_factory=DrillSpec)

    def on_rig(self) -> Scenario:
        """The same with what it sets for a drill alone."""
        duty = self.drill.recon_duty
        return self if duty is None else replace(self, tuning=replace(self.tuning, recon_duty=duty))


@dataclass(frozen=True, slots=True)
class Approvals:
    """Who may be the second person, by the names of this machine, and where its door is."""

    users: tuple[str, ...] = ()
    """`*` is every user but the one who asks."""
    group: str | None = None
    folder: str | None = None
    """None: the default folder of whoever flies."""


@dataclass(frozen=True, slots=True)
class Config:
    """One environment: the pairs and where runs are kept."""

    pairs: Mapping[str, PairSpec]
    runs: str
    digest: str
    """Over the file's text; secrets are references there, so the digest gives none away."""
    path: str = ""
    approvals: Approvals | None = None
    """None where nobody is named: a scenario that asks for a second person is then refused."""
    dbt: DbtSpec | None = None
    """A dbt project that is run for both sides."""
