"""A digest of a side's schema: it changes when DDL that matters ran, not with data, statistics, sequence values or a REINDEX."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from cockpit.model.words import Side
from cockpit.systems.postgres.catalogue import USER_SCHEMA
from cockpit.systems.postgres.link import Link

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


async def shape(links: Mapping[Side, Link]) -> str:
    """One digest over both sides."""
    rows = await asyncio.gather(*(link.row(_DIGEST, within=60.0) for link in links.values()))
    return hashlib.sha256("".join(str(row["digest"]) for row in rows).encode()).hexdigest()
