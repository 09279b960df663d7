"""One app at work: transactions when they are due, on a few connections, each until it is acknowledged.

A transaction that failed before its COMMIT was sent is done again under the same op_id. Where COMMIT was sent and its answer
was lost, the app looks the op_id up first and repeats only what is not there: nothing lost, nothing twice.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from cockpit.drill import work
from cockpit.drill.fleet import App, Path
from cockpit.drill.ledger import Ack, Ledger
from cockpit.drill.reach import Address, Connection, Finder

ANSWER_S = 150.0
"""An app waits longer than PgBouncer's query_wait_timeout lets it."""
_READ_ONLY = "25006"
_GONE = ("57P", "08")
"""What an app hears of a server that is going or has gone: classes of SQLSTATEs."""


@dataclass(slots=True)
class Link:
    """One worker's connection, made when it is needed."""

    finder: Finder
    conn: Connection | None = None
    address: Address | None = None

    async def ready(self) -> Connection:
        """An open connection with no transaction in it."""
        if self.conn is None or self.conn.closed:
            self.conn = await self.finder.connection()
            self.address = self.finder.address
        return self.conn

    async def drop(self, refused: bool) -> None:
        """The connection is gone; `refused` says that its server does not serve us."""
        conn, self.conn = self.conn, None
        if refused:
            self.finder.refused(self.address)
        if conn is not None:
            await conn.close()


@dataclass(slots=True)
class Op:
    """One transaction that is due, and how far it has come."""

    id: UUID
    due: float
    statements: work.Transaction
    sent: float | None = None
    """When COMMIT was sent and may have taken effect; None while it certainly has not."""


@dataclass(slots=True)
class Runner:
    """One app: its schedule, its workers and its ledger."""

    app: App
    rate: float
    finder: Finder
    ledger: Ledger
    sizes: work.Sizes
    nonce: int
    workers: int = 3
    _queue: asyncio.Queue[Op] = field(default_factory=asyncio.Queue)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _awake: asyncio.Event = field(default_factory=asyncio.Event)
    _links: list[Link] = field(default_factory=list)
    _made: int = 0
    _rng: random.Random = field(default_factory=random.Random)

    def seed(self, seed: int) -> None:
        """The same `seed` gives the same transactions at the same distances."""
        self._rng.seed(f"{seed}/{self.app.name}")

    def __post_init__(self) -> None:
        self._awake.set()
        self.finder.troubled = self._no_connection

    def _no_connection(self, why: str) -> None:
        # The pooler has to be there always; a direct app looks for its server by trying.
        if self.app.path is Path.POOL:
            self.ledger.error(asyncio.get_running_loop().time(), why)

    async def connect(self) -> None:
        """Every worker has its connection; nothing is due before `run`, so an app's start is no stall."""
        self._links = [Link(self.finder) for _ in range(self.workers)]
        for link in self._links:
            await link.ready()

    async def run(self) -> None:
        """Writes as they come due until `stop`, then what is due is finished. Cancel to leave at once."""
        if not self._links:
            await self.connect()
        async with asyncio.TaskGroup() as group:
            hands = [group.create_task(self._work(link)) for link in self._links]
            await self._schedule()
            await self._queue.join()
            for hand in hands:
                hand.cancel()
        await self.finder.source.close()

    def stop(self) -> None:
        """No further write becomes due."""
        self._stopping.set()
        self._awake.set()

    def rest(self) -> None:
        """No write becomes due until `go_on`."""
        self._awake.clear()

    def go_on(self) -> None:
        """Writes become due again, from now on."""
        self._awake.set()

    async def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._rng.uniform(0, 1) / self.rate
        while not self._stopping.is_set():
            if not self._awake.is_set():
                await self._awake.wait()
                due = loop.time() + self._rng.uniform(0, 1) / self.rate
            wait = due - loop.time()
            if wait > 0:
                await self._pause(wait)
                continue
            self._put(due)
            due += self._rng.uniform(0.5, 1.5) / self.rate

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _put(self, due: float) -> None:
        self._made += 1
        op = UUID(int=(self.app.number << 112) | (self.nonce << 64) | self._made)
        draw = work.Draw(self._rng, self.sizes, op)
        kind = self._rng.choice(work.mix(self.app))
        self.ledger.begin(op, due)
        self._queue.put_nowait(Op(op, due, work.transaction(self.app, kind, draw)))

    async def _work(self, link: Link) -> None:
        try:
            while True:
                op = await self._queue.get()
                await self._until_done(link, op)
                self._queue.task_done()
                await self._read(link)
        finally:
            await link.drop(refused=False)

    async def _until_done(self, link: Link, op: Op) -> None:
        while True:
            try:
                self.ledger.ack(await self._once(await link.ready(), op))
            except (psycopg.Error, TimeoutError, OSError) as err:
                await self._failed(link, err)
            else:
                return

    async def _once(self, conn: Connection, op: Op) -> Ack:
        async with asyncio.timeout(ANSWER_S):
            done = await self._found(conn, op)
            side = done or await self._send(conn, op)
        return Ack(op.id, op.due, op.sent or 0.0, asyncio.get_running_loop().time(), side)

    async def _found(self, conn: Connection, op: Op) -> str | None:
        """The side a COMMIT whose answer was lost was done on; None where it was not done, or never sent."""
        if op.sent is None:
            return None
        row = await (await conn.execute(work.lookup(op.id))).fetchone()
        return str(row[0]) if row else None

    async def _send(self, conn: Connection, op: Op) -> str:
        op.sent = None
        opening, closing = op.statements.opening, op.statements.closing
        if work.one_trip(self.app):
            opening, closing = "", f"{opening}; {closing}"
        else:
            await conn.execute(opening)
        op.sent = asyncio.get_running_loop().time()
        try:
            return await _answer(conn, closing)
        except psycopg.Error as err:
            # Any other error than the connection's end is the server's own word that the transaction is undone.
            if not conn.closed and not (err.sqlstate or "08").startswith(_GONE):
                op.sent = None
            raise

    async def _failed(self, link: Link, err: Exception) -> None:
        now = asyncio.get_running_loop().time()
        state = getattr(err, "sqlstate", None) or ""
        broken = link.conn is None or link.conn.closed or state == _READ_ONLY or state.startswith(_GONE) or not state
        if broken and self.app.path is not Path.POOL:
            self.ledger.breaks.append(now)
        else:
            self.ledger.error(now, f"{state} {type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}"[:160])
        if broken:
            await link.drop(refused=True)
        else:
            await _rolled_back(link)
            await asyncio.sleep(self._rng.uniform(0.005, 0.02))

    async def _read(self, link: Link) -> None:
        """The reads that follow a write; a direct app's broken connection is found by its next write."""
        wanted = work.reads_per_write(self.app)
        while wanted > self._rng.random() and self._queue.empty():
            wanted -= 1
            try:
                async with asyncio.timeout(ANSWER_S):
                    conn = await link.ready()
                    await (await conn.execute(work.read(work.Draw(self._rng, self.sizes, UUID(int=0))))).fetchall()
            except (psycopg.Error, TimeoutError, OSError) as err:
                await self._failed(link, err)
                return


async def _answer(conn: Connection, statements: str) -> str:
    """Sends the statements in one round trip; the server that ran them, as the last of them to return a row said."""
    cursor = await conn.execute(statements)
    side = ""
    while True:
        if cursor.description is not None:
            row = await cursor.fetchone()
            side = str(row[0]) if row else side
        if not cursor.nextset():
            return side


async def _rolled_back(link: Link) -> None:
    try:
        if link.conn is not None:
            await link.conn.execute("ROLLBACK")
    except psycopg.Error:
        await link.drop(refused=True)
