"""The publications of a tap: which tables they carry, and of which of those every change shows.

A publication knows a table by its oid. One that is dropped leaves it without a word, and another one by the same name does not come in. What a
transaction wrote before a table was added does not show, though it commits later: decoding looks at the catalogs as they were when the row was
written ("Logical Decoding"). So a table that is added to a tap that is up counts as carried once every transaction of that moment has ended.

ALTER PUBLICATION waits for VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY ("Explicit Locking", SHARE UPDATE EXCLUSIVE). A table that is held by one
is left out and tried again, and keeps no other table waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.reconcile.catalog import Carried, Table
from cockpit.reconcile.durable import Member
from cockpit.reconcile.rows import quoted
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.tap import Name

_BATCH = 100

_PUBLICATIONS = (
    "SELECT md5(coalesce(string_agg(to_jsonb(p)::text, ',' ORDER BY p.oid), '')) AS mark FROM pg_publication p WHERE p.pubname ~ $1"
)
_MEMBERS = """
SELECT n.nspname AS schema, c.relname AS name, c.oid::int8 AS oid, md5(to_jsonb(pr)::text) AS mark,
       coalesce(pg_relation_filenode(c.oid), 0)::int8 AS node
FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid
JOIN pg_class c ON c.oid = pr.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname ~ $1
"""
_OIDS = "SELECT oid::int8 AS oid FROM pg_publication WHERE pubname ~ $1"
_NEXT = "SELECT pg_current_xact_id()::text::int8 AS x"
_OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8 AS x"

_HELD = """
SELECT relation::int8 AS oid FROM pg_locks WHERE locktype = 'relation' AND relation = ANY ($1::oid[])
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""
_LOCKED, _GONE = "55P03", ("42P01", "3F000")
_NO_MEMBER = Member(0, "", 0, False)


def inserts_name(tap: str) -> str:
    """The publication beside the tap's own that carries tables without a replica identity: their inserts and truncates alone."""
    return f"{tap}_inserts"


def named(tap: str) -> str:
    """What matches the slot and the publications of this one tap."""
    return f"^{tap}(_inserts)?$"


async def mark_of(line: Line, tap: str) -> str:
    """Changes when one of the tap's publications is made anew or otherwise."""
    (row,) = await line.fetch(_PUBLICATIONS, named(tap))
    return str(row["mark"])


async def members_of(line: Line, tap: str, known: Mapping[Name, Member]) -> dict[Name, Member]:
    """What the tap's publications carry; how, is told by `known`."""
    members = {}
    for row in await line.fetch(_MEMBERS, named(tap)):
        table = (row["schema"], row["name"])
        how = known.get(table, _NO_MEMBER)
        members[table] = Member(row["oid"], row["mark"], row["node"], how.inserts, how.columns)
    return members


class Publications:
    """Of the tap called `name`. `mark` is as they were made, `oids` are the publications', `members` what they carry, as far as that is known."""

    def __init__(self, side: Side, line: Line, name: str) -> None:
        self.name = name
        self.mark = ""
        self.oids: list[int] = []
        self.members: Mapping[Name, Member] = {}
        self.outdated = False
        """Whether a table was found to have been dropped since the catalogs were read."""
        self.held: set[Name] = set()
        """The tables that are left out because something else holds them."""
        self._side, self._line = side, line
        self._wanted: Mapping[Name, Carried] = {}
        self._published: dict[Name, Carried] = {}
        self._count = 0
        """Tables in the publications when they were last looked at."""
        self._young: dict[Name, int] = {}
        """Tables that were added while the tap was up, and the first transaction whose changes are certain to show."""
        self._unsure: set[Name] = set()

    @property
    def whole(self) -> bool:
        """Whether what is carried is known, and all of it shows."""
        return self.members.keys() == self._published.keys() and not self._young

    def carries(self, name: Name) -> bool:
        """Whether every change of the table shows from now on."""
        return name in self._published and name not in self._young

    def blind(self) -> set[Name]:
        """The tables that it is to carry and does not."""
        return {name for name in self._wanted if not self.carries(name)}

    def unsure(self) -> set[Name]:
        """The tables of which, since the last call, changes may have happened that did not show."""
        unsure, self._unsure = self._unsure, set()
        return unsure

    async def make(self, tables: Mapping[Name, Table]) -> None:
        """The publications stand and carry every table that can be carried; for a tap without a slot. Those that stand as they were made stay."""
        self._young = {}
        if not await self._stand():
            await self._clear()
            await self._line.fetch(f"CREATE PUBLICATION {quoted(self.name)}")
            await self._line.fetch(f"CREATE PUBLICATION {quoted(inserts_name(self.name))} WITH (publish = 'insert, truncate')")
            await self.prepare()
            self.mark = await mark_of(self._line, self.name)
        await self.publish(tables, live=False)
        await self._note(set(self._published))

    async def _stand(self) -> bool:
        """Whether they are as they were left."""
        if not self.mark or await mark_of(self._line, self.name) != self.mark:
            return False
        found = await members_of(self._line, self.name, {})
        return self.whole and {m.oid for m in found.values()} == {m.oid for m in self.members.values()}

    async def _clear(self) -> None:
        self.mark, self.members, self._published = "", {}, {}
        for row in await self._line.fetch("SELECT pubname FROM pg_publication WHERE pubname ~ $1", named(self.name)):
            await self._line.fetch(f"DROP PUBLICATION {quoted(row['pubname'])}")

    async def prepare(self) -> None:
        """It is known which publications there are."""
        self.oids = [row["oid"] for row in await self._line.fetch(_OIDS, named(self.name))]

    async def take_up(self, name: str, mark: str, members: Mapping[Name, Member]) -> None:
        """They are those that another process left, and carry these tables."""
        self.name, self.mark, self.members, self._count = name, mark, members, len(members)
        self._published = {table: Carried(m.columns, m.inserts) for table, m in members.items()}
        await self.prepare()

    async def publish(self, tables: Mapping[Name, Table], *, live: bool = True) -> None:
        """They carry every one of the tables that can be carried now. `live`: the tap is up, and shows what it carries."""
        self._wanted = {name: t.tapped[self._side] for name, t in tables.items() if t.tapped}
        kept = {n for n, how in self._published.items() if self._wanted.get(n) == how and self._is(n, tables[n])}
        self.outdated = False
        if gone := self._published.keys() - kept:
            await self._withdraw(kept)
        self._published = {n: how for n, how in self._published.items() if n in kept}
        self._young = {n: at for n, at in self._young.items() if n in kept}
        if added := await self._add({n: tables[n] for n in self._wanted if n not in kept}):
            self._unsure |= added
            if live:
                # A transaction's number, not a snapshot's end: those that began meanwhile may have higher ones than that.
                (row,) = await self._line.fetch(_NEXT)
                self._young.update({name: int(row["x"]) for name in added})
        if gone or self.outdated or self.members.keys() != self._published.keys():
            await self._note(set(gone))

    async def oldest(self) -> int:
        """The oldest transaction that is under way, where a table waits for that; else 0."""
        if not self._young:
            return 0
        (row,) = await self._line.fetch(_OLDEST)
        return int(row["x"])

    def settle(self, oldest: int) -> None:
        """A table counts as carried where the transactions had ended that were under way when it was added; `oldest` is of before the drain that
        has ended now: what one of them wrote may be in that, and keep the decoder from later changes."""
        settled = {name for name, at in self._young.items() if at <= oldest}
        self._unsure |= settled
        self._young = {name: at for name, at in self._young.items() if name not in settled}

    def _is(self, name: Name, table: Table) -> bool:
        """Whether what is carried by that name is the table that there is."""
        member = self.members.get(name)
        return not table.oids or (member is not None and table.oid(self._side) == member.oid)

    async def _withdraw(self, kept: Collection[Name]) -> None:
        """None but these is carried. A table that was dropped is not in a publication any more, one that was renamed is there by its new name;
        one that is held stays in it, and its changes are nobody's."""
        was = {member.oid: self._published[n] for n, member in self.members.items() if n in self._published}
        found = await members_of(self._line, self.name, {})
        left = {n: was[m.oid] for n, m in found.items() if m.oid in was and not (n in kept and self.members[n].oid == m.oid)}
        for name in left:
            try:
                await self._alter("DROP", [name], left)
            except SystemFault as err:
                if err.code != _LOCKED:
                    raise

    async def _add(self, tables: Mapping[Name, Table]) -> set[Name]:
        """Those that could be added."""
        if not tables:
            self.held = set()
            return set()
        oids = {table.oid(self._side): name for name, table in tables.items() if table.oids}
        self.held = {oids[row["oid"]] for row in await self._line.fetch(_HELD, list(oids))}
        added: set[Name] = set()
        for batch in _batches([name for name in tables if name not in self.held], self._wanted):
            added |= await self._added(batch)
        self._published.update({name: self._wanted[name] for name in added})
        return added

    async def _added(self, names: Sequence[Name]) -> set[Name]:
        """Those of them that nothing took hold of in the meantime."""
        try:
            await self._alter("ADD", names, self._wanted)
        except SystemFault as err:
            if err.code != _LOCKED and err.code not in _GONE:
                raise
            if len(names) == 1:
                self.held |= set(names) if err.code == _LOCKED else set()
                self.outdated |= err.code in _GONE
                return set()
            half = len(names) // 2
            return await self._added(names[:half]) | await self._added(names[half:])
        return set(names)

    async def _alter(self, verb: str, names: Sequence[Name], how: Mapping[Name, Carried]) -> None:
        publication = inserts_name(self.name) if how[names[0]].inserts else self.name
        tables = [_table(n) + (_list(how[n].columns) if verb == "ADD" else "") for n in names]
        await self._line.fetch(f"ALTER PUBLICATION {quoted(publication)} {verb} TABLE ONLY {', ONLY '.join(tables)}")

    async def _note(self, again: set[Name]) -> None:
        """What is carried now is known; of a table that was carried before the first file it had then: a later one hides a rewriting."""
        before = {name: member for name, member in self.members.items() if name not in again}
        found = await members_of(self._line, self.name, {})
        self._count = len(found)
        self._published = {n: how for n, how in self._published.items() if n in found}
        self.members = {
            n: before.get(n) or Member(m.oid, m.mark, m.node, self._published[n].inserts, self._published[n].columns)
            for n, m in found.items()
            if n in self._published
        }

    async def seen(self, count: int) -> None:
        """So many tables are in them now; where that is not as it was, they are looked at."""
        if count != self._count:
            await self.look()

    async def look(self) -> None:
        """Tables that were dropped, or have another name, are carried no more, and unsure."""
        found = await members_of(self._line, self.name, {})
        lost = {n for n in self._published if n not in found or (n in self.members and found[n].oid != self.members[n].oid)}
        self._count, self.outdated = len(found), self.outdated or bool(lost) or len(found) != self._count
        self._published = {n: how for n, how in self._published.items() if n not in lost}
        self.members = {n: member for n, member in self.members.items() if n not in lost}
        self._unsure |= lost


def _table(name: Name) -> str:
    return f"{quoted(name[0])}.{quoted(name[1])}"


def _list(columns: tuple[str, ...] | None) -> str:
    return "" if columns is None else f" ({', '.join(quoted(c) for c in columns)})"


def _batches(names: Sequence[Name], how: Mapping[Name, Carried]) -> list[Sequence[Name]]:
    """Each of one publication, and small: a statement that locks thousands of tables would not fit the server's lock table."""
    apart = ([n for n in names if how[n].inserts is inserts] for inserts in (False, True))
    return [part[i : i + _BATCH] for part in apart for i in range(0, len(part), _BATCH)]
