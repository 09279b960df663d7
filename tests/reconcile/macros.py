"""Our dbt package's macros rendered as one adapter would have them, without dbt and without a server: SQL to look at, or to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, StrictUndefined

from cockpit.reconcile.checks.asking import PACKAGE

Column = Mapping[str, str]


class Macros:
    """`macros.keyed_hash(...)` is what the package's macro of that name writes for the adapter."""

    def __init__(self, adapter: str) -> None:
        self._adapter = adapter
        files = sorted((PACKAGE / "macros").rglob("*.sql"))
        environment = Environment(undefined=StrictUndefined, extensions=["jinja2.ext.do"])
        template = environment.from_string("\n".join(file.read_text() for file in files))
        self._macros = vars(template.make_module({"adapter": self, "cockpit": self}))

    def dispatch(self, name: str, package: str) -> Callable[..., str]:
        """As dbt's: the adapter's own macro, Redshift's also PostgreSQL's (it inherits from it), else the default."""
        assert package == "cockpit"
        of = (self._adapter, *(("postgres",) if self._adapter == "redshift" else ()), "default")
        return next(self._macros[f"{each}__{name}"] for each in of if f"{each}__{name}" in self._macros)

    def __getattr__(self, name: str) -> Any:
        return self._macros[name]


def statements(macros: Macros, columns: Sequence[Column], key: Sequence[str]) -> dict[str, str]:
    """Each rung's statement over the relations old.t and new.t, in the ladder's order."""
    a, b = macros.relation(["old", "t"]), macros.relation(["new", "t"])
    found = {"count": macros.count_rows(a, b), "hash": macros.keyed_hash(a, b, columns, key)}
    if key:
        found["columns"] = macros.which_columns_differ(a, b, columns, key, [3, 14])
    found["sample"] = macros.classified_sample(a, b, columns, key, [3, 14], columns[1:2] if key else [], 20)
    return found
