"""Following a timeline whose torn tail the next writer cuts off: the same events as a reader that came later, and never a word of damage."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.model import events as ev
from cockpit.timeline.codec import encode_event
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import CHUNK, Follower
from cockpit.timeline.journal import Journal, read, seal

SHORT, LONG = "a note", "a note that is longer than a piece of the file " * (CHUNK // 20)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def begun(folder: RunFolder, *texts: str) -> None:
    journal = Journal.create(folder.timeline, "pilot")
    noted(journal, *texts)
    journal.close()


def noted(journal: Journal, *texts: str) -> None:
    for text in texts:
        journal.append(ev.NoteTaken("ana", text), durable=False)


def torn(folder: RunFolder, text: str, share: float) -> None:
    """A crash left a part of the next record."""
    line = next_line(folder, text)
    with folder.timeline.open("ab") as file:
        file.write(line[: 1 + int(share * (len(line) - 2))])


def next_line(folder: RunFolder, text: str) -> bytes:
    reading = read(folder.timeline)
    return seal(encode_event(ev.Event(len(reading.events) + 1, "", 1.0, "pilot", ev.NoteTaken("ben", text)), reading.head))[0]


def taken_up(folder: RunFolder, *texts: str) -> None:
    journal, _ = Journal.take_up(folder.timeline, "pilot")
    noted(journal, *texts)
    journal.close()


def read_all(follower: Follower) -> None:
    while follower.poll() or follower.behind:
        pass


def same(follower: Follower, folder: RunFolder) -> None:
    reading = read(folder.timeline)
    assert follower.damage == ""
    assert [event.seq for event in follower.state.tail] == [event.seq for event in reading.events[-500:]]
    assert follower.state.tail == reading.events[-500:]


@pytest.mark.parametrize("after", [("x",), (SHORT, LONG, SHORT), ()], ids=["shorter", "longer", "cut"])
@pytest.mark.parametrize("lost", [SHORT, LONG], ids=["short", "long"])
def test_a_tail_that_was_cut_off_while_it_followed_is_forgotten(folder: RunFolder, lost: str, after: tuple[str, ...]) -> None:
    """The file is shorter than what was read of it, as long, or longer again, by the next look."""
    begun(folder, SHORT)
    torn(folder, lost, 0.7)
    follower = Follower(folder)
    read_all(follower)
    taken_up(folder, *after)
    read_all(follower)
    same(follower, folder)
    follower.close()


def test_a_line_just_as_long_as_the_tail_before_it_is_seen(folder: RunFolder) -> None:
    begun(folder, SHORT)
    whole, line = folder.timeline.read_bytes(), next_line(folder, SHORT)
    folder.timeline.write_bytes(whole + next_line(folder, LONG)[: len(line)])
    follower = Follower(folder)
    read_all(follower)
    with folder.timeline.open("r+b") as file:
        file.write(whole + line)
    read_all(follower)
    same(follower, folder)
    follower.close()


def test_a_tail_is_seen_cut_before_anything_follows_it(folder: RunFolder) -> None:
    begun(folder, SHORT)
    torn(folder, SHORT, 0.5)
    follower = Follower(folder)
    read_all(follower)
    taken_up(folder)
    read_all(follower)
    taken_up(folder, SHORT, SHORT)
    read_all(follower)
    same(follower, folder)
    follower.close()


@settings(deadline=None)
@given(st.data())
def test_any_cut_and_any_moments_of_looking_give_the_same_events(data: st.DataObject) -> None:
    with TemporaryDirectory() as made:
        folder = RunFolder(Path(made))
        begun(folder, SHORT)
        follower = Follower(folder)
        texts = st.sampled_from([SHORT, "", SHORT * 9, LONG])

        def tear() -> None:
            torn(folder, data.draw(texts), data.draw(st.floats(0, 1)))

        def look() -> None:
            follower.poll()

        def go_on() -> None:
            taken_up(folder, *data.draw(st.lists(texts, max_size=4)))

        for act in data.draw(st.lists(st.sampled_from([tear, look, look, go_on]), max_size=14)):
            if act is tear and not folder.timeline.read_bytes().endswith(b"\n"):
                continue
            act()
        taken_up(folder, SHORT)
        read_all(follower)
        same(follower, folder)
        follower.close()


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_damage_behind_a_torn_tail_is_still_named(folder: RunFolder, text: str) -> None:
    begun(folder, SHORT)
    torn(folder, SHORT, 0.5)
    follower = Follower(folder)
    read_all(follower)
    taken_up(folder, SHORT, text, SHORT)
    content = folder.timeline.read_bytes()
    third = content.split(b"\n")[2]
    folder.timeline.write_bytes(content.replace(third, third.replace(b"ana", b"eve")))
    read_all(follower)
    assert follower.damage == "record 3 has a hash that does not match its content"
    assert follower.state.seq == 2
    follower.close()


def test_records_that_were_read_and_are_gone_are_named(folder: RunFolder) -> None:
    begun(folder, SHORT, SHORT, SHORT)
    follower = Follower(folder)
    read_all(follower)
    os.truncate(folder.timeline, folder.timeline.read_bytes().index(b"\n") + 1)
    read_all(follower)
    assert follower.damage == "record 3 was there before and is gone"
    assert follower.state.seq == 3
    follower.close()


def test_a_longer_copy_that_takes_the_files_place_is_read_on(folder: RunFolder) -> None:
    begun(folder, SHORT, SHORT)
    follower = Follower(folder)
    read_all(follower)
    copy = folder.timeline.with_name("copy")
    copy.write_bytes(folder.timeline.read_bytes())
    copy.rename(folder.timeline)
    taken_up(folder, SHORT)
    read_all(follower)
    read_all(follower)
    same(follower, folder)
    follower.close()
