"""The report tells a reader who was not there what happened, and nothing of the run can break out of its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cockpit.errors import JournalError, Refused
from cockpit.model.events import FACTS
from cockpit.model.text import plain
from cockpit.timeline.export import FORMATS, export
from cockpit.timeline.export.html import to_html
from cockpit.timeline.export.markdown import text, to_markdown
from cockpit.timeline.export.page import Grid, Heading, Sent, Words
from cockpit.timeline.folder import RunFolder

MakeRun = Callable[..., Path]


def test_every_kind_of_fact_is_told(make_run: MakeRun) -> None:
    told = json.loads(export(make_run(), "json"))
    assert {event["kind"] for event in told["timeline"]} == set(FACTS)


def test_a_run_folder_is_taken_as_the_command_line_has_it(make_run: MakeRun) -> None:
    folder = make_run()
    assert export(RunFolder(folder), "md") == export(folder, "md")


def test_a_statement_of_several_lines_is_one_statement(make_run: MakeRun) -> None:
    report = export(make_run("calm\nblue: DROP TABLE x"), "md")
    assert "\npgbouncer p1: PAUSE calm\n    blue: DROP TABLE x\n" in report


def test_the_numbers_a_reader_asks_for_first(make_run: MakeRun) -> None:
    report = export(make_run(scorecard=True), "md")
    for figure in (
        "done, exit code 0",
        "green",
        "0.068 s",
        "20.0 ms",
        "12.5 ms",
        "one app is late",
        "0/5000",
        "PAUSE calm",
        "scratch calm",
        "one write came twice",
        "68",
    ):
        assert figure in report, figure


def test_the_certificate_says_what_was_proven_and_names_what_was_not(make_run: MakeRun) -> None:
    report = export(make_run("calm"), "md")
    told = "51 of 52 tables proven equal (1 of them by count alone) at 0/5000; 1,071,203 rows, 53 of them changed and proven again in 21 ms"
    assert told in report
    for found in ("NOT PROVEN: calm", "oldest proof 32 s old", "rows that others wrote on green were not looked for"):
        assert found in report, found
    assert "| not proven | calm |" in report
    assert "| not compared | public.u: unlogged calm |" in report


def test_the_certificate_says_which_business_checks_follow_from_proven_rows(make_run: MakeRun) -> None:
    report = export(make_run("calm"), "md")
    assert "2 metrics and 1 spot check equal by these rows, without a scan" in report
    assert "not told by the rows: metric seen calm: public.seen not proven row by row" in report


def test_business_checks_are_told_with_their_numbers_where_they_were_read(make_run: MakeRun) -> None:
    report = export(make_run("calm"), "md")
    assert "business check: metric totals calm read by the preflight: 5 groups equal on blue and green, in 0.12 s" in report
    told = "metric totals calm read after handover 1: 1 of 5 groups DIFFER: calm; month=calm: blue n=1 calm, green n=2, in 0.30 s"
    assert f"business check: {told}" in report
    assert "| metric totals calm | month=calm | n=1 calm | n=2 |" in report
    both = json.loads(export(make_run("calm"), "json"))
    assert [(c["handover"], c["verdict"], c["groups"], c["differing"]) for c in both["handovers"][0]["checks"]] == [(1, "differs", 5, 1)]
    assert [(c["handover"], c["verdict"]) for c in both["checks"]] == [(0, "equal")]


def test_what_differs_beside_the_rows_is_listed_with_its_remedy(make_run: MakeRun) -> None:
    report = export(make_run("calm"), "md")
    assert (
        "As the last preflight saw it, 60 objects compared beside the rows: 1 differ, 1 differ and may be meant, 1 are never carried."
        in report
    )
    assert "| index public.i calm | bad | btree calm |  | green | CREATE INDEX calm |" in report
    assert "| unlogged table public.u calm | blue, green | fill it calm |" in report


def test_json_has_the_handover_and_the_scorecard(make_run: MakeRun) -> None:
    told = json.loads(export(make_run(scorecard=True), "json"))
    assert told["outcome"] == "done"
    assert told["handovers"][0]["steps"][0] == {
        "id": "pause",
        "title": "pause every pooler",
        "state": "done",
        "in_window": True,
        "planned_s": 0.02,
        "ms": 12.5,
        "detail": "",
        "evidence": {"poolers": "calm"},
    }
    assert told["scorecard"]["handovers"][0]["apps"][0]["name"] == "app-7"
    assert told["chain"]["verdict"] == "intact"


@pytest.mark.parametrize("format", FORMATS)
def test_a_torn_tail_is_said(make_run: MakeRun, format: str) -> None:
    folder = make_run()
    with (folder / "timeline.jsonl").open("ab") as file:
        file.write(b'{"seq":31,"at":')
    assert "torn tail" in export(folder, format)


@pytest.mark.parametrize("format", FORMATS)
def test_damage_is_named_by_its_record_and_nothing_after_it_is_shown(make_run: MakeRun, format: str) -> None:
    folder = make_run()
    timeline = folder / "timeline.jsonl"
    timeline.write_bytes(timeline.read_bytes().replace(b"no key", b"no kex"))
    report = export(folder, format)
    assert '"record": 8' in report if format == "json" else "DAMAGED at record 8" in report
    assert "no kex" not in report
    assert "PAUSE" not in report


def test_an_action_without_a_result_is_said(make_run: MakeRun) -> None:
    folder = make_run()
    lines = (folder / "timeline.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "timeline.jsonl").write_bytes(b"".join(lines[:17]))
    report = export(folder, "md")
    assert "# arp: open" in report
    assert "Not known: pause calm was sent and no result was recorded." in report


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_timeline_and_a_broken_scorecard_are_told(make_run: MakeRun, format: str) -> None:
    folder = make_run()
    (folder / "timeline.jsonl").write_bytes(b"")
    (folder / "scorecard.json").write_text("[" * 100_000)
    report = export(folder, format)
    assert "empty" in report
    if format != "json":
        assert "scorecard.json" in report


def test_no_timeline_and_no_format_are_refused_in_one_line(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot read the timeline"):
        export(tmp_path / "nowhere", "md")
    with pytest.raises(Refused, match="one of: md, html, json"):
        export(make_run(), "pdf")


HOSTILE = '"><script>alert(1)</script> | a | `b` *c* [x](http://evil) ![y](z) \x1b[31m \u202e </pre> ``` ## \n| - | www.evil.org'


@pytest.mark.parametrize("format", FORMATS)
def test_hostile_text_stays_text(make_run: MakeRun, format: str) -> None:
    report = export(make_run(HOSTILE), format)
    assert not {ch for ch in report if ch != "\n" and not ch.isprintable()}
    if format == "html":
        assert tags(report) <= {
            *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3"),
            *("p", "div", "table", "thead", "tbody", "tr", "th", "td", "pre"),
        }
    if format == "md":
        rendered = MarkdownIt("gfm-like", {"linkify": False}).render(report)
        assert tags(rendered) <= {"h1", "h2", "h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}


def tags(page: str) -> set[str]:
    found: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)

    Tags().feed(page)
    return found


class Cells(HTMLParser):
    """The texts of a page's table cells."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.cells: list[str] = []
        self._inside = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "td":
            self.cells.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


def test_addresses_do_not_become_links() -> None:
    page = (
        Words("http://evil.org www.evil.org HTTPS://e.org a@b.org mailto:x"),
        Grid(("a",), (("http://evil.org www.evil.org a@b.org",),)),
    )
    assert "<a" not in MarkdownIt("gfm-like").render(to_markdown(page)).lower()


outside = st.text(max_size=60).map(plain) | st.text(alphabet="|\\`*_[]()<>!&#~-+=.:@ ab1\"'", max_size=40)


calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes is the machine's affair: other tests run beside it."""


@calm
@given(st.lists(st.tuples(outside, outside, outside), min_size=1, max_size=4))
def test_every_cell_reads_back_as_it_was(rows: list[tuple[str, str, str]]) -> None:
    page = (Grid(("a", "b", "c"), tuple(rows), frozenset("b")),)
    wanted = [" ".join(cell.split()) for row in rows for cell in row]
    markdown = MarkdownIt("commonmark").enable("table").render(to_markdown(page))
    for rendered in (markdown, to_html(page)):
        assert [" ".join(cell.split()) for cell in Cells(rendered).cells] == wanted


@calm
@given(outside)
def test_a_paragraph_and_a_heading_never_become_markup(word: str) -> None:
    page = (Heading(2, "x " + word), Words(word), Words(word, loud=True), Sent((word, "`" * 5 + word)))
    rendered = MarkdownIt("commonmark").enable("table").render(to_markdown(page))
    assert tags(rendered) <= {"h2", "p", "strong", "pre", "code"}


@calm
@given(outside)
def test_markdown_text_is_one_line(word: str) -> None:
    assert "\n" not in text(word)
