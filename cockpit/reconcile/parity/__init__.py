"""Whether blue and green are the same database in everything that logical replication neither carries nor checks.

Catalogue queries only, one round trip for each family of objects and side, both sides at once, the rows compared as sets by name.
Objects of extensions are compared through their extension, nothing of the cockpit's counts. Safe to run at any time outside the window.

Measured on two cores, 16 and 18 side by side: 2,000 tables of 10 columns with 4 indexes, a trigger, a sequence and 3 grants each, some
50,000 objects a side, take 2.0 s; 4.5 to 6.4 s where other work kept both cores busy. The drill's database takes 0.2 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from cockpit.model.parity import Difference, Parity
from cockpit.model.settings import PairSpec
from cockpit.model.words import Side
from cockpit.reconcile.parity import (
    columns,
    constraints,
    outside,
    programs,
    relations,
    rights,
    roles,
    sequences,
    settings,
    types,
    uncarried,
    views,
)
from cockpit.reconcile.parity.facts import About, Family, Rows, by_key, compare, missing, statement
from cockpit.reconcile.sessions import Line, Row, together

DEADLINE_S = 60.0
FAMILIES: tuple[Family, ...] = (
    *relations.FAMILIES,
    *columns.FAMILIES,
    *constraints.FAMILIES,
    *programs.FAMILIES,
    *views.FAMILIES,
    *types.FAMILIES,
    *sequences.FAMILIES,
    *rights.FAMILIES,
    *roles.FAMILIES,
    *outside.FAMILIES,
    *settings.FAMILIES,
)
_ABOUT = """SELECT current_setting('server_version_num')::int AS version, current_database()::text AS database,
  to_regclass('cockpit_control.fence') IS NOT NULL AS fence"""


async def of_pair(spec: PairSpec, serving: Side) -> Parity:
    """The parity of a pair, through connections of its own that are closed again."""
    lines = {side: Line(side, spec.side(side).control, settings={"statement_timeout": f"{DEADLINE_S:.0f}s"}) for side in Side}
    try:
        return await parity(lines, spec.exclude_tables, serving=serving, apps=[app.role for app in spec.apps])
    finally:
        await asyncio.gather(*(line.close() for line in lines.values()))


async def parity(lines: Mapping[Side, Line], excluded: Collection[str], *, serving: Side = Side.BLUE, apps: Sequence[str] = ()) -> Parity:
    """Everything in which the sides differ. `excluded` are `schema.table` names that are not compared; `apps` the roles apps log in as.
    `LinkError` where a side is out of reach, `SystemFault` where it refuses: what was not seen is never taken as equal."""
    matter = await _matter(lines, apps)
    both = await together(*(_read(lines[side], excluded, matter) for side in Side))
    abouts = {side: about for side, (about, _, _) in zip(Side, both, strict=True)}
    families: list[tuple[Family, Rows]] = []
    for n, family in enumerate((*FAMILIES, settings.SERVER)):
        families.append((family, {side: by_key(told[n], family.aspects[0].field) for side, (_, told, _) in zip(Side, both, strict=True)}))
    lost = set(chain.from_iterable(missing(family, rows) for family, rows in families))
    found: list[Difference] = []
    for family, rows in families:
        found += compare(family, rows, abouts, serving, lost)
        await asyncio.sleep(0)  # of a large database it takes a while, and others wait for the loop
    behind = {side: rows for side, (_, _, rows) in zip(Side, both, strict=True)}
    found += uncarried.large_objects(behind, serving) + settings.unseen(families[-1][1])
    return Parity(tuple(_without_echoes(found, families)), _compared(families), uncarried.not_carried(behind))


async def _matter(lines: Mapping[Side, Line], apps: Sequence[str]) -> list[str]:
    """Roles that matter on either side: on the other one they may be without any right yet."""
    told = await together(*(lines[side].fetch(roles.THAT_MATTER, list(apps)) for side in Side))
    return sorted({row["name"] for rows in told for row in rows} | set(apps))


async def _read(line: Line, excluded: Collection[str], matter: Sequence[str]) -> tuple[About, list[list[Row]], list[Row]]:
    (row,) = await line.fetch(_ABOUT)
    about = About(line.side, row["version"], row["database"], row["fence"])
    told = [await _asked(line, statement(family.sql, about), excluded, matter) for family in FAMILIES]
    plain = line.unset()
    try:
        told.append(await plain.fetch(settings.SERVER.sql, settings.NAMES))
    finally:
        await plain.close()
    return about, told, await _asked(line, statement(uncarried.SQL, about), excluded, matter)


async def _asked(line: Line, sql: str, excluded: Collection[str], matter: Sequence[str]) -> list[Row]:
    args = [list(excluded), list(matter)][: 2 if "$2" in sql else 1 if "$1" in sql else 0]
    return await line.run(sql, *args, deadline=DEADLINE_S)


def _uneven(families: Sequence[tuple[Family, Rows]]) -> set[str]:
    """Relations of which one side has columns that the other has not: their order is no news."""
    rows = next(rows for family, rows in families if family is columns.COLUMNS)
    return {rel for rel, _ in rows[Side.BLUE].keys() ^ rows[Side.GREEN].keys()}


def _without_echoes(found: Sequence[Difference], families: Sequence[tuple[Family, Rows]]) -> Iterator[Difference]:
    """Not the order of columns where the columns are not the same, nor the comment on what one side lacks."""
    uneven = _uneven(families)
    lone = {d.object for d in found if d.kind != "comment" and not (d.blue and d.green)}
    for difference in found:
        about, _, _ = difference.object.rpartition(": ")
        part, _, whole = about.rpartition(" on ")
        silent = (
            {about, f"{whole}.{part}", whole, about.rpartition(".")[0]} & lone
            if difference.kind == "comment"
            else difference.object in uneven
        )
        if difference.kind not in {"comment", "column order"} or not silent:
            yield difference


def _compared(families: Sequence[tuple[Family, Rows]]) -> dict[str, int]:
    count: dict[str, int] = {}
    for family, rows in families:
        kind = family.aspects[0].kind
        count[kind] = count.get(kind, 0) + len(rows[Side.BLUE].keys() | rows[Side.GREEN].keys())
    return count
