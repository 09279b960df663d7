"""Asking the drill's apps what they felt, and telling them to stop: the other end of `apps.sock`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cockpit.drill.ledger import Felt
from cockpit.errors import LinkError

_ASK_S = 10.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Totals:
    """What an app has done since it started. `kinds`: its errors by what they said."""

    writes: int
    errors: int
    breaks: int
    open: int
    kinds: dict[str, int]


@dataclass(frozen=True, slots=True)
class AppsControl:
    """The apps of the rig in `folder` (where `apps.sock` is)."""

    folder: Path

    async def interval(self, t0: float, t1: float) -> dict[str, Felt]:
        """What each app felt between two moments of CLOCK_MONOTONIC (seconds): every write that waited at some moment of it."""
        answer = await self._ask({"ask": "interval", "t0": t0, "t1": t1})
        return {name: Felt(**felt) for name, felt in answer["apps"].items()}

    async def totals(self) -> dict[str, Totals]:
        """Counts since the start; the ledger files hold every acknowledgement up to now."""
        answer = await self._ask({"ask": "totals"})
        return {name: Totals(**counts) for name, counts in answer["apps"].items()}

    async def feed(self) -> dict[str, Any]:
        """The live feed as it stands in its file."""
        text = await asyncio.to_thread((self.folder / "apps.json").read_text, encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    async def rest(self, deadline_s: float = 30.0) -> None:
        """No write is under way and none becomes due until `go_on`. `LinkError` names who still waits for an answer at the deadline."""
        await self._ask({"ask": "rest"})
        end = asyncio.get_running_loop().time() + deadline_s
        while waiting := [name for name, app in (await self.totals()).items() if app.open]:
            if asyncio.get_running_loop().time() > end:
                raise LinkError(f"writes of {', '.join(waiting)} were not answered in {deadline_s:g} s", where=str(self.folder))
            await asyncio.sleep(_POLL_S)

    async def go_on(self) -> None:
        """Writes become due again."""
        await self._ask({"ask": "go on"})

    async def stop(self, deadline_s: float = 30.0) -> None:
        """No app writes any more, and all that was due is acknowledged. `LinkError` when they do not end within the deadline."""
        await self._ask({"ask": "stop"})
        end = asyncio.get_running_loop().time() + deadline_s
        while not await asyncio.to_thread((self.folder / "apps.done").exists):
            if asyncio.get_running_loop().time() > end:
                raise LinkError(f"the apps did not finish their writes in {deadline_s:g} s", where=str(self.folder))
            await asyncio.sleep(_POLL_S)

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_ASK_S):
                reader, writer = await asyncio.open_unix_connection(self.folder / "apps.sock", limit=2**22)
                try:
                    writer.write(json.dumps(question).encode() + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
            answer: dict[str, Any] = json.loads(line)
        except (OSError, TimeoutError, ValueError) as err:
            raise LinkError("the apps do not answer", where=str(self.folder / "apps.sock"), remedy="see apps.log beside it") from err
        return answer
