"""Ten thousand tables: kept in order by what changed alone, and drawn only where somebody looks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.model.telemetry import ReconSample, TableProof
from cockpit.model.words import Exactness, ProofState
from cockpit.screen import recon, route
from cockpit.screen.content import Rows, Wish, place
from cockpit.screen.ranking import MANY, STATES, Ranking
from cockpit.screen.view import View
from cockpit.timeline.follow import Latest
from tests.screen.demo import SOAK, story
from tests.screen.flying import cockpit

MOMENTS = st.one_of(st.none(), st.floats(0, 100))
PROOFS = st.builds(
    lambda name, state, mono: TableProof(name, 1, 1, state, Exactness.EXACT, 1.0, mono, "", ""),
    st.sampled_from([f"s.t{n}" for n in range(8)]),
    st.sampled_from(ProofState),
    MOMENTS,
)


SAMPLE = ReconSample(1075.0, 0, 0, 0, 0, 0, 0, None, None, 0.1, ())


def told(*proofs: TableProof) -> ReconSample:
    return replace(SAMPLE, tables=proofs)


def in_order(tables: dict[str, TableProof], order: str) -> list[str]:
    keys = {
        "worst": lambda p: (STATES[p.state][0].rank, p.table),
        "name": lambda p: p.table,
        "age": lambda p: (p.mono is not None, p.mono or 0.0, p.table),
    }
    return [p.table for p in sorted(tables.values(), key=keys[order])]


@given(st.lists(st.tuples(st.lists(PROOFS, max_size=4), st.sampled_from(["worst", "name", "age"]), st.booleans()), max_size=8))
def test_kept_in_order_is_as_if_sorted_anew(looks: list[tuple[list[TableProof], str, bool]]) -> None:
    latest, ranking = Latest(), Ranking()
    for proofs, order, earlier in looks:
        (latest.take_earlier if earlier else latest.take)(told(*proofs))
        ranking.see(latest.tables, order)
        assert list(ranking.names()) == in_order(latest.tables, order)
        assert +ranking.counts == {s: n for s in ProofState if (n := sum(p.state is s for p in latest.tables.values()))}


def table(number: int, state: ProofState = ProofState.EQUAL) -> TableProof:
    return TableProof(f"zone.Table_{number:05d}", 1, 1, state, Exactness.EXACT, 1.0, 1.0, "", "")


def test_more_changes_at_once_than_it_moves() -> None:
    latest, ranking = Latest(), Ranking()
    for state in (ProofState.EQUAL, ProofState.DIRTY):
        latest.take(told(*(table(n, state) for n in range(3 * MANY))))
        ranking.see(latest.tables, "worst")
        assert list(ranking.names()) == in_order(latest.tables, "worst")
        assert ranking.counts[state] == 3 * MANY


@pytest.mark.parametrize(("needle", "found"), [("TABLE_00007", 1), ("ZONE.", 100), ("differs", 1), ("nothing", 0)])
def test_a_needle_finds_names_and_states(needle: str, found: int) -> None:
    latest, ranking = Latest(), Ranking()
    latest.take(told(*(table(n) for n in range(99)), table(99, ProofState.DIFFERS)))
    ranking.see(latest.tables, "worst")
    assert len(ranking.names(needle)) == found


def test_only_the_rows_in_sight_are_drawn() -> None:
    drawn: list[int] = []

    def draw(at: int) -> tuple[tuple[str, str], ...]:
        drawn.append(at)
        return ((str(at), "text"),)

    rows = Rows([str(n) for n in range(10_000)], draw)
    assert [row.key for row in rows[9_990:9_993]] == ["9990", "9991", "9992"]
    assert (place(rows, "9000"), place(rows, "gone"), place(rows, None)) == (9_000, 0, 0)
    assert drawn == [9_990, 9_991, 9_992]


def test_a_paint_of_ten_thousand_tables_draws_none(monkeypatch: pytest.MonkeyPatch) -> None:
    source = story(SOAK)
    source.latest.take(told(*(table(n) for n in range(10_000))))
    drawn: list[TableProof] = []
    real = recon._row
    monkeypatch.setattr(recon, "_row", lambda view, proof, columns, width: drawn.append(proof) or real(view, proof, columns, width))
    view = View(source.now(), source.state, source.latest, clock=source.now())
    content = recon.content(view, Wish(), 60, 20)
    assert len(content.rows) == 10_040
    assert drawn == []


async def test_the_last_of_ten_thousand_tables_is_reached_and_told() -> None:
    source = story(SOAK)
    source.latest.take(told(*(table(n) for n in range(10_000))))
    async with cockpit(source, (120, 40)) as c:
        await c.press("2", "G")
        assert "Table_09999" in c.text
        await c.press("enter")
        assert "Table_09999" in c.text
        await c.press("escape", "slash", *"_00420", "enter")
        assert len(c.main.listed) == 1


def test_apps_are_sorted_once_for_what_was_measured_and_asked() -> None:
    wish, demo = Wish(), story(SOAK)
    view = View(demo.now(), demo.state, demo.latest)
    first = route.ranked(view, wish)
    assert [a.app for a in first] == sorted(a.app for a in first)
    assert route.ranked(replace(view, now=view.now + 1), wish) is first
    wish.needle = first[3].app
    assert [a.app for a in route.ranked(view, wish)] == [wish.needle]
    wish.needle = ""
    assert demo.latest.routing is not None
    fewer = replace(demo.latest, routing=replace(demo.latest.routing, apps=demo.latest.routing.apps[:4]))
    assert len(route.ranked(replace(view, latest=fewer), wish)) == 4
