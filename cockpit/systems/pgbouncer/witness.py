"""Seeing, through the pool, which server answers there.

A second entry of the databases file (`cockpit_probe`) leads where the apps' entry leads and is never paused. After a RELOAD that
moved it PgBouncer opens a new server connection for its next transaction: the old one is marked and not used again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from cockpit.errors import CockpitError
from cockpit.model.events import Evidence
from cockpit.model.settings import Endpoint, PairSpec
from cockpit.model.words import Side
from cockpit.systems.pgbouncer.console import Console
from cockpit.systems.pgbouncer.identity import QUESTION, Identity, told
from cockpit.systems.pgbouncer.options import Alias, Options


@dataclass(frozen=True, slots=True)
class Proof:
    """Which side answered. `asked` is false where no alias is configured: then the console's word is all there is."""

    asked: bool
    side: Side | None = None
    identity: Identity | None = None
    not_side: Side | None = None
    """Only one side's identity is known, and it was not this one."""

    def allows(self, side: Side) -> bool:
        """Whether nothing speaks against `side`, and where it was asked, something speaks for it."""
        return not self.asked or self.side is side or (self.side is None and self.not_side is side.other)

    @property
    def evidence(self) -> Evidence:
        if not self.asked:
            return {"proof": "SHOW DATABASES and SHOW SERVERS only: no probe alias is configured"}
        who = self.identity or Identity("", "", "", "")
        return {"proof": "through the pool", "answers": str(self), "server_version": who.version, "server_port": who.port}

    def __str__(self) -> str:
        return str(self.side) if self.side else f"not {self.not_side}" if self.not_side else "neither blue nor green"


@dataclass(slots=True)
class Witness:
    """The way through the pool, and what both servers say of themselves when asked straight."""

    where: str
    pair: PairSpec
    options: Options
    known: dict[Side, Identity] = field(default_factory=dict)
    errors: dict[Side, str] = field(default_factory=dict)
    """Why a side is not known."""
    _alias: Console | None = None

    def __post_init__(self) -> None:
        if self.options.probe is not None:
            self._alias = self._through(self.options.probe, self.options.probe.name)

    def _through(self, alias: Alias, name: str) -> Console:
        admin, control = self.options.admin, self.pair.blue.control
        login = (alias.user, alias.password) if alias.user else (control.user, control.password)
        return Console(Endpoint(admin.host, admin.port, name, *login, admin.sslmode, admin.sslrootcert), f"{self.where}, through {name}")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.options.probe.name,) if self.options.probe else ()

    @property
    def standing(self) -> tuple[str, ...]:
        """The entries that always lead to one side."""
        return tuple(name for side in Side if (name := self._standing(side)))

    def _standing(self, side: Side) -> str | None:
        probe = self.options.probe
        return None if probe is None else probe.blue if side is Side.BLUE else probe.green

    def text_of(self, side: Side) -> str:
        """What `answer_of` asks, and through which entry."""
        return f"through {self._standing(side) or f'an entry that always leads to {side}'}: {QUESTION}"

    @property
    def texts(self) -> tuple[str, ...]:
        return (f"through {self.options.probe.name}: {QUESTION}",) if self.options.probe else ()

    async def open(self, deadline_s: float) -> None:
        """Both sides are known where they answer; a dead one stays unknown and is said so. The way through the pool is warm."""
        if self._alias is None:
            return
        await self.learn(deadline_s)
        try:
            await self._alias.open(deadline_s)
        except CockpitError:
            pass  # a pool whose server is dead refuses logins; `answer` connects again and reports it

    async def learn(self, deadline_s: float) -> None:
        """Each side that is not known yet was asked who it is. Not for the window: a dead one costs the deadline."""
        if self._alias is not None:
            await asyncio.gather(*(self._learn(side, deadline_s) for side in Side if side not in self.known))

    async def close(self) -> None:
        if self._alias is not None:
            await self._alias.close()

    async def answer(self, deadline_s: float) -> Proof:
        """Which side answers through the pool now. `LinkError` when nobody does.

        Where neither side could be asked who it is so far, both are asked now: an answer says nothing to who knows nobody."""
        if self._alias is None:
            return Proof(asked=False)
        if not self.known:
            await self.learn(deadline_s)
        return self._told(Identity.of((await self._alias.ask(QUESTION, deadline_s))[0]))

    async def answer_of(self, side: Side, deadline_s: float) -> Proof:
        """Which side answers through the entry that always leads to `side`; not asked where there is none."""
        alias, name = self.options.probe, self._standing(side)
        if alias is None or name is None:
            return Proof(asked=False)
        console = self._through(alias, name)
        try:
            return self._told(Identity.of((await console.ask(QUESTION, deadline_s))[0]))
        finally:
            await console.close()

    def _told(self, seen: Identity) -> Proof:
        if len(self.known) == 1:
            [(only, identity)] = self.known.items()
            same = (identity.system, identity.version) == (seen.system, seen.version)
            return Proof(True, only, seen) if same else Proof(True, None, seen, not_side=only)
        return Proof(True, told(seen, self.known), seen)

    async def _learn(self, side: Side, deadline_s: float) -> None:
        straight = Console(self.pair.side(side).control, str(side))
        try:
            self.known[side] = Identity.of((await straight.ask(QUESTION, deadline_s))[0])
            self.errors.pop(side, None)
        except CockpitError as err:
            self.errors[side] = str(err)
        finally:
            await straight.close()
