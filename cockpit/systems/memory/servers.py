"""The twin of the pair's two servers, as one cockpit process sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from cockpit.errors import CockpitError, HalfHeard, LinkError, StepError, StepTimeout, SystemFault
from cockpit.handover.ports import Action, Blocker, Claim, Probe, Sat, Session
from cockpit.model import lsn
from cockpit.model.bill import Bill
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.telemetry import LagSample, ServerSample
from cockpit.model.words import Known, Severity, Side
from cockpit.systems.memory.action import RTT_S, MemoryAction, seen
from cockpit.systems.memory.cluster import COCKPIT, Cluster, MemorySession, Node, now, told
from cockpit.systems.memory.faults import Faults
from cockpit.systems.memory.lock import MemoryLock

T = TypeVar("T")
VERSIONS = {Side.BLUE: "16.4", Side.GREEN: "18.0"}
SAT_S = 2.0
"""Seconds after which a side that is silent is no longer asked who sat down."""


@dataclass(slots=True)
class MemoryServers:
    """`Servers` on a `Cluster`. Deadlines of its own, in seconds: `quiesce_s`, `drain_s`."""

    cluster: Cluster
    faults: Faults
    stride: int = 1000
    quiesce_s: float = 5.0
    drain_s: float = 10.0
    findings: tuple[FindingSeen, ...] = ()
    """What preflight reports beside its one good finding."""
    _lock: MemoryLock = field(default_factory=MemoryLock)
    _canaries: int = 0
    _seen_canary: dict[Side, float] = field(default_factory=dict)
    _seen_bill: dict[Side, tuple[float, Bill]] = field(default_factory=dict)
    """By origin, what was behind when both sides answered last, and when."""

    async def open(self) -> None:
        for side in Side:
            await self._call(f"servers.open {side}", lambda: None, side)

    async def close(self) -> None:
        self._lock.release(self.cluster)

    async def versions(self) -> dict[Side, str]:
        return await self._call("servers.versions", lambda: dict(VERSIONS), *Side)

    async def lock(self, owner: str, claim: Claim | None = None) -> None:
        silent = [side for side in Side if side in self.faults.cut]
        self._lock.claim(owner, claim)

        def asked() -> None:
            self._lock.ask(self.cluster, self._answering, owner, claim)
            if not silent:
                self._lock.take(self.cluster, owner)

        await self._call("servers.lock", asked)
        if silent and claim is not None and self._answering:
            self._lock.take(self.cluster, owner)
            if not claim.heir:
                raise HalfHeard("no answer in time", where=str(silent[0]), silent=True)
        elif silent:
            await self._call("servers.lock of a silent side", lambda: None, *silent)
            self._lock.take(self.cluster, owner)

    @property
    def _answering(self) -> list[Node]:
        return [node for side, node in self.cluster.nodes.items() if self._answers(side)]

    async def seated(self) -> dict[Side, Sat]:
        def seen_there() -> dict[Side, Sat]:
            return {node.side: Sat(*node.seat[1:], "then") for node in self._answering if node.installed and node.seat[1]}

        try:
            async with asyncio.timeout(SAT_S):
                return await self._call("servers.seated", seen_there)
        except (CockpitError, TimeoutError):
            return {}

    @property
    def lock_lost(self) -> bool:
        return self._lock.lost(self.cluster)

    def objects(self) -> tuple[str, ...]:
        return tuple(
            f"{side}: {what}"
            for side in Side
            for what in (
                "schema cockpit_control",
                f"publication cockpit_{side}",
                f"slot cockpit_{side}",
                f"subscription cockpit_{side.other}",
            )
        )

    def install(self, side: Side) -> Action:
        node = self.cluster.nodes[side]

        async def make() -> Evidence:
            self._reach(node).installed = True
            return {"schema": "cockpit_control"}

        return self._action(f"install {side}", lambda: seen(self._reach(node).installed), make, (side,), "CREATE SCHEMA cockpit_control")

    def replicate(self, origin: Side, target: Side, *, copy: bool) -> Action:
        stream = self.cluster.streams[origin]

        async def make() -> Evidence:
            slot_made()
            stream.subscribed = stream.enabled = True
            return {"slot": f"cockpit_{origin}", "active": True}

        def slot_made() -> None:
            self._reach(stream.origin), self._reach(stream.target)
            if stream.severed:
                what = f"subscription cockpit_{origin} was parted from its slot: {origin} keeps what {target} has not"
                raise SystemFault(what, where=str(target), remedy="`cockpit bill`, then `cockpit cleanup` and a new copy", code="slot")
            if stream.exists:
                return
            if stream.subscribed:
                what = f"slot cockpit_{origin} is gone: what was written since is missing on {target}"
                raise SystemFault(what, where=str(origin), remedy="`cockpit cleanup`, then start again with a new copy", code="slot")
            stream.exists, stream.position = True, 0 if copy else len(stream.origin.rows)

        def see() -> Probe:
            self._reach(stream.origin), self._reach(stream.target)
            made = stream.exists and stream.subscribed and stream.enabled
            return seen(made, slot=f"cockpit_{origin}", active=stream.running)

        text = "CREATE SUBSCRIPTION ... (origin = none)"
        return self._action(f"replicate {origin} to {target}", see, make, (origin, target), text, slot_made)

    def canary(self, origin: Side, target: Side) -> Action:
        async def make() -> Evidence:
            return {"round_trip_ms": await self._canary(origin, target)}

        def see() -> Probe:
            self._reach(self.cluster.nodes[target])
            at = self._seen_canary.get(origin)
            return Probe(Known.PENDING) if at is None else Probe(Known.DONE, {"age_s": now() - at})

        return self._action(f"canary {origin} to {target}", see, make, (origin, target), "INSERT INTO cockpit_control.canary ...")

    def fence(self, side: Side, *, on: bool) -> Action:
        node = self.cluster.nodes[side]

        async def make() -> Evidence:
            self._lock.compare(self._reach(node))
            node.fenced = node.fence_kept = on
            node.granted.clear()
            return {"fenced": on}

        def see() -> Probe:
            whole = self._reach(node).fenced and node.fence_kept and not node.granted
            is_so = whole if on else not (node.fenced or node.fence_kept)
            return seen(is_so, read_only=node.fenced, fenced_since="earlier" if node.fence_kept else None, open_to=sorted(node.granted))

        text = (
            "ALTER DATABASE ... SET default_transaction_read_only = on; REVOKE CONNECT ..."
            if on
            else "ALTER DATABASE ... RESET ...; GRANT CONNECT ..."
        )
        return self._action(f"fence {side} {'on' if on else 'off'}", see, make, (side,), text)

    def quiesce(self, side: Side) -> Action:
        node = self.cluster.nodes[side]

        def see() -> Probe:
            self._reach(node)
            quiet = node.fenced and not node.app_sessions() and not node.prepared
            return seen(quiet, lsn=lsn.show(node.wal), sessions=len(node.app_sessions()), prepared=len(node.prepared))

        def some() -> None:
            for session in _first_half(self._reach(node).app_sessions()):
                node.leave(session)

        return self._action(f"quiesce {side}", see, partial(self._quiesce, node), (side,), "SELECT pg_terminate_backend(pid) ...", some)

    async def _quiesce(self, node: Node) -> Evidence:
        if not self._reach(node).fenced:
            raise StepError("the side is not fenced", where=f"quiesce {node.side}")
        going = node.app_sessions()
        for session in going:
            node.leave(session)
        for _ in range(round(self.quiesce_s / 0.01)):
            if not node.prepared:
                break
            await asyncio.sleep(0.01)
        else:
            stay = [Blocker(f"prepared transaction {gid}", node.side) for gid in node.prepared]
            raise StepError(
                "; ".join(b.what for b in stay), where=f"quiesce {node.side}", remedy="commit or roll back the prepared transactions"
            )
        return {"lsn": lsn.show(node.wal), "terminated": len(going)}

    def terminate(self, side: Side, pids: tuple[int, ...]) -> Action:
        node = self.cluster.nodes[side]

        def left() -> list[MemorySession]:
            return [s for s in self._reach(node).app_sessions() if s.pid in pids]

        async def make() -> Evidence:
            going = left()
            for session in going:
                node.leave(session)
            return {"terminated": len(going)}

        def some() -> None:
            for session in _first_half(left()):
                node.leave(session)

        listed = ", ".join(map(str, pids))
        text = f"SELECT pg_terminate_backend({listed})"
        return self._action(f"terminate {side} {listed}", lambda: seen(not left()), make, (side,), text, some)

    def drain(self, origin: Side, target: Side) -> Action:
        stream = self.cluster.streams[origin]

        async def make() -> Evidence:
            at_fence = self._reach(stream.origin).wal
            ms = await self._canary(origin, target)
            return {"canary_ms": ms, "fence_lsn": lsn.show(at_fence), "confirmed_lsn": lsn.show(stream.confirmed)}

        def see() -> Probe:
            self._reach(stream.origin), self._reach(stream.target)
            drained = stream.origin.fenced and stream.running and stream.pending() == 0
            return seen(drained, fence_lsn=lsn.show(stream.origin.wal), confirmed_lsn=lsn.show(stream.confirmed))

        return self._action(
            f"drain {origin} to {target}", see, make, (origin, target), "INSERT INTO cockpit_control.canary ...; SELECT ..."
        )

    def sequences(self, origin: Side, target: Side) -> Action:
        given, taken = self.cluster.nodes[origin], self.cluster.nodes[target]

        async def make() -> Evidence:
            before = dict(self._reach(taken).sequences)
            self._reach(given)
            self._lock.compare(taken)
            raise_to(tuple(given.sequences))
            return {"count": len(before), "before": before, "after": dict(taken.sequences)}

        def raise_to(names: Sequence[str]) -> None:
            for name in names:
                taken.sequences[name] = max(taken.sequences[name], given.sequences[name] + self.stride)

        def some() -> None:
            self._reach(taken), self._reach(given)
            raise_to(_first_half(tuple(given.sequences)))

        def see() -> Probe:
            self._reach(taken), self._reach(given)
            ahead = all(taken.sequences[name] >= value + self.stride for name, value in given.sequences.items())
            return seen(ahead, count=len(given.sequences))

        return self._action(f"sequences {origin} to {target}", see, make, (origin, target), "SELECT setval(...)", some)

    def sequences_beyond(self, origin: Side, target: Side) -> Action:
        taken = self.cluster.nodes[target]
        seen_last = self.cluster.nodes[origin].stood

        async def make() -> Evidence:
            self._lock.compare(self._reach(taken))
            for name, at in taken.sequences.items():
                held = max(taken.keys, default=0)
                taken.sequences[name] = max(at, seen_last.get(name, 0), held) + 10 * self.stride
            return {"count": len(taken.sequences), "moved": len(taken.sequences), "unseen": []}

        def see() -> Probe:
            self._reach(taken)
            return Probe(Known.PENDING, {"why": f"{origin} is not asked"})

        return self._action(f"sequences of {target} beyond what is known of {origin}", see, make, (target,), "SELECT setval(...)")

    async def bill(self, origin: Side, target: Side) -> Bill:
        def look() -> Bill:
            self._node(target)
            if self._answers(origin):
                return self._bill(origin, target)
            if origin not in self._seen_bill:
                return Bill(origin, target, None)
            at, bill = self._seen_bill[origin]
            return replace(bill, seen_s=now() - at, exact=False)

        return await self._call(f"servers.bill {origin}", look, target)

    def _bill(self, origin: Side, target: Side) -> Bill:
        stream = self.cluster.streams[origin]
        missing = [row for row in stream.waiting() if not row.ours]
        rows = {"public.orders": len(missing)} if missing else {}
        behind = now() - missing[0].at if missing else None
        unkept = "" if stream.exists else f"slot cockpit_{origin} is gone"
        return Bill(origin, target, rows, lsn.show(stream.confirmed), lsn.show(stream.origin.wal), behind, 0.0, not unkept, unkept)

    async def heard(self, by: Side, of: Side) -> float | None:
        def look() -> float | None:
            self._node(by)
            return 0.0 if self.cluster.streams[of].running else None

        return await self._call(f"servers.heard {by}", look, by)

    def parted(self, origin: Side, target: Side) -> Action:
        theirs, ours = self.cluster.streams[origin], self.cluster.streams[target]

        async def make() -> Evidence:
            self._reach(theirs.target)
            theirs.pump()
            theirs.enabled = False
            if self._answers(origin):
                ours.enabled = False
            return {"applied": lsn.show(theirs.confirmed), "origin": "follows no more" if self._answers(origin) else "not asked"}

        def see() -> Probe:
            self._reach(theirs.target)
            return seen(not theirs.enabled, follows=theirs.enabled)

        return self._action(f"part {target} from {origin}", see, make, (target,), "ALTER SUBSCRIPTION ... DISABLE")

    def released(self, side: Side) -> Action:
        stream, followed = self.cluster.streams[side], self.cluster.streams[side.other]

        async def make() -> Evidence:
            self._reach(stream.origin)
            stream.pump()
            stream.exists = False
            if followed.enabled:
                raise SystemFault("cannot set slot_name = NONE for enabled subscription", where=str(side), code="55000")
            followed.severed = followed.subscribed
            return {"slot": False, "could_follow": False}

        def see() -> Probe:
            self._reach(stream.origin)
            could = followed.subscribed and not followed.severed
            return seen(not (stream.exists or could), slot=stream.exists, could_follow=could)

        return self._action(f"keep no log on {side}", see, make, (side,), "SELECT pg_drop_replication_slot(...)")

    def gone(self, side: Side) -> Action:
        node, out, into = self.cluster.nodes[side], self.cluster.streams[side], self.cluster.streams[side.other]

        async def make() -> Evidence:
            self._reach(node).installed = False
            node.seat = (0, "", "")
            for stream in (out, into):
                stream.pump()
                stream.exists = stream.subscribed = stream.enabled = stream.severed = False
            return {"left": 0}

        def see() -> Probe:
            self._reach(node)
            kept = {"parted": True} if into.severed else {}
            return seen(not (node.installed or any(stream.exists or stream.subscribed for stream in (out, into))), **kept)

        return self._action(
            f"gone {side}", see, make, (side,), "DROP SUBSCRIPTION ...; DROP PUBLICATION ...; DROP SCHEMA cockpit_control CASCADE"
        )

    async def census(self, side: Side) -> tuple[Session, ...]:
        return await self._call(f"servers.census {side}", lambda: tuple(_session(s) for s in self._node(side).app_sessions()), side)

    async def server(self, side: Side) -> ServerSample:
        node = self.cluster.nodes[side]

        def look() -> ServerSample:
            self._reach(node)
            ages = [now() - s.xact_at for s in node.app_sessions() if s.xact_at is not None]
            oldest = max(ages, default=None)
            counts = (len(node.app_sessions()), oldest, len(node.prepared))
            return ServerSample(told(), side, True, VERSIONS[side], node.fenced, *counts, set_back=node.set_back())

        try:
            return await self._call(f"servers.server {side}", look, side)
        except LinkError as err:
            return ServerSample(told(), side, False, VERSIONS[side], None, None, None, None, error=err.what)

    async def lag(self, origin: Side, target: Side) -> LagSample:
        def look() -> LagSample:
            self._node(origin), self._node(target)
            self._seen_bill[origin] = (now(), self._bill(origin, target))
            return self._lag(origin, target)

        return await self._call(f"servers.lag {origin}", look, origin, target)

    def _lag(self, origin: Side, target: Side) -> LagSample:
        stream, back = self.cluster.streams[origin], self.cluster.streams[target]
        behind, oldest = stream.pending(), stream.oldest_at()
        ready = 1 if stream.running else 0
        return LagSample(
            mono=told(), origin=origin, target=target, lag_bytes=behind * 96, lag_s=0.0 if oldest is None else now() - oldest,
            apply_bytes_s=None, forecast_s=None if stream.stalled else behind * 0.001, slot=f"cockpit_{origin}",
            slot_state="missing" if not stream.exists else "active" if stream.running else "inactive", retained_bytes=behind * 96,
            sender="streaming" if stream.running else "missing", worker="running" if stream.running else "disabled",
            last_message_age_s=0.1, apply_errors=0, tables_ready=ready, tables_total=1, reverse_armed=back.running and not back.stalled,
        )  # fmt: skip

    async def beat(self, side: Side) -> None:
        await self._call(f"servers.beat {side}", lambda: self._node(side).store(f"beat-{side}-{self._node(side).wal}", COCKPIT), side)

    async def preflight(self, serving: Side) -> tuple[FindingSeen, ...]:
        good = FindingSeen("R1", str(serving), Severity.GOOD, "wal_level = logical", "SHOW wal_level", "")
        return await self._call("servers.preflight", lambda: (good, *self.findings), *Side)

    async def shape(self) -> dict[Side, str]:
        return await self._call("servers.shape", lambda: {side: str(self._node(side).schema) for side in Side}, *Side)

    def _action(
        self,
        name: str,
        see: Callable[[], Probe],
        make: Callable[[], Awaitable[Evidence]],
        sides: tuple[Side, ...],
        text: str,
        half: Callable[[], None] | None = None,
    ) -> Action:
        return MemoryAction(name, self.faults, see, make, tuple((str(side), text) for side in sides[-1:]), sides, half)

    async def _call(self, call: str, effect: Callable[[], T], *sides: Side) -> T:
        async def run() -> T:
            await asyncio.sleep(RTT_S)
            return effect()

        return await self.faults.around(call, run, sides)

    def _answers(self, side: Side) -> bool:
        return self.cluster.nodes[side].up and side not in self.faults.cut

    def _node(self, side: Side) -> Node:
        self.cluster.pump()
        return self._reach(self.cluster.nodes[side])

    def _reach(self, node: Node) -> Node:
        if not node.up:
            raise LinkError("connection refused", where=str(node.side), remedy="start the server")
        return node

    async def _canary(self, origin: Side, target: Side) -> float:
        """Milliseconds until a unique row of `origin` was seen on `target`."""
        source, sink = self.cluster.nodes[origin], self.cluster.nodes[target]
        self._canaries += 1
        op, started = f"canary-{origin}-{self._canaries}-{self._reach(source).wal}", now()
        source.store(op, COCKPIT)
        while True:
            self.cluster.pump()
            if self._reach(sink).counts.get(op):
                self._seen_canary[origin] = now()
                return (now() - started) * 1000
            if now() > started + self.drain_s:
                raise StepTimeout(f"a row written on {origin} was not seen on {target} in {self.drain_s:g} s", where="canary")
            await asyncio.sleep(0.001 if now() < started + 0.02 else 0.02)


def _first_half(things: Sequence[T]) -> Sequence[T]:
    """At least one of what there is."""
    return things[: (len(things) + 1) // 2]


def _session(session: MemorySession) -> Session:
    age = None if session.xact_at is None else now() - session.xact_at
    state = "idle" if age is None else "idle in transaction"
    return Session(session.side, session.pid, session.role, session.application, session.via, state, session.wrote, age)
