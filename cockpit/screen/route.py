"""Pane 3, ROUTE: per app where its channel sends it, where its sessions really are, what it writes, and whether these agree."""

from __future__ import annotations

from cockpit.model.telemetry import AppRoute, RoutingSample
from cockpit.model.words import Verdict
from cockpit.screen.cells import Line, crop
from cockpit.screen.columns import Column, choose, heading
from cockpit.screen.columns import line as table_line
from cockpit.screen.content import Content, Rows, Wish
from cockpit.screen.figures import count, rate
from cockpit.screen.lag import badge
from cockpit.screen.look import Status
from cockpit.screen.view import View

VERDICTS = {
    Verdict.ROUTED: (Status.OK, "routed"),
    Verdict.STRAGGLER: (Status.WARN, "STRAGGLER"),
    Verdict.DUAL: (Status.WARN, "DUAL"),
    Verdict.DARK: (Status.WARN, "DARK"),
    Verdict.STRANGER: (Status.WARN, "STRANGER"),
    Verdict.UNKNOWN: (Status.STALE, "UNKNOWN"),
}
_SHORT = {"STRAGGLER": "STRAG", "STRANGER": "STRANG", "UNKNOWN": "?"}

_APP, _CHANNEL = Column("app", 0, least=8), Column("channel", 10)
_ON, _B, _G, _W = Column("on", 2), Column("B", 3, ">"), Column("G", 3, ">"), Column("w/s", 4, ">")
_VERDICT, _BRIEF = Column("verdict", 9), Column("is", 6)
_POLICIES = (
    (Column("app", 16), _CHANNEL, _ON, _B, _G, _W, _VERDICT, Column("cause", 0, least=16)),
    (_APP, _CHANNEL, _ON, _B, _G, _W, _VERDICT),
    (_APP, _ON, _B, _G, _W, _VERDICT),
    (_APP, _ON, _B, _G, _W, _BRIEF),
    (_APP, Column("on", 1), _B, _G, _BRIEF),
)


def content(view: View, wish: Wish, width: int, height: int) -> Content:
    """The pane for an inner size of `width` x `height` cells."""
    sample = view.latest.routing
    if sample is None:
        return Content(title=(("ROUTE", "title"),), head=(crop((("· no sessions read yet", "wait"),), width),))
    columns = choose(_POLICIES, width)
    apps = ranked(view, wish)
    rows = Rows([a.app for a in apps], lambda place: _row(view, sample, apps[place], columns, width))
    head = (*_poolers(view, width, height), heading(columns, width))
    return Content(title=_title(view, sample), badge=badge(view, "routing", sample.mono), head=head, rows=rows)


def ranked(view: View, wish: Wish) -> list[AppRoute]:
    """The apps in the order asked for: worst first, by name, or by writes (age does not apply)."""
    sample = view.latest.routing
    return wish.apps.of(lambda: _sorted(sample, wish), sample, wish.order, wish.needle) if sample else []


def _sorted(sample: RoutingSample, wish: Wish) -> list[AppRoute]:
    apps = [a for a in sample.apps if wish.wants(a.app, a.channel, a.verdict.value)] if wish.needle else sample.apps
    if wish.order == "worst":
        return sorted(apps, key=lambda a: (VERDICTS[a.verdict][0].rank, a.app))
    if wish.order == "age":
        return sorted(apps, key=lambda a: (-(a.oldest_xact_s or 0.0), a.app))
    return sorted(apps, key=lambda a: a.app)


def status(view: View, sample: RoutingSample, app: AppRoute) -> Status:
    return Status.STALE if view.stale("routing", sample.mono) else VERDICTS[app.verdict][0]


def _title(view: View, sample: RoutingSample) -> Line:
    serving = view.state.serving
    there = sum(a.intended is serving and a.verdict is Verdict.ROUTED for a in sample.apps)
    lost = sum(VERDICTS[a.verdict][0] is Status.WARN for a in sample.apps)
    where = f" →{serving.letter}" if serving else ""
    counts: Line = ((f" {there}/{len(sample.apps)}{where}", "text"),)
    return (("ROUTE", "title"), *counts, *((((f" !{lost}", "warn"),)) if lost else ()))


def _poolers(view: View, width: int, height: int) -> tuple[Line, ...]:
    if height < 14 or not view.latest.poolers:
        return ()
    lines: list[Line] = []
    for pooler in sorted(view.latest.poolers.values(), key=lambda p: p.pooler):
        state, word = Status.OK, "open"
        if view.stale("pooler", pooler.mono):
            state, word = Status.STALE, "STALE"
        elif not pooler.up:
            state, word = Status.BAD, "DOWN"
        elif pooler.paused:
            state, word = Status.RUN, "paused"
        to = f" →{pooler.routes_to.letter}" if pooler.routes_to else ""
        text = f"{pooler.pooler}{to}  {count(pooler.waiting)} of {count(pooler.clients)} wait"
        lines.append(crop(((f"{state.symbol} {word} ", state.value), (text, "text")), width))
    return tuple(lines[:3])


def _row(view: View, sample: RoutingSample, app: AppRoute, columns: tuple[Column, ...], width: int) -> Line:
    standing = status(view, sample, app)
    word = "STALE" if standing is Status.STALE and view.stale("routing", sample.mono) else VERDICTS[app.verdict][1]
    cells = {
        "app": app.app,
        "channel": app.channel,
        "on": app.intended.letter if app.intended else "?",
        "B": count(app.blue),
        "G": count(app.green),
        "w/s": rate(app.writes_s),
        "verdict": word,
        "cause": app.cause,
        "is": _SHORT.get(word, word),
    }
    return table_line(columns, width, standing, cells, ("verdict", "is"))
