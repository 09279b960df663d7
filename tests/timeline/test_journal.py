"""The chain: what is written reads back, what is changed is named by its number, what is torn is set aside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.errors import JournalDamaged, JournalError
from cockpit.model import events as ev
from cockpit.model.state import EMPTY, fold, replay
from cockpit.model.words import Direction, Known, Light, Mode, Outcome, Severity, Side
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import Follower
from cockpit.timeline.journal import Journal, is_flown, read, verify

TEXT = st.text(max_size=30)
NUMBER = st.floats(0, 1e6, allow_nan=False)
EVIDENCE = st.dictionaries(
    TEXT, st.one_of(st.integers(-(2**53), 2**53), TEXT, st.booleans(), st.none(), st.lists(TEXT, max_size=3)), max_size=3
)
STEPS = st.sampled_from(["arm", "pause", "fence", "resume", "no such step"])
LINES = st.lists(st.builds(ev.PlannedLine, STEPS, TEXT, NUMBER, st.booleans()), max_size=4).map(tuple)

FACTS = st.one_of(
    st.builds(ev.RunOpened, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.booleans(), NUMBER, NUMBER, LINES, LINES),
    st.builds(ev.PilotSeated, TEXT, st.integers(0, 99999), TEXT),
    st.builds(ev.SidesSeen, st.sampled_from(Side), TEXT, TEXT, EVIDENCE),
    st.builds(ev.ModeChanged, st.sampled_from(Mode), TEXT),
    st.builds(ev.RunClosed, TEXT, st.integers(0, 5), st.one_of(st.none(), st.sampled_from(Side)), st.lists(TEXT, max_size=2).map(tuple)),
    st.builds(ev.IntentTaken, TEXT, TEXT, st.integers(0, 999), TEXT),
    st.builds(ev.IntentRefused, TEXT, TEXT, st.integers(0, 999), TEXT),
    st.builds(ev.NoteTaken, TEXT, TEXT),
    st.builds(ev.FindingSeen, TEXT, TEXT, st.sampled_from(Severity), TEXT, TEXT, TEXT, TEXT),
    st.builds(ev.PreflightStarted),
    st.builds(ev.PreflightDone, *[st.integers(0, 9)] * 4),
    st.builds(ev.GateTurned, TEXT, st.sampled_from(Light), TEXT, TEXT),
    st.builds(ev.HandoverOpened, st.integers(1, 9), st.sampled_from(Direction), TEXT, TEXT, NUMBER),
    st.builds(ev.HandoverClosed, st.integers(1, 9), st.sampled_from(Outcome), NUMBER, st.one_of(st.none(), st.sampled_from(Side)), TEXT),
    st.builds(ev.StepStarted, STEPS),
    st.builds(ev.StepFinished, STEPS, NUMBER, EVIDENCE),
    st.builds(ev.StepFailed, STEPS, NUMBER, TEXT, TEXT),
    st.builds(ev.ActionIntended, TEXT, st.just(())),
    st.builds(ev.ActionDone, TEXT, NUMBER, EVIDENCE),
    st.builds(ev.ActionFailed, TEXT, NUMBER, TEXT, st.booleans()),
    st.builds(ev.ActionProbed, TEXT, st.sampled_from(Known), EVIDENCE),
    st.builds(ev.DowntimeStarted),
    st.builds(ev.FenceSet, st.sampled_from(Side), TEXT),
    st.builds(
        ev.Certified,
        *(st.sampled_from(Side), st.sampled_from(Side), TEXT, st.sampled_from([True, None])),
        *[st.integers(0, 2**53)] * 5,
        *(
            st.one_of(st.none(), NUMBER),
            NUMBER,
            st.lists(TEXT, max_size=2).map(tuple),
            st.lists(TEXT, max_size=2).map(tuple),
            st.booleans(),
        ),
    ),
    st.builds(ev.ReturnPassed, st.sampled_from(Side)),
    st.builds(ev.DowntimeEnded, NUMBER),
    st.builds(ev.AlarmRaised, TEXT, TEXT, TEXT, TEXT),
    st.builds(ev.AlarmCleared, TEXT),
)


def write(path: Path, facts: list[ev.Fact]) -> list[ev.Event]:
    path.unlink(missing_ok=True)
    journal = Journal.create(path, "pilot")
    written = [journal.append(fact, durable=False) for fact in facts]
    journal.close()
    return written


@settings(max_examples=150, deadline=None)
@given(facts=st.lists(FACTS, max_size=15))
def test_what_is_written_reads_back_and_folds_the_same(tmp_path_factory: pytest.TempPathFactory, facts: list[ev.Fact]) -> None:
    path = tmp_path_factory.mktemp("j") / "timeline.jsonl"
    written = write(path, facts)
    reading = read(path)
    assert reading.events == tuple(written)
    assert reading.intact
    assert not reading.torn
    follower = Follower(RunFolder(path.parent))
    follower.poll()
    assert follower.state == replay(written)
    follower.close()


@settings(max_examples=150, deadline=None)
@given(facts=st.lists(FACTS, max_size=20), cut=st.integers(0, 20))
def test_folding_in_two_parts_is_folding_at_once(facts: list[ev.Fact], cut: int) -> None:
    events = [ev.Event(n + 1, "2026-01-01T00:00:00+00:00", float(n), "pilot", fact) for n, fact in enumerate(facts)]
    state = replay(events[:cut])
    for event in events[cut:]:
        state = fold(state, event)
    assert state == replay(events)
    assert state.seq == len(events)
    assert EMPTY.seq == 0


SAMPLE: list[ev.Fact] = [
    ev.RunOpened("r", "arp", "arp", "s", "c", "p", "ana", "h", "0", True, 300, 300, (), ()),
    ev.SidesSeen(Side.BLUE, "16", "18", {"a": 1}),
    ev.ModeChanged(Mode.READY),
    ev.NoteTaken("ana", "before the window"),
]


def test_a_record_cut_at_every_byte_is_torn_and_never_damage(tmp_path: Path) -> None:
    write(tmp_path / "t", SAMPLE)
    content = (tmp_path / "t").read_bytes()
    last = content.rindex(b"\n", 0, len(content) - 1) + 1
    for size in range(last, len(content)):
        reading = verify(content[:size])
        assert reading.intact, size
        whole = size == len(content) - 1
        assert len(reading.events) == (4 if whole else 3)
        assert bool(reading.torn) is (last < size < len(content) - 1)


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    write(tmp_path / "t", SAMPLE)
    content = bytearray((tmp_path / "t").read_bytes())
    starts = [0, *(n + 1 for n, byte in enumerate(content) if byte == 10)]
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 0x01
        reading = verify(bytes(changed))
        record = sum(start <= at for start in starts)
        assert reading.damage or reading.torn, at
        assert len(reading.events) == record - 1, at
        if reading.damage:
            assert reading.damaged_record == record


def test_swapped_doubled_and_missing_records_are_named(tmp_path: Path) -> None:
    write(tmp_path / "t", SAMPLE)
    lines = (tmp_path / "t").read_bytes().splitlines(keepends=True)
    swapped = b"".join([lines[0], lines[2], lines[1], lines[3]])
    doubled = b"".join([lines[0], lines[1], lines[1], lines[2], lines[3]])
    missing = b"".join([lines[0], lines[2], lines[3]])
    assert verify(swapped).damaged_record == 2
    assert verify(doubled).damaged_record == 3
    assert verify(missing).damaged_record == 2


def test_a_torn_tail_is_kept_beside_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, SAMPLE)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":5,"at":"20')
    journal, reading = Journal.take_up(path, "guardian")
    assert "unfinished record 5" in reading.torn
    journal.append(ev.NoteTaken("guardian", "taken up"))
    journal.close()
    after = read(path)
    assert after.intact
    assert len(after.events) == 5
    assert (tmp_path / "t.torn-5").read_bytes() == b'{"seq":5,"at":"20'


def test_a_damaged_timeline_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, SAMPLE)
    path.write_bytes(path.read_bytes().replace(b"before the window", b"before the WINDOW"))
    with pytest.raises(JournalDamaged) as caught:
        Journal.take_up(path, "pilot")
    assert caught.value.record == 4


def test_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "t"
    journal = Journal.create(path, "pilot")
    assert is_flown(path)
    with pytest.raises(JournalError, match="another process flies"):
        Journal.take_up(path, "pilot")
    journal.close()
    assert not is_flown(path)


def test_a_link_in_place_of_the_timeline_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "real", SAMPLE)
    (tmp_path / "t").symlink_to(tmp_path / "real")
    with pytest.raises(JournalError):
        Journal.take_up(tmp_path / "t", "pilot")


def test_a_full_disk_stops_every_later_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(tmp_path / "t", "pilot")
    journal.append(SAMPLE[0])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalError, match="No space left"):
        journal.append(SAMPLE[1])
    monkeypatch.undo()
    with pytest.raises(JournalError, match="No space left"):
        journal.append(SAMPLE[1])
    journal.close()
    assert len(read(tmp_path / "t").events) == 1


def test_the_follower_names_damage_and_stops(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write(folder.timeline, SAMPLE)
    folder.timeline.write_bytes(folder.timeline.read_bytes().replace(b'"ana"', b'"eve"'))
    follower = Follower(folder)
    assert follower.poll()
    assert "record 1" in follower.damage
    assert follower.state == EMPTY
    assert not follower.poll()
    follower.close()
