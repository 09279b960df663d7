"""Pane 2, RECON: what is proven equal on both sides, table by table, with how much of it, how exactly and how long ago."""

from __future__ import annotations

from cockpit.model.telemetry import ReconSample, TableProof
from cockpit.model.words import Exactness, ProofState
from cockpit.screen.cells import Line, crop, doubtful, joined
from cockpit.screen.columns import Column, choose, heading
from cockpit.screen.columns import line as table_line
from cockpit.screen.content import Content, Rows, Wish
from cockpit.screen.figures import age, bar, count, seconds, whole_age
from cockpit.screen.lag import badge
from cockpit.screen.look import Status
from cockpit.screen.ranking import STATES, Ranking
from cockpit.screen.view import View

_TABLE = Column("table", 0, least=10)
_ROWS, _BLUE, _GREEN = Column("rows", 5, ">"), Column("blue", 6, ">"), Column("green", 6, ">")
_COVER, _STATE, _AGE = Column("cover", 5, ">"), Column("state", 6), Column("age", 4, ">")
_POLICIES = (
    (Column("table", 30), _BLUE, _GREEN, _COVER, _STATE, _AGE, Column("cause", 0, least=40)),
    (_TABLE, _BLUE, _GREEN, _COVER, _STATE, _AGE),
    (_TABLE, _BLUE, _GREEN, _STATE, _AGE),
    (_TABLE, _ROWS, _STATE, _AGE),
    (_TABLE, _ROWS, _STATE),
)


def content(view: View, wish: Wish, width: int, height: int) -> Content:
    """The pane for an inner size of `width` x `height` cells."""
    sample = view.latest.recon
    if sample is None:
        return Content(title=(("RECON", "title"),), head=(crop((("· nothing proven yet", "wait"),), width),))
    columns = choose(_POLICIES, width)
    tables, stale = view.latest.tables, view.stale("recon", sample.mono)
    wish.ranking.see(tables, "name" if stale and wish.order == "worst" else wish.order)
    names = wish.ranking.names(wish.needle)
    rows = Rows(names, lambda place: _row(view, tables[names[place]], columns, width))
    summary = _summary(view, sample, width, height)
    if stale:
        summary = tuple(doubtful(line) for line in summary)
    head = (*summary, heading(columns, width))
    return Content(title=_title(sample, wish.ranking), badge=badge(view, "recon", sample.mono), head=head, rows=rows)


def status(view: View, proof: TableProof) -> Status:
    sample = view.latest.recon
    if sample is None or view.stale("recon", sample.mono):
        return Status.STALE
    return STATES[proof.state][0]


def word(view: View, proof: TableProof) -> str:
    if status(view, proof) is Status.STALE:
        return "STALE"
    if proof.state is ProofState.EQUAL and proof.exactness is Exactness.COUNT:
        return "count"
    return STATES[proof.state][1]


def _title(sample: ReconSample, ranking: Ranking) -> Line:
    differ, unsure = ranking.counts[ProofState.DIFFERS], ranking.counts[ProofState.UNVERIFIABLE]
    counts: Line = ((f" {sample.tables_equal}/{sample.tables_total}", "text"),)
    if differ:
        counts += ((f" ✗{differ}", "bad"),)
    if unsure:
        counts += ((f" !{unsure}", "warn"),)
    return (("RECON", "title"), *counts)


def _summary(view: View, sample: ReconSample, width: int, height: int) -> tuple[Line, ...]:
    share = sample.proven_rows / sample.all_rows if sample.all_rows else 0.0
    percent = f"{int(share * 1000) / 10:.1f}%" if share < 1 else "100%"
    bar_width = 6 if width < 34 else 12 if width < 60 else 24
    first: Line = (
        (f"{percent:>6} ", "big"),
        *bar(share, bar_width),
        (f" {count(sample.proven_rows)}/{count(sample.all_rows)}{'' if width < 34 else ' rows'}", "text"),
    )
    if height < 8:
        return (crop(first, width),)
    short = width < 34
    cost = f"window {seconds(sample.freeze_cost_s)}" if width < 60 else f"verify in window {seconds(sample.freeze_cost_s)}"
    parts: list[Line] = [((cost, "text"),), ((f"load {sample.duty:.0%}", "text"),)]
    if not short:
        parts.append(((f"{count(sample.dirty_keys)} dirty", "text"),))
    if width >= 46:
        parts.append(((f"oldest {age(view.age(sample.oldest_mono))}", "text"),))
    return (crop(first, width), crop(joined(parts), width))


def _row(view: View, proof: TableProof, columns: tuple[Column, ...], width: int) -> Line:
    rows = proof.rows_green if proof.rows_blue is None else proof.rows_blue
    cells = {
        "table": proof.table,
        "rows": count(rows),
        "blue": count(proof.rows_blue),
        "green": count(proof.rows_green),
        "cover": f"{int(proof.coverage * 100)}%",
        "state": word(view, proof),
        "age": whole_age(view.age(proof.mono)),
        "cause": proof.reason,
    }
    return table_line(columns, width, status(view, proof), cells, ("state",))
