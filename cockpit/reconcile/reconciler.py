"""The reconciler of one pair: opens the connections, keeps the taps drained, compares in the background, verifies in the window.

Two tasks work while `samples` is iterated: the watch drains both taps, up to twice a second, and proves what changed; the scan reads tables,
with what the watch (`Watch.rest_s`) leaves it of the load limit. What they find is kept in a file where there is one (`keeping`). Neither ends
because a server does: it says so in the sample's note and goes on when the server is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cockpit.errors import CockpitError, SystemFault
from cockpit.handover.ports import Action, Verification
from cockpit.model.checks import CheckResult, Checks
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.parity import Parity
from cockpit.model.plan import Statement
from cockpit.model.settings import PairSpec, Tuning
from cockpit.model.telemetry import ReconSample
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile import catalog, meeting, statements
from cockpit.reconcile.aligned import Aligned, waits
from cockpit.reconcile.business import Business
from cockpit.reconcile.cleaning import Gone
from cockpit.reconcile.columns import MOST_ROWS, read_differences
from cockpit.reconcile.compare import Comparison
from cockpit.reconcile.distance import measure
from cockpit.reconcile.findings import beside, findings, waiver
from cockpit.reconcile.keeping import Keeper
from cockpit.reconcile.keys import KEY_SETTINGS, Bundles
from cockpit.reconcile.ledger import Ledger, Standing
from cockpit.reconcile.parity import of_pair
from cockpit.reconcile.passage import Passage
from cockpit.reconcile.publications import inserts_name
from cockpit.reconcile.schedule import next_table, refused
from cockpit.reconcile.selftest import faults
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.shapes import shapes
from cockpit.reconcile.tap import Name
from cockpit.reconcile.taps import Tap, tap_name
from cockpit.reconcile.telling import Telling
from cockpit.reconcile.throttle import EVERY_S, Throttle, look
from cockpit.reconcile.watch import Watch, drain
from cockpit.reconcile.window import Window

SAMPLE_S, CATALOG_S = 1.0, 60.0
CATALOG_SOON_S = 2.0
"""Where a table was refused, or its first copy is not finished."""
CATALOG_CHEAP_S = 0.1
"""Catalogs that are read within this are read once more before a window."""
BURST_S, LONGEST_BURST_S = 0.025, 0.1
"""Short ranges are read for so long, far ones until the other, then it rests: fewer transactions are disturbed than by a rest after each."""
LONGEST_REST_S = 5.0
CATCH_UP_ROUNDS = 3
"""A key is proven in the round after the one that saw it, when replication has had the time to carry it."""
CALM_AFTER_S = 1.0
"""Seconds after a catch-up in which a window is expected to open."""
CUT_S = 0.05
"""How long a statement may go on after `hold`."""
LEAST_DUTY, MOST_DUTY = 0.01, 0.5

NO_CHECKS = Checks()
FOR_WINDOW = "given up for the window of a handover"

T = TypeVar("T")


class PostgresReconciler:
    """The port `Reconciler` on two PostgreSQL servers (14 and later)."""

    def __init__(self, spec: PairSpec, tuning: Tuning, proof: Path | None = None, checks: Checks = NO_CHECKS) -> None:
        """`checks`: what both sides must agree on beside their rows. `proof`: the file in which what is proven outlives the process; without it, or where it cannot be written, it does not."""
        self._spec = spec
        self._throttle = Throttle(min(max(tuning.recon_duty, LEAST_DUTY), MOST_DUTY))
        self._scan = {side: Line(side, spec.side(side).control, settings={"plan_cache_mode": "force_custom_plan"}) for side in Side}
        self._probe = {side: Line(side, spec.side(side).control, settings=KEY_SETTINGS) for side in Side}
        self._strain = {side: Line(side, spec.side(side).control, settings={"statement_timeout": "2s"}) for side in Side}
        run = secrets.token_hex(4)
        self._taps = {side: Tap(side, spec.side(side).control, spec.name, run) for side in Side}
        self._ledger = Ledger(lambda shown: waiver(spec.waivers, shown) is not None, spec.is_sensitive)
        self._bundles = Bundles(self._probe)
        self._passage = Passage(self._probe)
        # What is read in a held snapshot rests by the whole limit: vacuum waits for its end.
        self._comparison = Comparison(self._scan, self._bundles, self._passage, partial(self._rest, None), lambda: self._throttle.share)
        self._keeper = Keeper(proof, self._ledger, self._taps, spec.is_sensitive)
        self._watch = Watch(self._ledger, self._taps, self._bundles, self._passage, self._keeper.take_up)
        self._telling = Telling(self._ledger, self._taps, self._watch, self._comparison)
        self._business = Business(spec, checks)
        self._beside: Parity | None = None
        self._serving = Side.BLUE
        self._free, self._calm, self._tapped = _set_event(), _set_event(), asyncio.Event()
        """Whether the background works; whether it also writes down what is proven, and holds apply; set when the taps were tried: a table read
        before that would have to be read again."""
        self._gates = {side: Line(side, spec.side(side).control, writes=True, settings=meeting.SETTINGS) for side in Side}
        parts = (self._ledger, self._taps, self._watch, self._passage, self._comparison, self._scan, self._gates)
        self._aligned = Aligned(*parts, self._calm, self._refused)
        self._calming: asyncio.TimerHandle | None = None
        """Where a catch-up was not followed by a window."""
        self._last_drain: asyncio.Task[int] | None = None
        """Since the origin is quiet: what it changed last is being marked."""
        self._at_work: set[asyncio.Task[Any]] = set()
        self._uncut: set[asyncio.Task[Any]] = set()
        self._readings: set[asyncio.Task[Any]] = set()
        """Business checks that are being read: they may take long, and give way at once."""
        self._hash_faults: list[str] = []
        self._catalog_mono = float("-inf")
        """When the catalogs were read, or earlier where they are to be read again soon."""
        self._read_mono = float("-inf")
        self._catalog_s = 0.0
        """Seconds that reading them took."""
        self._not_ready: set[tuple[str, str]] = set()
        self._trouble = {"drain": "", "prove": "", "scan": ""}
        """What stood in the way of each lately."""

    async def open(self, serving: Side) -> None:
        """Catalogs are read and the hash is tested on both servers, which stay as they are; `LinkError` names a side out of reach."""
        self._serving = serving
        await self._keeper.open()
        self._hash_faults = await self._test_hash()
        await self._read_catalog()
        self._comparison.distance = await measure(self._scan)
        await self._business.plan(serving)

    async def close(self) -> None:
        """Nothing of the reconciler runs any more, the taps it made are gone, its connections closed."""
        self.hold()
        if self._uncut:
            await asyncio.wait(self._uncut, timeout=2.0)
        await asyncio.gather(*(tap.close() for tap in self._taps.values()))
        await self._keeper.close()
        groups = (self._scan, self._probe, self._strain, self._gates)
        await asyncio.gather(*(line.close() for group in groups for line in group.values()))

    async def samples(self) -> AsyncIterator[ReconSample]:
        """Works while it is iterated: the taps are made by its first step. The first sample has every table, later ones what changed."""
        tasks = [
            asyncio.create_task(work) for work in (self._watching(), self._scanning(), self._throttling(), self._keeper.keep(self._calm))
        ]
        try:
            while True:
                yield self._sample()
                done, _ = await asyncio.wait(tasks, timeout=SAMPLE_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def hold(self) -> None:
        """The background starts nothing more; a statement that runs longer than `CUT_S` from now is cancelled."""
        self._free.clear()
        self._stir()
        self._stop_readings()
        asyncio.get_running_loop().call_later(CUT_S, self._cut)

    def quieted(self, origin: Side) -> None:
        """Both taps are drained up to a mark that is written now: nothing that was committed on `origin` can follow it. The verification
        waits for that, and drains anew where it failed."""
        if self._free.is_set():
            return
        self._last_drain = self._started(self._drain_last(), self._uncut)

    async def _drain_last(self) -> int:
        async with self._watch.turn:
            return await drain(self._ledger, self._taps, fenced=True)

    def release(self, serving: Side) -> None:
        """The background goes on; the tap of `serving` now shows the apps' changes, the other side's the strangers'."""
        self._serving = serving
        self._last_drain = None
        self._catalog_mono = float("-inf")
        self._free.set()
        self._calm.set()

    def duty(self, change: float) -> float:
        """The load limit, changed and within its bounds; under strain less is taken."""
        self._throttle.allow(round(min(max(self._throttle.allowed + change, LEAST_DUTY), MOST_DUTY), 4))
        return self._throttle.allowed

    def describe(self) -> tuple[Statement, ...]:
        return shapes(self._spec.name)

    async def catch_up(self, box_s: float) -> Evidence:
        """The taps are drained and what they show is proven, over and over until little is left or the box ends; so are tables that were
        made since the catalogs were last read. What stood in the way is in the evidence."""
        loop = asyncio.get_running_loop()
        started, before = loop.time(), self._dirty()
        trouble = ""
        self._stir()  # a window is about to open
        self._stop_readings()
        self._calming = loop.call_later(box_s + CALM_AFTER_S, self._calm.set)
        try:
            async with asyncio.timeout(box_s):
                if loop.time() - self._read_mono > CATALOG_SOON_S and self._catalog_s < CATALOG_CHEAP_S:
                    await self._carried(self._read_catalog(), cut=True)
                    self._watch.renew()
                else:
                    await self._carried(self._watch.look(), cut=False)
                for _ in range(CATCH_UP_ROUNDS):
                    await self._carried(self._watch.drain(self._tables()), cut=False)
                    await self._carried(self._watch.prove(self._free), cut=True)
        except TimeoutError:
            trouble = f"the time box of {box_s:g} s ended; what is left is proven inside the window"
        except CockpitError as err:
            trouble = plain(err, 200)
        found: dict[str, object] = {"dirty_before": before, "dirty_after": self._dirty(), "seconds": round(loop.time() - started, 4)}
        return found | ({"trouble": trouble} if trouble else {})

    def _dirty(self) -> int:
        return sum(standing.dirty for standing in self._ledger.provable())

    async def verify_changed(self, origin: Side, target: Side, box_s: float) -> Verification:
        """Everything that changed since it was last proven is proven equal, or named. Both sides are quiet and drained meanwhile."""
        was_free = self._free.is_set()
        self.hold()
        try:
            return await self._in_window(origin, target, box_s)
        finally:
            if was_free:
                self._free.set()
                self._calm.set()
            self._keeper.tell()

    async def _in_window(self, origin: Side, target: Side, box_s: float) -> Verification:
        """The verification, once the background is out of its way; the waiting counts."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=min(CUT_S * 2, box_s))
        self._cut()
        last, self._last_drain = self._last_drain, None
        window = Window(self._ledger, self._taps, self._bundles, self._comparison, self._scan, self._watch.turn, self._business.follows)
        found = await window.verify(origin, target, max(box_s - (loop.time() - started), 0.001), last)
        self._watch.window_took(*window.keys_proven)
        return found

    async def parity(self) -> Parity:
        """Everything but rows in which the sides differ, through connections of its own: the background goes on."""
        return await of_pair(self._spec, self._serving)

    def seen_beside(self) -> Parity | None:
        """The parity that the last preflight read; None where it could not."""
        return self._beside

    async def checks(self, box_s: float, patience_s: float = 0.0) -> tuple[CheckResult, ...]:
        """The business checks as both sides answer them now, through connections of their own; given up at once for a window."""
        if not self._calm.is_set():
            return self._business.unread(FOR_WINDOW)
        task = self._started(self._business.read(self._serving, box_s, patience_s), self._readings)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        return self._business.unread(FOR_WINDOW) if task.cancelled() else task.result()

    def _stop_readings(self) -> None:
        for task in tuple(self._readings):
            task.cancel()

    async def preflight(self) -> tuple[FindingSeen, ...]:
        """Whether both servers hash alike, which tables cannot be proven and why, whether the taps can be had, and in what the sides differ
        beside the rows."""
        self._hash_faults = await self._test_hash()
        await self._read_catalog()
        tap, waivers = tap_name(self._spec.name), self._spec.waivers
        found = await findings(self._ledger, self._hash_faults, self._probe, tap, waivers)
        return found + await beside(self._parity_kept(), waivers)

    async def _parity_kept(self) -> Parity:
        self._beside = None
        self._beside = await self.parity()
        return self._beside

    def objects(self) -> tuple[str, ...]:
        """Slot and publications of the tap on either side; each run's end in letters of its own."""
        name = f"{tap_name(self._spec.name)}_*"
        each = (f"publication {name}", f"publication {inserts_name(name)}", f"slot {name}")
        return tuple(f"{side}: {what}" for side in Side for what in each)

    def gone(self, side: Side) -> Action:
        """No tap of the pair is left on the side, of whichever run."""
        return Gone(side, self._spec.side(side).control, tap_name(self._spec.name))

    # --- the two tasks -----------------------------------------------------------

    async def _watching(self) -> None:
        while True:
            await self._free.wait()
            self._watch.serving = self._serving
            await self._attended(self._watch.drain(self._tables(), in_turn=True), "drain", cut=False)
            self._tapped.set()
            if any(tap.outdated for tap in self._taps.values()):
                self._soon()
            self._keeper.tell()
            if self._free.is_set():
                await self._attended(self._watch.prove(self._free, in_turn=True), "prove", cut=True)
            await asyncio.sleep(self._watch.rest_s(self._throttle.share))

    async def _scanning(self) -> None:
        await self._tapped.wait()
        now, busy, until = asyncio.get_running_loop().time, 0.0, 0.0
        while True:
            await self._free.wait()
            took = await self._attended(self._step(), "scan", cut=True)
            self._keeper.tell()
            busy += took if took is not None else 0.2
            if busy >= BURST_S or now() > until:
                await self._rest(self._for_scan(), busy)
                busy, until = 0.0, now() + LONGEST_BURST_S

    async def _throttling(self) -> None:
        while True:
            await self._free.wait()
            self._throttle.judge(await look(self._strain))
            await asyncio.sleep(EVERY_S)

    async def _step(self) -> float:
        """One piece of one table; returns the seconds that a server was busy with it."""
        now = asyncio.get_running_loop().time
        if now() - self._catalog_mono > CATALOG_S:
            await self._read_catalog()
        provable = self._ledger.provable()
        await self._explain(provable)
        standing = next_table(provable, self._not_ready, now())
        if standing is None:
            return 0.05
        started = now()
        try:
            busy = await self._at_one_commit(standing)
            busy = await self._comparison.advance(standing, self._serving) if busy is None else busy
            standing.refusals = 0
            return busy
        except SystemFault as err:
            self._refused(standing, err)
            refused(standing, now() - started, now())
            return now() - started
        finally:
            standing.moved, standing.attempted_mono = True, now()

    async def _at_one_commit(self, standing: Standing) -> float | None:
        """None where the table is not to be read so, or not now: shortly before a window apply is left alone."""
        if not waits(standing) or not self._calm.is_set():
            return None
        return await self._aligned.prove(standing, self._serving, self._throttle.share)

    async def _explain(self, provable: Sequence[Standing]) -> None:
        """Rows that were newly confirmed to differ are told column by column."""
        for standing in provable:
            keys = tuple(list(standing.differing)[:MOST_ROWS])
            if keys != standing.explained_for:
                with contextlib.suppress(SystemFault):
                    standing.explained = await read_differences(self._scan, standing.table, standing.differing, self._spec.is_sensitive)
                standing.explained_for = keys

    def _refused(self, standing: Any, err: SystemFault) -> None:
        """A table that may not be read is unverifiable until it may; one that changed its shape is read anew; anything else is tried
        again later."""
        standing.work = None
        standing.waiting = plain(err, 200)
        if err.code == "42501":
            standing.blocked = f"may not be read: {plain(err.what, 150)}"
        if err.code.startswith("42"):
            self._soon()
        elif err.code == "57014":
            self._comparison.rate = max(self._comparison.rate / 2, 1000.0)

    def _soon(self) -> None:
        """The catalogs are read again soon."""
        self._catalog_mono = min(self._catalog_mono, asyncio.get_running_loop().time() - CATALOG_S + CATALOG_SOON_S)

    async def _attended(self, work: Coroutine[Any, Any, Any], what: str, *, cut: bool) -> Any:
        """The work's result; None where `hold` cut it short or a side could not be reached, which the note then says."""
        try:
            result = await self._carried(work, cut=cut)
        except CockpitError as err:
            self._trouble[what] = plain(err, 200)
            await asyncio.sleep(0.5)
            return None
        self._trouble[what] = ""
        return result

    async def _carried(self, work: Coroutine[Any, Any, Any], *, cut: bool) -> Any:
        """The work's result; None where `hold` cut it short.

        Work that may not be cut runs to its end even when whoever waits for it is cancelled: a drain half way would lose changes."""
        task = self._started(work, self._at_work if cut else self._uncut)
        try:
            await asyncio.wait({task})
        finally:
            if cut:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return None if task.cancelled() else task.result()

    def _started(self, work: Coroutine[Any, Any, T], group: set[asyncio.Task[Any]]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        group.add(task)
        task.add_done_callback(group.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, also where nobody waits any more
        return task

    def _stir(self) -> None:
        """Nothing is written down until it is calm again, which an earlier catch-up can no longer say."""
        self._calm.clear()
        if self._calming is not None:
            self._calming.cancel()

    def _cut(self) -> None:
        if self._free.is_set():
            return
        for task in tuple(self._at_work):
            task.cancel()

    async def _rest(self, share: float | None, busy: float) -> None:
        share = share or self._throttle.share
        await asyncio.sleep(min(busy * (1 - share) / share, LONGEST_REST_S))

    def _for_scan(self) -> float:
        """Of a server's time, what the watch leaves of the load limit, and on this machine the cockpit itself."""
        return self._throttle.for_scan(self._watch.load(self._throttle.share), here=self._comparison.distance.here)

    # --- facts ---------------------------------------------------------------------

    def _sample(self) -> ReconSample:
        counts = f"counts only: {plain(self._hash_faults[0], 120)}" if self._hash_faults else ""
        held = f"load held back: {self._throttle.cause}" if self._throttle.cause else ""
        notes = [note for note in (counts, held, self._keeper.note, *dict.fromkeys(self._trouble.values())) if note]
        return self._telling.sample(self._serving, self._throttle.share, *notes)

    def _tables(self) -> dict[Name, catalog.Table]:
        return {name: s.table for name, s in self._ledger.standings.items()}

    async def _test_hash(self) -> list[str]:
        try:
            return await faults(self._probe)
        except SystemFault as err:
            return [f"{err.where}: {plain(err.what, 150)}"]

    async def _read_catalog(self) -> None:
        """The ledger and the bundles are of the tables that there are now; a table that may be read again is compared again."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        tables = await catalog.read(self._probe, self._spec.exclude_tables, self._serving)
        self._not_ready = await self._passage.not_ready(self._serving.other)
        await self._ask_again()
        self._catalog_s = loop.time() - started
        async with self._watch.turn:  # nobody is half way through a proof of the tables as they were
            self._ledger.adopt(tables, content=not self._hash_faults)
            self._bundles.adopt([s.table for s in self._ledger.provable()])
        await self._bundles.warm()
        self._read_mono = loop.time()
        self._catalog_mono = self._read_mono - (CATALOG_S - CATALOG_SOON_S if self._not_ready else 0.0)

    async def _ask_again(self) -> None:
        """Tables that were refused and are not any more count as comparable."""
        for standing in [s for s in self._ledger.standings.values() if s.blocked]:
            try:
                await asyncio.gather(*(line.fetch(statements.allowed(standing.table)) for line in self._probe.values()))
                standing.blocked = standing.waiting = ""
            except SystemFault as err:
                standing.blocked = f"may not be read: {plain(err.what, 150)}"


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
