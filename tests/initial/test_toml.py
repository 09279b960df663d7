"""Whatever a server calls its roles, the file reads back as that, and no terminal that shows the file obeys it."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.initial.toml import listed, quoted, remark
from cockpit.model.text import plain

ANY = st.text(st.characters(exclude_categories=("Cs",)))


@given(ANY)
def test_a_text_is_read_back_as_it_was(text: str) -> None:
    assert tomllib.loads(f"it = {quoted(text)}") == {"it": text}


@given(st.lists(ANY))
def test_a_list_is_read_back_as_it_was(texts: list[str]) -> None:
    assert tomllib.loads(f"it = {listed(texts)}") == {"it": texts}


@given(ANY, ANY)
def test_a_remark_says_nothing_to_the_reader_of_the_file(before: str, text: str) -> None:
    assert tomllib.loads(f"it = {quoted(before)}\n{remark(text)}\n") == {"it": before}


@given(ANY)
def test_nothing_in_it_steers_a_terminal(text: str) -> None:
    for line in (quoted(text), remark(text)):
        assert plain(line) == line


def test_what_is_no_text_is_not_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        quoted("\udc80")
