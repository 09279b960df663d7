"""Parity: in what two sides differ of all that logical replication neither carries nor checks, and what it cannot carry at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from cockpit.model.words import Side

NOTHING: Mapping[str, int] = MappingProxyType({})


class Weight(StrEnum):
    """`bad`: behaviour or integrity differs. `look`: it may be meant; a person decides."""

    BAD = "bad"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Difference:
    """One aspect of one object that is not the same on both sides. A value is empty where the object, or the aspect, is not there."""

    kind: str
    object: str
    """Quoted as PostgreSQL does."""
    blue: str
    green: str
    weight: Weight
    remedy: str
    """The exact statement, on one line, where one can be made; else words."""
    query: str
    """The catalogue statement that shows it, on either side."""
    on: Side | None = None
    """Where the remedy is run: on the side that lacks it; where both have it, on the side that does not serve, unless the serving
    side's is the broken one."""


@dataclass(frozen=True, slots=True)
class NotCarried:
    """What replication leaves behind, on whichever side it stands; equal or not is not known."""

    kind: str
    object: str
    sides: tuple[Side, ...]
    remedy: str


@dataclass(frozen=True, slots=True)
class Parity:
    """Everything that differs; how many objects of each kind were compared; what is never carried."""

    differences: tuple[Difference, ...] = ()
    compared: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    not_carried: tuple[NotCarried, ...] = ()

    @property
    def bad(self) -> tuple[Difference, ...]:
        return tuple(d for d in self.differences if d.weight is Weight.BAD)

    @property
    def objects(self) -> int:
        return sum(self.compared.values())
