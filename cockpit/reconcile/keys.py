"""Proving given rows: sums of many tables in one round trip a side, single rows only where a sum differs.

Tables are bundled: one prepared statement holds up to `WIDTH` tables, each fed by arrays of keys that are empty where nothing is asked.
Where a server refuses it, most often for one of them, they are asked for one by one: what is left unproven is what cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.reconcile.catalog import SHUT, Table
from cockpit.reconcile.sessions import Line, both
from cockpit.reconcile.statements import bundle, columns_of, keyed_names, keyed_rows
from cockpit.reconcile.tap import Key, Name

WIDTH = 64
BATCH = 20_000
"""Keys of one table in one statement."""
KEY_SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "statement_timeout": "5s"}
"""Of the lines that are asked. A plan is kept until its tables are analyzed again: one made while a table was small reads it whole, and would
go on to do so once for each key when it has grown ("Planner Method Configuration", "PREPARE" in the manual)."""

PATIENCE_S = 6.0
"""Seconds that one side's refusals of one proof may take in all, which is one statement that is stopped at its time: then it is asked no more."""
LOCKED = "55P03"
_SHUT = f"""{SHUT}
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT oid FROM shut) OR c.reltoastrelid IN (SELECT oid FROM shut)
"""  # noqa: S608 - made of constants

Hashes = dict[Key, tuple[int, ...]]
"""The hashes of the rows that a key has: none, one, or more where nothing keeps the key unique."""


@dataclass(slots=True)
class Proven:
    """What a look at given keys found; of those of a table that a side refused it says nothing."""

    equal: dict[Name, list[Key]] = field(default_factory=dict)
    unequal: dict[Name, list[Key]] = field(default_factory=dict)
    refused: dict[Name, SystemFault] = field(default_factory=dict)
    keys: int = 0
    seconds: float = 0.0
    """What the slower side took, but for what it refused."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One bundle's statement and the keys it is asked for, by the place of their table."""

    sql: str
    tables: Sequence[Table]
    wanted: Mapping[int, Sequence[Key]]
    alone: bool = False
    """It is asked for one table of a bundle."""

    @property
    def keys(self) -> int:
        return sum(len(keys) for keys in self.wanted.values())

    def names(self) -> list[Name]:
        return [self.tables[place].name for place in self.wanted]

    def one_by_one(self) -> list[_Question]:
        """The same keys, by a statement for each table; none where that would be the same statement."""
        if len(self.tables) == 1:
            return []
        return [_Question(bundle([self.tables[place]]), [self.tables[place]], {0: keys}, True) for place, keys in self.wanted.items()]

    async def put(self, line: Line) -> dict[Name, tuple[int, str]]:
        """Count and sum of the rows of each table's keys."""
        arguments: list[Any] = []
        for place, table in enumerate(self.tables):
            arguments.extend(columns_of(self.wanted.get(place, ()), len(table.key)))
        rows = await (line.again if self.alone else line.run)(self.sql, *arguments)
        return {self.tables[row["t"]].name: (row["n"], row["h"]) for row in rows if row["t"] in self.wanted}


@dataclass(slots=True)
class _Answers:
    """Of one side: each table that was asked for is in one of the two."""

    sums: dict[Name, tuple[int, str]] = field(default_factory=dict)
    refused: dict[Name, SystemFault] = field(default_factory=dict)
    seconds: float = 0.0


class _Asker:
    """One side in one proof."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lost_s = 0.0
        """Seconds until it refused."""
        self._last: SystemFault | None = None
        self._shut: dict[Name, SystemFault] = {}
        """The tables that were found to be locked: the next one would cost another lock timeout."""

    async def ask(self, questions: Sequence[_Question]) -> _Answers:
        """All bundles, then the tables of those that were refused, the fewest keys first: what takes too long keeps no other waiting."""
        answers, apart = _Answers(), list[_Question]()
        for question in questions:
            if not await self._ask(question, answers):
                apart += question.one_by_one()
        for question in sorted(apart, key=lambda each: each.keys):
            await self._ask(question, answers)
        return answers

    async def _ask(self, question: _Question, answers: _Answers) -> bool:
        """Whether it was answered."""
        now = asyncio.get_running_loop().time
        if (known := self._refuses(question)) is not None:
            answers.refused.update(dict.fromkeys(question.names(), known))
            return False
        started = now()
        try:
            sums = await question.put(self._line)
        except SystemFault as err:
            self._last, self._lost_s = err, self._lost_s + now() - started
            answers.refused.update(dict.fromkeys(question.names(), err))
            if err.code == LOCKED:
                self._shut |= {(row["schema"], row["name"]): err for row in await self._line.fetch(_SHUT)}
            return False
        answers.seconds += now() - started
        answers.sums |= sums
        for name in sums:
            answers.refused.pop(name, None)
        return True

    def _refuses(self, question: _Question) -> SystemFault | None:
        """Why there is no need to ask."""
        if self._lost_s > PATIENCE_S:
            return self._last
        return next((self._shut[table.name] for table in question.tables if table.name in self._shut), None)


class Bundles:
    """The prepared statements of all tables with a key."""

    def __init__(self, lines: Mapping[Side, Line]) -> None:
        self._lines = lines
        self._tables: list[list[Table]] = []
        self._sql: list[str] = []
        self._place: dict[Name, tuple[int, int]] = {}
        self._cold: dict[str, int] = {}
        """Statements that were never run, and how many arrays each takes."""

    def adopt(self, tables: Sequence[Table]) -> None:
        """The statements are for these tables; what was prepared for others is forgotten."""
        keyed = [t for t in tables if t.key and not t.unprovable and t.missing_on is None]
        self._tables = [keyed[i : i + WIDTH] for i in range(0, len(keyed), WIDTH)]
        before, self._sql = self._sql, [bundle(tables) for tables in self._tables]
        self._place = {t.name: (b, i) for b, tables in enumerate(self._tables) for i, t in enumerate(tables)}
        self._cold = {sql: sum(len(t.key) for t in held) for sql, held in zip(self._sql, self._tables, strict=True) if sql not in before}
        for line in self._lines.values():
            line.forget([sql for sql in before if sql not in self._sql])

    async def warm(self, most: int = 32) -> None:
        """Plans exist on both sides, so that the first look inside the window plans nothing. A statement that is refused is refused
        again, and said, when it is needed."""
        cold, self._cold = list(self._cold.items())[:most], {}
        for sql, arrays in cold:
            nothing: list[list[str]] = [[] for _ in range(arrays)]
            with contextlib.suppress(SystemFault):
                await asyncio.gather(*(line.run(sql, *nothing) for line in self._lines.values()))

    async def prove(self, asked: Mapping[Name, Sequence[Key]], *, in_turn: bool = False) -> Proven:
        """Which of the asked keys are equal on both sides, which are asked at the same time or one after the other. `LinkError`;
        `SystemFault` where nothing of what was asked can be read."""
        found, askers = Proven(), [_Asker(self._lines[side]) for side in Side]
        for part in _parts(asked):
            await self._prove(part, found, askers, in_turn)
        if found.refused and not found.keys:
            raise next(iter(found.refused.values()))
        return found

    async def _prove(self, asked: Mapping[Name, Sequence[Key]], found: Proven, askers: Sequence[_Asker], in_turn: bool) -> None:
        # Bound before the first answer is awaited: other tables may be adopted meanwhile.
        questions = self._questions(asked)
        _, (blue, green) = await both([partial(asker.ask, questions) for asker in askers], in_turn=in_turn)
        found.seconds += max(blue.seconds, green.seconds)
        found.refused |= blue.refused | green.refused
        for name, here in blue.sums.items():
            if (there := green.sums.get(name)) is not None:
                target = found.equal if here == there else found.unequal
                target.setdefault(name, []).extend(asked[name])
                found.keys += len(asked[name])

    def _questions(self, asked: Mapping[Name, Sequence[Key]]) -> list[_Question]:
        by_bundle: dict[int, dict[int, Sequence[Key]]] = {}
        for name, keys in asked.items():
            if name in self._place:
                number, place = self._place[name]
                by_bundle.setdefault(number, {})[place] = keys
        return [_Question(self._sql[number], self._tables[number], wanted) for number, wanted in by_bundle.items()]

    async def hashes(self, table: Table, keys: Sequence[Key], side: Side) -> Hashes:
        """Each key's row hashes on one side; a key without a row is absent."""
        found: dict[Key, list[int]] = {}
        for start in range(0, len(keys), BATCH):
            part = keys[start : start + BATCH]
            for row in await self._lines[side].run(keyed_rows(table), *columns_of(part, len(table.key))):
                found.setdefault(part[row["n"] - 1], []).append(row["h"])
        return {key: tuple(sorted(values)) for key, values in found.items()}

    async def stored(self, table: Table, keys: Sequence[Key], serving: Side) -> dict[Key, Key]:
        """Each key as its row has it, on the serving side if there: keys that are equal though not the same, 1.0 and 1.00, name one row."""
        found = {key: key for key in keys}
        for side in (serving.other, serving):
            for start in range(0, len(keys), BATCH):
                part = keys[start : start + BATCH]
                for row in await self._lines[side].run(keyed_names(table), *columns_of(part, len(table.key))):
                    found[part[row["n"] - 1]] = tuple(row[f"k{i}"] for i in range(len(table.key)))
        return found


def _parts(asked: Mapping[Name, Sequence[Key]]) -> list[dict[Name, Sequence[Key]]]:
    """The asked keys in parts that one statement may hold; usually one."""
    rounds = max((-(-len(keys) // BATCH) for keys in asked.values()), default=0)
    return [
        {name: keys[i * BATCH : (i + 1) * BATCH] for name, keys in asked.items() if keys[i * BATCH : (i + 1) * BATCH]}
        for i in range(rounds)
    ]
