"""Business checks: what a scenario and a config ask for, and what came out, as frozen values.

A check proves nothing by not failing: a result is `equal`, `within` a tolerance that was named, `differs`, `hot` (it moved faster than
both sides can be read at one moment) or `failed` with its reason; what was not read is never equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from cockpit.model.secret import Secret
from cockpit.model.words import Side

NO_TOLERANCE: Mapping[str, Decimal] = MappingProxyType({})
NO_ENV: Mapping[str, Secret] = MappingProxyType({})
NO_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType({})

Literal = Decimal | str | bool | None
"""A value that a spot check names."""


# --- what is asked for --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metric:
    """Totals that both sides must give: `sql` is one SELECT, `key` its key columns, every other column a measure."""

    name: str
    sql: str
    key: tuple[str, ...] = ()
    tolerance: Mapping[str, Decimal] = field(default_factory=lambda: NO_TOLERANCE)
    """By measure, the absolute difference that is accepted; a measure that is not named must be equal."""
    title: str = ""
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Spot:
    """One question with one answer: both sides' rows are the same, and with `expect` they are those rows."""

    name: str
    sql: str
    expect: tuple[tuple[Literal, ...], ...] | None = None
    title: str = ""
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Checks:
    metrics: tuple[Metric, ...] = ()
    spots: tuple[Spot, ...] = ()


@dataclass(frozen=True, slots=True)
class DbtTarget:
    """Where one side's run of the project goes; the profile is the project's own where none is named."""

    target: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Warehouse:
    """Both sides are schemas of one database: their relations are compared too; `relations` names some, else all are."""

    blue: str
    green: str
    relations: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: NO_KEYS)
    """By relation, the columns that name a row; for one that is not named here the warehouse or the project says."""

    def schema(self, side: Side) -> str:
        return self.blue if side is Side.BLUE else self.green


@dataclass(frozen=True, slots=True)
class DbtSpec:
    """A dbt project of the user's, run for both sides. Paths are whole."""

    project: str
    profiles: str
    blue: DbtTarget
    green: DbtTarget
    select: tuple[str, ...] = ()
    commands: tuple[str, ...] = ("test",)
    timeout: float = 900.0
    """Seconds for everything dbt does here, on both sides."""
    at_once: bool = True
    program: str | None = None
    """The dbt to run; None: the one installed beside the cockpit, else the one on the PATH."""
    env: Mapping[str, Secret] = field(default_factory=lambda: NO_ENV)
    warehouse: Warehouse | None = None
    pair: str | None = None
    """Whose checks these are, where the config has several pairs."""

    def target(self, side: Side) -> DbtTarget:
        return self.blue if side is Side.BLUE else self.green


# --- what came out ------------------------------------------------------------------------


class CheckVerdict(StrEnum):
    EQUAL = "equal"
    WITHIN = "within"
    DIFFERS = "differs"
    HOT = "hot"
    FAILED = "failed"


class Outcome(StrEnum):
    """What a set of checks amounts to. A difference outweighs what was not proven, and that outweighs what was."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_PROVEN = "not proven"

    @property
    def exit_code(self) -> int:
        """0 where both sides are equal (or within what was named), 1 where they differ, 3 where that is not proven."""
        return {Outcome.EQUAL: 0, Outcome.DIFFERENT: 1, Outcome.NOT_PROVEN: 3}[self]

    @staticmethod
    def of(parts: list[Outcome]) -> Outcome:
        """Of several; nothing at all proves nothing."""
        if Outcome.DIFFERENT in parts:
            return Outcome.DIFFERENT
        return Outcome.EQUAL if parts and set(parts) == {Outcome.EQUAL} else Outcome.NOT_PROVEN


@dataclass(frozen=True, slots=True)
class Difference:
    """One key and what each side holds of it, as text that is safe to show; `absent` where there is no such row."""

    key: str
    blue: str
    green: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A metric or a spot check after it was read. `differing` names at most the first of `differing_keys`."""

    name: str
    kind: str
    """`metric` or `spot`."""
    verdict: CheckVerdict
    query: str
    title: str = ""
    reason: str = ""
    """Why it failed or is hot, or what it is within."""
    notes: tuple[str, ...] = ()
    differing: tuple[Difference, ...] = ()
    differing_keys: int = 0
    rows: int = 0
    """Rows that were compared, of the side that has more."""
    groups: int = 0
    """Keys that were compared, of both sides."""
    looks: int = 1
    """How often both sides were read."""
    seconds: float = 0.0

    @property
    def outcome(self) -> Outcome:
        if self.verdict in {CheckVerdict.EQUAL, CheckVerdict.WITHIN}:
            return Outcome.EQUAL
        return Outcome.DIFFERENT if self.verdict is CheckVerdict.DIFFERS else Outcome.NOT_PROVEN


@dataclass(frozen=True, slots=True)
class CheckResults:
    results: tuple[CheckResult, ...]

    @property
    def outcome(self) -> Outcome:
        return Outcome.of([result.outcome for result in self.results])


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """Check `number` of `total` is being read, or with a verdict: was."""

    number: int
    total: int
    name: str
    verdict: CheckVerdict | None = None


class NodeVerdict(StrEnum):
    """What one node of the project says when it is run for both sides."""

    SAME = "same"
    FAILS_ON_BOTH = "fails on both"
    DIFFERS = "differs"
    UNPROVEN = "unproven"
    """Skipped, or ended by an error, on a side: nothing was tested there."""


@dataclass(frozen=True, slots=True)
class NodeRun:
    """A node on one side, as dbt reports it."""

    status: str
    failures: int | None = None
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """A test or a model of the project on both sides; None where that side did not run it."""

    name: str
    kind: str
    blue: NodeRun | None
    green: NodeRun | None
    verdict: NodeVerdict

    @property
    def outcome(self) -> Outcome:
        if self.verdict is NodeVerdict.DIFFERS:
            return Outcome.DIFFERENT
        return Outcome.NOT_PROVEN if self.verdict is NodeVerdict.UNPROVEN else Outcome.EQUAL


@dataclass(frozen=True, slots=True)
class DifferingRow:
    """A key whose rows are not the same in both schemas, as text that is safe to show."""

    key: str
    status: str
    """`modified`, `only_a` or `only_b`."""
    columns: tuple[str, ...] = ()
    """Those that differ, where both have the key."""


@dataclass(frozen=True, slots=True)
class RelationResult:
    """A relation of both schemas: `identical` and `modified` are rows with the same key (without a key nothing is modified: a row is
    there or it is not). What `failed` says nothing of was compared whole, in the columns that both have."""

    name: str
    in_a: int = 0
    in_b: int = 0
    identical: int = 0
    modified: int = 0
    only_a: int = 0
    only_b: int = 0
    key: tuple[str, ...] = ()
    differing: tuple[DifferingRow, ...] = ()
    """The first of the `differing_keys` keys that differ, in order."""
    differing_keys: int = 0
    differing_columns: Mapping[str, int] = field(default_factory=dict)
    """By column, the number of keys of both schemas in which it differs."""
    columns: str = ""
    """How the columns differ between the schemas; empty where they do not."""
    rung: str = ""
    """The last rung of the ladder that was climbed: `hash` where that proved it equal, else `sample`."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By rung, how long its statement took, in the order they were climbed."""
    failed: str = ""

    @property
    def percent(self) -> float:
        """The share of all rows of both schemas that are identical; 100 only where all are."""
        rows = self.identical + self.modified + self.only_a + self.only_b
        share = 100.0 * self.identical / rows if rows else 100.0
        return share if self.identical == rows else min(share, 99.99)

    @property
    def outcome(self) -> Outcome:
        if self.columns or self.modified or self.only_a or self.only_b:
            return Outcome.DIFFERENT
        return Outcome.NOT_PROVEN if self.failed else Outcome.EQUAL


@dataclass(frozen=True, slots=True)
class DbtResult:
    """`failed` says why a run did not come to its end: of which side, and what to do."""

    nodes: tuple[NodeResult, ...] = ()
    relations: tuple[RelationResult, ...] = ()
    failed: tuple[str, ...] = ()
    seconds: Mapping[Side, float] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        parts = [node.outcome for node in self.nodes] + [relation.outcome for relation in self.relations]
        return Outcome.of([*parts, *(Outcome.NOT_PROVEN for _ in self.failed)])


@dataclass(frozen=True, slots=True)
class DbtProgress:
    """Node `number` of `total` of the running command ended, or began where `status` is `started`. `side` is None for the relations:
    there `status` is the rung that was climbed, or `read` at the end."""

    side: Side | None
    command: str
    number: int
    total: int
    node: str
    status: str
    seconds: float = 0.0
