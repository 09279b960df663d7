"""The certificate of a handover: what its verification proved, as a fact and in words."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.model.words import Side

MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Certified:
    """What was known of the rows of both sides while both stood still, before anybody could write on the target."""

    origin: Side
    target: Side
    lsn: str
    """The fence's position: everything that `origin` had committed by then is judged."""
    equal: bool | None
    """None: what is `unproven` was let pass by the scenario."""
    tables: int
    """Tables whose rows replication carries."""
    proven: int
    """Of them, those of which every row was proven equal."""
    counted: int
    """Of the proven ones, those of which only the number of rows could be."""
    rows: int
    """Of the proven ones, as counted when each was last read."""
    keys: int
    """Rows that had changed since and were proven again inside the window."""
    oldest_s: float | None
    """Age of the oldest of the proofs; what changed since is among `keys`."""
    seconds: float
    unproven: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    """Tables that were not compared and why: the config accepts it by name, or replication does not carry them."""
    watched: bool = True
    """Whether rows that others had written on the target were looked for."""
    metrics: int = 0
    """Business checks whose tables are all proven equal row by row, so that both sides give the same without being asked."""
    spots: int = 0
    """Likewise the spot checks; whether the answer is the one that the scenario expects, no row says."""
    left: tuple[str, ...] = ()
    """Business checks of which the rows do not say it, each with why."""


def in_words(proof: Certified) -> str:
    """What is proven, of how much, how lately; what follows from it; then what is not."""
    by_count = f" ({proof.counted} of them by count alone)" if proof.counted else ""
    age = f"; oldest proof {proof.oldest_s:,.0f} s old" if proof.oldest_s is not None else ""
    parts = [
        f"{proof.proven} of {proof.tables} tables proven equal{by_count} at {proof.lsn or 'the fence'}",
        f"{proof.rows:,} rows, {proof.keys:,} of them changed and proven again in {proof.seconds * 1000:,.0f} ms{age}",
    ]
    if proof.metrics or proof.spots:
        parts.append(f"{following(proof.metrics, proof.spots)} equal by these rows, without a scan")
    if proof.left:
        parts.append(f"not told by the rows: {_some(proof.left)}")
    if proof.unproven:
        parts.append(f"NOT PROVEN: {_some(proof.unproven)}")
    if not proof.watched:
        parts.append(f"rows that others wrote on {proof.target} were not looked for")
    return "; ".join(parts)


def following(metrics: int, spots: int) -> str:
    """`2 metrics and 1 spot check`; what there is none of is left out."""
    kinds = ((metrics, "metric"), (spots, "spot check"))
    return " and ".join(f"{n} {what}{'s' * (n != 1)}" for n, what in kinds if n)


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
