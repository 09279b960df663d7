"""How a channel kind announces itself: one entry point of group `cockpit.channels` naming one `Kind`.

A company ships a channel of its own as a package with one such entry point; nothing here has to change. Loading a kind must be
cheap: it imports its driver in `open`, not at the top of its module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoints, entry_points

from pydantic import BaseModel

from cockpit.errors import ConfigError
from cockpit.handover.ports import Channel, Pooler
from cockpit.model.settings import ChannelSpec, PairSpec, Tuning

GROUP = "cockpit.channels"


@dataclass(frozen=True, slots=True)
class Kind:
    """`options` is a strict pydantic model of the kind's own settings; `make` builds a channel, or a pooler where clients can be stalled.

    The tuning is the scenario's: what a drill flew is what is flown live."""

    options: type[BaseModel]
    make: Callable[[ChannelSpec, PairSpec, BaseModel, Tuning], Channel | Pooler]
    pooler: bool = False


@cache
def _installed() -> EntryPoints:
    """A look at every package that is installed: 9 ms of a processor."""
    return entry_points(group=GROUP)


def kinds() -> tuple[str, ...]:
    """The names of all installed kinds, sorted."""
    return tuple(sorted(point.name for point in _installed()))


def load(name: str) -> Kind:
    """The kind of that name, or `ConfigError` naming those there are."""
    for point in _installed().select(name=name):
        kind = point.load()
        if isinstance(kind, Kind):
            return kind
    raise ConfigError(f"no channel kind {name!r}", remedy=f"one of: {', '.join(kinds())}")
