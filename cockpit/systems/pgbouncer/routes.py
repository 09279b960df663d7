"""The databases file, with the text for both sides on disk before the window, so that a route is one rename.

Everything that touches the disk is done at the file's desk: on a thread, one after the other, within its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from cockpit.errors import CockpitError
from cockpit.model.words import Side
from cockpit.systems import replacing
from cockpit.systems.pgbouncer import entries
from cockpit.systems.pgbouncer.options import Address


class Routes:
    """`names`: the entries that are routed, the apps' own first; `database` is where an entry that is missing would lead."""

    def __init__(self, path: Path, names: tuple[str, ...], addresses: Mapping[Side, Address], database: str, desk: replacing.Desk) -> None:
        self.path = path
        self.names = names
        self.addresses = addresses
        self.database = database
        self._desk = desk
        self._prepared = replacing.Prepared(path)
        self._staging: asyncio.Task[None] | None = None

    async def names_side(self, side: Side) -> bool:
        """Whether every routed entry of the file leads to `side` now."""
        return await self._desk.do(lambda: self._leads(self._now(), side))

    async def lacking(self, side: Side) -> tuple[str, ...]:
        """The lines that the file would need so that every routed entry is there and leads to `side`."""
        return await self._desk.do(lambda: entries.missing(self._now(), self.names, *self._address(side), self.database))

    def _address(self, side: Side) -> tuple[str, int]:
        return self.addresses[side].host, self.addresses[side].port

    async def obstacle(self) -> str:
        """Why the file cannot be replaced, or nothing."""
        return await self._desk.do(lambda: replacing.can_replace(self.path))

    async def stage(self) -> None:
        """Both sides' files are on disk."""
        await self._desk.do(self._stage)

    async def put(self, side: Side) -> None:
        """The file leads to `side`. Whatever else somebody changed in it since it was staged is kept."""
        await self._desk.do(lambda: self._put(side))

    async def settle(self) -> None:
        """The change outlives a power cut. The file that was used up is prepared anew in the background."""
        await self._desk.do(lambda: replacing.sync_folder(replacing.real(self.path).parent))
        self._staging = asyncio.get_running_loop().create_task(self._restage())

    async def _restage(self) -> None:
        try:
            await self.stage()
        except CockpitError:
            pass  # the next `put` writes the file itself, or says why it cannot

    async def close(self) -> None:
        """No prepared file is left."""
        if self._staging is not None:
            await asyncio.wait({self._staging})
        await self._desk.do(self._prepared.clear)

    # --- at the desk ------------------------------------------------------------------

    def _stage(self) -> None:
        now = self._now()
        for side in Side:
            self._prepared.stage(side, self._bytes(now, side))

    def _put(self, side: Side) -> None:
        now = self._now()
        if not self._leads(now, side):
            self._prepared.put(side, self._bytes(now, side))

    def _leads(self, now: str, side: Side) -> bool:
        address = self.addresses[side]
        return all(entries.goes_to(now, name) == (address.host, address.port) for name in self.names)

    def _bytes(self, now: str, side: Side) -> bytes:
        """The present text, leading to `side`."""
        address = self.addresses[side]
        return entries.routed(now, self.names, address.host, address.port, self.database).encode("utf-8", "surrogateescape")

    def _now(self) -> str:
        return replacing.read(self.path).decode("utf-8", "surrogateescape")
