"""One cockpit flies a pair: a session-level advisory lock on both sides, held by connections of its own ("Advisory Locks").

A lock that was lost and is free again may have been another's meanwhile: who flies also has a `seat` on record, compared at every question.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cockpit.errors import CockpitError, Flown, HalfHeard, LinkError
from cockpit.handover.ports import Claim
from cockpit.model.settings import PairSpec
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.systems.postgres.link import Link, Row
from cockpit.systems.postgres.names import Names
from cockpit.systems.postgres.seat import Seat, read
from cockpit.systems.postgres.wires import SIDES

HEAD_S = 0.2
"""Seconds that blue is asked before green: of many that come at once exactly one gets both. A side that is silent holds no other up longer."""
OTHER_S = 0.8
"""Seconds that the other side is waited for once one has answered. Only who comes without a claim waits for both as long as it is let: who
has sat down on the pair, or does, goes by the one that answers, for nobody else gets the pair while that one holds its lock or has its
record. A side that is asked still is not asked anew, but after that: a connection over a slow line is begun once."""
_TAKE = "SELECT pg_try_advisory_lock($1) AS got"
_HELD = """\
SELECT a.pid = pg_backend_pid() AS mine, a.application_name AS who, a.backend_start::text AS since, coalesce(host(a.client_addr), 'local') AS client
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND ((l.classid::bigint << 32) | l.objid::bigint) = $1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one side said: who else holds the lock, and who is on record."""

    flown: Flown | None
    row: Row | None


class _Silent(LinkError):
    """The side may answer yet."""


class PairLock:
    """The pair's lock; while it is held no other cockpit gets it. It goes when its connections go."""

    def __init__(self, spec: PairSpec, names: Names, seat: Seat) -> None:
        self._spec = spec
        self._key = names.lock_key
        self._links: dict[Side, Link] = {}
        self._seat = seat
        self._taking = 0
        self._both = False
        """Whether at the last question both sides were ours."""
        self._under_way: dict[Side, asyncio.Task[_Answer]] = {}
        """What a side was asked that has not answered yet, and is not waited for."""

    @property
    def lost(self) -> bool:
        """A connection that held it has broken since; asks nobody."""
        return any(not link.up for link in self._links.values())

    async def take(self, owner: str, claim: Claim | None = None) -> None:
        """Held on both sides, taken of blue first. Asked of the servers each time: what broke is taken anew, or `Flown` names who has it now.

        With a `claim` it is on record whose the pair is: the first time above whoever was before, unless an heir asks; from then on `Superseded`
        says who took the pair up since, even when the lock is free. One side's word is enough for that, and for its being theirs still:
        `HalfHeard` says why the other gave none, to all but an heir.

        Without one a take that fails leaves nothing held; with one the side that is held stays so, so that nobody slips in between."""
        name = plain(owner, 55).removeprefix("cockpit ")
        first = not self._links
        for side in SIDES:
            self._links[side] = self._links.get(side) or Link(side, self._spec.side(side).control, name)
        if claim is not None:
            self._seat.take(claim, name)
        self._taking += 1
        try:
            await self._take(claim)
        except CockpitError:
            if first and claim is None and self._taking == 1:
                await self.release()
            raise
        finally:
            self._taking -= 1

    async def _take(self, claim: Claim | None) -> None:
        held, self._both = self._both and not self.lost, False
        answers, failed = await self._ask(alone=claim is None, at_once=held and bool(self._seat.epoch))
        self._both = failed is None and all(answer.flown is None for answer in answers.values())
        ours = any(answer.flown is None for answer in answers.values())
        flown = next((answer.flown for answer in answers.values() if answer.flown is not None), None)
        if flown is not None and claim is not None and not claim.heir and not self._seat.epoch:
            raise flown  # and nobody who was never on record puts itself above whoever flies
        if claim is not None:
            await self._sit(answers, claim)
        if flown is not None and not (ours and claim is not None):
            raise flown
        if failed is None or (claim is not None and claim.heir and answers):
            return
        if ours and claim is not None:
            raise HalfHeard(failed.what, where=failed.where, remedy=failed.remedy, silent=isinstance(failed, _Silent))
        raise failed

    async def _sit(self, answers: dict[Side, _Answer], claim: Claim) -> None:
        """The seat is on record on every side that answered."""
        rows = {side: answer.row for side, answer in answers.items()}
        if not self._seat.epoch and not claim.heir and answers:
            self._seat.rise(claim, rows, {side: link.where for side, link in self._links.items()})
        # Who has sat down on one side only knows by that one how old the other's record is.
        for side in sorted(rows, key=lambda side: (rows[side] or {"name": ""})["name"] != self._seat.name):
            row = rows[side]
            self._seat.judge(side, row, self._links[side].where)
            if row is not None and row["name"] != self._seat.name:
                await self._seat.sit(side, self._links[side])

    async def _ask(self, *, alone: bool, at_once: bool) -> tuple[dict[Side, _Answer], CockpitError | None]:
        """What the sides said, and why one did not. Who comes `alone`, without a claim, gets `Flown` as soon as one says so: the other may
        never answer."""
        loop = asyncio.get_running_loop()
        blue = asyncio.create_task(self._next(SIDES[0], alone))
        tasks = {SIDES[0]: blue, SIDES[1]: asyncio.create_task(self._after(blue, SIDES[1], alone, at_once))}
        until, pending = float("inf"), set(tasks.values())
        try:
            while pending and loop.time() < until:
                left = None if until == float("inf") else until - loop.time()
                done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if isinstance(task.exception(), Flown):
                        task.result()
                if not alone and any(map(_answered, done)):
                    until = min(until, loop.time() + OTHER_S)
        except BaseException:
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            raise
        self._under_way = {side: task for side, task in tasks.items() if task in pending}
        for task in pending:
            task.add_done_callback(_heard)
        return self._said(tasks)

    def _said(self, tasks: dict[Side, asyncio.Task[_Answer]]) -> tuple[dict[Side, _Answer], CockpitError | None]:
        """The answers, and why a side gave none."""
        answers: dict[Side, _Answer] = {}
        failed: CockpitError | None = None
        for side, task in tasks.items():
            if not task.done() or task.cancelled():
                failed = failed or _Silent("no answer in time", where=self._links[side].where, remedy="look at the server")
            elif (err := task.exception()) is None:
                answers[side] = task.result()
            elif isinstance(err, CockpitError):
                failed = failed or err
            else:
                raise err
        return answers, failed

    async def _after(self, blue: asyncio.Task[_Answer], side: Side, alone: bool, at_once: bool) -> _Answer:
        """What `side` says, once blue has; at once where both were ours at the last question and are on record as ours: that is asked inside
        the window too. Where both connections broke meanwhile, the record tells who else took the pair up."""
        if not at_once:
            done, _ = await asyncio.wait({blue}, timeout=HEAD_S)
            if done and not blue.cancelled() and isinstance(blue.exception(), Flown):
                raise LinkError("not asked", where=str(side))
        return await self._next(side, alone)

    async def _next(self, side: Side, alone: bool) -> _Answer:
        """What the side says now: an answer to an earlier question would be as old as that."""
        earlier = self._under_way.pop(side, None)
        if earlier is not None:
            try:
                await asyncio.wait({earlier})
            except asyncio.CancelledError:
                earlier.cancel()
                raise
        return await self._side(side, alone)

    async def _side(self, side: Side, alone: bool) -> _Answer:
        """Who has the side. Raises `Flown` where that can be told by this one alone."""
        link = self._links[side]
        flown = await self._held(link)
        row = await read(link) if self._seat.name else None
        if self._seat.epoch:
            self._seat.judge(side, row, link.where)
        if flown is not None and alone:
            raise flown
        return _Answer(flown, row)

    async def _held(self, link: Link) -> Flown | None:
        """None when the lock is ours now; else who has it."""
        if any(row["mine"] for row in await link.rows(_HELD, self._key)):
            return None
        if (await link.change(_TAKE, self._key))[0]["got"]:
            return None
        holders = await link.rows(_HELD, self._key)
        who = plain(holders[0]["who"], 80) if holders else "another cockpit that has just left"
        seen = f", since {holders[0]['since']}, from {plain(holders[0]['client'])}" if holders else ""
        return Flown(
            f"this pair is flown by {who}{seen}",
            owner=plain(holders[0]["who"], 80).removeprefix("cockpit ") if holders else "",
            where=link.where,
            remedy="`cockpit join` opens it where its run is kept (--runs), `cockpit watch` looks at it; a second pilot is not possible",
        )

    async def release(self) -> None:
        """Not held by this process; also when the servers are gone."""
        asked, self._under_way = self._under_way, {}
        for task in asked.values():
            task.cancel()
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))


def _answered(task: asyncio.Task[_Answer]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _heard(answered: asyncio.Task[_Answer]) -> None:
    """Nobody waits for it but the next question, which asks again."""
    if not answered.cancelled():
        answered.exception()
