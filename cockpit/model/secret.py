"""A secret that cannot be shown by accident: `str`, `repr` and formatting give dots, only `reveal` gives the value."""

from __future__ import annotations

from typing import Any


class Secret:
    """Holds a secret until the driver call that needs it. Equality compares values; it is never serialised."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __str__(self) -> str:
        return "•••"

    def __format__(self, spec: str) -> str:
        return format("•••", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not serialised")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """At the border a secret is only ever a reference: the validation context's `secret` resolves it (`config.py` gives it)."""
        from pydantic_core import PydanticCustomError, core_schema

        def resolve(value: object, info: Any) -> Secret:
            if isinstance(value, Secret):
                return value
            resolver = (info.context or {}).get("secret")
            if not isinstance(value, str) or resolver is None:
                raise PydanticCustomError("secret", "a secret is given by reference: env:NAME or file:PATH")
            try:
                return Secret(resolver(value))
            except ValueError as err:
                raise PydanticCustomError("secret", "{why}", {"why": str(err)}) from None

        return core_schema.with_info_plain_validator_function(resolve)
