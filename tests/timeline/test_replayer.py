"""A replay shows at every moment what a follower showed then, forwards and backwards."""

from __future__ import annotations

from pathlib import Path

from cockpit.model.state import replay
from cockpit.model.telemetry import PulseSample
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import Journal, read
from cockpit.timeline.replayer import Replayer
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
