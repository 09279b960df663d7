"""What every check looks at: both sides' settings, tables and sequences, read once; and how a finding is made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cockpit.model.events import FindingSeen
from cockpit.model.settings import PairSpec, Tuning
from cockpit.model.text import plain, statement
from cockpit.model.words import Severity, Side
from cockpit.systems.postgres import catalogue, sequences
from cockpit.systems.postgres.catalogue import Table
from cockpit.systems.postgres.link import Row
from cockpit.systems.postgres.sequences import Numbering
from cockpit.systems.postgres.wires import SIDES, Wires

_SETTINGS = "SELECT name, setting FROM pg_settings"


@dataclass(frozen=True, slots=True)
class Look:
    """The pair as one preflight sees it."""

    wires: Wires
    serving: Side
    settings: Mapping[Side, Mapping[str, str]]
    tables: Mapping[Side, tuple[Table, ...]]
    numbering: Mapping[Side, Mapping[tuple[str, str], Numbering]]

    @classmethod
    async def at(cls, wires: Wires, serving: Side) -> Look:
        links = [wires.work[side] for side in SIDES]
        settings = await asyncio.gather(*(link.rows(_SETTINGS) for link in links))
        tables = await asyncio.gather(*(catalogue.tables(link) for link in links))
        numbering = await asyncio.gather(*(sequences.catalogue(link) for link in links))
        told = [{str(row["name"]): str(row["setting"]) for row in rows} for rows in settings]
        return cls(wires, serving, *(dict(zip(SIDES, each, strict=True)) for each in (told, tables, numbering)))  # type: ignore[arg-type]

    @property
    def other(self) -> Side:
        return self.serving.other

    @property
    def spec(self) -> PairSpec:
        return self.wires.spec

    @property
    def tuning(self) -> Tuning:
        return self.wires.tuning

    async def rows(self, side: Side, sql: str, *args: object) -> list[Row]:
        return await self.wires.work[side].rows(sql, *args, within=30.0)

    def number(self, side: Side, setting: str) -> int:
        """A setting in its own unit; -1 where the server has none of that name."""
        return int(self.settings[side].get(setting, "-1"))

    def carried(self, side: Side) -> tuple[Table, ...]:
        return catalogue.carried(self.spec, self.tables[side])


def block(check: str, about: str, seen: str, query: str, remedy: str) -> FindingSeen:
    return _finding(check, about, Severity.BLOCK, seen, query, remedy)


def warn(check: str, about: str, seen: str, query: str, remedy: str) -> FindingSeen:
    return _finding(check, about, Severity.WARN, seen, query, remedy)


def good(check: str, about: str, seen: str, query: str) -> FindingSeen:
    return _finding(check, about, Severity.GOOD, seen, query, "")


def unless(found: Sequence[FindingSeen], otherwise: FindingSeen) -> list[FindingSeen]:
    """What was found, or that all is well."""
    return list(found) or [otherwise]


def _finding(check: str, about: str, severity: Severity, seen: str, query: str, remedy: str) -> FindingSeen:
    return FindingSeen(check, plain(about, 200), severity, plain(seen, 400), statement(query), plain(remedy))
