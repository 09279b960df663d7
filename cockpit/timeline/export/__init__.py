"""A run as a report for people who were not there: Markdown, one HTML file, or JSON, made from the run folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from cockpit.errors import Refused
from cockpit.timeline.export.html import to_html
from cockpit.timeline.export.json import to_json
from cockpit.timeline.export.markdown import to_markdown
from cockpit.timeline.export.page import page
from cockpit.timeline.export.report import read_report
from cockpit.timeline.folder import RunFolder

Format = Literal["md", "html", "json"]
FORMATS: tuple[str, ...] = get_args(Format)


def export(folder: RunFolder | Path, format: str) -> str:
    """The report of the run in `folder`. A damaged timeline is reported up to the damage, and says so first.

    `JournalError` where there is no timeline to read, `Refused` for a format that there is not."""
    if format not in FORMATS:
        raise Refused(f"no format {format!r}", remedy=f"one of: {', '.join(FORMATS)}")
    report = read_report(folder if isinstance(folder, RunFolder) else RunFolder(folder))
    if format == "json":
        return to_json(report)
    return to_markdown(page(report)) if format == "md" else to_html(page(report))
