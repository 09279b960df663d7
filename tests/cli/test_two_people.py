"""Two people on real servers: root flies, another user of this machine approves, and the operating system says who is who."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cockpit import wiring
from cockpit.drill.lead import Lead
from cockpit.model import events as ev
from cockpit.model.intents import Ask
from cockpit.model.state import RunState, replay
from cockpit.model.words import Consent, Mode, Outcome, Side
from cockpit.timeline.folder import RunFolder
from cockpit.timeline.journal import read
from tests.cli.conftest import Pair
from tests.cli.second import as_user
from tests.cli.typed import Answer, cockpit
from tests.quick import quick

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user of this machine"),
]


@dataclass
class Flown:
    """A run whose scenario asks for a second person."""

    folder: RunFolder
    lead: Lead
    guardian: subprocess.Popen[bytes]
    doors: Path

    async def waits(self) -> RunState:
        await self.lead.ready()
        await self.lead.ask(Ask.ARM)
        return await self.lead.until(lambda s: s.handover is not None and s.handover.awaits_second, 120, "a question to a second person")

    async def root(self, *words: str) -> Answer:
        return await asyncio.to_thread(cockpit, "approve", self.folder.name, "--at", str(self.doors), *words)

    async def nobody(self, *words: str) -> Answer:
        user = pwd.getpwnam("nobody")
        return await asyncio.to_thread(as_user, user.pw_uid, user.pw_gid, "approve", self.folder.name, "--at", str(self.doors), *words)


ASKED = {r"expires = 20 ": 'approval = "second"\napproval_expires = 120\nexpires = 20 ', r"deadline = 25\n": "deadline = 145\n"}


def _config(pair: Pair, doors: Path) -> Path:
    text = pair.config.read_text().replace(
        "[pairs.arp]\n", f'[cockpit.approvals]\nusers = ["nobody"]\nfolder = "{doors}"\n\n[pairs.arp]\n', 1
    )
    path = pair.folder / "two-config.toml"
    path.write_text(text)
    return path


@asynccontextmanager
async def flown(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Flown]:
    try:
        pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("this machine has no user nobody")
    await pair.do("blue", "INSERT INTO orders (note) SELECT 'order ' || n FROM generate_series(1, 100) n")
    for name, word in pair.words.items():
        monkeypatch.setenv(name, word)
    with tempfile.TemporaryDirectory(prefix="cockpit-test-", dir="/tmp") as doors:
        os.chmod(doors, 0o755)
        scenario, config = quick(pair.folder, ASKED), _config(pair, Path(doors))
        order = wiring.read_order(config, str(scenario), None)
        folder = wiring.open_run(pair.runs, config, str(scenario), order.spec, drill=False)
        guardian = wiring.start(folder)
        lead = Lead(folder)
        try:
            yield Flown(folder, lead, guardian, Path(doors))
        finally:
            await lead.leave()
            guardian.send_signal(signal.SIGTERM)
            await asyncio.to_thread(guardian.wait, 60)


async def test_a_cutover_flies_when_another_user_approved_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with flown(pair, monkeypatch) as run:
        state = await run.waits()
        own = await run.root("--approve", "arp", "--comment", "my own")
        assert (own.code, own.out) == (2, "")
        assert "root asks for it: another person must approve" in own.line
        plan = (await run.nobody("--json")).out
        assert state.handover is not None
        assert state.handover.plan_digest in plan
        assert stat.S_IMODE(run.folder.root.stat().st_mode) == 0o700
        assert stat.S_IMODE(run.folder.socket.stat().st_mode) == 0o600

        told = await run.nobody("--approve", "arp", "--comment", "gates and proof read")
        assert (told.code, told.err) == (0, ""), told
        await run.lead.until(lambda s: s.handover is not None and bool(s.handover.approval and s.handover.approval.by), 10, "the approval")
        await run.lead.ask(Ask.GO, "arp")
        state = await run.lead.until(lambda s: s.mode in {Mode.READY, Mode.STUCK} and bool(s.past), 120, "the landing")
        assert (state.past[-1].outcome, state.serving) == (Outcome.DONE, Side.GREEN), run.folder.log.read_text()

        await run.lead.ask(Ask.BACK)
        state = await run.lead.until(lambda s: s.mode in {Mode.READY, Mode.STUCK} and len(s.past) == 2, 120, "the way back")
        assert (state.past[-1].outcome, state.serving) == (Outcome.DONE, Side.BLUE)
        late = await run.nobody("--approve", "arp", "--comment", "too late")
        assert (late.code, late.out) == (2, "")

        events = read(run.folder.timeline).events
        given = [event.fact for event in events if isinstance(event.fact, ev.ApprovalGiven)]
        assert [(fact.by, fact.uid, fact.comment) for fact in given] == [("nobody", pwd.getpwnam("nobody").pw_uid, "gates and proof read")]
        report = (await asyncio.to_thread(cockpit, "export", run.folder.name, "--runs", str(pair.runs))).out
        assert "nobody (uid 65534) APPROVES handover 1" in report
    assert list(run.doors.parent.glob(f"{run.doors.name}/*")) == []


async def test_a_pilot_that_dies_while_it_waits_leaves_nothing_in_the_air(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with flown(pair, monkeypatch) as run:
        state = await run.waits()
        os.kill(state.owner_pid, signal.SIGKILL)
        assert await asyncio.to_thread(run.guardian.wait, 60) == 1
        told = await run.nobody("--approve", "arp", "--comment", "yes")
        assert (told.code, told.out) == (2, "")
        assert "has a second person's door" in told.line, "the guardian has shut it"
        ended = replay(read(run.folder.timeline).events)
        assert (ended.mode, ended.serving, ended.past[-1].outcome) == (Mode.CLOSED, Side.BLUE, Outcome.ABORTED)
        assert ended.handover is not None
        assert ended.handover.approval is not None
        assert ended.handover.approval.consent is Consent.ASKED
        assert not ended.handover.awaits_second
        assert ended.handover.downtime_mono is None
