"""Frozen values with some of their fields changed.

`dataclasses.replace` reads every field by its name and sets every one again: a fold, which changes a few of some thirty fields
several times an event, spends most of its time there. A value without slots is changed by copying its fields as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import replace as replace  # whose arguments the type checker knows
else:

    def replace(value: T, /, **changes: Any) -> T:
        """`value`, a frozen dataclass without slots, with these fields changed; `TypeError` where it has no such field."""
        fields = vars(value)
        if not changes.keys() <= fields.keys():
            raise TypeError(f"{type(value).__name__} has no field {min(changes.keys() - fields.keys())}")
        made = object.__new__(type(value))
        object.__setattr__(made, "__dict__", fields | changes)
        return made
