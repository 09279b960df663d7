"""What replication never carries, on whichever side it stands, with what brings it over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cockpit.model.parity import Difference, NotCarried, Weight
from cockpit.model.words import Side
from cockpit.reconcile.parity.oneline import one_line
from cockpit.reconcile.sessions import Row

SQL = """SELECT CASE WHEN format('%s.%s', n.nspname, c.relname) = ANY ($1::text[]) THEN 'excluded table' WHEN c.relkind = 'm' THEN 'materialized view'
    WHEN c.relkind = 'f' THEN 'foreign table' WHEN c.relkind = 'S' THEN 'unlogged sequence' ELSE 'unlogged table' END AS kind,
  format('%I.%I', n.nspname, c.relname) AS object, c.relispopulated::text AS state
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {user} AND {own:pg_class:c.oid} AND c.relpersistence <> 't' AND (c.relkind IN ('m', 'f') OR (c.relkind IN ('r', 'p', 'S') AND c.relpersistence = 'u')
  OR (c.relkind IN ('r', 'p') AND format('%s.%s', n.nspname, c.relname) = ANY ($1::text[])))
UNION ALL SELECT 'large objects', '', count(*)::text FROM pg_largeobject_metadata"""

LARGE = "SELECT count(*) FROM pg_largeobject_metadata"
_LARGE = "pg_dump --large-objects --data-only of the serving side inside a window of its own, or move them into bytea columns"
_REMEDIES = {
    "excluded table": "excluded by the config: copy it by hand where it is needed",
    "foreign table": "its rows stay where they are: see that both sides reach its server",
    "large objects": _LARGE,
}


def _remedy(kind: str, name: str) -> str:
    if kind == "materialized view":
        return one_line(f"REFRESH MATERIALIZED VIEW {name}")
    if kind in {"unlogged table", "unlogged sequence"}:
        return (
            one_line(f"ALTER {'TABLE' if kind == 'unlogged table' else 'SEQUENCE'} {name} SET LOGGED")
            + " on both sides and copy it, or do without its rows"
        )
    return _REMEDIES[kind]


def not_carried(rows: Mapping[Side, Sequence[Row]]) -> tuple[NotCarried, ...]:
    """Each object once, with the sides it stands on."""
    found: dict[tuple[str, str], list[Side]] = {}
    for side, told in rows.items():
        for row in told:
            if row["kind"] != "large objects" or row["state"] != "0":
                found.setdefault((row["kind"], row["object"]), []).append(side)
    return tuple(NotCarried(kind, name, tuple(sides), _remedy(kind, name)) for (kind, name), sides in sorted(found.items()))


def large_objects(rows: Mapping[Side, Sequence[Row]], serving: Side) -> list[Difference]:
    """That one side has more of them than the other."""
    count = {side: next(row["state"] for row in told if row["kind"] == "large objects") for side, told in rows.items()}
    blue, green = count[Side.BLUE], count[Side.GREEN]
    if blue == green:
        return []
    return [Difference("large objects", "(database)", blue, green, Weight.LOOK, _LARGE, LARGE, serving.other)]
