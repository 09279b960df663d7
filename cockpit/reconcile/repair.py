"""The statements that would make one side equal to the serving one again, row by row, and running them.

Only rows that are confirmed to differ are touched (`suspects`), each only while it still is as it was when it was compared: the row's hash
is part of the condition, so a row that changed meanwhile is left alone and told. Written as an apply worker writes: under a replication
origin of our own, so that the mirror does not carry it back, and with `session_replication_role = replica`, so that no trigger fires
("Replication Progress Tracking", "Client Connection Defaults").
"""

# ruff: noqa: S608 - identifiers are quoted by `rows.quoted`, values are parameters, or literals quoted by `literal`
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cockpit.model.words import Side
from cockpit.reconcile.catalog import Column, Table
from cockpit.reconcile.keys import BATCH
from cockpit.reconcile.rows import quoted
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.statements import columns_of, matching
from cockpit.reconcile.tap import Key

ORIGIN = "cockpit_repair"
_SET_UP = (
    f"SELECT pg_replication_origin_create('{ORIGIN}') WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = '{ORIGIN}')",
    f"SELECT pg_replication_origin_session_setup('{ORIGIN}')",
    "SET session_replication_role = replica",
)


@dataclass(frozen=True, slots=True)
class Fix:
    """One row of the other side that is to become as the serving side has it."""

    table: Table
    key: Key
    values: tuple[str | None, ...] | None
    """As text, in the order of `writable`; None: the row is to go."""
    was: int | None
    """The hash of the row that stands there now; None: none does."""

    @property
    def verb(self) -> str:
        return "delete" if self.values is None else "insert" if self.was is None else "update"


@dataclass(slots=True)
class Mended:
    """What became of the fixes: how many rows were made equal, and which were left alone because they had changed."""

    done: int = 0
    left: list[Fix] = field(default_factory=list)


def writable(table: Table) -> tuple[Column, ...]:
    """The columns that can be written at all."""
    return tuple(c for c in table.columns if not c.generated)


async def fixes(lines: Mapping[Side, Line], table: Table, keys: Sequence[Key], serving: Side) -> list[Fix]:
    """What would make the rows of these keys equal, as both sides have them now; those that are equal by now need none."""
    made: list[Fix] = []
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        here, there = await asyncio.gather(_rows(lines[serving], table, part), _rows(lines[serving.other], table, part))
        for key in part:
            mine, theirs = here.get(key), there.get(key)
            if (mine and mine[0]) != (theirs and theirs[0]):
                made.append(Fix(table, key, mine[1] if mine else None, theirs[0] if theirs else None))
    return made


async def _rows(line: Line, table: Table, keys: Sequence[Key]) -> dict[Key, tuple[int, tuple[str | None, ...]]]:
    texts = ", ".join(c.text for c in writable(table))
    select = f"SELECT {table.hash_sql} AS h, ARRAY[{texts}]::pg_catalog.text[] AS v"
    rows = await line.fetch(f"SELECT u.n AS n, x.h AS h, x.v AS v FROM {matching(table, 1, select)}", *columns_of(keys, len(table.key)))
    return {keys[row["n"] - 1]: (int(row["h"]), tuple(row["v"])) for row in rows}


class Mending(Line):
    """A connection that writes as an apply worker does, also after it was made anew; one that cannot be set up so is not kept, for what
    it wrote would be carried back."""

    async def _connected(self) -> Any:
        before = self._connection
        connection = await super()._connected()
        if connection is not before:
            try:
                for statement in _SET_UP:
                    await connection.execute(statement)
            except BaseException:
                await self.close()
                raise
        return connection


async def mend(line: Mending, wanted: Iterable[Fix], mended: Mended) -> None:
    """Each row is as the serving side had it, or was left alone because it is not as it was; `mended` is true at any time."""
    for fix in wanted:
        (row,) = await line.fetch(*_sent(fix))
        if row["n"]:
            mended.done += 1
        else:
            mended.left.append(fix)


def _sent(fix: Fix) -> tuple[Any, ...]:
    """The statement and its parameters; its answer is how many rows it touched, one or none."""
    given: list[object] = []

    def parameter(value: object, type_sql: str) -> str:
        given.append(value)
        return f"${len(given)}::pg_catalog.text::{type_sql}"

    done = _statement(fix, parameter)
    if fix.verb == "insert":
        done = f"{done} ON CONFLICT DO NOTHING"
    else:
        given.append(fix.was)
        done = f"{done} AND {fix.table.hash_sql} = ${len(given)}::pg_catalog.int8"
    return f"WITH done AS ({done} RETURNING 1) SELECT count(*) AS n FROM done", *given


Written = Callable[[str | None, str], str]
"""How a value of a type enters a statement: as a parameter, or written out."""


def _statement(fix: Fix, written: Written) -> str:
    table, columns = fix.table, writable(fix.table)
    values = list(zip(columns, fix.values or (), strict=bool(fix.values)))
    if fix.verb == "insert":
        names = ", ".join(quoted(c.name) for c in columns)
        always = " OVERRIDING SYSTEM VALUE" if any(c.numbered for c in columns) else ""
        return f"INSERT INTO {table.sql} ({names}){always} VALUES ({', '.join(written(v, c.type_sql) for c, v in values)})"
    if fix.verb == "update":
        # The key too: what its index calls equal need not be the same, 1.0 and 1.00.
        pairs = (f"{quoted(c.name)} = {written(v, c.type_sql)}" for c, v in values if not c.numbered)
        return f"UPDATE ONLY {table.sql} r SET {', '.join(pairs)} WHERE {_match(fix, written)}"
    return f"DELETE FROM ONLY {table.sql} r WHERE {_match(fix, written)}"


def _match(fix: Fix, written: Written) -> str:
    named = zip(fix.table.key, fix.key, strict=True)
    return " AND ".join(f"r.{quoted(c.name)} {c.equals} {written(value, c.type_sql)}" for c, value in named)


# --- for review ---------------------------------------------------------------------------------


def script(wanted: Sequence[Fix], side: Side) -> str:
    """The statements as a file that a person can read and run on `side`: one transaction, written as an apply worker writes."""
    head = [f"-- run on {side}, as a role that may set up a replication origin", "BEGIN;", *(f"{text};" for text in _SET_UP)]
    return "\n".join([*head, *(f"{statement(fix)};" for fix in wanted), "COMMIT;", "SELECT pg_replication_origin_session_reset();", ""])


def statement(fix: Fix) -> str:
    """One fix with its values written out."""
    return _statement(fix, lambda value, type_sql: f"{literal(value)}::{type_sql}")


def literal(value: str | None) -> str:
    """As a constant of SQL ("String Constants": with standard_conforming_strings a quote is doubled, nothing else)."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
