"""The rollback of a bad day: blue takes over without what it has not. The same handover, without the steps that only a well origin can do.

The origin may answer or not. Where it does it is fenced and quiesced like any other day, and a failure of that ends the handover: two
sides that take writes are worse than none. Where it does not, three witnesses are asked: the target, whose mirror would still hear of
it; the apps' own counters; and the lead, who types that it goes without. A witness that hears of it stops the handover: an origin that
only we cannot reach may still take writes. It is fenced, quiesced and parted as soon as it answers again (`shut_out`).

What it holds alone stays: neither side applies anything of the other any more, and its slot keeps the log that `cockpit bill` reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cockpit.errors import CockpitError, LinkError, OutcomeUnknown, Refused, StepError, Superseded
from cockpit.handover.actions import EveryAppSeen, Hold, PausedTogether, Together, all_or_first_error, unheld
from cockpit.handover.lease import Lease
from cockpit.handover.ports import Action, Probe, World
from cockpit.handover.procedure import PROVE_S, Do, Step
from cockpit.handover.record import in_words
from cockpit.handover.serving import FenceOfTheIdle
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.settings import PairSpec, Scenario
from cockpit.model.words import Direction, Known, Side

ANSWER_S = 2.0
"""Seconds an origin has to answer before it is taken for one that does not."""
LISTEN_S = 6.0
"""So long nobody may hear of an origin that is taken for dead: apps may write seldom, and a worker that lost it tries again every 5 s."""
FADE_S = 45.0
"""Seconds in which what was heard of the origin's last moments must fade: a worker whose origin vanished notices it after half a minute."""
LAST_WORDS_S = 8.0
"""Seconds after which no app's counters hold anything of an origin that is gone, and its mirror has worked off what it had sent: a worker
that had waited for a lock reads on what lies in its socket, each message as one received just now (seen on the rig)."""
BACK_S = 0.1
"""Seconds between two looks whether the origin answers again."""
SLOWEST_S = 5.0
"""Seconds between two tries of what a server that came back refuses, at most."""


@dataclass(slots=True)
class Contact:
    """Whether the origin answers, as found when it was looked for last; None before."""

    answers: bool | None = None
    listened: bool = False
    """It does not answer, and nobody heard of it for long enough."""


def ungraceful_steps(world: World, spec: PairSpec, scenario: Scenario, hold: Hold = unheld) -> tuple[Step, ...]:
    """Every step of an ungraceful rollback, in order. They know of each other whether green answers."""
    direction = Direction.ROLLBACK
    origin, target = direction.origin, direction.target
    servers, contact = world.servers, Contact()
    silence = Silence(world, origin, target)
    routes = tuple(channel.route(target) for channel in world.channels)
    pools = tuple(pooler.route(target) for pooler in world.poolers)
    resume = tuple(pooler.resume() for pooler in world.poolers)
    pause = PausedOrCut(world, PausedTogether(servers, tuple(world.poolers), origin, scenario.tuning, hold), contact)
    home = "unfence, resume"
    return (
        Step("arm", f"arm: {target} fenced, {origin} sought, the bill drawn", (
            Do(Sought(world, origin, silence, contact), see=False),
            Do(FenceOfTheIdle(world, spec, target), find=True),
            *(Do(channel.stage(), find=True) for channel in world.channels),
        ), undone_by="disarm: nothing was touched"),
        Step("confirm", "the lead confirms the bill", undone_by="stop"),
        Step("steer", f"channels lead to {target}",
             (Do(Together(f"route every channel to {target}", routes), see=False),) if routes else (), "route back"),
        Step("pause", "pause every pooler: writes stall", (Do(pause, see=False),) if pools else (), "resume", in_window=True),
        Step("fence", f"fence {origin}, or see that nobody hears of it", (Do(FencedOrSilent(world, silence, contact), see=False),), home, in_window=True),
        Step("quiesce", f"no app transaction left on {origin}, where it answers", (Do(QuietWhereItAnswers(world, origin, contact), see=False),), home, in_window=True),
        Step("reverse", "the sides part: neither applies anything of the other", (Do(servers.parted(origin, target), see=False),), home, in_window=True),
        Step("sequences", f"sequences on {target} go far beyond what is known", (Do(servers.sequences_beyond(origin, target), see=False),), home, in_window=True),
        Step("route", f"every pooler leads to {target}",
             (Do(Together(f"route every pooler to {target}", pools), see=False),) if pools else (), f"route back, {home}", in_window=True),
        Step("resume", f"{target} takes writes: point of no return", (
            Do(servers.fence(target, on=False), see=False),
            *((Do(Together("resume every pooler", resume)),) if resume else ()),
        ), "a new copy and another cutover", in_window=True),
        Step("mirror", f"what {origin} holds alone is kept there; {target} keeps nothing for it", (Do(servers.released(target)),), ""),
        Step("prove", f"every app seen on {target}", (Do(EveryAppSeen(servers, spec, origin, target, PROVE_S, lone=True), see=False),), ""),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What the witnesses say of a side that does not answer us."""

    target: Side
    heard: float | None
    writing: tuple[str, ...]
    counting: int

    @property
    def of_it(self) -> list[str]:
        """Who hears of it; empty where nobody does."""
        mirror = [] if self.heard is None else [f"{self.target} heard of it {self.heard:.1f} s ago"]
        return mirror + ([f"apps count writes: {', '.join(self.writing[:3])}"] if self.writing else [])

    @property
    def evidence(self) -> Evidence:
        return {"mirror_heard_s": self.heard, "apps_that_count": self.counting}

    def since(self, seconds: float) -> bool:
        """Something of it was heard within these seconds, not only before: it lives."""
        news = self.heard is not None and self.heard < seconds - LAST_WORDS_S
        return news or (bool(self.writing) and seconds > LAST_WORDS_S)


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody hears of a side that does not answer us."""

    world: World
    origin: Side
    target: Side

    async def seen(self) -> Evidence:
        """What each witness says; `StepError` where one of them hears of the side."""
        said = await self.ask()
        if said.of_it:
            raise self.lives(said)
        return said.evidence

    async def lasting(self) -> Evidence:
        """Nobody hears of it for as long as `LISTEN_S`. Who has heard of it a moment ago is asked again: its last words fade."""
        loop = asyncio.get_running_loop()
        began = silent_since = loop.time()
        while True:
            said, now = await self.ask(), loop.time()
            if said.of_it:
                silent_since = now
                if now - began > FADE_S or said.since(now - began):
                    raise self.lives(said)
            elif now - silent_since >= LISTEN_S:
                return {"listened_s": LISTEN_S, **said.evidence}
            await asyncio.sleep(BACK_S)

    async def ask(self) -> Said:
        heard, writes = await asyncio.gather(self._mirror(), self._writes())
        return Said(self.target, heard, tuple(sorted(name for name, rate in writes.items() if rate > 0)), len(writes))

    def lives(self, said: Said) -> StepError:
        return StepError(
            f"{self.origin} does not answer us, but it lives: {'; '.join(said.of_it)}",
            where=f"fence {self.origin}",
            remedy=f"make {self.origin} reachable, or make certain that nobody reaches it (stop it, cut its network), then again",
        )

    async def _mirror(self) -> float | None:
        async with asyncio.timeout(ANSWER_S):
            return await self.world.servers.heard(self.target, self.origin)

    async def _writes(self) -> dict[str, float]:
        """By app, writes a second as the apps count them; none where they offer no counters."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.world.feed.writes_s()
        except (CockpitError, TimeoutError):
            return {}


async def answers(fence: Action) -> Probe | None:
    """What a look at a side's fence shows; None where the side does not answer in time."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await fence.probe()
    except (LinkError, OutcomeUnknown, TimeoutError):
        return None


@dataclass(frozen=True, slots=True)
class Sought:
    """Whether the origin answers is known; where it does not, nobody hears of it."""

    world: World
    origin: Side
    silence: Silence
    contact: Contact

    @property
    def name(self) -> str:
        return f"seek {self.origin}"

    def describe(self) -> tuple[Statement, ...]:
        return (Statement(str(self.origin), f"-- whether it answers; where not, whether {self.origin.other} or an app hears of it"),)

    async def probe(self) -> Probe:
        return Probe(Known.DONE if self.contact.answers is not None else Known.PENDING, {"answers": self.contact.answers})

    async def apply(self) -> Evidence:
        """One that does not answer is listened for, and asked once more."""
        fence = self.world.servers.fence(self.origin, on=True)
        heard: Evidence = {}
        if await answers(fence) is None:
            heard = await self.silence.lasting()
        self.contact.answers = not heard or await answers(fence) is not None
        self.contact.listened = not self.contact.answers
        return {"answers": True} if self.contact.answers else {"answers": False, **heard}


@dataclass(frozen=True, slots=True)
class PausedOrCut:
    """Every pooler paused. Where the origin does not answer, its connections may never become free: then they are cut."""

    world: World
    paused: PausedTogether
    contact: Contact

    @property
    def name(self) -> str:
        return self.paused.name

    def describe(self) -> tuple[Statement, ...]:
        cuts = (statement for pooler in self.world.poolers for statement in pooler.cut().describe())
        return (
            *self.paused.describe(),
            *(Statement(s.target, f"{s.text} -- where {self.paused.origin} holds connections and does not answer") for s in cuts),
        )

    async def probe(self) -> Probe:
        return await self.paused.probe()

    async def apply(self) -> Evidence:
        if self.contact.answers:
            try:
                return await self.paused.apply()
            except Refused:
                raise
            except CockpitError:
                if await answers(self.world.servers.fence(self.paused.origin, on=True)) is not None:
                    raise
                self.contact.answers = False  # it died while the bill was read
        await self.paused.hold()
        try:
            return await all_or_first_error([pooler.pause() for pooler in self.world.poolers])
        except CockpitError as err:
            await self.paused.hold()
            cut = await all_or_first_error([pooler.cut() for pooler in self.world.poolers])
            return {"not_paused": in_words(err), **cut}


@dataclass(frozen=True, slots=True)
class FencedOrSilent:
    """The origin is fenced; or it does not answer and nobody hears of it."""

    world: World
    silence: Silence
    contact: Contact

    @property
    def fence(self) -> Action:
        return self.world.servers.fence(self.silence.origin, on=True)

    @property
    def name(self) -> str:
        return self.fence.name

    def describe(self) -> tuple[Statement, ...]:
        return self.fence.describe()

    async def probe(self) -> Probe:
        return await answers(self.fence) or Probe(Known.UNKNOWN, {"answers": False})

    async def apply(self) -> Evidence:
        """An origin that has come back meanwhile is fenced, one that has gone meanwhile must be silent."""
        seen = await answers(self.fence)
        self.contact.answers = seen is not None
        if seen is None:  # one that answered when it was armed has to be silent for long: a link that broke just now is no death
            return {"fenced": False, **await (self.silence.seen() if self.contact.listened else self.silence.lasting())}
        return seen.evidence if seen.done else await self.fence.apply()


@dataclass(frozen=True, slots=True)
class QuietWhereItAnswers:
    """No app session that could still commit is left on an origin that answers."""

    world: World
    origin: Side
    contact: Contact

    @property
    def quiesce(self) -> Action:
        return self.world.servers.quiesce(self.origin)

    @property
    def name(self) -> str:
        return self.quiesce.name

    def describe(self) -> tuple[Statement, ...]:
        return self.quiesce.describe()

    async def probe(self) -> Probe:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.quiesce.probe()
        except (LinkError, TimeoutError):
            return Probe(Known.UNKNOWN, {"answers": False})

    async def apply(self) -> Evidence:
        return await self.quiesce.apply() if self.contact.answers else {"answers": False}


async def shut_out(world: World, direction: Direction, lease: Lease, act: Callable[[Action], Awaitable[object]]) -> None:
    """The origin is fenced, no app session that could still commit is left on it, and it follows the target no more; looked for until it
    answers. A session that came in before its fence writes on under it, so the fence alone is not enough. `act` applies and records."""
    origin, target = direction.origin, direction.target
    servers = world.servers
    for wanted in (servers.fence(origin, on=True), servers.quiesce(origin), servers.parted(target, origin)):
        await made_so(wanted, lease, act)


async def made_so(wanted: Action, lease: Lease, act: Callable[[Action], Awaitable[object]]) -> None:
    """It is seen to be so, however long the server takes to answer. `act` ends with the seeing, or raises. `Superseded` where the pair was
    taken up by somebody else since: what is wanted there is theirs to say."""
    pause = BACK_S
    while True:
        try:
            seen = await answers(wanted)
            if seen is not None and seen.done:
                return
            if seen is not None:
                await lease.hold()
                await act(wanted)
                return
            pause = BACK_S
        except Superseded:
            raise
        except Exception:  # whatever a server that is just coming back says: it is looked at again
            pause = min(pause * 2, SLOWEST_S)
        await asyncio.sleep(pause)
