"""The databases file, with the text for both sides on disk before the window, so that a route is one rename."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.systems import replacing
from cockpit.systems.pgbouncer import entries
from cockpit.systems.pgbouncer.options import Address


class Routes:
    """`names`: the entries that are routed, the apps' own first; `database` is where an entry that is missing would lead."""

    def __init__(self, path: Path, names: tuple[str, ...], addresses: Mapping[Side, Address], database: str) -> None:
        self.path = path
        self.names = names
        self.addresses = addresses
        self.database = database
        self._ready: dict[Side, tuple[str, Path]] = {}
        self._staging: asyncio.Task[None] | None = None

    def text(self, side: Side) -> str:
        """The present text, leading to `side`."""
        return entries.routed(self._now(), self.names, self.addresses[side].host, self.addresses[side].port, self.database)

    def names_side(self, side: Side) -> bool:
        """Whether every routed entry of the file leads to `side` now."""
        now, address = self._now(), self.addresses[side]
        return all(entries.goes_to(now, name) == (address.host, address.port) for name in self.names)

    async def stage(self) -> None:
        """Both sides' files are on disk."""
        await asyncio.to_thread(self._stage)

    def _stage(self) -> None:
        for side in Side:
            text = self.text(side)
            if self._ready.get(side, ("", Path()))[0] != text:
                self._ready[side] = (text, replacing.write_beside(replacing.real(self.path), side, text.encode("utf-8", "surrogateescape")))

    async def put(self, side: Side) -> None:
        """The file leads to `side`. Whatever else somebody changed in it since it was staged is kept."""
        if self._staging is not None:
            await asyncio.wait({self._staging})
            self._staging = None
        if self.names_side(side):
            return
        text = self.text(side)
        ready = self._ready.pop(side, None)
        target = replacing.real(self.path)
        if ready is None or ready[0] != text or not ready[1].exists():
            ready = (text, await asyncio.to_thread(replacing.write_beside, target, side, text.encode("utf-8", "surrogateescape")))
        replacing.put(ready[1], target)

    async def settle(self) -> None:
        """The change outlives a power cut. The file that was used up is prepared anew in the background."""
        await asyncio.to_thread(replacing.sync_folder, replacing.real(self.path).parent)
        self._staging = asyncio.get_running_loop().create_task(self._restage())

    async def _restage(self) -> None:
        try:
            await self.stage()
        except SystemFault:
            pass  # the next `put` writes the file itself, or says why it cannot

    async def close(self) -> None:
        """No prepared file is left."""
        if self._staging is not None:
            await asyncio.wait({self._staging})
        for _, path in self._ready.values():
            path.unlink(missing_ok=True)
        self._ready.clear()

    def _now(self) -> str:
        return replacing.read(self.path).decode("utf-8", "surrogateescape")
