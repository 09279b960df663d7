"""The person with the keys: looks at the state, says what the story says, and ends the run when it is time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from cockpit.model.intents import Ask, Intent, to_type
from cockpit.model.state import EMPTY, RunState
from cockpit.model.words import Mode
from cockpit.timeline.wire import Reply
from tests.simulate.worst import FORCE, WORST

if TYPE_CHECKING:
    from tests.simulate.machine import Machine
    from tests.simulate.scene import Scene
    from tests.simulate.story import Move

LOOK_S = 0.1
STILL = {Mode.READY, Mode.STUCK, Mode.CLOSED}


class Lead:
    """Does the moves of the story, one after the other, as far as the state lets him."""

    def __init__(self, scene: Scene, machine: Machine, moves: tuple[Move, ...]) -> None:
        self._scene = scene
        self._machine = machine
        self._moves = moves

    @property
    def _state(self) -> RunState:
        return self._machine.recorder.state if self._machine.recorder is not None else EMPTY

    @property
    def _flying(self) -> bool:
        return self._machine.child.returncode is None

    async def run(self) -> None:
        await self._until(lambda s: s.mode in STILL, 60)
        for move in self._moves:
            await self._do(move)
            if not self._flying:
                return

    async def _do(self, move: Move) -> None:
        match move.what:
            case "fly":
                await self._fly(None)
            case "abort":
                await self._fly(move.wait)
            case "back":
                await self._back(move.wait)
            case "expire":
                await self._arm()
                await self._settled()
            case "disarm":
                await self._ask(Ask.ARM)
                await asyncio.sleep(move.wait)
                await self._ask(Ask.DISARM)
                await self._settled()
            case "wrong":
                await self._arm()
                await self._ask(Ask.GO, "otc")
                await self._ask(Ask.DISARM)
                await self._settled()
            case "close":
                await self._close()
            case "worst":
                self._reach_for(WORST)
                await asyncio.sleep(move.wait)
            case "force" | "force-abort" | "force-wrong" | "force-late":
                await self._force(move)
            case "resume" | "abort-left":
                await self._go_on(Ask.RESUME if move.what == "resume" else Ask.ABORT)
            case other:
                await self._aside(other, move.wait)

    async def _aside(self, what: str, wait: float) -> None:
        said = {"note": (Ask.NOTE, "all well"), "duty": (Ask.DUTY, "+"), "recheck": (Ask.RECHECK, "")}
        if what in said:
            await self._ask(*said[what])
        await asyncio.sleep(wait)

    async def _arm(self) -> bool:
        reply = await self._ask(Ask.ARM)
        if reply is None or not reply.ok:
            return False
        state = await self._until(lambda s: s.mode is Mode.ARMED or s.mode in STILL, 400)
        return state.mode is Mode.ARMED

    async def _fly(self, abort_after: float | None) -> None:
        if not await self._arm():
            return
        await self._ask(Ask.GO, self._state.pair)
        if abort_after is not None:
            await asyncio.sleep(abort_after)
            await self._ask(Ask.ABORT)
        await self._settled()

    async def _back(self, wait: float) -> None:
        await asyncio.sleep(wait)
        await self._ask(Ask.BACK)
        await self._settled()

    async def _go_on(self, ask: Ask) -> None:
        """What was left half way goes on, or home."""
        if self._state.mode is Mode.STUCK:
            await self._ask(ask, to_type(self._state) if ask is Ask.RESUME else "")
            await self._settled()

    def _reach_for(self, call: str) -> None:
        """What waits for this moment comes."""
        for listener in tuple(self._scene.memory.faults.heard):
            listener(call)

    async def _force(self, move: Move) -> None:
        """Back without what blue has not: as the bill says, with another word, too late, or with second thoughts."""
        self._reach_for(FORCE)
        await asyncio.sleep(1.0)
        reply = await self._ask(Ask.FORCE)
        if reply is None or not reply.ok:
            return
        state = await self._until(lambda s: s.mode is Mode.ARMED or s.mode in STILL, 400)
        if state.mode is not Mode.ARMED:
            return
        if move.what in {"force-wrong", "force-late"}:
            await self._ask(Ask.GO, state.pair)
            await self._ask(Ask.DISARM if move.what == "force-wrong" else Ask.NOTE, "so much")
        else:
            await asyncio.sleep(0.0 if move.what == "force-abort" else move.wait)
            await self._ask(Ask.GO, to_type(state))
        if move.what == "force-abort":
            await asyncio.sleep(move.wait)
            await self._ask(Ask.ABORT)
        await self._settled()

    async def _settled(self) -> None:
        """The handover is over; a stuck one is taken up again once, if the story says so."""
        state = await self._until(lambda s: s.mode in STILL, 900)
        if state.mode is Mode.STUCK and self._scene.story.again:
            await asyncio.sleep(5)
            await self._ask(Ask.ABORT)
            await self._until(lambda s: s.mode in STILL, 900)

    async def _close(self) -> None:
        """The run ends on his word; what stays half way for minutes is left open, as by a shutdown."""
        for _ in range(60):
            reply = await self._ask(Ask.CLOSE, self._state.pair)
            if not self._flying or (reply is not None and reply.ok):
                return
            if self._state.mode is Mode.STUCK and self._state.half_way is not None and self._machine.flown is not None:
                self._machine.flown.close("told to stop")
            await asyncio.sleep(20)

    async def _ask(self, ask: Ask, argument: str = "") -> Reply | None:
        """The pilot's answer; None where it gives none within 5 s. While its machine stands still nobody is at a screen."""
        await self._machine.awake.wait()
        flown = self._machine.flown
        if flown is None or not self._flying:
            return None
        answer = self._machine.pilot.run(flown.answer(Intent(ask, "ana", self._state.seq, argument)))
        done, _ = await asyncio.wait({answer}, timeout=5)
        return answer.result() if done else None

    async def _until(self, holds: Callable[[RunState], bool], within_s: float) -> RunState:
        """The state once `holds`, or the pilot is gone, or so much time has passed."""
        for _ in range(round(within_s / LOOK_S)):
            await self._machine.awake.wait()
            if not self._flying or holds(self._state):
                break
            await asyncio.sleep(LOOK_S)
        return self._state
