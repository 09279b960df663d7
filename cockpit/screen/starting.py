"""While a drill's rig is set up: what is done, what is being done, how much is left. Read from `progress.jsonl`, nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cockpit.screen.cells import Line
from cockpit.screen.content import Content
from cockpit.screen.figures import bar


@dataclass(frozen=True, slots=True)
class Progress:
    done: int = 0
    of: int = 0
    what: tuple[str, ...] = ()
    """Oldest first; the last is being done."""
    failed: str = ""


def read(path: Path | None) -> Progress:
    """The progress so far; a line that is half written or strange is passed over."""
    if path is None:
        return Progress()
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return Progress()
    done, of, what, failed = 0, 0, [], ""
    for line in text.splitlines():
        entry = _entry(line)
        if entry is not None:
            done, of = _whole(entry.get("done"), done), _whole(entry.get("of"), of)
            what.append(str(entry.get("what", "")))
            failed = str(entry.get("error", failed))
    return Progress(done, of, tuple(what), failed)


def _entry(line: str) -> dict[str, object] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def content(progress: Progress, width: int, height: int) -> Content:
    """The pane for an inner size of `width` x `height` cells."""
    bar_width = max(min(width - 24, 60), 8)
    share = progress.done / progress.of if progress.of else 0.0
    head: list[Line] = [
        (),
        (("  the drill is being set up  ", "title"), (f"{progress.done}/{progress.of}" if progress.of else "", "text")),
        (),
        (("  ", "text"), *bar(share, bar_width, "run"), (f"  {share:.0%}", "big")),
        (),
    ]
    recent = progress.what[-max(height - len(head) - 1, 1) :]
    finished = progress.of > 0 and progress.done >= progress.of
    body: list[Line] = []
    for number, what in enumerate(recent, 1):
        running = number == len(recent) and not finished
        body.append(((f"  {'▸' if running else '✓'} ", "run" if running else "ok"), (what, "text" if running else "dim")))
    if progress.failed:
        body.append((("  ✗ ", "bad"), (progress.failed, "bad")))
    if not recent:
        body.append((("  · waiting for the pilot", "wait"),))
    return Content(title=(("STARTING", "title"),), head=tuple(head), body=tuple(body))
