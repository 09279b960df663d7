"""Which tables a side has and which of them logical replication can carry.

Published are ordinary and partitioned tables that are permanent, not an extension's, not the cockpit's and not excluded. A
partitioned table is listed by its root when all its leaves qualify (leaves made later are then published too), else leaf by leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cockpit.model.settings import PairSpec
from cockpit.systems.postgres.link import Link
from cockpit.systems.postgres.names import SCHEMA, dotted, table

AT_ONCE = 500
FILLED_S = 60.0

USER_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname !~ '^cockpit_'"
"""A condition on `pg_namespace n`: schemas that are neither the server's nor the cockpit's."""

NOT_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')"

TABLES = f"""\
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, c.relpersistence::text AS persistence,
  c.relispartition AS part, coalesce(pg_partition_root(c.oid), c.oid)::oid::bigint AS root, c.relreplident::text AS identity,
  CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false
    WHEN 'd' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate)
    ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid AND i.indimmediate) END AS identified
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {USER_SCHEMA} AND {NOT_EXTENSION} ORDER BY 2, 3"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a side. `kind` and `persistence` are pg_class's letters; `root` is its own oid when it is no partition."""

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    part: bool
    root: int
    identity: str
    identified: bool

    @property
    def key(self) -> tuple[str, str]:
        return (self.schema, self.name)

    @property
    def dotted(self) -> str:
        return dotted(self.schema, self.name)

    @property
    def stores(self) -> bool:
        """Rows of its own that replication can carry."""
        return self.kind == "r" and self.persistence == "p"


async def tables(link: Link) -> tuple[Table, ...]:
    """Every user table of the side, in order of its name."""
    return tuple(Table(**dict(row)) for row in await link.rows(TABLES, within=30.0))


def excluded(spec: PairSpec, table: Table) -> bool:
    return table.dotted in spec.exclude_tables


def publishable(spec: PairSpec, found: Sequence[Table]) -> tuple[Table, ...]:
    """What a publication lists, roots for their leaves where that is the same."""
    listed = [t for t in found if not t.part and t.stores and not excluded(spec, t)]
    for root in (t for t in found if t.kind == "p" and not t.part):
        listed += _tree(spec, root, [t for t in found if t.root == root.oid and t.oid != root.oid])
    return tuple(sorted(listed, key=lambda t: t.key))


def _tree(spec: PairSpec, root: Table, below: Sequence[Table]) -> Iterable[Table]:
    if excluded(spec, root):
        return ()
    leaves = [t for t in below if t.kind != "p"]
    fit = [t for t in leaves if t.stores and not excluded(spec, t)]
    return (root,) if len(fit) == len(leaves) and not any(excluded(spec, t) for t in below) else fit


def carried(spec: PairSpec, found: Sequence[Table]) -> tuple[Table, ...]:
    """The tables whose rows are replicated: ordinary tables and leaves."""
    shut = {t.oid for t in found if t.kind == "p" and excluded(spec, t)}
    return tuple(t for t in found if t.stores and not excluded(spec, t) and t.root not in shut)


def hazards(spec: PairSpec, found: Sequence[Table]) -> tuple[Table, ...]:
    """Tables whose UPDATE and DELETE would fail in the application once they are published, not excluded and not waived."""
    waived = {w.object for w in spec.waivers if w.check in {"D1", "D2"}}
    return tuple(t for t in carried(spec, found) if not t.identified and not waived & {"*", t.dotted})


def copied_into(spec: PairSpec, here: Sequence[Table], there: Sequence[Table]) -> tuple[Table, ...]:
    """Tables `there` that a copy of `here` writes into: those of the same name, and the leaves of a root of the same name."""
    names = {t.key for t in carried(spec, here)} | {t.key for t in here if t.kind == "p"}
    roots = {t.oid: t.key for t in there}
    return tuple(t for t in carried(spec, there) if names & {t.key, roots.get(t.root)})


async def filled(link: Link, found: Sequence[Table]) -> tuple[Table, ...]:
    """Those that hold a row. Each is read up to its first; a statement takes at most `AT_ONCE` of them, so that its locks stay few."""
    held: list[Table] = []
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        each = (f"SELECT {n} AS n, EXISTS (SELECT FROM {table(t.schema, t.name)}) AS filled" for n, t in enumerate(some))
        rows = await link.rows(" UNION ALL ".join(each), within=FILLED_S)
        held += [some[n] for n in sorted(int(row["n"]) for row in rows if row["filled"])]
    return tuple(held)


def missing(spec: PairSpec, here: Sequence[Table], there: Sequence[Table]) -> tuple[Table, ...]:
    """Tables carried from `here` that do not stand `there`."""
    names = {t.key for t in there}
    return tuple(t for t in carried(spec, here) if t.key not in names)


def control_tables(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((SCHEMA, name) for name in names)
