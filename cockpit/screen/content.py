"""What a pane shows, before anything is painted: a title with its counts, fixed lines, and rows that scroll and can be chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, overload

from cockpit.model.telemetry import AppRoute
from cockpit.screen.cells import Line
from cockpit.screen.ranking import Ranking

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A line that stands for one thing; `key` names it (a table, an app, a step, an event)."""

    key: str
    line: Line


class Rows(Sequence[Row]):
    """Rows that are drawn when somebody looks at them: ten thousand cost what those in sight do."""

    __slots__ = ("_draw", "keys")

    def __init__(self, keys: Sequence[str], draw: Callable[[int], Line]) -> None:
        self.keys, self._draw = keys, draw

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [Row(self.keys[i], self._draw(i)) for i in range(*index.indices(len(self.keys)))]
        return Row(self.keys[index], self._draw(index))


def place(rows: Sequence[Row], key: str | None) -> int:
    """Where the row of `key` is; the first place where there is none."""
    if key is None:
        return 0
    keys = rows.keys if isinstance(rows, Rows) else [row.key for row in rows]
    try:
        return keys.index(key)
    except ValueError:
        return 0


@dataclass(frozen=True, slots=True)
class Content:
    """`badge` goes into the frame's top right: the age, or the word STALE."""

    title: Line
    badge: Line = ()
    head: tuple[Line, ...] = ()
    rows: Sequence[Row] = ()
    body: tuple[Line, ...] = ()
    """Lines under the head where a pane has no rows."""


class Kept(Generic[T]):
    """A list that was made of something, until it is asked for of something else: nothing is sorted anew for a clock that went on."""

    __slots__ = ("_list", "_of")

    def __init__(self) -> None:
        self._of: tuple[object, ...] = ()
        self._list: list[T] = []

    def of(self, made: Callable[[], list[T]], *of: object) -> list[T]:
        """What `made` gave when these very objects were last named."""
        if len(of) != len(self._of) or any(now is not then for now, then in zip(of, self._of, strict=True)):
            self._of, self._list = of, made()
        return self._list


@dataclass(slots=True)
class Wish:
    """What a person asked of a list: filter and order. Not part of the run."""

    needle: str = ""
    order: str = "worst"
    ranking: Ranking = field(default_factory=Ranking)
    """The tables in that order, kept from paint to paint."""
    apps: Kept[AppRoute] = field(default_factory=Kept)
    """The apps in it, too."""

    def wants(self, *texts: str) -> bool:
        needle = self.needle.casefold()
        return not needle or any(needle in text.casefold() for text in texts)
