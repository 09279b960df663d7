"""Pane 1, LAG: how far the mirror is behind, in bytes and in seconds, when it will be in reach, and whether each part of it lives."""

from __future__ import annotations

from cockpit.model.telemetry import LagSample
from cockpit.screen.cells import BLANK, Line, apart, crop, doubtful, joined
from cockpit.screen.chart import chart
from cockpit.screen.content import Content
from cockpit.screen.figures import age, count, seconds, size
from cockpit.screen.look import Status
from cockpit.screen.view import View

_SLOT = {"active": Status.OK, "inactive": Status.WARN, "missing": Status.WARN, "lost": Status.BAD, "unreserved": Status.BAD}
_SENDER = {"streaming": Status.OK, "catchup": Status.RUN, "startup": Status.RUN, "missing": Status.WARN}
_WORKER = {"running": Status.OK, "disabled": Status.WARN, "missing": Status.WARN}


def content(view: View, width: int, height: int) -> Content:
    """The pane for an inner size of `width` x `height` cells."""
    sample = view.latest.lag
    if sample is None:
        return Content(title=(("LAG", "title"),), head=_nothing(view, width))
    stale = view.stale("lag", sample.mono)
    facts = _facts(view, sample, width, height, stale=stale)
    plot = chart(view.latest.lag_history, view.now, width, height - len(facts), _fence(view))
    title: Line = (("LAG ", "title"), (f"{sample.origin.letter}→{sample.target.letter}", "text"))
    return Content(title=title, badge=badge(view, "lag", sample.mono), body=(*facts, *plot))


def badge(view: View, kind: str, mono: float | None) -> Line:
    """A pane's age, or the word STALE with it."""
    if mono is None:
        return BLANK
    if view.stale(kind, mono):
        return ((f"? STALE {age(view.age(mono))}", "stale"),)
    return ((age(view.age(mono)), "dim"),)


def status(view: View, sample: LagSample) -> Status:
    """Of the lag as a whole: the worst of its parts."""
    if view.stale("lag", sample.mono):
        return Status.STALE
    if sample.not_set_up:
        return Status.WAIT
    parts = [_SLOT.get(sample.slot_state, Status.WARN), _SENDER.get(sample.sender, Status.WARN), _WORKER.get(sample.worker, Status.WARN)]
    if sample.error or sample.apply_errors:
        parts.append(Status.WARN)
    if sample.lag_bytes is None or sample.lag_s is None:
        parts.append(Status.STALE)
    return min(parts, key=lambda s: s.rank)


def _nothing(view: View, width: int) -> tuple[Line, ...]:
    word = "connecting" if view.state.seq else "nothing yet"
    return (crop((("· ", "wait"), (word, "wait")), width),)


def _facts(view: View, sample: LagSample, width: int, height: int, *, stale: bool) -> list[Line]:
    worst = Status.STALE if stale else status(view, sample)
    if sample.not_set_up:
        return [crop(doubtful(line) if stale else line, width) for line in _not_set_up(sample, worst, width)]
    number = "stale" if stale else "big"
    word = {Status.OK: "ok", Status.RUN: "catching up", Status.STALE: "STALE"}.get(worst, "LOOK")
    lead: Line = (
        (f"{size(sample.lag_bytes):>7}", number),
        (f"  {seconds(sample.lag_s)} behind" if width >= 34 else f" {seconds(sample.lag_s)}", number),
    )
    lines: list[Line] = [apart(lead, ((f"{worst.symbol} {word}", worst.value),), width)]
    if sample.error:
        lines.append(crop((("! ", "warn"), (sample.error, "warn")), width))
    lines.append(_pace(sample, width))
    lines.append(_parts(sample, width))
    lines.append(_tables(sample))
    if height >= 16:
        lines.extend((_slot_line(sample), _worst(sample)))
    elif height >= 10:
        lines.append(_worst(sample))
    return [crop(doubtful(line) if stale else line, width) for line in lines]


def _not_set_up(sample: LagSample, worst: Status, width: int) -> list[Line]:
    """A pair that was never armed has nothing that could be broken."""
    told = (f"no mirror {sample.origin}→{sample.target}", "no way back", "arming makes both")
    return [apart((("not set up", "big"),), ((f"{worst.symbol} {worst}", worst.value),), width), *(((text, "dim"),) for text in told)]


def outlook(sample: LagSample) -> str:
    """When the gate's limit is in reach."""
    if sample.forecast_s is None:
        return "never" if sample.lag_bytes is not None else "-"
    return "now" if sample.forecast_s <= 0 else f"in {seconds(sample.forecast_s)}"


def _pace(sample: LagSample, width: int) -> Line:
    apply = f"apply {size(sample.apply_bytes_s)}/s" if sample.apply_bytes_s is not None else "apply -"
    if width < 30:
        apply = "apply " + apply.removeprefix("apply ").replace(" ", "")
    forecast = sample.forecast_s
    role = "ok" if forecast is not None and forecast <= 0 else "run" if forecast is not None else "warn"
    when = outlook(sample) if width >= 30 or not forecast else age(forecast)
    gap = "  " if width >= 30 else " "
    return joined((((apply, "text"),), ((f"gate {when}", role),)), gap)


def _parts(sample: LagSample, width: int) -> Line:
    """Slot, sender, worker, and the way back: a symbol each, and a word as soon as one is not in order."""
    known = (
        ("slot", sample.slot_state, _SLOT.get(sample.slot_state, Status.WARN)),
        ("sender" if width >= 30 else "send", sample.sender, _SENDER.get(sample.sender, Status.WARN)),
        ("worker" if width >= 30 else "work", sample.worker, _WORKER.get(sample.worker, Status.WARN)),
    )
    if width < 30 and all(state_status is Status.OK for _, _, state_status in known):
        back: Line = ((" back" if sample.reverse_armed else "", "ok"),)
        return (("✓ slot send work", "ok"), *back)
    parts: list[Line] = []
    for name, state, state_status in sorted(known, key=lambda part: part[2].rank):
        shown = name if state_status is Status.OK and width < 60 else f"{name} {state if state_status is Status.OK else state.upper()}"
        parts.append(((f"{state_status.symbol} {shown}", state_status.value),))
    if sample.reverse_armed is not None:
        parts.append((("✓ back" if sample.reverse_armed else "· back", "ok" if sample.reverse_armed else "wait"),))
    return joined(parts, "  " if width >= 30 else " ")


def _tables(sample: LagSample) -> Line:
    if sample.not_ready:
        first = sample.not_ready[0]
        more = f" +{len(sample.not_ready) - 1}" if len(sample.not_ready) > 1 else ""
        text = f"▸ {sample.tables_ready}/{sample.tables_total} in sync: {first.table} {sync_word(first.state)}{more}"
        return ((text, "run" if first.state != "missing" else "warn"),)
    if not sample.tables_total:
        return (("? no table is subscribed", "stale"),)
    return ((f"✓ {sample.tables_ready}/{sample.tables_total} tables in sync", "ok"),)


def sync_word(state: str) -> str:
    """A subscription's table state (`pg_subscription_rel.srsubstate`) in words."""
    return {"i": "waits", "d": "copies", "f": "copied", "s": "catches up", "missing": "MISSING"}.get(state, state)


def _slot_line(sample: LagSample) -> Line:
    errors = f"  {sample.apply_errors} APPLY ERRORS" if sample.apply_errors else ""
    return ((f"{sample.slot} keeps {size(sample.retained_bytes)}", "dim"), (errors, "warn"))


def _worst(sample: LagSample) -> Line:
    if sample.worst_table is None:
        return (("no table is behind", "dim"),)
    return ((f"worst {sample.worst_table} {count(sample.worst_behind)} rows", "dim"),)


def _fence(view: View) -> float | None:
    return view.state.handover.downtime_mono if view.state.handover else None
