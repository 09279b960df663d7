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
        self._prepared = replacing.Prepared(path)
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
            self._prepared.stage(side, _bytes(self.text(side)))

    async def put(self, side: Side) -> None:
        """The file leads to `side`. Whatever else somebody changed in it since it was staged is kept."""
        if self._staging is not None:
            await asyncio.wait({self._staging})
            self._staging = None
        if not self.names_side(side):
            data = _bytes(self.text(side))
            if not self._prepared.staged(side, data):
                await asyncio.to_thread(self._prepared.stage, side, data)
            self._prepared.put(side, data)

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
        self._prepared.clear()

    def _now(self) -> str:
        return replacing.read(self.path).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
