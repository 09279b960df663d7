"""What the handover needs of the world, and nothing of how the world does it.

Every change of the world is an `Action`: a desired state that can describe itself, be probed and be applied again and again.
`systems/` implements these ports on real systems, `systems/memory.py` on seeded twins; one conformance suite runs on both.

Errors: a port raises `LinkError` where nothing was sent, `OutcomeUnknown` where something was sent and no answer came,
`SystemFault` where the system refused; never a driver's own exception. Every call ends within its own deadline, which the
implementation keeps; cancelling a call is always allowed and never leaves a connection in a state that the next call trips over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cockpit.model.bill import Bill
from cockpit.model.checks import CheckResult
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.parity import Parity
from cockpit.model.plan import Statement
from cockpit.model.telemetry import LagSample, PoolerSample, ReconSample, ServerSample
from cockpit.model.words import Known, Side


@dataclass(frozen=True, slots=True)
class Probe:
    """What was seen of a desired state. `unknown` is honest and holds; it is never read as `done`."""

    known: Known
    evidence: Evidence = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.known is Known.DONE


class Action(Protocol):
    """A desired state of one part of the world."""

    @property
    def name(self) -> str:
        """What will be so: `fence blue on`, `route billing to green`."""

    def describe(self) -> tuple[Statement, ...]:
        """Exactly what `apply` would send, in order, secrets masked. Sends nothing and needs no connection."""

    async def probe(self) -> Probe:
        """Whether it is so, with evidence; changes nothing."""

    async def apply(self) -> Evidence:
        """It is so when this returns; safe to repeat, also after an unknown outcome. Returns what was seen."""


@dataclass(frozen=True, slots=True)
class Session:
    """One client session on a server, from its own activity view. Names are `plain`."""

    side: Side
    pid: int
    role: str
    application: str
    client: str
    state: str
    has_xid: bool
    xact_age_s: float | None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Blocker:
    """Something that keeps a step from finishing, named so that a person can act on it."""

    what: str
    side: Side | None = None
    pid: int | None = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """By what right a process acts on the pair."""

    seat: str
    """A word of its own, which a pilot shares with its guardian."""
    epoch: int = 0
    """The least number that it gets on record: a later claim has a greater one. 0 of an heir that does not know its pilot's."""
    before: frozenset[str] | None = None
    """The seats that the claim goes on from: whoever else is on record has taken the pair up since. None of one that takes it from anybody."""
    heir: bool = False
    """Somebody else sat down on this seat, and nothing is taken from whoever sits there now."""


@dataclass(frozen=True, slots=True)
class Sat:
    """Who is on record as having sat down on the pair."""

    seat: str
    owner: str
    at: str


class Servers(Protocol):
    """The pair's two servers. Actions are made without connecting; connections are prepared by `open` and re-made when they break."""

    async def open(self) -> None:
        """Connections to both sides are up and warmed, so that an action in the window is one round trip. `LinkError` names the side."""

    async def close(self) -> None: ...

    async def versions(self) -> dict[Side, str]: ...

    async def lock(self, owner: str, claim: Claim | None = None) -> None:
        """This process holds the pair's advisory lock on both sides, or `Refused` says who flies, since when and from where.

        With a `claim` it is on record from the first time on, on every side that answers and has the control schema, that the pair is
        that seat's, and this process's fences compare it. `Superseded`, from here and from a fence, says who sat down since, also when the
        lock is free again; one side's word is enough. Without one nothing is compared: such a process looks and acts on nothing."""

    async def seated(self) -> dict[Side, Sat]:
        """Who sat down on the pair last, by each side that answers within two seconds and knows of somebody."""

    @property
    def lock_lost(self) -> bool:
        """The lock was held by a connection that has broken since: somebody else may have it. Asks nobody."""

    def objects(self) -> tuple[str, ...]:
        """Every `cockpit_*` object that may exist on a side, as `blue: publication cockpit_...`."""

    def install(self, side: Side) -> Action:
        """The control schema (heartbeat, canary, fence ledger, hold) exists on the side."""

    def replicate(self, origin: Side, target: Side, *, copy: bool) -> Action:
        """Publication and slot on `origin`, subscription on `target`, enabled, filtered to what was written on `origin` itself.

        `copy`: initial data are copied where the subscription is new. Done means: worker running and slot active."""

    def canary(self, origin: Side, target: Side) -> Action:
        """A unique row written on `origin` was seen on `target`. Evidence: `round_trip_ms`."""

    def fence(self, side: Side, *, on: bool) -> Action:
        """On: no app role can write on the side; new app logins are refused, sessions read-only by default. Off: as it was found.

        Evidence, also of a fence that is no longer whole: `fenced_since` (None where no fence is on record) and `read_only`.

        Sessions that are already there are quiesced, not by this. Applying replication and the cockpit itself stay possible."""

    def quiesce(self, side: Side) -> Action:
        """No app session that could still commit is left on the fenced side and no prepared transaction.

        Evidence: `lsn` (taken after the last one was gone, `X/Y`), `terminated`. Raises `StepError` naming the blockers that stay."""

    def terminate(self, side: Side, pids: tuple[int, ...]) -> Action:
        """The app sessions with these process ids are gone from the side; a pid that is no app session is left alone."""

    def drain(self, origin: Side, target: Side) -> Action:
        """Everything committed on the fenced `origin` is applied on `target`: a canary written after the quiesce is seen there.

        Evidence: `canary_ms`, `confirmed_lsn`, `fence_lsn`."""

    def sequences(self, origin: Side, target: Side) -> Action:
        """Every sequence of `target` continues beyond what `origin` handed out, by the stride. Evidence: count, before and after."""

    def sequences_beyond(self, origin: Side, target: Side) -> Action:
        """Every sequence of `target` continues beyond what `origin` was last seen to have handed out and beyond the highest number that
        `target` holds, by ten strides. Asks `origin` nothing. Evidence: count, moved, and `unseen`: those of which neither is known."""

    async def bill(self, origin: Side, target: Side) -> Bill:
        """What `target` has not of `origin` now. Counted in the log that the mirror's slot keeps where `origin` answers, else what was
        last seen; reads only, within a few seconds."""

    async def heard(self, by: Side, of: Side) -> float | None:
        """Seconds since the server `by` last received anything of `of` over the mirror; None while it is not connected to it, or has asked
        it for a sign of life in vain. Any number says that `of` lives: a mirror with nothing to carry is silent for long."""

    def parted(self, origin: Side, target: Side) -> Action:
        """`target` applies nothing more of `origin`, and, where `origin` answers, that one nothing of `target`. The slot on `origin`
        stays where it is: it keeps what `target` has not. Evidence: `applied`, the origin's position up to which `target` has it."""

    def released(self, side: Side) -> Action:
        """`side` keeps no log for the other one any more: the slot of its own mirror is gone. And it can follow the other one no more, by
        nobody's hand, until `gone`: what the slot there keeps stays. Asks the other side nothing."""

    async def census(self, side: Side) -> tuple[Session, ...]:
        """Every app session (not ours, not replication's) on the side, now."""

    async def server(self, side: Side) -> ServerSample: ...

    async def lag(self, origin: Side, target: Side) -> LagSample: ...

    async def beat(self, side: Side) -> None:
        """A heartbeat row was written on the serving side; not called inside the window."""

    async def preflight(self, serving: Side) -> tuple[FindingSeen, ...]:
        """Every check of the two servers that applies, each with what was seen, its query and its remedy."""

    async def shape(self) -> dict[Side, str]:
        """A digest of each side's schema: changes when anyone runs DDL that matters. Cheap while nobody does: asked every second."""

    def gone(self, side: Side) -> Action:
        """No `cockpit_*` object is left on the side (slots, subscriptions, publications, schema). Evidence: `parted` where the side can follow
        the other one no more (`released`), whose slot may keep what this one has not."""


class Pooler(Protocol):
    """One pooler instance in front of the pair: it can stall its clients without failing them, and it says where it goes."""

    @property
    def name(self) -> str: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def pause(self) -> Action:
        """Clients wait and no server connection is in use. One bounded attempt: when it does not finish, the pause is taken back
        and `StepError` is raised, with the pids of the server sessions that kept it from finishing. Probe: `done` only when the pooler itself says paused."""

    def cut(self) -> Action:
        """Clients wait for a new server connection and none is in use: who held one was disconnected. For a server that does not answer
        and whose connections therefore never become free; it is a pause all the same, which `resume` ends."""

    def resume(self) -> Action:
        """Clients flow again."""

    def route(self, side: Side) -> Action:
        """New server connections go to `side`, none to the other side is left, and the server that answers through the pool was seen to be `side`."""

    async def sample(self) -> PoolerSample: ...

    async def preflight(self, window_s: float) -> tuple[FindingSeen, ...]: ...


class Channel(Protocol):
    """One way in which apps learn where their database is."""

    @property
    def name(self) -> str: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def stage(self) -> Action:
        """Everything that routing to either side will need is prepared; apps notice nothing."""

    def route(self, side: Side) -> Action:
        """The channel says `side`; compare-and-set where the system has it: `SystemFault` when somebody else changed it in between."""

    async def intended(self) -> Side | None:
        """The side the channel names now; None when it names neither."""

    async def preflight(self) -> tuple[FindingSeen, ...]: ...


@dataclass(frozen=True, slots=True)
class Verification:
    """What the verification inside the window proved. `equal` is None when the time box ended first."""

    equal: bool | None
    keys: int
    tables: int
    differing: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    seconds: float = 0.0
    evidence: Evidence = field(default_factory=dict)


class Reconciler(Protocol):
    """Proving that two sides hold the same data, in the background, and what changed since, in the window."""

    async def open(self, serving: Side) -> None: ...

    async def close(self) -> None: ...

    def samples(self) -> AsyncIterator[ReconSample]:
        """The work itself: iterating it reads within the load limit and yields at most once a second what changed. Cancel to stop."""

    def hold(self) -> None:
        """Background reading stops at the next statement's end, so that the window has the servers for itself."""

    def quieted(self, origin: Side) -> None:
        """Between `hold` and `verify_changed`: `origin` took its last write. What it changed is looked up from now on, while its last
        changes still travel; returns at once and raises nothing."""

    def release(self, serving: Side) -> None:
        """Background reading goes on; `serving` serves now."""

    def duty(self, change: float) -> float:
        """Changes the load limit by `change` (share of time), within its bounds; returns the new one."""

    def describe(self) -> tuple[Statement, ...]:
        """What `catch_up` and `verify_changed` send, in the shape it has for each table; names in angle brackets stand for a table's own."""

    async def catch_up(self, box_s: float) -> Evidence:
        """What changed up to a moment ago is proven, as far as `box_s` seconds reach, while writes flow: the window has the less to do."""

    async def verify_changed(self, origin: Side, target: Side, box_s: float) -> Verification:
        """Proves, within `box_s` seconds and with both sides quiet, every row that changed since it was last proven."""

    async def parity(self) -> Parity:
        """Everything but rows in which the sides differ: what replication neither carries nor checks. Reads catalogues only; not called
        inside the window. What could not be seen raises, it is never taken as equal."""

    def seen_beside(self) -> Parity | None:
        """The parity as the last `preflight` read it; None where it could not, or before the first."""

    async def checks(self, box_s: float, patience_s: float = 0.0) -> tuple[CheckResult, ...]:
        """The scenario's metrics and spot checks as both sides answer them, in their order; none where it has none. What could not be read
        is `failed` with its reason, within `box_s` seconds for all of them, after at most `patience_s` in which the other side applies
        what was committed. Given up at once, as `failed`, when a window opens: nothing of it is ever sent inside one."""

    async def preflight(self) -> tuple[FindingSeen, ...]: ...

    def objects(self) -> tuple[str, ...]: ...

    def gone(self, side: Side) -> Action: ...


class Feed(Protocol):
    """The apps' own counters, where they offer any."""

    async def writes_s(self) -> dict[str, float]:
        """Acknowledged writes a second by app name; apps that offer none are absent."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything the procedure acts on, for one pair."""

    servers: Servers
    poolers: Sequence[Pooler]
    channels: Sequence[Channel]
    """Every channel but the poolers."""
    reconciler: Reconciler
    feed: Feed
