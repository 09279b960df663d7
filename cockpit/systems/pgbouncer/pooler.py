"""One PgBouncer instance as a pooler of the handover.

Seen on 1.18, and relied on here: RELOAD answers when it is done, also when it refused the file, so the result is read from SHOW
DATABASES; a PAUSE whose connection dies goes on; RESUME from a second connection ends a waiting PAUSE, whose own connection then
never gets an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cockpit.errors import CockpitError, LinkError, OutcomeUnknown, StepError, SystemFault
from cockpit.handover.ports import Action, Probe
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.plan import Statement
from cockpit.model.settings import Endpoint, PairSpec
from cockpit.model.telemetry import PoolerSample
from cockpit.model.words import Side
from cockpit.systems import replacing
from cockpit.systems.desired import Desired
from cockpit.systems.desired import seen as found
from cockpit.systems.pgbouncer import seen
from cockpit.systems.pgbouncer.console import Console, Row, quoted
from cockpit.systems.pgbouncer.options import Address, Options
from cockpit.systems.pgbouncer.routes import Routes
from cockpit.systems.pgbouncer.witness import Proof, Witness

POLL_S = 0.005
LOOK_S = 0.2
"""What is left at least to see that a PAUSE that was answered is in effect."""


class PgBouncer:
    """`Pooler` on one instance. PAUSE has a console of its own, because a PAUSE that waits blocks it."""

    def __init__(self, name: str, pair: PairSpec, options: Options, pause_attempt_s: float) -> None:
        admin = options.admin
        console = Endpoint(admin.host, admin.port, "pgbouncer", admin.user, admin.password, admin.sslmode, admin.sslrootcert)
        self._name = name
        self.options = options
        self.pause_attempt_s = pause_attempt_s
        self.where = f"pgbouncer {name}"
        self.database = options.database or pair.blue.control.database
        self.addresses = {side: _address(options, pair, side) for side in Side}
        self.console = Console(console, self.where)
        self._pausing = Console(console, self.where)
        self.witness = Witness(self.where, pair, options)
        desk = replacing.Desk(self.where, options.deadline)
        self.routes = Routes(options.databases_file, (self.database, *self.witness.names), self.addresses, pair.blue.control.database, desk)

    @property
    def name(self) -> str:
        return self._name

    async def open(self) -> None:
        """Both consoles and the way through the pool are warm, and the files for both sides are ready to be put in place."""
        deadline = self.options.deadline
        await asyncio.gather(self.console.open(deadline), self._pausing.open(deadline))
        await self.witness.open(deadline)
        await self.routes.stage()

    async def close(self) -> None:
        await asyncio.gather(self.console.close(), self._pausing.close(), self.witness.close(), self.routes.close())

    # --- pause and resume -------------------------------------------------------

    def pause(self) -> Action:
        return self._desired(f"pause {self.name}", self._paused, self._pause, self._pause_text)

    def resume(self) -> Action:
        return self._desired(f"resume {self.name}", self._resumed, self._resume, self._resume_text)

    def cut(self) -> Action:
        return self._desired(f"cut {self.name}", self._paused, self._cut, f"KILL {quoted(self.database)}")

    async def _cut(self) -> Evidence:
        """KILL drops every client and server connection of the database, and new clients wait as for a PAUSE ("Admin console")."""
        await self._ask(f"KILL {quoted(self.database)}", effect=True)
        return await self._in_effect(asyncio.get_running_loop().time() + self.options.deadline)

    @property
    def _pause_text(self) -> str:
        return f"PAUSE {quoted(self.database)}"

    @property
    def _resume_text(self) -> str:
        return f"RESUME {quoted(self.database)}"

    async def _pause(self) -> Evidence:
        until = asyncio.get_running_loop().time() + self.pause_attempt_s
        try:
            await self._pausing.ask(self._pause_text, self.pause_attempt_s, effect=True)
            return await self._in_effect(until)
        except (LinkError, TimeoutError, asyncio.CancelledError) as err:
            # On a task of its own: what was begun is taken back also when nobody waits for us any more.
            back = asyncio.get_running_loop().create_task(self._take_back())
            await _finished(back, 3 * self.options.deadline)
            if isinstance(err, asyncio.CancelledError):
                raise
            if not back.done():
                raise OutcomeUnknown("PAUSE is not known to be taken back", where=self.where, remedy="it may be paused") from None
            raise back.result() from None

    async def _in_effect(self, until: float) -> Evidence:
        """PAUSE was answered and is seen: a server connection that was still logging in has gone too."""
        async with asyncio.timeout(max(until - asyncio.get_running_loop().time(), LOOK_S)):
            while not (probe := await self._paused()).done:  # noqa: ASYNC110 (the console tells nobody by itself)
                await asyncio.sleep(POLL_S)
        return probe.evidence

    async def _take_back(self) -> StepError:
        """Clients flow again; the error to raise names who was in the way. `OutcomeUnknown` when that cannot be known either."""
        try:
            servers, clients = await self._ask("SHOW SERVERS"), await self._ask("SHOW CLIENTS")
            await self._resume()
        except LinkError as err:
            raise OutcomeUnknown(
                f"PAUSE was sent and the instance does not answer: {err.what}", where=self.where, remedy="it may be paused, now or later"
            ) from None
        stay = seen.in_the_way(servers, clients, self.database)
        named = "; ".join(map(str, stay[:10])) or "no server connection in use was seen"
        return StepError(
            f"not paused within {self.pause_attempt_s:g} s, taken back. In a transaction: {named}",
            where=f"pause {self.name}",
            remedy="wait for these transactions, or have them ended",
            pids=tuple(one.pid for one in stay),
        )

    async def _resume(self) -> Evidence:
        try:
            await self._ask(self._resume_text, effect=True)
        except SystemFault as err:
            if "is not paused" not in err.what:
                raise
        return {"paused": False}

    async def _paused(self) -> Probe:
        entry = await self._entry()
        working = [str(row["state"]) for row in seen.busy(await self._ask("SHOW SERVERS"), self.database)]
        return found(entry.paused and not working, paused=entry.paused, busy_servers=working)

    async def _resumed(self) -> Probe:
        entry = await self._entry()
        return found(not entry.paused, paused=entry.paused)

    # --- route --------------------------------------------------------------------

    def route(self, side: Side) -> Action:
        async def look() -> Probe:
            return await self._routed(side)

        async def make() -> Evidence:
            return await self._route(side)

        address = self.addresses[side]
        texts = (f"{self.options.databases_file}: {', '.join(self.routes.names)} -> {address.host}:{address.port}", "RELOAD")
        again = f"where server connections that lead elsewhere are left: RECONNECT {quoted(self.database)}"
        return self._desired(f"route {self.name} to {side}", look, make, *texts, again, *self.witness.texts)

    async def _route(self, side: Side) -> Evidence:
        """File, RELOAD, and then three things at once: the folder synced, the entry and its connections seen, the server seen."""
        await self.routes.put(side)
        await self._ask("RELOAD", effect=True)
        entry, proof = await self._proven(side)
        if not proof.allows(side):
            raise StepError(
                f"the server that answers through the pool is {proof}, not {side}", where=f"route {self.name}", remedy="do not resume"
            )
        return {"host": entry.host, "port": entry.port, **proof.evidence}

    async def _proven(self, side: Side) -> tuple[seen.Entry, Proof]:
        deadline = self.options.deadline
        try:
            async with asyncio.timeout(3 * deadline):
                settled, entry, proof = await asyncio.gather(
                    self.routes.settle(), self._arrived(side), self.witness.answer(deadline), return_exceptions=True
                )
        except TimeoutError:
            raise OutcomeUnknown(f"not seen in {3 * deadline:g} s", where=f"route {self.name}", remedy="probe before resuming") from None
        if isinstance(settled, BaseException):
            raise settled
        if isinstance(entry, BaseException):
            raise entry
        if isinstance(proof, BaseException):
            raise proof
        return entry, proof

    async def _arrived(self, side: Side) -> seen.Entry:
        """The entry leads to `side` and no server connection to the other one is left."""
        entry = await self._entry()
        if not self._is(entry, side):
            raise StepError(
                f"after RELOAD {self.database} still leads to {entry.host}:{entry.port}", where=f"route {self.name}",
                remedy="is the databases file the one its configuration includes? Its log says what it did not accept",
            )  # fmt: skip
        loop = asyncio.get_running_loop()
        until, asked = loop.time() + self.options.deadline, False
        while elsewhere := await self._elsewhere(side):
            if loop.time() > until:
                raise self._stay(side, elsewhere, await self._ask("SHOW CLIENTS"))
            if not asked:
                await self._ask(f"RECONNECT {quoted(self.database)}", effect=True)
                asked = True
            await asyncio.sleep(POLL_S)
        return entry

    def _stay(self, side: Side, servers: list[Row], clients: list[Row]) -> StepError:
        stay = seen.in_the_way(servers, clients, self.database)
        named = "; ".join(map(str, stay[:10])) or f"{len(servers)} idle"
        what = f"server connections that do not lead to {side} stay: {named}"
        return StepError(what, where=f"route {self.name}", remedy="pause first, or have them ended", pids=tuple(one.pid for one in stay))

    async def _elsewhere(self, side: Side) -> list[Row]:
        """Server connections of the apps' entry that were opened before it led where it leads now."""
        mine = seen.servers_of(await self._ask("SHOW SERVERS"), self.database)
        return [row for row in mine if int(row["close_needed"]) or int(row["port"]) != self.addresses[side].port]

    async def _routed(self, side: Side) -> Probe:
        entry = await self._entry()
        left = await self._elsewhere(side)
        there = self._is(entry, side) and not left
        evidence: dict[str, object] = {"host": entry.host, "port": entry.port, "elsewhere": len(left)}
        if not there:
            return found(False, **evidence)
        proof = await self.witness.answer(self.options.deadline)
        return found(await self.routes.names_side(side) and proof.allows(side), **evidence, **proof.evidence)

    def _is(self, entry: seen.Entry, side: Side) -> bool:
        return (entry.host, entry.port) == (self.addresses[side].host, self.addresses[side].port)

    # --- seeing -------------------------------------------------------------------

    async def sample(self) -> PoolerSample:
        now = asyncio.get_running_loop().time
        asked = now()
        try:
            entry = await self._entry()
            load = seen.Load.of(await self._ask("SHOW POOLS"), self.database)
        except CockpitError as err:
            return PoolerSample(now(), self.name, False, None, None, None, None, "", error=str(err))
        return PoolerSample(asked, self.name, True, entry.paused, self.side_of(entry), load.clients, load.waiting, load.pool_mode)

    async def preflight(self, window_s: float) -> tuple[FindingSeen, ...]:
        from cockpit.systems.pgbouncer.preflight import findings

        return await findings(self, window_s)

    def side_of(self, entry: seen.Entry) -> Side | None:
        return next((side for side in Side if self._is(entry, side)), None)

    async def _entry(self) -> seen.Entry:
        entry = seen.Entry.of(await self._ask("SHOW DATABASES"), self.database)
        if entry is None:
            raise SystemFault(f"it has no database {self.database}", where=self.where, remedy="add it to the databases file, RELOAD")
        return entry

    async def _ask(self, text: str, *, effect: bool = False) -> list[Row]:
        return await self.console.ask(text, self.options.deadline, effect=effect)

    def _desired(self, name: str, look: Callable[[], Awaitable[Probe]], make: Callable[[], Awaitable[Evidence]], *texts: str) -> Desired:
        return Desired(name, tuple(Statement(self.where, text) for text in texts), look, make)


async def _finished(task: asyncio.Task[StepError], seconds: float) -> None:
    """The task has ended, also where we are cancelled again meanwhile; its own deadlines bound it, `seconds` is the last resort."""
    until = asyncio.get_running_loop().time() + seconds
    while not task.done() and asyncio.get_running_loop().time() < until:
        try:
            await asyncio.wait({task}, timeout=until - asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            continue
    if task.done() and not task.cancelled():
        task.exception()


def _address(options: Options, pair: PairSpec, side: Side) -> Address:
    given = options.blue if side is Side.BLUE else options.green
    control = pair.side(side).control
    return given or Address(host=control.host, port=control.port)
