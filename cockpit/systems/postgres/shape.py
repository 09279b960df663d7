"""A digest of a side's schema: it changes when DDL that matters ran, not with data, statistics, sequence values or a REINDEX.

The digest spells out every definition, which on a large schema is work for the server. So what is asked every second is a mark alone:
count and sum over the transactions that last wrote each row of the catalogues (`xmin`). Whatever DDL does, it writes there; vacuum
and analyze do not (what they change, they change in place). Only where the mark has moved is the digest read, and after one that
took long not before twenty times as long has passed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cockpit.systems.postgres.catalogue import USER_SCHEMA
from cockpit.systems.postgres.link import Link

LONGEST_REST_S = 30.0
REST = 20
"""A digest is read again after so many times as long as it took: a twentieth of the time at most."""

_PARTS = (
    "SELECT concat_ws(' ', 'relation', n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity, c.relforcerowsecurity,"
    " pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), CASE WHEN c.relkind IN ('v', 'm') THEN md5(pg_get_viewdef(c.oid)) END)"
    f" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'column', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,"
    " a.attgenerated, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid)) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    f" WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'constraint', n.nspname, k.conname, k.conrelid::regclass, k.contypid::regtype, pg_get_constraintdef(k.oid), k.convalidated)"
    f" FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.contype <> 'n' AND {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident) FROM pg_index i"
    f" JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'trigger', t.tgrelid::regclass, pg_get_triggerdef(t.oid), t.tgenabled) FROM pg_trigger t"
    f" JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'rule', r.ev_class::regclass, r.rulename, md5(pg_get_ruledef(r.oid)), r.ev_enabled) FROM pg_rewrite r"
    f" JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.rulename <> '_RETURN' AND {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'routine', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), p.prokind, p.prosecdef,"
    " md5(p.prosrc || coalesce(p.probin, ''))) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
    f" WHERE {USER_SCHEMA} AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')",
    "SELECT concat_ws(' ', 'sequence', s.seqrelid::regclass, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle)"
    f" FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'enum', e.enumtypid::regtype, e.enumlabel, row_number() OVER (PARTITION BY e.enumtypid ORDER BY e.enumsortorder))"
    f" FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'domain', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault) FROM pg_type t"
    f" JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'policy', p.polrelid::regclass, p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid),"
    " pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USER_SCHEMA}",
    "SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension",
    "SELECT concat_ws(' ', 'event trigger', evtname, evtevent, evtenabled) FROM pg_event_trigger",
)
_DIGEST = (
    "SELECT md5(coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\"), '')) AS digest FROM ("
    + " UNION ALL ".join(_PARTS)
    + ") AS all_of(line)"
)


_OF_RELATION = {
    "pg_attribute": "attrelid",
    "pg_attrdef": "adrelid",
    "pg_constraint": "conrelid",
    "pg_index": "indexrelid",
    "pg_trigger": "tgrelid",
    "pg_rewrite": "ev_class",
    "pg_sequence": "seqrelid",
    "pg_policy": "polrelid",
}
# Temporary tables come and go with the apps' work: they are nobody's schema. Oids from 16384 on are not the server's own.
_ROWS = {
    "pg_class": "oid >= 16384 AND relpersistence <> 't'",
    "pg_type": "oid >= 16384 AND typnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_')",
    "pg_namespace": "nspname !~ '^pg_'",
    "pg_proc": "oid >= 16384",
    "pg_enum": "oid >= 16384",
    "pg_extension": "true",
    "pg_event_trigger": "true",
    **{name: f"({of} >= 16384 OR {of} = 0) AND {of} NOT IN (SELECT oid FROM temporary)" for name, of in _OF_RELATION.items()},
}
MARK = (
    "WITH temporary AS MATERIALIZED (SELECT oid FROM pg_class WHERE relpersistence = 't')"
    " SELECT string_agg(concat_ws(' ', rows, writers), ',' ORDER BY n) AS mark FROM ("
    + " UNION ALL ".join(
        f"SELECT {n} AS n, count(*) AS rows, sum(hashint8(xmin::text::bigint)::bigint) AS writers FROM {name} WHERE {those}"
        for n, (name, those) in enumerate(_ROWS.items())
    )
    + ") AS catalogues"
)


@dataclass(slots=True)
class Shape:
    """One side's schema as last read."""

    link: Link
    digest: str = ""
    _mark: str = ""
    _not_before: float = 0.0

    async def read(self) -> str:
        """The digest now; it is waited for where it was read a short while ago and took long."""
        loop = asyncio.get_running_loop()
        # First the mark: what is written between the two is seen next time.
        mark = str((await self.link.row(MARK, within=10.0))["mark"])
        if mark == self._mark:
            return self.digest
        await asyncio.sleep(self._not_before - loop.time())
        started = loop.time()
        self.digest = str((await self.link.row(_DIGEST, within=60.0))["digest"])
        self._mark, self._not_before = mark, loop.time() + min(REST * (loop.time() - started), LONGEST_REST_S)
        return self.digest
