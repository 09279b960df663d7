"""Following a run that has long begun: the newest is known at once, the whole soon, and nothing older replaces it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.model import events as ev
from cockpit.model.telemetry import PulseSample, ReconSample, RoutingSample, Sample, TableProof
from cockpit.model.words import Exactness, Mode, ProofState, Side
from cockpit.timeline.codec import encode_sample
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.follow import CHUNK, EARLIER, HISTORY, Follower
from cockpit.timeline.journal import Journal
from tests.screen.demo import _lag

LONG = 40_000
"""Pulses: some megabytes."""


def proof(table: str, rows: int) -> TableProof:
    return TableProof(table, rows, rows, ProofState.EQUAL, Exactness.EXACT, 1.0)


def recon(mono: float, *tables: TableProof) -> ReconSample:
    return ReconSample(mono, 1, 1, 1, 2, 0, 0, None, None, 0.1, tables)


def long_run() -> list[Sample]:
    """Tables told once at the start, one of them again near the end; lag all the time."""
    made: list[Sample] = [recon(0.0, proof("sales.orders", 1), proof("geo.places", 5))]
    for number in range(LONG):
        made.append(PulseSample(float(number), 7, number))
        if number % 40 == 0:
            made.append(_lag(float(number)))
    return [*made, recon(float(LONG), proof("sales.orders", 2))]


def put(path: Path, samples: list[Sample], mode: str = "wb") -> None:
    with path.open(mode) as file:
        file.writelines(encode_sample(sample) for sample in samples)


def read_all(follower: Follower) -> int:
    polls = 1
    while follower.poll():
        polls += 1
    return polls


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_the_first_look_at_a_long_run_shows_it_as_it_is_now(folder: RunFolder) -> None:
    put(folder.samples, long_run())
    assert folder.samples.stat().st_size > 10 * EARLIER
    follower = Follower(folder)
    assert follower.poll()
    assert not follower.behind
    assert follower.latest.pulse == PulseSample(float(LONG - 1), 7, LONG - 1)
    assert follower.latest.tables["sales.orders"].rows_blue == 2
    follower.close()


def test_what_only_an_earlier_sample_tells_is_learnt_and_nothing_older_replaces_it(folder: RunFolder) -> None:
    put(folder.samples, long_run())
    follower = Follower(folder)
    follower.poll()
    put(folder.samples, [PulseSample(1e6, 7, 0), _lag(1e6)], "ab")
    read_all(follower)
    latest = follower.latest
    assert latest.pulse is not None
    assert latest.pulse.mono == 1e6
    assert latest.tables["geo.places"].rows_blue == 5
    assert latest.tables["sales.orders"].rows_blue == 2
    times = [mono for mono, _ in latest.lag_history]
    assert times == sorted(times)
    assert len(times) == HISTORY
    assert latest.lag is not None
    assert latest.lag.mono == times[-1] == _lag(1e6).mono
    follower.close()


def test_a_sample_that_is_being_written_is_taken_once_it_is_whole(folder: RunFolder) -> None:
    whole, half = encode_sample(PulseSample(1.0, 7, 1)), encode_sample(PulseSample(2.0, 7, 2))
    folder.samples.write_bytes(whole + half[:9])
    follower = Follower(folder)
    read_all(follower)
    assert follower.latest.pulse == PulseSample(1.0, 7, 1)
    with folder.samples.open("ab") as file:
        file.write(half[9:])
    read_all(follower)
    assert follower.latest.pulse == PulseSample(2.0, 7, 2)
    follower.close()


def test_a_line_longer_than_a_piece_is_read_whole(folder: RunFolder) -> None:
    names = [f"schema.table_{number}" for number in range(6_000)]
    put(folder.samples, [recon(1.0, *(proof(name, 3) for name in names)), PulseSample(2.0, 7, 2)])
    assert folder.samples.stat().st_size > 3 * EARLIER
    follower = Follower(folder)
    read_all(follower)
    assert set(follower.latest.tables) == set(names)
    follower.close()


def test_tables_told_in_the_file_that_was_set_aside_are_learnt_too(folder: RunFolder) -> None:
    put(folder.samples.with_name(folder.samples.name + ".1"), [recon(0.0, proof("geo.places", 5), proof("sales.orders", 1))])
    put(folder.samples, [recon(9.0, proof("sales.orders", 2)), RoutingSample(9.0, ())])
    follower = Follower(folder)
    read_all(follower)
    assert {name: told.rows_blue for name, told in follower.latest.tables.items()} == {"geo.places": 5, "sales.orders": 2}
    follower.close()


def test_a_file_that_comes_later_and_one_that_replaces_it_are_read_from_their_start(folder: RunFolder) -> None:
    follower = Follower(folder)
    assert not follower.poll()
    put(folder.samples, [PulseSample(1.0, 7, 1), recon(1.0, proof("geo.places", 5))])
    read_all(follower)
    assert follower.latest.tables["geo.places"].rows_blue == 5
    folder.samples.rename(folder.samples.with_name(folder.samples.name + ".1"))
    put(folder.samples, [recon(2.0, proof("geo.zones", 6))])
    read_all(follower)
    assert read_all(follower) <= 2
    assert set(follower.latest.tables) == {"geo.places", "geo.zones"}
    follower.close()


def test_a_long_timeline_is_behind_until_it_is_read_whole_a_piece_at_a_time(folder: RunFolder) -> None:
    journal = Journal.create(folder.timeline, "pilot")
    journal.append(ev.RunOpened("r", "arp", "arp", "s", "c", "p", "ana", "h", "0", True, 300, 300, (), ()), durable=False)
    for number in range(2_000):
        journal.append(ev.NoteTaken("ana", f"note {number}"), durable=False)
    journal.append(ev.ModeChanged(Mode.READY), durable=False)
    journal.close()
    follower = Follower(folder)
    polls = 0
    before = 0
    while follower.poll() and follower.behind:
        assert follower.state.seq - before <= CHUNK // 200
        before = follower.state.seq
        polls += 1
    assert polls >= folder.timeline.stat().st_size // CHUNK - 1
    assert follower.state.mode is Mode.READY
    assert follower.state.serving in {None, Side.BLUE}
    follower.close()


def test_a_damaged_timeline_is_not_waited_for(folder: RunFolder) -> None:
    journal = Journal.create(folder.timeline, "pilot")
    for number in range(2_000):
        journal.append(ev.NoteTaken("ana", f"note {number}"), durable=False)
    journal.close()
    folder.timeline.write_bytes(folder.timeline.read_bytes().replace(b"note 1000", b"note 9999"))
    follower = Follower(folder)
    read_all(follower)
    assert "record 1001" in follower.damage
    assert not follower.behind
    follower.close()
