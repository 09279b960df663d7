"""What is measured several times a second: samples. They go to the samples file, newest wins, and are never part of the chain.

Every sample says when it was true (`mono`, seconds of the pilot's monotonic clock) so that a reader can show its age.
Names that come from outside are already `plain`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.model.words import Exactness, Light, ProofState, Side, Verdict


@dataclass(frozen=True, slots=True)
class TableSync:
    """A table that is not in state `r` (ready) in the subscription."""

    table: str
    state: str
    """`i` initialise, `d` data copy, `f` finished copy, `s` synchronised, or `missing`."""


@dataclass(frozen=True, slots=True)
class LagSample:
    """Replication from `origin` to `target`. A figure that could not be had is None, never 0."""

    mono: float
    origin: Side
    target: Side
    lag_bytes: int | None
    """pg_current_wal_lsn() of the origin minus the slot's confirmed_flush_lsn."""
    lag_s: float | None
    """Age of the newest heartbeat of the origin that the target shows."""
    apply_bytes_s: float | None
    forecast_s: float | None
    """Seconds until `lag_bytes` is under the gate's limit at the present rate; 0 when it is; None when it will never be."""
    slot: str
    slot_state: str
    """`active`, `inactive`, `missing`, `lost`, `unreserved`."""
    retained_bytes: int | None
    sender: str
    """`streaming`, `catchup`, `startup`, `missing`."""
    worker: str
    """`running`, `disabled`, `missing`."""
    last_message_age_s: float | None
    apply_errors: int | None
    """Of the last half minute: what failed once and went on holds no gate for ever."""
    tables_ready: int
    tables_total: int
    not_ready: tuple[TableSync, ...] = ()
    worst_table: str | None = None
    worst_behind: int | None = None
    """Row changes counted on the origin and not yet on the target, for the table that is furthest behind."""
    reverse_armed: bool | None = None
    """The other direction's slot, worker and canary are in order, and it carries every table."""
    reverse_missing: tuple[str, ...] = ()
    """Tables that the other direction does not carry."""
    error: str = ""
    query: str = ""
    """The statement that shows `error`, or the lag."""

    @property
    def not_set_up(self) -> bool:
        """Nothing of either direction is there: what a pair looks like that was never armed."""
        return (self.slot_state, self.worker, self.tables_ready, self.reverse_armed) == ("missing", "missing", 0, False)


@dataclass(frozen=True, slots=True)
class AppRoute:
    """One app: where its channel says it goes, where its sessions are."""

    app: str
    channel: str
    intended: Side | None
    blue: int | None
    green: int | None
    writes_s: float | None
    verdict: Verdict
    cause: str = ""
    oldest_xact_s: float | None = None


@dataclass(frozen=True, slots=True)
class RoutingSample:
    mono: float
    apps: tuple[AppRoute, ...]
    query: str = ""


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """One column of a row, as both sides print it; None where the row is not there or the value is NULL."""

    column: str
    blue: str | None
    green: str | None
    masked: bool = False
    """The config calls the column sensitive: its values are told by nobody."""


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is confirmed to differ."""

    key: str
    """`id=7`."""
    how: str
    """`missing on green`, `only on green`, `differs`."""
    columns: tuple[ColumnDifference, ...] = ()
    """Those that differ; of a row that is on one side only, none."""


@dataclass(frozen=True, slots=True)
class TableProof:
    """One table's standing. Counts are None until read; `mono` is when it was last proven (None: never)."""

    table: str
    rows_blue: int | None
    rows_green: int | None
    state: ProofState
    exactness: Exactness
    coverage: float
    """Share of the rows proven, 0..1."""
    mono: float | None = None
    reason: str = ""
    query: str = ""
    owed: bool = True
    """False where no proof is owed: excluded tables, and those whose rows are not replicated."""
    rows: tuple[RowDifference, ...] = ()
    """The first of the rows that are confirmed to differ."""


@dataclass(frozen=True, slots=True)
class ReconSample:
    """The headline and the tables that changed since the last sample: a reader keeps the newest of each table."""

    mono: float
    proven_rows: int
    all_rows: int
    tables_equal: int
    tables_total: int
    dirty_keys: int | None
    differences: int
    oldest_mono: float | None
    freeze_cost_s: float | None
    """Predicted seconds of the verification inside the window; None while unknown."""
    duty: float
    tables: tuple[TableProof, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServerSample:
    """One server's own standing."""

    mono: float
    side: Side
    up: bool
    version: str
    fenced: bool | None
    app_sessions: int | None
    oldest_xact_s: float | None
    prepared: int | None
    error: str = ""
    set_back: tuple[str, ...] = ()
    """Sequences that stand behind where they were seen: `billing.voucher_no stood at 700, stands at 200`."""


@dataclass(frozen=True, slots=True)
class PoolerSample:
    """One pooler instance."""

    mono: float
    pooler: str
    up: bool
    paused: bool | None
    routes_to: Side | None
    clients: int | None
    waiting: int | None
    pool_mode: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class GateReading:
    """A gate right now; `since_mono` is when it last turned."""

    id: str
    title: str
    light: Light
    reason: str
    """Why it is not `pass`, or the figure that passes."""
    query: str
    since_mono: float
    held_s: float = 0.0
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GatesSample:
    mono: float
    gates: tuple[GateReading, ...]


@dataclass(frozen=True, slots=True)
class Share:
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ReadinessSample:
    """ "Going back now would take N s": what it is made of, or why it cannot be done."""

    mono: float
    seconds: float | None
    shares: tuple[Share, ...] = ()
    blocked_by: str = ""
    unproven: str = ""
    """What such a rollback would not have proven equal; empty when nothing."""


@dataclass(frozen=True, slots=True)
class PulseSample:
    """The pilot is alive: twice a second."""

    mono: float
    pid: int
    seq: int


Sample = LagSample | RoutingSample | ReconSample | ServerSample | PoolerSample | GatesSample | ReadinessSample | PulseSample

SAMPLES: dict[str, type] = {
    "lag": LagSample,
    "routing": RoutingSample,
    "recon": ReconSample,
    "server": ServerSample,
    "pooler": PoolerSample,
    "gates": GatesSample,
    "readiness": ReadinessSample,
    "pulse": PulseSample,
}
SAMPLE_KINDS: dict[type, str] = {cls: kind for kind, cls in SAMPLES.items()}
