"""Views and materialized views by their text.

A server writes a view's text anew from its parse tree, and not every version alike: 16 and later leave the table's name off columns
where there is but one table (`SELECT p.e` became `SELECT e`). That alone is no difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cockpit.model.words import Side
from cockpit.reconcile.parity.facts import LOOK, About, Aspect, Family
from cockpit.reconcile.sessions import Row

_TOKEN = re.compile(r"""[eE]?'(?:[^']|'')*'|"(?:[^"]|"")*"|[\w$]+|[^\s\w]""")
_TAKES_FROM = {"extract", "overlay", "substring", "trim"}
_TABLE_NEXT = {"from", "join", "only", "into", "update"}


def same_text(blue: str, green: str, abouts: Mapping[Side, About]) -> bool:
    """Whether the texts are one but for blanks, and, across version 16, for qualifiers that only the older server writes."""
    left, right = _TOKEN.findall(blue), _TOKEN.findall(green)
    if left == right:
        return True
    old = {side: about.version < 160000 for side, about in abouts.items()}
    if old[Side.BLUE] == old[Side.GREEN]:
        return False
    return _unqualified(left, right) if old[Side.BLUE] else _unqualified(right, left)


def _unqualified(older: list[str], newer: list[str]) -> bool:
    """Whether `newer` is `older` without some qualifiers of columns."""
    at, called = 0, [""]
    for n, token in enumerate(newer):
        dropped = older[at + 1 : at + 2] == ["."] and newer[n + 1 : n + 2] != ["."]
        if dropped and re.match(r'[\w"]', older[at]) and not _table_next(older, at, called[-1]):
            at += 2
        if older[at : at + 1] != [token]:
            return False
        at += 1
        if token == "(":
            called.append(newer[n - 1].lower())
        elif token == ")" and len(called) > 1:
            called.pop()
    return at == len(older)


def _table_next(tokens: list[str], at: int, called: str) -> bool:
    """Whether a table's name stands at `at`; `called` is what the bracket around it belongs to."""
    return bool(at) and tokens[at - 1].lower() in _TABLE_NEXT and called not in _TAKES_FROM


def _view(here: Row, there: Row | None, about: About) -> str:
    text = here["def"].rstrip(";")
    if here["relkind"] == "m":
        made = f"CREATE MATERIALIZED VIEW {here['rel']} AS {text}"
        return made if there is None else f"drop it with its indexes and make it anew: {made}"
    return f"CREATE {'' if there is None else 'OR REPLACE '}VIEW {here['rel']} AS {text}"


VIEWS = Family(
    """WITH {rel} SELECT r.shown AS rel, '' AS name, r.relkind::text AS relkind, btrim(pg_get_viewdef(r.oid)) AS def FROM rel r WHERE r.relkind IN ('v', 'm')""",
    (Aspect("def", "view", LOOK, _view, same=same_text),),
    "SELECT pg_get_viewdef(to_regclass(<rel>))",
    holds=True,
)

FAMILIES = (VIEWS,)
