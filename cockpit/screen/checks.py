"""What both sides must agree on beside their rows: the business checks, then in what else they differ, then what is never carried."""

from __future__ import annotations

from cockpit.model.beside import CheckRead, ParityRead
from cockpit.model.checks import CheckVerdict
from cockpit.model.parity import Difference, NotCarried, Weight
from cockpit.screen.cells import Line, crop, fit
from cockpit.screen.content import Content, Row
from cockpit.screen.figures import age
from cockpit.screen.look import Status
from cockpit.screen.story import VERDICTS
from cockpit.screen.view import View

WORDS = {
    CheckVerdict.EQUAL: "EQUAL",
    CheckVerdict.WITHIN: "within",
    CheckVerdict.DIFFERS: "DIFFERS",
    CheckVerdict.HOT: "moving",
    CheckVerdict.FAILED: "not read",
}
WEIGHTS = {Weight.BAD: (Status.WARN, "differs"), Weight.LOOK: (Status.WAIT, "may be meant")}
_NAME = 34


def content(view: View, width: int) -> Content:
    """The list for an inner width of `width` cells; row keys are `check:` and its name, `differ:` or `left:` and a number."""
    state = view.state
    ranked = sorted(state.checks, key=lambda c: standing(c.read)[0].rank)
    rows = [_row(f"check:{c.read.what}", *standing(c.read), c.read.what, _said(c.read, age(view.age(c.mono))), width) for c in ranked]
    if state.parity is not None:
        rows += _parity(state.parity, width)
    return Content(title=(("CHECKS ", "title"), (_counts(view), "text")), head=_head(view, width), rows=tuple(rows))


def standing(read: CheckRead) -> tuple[Status, str]:
    """How a check stands, and its word."""
    return VERDICTS[read.verdict], WORDS[read.verdict]


def found(parity: ParityRead, kind: str, number: str) -> Difference | NotCarried | None:
    """What a row with the key `kind:number` stands for; None where it is gone."""
    listed: tuple[Difference | NotCarried, ...] = parity.differences if kind == "differ" else parity.not_carried
    known = kind in {"differ", "left"} and number.isdigit() and int(number) < len(listed)
    return listed[int(number)] if known else None


def _counts(view: View) -> str:
    fine = sum(standing(c.read)[0] is Status.OK for c in view.state.checks)
    parity = view.state.parity
    beside = f", {parity.bad} differ beside the rows" if parity is not None else ""
    return f"{fine} of {len(view.state.checks)} equal{beside}"


def _head(view: View, width: int) -> tuple[Line, ...]:
    head: list[Line] = []
    if not view.state.checks:
        head.append((("· no business check was read: the scenario names none, or no preflight ran", "wait"),))
    if view.state.parity is None:
        head.append((("? not compared beside the rows: run the preflight (r)", "stale"),))
    return tuple(crop(line, width) for line in head)


def _said(read: CheckRead, old: str) -> str:
    groups = f"{read.groups - read.differing}/{read.groups} groups  " if read.groups else ""
    return f"{groups}{old} ago, {read.when}{': ' + read.reason if read.reason else ''}"


def _parity(parity: ParityRead, width: int) -> list[Row]:
    """Differences by how much they ask for a person, each with its remedy; then what is never carried."""
    rows = [
        _row(f"differ:{n}", *WEIGHTS[d.weight], f"{d.kind} {d.object}", f"on {d.on}: {d.remedy}" if d.on else d.remedy, width)
        for n, d in enumerate(parity.differences)
    ]
    rows += [
        _row(f"left:{n}", Status.WAIT, "left out", f"{c.kind} {c.object}", f"on {' and '.join(c.sides)}: {c.remedy}", width)
        for n, c in enumerate(parity.not_carried)
    ]
    more = parity.bad + parity.look - len(parity.differences) + parity.left - len(parity.not_carried)
    if more:
        rows.append(_row("more:", Status.WAIT, "more", f"{more} more", "cockpit reconcile lists all of them", width))
    return rows


def _row(key: str, status: Status, word: str, name: str, said: str, width: int) -> Row:
    cells = min(_NAME, max(width // 2 - 16, 12))
    line = ((f"{status.symbol} {fit(word, 12)} ", status.value), (f"{fit(name, cells)}  ", "title"), (said, "text"))
    return Row(key, crop(line, width))
