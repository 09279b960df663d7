"""The reader of `pgoutput` messages: everything that was written comes back, and damage never passes for less change."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.reconcile.tap import FENCE, Decoder, visible
from cockpit.systems.postgres.pgoutput import Garbled

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
VALUE = st.one_of(st.none(), TEXT)
ROW = st.tuples(TEXT, VALUE, VALUE)
NAME = ("Odd Schema", "Täble")


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def relation(oid: int, name: tuple[str, str], columns: tuple[str, ...]) -> bytes:
    body = b"".join(b"\1" + text(c) + struct.pack(">Ii", 25, -1) for c in columns)
    return b"R" + struct.pack(">I", oid) + text(name[0]) + text(name[1]) + struct.pack(">BH", ord("d"), len(columns)) + body


def values(row: tuple[str | None, ...]) -> bytes:
    parts = [b"n" if v is None else b"t" + struct.pack(">I", len(v.encode())) + v.encode() for v in row]
    return struct.pack(">H", len(row)) + b"".join(parts)


def insert(oid: int, row: tuple[str | None, ...]) -> bytes:
    return b"I" + struct.pack(">I", oid) + b"N" + values(row)


def update(oid: int, old: tuple[str | None, ...] | None, new: tuple[str | None, ...]) -> bytes:
    before = b"" if old is None else b"K" + values(old)
    return b"U" + struct.pack(">I", oid) + before + b"N" + values(new)


def delete(oid: int, row: tuple[str | None, ...], how: bytes = b"K") -> bytes:
    return b"D" + struct.pack(">I", oid) + how + values(row)


def truncate(*oids: int) -> bytes:
    return b"T" + struct.pack(">IB", len(oids), 0) + b"".join(struct.pack(">I", o) for o in oids)


def begin(xid: int) -> bytes:
    return b"B" + struct.pack(">qqI", 1, 2, xid)


def decoder(key: tuple[str, ...] = ("k",)) -> Decoder:
    made = Decoder({NAME: key})
    made.feed(relation(7, NAME, ("k", "a", "b")))
    return made


@given(st.lists(st.tuples(st.sampled_from("IUD"), ROW, ROW), max_size=30))
def test_every_changed_key_is_dirty_and_no_other(
    changes: list[tuple[str, tuple[str, str | None, str | None], tuple[str, str | None, str | None]]],
) -> None:
    reader, expected = decoder(), set()
    for kind, old, new in changes:
        if kind == "I":
            reader.feed(insert(7, new))
            expected.add((new[0],))
        elif kind == "U":
            reader.feed(update(7, old, new))
            expected |= {(old[0],), (new[0],)}
        else:
            reader.feed(delete(7, old))
            expected.add((old[0],))
    batch = reader.take()
    assert set(batch.keys.get(NAME, {})) == expected
    assert batch.changes == len(changes)
    assert not batch.whole


@given(ROW, st.data())
def test_a_message_that_is_cut_anywhere_is_refused(row: tuple[str, str | None, str | None], data: st.DataObject) -> None:
    message = data.draw(st.sampled_from([insert(7, row), update(7, None, row), update(7, row, row), delete(7, row)]))
    cut = data.draw(st.integers(1, len(message) - 1))
    with pytest.raises(Garbled):
        decoder().feed(message[:cut])


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused_never_anything_else(noise: bytes) -> None:
    try:
        decoder().feed(noise)
    except Garbled:
        pass


def test_a_change_of_an_unknown_table_is_refused() -> None:
    with pytest.raises(Garbled, match="before its description"):
        decoder().feed(insert(8, ("x", None, None)))


def test_a_table_without_a_key_is_dirty_as_a_whole() -> None:
    reader = decoder(())
    reader.feed(insert(7, ("x", None, None)))
    assert reader.take().whole == {NAME}


def test_a_key_that_the_stream_does_not_show_dirties_the_whole_table() -> None:
    reader = decoder(("k", "not published"))
    reader.feed(insert(7, ("x", None, None)))
    batch = reader.take()
    assert batch.whole == {NAME}
    unchanged = b"U" + struct.pack(">I", 7) + b"N" + struct.pack(">H", 3) + b"u" + b"n" + b"n"
    reader = decoder()
    reader.feed(unchanged)
    assert reader.take().whole == {NAME}


def test_truncate_dirties_every_table_it_names() -> None:
    reader = decoder()
    reader.feed(relation(9, ("public", "other"), ("id",)))
    reader.feed(truncate(7, 9))
    assert reader.take().whole == {NAME, ("public", "other")}


def test_other_columns_than_before_are_noticed_and_the_same_again_are_not() -> None:
    reader = decoder()
    reader.feed(relation(7, NAME, ("k", "a", "b")))
    assert not reader.take().reshaped
    reader.feed(relation(7, NAME, ("k", "a", "b", "c")))
    assert reader.take().reshaped == {NAME}


def test_composite_keys_keep_the_keys_order_not_the_columns() -> None:
    reader = decoder(("b", "k"))
    reader.feed(insert(7, ("x", None, "y")))
    assert list(reader.take().keys[NAME]) == [("y", "x")]


def test_marks_and_transactions_are_seen() -> None:
    reader = decoder()
    reader.feed(begin(77))
    reader.feed(b"M" + struct.pack(">Bq", 1, 5) + text(FENCE) + struct.pack(">I", 4) + b"here")
    reader.feed(b"M" + struct.pack(">Bq", 1, 5) + text("somebody's") + struct.pack(">I", 3) + b"not")
    reader.feed(b"C" + struct.pack(">Bqqq", 0, 10, 11, 12))
    assert reader.saw("here")
    assert not reader.saw("not")
    batch = reader.take()
    assert batch.xids == {77}
    assert batch.end_lsn == 11


@pytest.mark.parametrize(
    ("xids", "snapshot", "seen"),
    [
        ({10}, "20:20:", True),
        ({20}, "20:20:", False),
        ({15}, "12:20:15", False),
        ({14}, "12:20:15", True),
        ({14, 15}, "12:20:15", False),
        (set(), "1:1:", True),
        ({0xFFFFFFFE}, f"{(1 << 32) + 5}:{(1 << 32) + 5}:", True),
        ({3}, f"{(1 << 32) + 2}:{(1 << 32) + 9}:{(1 << 32) + 3}", False),
    ],
)
def test_visibility_by_32_bit_ids_holds_over_the_wrap(xids: set[int], snapshot: str, seen: bool) -> None:
    assert visible(xids, snapshot) is seen
