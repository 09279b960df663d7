"""A certificate in words."""

from __future__ import annotations

from cockpit.model.events import Certified

MOST_NAMED = 5


def in_words(proof: Certified) -> str:
    """What is proven, of how much, how lately; then what is not."""
    by_count = f" ({proof.counted} of them by count alone)" if proof.counted else ""
    age = f"; oldest proof {proof.oldest_s:,.0f} s old" if proof.oldest_s is not None else ""
    parts = [
        f"{proof.proven} of {proof.tables} tables proven equal{by_count} at {proof.lsn or 'the fence'}",
        f"{proof.rows:,} rows, {proof.keys:,} of them changed and proven again in {proof.seconds * 1000:,.0f} ms{age}",
    ]
    if proof.unproven:
        more = f" and {len(proof.unproven) - MOST_NAMED} more" if len(proof.unproven) > MOST_NAMED else ""
        parts.append(f"NOT PROVEN: {', '.join(proof.unproven[:MOST_NAMED])}{more}")
    if not proof.watched:
        parts.append(f"rows that others wrote on {proof.target} were not looked for")
    return "; ".join(parts)
