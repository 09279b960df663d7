"""Gates: conditions read from the newest samples. Missing or stale data is `unknown`, and `unknown` holds.

Each gate is one function of the picture; `Gates` adds for how long each has held. Nothing here asks a system anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cockpit.model.settings import GateSpec, Tuning
from cockpit.model.state import RunState
from cockpit.model.telemetry import GateReading, LagSample
from cockpit.model.text import plain
from cockpit.model.words import Direction, Light, ProofState, Severity, Side, Verdict
from cockpit.timeline.follow import Latest


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a gate may look at."""

    now: float
    state: RunState
    latest: Latest
    tuning: Tuning
    shape_at_preflight: Mapping[Side, str] | None
    shape_now: Mapping[Side, str] | None
    shape_mono: float | None
    """When the schemas were last read."""
    guardian: str
    """Why there is no guardian; empty while there is one."""
    poolers: tuple[str, ...] = ()
    """Every pooler of the config: one that was never seen is unknown, not absent."""
    since: float = 0.0
    """When the newest window ended: what it turned and was measured before is unknown until it is measured again."""

    @property
    def serving(self) -> Side:
        return self.state.serving or Side.BLUE

    @property
    def direction(self) -> Direction:
        return Direction.away_from(self.serving)

    def recent(self, mono: float | None, grace: float = 1.0) -> bool:
        """Not too old."""
        return mono is not None and self.now - mono <= self.tuning.stale_after * grace

    def fresh(self, mono: float | None, grace: float = 1.0) -> bool:
        """Nor of a window that is over."""
        return mono is not None and mono > self.since and self.recent(mono, grace)

    def ago(self, mono: float) -> str:
        return f"{self.now - mono:.0f} s ago" if mono > self.since else "before the window ended"


@dataclass(frozen=True, slots=True)
class Read:
    light: Light
    reason: str
    query: str = ""


def _pass(reason: str) -> Read:
    return Read(Light.PASS, reason)


def _fail(reason: str, query: str = "") -> Read:
    return Read(Light.FAIL, reason, query)


def _unknown(reason: str, query: str = "") -> Read:
    return Read(Light.UNKNOWN, reason, query)


def _strict(limit: float | None) -> float:
    """A limit that was left out asks for the strictest."""
    return 0.0 if limit is None else limit


def _lag(picture: Picture) -> LagSample | Read:
    lag = picture.latest.lag
    if lag is None:
        return _unknown("not measured yet")
    if not picture.fresh(lag.mono):
        return _unknown(f"last measured {picture.ago(lag.mono)}", lag.query)
    if lag.error:
        return _unknown(lag.error, lag.query)
    if lag.origin is not picture.serving:
        return _unknown(f"measured from {lag.origin}, {picture.serving} serves")
    return lag


def lag_bytes(picture: Picture, limit: float | None) -> Read:
    lag = _lag(picture)
    if isinstance(lag, Read):
        return lag
    if lag.lag_bytes is None:
        return _unknown("no slot to measure by", lag.query)
    bound = _strict(limit)
    text = f"{lag.lag_bytes:,} B behind, limit {bound:,.0f} B"
    return _pass(text) if lag.lag_bytes <= bound else _fail(text, lag.query)


def lag_seconds(picture: Picture, limit: float | None) -> Read:
    lag = _lag(picture)
    if isinstance(lag, Read):
        return lag
    if lag.lag_s is None:
        return _unknown("no heartbeat has arrived", lag.query)
    bound = _strict(limit)
    text = f"{lag.lag_s:.1f} s behind, limit {bound:g} s"
    return _pass(text) if lag.lag_s <= bound else _fail(text, lag.query)


def tables_ready(picture: Picture, limit: float | None) -> Read:
    lag = _lag(picture)
    if isinstance(lag, Read):
        return lag
    if lag.tables_total == 0:
        return _unknown("no table is subscribed", lag.query)
    text = f"{lag.tables_ready} of {lag.tables_total} tables ready"
    names = ", ".join(f"{t.table} ({t.state})" for t in lag.not_ready[:3])
    return _pass(text) if lag.tables_ready == lag.tables_total else _fail(f"{text}: {names}", lag.query)


def slot(picture: Picture, limit: float | None) -> Read:
    lag = _lag(picture)
    if isinstance(lag, Read):
        return lag
    text = f"slot {lag.slot_state}, sender {lag.sender}, worker {lag.worker}"
    healthy = lag.slot_state == "active" and lag.worker == "running" and lag.sender == "streaming"
    return _pass(text) if healthy else _fail(text, lag.query)


def apply_errors(picture: Picture, limit: float | None) -> Read:
    lag = _lag(picture)
    if isinstance(lag, Read):
        return lag
    if lag.apply_errors is None:
        return _pass("not counted on this version; the lag gates watch instead")
    text = f"{lag.apply_errors} apply errors of late"
    return _pass(text) if lag.apply_errors <= _strict(limit) else _fail(text, "SELECT * FROM pg_stat_subscription_stats")


def reverse(picture: Picture, limit: float | None) -> Read:
    lag = _lag(picture)
    if isinstance(lag, Read):
        return lag
    if lag.reverse_armed is None:
        return _unknown("the way back was not looked at")
    if lag.reverse_missing:
        return _fail(f"the way back does not carry {', '.join(lag.reverse_missing[:3])}: arming adds it")
    return _pass("the way back is armed") if lag.reverse_armed else _fail("the way back is not armed: arming makes it")


def long_transactions(picture: Picture, limit: float | None) -> Read:
    server = picture.latest.servers.get(picture.serving)
    query = "SELECT pid, usename, now() - xact_start FROM pg_stat_activity WHERE xact_start < now() - interval '15 s'"
    if server is None or not picture.fresh(server.mono, 2) or not server.up:
        return _unknown(f"{picture.serving} is not read", query)
    bound = _strict(limit)
    oldest = server.oldest_xact_s or 0.0
    text = f"oldest transaction {oldest:.1f} s, limit {bound:g} s"
    return _pass(text) if oldest <= bound else _fail(text, query)


def prepared(picture: Picture, limit: float | None) -> Read:
    server = picture.latest.servers.get(picture.serving)
    query = "SELECT gid, owner, prepared FROM pg_prepared_xacts WHERE database = current_database()"
    if server is None or not picture.fresh(server.mono, 2) or server.prepared is None:
        return _unknown(f"{picture.serving} is not read", query)
    return _pass("no prepared transaction") if server.prepared == 0 else _fail(f"{server.prepared} prepared transactions", query)


def poolers(picture: Picture, limit: float | None) -> Read:
    reads = [_pooler(picture, name) for name in sorted(picture.poolers)]
    wrong = next((read for light in (Light.FAIL, Light.UNKNOWN) for read in reads if read.light is light), None)
    return wrong or _pass(f"{len(reads)} poolers lead to {picture.serving}" if reads else "the pair has no pooler")


def _pooler(picture: Picture, name: str) -> Read:
    pooler = picture.latest.poolers.get(name)
    query = "SHOW DATABASES"
    if pooler is None:
        return _unknown(f"{name}: not seen yet", query)
    if not picture.fresh(pooler.mono, 2):
        return _unknown(f"{name}: last seen {picture.ago(pooler.mono)}", query)
    if not pooler.up:
        return _fail(f"{name}: {pooler.error or 'does not answer'}", query)
    if pooler.paused is None:
        return _unknown(f"{name}: does not say whether it is paused", query)
    if pooler.paused:
        return _fail(f"{name} is paused", query)
    if pooler.routes_to is not picture.serving:
        return _fail(f"{name} leads to {pooler.routes_to or 'neither side'}, {picture.serving} serves", query)
    return _pass(f"{name} leads to {picture.serving}")


def census(picture: Picture, limit: float | None) -> Read:
    routing = picture.latest.routing
    if routing is None or not picture.fresh(routing.mono, 2):
        return _unknown("the sessions are not read", routing.query if routing else "")
    strange = [r for r in routing.apps if r.verdict in {Verdict.STRANGER, Verdict.STRAGGLER, Verdict.DUAL}]
    if strange:
        return _fail(f"{strange[0].app}: {strange[0].verdict}, {strange[0].cause}", routing.query)
    blind = [r for r in routing.apps if r.verdict is Verdict.UNKNOWN]
    if blind:
        return _unknown(f"{blind[0].app}: {blind[0].cause}", routing.query)
    return _pass(f"{len(routing.apps)} apps where they should be")


def recon(picture: Picture, limit: float | None) -> Read:
    sample = picture.latest.recon
    if sample is None or not picture.recent(sample.mono, 5):
        return _unknown("reconciliation is not running")
    if sample.differences:
        return _fail(_differing(picture, sample.differences))
    needed = limit if limit is not None else 1.0
    # Of no rows all are proven, once every table is: a new database can be handed over too.
    none = float(sample.tables_equal == sample.tables_total > 0)
    share = sample.proven_rows / sample.all_rows if sample.all_rows else none
    text = f"{sample.tables_equal} of {sample.tables_total} tables equal, {share:.1%} of the rows proven"
    return _pass(text) if share >= needed else _fail(f"{text}, {needed:.1%} needed")


def _differing(picture: Picture, rows: int) -> str:
    """`2038 rows differ in 1 table: public.orders; cockpit repair RUN`."""
    proofs = [proof for proof in picture.latest.tables.values() if proof.state is ProofState.DIFFERS]
    tables = sorted(plain(proof.table, 100) for proof in proofs)
    least = "at least " if any(proof.reason.startswith("at least ") for proof in proofs) else ""
    named = ", ".join(tables[:3]) + (f" and {len(tables) - 3} more" if len(tables) > 3 else "")
    where = f" in {len(tables)} table{'s' * (len(tables) != 1)}: {named}" if tables else ""
    repair = f"; cockpit repair {picture.state.run}" if picture.state.run else "; cockpit repair"
    return f"{least}{rows} row{'s differ' if rows != 1 else ' differs'}{where}{repair}"


def freeze_cost(picture: Picture, limit: float | None) -> Read:
    sample = picture.latest.recon
    if sample is None or not picture.recent(sample.mono, 5) or sample.freeze_cost_s is None:
        return _unknown("the cost of the proof inside the window is not known yet")
    bound = _strict(limit)
    text = f"the proof inside the window will take {sample.freeze_cost_s:.2f} s, limit {bound:g} s"
    return _pass(text) if sample.freeze_cost_s <= bound else _fail(text)


SCHEMA_QUERY = (
    "SELECT oid::regclass, age(xmin) AS transactions_ago FROM pg_class WHERE oid >= 16384"
    " UNION ALL SELECT seqrelid::regclass, age(xmin) FROM pg_sequence ORDER BY 2 LIMIT 10"
)
"""Shows what was changed last."""


SEQUENCE_QUERY = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"


def changed_sides(then: Mapping[Side, str], now: Mapping[Side, str]) -> str:
    """The sides whose schema is another, in words; empty when none is."""
    return " and ".join(side for side in Side if then.get(side) != now.get(side))


def schema(picture: Picture, limit: float | None) -> Read:
    if picture.shape_now is None or picture.shape_at_preflight is None or picture.shape_mono is None:
        return _unknown("the schemas were not read yet")
    changed = changed_sides(picture.shape_at_preflight, picture.shape_now)
    if changed:
        return _fail(f"the schema of {changed} changed since the preflight: run it again (r)", SCHEMA_QUERY)
    server = picture.latest.servers.get(picture.serving)
    if server is not None and server.set_back:
        return _fail(f"a sequence of {picture.serving} was set back: {server.set_back[0]}", SEQUENCE_QUERY)
    if not picture.recent(picture.shape_mono, 3):
        return _unknown(f"the schemas were last read {picture.now - picture.shape_mono:.0f} s ago", SCHEMA_QUERY)
    return _pass("unchanged since the preflight")


FENCE_QUERY = "SELECT setconfig FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase WHERE datname = current_database()"


def target_fenced(picture: Picture, limit: float | None) -> Read:
    server = picture.latest.servers.get(picture.serving.other)
    if server is None or not picture.fresh(server.mono, 2) or server.fenced is None:
        return _unknown(f"{picture.serving.other} is not read", FENCE_QUERY)
    if not server.fenced:
        return _fail(f"{picture.serving.other} is not fenced: arming fences it", FENCE_QUERY)
    return _pass(f"{picture.serving.other} is fenced")


def preflight(picture: Picture, limit: float | None) -> Read:
    if picture.shape_at_preflight is None:
        return _unknown("not run yet")
    blocks = [f for f in picture.state.findings if f.severity is Severity.BLOCK and not f.waived]
    if blocks:
        first = blocks[0]
        return _fail(f"{len(blocks)} findings block; {first.check} {first.object}: {first.seen}", first.query)
    warnings = sum(f.severity is Severity.WARN for f in picture.state.findings)
    return _pass(f"no finding blocks, {warnings} warn")


def guardian(picture: Picture, limit: float | None) -> Read:
    return _fail(picture.guardian) if picture.guardian else _pass("watches")


GATES: dict[str, Callable[[Picture, float | None], Read]] = {
    "lag_bytes": lag_bytes,
    "lag_seconds": lag_seconds,
    "tables_ready": tables_ready,
    "slot": slot,
    "apply_errors": apply_errors,
    "reverse": reverse,
    "long_transactions": long_transactions,
    "prepared": prepared,
    "poolers": poolers,
    "census": census,
    "recon": recon,
    "freeze_cost": freeze_cost,
    "schema": schema,
    "target_fenced": target_fenced,
    "preflight": preflight,
    "guardian": guardian,
}


class Gates:
    """Reads every gate of a direction and remembers since when each shows what it shows."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[Light, float]] = {}

    def read(self, specs: Sequence[GateSpec], picture: Picture) -> tuple[GateReading, ...]:
        """The readings now, in the scenario's order."""
        return tuple(self._one(spec, picture) for spec in specs)

    def _one(self, spec: GateSpec, picture: Picture) -> GateReading:
        read = GATES[spec.id](picture, spec.limit)
        light, since = self._since.get(spec.id, (None, picture.now))
        if light is not read.light:
            since = picture.now
            self._since[spec.id] = (read.light, since)
        held = picture.now - since if read.light is Light.PASS else 0.0
        return GateReading(spec.id, spec.title, read.light, read.reason, read.query, since, held, spec.hold)


def aged(readings: Sequence[GateReading], read_at: float, now: float, stale_after: float) -> tuple[GateReading, ...]:
    """The readings as they count now: those that were read too long ago know nothing."""
    age = now - read_at
    if age <= stale_after:
        return tuple(readings)
    return tuple(replace(r, light=Light.UNKNOWN, reason=f"last read {age:.0f} s ago", held_s=0.0) for r in readings)


UNREAD = GateReading("gates", "the gates are read", Light.UNKNOWN, "no gate was read yet", "", 0.0)


def not_held(readings: Sequence[GateReading]) -> GateReading | None:
    """The first gate that does not pass or has not held long enough; None when all hold. No reading at all holds nothing."""
    if not readings:
        return UNREAD
    return next((r for r in readings if r.light is not Light.PASS or r.held_s < r.hold_s), None)


def turned(readings: Sequence[GateReading]) -> GateReading | None:
    """The first gate that does not pass; None when all pass. No reading at all passes nothing."""
    if not readings:
        return UNREAD
    return next((r for r in readings if r.light is not Light.PASS), None)
