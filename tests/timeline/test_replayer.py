"""A replay shows at every moment what a follower showed then, forwards and backwards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cockpit.model import events as ev
from cockpit.model.state import replay
from cockpit.model.telemetry import PulseSample
from cockpit.timeline.codec import encode_event
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import Chain, Journal, read, seal
from cockpit.timeline.replayer import BATCH, SPEEDS, Replayer
from cockpit.timeline.samples import Samples
from tests.timeline.test_journal import SAMPLE


def recorded(root: Path) -> RunFolder:
    folder = RunFolder(root)
    moments = iter([10.0, 11.0, 12.0, 20.0])
    journal = Journal.create(folder.timeline, "pilot", lambda: next(moments))
    for fact in SAMPLE:
        journal.append(fact, durable=False)
    journal.close()
    samples = Samples(folder.samples)
    for n in range(10, 20):
        samples.write(PulseSample(n + 0.5, 1, n))
    samples.close()
    return folder


def test_a_replay_runs_at_its_speed_and_stops_at_the_end(tmp_path: Path) -> None:
    wall = [100.0]
    replayer = Replayer(recorded(tmp_path), speed=2.0, clock=lambda: wall[0])
    assert not replayer.poll()
    wall[0] += 0.5
    assert replayer.poll()
    assert replayer.state.seq == 1
    wall[0] += 1.1
    replayer.poll()
    assert replayer.state.seq == 3
    assert replayer.latest.pulse is not None
    assert replayer.latest.pulse.seq == 11
    wall[0] += 1000
    replayer.poll()
    assert replayer.over
    assert replayer.now() == 20.0
    assert replayer.state == replay(read(tmp_path / "timeline.jsonl").events)


def test_pausing_stepping_and_going_back(tmp_path: Path) -> None:
    wall = [0.0]
    replayer = Replayer(recorded(tmp_path), clock=lambda: wall[0])
    replayer.pause()
    wall[0] += 60
    assert not replayer.poll()
    for seq in (1, 2, 3, 4):
        replayer.step()
        assert replayer.state.seq == seq
    replayer.back()
    assert replayer.state.seq == 3
    assert replayer.now() == 12.0
    replayer.play()
    wall[0] += 8
    replayer.poll()
    assert replayer.state.seq == 4


def test_turns_are_what_one_jumps_to(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    moments = iter(float(n) for n in range(10, 40))
    journal = Journal.create(folder.timeline, "pilot", lambda: next(moments))
    for fact in (
        ev.PilotSeated("pilot", 1, "a"),
        ev.NoteTaken("ana", "x"),
        ev.StepStarted("arm"),
        ev.NoteTaken("ana", "y"),
        ev.RunClosed("done", 0, None),
    ):
        journal.append(fact, durable=False)
    journal.close()
    replayer = Replayer(folder)
    replayer.pause()
    shown = []
    for by in (1, 1, 1, -1):
        replayer.turn(by)
        shown.append(replayer.state.seq)
    assert shown == [3, 5, 5, 3]


@pytest.mark.parametrize("boots", [(5000.0, 20.0), (20.0, 900_000.0)], ids=["back", "ahead"])
def test_two_boots_are_laid_end_to_end(tmp_path: Path, boots: tuple[float, float]) -> None:
    """The second machine's clock began long after the first one's, or long before; the samples go with it."""
    folder = RunFolder(tmp_path)
    first, second = boots
    walls = [0, 1, 61, 61, 62]
    facts = [
        ev.PilotSeated("pilot", 1, "a", "boot-1"),
        ev.NoteTaken("ana", "x"),
        ev.RunTakenUp("ben", "bastion-2"),
        ev.PilotSeated("pilot", 2, "b", "boot-2"),
        ev.RunClosed("done", 0, None),
    ]
    monos = [first, first + 1, second, second, second + 1]
    head = Chain().head
    with folder.timeline.open("wb") as file:
        for n, (fact, mono, wall) in enumerate(zip(facts, monos, walls, strict=True)):
            at = datetime.fromtimestamp(1_800_000_000 + wall, UTC).isoformat(timespec="microseconds")
            line, head = seal(encode_event(ev.Event(n + 1, at, mono, "pilot", fact), head))
            file.write(line)
    samples = Samples(folder.samples)
    for mono in (first + 0.5, second + 0.5):
        samples.write(PulseSample(mono, 1, 1))
    samples.close()
    wall = [0.0]
    replayer = Replayer(folder, clock=lambda: wall[0])
    assert replayer.damage == ""
    assert replayer.span == (first, first + 62)
    replayer.pause()
    replayer.seek(first + 0.9)
    assert replayer.latest.pulse is not None
    assert replayer.latest.pulse.mono == first + 0.5
    replayer.seek(first + 61.9)
    assert replayer.state.seq == 4
    assert replayer.latest.pulse.mono == second + 0.5
    assert replayer.now() == pytest.approx(second + 0.9), "the state's own times are of the boot that is shown"


def test_a_long_way_is_gone_in_pieces(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    journal = Journal.create(folder.timeline, "pilot", lambda: 1.0)
    for n in range(BATCH * 2 + 10):
        journal.append(ev.NoteTaken("ana", str(n)), durable=False)
    journal.close()
    wall = [0.0]
    replayer = Replayer(folder, clock=lambda: wall[0])
    wall[0] = 10.0
    released = []
    while replayer.poll():
        released.append(replayer.state.seq)
    assert released == [BATCH, 2 * BATCH, 2 * BATCH + 10]
    assert not replayer.behind


def test_notches_of_speed(tmp_path: Path) -> None:
    wall = [0.0]
    replayer = Replayer(recorded(tmp_path), clock=lambda: wall[0])
    replayer.faster(2)
    assert replayer.speed == 5.0
    wall[0] += 1.0
    assert replayer.position == replayer.span[0] - 1 + 5
    replayer.faster(-9)
    assert replayer.speed == SPEEDS[0]
