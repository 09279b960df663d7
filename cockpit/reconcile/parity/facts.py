"""How two sides are compared: a family of objects is one catalogue query, each side's rows a set by name, each column an aspect.

A query returns `rel` (the object, quoted), `name` (its part, quoted, or empty) and a text for each aspect, NULL nowhere; what else it
returns helps to make remedies and is not compared. The first aspect is the object itself: where a side has no such row, that alone is
reported, and nothing of what would stand inside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cockpit.model.parity import Difference, Weight
from cockpit.model.words import Side
from cockpit.reconcile.parity.oneline import literal, one_line
from cockpit.reconcile.sessions import Row
from cockpit.systems.postgres.catalogue import USER_SCHEMA

BAD, LOOK = Weight.BAD, Weight.LOOK
Key = tuple[str, str]
Rows = Mapping[Side, Mapping[Key, Row]]


@dataclass(frozen=True, slots=True)
class About:
    """One side, as every family needs to know it."""

    side: Side
    version: int
    database: str
    fence: bool
    """Whether the control schema keeps what stood before a fence."""


Remedy = Callable[[Row, Row | None, About], str]
"""The statement that makes the side like `here`; the other row is what that side has now, None where it lacks the object."""


def words(text: str) -> Remedy:
    return lambda here, there, about: text.replace("<rel>", here["rel"]).replace("<name>", here["name"])


@dataclass(frozen=True, slots=True)
class Aspect:
    """One compared column: `field` of the query, shown as `kind`."""

    field: str
    kind: str
    weight: Weight
    remedy: Remedy
    lost: Weight = BAD
    """How much it weighs that the object is missing (the first aspect's)."""
    broken: str = ""
    """A value that no side is to be made like."""
    follows: str = ""
    """A column that says that the object has this from its parent, whose difference it then is."""
    undo: Callable[[Row, About], str] | None = None
    """Takes it away again: for what the serving side is not to be given though the other one has it."""
    same: Callable[[str, str, Mapping[Side, About]], bool] | None = None
    """Whether blue's and green's value mean the same though their texts differ."""


@dataclass(frozen=True, slots=True)
class Family:
    sql: str
    aspects: tuple[Aspect, ...]
    query: str
    """Shows one object; `<rel>` and `<name>` become constants."""
    implied: Callable[[Row], bool] = field(default=lambda row: False)
    """Whether the object comes with another one: that it is missing is then not said again."""
    holds: bool = False
    """Whether other families' objects stand inside its own."""
    joint: str = "."
    """Between an object and its part."""


# Tokens that a family's text is made of; `{14:this else that}` is `this` from that major version on.
_TOKENS = {
    "{user}": USER_SCHEMA,
    "{own}": "NOT EXISTS (SELECT FROM pg_depend own WHERE own.classid = {class}::regclass AND own.objid = {oid} AND own.deptype = 'e')",
    "{rel}": """rel AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relowner, c.relacl, c.relnamespace, c.reltype, format('%I.%I', n.nspname, c.relname) AS shown, c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c') AND c.relpersistence <> 't'
  AND {user} AND c.oid NOT IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e')
  AND format('%s.%s', n.nspname, c.relname) <> ALL ($1::text[]))""",
}
_OWN = re.compile(r"\{own:(\w+):([\w.]+)\}")
_SINCE = re.compile(r"\{(\d\d):([^{}]*) else ([^{}]*)\}")
_OURS = re.compile(r'(?:(?:"(?:[^"]|"")*"|[^".]+)\.)?"?cockpit_')
_FENCE = "SELECT acl, read_only FROM cockpit_control.fence"
_NO_FENCE = "SELECT NULL::jsonb AS acl, NULL::text AS read_only WHERE false"


def statement(sql: str, about: About) -> str:
    """The family's text as that side's version understands it."""
    text = _OWN.sub(lambda m: _TOKENS["{own}"].replace("{class}", f"'{m[1]}'").replace("{oid}", m[2]), sql)
    text = text.replace("{rel}", _TOKENS["{rel}"]).replace("{user}", _TOKENS["{user}"])
    text = text.replace("{fence}", _FENCE if about.fence else _NO_FENCE)
    return _SINCE.sub(lambda m: m[2] if about.version >= int(m[1]) * 10000 else m[3], text)


def by_key(rows: Iterable[Row], first: str) -> dict[Key, Row]:
    """The rows by name, without the cockpit's own, and without those that went away while they were read: their first aspect is NULL."""
    return {(row["rel"], row["name"]): row for row in rows if row[first] is not None and not _ours(row["rel"], row["name"])}


def _ours(*names: str) -> bool:
    return any(_OURS.match(name) for name in names)


def missing(family: Family, rows: Rows) -> set[str]:
    """Objects of the family that one side lacks: what would stand inside them is not said again."""
    return {rel for rel, _ in rows[Side.BLUE].keys() ^ rows[Side.GREEN].keys()} if family.holds else set()


def compare(family: Family, rows: Rows, abouts: Mapping[Side, About], serving: Side, lost: Collection[str]) -> list[Difference]:
    """Each aspect of each object that differs. Objects inside of those `lost` on a side are left out."""
    blue, green = rows[Side.BLUE], rows[Side.GREEN]
    found = []
    for key in sorted(blue.keys() | green.keys()):
        here, there = blue.get(key), green.get(key)
        if here is None or there is None:
            found += _lone(family, here, there, abouts, serving, lost)
        elif any(here[a.field] != there[a.field] for a in family.aspects):
            found += [d for a in family.aspects for d in _both(family, a, here, there, abouts, serving)]
    return found


def _lone(
    family: Family, blue: Row | None, green: Row | None, abouts: Mapping[Side, About], serving: Side, lost: Collection[str]
) -> list[Difference]:
    row, lacks = (blue, Side.GREEN) if blue is not None else (green, Side.BLUE)
    assert row is not None
    if family.implied(row) or (row["name"] and row["rel"] in lost):
        return []
    aspect = family.aspects[0]
    if aspect.undo and lacks is serving:
        on, remedy = lacks.other, aspect.undo(row, abouts[lacks.other])
    else:
        on, remedy = lacks, aspect.remedy(row, None, abouts[lacks])
    return [_difference(family, aspect, row, (blue, green), aspect.lost, remedy, on)]


def _both(family: Family, aspect: Aspect, blue: Row, green: Row, abouts: Mapping[Side, About], serving: Side) -> list[Difference]:
    left, right = blue[aspect.field], green[aspect.field]
    if (
        left == right
        or (aspect.follows and blue[aspect.follows] and green[aspect.follows])
        or (aspect.same and aspect.same(left, right, abouts))
    ):
        return []
    rows = {Side.BLUE: blue, Side.GREEN: green}
    model = serving.other if aspect.broken and rows[serving][aspect.field] == aspect.broken else serving
    remedy = aspect.remedy(rows[model], rows[model.other], abouts[model.other])
    return [_difference(family, aspect, blue, (blue, green), aspect.weight, remedy, model.other)]


def _difference(
    family: Family, aspect: Aspect, row: Row, pair: tuple[Row | None, Row | None], weight: Weight, remedy: str, on: Side
) -> Difference:
    shown = family.joint.join(part for part in (row["rel"], row["name"]) if part)
    blue, green = ("" if side is None else str(side[aspect.field]) for side in pair)
    query = family.query.replace("<rel>", literal(row["rel"])).replace("<name>", literal(row["name"]))
    return Difference(aspect.kind, shown, blue, green, weight, one_line(remedy), one_line(query), on)
