"""PgBouncer: stalls its clients without failing them, and is told by an included databases file and RELOAD where to go.

One channel is one instance. Loading this package imports no driver.
"""

from __future__ import annotations

from pydantic import BaseModel

from cockpit.model.settings import ChannelSpec, PairSpec, Tuning
from cockpit.systems.kinds import Kind
from cockpit.systems.pgbouncer.options import Address, Admin, Alias, Options
from cockpit.systems.pgbouncer.pooler import PgBouncer

__all__ = ["KIND", "Address", "Admin", "Alias", "Options", "PgBouncer"]


def _make(spec: ChannelSpec, pair: PairSpec, options: BaseModel, tuning: Tuning) -> PgBouncer:
    assert isinstance(options, Options)
    return PgBouncer(spec.name, pair, options, tuning.pause_attempt)


KIND = Kind(options=Options, make=_make, pooler=True)
