"""A run that never was: a whole handover and its way back, as events and samples on a clock of its own.

`Story` is played up to any second; the screen sees it as it would see a followed run. `python -m tests.screen.demo` shows it live.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cockpit.model import events as ev
from cockpit.model.bill import Bill
from cockpit.model.checks import CheckVerdict
from cockpit.model.checks import Difference as Unequal
from cockpit.model.intents import Ask, Intent, refusal
from cockpit.model.parity import Difference, NotCarried, Weight
from cockpit.model.plan import Statement
from cockpit.model.state import EMPTY, RunState, fold
from cockpit.model.telemetry import (
    AppRoute,
    GateReading,
    GatesSample,
    LagSample,
    PoolerSample,
    PulseSample,
    ReadinessSample,
    ReconSample,
    RoutingSample,
    Sample,
    ServerSample,
    Share,
    TableProof,
    TableSync,
)
from cockpit.model.words import Direction, Exactness, Light, Mode, Outcome, ProofState, Severity, Side, Verdict
from cockpit.timeline.follow import Latest
from cockpit.timeline.wire import Reply

START = datetime(2026, 3, 14, 14, 30, tzinfo=UTC)
ORIGIN = 1000.0
"""The demo's monotonic clock at its first second."""

STEPS = (
    ("arm", "the way back is tested, channels are staged", 1.0, False, 0.412),
    ("gates", "every gate holds for its time", 5.0, False, 5.031),
    ("confirm", "the lead types the pair's name", 5.0, False, 3.870),
    ("pause", "all poolers pause", 0.02, True, 0.009),
    ("fence", "no app role can write on blue", 0.01, True, 0.006),
    ("quiesce", "no app session is left that could commit", 0.02, True, 0.014),
    ("drain", "green has applied everything", 0.02, True, 0.011),
    ("verify", "rows changed since they were last proven", 0.03, True, 0.013),
    ("sequences", "green continues beyond every value", 0.01, True, 0.007),
    ("reverse", "green's changes flow to blue", 0.01, True, 0.003),
    ("route", "every channel points to green", 0.02, True, 0.012),
    ("resume", "the poolers serve from green", 0.01, True, 0.006),
    ("mirror", "blue mirrors green", 0.05, False, 0.018),
    ("prove", "every app is seen on green, none on blue", 2.0, False, 1.204),
)
APPS = (
    ("catalog", "pgbouncer", 12, 41.0), ("billing", "pgbouncer", 9, 33.2), ("checkout", "pgbouncer", 14, 62.5), ("search", "pgbouncer", 8, 4.1),
    ("cart", "pgbouncer", 11, 58.0), ("auth", "pgbouncer", 9, 22.0), ("ledger", "pgbouncer", 6, 30.7), ("notify", "pgbouncer", 5, 18.3),
    ("pricing", "pgbouncer", 7, 12.9), ("mobile-bff", "pgbouncer", 16, 40.2), ("reports", "file", 3, 1.2), ("exports", "file", 2, 0.4),
    ("shipping", "file", 4, 25.0), ("fraud", "aws-secret", 4, 31.5), ("admin", "aws-secret", 2, 0.8),
)  # fmt: skip
TABLES = tuple(
    f"{schema}.{name}"
    for schema, names in (
        ("sales", ["orders", "order_items", "carts", "cart_items", "coupons", "refunds", "payments", "invoices", "customers", "addresses"]),
        ("catalog", ["products", "prices", "stock", "reviews", "categories", "images", "suppliers", "brands", "tags", "variants"]),
        ("ops", ["audit_log", "sessions", "jobs", "events_2026_01", "events_2026_02", "events_2026_03", "Mixed Case", "weird-name"]),
        ("ledger", ["accounts", "entries", "balances", "periods", "fx_rates", "postings"]),
        ("hr", ["people", "teams", "shifts", "absences"]),
        ("geo", ["places", "zones"]),
    )
    for name in names
)
QUERY = "select pid, usename, state from pg_stat_activity where datname = 'arp' and backend_type = 'client backend'"


@dataclass
class Story:
    """Facts and samples in their order, each with its second; `play(until)` folds what has happened by then."""

    state: RunState = EMPTY
    latest: Latest = field(default_factory=Latest)
    damage: str = ""
    behind: bool = False
    seconds: float = 0.0
    frozen: bool = True
    clock: Callable[[], float] = time.monotonic
    _began: float = 0.0
    _script: list[tuple[float, ev.Fact | Sample]] = field(default_factory=list)
    _seq: int = 0
    _news: bool = False
    """Something happened since the last poll."""

    def now(self) -> float:
        return ORIGIN + self.seconds

    @property
    def more(self) -> bool:
        return self.behind

    def poll(self) -> bool:
        news, self._news = self._news, False
        if not self.frozen:
            if not self._began:
                self._began = self.clock() - self.seconds
            news = self.play(self.clock() - self._began) or news
        return news

    def play(self, until: float) -> bool:
        """Everything up to second `until` has happened."""
        self.seconds = until
        changed = False
        while self._script and self._script[0][0] <= until:
            at, thing = self._script.pop(0)
            changed = True
            self.take(thing, at)
        return changed

    def take(self, thing: ev.Fact | Sample, at: float | None = None) -> None:
        """`thing` happens at second `at`."""
        at, self._news = self.seconds if at is None else at, True
        if type(thing) in ev.FACT_KINDS:
            self._seq += 1
            wall = (START + timedelta(seconds=at)).isoformat(timespec="microseconds").replace("+00:00", "Z")
            self.state = fold(self.state, ev.Event(self._seq, wall, ORIGIN + at, "pilot", thing))  # type: ignore[arg-type]
        else:
            self.latest.take(thing)  # type: ignore[arg-type]


def story(until: float = 0.0, *, play: bool = True) -> Story:
    """The whole script, played up to second `until`."""
    made = Story()
    made._script = sorted([*_samples(), *_facts()], key=lambda item: item[0])
    if play:
        made.play(until)
    return made


READY, ARMING, ARMED, WINDOW, SOAK, BACK = 30.0, 42.0, 48.5, 50.05, 75.0, 96.0
"""Seconds at which the story is at its moments. WINDOW is in the verification; BACK is a rollback waiting for `prove`."""
CUTOVER_AT, ROLLBACK_AT = 40.0, 90.0


def _facts() -> Iterator[tuple[float, ev.Fact]]:
    lines = tuple(ev.PlannedLine(i, t, p, w) for i, t, p, w, _ in STEPS)
    back = tuple(
        ev.PlannedLine(i, t.replace("green", "BLUE").replace("blue", "green").replace("BLUE", "blue"), p, w) for i, t, p, w, _ in STEPS
    )
    yield (
        0.0,
        ev.RunOpened(
            "20260314-143000-arp-7f3a", "arp", "arp", "9d02", "41c9", "ab12cd34", "ana", "bastion", "0.1.0", True, 300.0, 300.0, lines, back
        ),
    )
    yield 0.01, ev.PilotSeated("pilot", 4242, "token")
    yield 0.8, ev.SidesSeen(Side.BLUE, "16.9", "18.1")
    yield 2.0, ev.FindingSeen("R2", "max_replication_slots", Severity.GOOD, "10 free", "select 1", "")
    yield (
        2.1,
        ev.FindingSeen(
            "D6",
            "sales.daily",
            Severity.WARN,
            "a materialized view is not replicated",
            "select matviewname from pg_matviews",
            "refresh it on green after the cutover",
        ),
    )
    yield (
        2.2,
        ev.FindingSeen(
            "D4",
            "ops.scratch",
            Severity.BLOCK,
            "unlogged: its rows never move",
            "select relname from pg_class where relpersistence = 'u'",
            "set it logged, or exclude it",
            "scratch data only",
        ),
    )
    yield 2.3, ev.PreflightDone(0, 1, 41, 1)
    yield 3.0, ev.GateTurned("lag", Light.PASS, "12 kB under 1 MB")
    yield 4.0, ev.ModeChanged(Mode.READY)
    yield from _handover(1, Direction.CUTOVER, CUTOVER_AT)
    yield 80.0, ev.NoteTaken("ana@bastion", "soak looks calm, keeping green")
    yield from _handover(2, Direction.ROLLBACK, ROLLBACK_AT)


def _handover(number: int, direction: Direction, at: float) -> Iterator[tuple[float, ev.Fact]]:
    ask = Ask.ARM if direction is Direction.CUTOVER else Ask.BACK
    yield at, ev.IntentTaken(ask, "ana@bastion", 12)
    yield at + 0.001, ev.HandoverOpened(number, direction, "ab12cd34ef", 'type "arp"', 20.0)
    yield at + 0.002, ev.ModeChanged(Mode.ARMING)
    t, quick = at + 0.01, direction is Direction.ROLLBACK
    down = 0.0
    for step, _, _, in_window, took in STEPS:
        took = 0.35 if quick and took > 2 else took
        if step == "confirm":
            yield t, ev.ModeChanged(Mode.ARMED)
        if step == "pause":
            down = t
            yield t, ev.IntentTaken(Ask.GO, "ana@bastion", 31, "arp")
            yield t, ev.ModeChanged(Mode.WINDOW)
            yield t, ev.DowntimeStarted()
        yield t, ev.StepStarted(step)
        yield t, ev.ActionIntended(f"{step} {direction.target}", (Statement(direction.origin, f"-- {step}"),))
        slow = 0.5 if in_window and not quick else took
        t += slow if step == "verify" else took
        if step == "verify":
            yield t, ev.Certified(direction.origin, direction.target, "0/5A3F2B10", True, 40, 40, 0, 1_214_000, 53, 32.0, 0.021)
        if step == "quiesce":
            yield t, ev.FenceSet(direction.origin, "0/5A3F2B10")
        if step == "resume":
            yield t, ev.ReturnPassed(direction.target)
            yield t, ev.DowntimeEnded(t - down)
            yield t, ev.ModeChanged(Mode.LANDING)
        yield t, ev.ActionDone(f"{step} {direction.target}", took * 1000, {"rows": 3})
        yield t, ev.StepFinished(step, took * 1000)
    yield t, ev.HandoverClosed(number, Outcome.DONE, t - at, direction.target)
    yield t, ev.ModeChanged(Mode.READY, f"{direction.target} serves, {direction.origin} is fenced and mirrored")


def waiting() -> Story:
    """A cutover whose scenario asks for a second person is armed, and waits for one."""
    made = story(READY)
    for fact in (
        ev.HandoverOpened(1, Direction.CUTOVER, "ab12cd34ef", 'a second person approves within 492 s, then type "arp"', 20.0, True),
        ev.ModeChanged(Mode.ARMING),
        ev.StepFinished("arm", 412.0),
        ev.StepFinished("gates", 5031.0),
        ev.ModeChanged(Mode.ARMED),
        ev.StepStarted("confirm"),
        ev.ApprovalAsked(1, "ab12cd34ef", "ana@bastion", 1000, 492.0, "cockpit approve arp-7f3a"),
    ):
        made.take(fact)
    return made


def ungraceful() -> Story:
    """Green is gone; the lead reads the bill."""
    made = story(SOAK)
    lines = tuple(p for p in made.state.plans[1] if p.id not in {"gates", "drain", "verify"})
    made.take(ev.HandoverOpened(2, Direction.ROLLBACK, "c0ffee" * 10, 'type "arp ungraceful"', 60.0, ungraceful=True, steps=lines))
    made.take(ev.ModeChanged(Mode.ARMING))
    made.take(ev.StepStarted("arm"))
    rows = {"sales.orders": 311, "core.customer": 96, "Склад.Товар": 5}
    made.take(ev.BillDrawn(2, Bill(Side.GREEN, Side.BLUE, rows, "0/2A3F10", "0/2B0000", 3.2, 4.1)))
    made.take(ev.StepFinished("arm", 24.0))
    made.take(ev.ModeChanged(Mode.ARMED))
    made.take(ev.StepStarted("confirm"))
    return made


def checked() -> Story:
    """A handover has landed; the business checks were read again, and the last preflight compared everything beside the rows."""
    made = story(SOAK)
    apart = (Unequal("month=2025-11-01", "payments=31, total=2356.00", "payments=30, total=2286.00"),)
    by_month, by_status = "SELECT date_trunc('month', paid_on)::date AS month, sum(amount) AS total", "SELECT status, count(*) AS orders"
    for fact in (
        ev.CheckRead("currencies", "spot", CheckVerdict.EQUAL, 0, 1, 0, 0.02, query="SELECT count(*) FROM core.currency"),
        ev.CheckRead(
            "stock", "metric", CheckVerdict.FAILED, 1, 0, 0, 0.0, reason="green: permission denied for table stock", query="SELECT 1"
        ),
        ev.CheckRead(
            "orders_by_status",
            "metric",
            CheckVerdict.HOT,
            1,
            5,
            2,
            1.9,
            6,
            "Orders by status",
            "moves faster than it is read",
            (),
            by_status,
        ),
        ev.CheckRead("payments_by_month", "metric", CheckVerdict.DIFFERS, 1, 26, 1, 0.31, 2, "Payments by month", "", apart, by_month),
        ev.ParityRead(
            2060,
            1,
            1,
            2,
            (
                Difference(
                    "index",
                    "sales.order_placed",
                    "btree (placed)",
                    "",
                    Weight.BAD,
                    "CREATE INDEX order_placed ON sales.orders (placed)",
                    "SELECT 1",
                    Side.GREEN,
                ),
                Difference("setting", "work_mem", "64MB", "16MB", Weight.LOOK, "set it alike, or leave it", "SHOW work_mem"),
            ),
            (
                NotCarried("unlogged table", "ops.scratch", (Side.BLUE, Side.GREEN), "fill it again on green"),
                NotCarried("materialized view", "sales.daily", (Side.BLUE, Side.GREEN), "REFRESH MATERIALIZED VIEW sales.daily"),
            ),
        ),
    ):
        made.take(fact)
    return made


def approved() -> Story:
    """The same after `bob` said yes."""
    made = waiting()
    made.seconds += 3.0
    made.take(ev.ApprovalGiven(1, "ab12cd34ef", "bob", 1001, made.state.seq, "plan and gates read"))
    return made


def _serving(t: float) -> Side:
    return Side.GREEN if CUTOVER_AT + 9.9 < t < ROLLBACK_AT + 1.3 else Side.BLUE


@cache
def _samples() -> tuple[tuple[float, Sample], ...]:
    return tuple((tick / 4, sample) for tick in range(4, 4 * 400) for sample in _each_quarter(tick))


def _each_quarter(tick: int) -> Iterator[Sample]:
    t = tick / 4
    yield _lag(t)
    if tick % 2 == 0:
        yield PulseSample(ORIGIN + t, 4242, 10)
    if tick % 4 == 0:
        yield from _each_second(t)


def _each_second(t: float) -> Iterator[Sample]:
    yield _routing(t)
    yield _recon(t)
    yield _gates(t)
    serving = _serving(t)
    seconds = 1.9 + 0.2 * math.sin(t / 3)
    yield ReadinessSample(ORIGIN + t, seconds, (Share("drain", 0.4), Share("route", 0.3), Share("prove", 1.2)))
    for side, version in ((Side.BLUE, "16.9"), (Side.GREEN, "18.1")):
        yield ServerSample(ORIGIN + t, side, True, version, side is not serving and t > CUTOVER_AT + 10, 60, 0.2, 0)
    yield PoolerSample(ORIGIN + t, "pgbouncer:6432", True, False, serving, 97, 0, "transaction")


def _lag(t: float) -> LagSample:
    behind = int(26_000 * (1 + math.sin(t / 2.1)) * (1.6 + math.sin(t * 1.7)) + (400_000 if 21 < t < 23 else 0))
    serving = _serving(t)
    copying = t < 6
    return LagSample(
        mono=ORIGIN + t, origin=serving, target=serving.other, lag_bytes=behind, lag_s=0.012 + behind / 4e6, apply_bytes_s=1.24e6 + 1e5 * math.sin(t),
        forecast_s=0.0, slot="cockpit_arp_b2g", slot_state="active", retained_bytes=behind + 9_000_000, sender="streaming", worker="running",
        last_message_age_s=0.1, apply_errors=0, tables_ready=34 if copying else 40, tables_total=40,
        not_ready=(TableSync("ops.audit_log", "d"), TableSync("sales.orders", "s")) if copying else (), worst_table="sales.order_items",
        worst_behind=behind // 220, reverse_armed=t > CUTOVER_AT + 0.4, query="select pg_current_wal_lsn() - confirmed_flush_lsn from pg_replication_slots",
    )  # fmt: skip


def _routing(t: float) -> RoutingSample:
    serving, apps = _serving(t), []
    moved = t - (CUTOVER_AT + 10) if t < ROLLBACK_AT else t - (ROLLBACK_AT + 1.3)
    for index, (name, channel, sessions, writes) in enumerate(APPS):
        late = 0 < moved < 1.5 and index % 4 == 1
        blue, green = (sessions, 0) if serving is Side.BLUE else (0, sessions)
        verdict, cause = Verdict.ROUTED, ""
        if late:
            blue, green, verdict, cause = 2, sessions, Verdict.DUAL, "2 sessions are still on the other side, oldest 1 s"
        apps.append(AppRoute(name, channel, serving, blue, green, writes * (1 + 0.05 * math.sin(t + index)), verdict, cause, 0.02 * index))
    return RoutingSample(ORIGIN + t, tuple(apps), QUERY)


def _recon(t: float) -> ReconSample:
    proofs = []
    done = min(int(t * 2), len(TABLES))
    for index, table in enumerate(TABLES):
        rows = (index * 7919 % 97 + 1) * 613
        state, coverage = (
            (ProofState.EQUAL, 1.0) if index < done else (ProofState.SCANNING, 0.4) if index == done else (ProofState.PENDING, 0.0)
        )
        if state is ProofState.EQUAL and index in (0, 1, 3):
            state, coverage = ProofState.DIRTY, 0.998
        if table == "ops.sessions" and state is ProofState.EQUAL:
            state = ProofState.HOT
        exact = Exactness.COUNT if table == "ops.audit_log" else Exactness.EXACT
        reason = "no primary key: compared by count and content of all rows" if exact is Exactness.COUNT else ""
        proofs.append(
            TableProof(
                table,
                rows,
                rows,
                state,
                exact,
                coverage,
                ORIGIN + t - index * 0.6 if coverage else None,
                reason,
                f"select count(*) from {table}",
            )
        )
    equal = sum(p.state in (ProofState.EQUAL, ProofState.DIRTY, ProofState.HOT) for p in proofs)
    proven = sum(int((p.rows_blue or 0) * p.coverage) for p in proofs)
    return ReconSample(
        ORIGIN + t, proven, sum(p.rows_blue or 0 for p in proofs), equal, len(proofs), 312, 0, ORIGIN + t - 21, 0.013, 0.1, tuple(proofs)
    )


def _gates(t: float) -> GatesSample:
    ready = t > 22
    gates = [
        GateReading(name, title, Light.PASS, reason, "select 1", ORIGIN + 4, 5.0, 5.0)
        for name, title, reason in (
            ("lag", "lag under 1 MB", "12 kB"),
            ("slots", "slots and workers live", "active"),
            ("activity", "no long transaction", "oldest 0.2 s"),
            ("routing", "every app is known", "15 of 15"),
            ("reverse", "the way back is armed", "canary 9 ms"),
        )
    ]
    recon = (Light.PASS, "equal") if ready else (Light.FAIL, f"{len(TABLES) - min(int(t * 2), len(TABLES))} tables are not proven yet")
    gates.insert(
        1,
        GateReading(
            "recon",
            "both sides proven equal",
            recon[0],
            recon[1],
            "select * from cockpit_control.proofs",
            ORIGIN + 22,
            5.0 if ready else 0.0,
            5.0,
        ),
    )
    return GatesSample(ORIGIN + t, tuple(gates))


class Recorder:
    """A pilot that takes what fits and keeps what it was asked."""

    def __init__(self, source: Story) -> None:
        self.source = source
        self.asked: list[Intent] = []

    async def ask(self, intent: Intent) -> Reply:
        self.asked.append(intent)
        why = refusal(self.source.state, intent.ask, intent.argument)
        return Reply(not why, self.source.state.seq, why)


def main(argv: list[str]) -> None:
    """`python -m tests.screen.demo [second] [theme]`: the story, live from that second."""
    from cockpit.screen.app import CockpitApp
    from cockpit.screen.options import Options

    source = story(float(argv[0]) if argv else 0.0)
    source.frozen = False
    options = Options(theme=argv[1] if len(argv) > 1 else "dark", ascii="ascii" in argv, drill=True, by="ana@bastion", files=Path("/tmp"))
    sys.exit(CockpitApp(source, Recorder(source), options).run())


if __name__ == "__main__":
    main(sys.argv[1:])
