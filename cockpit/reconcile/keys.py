"""Proving given rows: sums of many tables in one round trip a side, single rows only where a sum differs.

Tables are bundled: one prepared statement holds up to `WIDTH` tables, each fed by arrays of keys that are empty where nothing is asked.
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
from cockpit.reconcile.catalog import Table
from cockpit.reconcile.sessions import Line, both
from cockpit.reconcile.statements import bundle, columns_of, keyed_names, keyed_rows
from cockpit.reconcile.tap import Key, Name

WIDTH = 64
BATCH = 20_000
"""Keys of one table in one statement."""
KEY_SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "statement_timeout": "5s"}
"""Of the lines that are asked. A plan is kept until its tables are analyzed again: one made while a table was small reads it whole, and would
go on to do so once for each key when it has grown ("Planner Method Configuration", "PREPARE" in the manual)."""

Hashes = dict[Key, tuple[int, ...]]
"""The hashes of the rows that a key has: none, one, or more where nothing keeps the key unique."""


@dataclass(slots=True)
class Proven:
    """What a look at given keys found."""

    equal: dict[Name, list[Key]] = field(default_factory=dict)
    unequal: dict[Name, list[Key]] = field(default_factory=dict)
    keys: int = 0
    seconds: float = 0.0
    """What the slower side took."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One bundle's statement and the keys it is asked for, by the place of their table."""

    sql: str
    tables: Sequence[Table]
    wanted: Mapping[int, Sequence[Key]]


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
        """Which of the asked keys are equal on both sides, which are asked at the same time or one after the other. `LinkError`,
        `SystemFault` where a side cannot be read."""
        found = Proven()
        for part in _parts(asked):
            await self._prove(part, found, in_turn)
        return found

    async def _prove(self, asked: Mapping[Name, Sequence[Key]], found: Proven, in_turn: bool) -> None:
        # Bound before the first answer is awaited: other tables may be adopted meanwhile.
        questions = self._questions(asked)
        took, answers = await both([partial(self._ask, side, questions) for side in Side], in_turn=in_turn)
        found.seconds += took
        blue, green = answers
        for question, here, there in zip(questions, blue, green, strict=True):
            for place, keys in question.wanted.items():
                target = found.equal if here[place] == there[place] else found.unequal
                target.setdefault(question.tables[place].name, []).extend(keys)
                found.keys += len(keys)

    def _questions(self, asked: Mapping[Name, Sequence[Key]]) -> list[_Question]:
        by_bundle: dict[int, dict[int, Sequence[Key]]] = {}
        for name, keys in asked.items():
            if name in self._place:
                number, place = self._place[name]
                by_bundle.setdefault(number, {})[place] = keys
        return [_Question(self._sql[number], self._tables[number], wanted) for number, wanted in by_bundle.items()]

    async def _ask(self, side: Side, questions: Sequence[_Question]) -> list[list[tuple[int, str]]]:
        answers = []
        for question in questions:
            arguments: list[Any] = []
            for place, table in enumerate(question.tables):
                arguments.extend(columns_of(question.wanted.get(place, ()), len(table.key)))
            rows = await self._lines[side].run(question.sql, *arguments)
            by_table = {row["t"]: (row["n"], row["h"]) for row in rows}
            answers.append([by_table[i] for i in range(len(by_table))])
        return answers

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
