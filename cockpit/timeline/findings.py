"""Preflight findings as text: what blocks first, each with what was seen, its query and its remedy."""

from __future__ import annotations

from collections.abc import Iterable

from cockpit.model.events import FindingSeen, PreflightDone
from cockpit.model.text import plain, statement
from cockpit.model.words import Severity

_ORDER = {Severity.BLOCK: 0, Severity.WARN: 1, Severity.GOOD: 2}


def render(findings: Iterable[FindingSeen], verdict: PreflightDone) -> str:
    """The findings, worst first, and a last line that says go or no-go."""
    ordered = sorted(findings, key=lambda f: (_ORDER[f.severity], bool(f.waived), f.check, f.object))
    out = [line for finding in ordered for line in _lines(finding)]
    word = "GO" if verdict.blocks == 0 else "NO-GO"
    counts = f"{verdict.blocks} block, {verdict.warnings} warn, {verdict.waived} waived, {verdict.good} good"
    return "\n".join([*out, "", f"{word}: {counts}"]) + "\n"


def _lines(finding: FindingSeen) -> list[str]:
    word = "waived" if finding.waived else {"block": "BLOCK", "warn": "WARN", "good": "good"}[finding.severity]
    head = f"{word:<6} {finding.check:<4} {plain(finding.object)}: {plain(finding.seen)}"
    if finding.severity is Severity.GOOD:
        return [head]
    out = [head]
    if finding.waived:
        out.append(f"       waived because: {plain(finding.waived)}")
    if finding.remedy:
        out.append(f"       remedy: {plain(finding.remedy)}")
    if finding.query:
        out.append(f"       query:  {statement(finding.query)}")
    return out
