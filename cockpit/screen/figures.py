"""Figures as people read them: bytes, counts, seconds, ages; fixed widths, no digit that means nothing. None is `-`, never 0."""

from __future__ import annotations

from cockpit.model.budgets import Clock, mm_ss
from cockpit.screen.cells import Span

_BLOCKS = " ▏▎▍▌▋▊▉█"


def size(amount: float | None) -> str:
    """Bytes in powers of 1024, as PostgreSQL's `pg_size_pretty` counts: `0 B`, `12 kB`, `1.2 MB`; at most 7 cells."""
    if amount is None:
        return "-"
    value, unit = float(amount), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 1000:
            break
        value, unit = value / 1024, larger
    if unit == "B":
        return f"{int(value)} B"
    return f"{value:.1f} {unit}" if abs(value) < 9.95 else f"{value:.0f} {unit}"


def count(amount: float | None) -> str:
    """`312`, `1.2k`, `39.4M`; at most 5 cells up to 999 G."""
    if amount is None:
        return "-"
    if abs(amount) < 1000:
        return str(int(amount))
    value, unit = float(amount), ""
    for larger in ("k", "M", "G", "T"):
        if abs(value) < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f}{unit}" if abs(value) < 99.95 else f"{value:.0f}{unit}"


def rate(amount: float | None) -> str:
    """Per second, one decimal below ten."""
    if amount is None:
        return "-"
    return f"{amount:.1f}" if amount < 9.95 else count(amount)


def seconds(value: float | None) -> str:
    """A duration: `12 ms`, `3.4 s`, `02:10`; at most 7 cells."""
    if value is None:
        return "-"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 59.95 else mm_ss(value)


def age(value: float | None) -> str:
    """How old a figure is: `0.2s`, `12s`, `4m`, `2h`; at most 4 cells."""
    if value is None:
        return "-"
    if value < 0.95:
        return f"{max(value, 0.0):.1f}s"
    if value < 99.5:
        return f"{value:.0f}s"
    return f"{value / 60:.0f}m" if value < 5970 else f"{value / 3600:.0f}h"


def whole_age(value: float | None) -> str:
    """An age in whole seconds: what does not change is not painted again."""
    return age(None if value is None else float(max(int(value), 1)))


def bar(share: float, width: int, role: str = "bar") -> tuple[Span, ...]:
    """`share` of `width` cells, in eighths of a cell."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    whole, part = divmod(eighths, 8)
    full = "█" * whole + (_BLOCKS[part] if part else "")
    return ((full, role), ("░" * (width - len(full)), "track"))


def clock(value: Clock) -> str:
    """Used of budget: below ten seconds with its fraction, `0.068`, else `02:10`; always 5 cells."""
    used = value.used_s
    return f"{used:.3f}" if used < 9.9995 else mm_ss(used)


LEVEL_ROLES = {"calm": "ok", "warn": "warn", "bad": "bad", "over": "bad"}
LEVEL_WORDS = {"calm": "", "warn": "WARN", "bad": "BAD", "over": "OVER"}
