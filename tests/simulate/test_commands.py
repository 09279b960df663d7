"""Every command that a lead can give, in any order and at any moment: each is taken or refused as the state says, and no law is broken."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cockpit.model.bill import phrase
from cockpit.model.intents import Ask, refusal, to_type
from cockpit.model.state import replay
from cockpit.model.words import Mode, Outcome, Side
from cockpit.systems.memory import MemoryWorld, WarpLoop
from cockpit.systems.memory.oracle import lost
from cockpit.timeline.journal import read
from tests.handover.harness import Seat
from tests.simulate.machine import PACE
from tests.simulate.scene import scenario

TYPED = st.sampled_from(["", "arp", phrase("arp"), "otc", "+", "-", "all well", " "])
MOMENTS = st.sampled_from([0.0003, 0.001, 0.002, 0.004, 0.008, 0.02, 0.1, 0.5, 1.2, 3.0, 12.0, 25.0])
AT_REST = {Mode.READY, Mode.STUCK, Mode.CLOSED}


class Commands(RuleBasedStateMachine):
    """A lead who presses anything."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cockpit-commands-"))
        self.runner = asyncio.Runner(loop_factory=WarpLoop)
        self.memory = MemoryWorld(5, apps=3, poolers=1, channels=1, rate=4.0)
        self.seat = self.runner.run(self._open())

    async def _open(self) -> Seat:
        await self.memory.__aenter__()
        seat = Seat(self.memory, self.folder, scenario())
        seat.pilot.telemetry.pace = PACE
        return seat

    @rule(ask=st.sampled_from(list(Ask)), typed=TYPED)
    def say(self, ask: Ask, typed: str) -> None:
        self.runner.run(self._say(ask, typed))

    @rule()
    def arm(self) -> None:
        """As `say`, but with the patience that makes a flight likely."""
        self.runner.run(self._say(Ask.ARM, ""))
        self.runner.run(self._until({Mode.ARMED, *AT_REST}))

    @rule()
    def go(self) -> None:
        self.runner.run(self._say(Ask.GO, "arp"))

    @rule()
    def force(self) -> None:
        """Back without what blue has not, once that can be said; with the phrase that confirms it."""
        self.runner.run(self._say(Ask.FORCE, ""))
        self.runner.run(self._until({Mode.ARMED, *AT_REST}))
        self.runner.run(self._say(Ask.GO, to_type(self.seat.state)))

    @rule(stalled=st.booleans())
    def mirror_stands(self, stalled: bool) -> None:
        """What green has, blue has not, for a while."""
        self.runner.run(self._stand(stalled))

    async def _stand(self, stalled: bool) -> None:
        stream = self.memory.cluster.streams[Side.GREEN]
        stream.pump()
        stream.stalled = stalled

    @rule(seconds=MOMENTS)
    def wait(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    async def _say(self, ask: Ask, typed: str) -> None:
        if self.seat.task.done():
            return
        why = refusal(self.seat.state, ask, typed)
        reply = await self.seat.ask(ask, typed)
        if why:
            assert (reply.ok, reply.reason) == (False, why)
        else:
            assert reply.ok or reply.reason in {"the run is about to close"}, reply

    async def _until(self, modes: set[Mode]) -> None:
        async with asyncio.timeout(600):
            while self.seat.state.mode not in modes:
                left, _ = await asyncio.wait({self.seat.task}, timeout=0.02)
                if left:
                    return

    @invariant()
    def two_sides_never_diverge(self) -> None:
        """But for what blue went without on the lead's word: green keeps that."""
        parted, kept = self.seat.state.parted is not None, set(self._kept())
        assert [text for text in self.memory.watch.violations if not (parted and self._gone_without(text, kept))] == []

    @invariant()
    def every_acknowledged_write_is_there_or_kept(self) -> None:
        if self.seat.state.parted is None:
            return
        assert set(lost(self.memory.cluster, self.memory.ledger, Side.BLUE)) <= set(self._kept())
        assert not any(stream.enabled for stream in self.memory.cluster.streams.values())
        assert self.memory.cluster.nodes[Side.GREEN].fenced

    def _kept(self) -> list[str]:
        return [row.op for row in self.memory.cluster.streams[Side.GREEN].waiting() if not row.ours]

    def _gone_without(self, text: str, kept: set[str]) -> bool:
        return "diverged" in text and "committed on blue" in text and not kept.isdisjoint(text.replace(",", "").split())

    def teardown(self) -> None:
        try:
            self.runner.run(self._end())
        finally:
            self.runner.close()
            gc.enable()
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _end(self) -> None:
        """The run closes on its own word, and one side has everything."""
        await self._until(AT_REST)
        self.seat.pilot.close("the test is over")
        assert await asyncio.wait_for(self.seat.task, 600) in {0, 4, 5}
        self.seat.samples.close()
        self.seat.journal.close()
        state = self.seat.state
        assert replay(read(self.seat.timeline).events) == state
        assert all(handover.outcome in {Outcome.DONE, Outcome.ABORTED} for handover in state.past)
        side = state.serving or Side.BLUE
        self.memory.cluster.streams[Side.GREEN].stalled = False
        assert await self.memory.probe_apps() == []
        await self.memory.settle()
        streams, kept = self.memory.cluster.streams.values(), set(self._kept())
        broken = self.memory.oracle(expect=side, equal=all(stream.running for stream in streams))
        if state.parted is not None:
            broken = [text for text in broken if not self._gone_without(text, kept) and not kept & set(text.split()[1:2])]
            bill = state.parted.bill
            assert bill is not None
            assert (bill.exact, bill.total) == (True, len(kept)), self.seat.tail()
        assert broken == [], self.seat.tail()


Commands.TestCase.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
TestCommands = Commands.TestCase
