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
    """At most this; None where nothing was asked."""

    @property
    def met(self) -> bool:
        return self.asked is None or self.measured <= self.asked


def show(title: str, figures: Sequence[Figure]) -> bool:
    """Whether every figure is as asked; the table is printed."""
    print(f"\n{title}")
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        asked = "" if figure.asked is None else f"   asked <= {figure.asked:g} {figure.unit}   {'met' if figure.met else 'NOT MET'}"
        print(f"  {figure.what:<{width}}  {figure.measured:10,.1f} {figure.unit:<3}{asked}")
    return all(figure.met for figure in figures)
