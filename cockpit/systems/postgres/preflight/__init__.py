"""Preflight of the two servers: one function per check, each finding with what was seen, its query and its remedy.

The checks' codes are those of the preflight tables (R: replication, D: data, M: moment, P: path); a waiver names the code and the
object. What the pooler, the channels and the reconciler must be is theirs to say; M4 is the quiesce, P2 the canary of the arm step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from cockpit.errors import SystemFault
from cockpit.model.events import FindingSeen
from cockpit.model.settings import Waiver
from cockpit.model.words import Severity, Side
from cockpit.systems.postgres.preflight import data, definitions, moment, path, replication
from cockpit.systems.postgres.preflight.look import Look, block
from cockpit.systems.postgres.wires import Wires

Check = Callable[[Look], Awaitable[list[FindingSeen]]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("R1", replication.wal_level),
    ("R2", replication.headroom),
    ("R3", replication.running),
    ("R4", replication.slots),
    ("R9", replication.sane),
    ("R10", replication.consumers),
    ("R11", replication.whole),
    ("R12", replication.empty),
    ("D1", data.identity),
    ("D3", data.numbers),
    ("D4", data.unlogged),
    ("D5", data.large_objects),
    ("D6", data.views),
    ("D7", definitions.columns),
    ("D8", definitions.validity),
    ("D9", definitions.statistics),
    ("D10", definitions.triggers),
    ("D11", definitions.extensions),
    ("D12", definitions.collation),
    ("D14", definitions.roles),
    ("D14", definitions.grants),
    ("D14", definitions.writable),
    ("M1", moment.transactions),
    ("M2", moment.prepared),
    ("M5", moment.housekeeping),
    ("M6", moment.quiet_target),
    ("M7", moment.jobs),
    ("M8", moment.everyone_known),
    ("P1", path.peers),
    ("P3", path.rights),
    ("P4", path.fence),
    ("P9", path.capacity),
    ("P11", path.readable),
    ("P13", path.unsaid),
)


async def findings(wires: Wires, serving: Side) -> tuple[FindingSeen, ...]:
    """Every check that applies, in the tables' order, with the config's waivers applied. A check that is refused blocks, it is never skipped."""
    look = await Look.at(wires, serving)
    found: list[FindingSeen] = []
    for code, check in CHECKS:
        try:
            found += await check(look)
        except SystemFault as err:
            found.append(
                block(code, err.where, f"could not be checked: {err.what}", "", err.remedy or "give the control role the right to look")
            )
    return tuple(waive(finding, wires.spec.waivers) for finding in found)


def waive(finding: FindingSeen, waivers: Sequence[Waiver]) -> FindingSeen:
    """The finding with its waiver's reason, where the config has one for its check and object."""
    if finding.severity is Severity.GOOD:
        return finding
    fits = (w for w in waivers if w.check == finding.check and w.object in {"*", finding.object})
    waiver = next(fits, None)
    return replace(finding, waived=waiver.reason) if waiver else finding
