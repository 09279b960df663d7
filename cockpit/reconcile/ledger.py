"""What is proven: the standing of every table, kept in memory, bounded.

Dirty keys have two ages. Those of the newest drain are `young`: the other side may still be applying them. When the next drain comes,
what was young and did not change again is `old` and is proven. So a key that changes all the time stays young, and is proven
where nothing moves any more: inside the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cockpit.model.telemetry import RowDifference, TableProof
from cockpit.model.text import plain
from cockpit.model.words import Exactness, ProofState, Side
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.columns import Sensitive, never, shown_key
from cockpit.reconcile.statements import whole
from cockpit.reconcile.tails import Tail
from cockpit.reconcile.tap import Batch, Key, Name
from cockpit.reconcile.tiles import Tile

MAX_KEYS = 200_000
"""Dirty keys of one table beyond which the table counts as dirty as a whole."""
GRACE_S = 5.0
"""A change younger than this does not make an equal table dirty: it is about to be proven."""
HOT_AFTER = 5
"""Unequal readings in a row, with the serving side moving, that make a table hot."""
MOST_MARKS = 16
NEVER = float("-inf")


@dataclass(slots=True)
class Pass:
    """One reading of a whole table, piece by piece."""

    epoch: int
    hard: int = 0
    low: Key | None = None
    spread: float | None = None
    """Numbers for each row of the range that was read last, where the key is an integer with few gaps."""
    stride: int = 0
    """Rows that a range has been read in lately; none yet."""
    closely: bool = False
    """Whether the rows ahead, up to `until`, are read in short ranges by their keys, for among them some are unequal."""
    until: Key | None = None
    """None is the table's end."""
    read: dict[Side, int] = field(default_factory=lambda: {Side.BLUE: 0, Side.GREEN: 0})
    aligned: bool = False
    """Both sides are read at one commit."""
    tiles: dict[Side, Tile] | None = None
    """The sides whose heap is read, and how far; None before it is known which."""
    strays: int = 0
    """Rows that lay elsewhere in it, so far."""

    def add(self, rows: Mapping[Side, int]) -> None:
        """So many more were read."""
        for side, count in rows.items():
            self.read[side] += count


@dataclass(slots=True)
class Standing:
    """One table. `proven`: every row was proven equal once, and since then only the dirty keys changed."""

    table: Table
    proven: bool = False
    proven_mono: float | None = None
    attempted_mono: float = NEVER
    """When it was last read, or a try to read it ended."""
    refusals: int = 0
    """Tries to read it, one after the other, that failed."""
    again_mono: float = NEVER
    """Before that it is not tried again."""
    rows: dict[Side, int] = field(default_factory=dict)
    epoch: int = 0
    hard: int = 0
    """Rises where it is not known what changed; a reading that began before proves nothing."""
    whole_since: float | None = None
    young: dict[Key, None] = field(default_factory=dict)
    old: dict[Key, None] = field(default_factory=dict)
    young_since: float | None = None
    old_since: float | None = None
    differing: dict[Key, str] = field(default_factory=dict)
    more: bool = False
    """There were more differing rows than were confirmed one by one."""
    """Keys confirmed different, and how."""
    explained: tuple[RowDifference, ...] = ()
    """The first of them, column by column."""
    explained_for: tuple[Key, ...] = ()
    differs: str = ""
    """How a table without a key differs."""
    unequal: int = 0
    crowded: bool = False
    """It changes faster than both sides can be read at about one time; at one commit they can be compared (`aligned`)."""
    apart: str = ""
    """Why such a table is not read at one commit."""
    off: int = 0
    """Readings at one commit, one after the other, that were unequal."""
    aligned: bool = False
    """The proof that it has was made at one commit of both sides."""
    work: Pass | None = None
    blocked: str = ""
    tail: Tail = field(default_factory=Tail)
    tracked: bool = False
    """Was proven, and of every change since it is known that it happened; a table without a key cannot say to which row."""
    waiting: str = ""
    """Why it cannot be compared now, though it can be later."""
    waived: bool = False
    """Whether the config accepts by name that it is not compared."""
    unwatched: bool = False
    """Not every change of it shows: what is read of it proves nothing for longer than a moment."""
    sensitive: Sensitive = never
    """Which columns' values may not be shown."""
    content: bool = True
    """Whether content can be compared; else counts alone."""
    strewn: set[Side] = field(default_factory=set)
    """Where its rows were found not to lie in the order of their keys."""
    skewed_mono: float = NEVER
    """When key ranges of it were last found to hold other rows on the other side."""
    unsaved: dict[Key, bool] | None = None
    """Keys that became dirty (True) or proven (False) since this was last taken; None where nobody takes it, or where it got too long."""
    wiped: bool = False
    """Whether since then all dirty keys were given up, before those in `unsaved`."""
    moved: bool = False
    """Whether since then it was read or proven anew."""

    @property
    def unprovable(self) -> str:
        return self.table.unprovable or self.blocked

    @property
    def dirty(self) -> int:
        return len(self.young) + len(self.old)

    @property
    def missing(self) -> bool:
        return self.table.missing_on is not None

    @property
    def differences(self) -> int:
        return len(self.differing) + bool(self.differs) + self.missing

    @property
    def coverage(self) -> float:
        if self.proven or self.tracked:
            return 1.0
        if self.work is None or not self.table.estimate:
            return 0.0
        return min(max(self.work.read.values()) / self.table.estimate, 0.99)

    def count(self) -> int:
        return max(self.rows.values(), default=self.table.estimate)

    def touch(self, keys: Iterable[Key], now: float) -> None:
        """These rows changed. Too many of them, and the whole table did."""
        self.young_since = now if self.young_since is None or not self.young else self.young_since
        touched = dict.fromkeys(keys)
        self.young.update(touched)
        self._note(touched, True)
        limit = min(MAX_KEYS, max(self.count() // 100, 2000))
        if self.dirty > limit:
            self.touch_whole(now)

    def touch_whole(self, now: float, *, tracked: bool = False) -> None:
        """Anything in the table may have changed; a reading that is under way proves nothing any more.

        `tracked`: single rows changed, all of them seen, though without a key to name them."""
        self.tracked = tracked and (self.proven or self.tracked)
        self.hard += not tracked
        self.epoch += 1
        self.unsaved, self.wiped = {} if self.unsaved is not None else None, True
        self.work = None
        self.young, self.old, self.young_since, self.old_since = {}, {}, None, None
        if self.proven or self.whole_since is None:
            self.whole_since = now
        self.proven = False

    def age_keys(self) -> None:
        """A drain begins: what the last one brought is old."""
        self.old_since = self.old_since if self.old else self.young_since
        self.old.update(self.young)
        self.young, self.young_since = {}, None

    def proven_keys(self, keys: Iterable[Key], now: float) -> None:
        """These rows are equal on both sides, unless they changed again since they were asked for."""
        proven = dict.fromkeys(keys)
        for key in proven:
            self.old.pop(key, None)
            self.differing.pop(key, None)
        self._note([key for key in proven if key not in self.young], False)
        if self.proven:
            self.proven_mono, self.moved = now, True

    def _note(self, keys: Iterable[Key], dirty: bool) -> None:
        if self.unsaved is not None:
            self.unsaved.update(dict.fromkeys(keys, dirty))
            if len(self.unsaved) > MAX_KEYS * 2:
                self.unsaved = None

    def proven_whole(self, work: Pass, now: float) -> None:
        """The reading `work` found all of the table equal, or settled what was not."""
        self.moved = True
        if work.hard != self.hard:
            return
        self.aligned, self.off = work.aligned, 0
        if work.epoch != self.epoch:
            # Rows changed during the reading, all of them seen: equal then, dirty since.
            self.tracked, self.proven_mono, self.whole_since, self.unequal, self.rows = not self.table.key, now, now, 0, dict(work.read)
            return
        self.rows = dict(work.read)
        self.proven, self.proven_mono, self.unequal, self.waiting = not self.unwatched, now, 0, ""
        self.whole_since = now if self.unwatched else None
        self.work, self.tracked, self.more = None, False, False

    def state(self, now: float) -> ProofState:
        if self.differences:
            return ProofState.DIFFERS
        if self.unprovable:
            return ProofState.UNVERIFIABLE
        if self.unwatched:
            return ProofState.PENDING
        if not self.proven:
            return self._unproven(now)
        since = self.old_since if self.old else self.young_since if self.young else None
        stale = since is not None and now - since > GRACE_S
        return ProofState.DIRTY if stale else ProofState.EQUAL

    def _unproven(self, now: float) -> ProofState:
        if self.unequal >= HOT_AFTER:
            return ProofState.HOT
        if self.proven_mono is not None:
            fresh = self.whole_since is not None and now - self.whole_since <= GRACE_S
            return ProofState.EQUAL if fresh else ProofState.DIRTY
        return ProofState.SCANNING if self.work is not None else ProofState.PENDING

    def proof(self, now: float) -> TableProof:
        exactness = Exactness.NONE if self.unprovable or self.missing else Exactness.EXACT if self.content else Exactness.COUNT
        return TableProof(
            plain(self.table.shown, 200),
            self.rows.get(Side.BLUE),
            self.rows.get(Side.GREEN),
            self.state(now),
            exactness,
            0.0 if self.unprovable else self.coverage,
            self.proven_mono,
            plain(self._reason(), 300),
            plain(whole(self.table)) if self.table.hash_sql else "",
            self.table.owed and not self.waived,
            self.explained if self.differing else (),
        )

    def _reason(self) -> str:
        if self.differing:
            least = "at least " if self.more else ""
            return f"{least}{len(self.differing)} rows differ: {'; '.join(self.named(3))}"
        changed = "rows changed since it was proven" if self.whole_since is not None and self.proven_mono is not None else ""
        changed = "not every change of it shows yet" if self.unwatched else changed
        how = "proven with both sides at one commit" if self.aligned and self.proven_mono is not None else ""
        return self.differs or self.unprovable or self.waiting or "; ".join(why for why in (changed or self.table.reason, how) if why)

    def named(self, most: int) -> list[str]:
        """At most `most` of the confirmed differences, each with its key."""
        return [f"({shown_key(self.table, key, self.sensitive)}) {how}" for key, how in list(self.differing.items())[:most]]


class Ledger:
    """Every table's standing by name."""

    def __init__(self, waived: Callable[[str], bool] = lambda shown: False, sensitive: Sensitive = never) -> None:
        self._waived = waived
        self._sensitive = sensitive
        self.standings: dict[Name, Standing] = {}
        self.marks: dict[str, int] = {}
        """The newest marks that a tap showed, and where in its log each committed."""
        self._shown: dict[Name, TableProof] = {}

    def adopt(self, tables: Mapping[Name, Table], *, content: bool) -> None:
        """The catalogs say this now: new tables are unproven, changed ones are again, gone ones leave."""
        before, self.standings = self.standings, {}
        for name, table in tables.items():
            known = before.get(name)
            if known is not None and _same(known.table, table):
                known.table = table
                self.standings[name] = known
            else:
                self.standings[name] = Standing(table, content=content, waived=self._waived(table.shown), sensitive=self._sensitive)

    def provable(self) -> list[Standing]:
        return [s for s in self.standings.values() if not s.unprovable and not s.missing]

    def owing(self) -> list[Standing]:
        """Tables whose rows are replicated and cannot be proven, and nobody accepted that."""
        return [s for s in self.standings.values() if s.unprovable and s.table.owed and not s.missing and not s.waived]

    def left_out(self) -> list[Standing]:
        """Tables that are not compared, and that is accepted or replication does not carry them."""
        return [s for s in self.standings.values() if s.unprovable and not s.missing and (s.waived or not s.table.owed)]

    def dirty(self, side: Side, batch: Batch, now: float) -> None:
        """What a drain of the side's tap brought is marked."""
        self.marks = dict(list((self.marks | batch.marks).items())[-MOST_MARKS:])
        for name, changes in batch.unkeyed.items():
            if (standing := self.standings.get(name)) is not None and not standing.table.key:
                standing.tail.note(side, changes, batch.places)
        for name, keys in batch.keys.items():
            if (standing := self.standings.get(name)) is not None:
                standing.touch(keys, now)
        for name in batch.whole | batch.reshaped:
            if (standing := self.standings.get(name)) is not None:
                standing.tail = Tail() if name in batch.reshaped else standing.tail
                standing.touch_whole(now, tracked=not standing.table.key and name not in batch.reshaped)

    def stale(self, now: float) -> None:
        """Changes may have been missed: nothing counts as proven."""
        for standing in self.standings.values():
            standing.touch_whole(now)
            standing.tail = Tail()

    def unwatched(self, name: Name, now: float) -> None:
        """Changes of this table may have been missed up to now."""
        if (standing := self.standings.get(name)) is not None:
            standing.touch_whole(now)
            standing.tail = Tail()

    def changed(self, now: float) -> tuple[TableProof, ...]:
        """The proofs that are not as they were last shown; a proof that only got younger is shown every two seconds."""
        fresh = []
        for name, standing in self.standings.items():
            proof, last = standing.proof(now), self._shown.get(name)
            if last is None or _differs(last, proof):
                self._shown[name] = proof
                fresh.append(proof)
        return tuple(fresh)


def _same(one: Table, other: Table) -> bool:
    def what(table: Table) -> tuple[object, ...]:
        return table.hash_sql, table.key, table.unprovable, table.missing_on, table.oids

    return what(one) == what(other)


def _differs(last: TableProof, proof: TableProof) -> bool:
    def facts(p: TableProof) -> tuple[object, ...]:
        return (p.rows_blue, p.rows_green, p.state, p.exactness, round(p.coverage, 2), p.reason, p.rows)

    return facts(last) != facts(proof) or (proof.mono or 0.0) - (last.mono or 0.0) >= 2.0
