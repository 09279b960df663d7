"""What the screen shows at its moments, at the three sizes. `GOLDEN=write` writes the pictures anew; read the difference before keeping it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from cockpit.model import events as ev
from cockpit.model.telemetry import AppRoute, ColumnDifference, LagSample, RoutingSample, RowDifference
from cockpit.model.words import Known, Mode, Outcome, ProofState, Side, Verdict
from cockpit.screen.options import Options
from tests.screen.demo import ARMED, BACK, ORIGIN, READY, SOAK, WINDOW, Story, approved, checked, story, ungraceful, waiting
from tests.screen.flying import SIZES, cockpit

GOLDEN = Path(__file__).parent / "golden"


def _stuck() -> Story:
    made = story(WINDOW - 0.4)
    made.take(ev.StepFailed("verify", 812.0, "sales.orders differs: 3 rows", "look at the rows in evidence/sales.orders.json"))
    made.take(
        ev.AlarmRaised("verify", "sales.orders differs: 3 rows", "select * from cockpit_control.diff", "press B, then Y: blue serves again")
    )
    made.take(ev.HandoverClosed(1, Outcome.STUCK, 9.9, Side.BLUE, "sales.orders differs: 3 rows"))
    made.take(ev.ModeChanged(Mode.STUCK, "verify failed; blue is unfenced"))
    return made


def _left() -> Story:
    """Pilot and guardian died in the window; another pilot took the run up and has looked."""
    made = story(WINDOW - 0.4)
    made.seconds += 40
    made.take(ev.RunTakenUp("ben", "bastion-2", torn="61 bytes of an unfinished record 88 at the end, left by a crash; set aside"))
    found = {
        "arm": Known.DONE,
        "steer": Known.UNKNOWN,
        "pause": Known.DONE,
        "fence": Known.DONE,
        "quiesce": Known.DONE,
        "drain": Known.PENDING,
    }
    for step in made.state.handover.steps if made.state.handover else ():
        if step.id in ("gates", "confirm"):
            continue
        known = found.get(step.id, Known.UNKNOWN if step.id == "verify" else Known.PENDING)
        made.take(ev.StepFound(step.id, known, {"probe": {"known": known}}))
    made.take(ev.ModeChanged(Mode.STUCK, "left half way: go on, or home"))
    return made


def _stragglers() -> Story:
    made = story(SOAK)
    apps = (
        AppRoute("pricing", "pgbouncer", Side.GREEN, 47, 0, 0.0, Verdict.STRAGGLER, "47 idle in transaction on blue, oldest 00:11", 11.0),
        AppRoute("reports", "file", Side.GREEN, 0, 0, None, Verdict.DARK, "no session on either side"),
        AppRoute("cart", "pgbouncer", Side.GREEN, 3, 9, 31.0, Verdict.DUAL, "3 sessions still on blue"),
        AppRoute("psql", "-", None, 1, 0, None, Verdict.STRANGER, "role dba from 10.0.0.7"),
    )
    made.take(RoutingSample(ORIGIN + made.seconds, apps, "select * from pg_stat_activity"))
    return made


def _never_armed() -> Story:
    """A real pair on its first evening: two servers, and nothing between them."""
    made = story(2.0)
    made.take(
        LagSample(
            mono=ORIGIN + made.seconds, origin=Side.BLUE, target=Side.GREEN, lag_bytes=None, lag_s=None, apply_bytes_s=None, forecast_s=None,
            slot="cockpit_arp_b2g", slot_state="missing", retained_bytes=None, sender="missing", worker="missing", last_message_age_s=None,
            apply_errors=None, tables_ready=0, tables_total=0, reverse_armed=False, error="slot cockpit_arp_b2g is missing on blue",
        )
    )  # fmt: skip
    made.take(ev.ModeChanged(Mode.READY, "nothing is set up yet"))
    return made


def _silent() -> Story:
    made = story(READY)
    made.seconds += 12
    return made


def _closed() -> Story:
    made = story(BACK)
    made.take(ev.RunClosed("rolled-back", 5, Side.BLUE, ("publication cockpit_arp_g2b on green",)))
    made.seconds += 86_400
    return made


MOMENTS: dict[str, Callable[[], Story]] = {
    "empty": Story,
    "opening": lambda: story(3.5),
    "never-armed": _never_armed,
    "ready": lambda: story(READY),
    "armed": lambda: story(ARMED),
    "second": waiting,
    "approved": approved,
    "window": lambda: story(WINDOW - 0.4),
    "soak": lambda: story(SOAK),
    "rollback": lambda: story(91.0),
    "back": lambda: story(BACK),
    "stuck": _stuck,
    "left": _left,
    "stragglers": _stragglers,
    "ungraceful": ungraceful,
    "silent": _silent,
    "closed": _closed,
}


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("moment", MOMENTS)
async def test_the_moment_looks_as_it_did(moment: str, size: tuple[int, int]) -> None:
    async with cockpit(MOMENTS[moment](), size) as c:
        _same(f"{moment}-{size[0]}x{size[1]}", c.text)
        assert all(cell_len(line) == size[0] for line in c.lines())


@pytest.mark.parametrize(
    ("name", "keys"),
    [("help", "?"), ("commands", ":"), ("attention", "!"), ("detail-table", "2 down enter"), ("detail-app", "3 enter"), ("detail-lag", "1 enter"),
     ("detail-step", "4 enter"), ("detail-event", "5 down enter"), ("zoom-recon", "2 2"), ("zoom-route", "3 z"), ("timeline", "5"), ("find", "2 / o r d"),
     ("back-question", "B"), ("leave-question", "q")],
)  # fmt: skip
async def test_what_a_key_opens_looks_as_it_did(name: str, keys: str) -> None:
    names = {"?": "question_mark", ":": "colon", "!": "exclamation_mark", "/": "slash"}
    async with cockpit(story(SOAK)) as c:
        await c.press(*(names.get(key, key) for key in keys.split()))
        await c.look()
        _same(f"{name}-80x24", c.text)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda s: f"{s[0]}x{s[1]}")
async def test_the_page_of_the_checks_looks_as_it_did(size: tuple[int, int]) -> None:
    async with cockpit(checked(), size) as c:
        await c.press("c")
        _same(f"checks-{size[0]}x{size[1]}", c.text)


@pytest.mark.parametrize(
    ("downs", "shown"),
    [
        (
            0,
            ("metric payments_by_month: Payments by month", "DIFFERS", "26 compared, 25 equal, 1 not", "month=2025-11-01: blue", "paid_on"),
        ),
        (1, ("metric stock", "not read", "permission denied for table stock")),
        (2, ("metric orders_by_status", "moving", "moves faster than it is read", "6 looks")),
        (3, ("spot currencies", "EQUAL", "by the preflight, ")),
        (4, ("index sales.order_placed", "btree (placed)", "on green: CREATE INDEX order_placed")),
        (5, ("setting work_mem", "may be meant", "64MB", "16MB", "SHOW work_mem")),
        (6, ("unlogged table ops.scratch", "blue and green; never carried, not compared", "fill it again on green")),
    ],
)
async def test_enter_on_the_checks_page_opens_what_it_stands_for(downs: int, shown: tuple[str, ...]) -> None:
    async with cockpit(checked(), (120, 40)) as c:
        await c.press("c", *["down"] * downs, "enter")
        missing = [text for text in shown if text not in c.text]
        assert not missing, c.text
        await c.press("escape", "escape")
        assert "1 LAG" in c.text


async def test_the_checks_page_says_so_where_nothing_was_read() -> None:
    async with cockpit(story(SOAK)) as c:
        await c.press("c")
        assert "no business check was read" in c.text
        assert "not compared beside the rows" in c.text
        await c.press("c")
        assert "1 LAG" in c.text


async def test_the_timeline_tells_a_check_in_a_sentence() -> None:
    async with cockpit(checked(), (200, 60)) as c:
        await c.press("5", "5")
        told = "metric payments_by_month read after handover 1: 1 of 26 groups DIFFER; month=2025-11-01: blue payments=31, total=2356.00, green"
        assert told in c.text
        assert "beside the rows 2060 objects compared: 1 differ, 1 may be meant, 2 never carried" in c.text


async def test_the_lag_of_a_pair_that_was_never_armed_names_nothing_broken() -> None:
    async with cockpit(_never_armed()) as c:
        await c.press("1", "enter")
        await c.look()
        assert "not set up: arming makes the mirror and the way back" in c.text
        assert "is missing on blue" not in c.text


async def test_the_detail_of_a_step_that_waits_for_a_second_person_looks_as_it_did() -> None:
    async with cockpit(waiting()) as c:
        await c.press("4", "down", "down", "enter")
        await c.look()
        _same("detail-second-80x24", c.text)


async def test_the_start_of_a_drill_shows_what_is_set_up(tmp_path: Path) -> None:
    progress = tmp_path / "progress.jsonl"
    progress.write_text(
        '{"done":0,"of":7,"what":"blue: PostgreSQL 16"}\n{"done":3,"of":7,"what":"ARP: 1,000,000 rows"}\n{"done":4,"of":7,"what":"replica'
    )
    source = Story()
    async with cockpit(source, options=Options(drill=True, progress=progress)) as c:
        _same("starting-80x24", c.text)
        full = story(READY)
        source.state, source.latest, source.seconds = full.state, full.latest, full.seconds
        await c.look()
        await c.look()
        assert "1 LAG" in c.text
        assert "STARTING" not in c.text


async def test_a_table_that_differs_tells_its_rows_column_by_column() -> None:
    made = story(SOAK)
    rows = (
        RowDifference("id=7", "differs", (ColumnDifference("amount", "10.00", "9.00"), ColumnDifference("email", None, None, masked=True))),
        RowDifference("id=9", "missing on green"),
    )
    proof = replace(made.latest.tables["sales.orders"], state=ProofState.DIFFERS, reason="2 rows differ", rows=rows)
    assert made.latest.recon is not None
    made.take(replace(made.latest.recon, mono=made.now(), differences=2, tables=(proof,)))
    async with cockpit(made, (80, 24)) as c:
        await c.press("2", "enter")
        _same("detail-differs-80x24", c.text)


async def test_a_small_terminal_shows_one_pane_and_a_tiny_one_the_clock() -> None:
    async with cockpit(story(SOAK), (60, 18)) as c:
        _same("small-60x18", c.text)
    async with cockpit(story(SOAK), (36, 8)) as c:
        _same("tiny-36x8", c.text)


async def test_ascii_draws_nothing_else() -> None:
    async with cockpit(story(ARMED), (120, 40), options=Options(ascii=True)) as c:
        assert c.text.isascii()
        _same("ascii-120x40", c.text)


async def test_mono_has_no_colour_at_all() -> None:
    async with cockpit(_stuck(), (120, 40), options=Options(theme="mono")) as c:
        styles = [s.style for line in c.segments() for s in line if s.style]
        assert all(style.color is None or style.color.is_default for style in styles)
        assert all(style.bgcolor is None or style.bgcolor.is_default for style in styles)
        assert any(style.reverse for style in styles), "what is bad must stand out without colour"


def _same(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
