"""The progress of a reconciliation without a screen: a bar on a terminal, else a sentence now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cockpit.model.telemetry import ReconSample
from cockpit.model.text import plain

EVERY_S = 10.0
"""Seconds between two sentences."""


@contextmanager
def shown(stream: TextIO) -> Iterator[Callable[[ReconSample, float | None], None]]:
    """What hears of the progress; the terminal is as it was afterwards."""
    if not stream.isatty():
        yield Sentences(stream)
        return
    columns = (TextColumn("{task.fields[told]}", markup=False), BarColumn(bar_width=24), TextColumn("{task.fields[left]}", markup=False))
    with Progress(*columns, console=Console(file=stream, highlight=False), transient=True) as progress:
        task = progress.add_task("", total=1.0, told="connecting", left="")

        def tell(sample: ReconSample, left_s: float | None) -> None:
            progress.update(task, completed=share(sample), told=words(sample), left=left(left_s))

        yield tell


@dataclass(slots=True)
class Sentences:
    """One line every `EVERY_S` seconds."""

    stream: TextIO
    _said: float = field(default=float("-inf"))

    def __call__(self, sample: ReconSample, left_s: float | None) -> None:
        now = time.monotonic()
        if now - self._said >= EVERY_S:
            self._said = now
            self.stream.write(f"{words(sample)}{', ' if left_s is not None else ''}{left(left_s)}\n")
            self.stream.flush()


def share(sample: ReconSample) -> float:
    """Of the rows, proven."""
    return sample.proven_rows / sample.all_rows if sample.all_rows else 0.0


def words(sample: ReconSample) -> str:
    """`83.1% of 1,204,554 rows, 38 of 40 tables, 12 rows changed, 3 differ`; of the last two only what is not none."""
    changed = f", {sample.dirty_keys:,} rows changed" if sample.dirty_keys else ""
    differ = f", {sample.differences} differ" if sample.differences else ""
    note = f" ({plain(sample.note, 80)})" if sample.note else ""
    return f"{share(sample):.1%} of {sample.all_rows:,} rows, {sample.tables_equal} of {sample.tables_total} tables{changed}{differ}{note}"


def left(seconds: float | None) -> str:
    """`about 2:05 left`."""
    if seconds is None:
        return ""
    return f"about {int(seconds) // 60}:{int(seconds) % 60:02d} left" if seconds else "the last proofs"
