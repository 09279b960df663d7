"""A pilot's side door with something waiting behind it, and the second person's command as this user or as another of this machine."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cockpit.handover.approvals import SecondDoor, SecondPerson
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.approvals import Approvers, Asker
from cockpit.model.telemetry import GateReading, ReadinessSample, ReconSample, Share, TableProof
from cockpit.model.words import Direction, Exactness, Light, Mode, ProofState, Severity, Side
from cockpit.timeline.follow import Latest
from cockpit.timeline.journal import Journal
from cockpit.timeline.sidedoor import Place, SideDoor
from tests.cli.typed import Answer, environment

RUN = "20260314-143000-arp-7f3a"
LEAD = 70_001
PLAN = "ab12" * 16
HOSTILE = "\x1b[2J\u202eevil"

_AS = """
import os, sys
import msgspec, cockpit.cli, cockpit.approving, cockpit.config, cockpit._failure, cockpit.model.text
user, group = int(sys.argv[1]), int(sys.argv[2])
os.setgroups([group]); os.setgid(group); os.setuid(user)
sys.exit(cockpit.cli.main(sys.argv[3:]))
"""


def as_user(uid: int, gid: int, *words: str) -> Answer:
    """What `cockpit` answered to another user of this machine; only root can become one."""
    ran = subprocess.run(
        [sys.executable, "-c", _AS, str(uid), str(gid), *words],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False, env=environment({}),
    )  # fmt: skip
    return Answer(ran.returncode, ran.stdout.decode(), ran.stderr.decode(), ran.stderr.decode())


def typing(words: list[str], answers: list[str], seconds: float = 60) -> Answer:
    """What it answered in a terminal where each answer was typed when a question ended in `: `."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cockpit", *words], stdin=slave, stdout=subprocess.PIPE, stderr=slave, env=environment({})
    )
    os.close(slave)
    seen, end, left = b"", time.monotonic() + seconds, list(answers)
    while time.monotonic() < end:
        if not select.select([master], [], [], 0.1)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
        if left and seen.endswith(b": "):
            os.write(master, left.pop(0).encode() + b"\n")
    out, _ = process.communicate(timeout=20)
    os.close(master)
    return Answer(process.returncode, out.decode(), seen.decode(errors="replace"), "")


class Waiting:
    """A run whose cutover waits for a second person; `ask` types the command."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        self.folder = folder
        self.recorder = recorder

    async def ask(self, *words: str) -> Answer:
        from tests.cli.typed import cockpit

        return await asyncio.to_thread(cockpit, "approve", "arp-7f3a", "--at", str(self.folder), *words)

    def facts(self, kind: type) -> list[ev.Fact]:
        return [event.fact for event in self.recorder.state.tail if isinstance(event.fact, kind)]


def _facts() -> list[ev.Fact]:
    lines = (ev.PlannedLine("confirm", "a second person approves", 5.0, False),)
    return [
        ev.RunOpened(RUN, "arp", "arp", "5c" * 32, "c0" * 32, PLAN, "ana", "bastion", "0.1.0", False, 300, 300, lines, lines),
        ev.SidesSeen(Side.BLUE, "16.9", "18.1"),
        ev.FindingSeen("D6", "sales.daily", Severity.WARN, f"a materialized view {HOSTILE}", "select 1", "refresh it"),
        ev.FindingSeen("D4", "ops.scratch", Severity.BLOCK, "unlogged", "select 1", "", "scratch only"),
        ev.FindingSeen("R1", "blue", Severity.GOOD, "wal_level = logical", "select 1", ""),
        ev.HandoverOpened(1, Direction.CUTOVER, PLAN, 'type "arp"', 20.0, True),
        ev.ModeChanged(Mode.ARMED),
        ev.StepStarted("confirm"),
        ev.ApprovalAsked(1, PLAN, "ana@bastion", LEAD, 900.0, "cockpit approve arp-7f3a"),
    ]


def _latest(now: float) -> Latest:
    latest = Latest()
    proof = TableProof("sales.hot", 5, 5, ProofState.HOT, Exactness.EXACT, 0.5, None, "changes all the time")
    latest.take(ReconSample(now, 990, 1000, 39, 40, 3, 0, now, 0.01, 0.1, (proof,)))
    latest.take(ReadinessSample(now, 1.9, (Share("drain", 0.4), Share("prove", 1.5))))
    return latest


@asynccontextmanager
async def waiting(
    folder: Path, approvers: Approvers | None = None, asker: Asker | None = None, gid: int | None = None
) -> AsyncIterator[Waiting]:
    """The side door is open in a folder that other users can reach. By default this user is a second person, and the lead another."""
    now = asyncio.get_running_loop().time
    journal = Journal.create(folder / "timeline.jsonl", "pilot", now)
    recorder = Recorder(journal)
    for fact in _facts():
        recorder.record(fact, durable=False)
    readings = (GateReading("lag_bytes", "lag", Light.PASS, "12 B behind", "", now()),)
    with tempfile.TemporaryDirectory(prefix="cockpit-test-", dir="/tmp") as doors:
        os.chmod(doors, 0o755)
        door = SecondDoor(
            Place(Path(doors), gid),
            approvers or Approvers(frozenset({os.geteuid()})),
            asker or Asker(frozenset({LEAD}), frozenset({"ana"})),
            "cockpit approve arp-7f3a",
        )
        second = SecondPerson(recorder, _latest(now()), lambda: readings, door)
        side = SideDoor(second.answer, second.closed)
        await side.open(door.place, RUN)
        try:
            yield Waiting(Path(doors), recorder)
        finally:
            await side.close()
            journal.close()
