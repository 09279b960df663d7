"""One thing that a lead does in a story."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """One thing the lead does."""

    what: str
    wait: float = 0.0

    def __str__(self) -> str:
        return f"{self.what} {self.wait:.4f}" if self.wait else self.what
