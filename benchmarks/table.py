"""Figures beside what was asked for, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    measured: float
    unit: str
    asked: float | None = None
    """At most this, or with `least` at least this; None where nothing was asked."""
    least: bool = False

    @property
    def met(self) -> bool:
        if self.asked is None:
            return True
        return self.measured >= self.asked if self.least else self.measured <= self.asked

    @property
    def bound(self) -> str:
        if self.asked is None:
            return ""
        return f"   asked {'>=' if self.least else '<='} {self.asked:g} {self.unit}   {'met' if self.met else 'NOT MET'}"


def show(title: str, figures: Sequence[Figure], digits: int = 1) -> bool:
    """Whether every figure is as asked; the table is printed."""
    print(f"\n{title}")
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        print(f"  {figure.what:<{width}}  {figure.measured:10,.{digits}f} {figure.unit:<3}{figure.bound}")
    return all(figure.met for figure in figures)
