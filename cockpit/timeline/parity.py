"""Parity as text: what is bad first, each difference with both values, its remedy and its query; then what is never carried."""

from __future__ import annotations

from collections.abc import Iterator

from cockpit.model.parity import Difference, NotCarried, Parity, Weight
from cockpit.model.text import plain, statement

_WORD = {Weight.BAD: "BAD", Weight.LOOK: "look"}
SHOWN = 160
"""Characters of a value that are shown: of a longer one, those around where the two part."""
_BEFORE = 40


def render(parity: Parity) -> str:
    """Every difference, and a last line that counts them."""
    ordered = sorted(parity.differences, key=lambda d: (d.weight is Weight.LOOK, d.kind, d.object))
    out = [line for difference in ordered for line in _difference(difference)]
    if parity.not_carried:
        out += ["", "never carried by replication:", *(line for left in parity.not_carried for line in _left(left))]
    bad = len(parity.bad)
    look = len(parity.differences) - bad
    verdict = "DIFFERENT" if bad else "EQUAL, but look" if look else "EQUAL"
    counts = f"{bad} bad, {look} to look at, {parity.objects} objects of {sum(1 for n in parity.compared.values() if n)} kinds compared"
    return "\n".join([*out, *([""] if out else []), f"{verdict}: {counts}"]) + "\n"


def _difference(difference: Difference) -> Iterator[str]:
    blue, green = _apart(plain(difference.blue), plain(difference.green))
    yield f"{_WORD[difference.weight]:<6} {plain(difference.kind)} {plain(difference.object)}"
    yield f"       blue:   {blue}"
    yield f"       green:  {green}"
    if difference.remedy:
        yield f"       remedy: {f'on {difference.on}: ' if difference.on else ''}{plain(difference.remedy)}"
    yield f"       query:  {statement(difference.query)}"


def _left(left: NotCarried) -> Iterator[str]:
    name = f"{left.kind} {left.object}" if left.object else left.kind
    yield f"       {plain(name)} (on {' and '.join(left.sides)})"
    yield f"         remedy: {plain(left.remedy)}"


def _apart(blue: str, green: str) -> tuple[str, str]:
    """Both values, or of long ones what is around the first character that differs."""
    if max(len(blue), len(green)) <= SHOWN or not (blue and green):
        return _cut(blue or "-", 0), _cut(green or "-", 0)
    parts = next((n for n, (a, b) in enumerate(zip(blue, green, strict=False)) if a != b), min(len(blue), len(green)))
    start = max(parts - _BEFORE, 0)
    return _cut(blue, start), _cut(green, start)


def _cut(value: str, start: int) -> str:
    shown = value[start : start + SHOWN]
    return ("…" if start else "") + shown + ("…" if start + SHOWN < len(value) else "")
