"""Results of checks as text for a terminal: verdict first, then what differs, then the query that shows it."""

from __future__ import annotations

from collections.abc import Iterator

from cockpit.model.checks import CheckResult, CheckResults, CheckVerdict, DbtResult, NodeResult, NodeRun, NodeVerdict, RelationResult
from cockpit.model.text import plain
from cockpit.model.words import Side

SHOWN_NODES = 50


def render(results: CheckResults) -> str:
    """Every check on a line, and under it what a person needs where it is not equal."""
    lines = [line for result in results.results for line in _check(result)]
    counts = [(v, sum(r.verdict is v for r in results.results)) for v in CheckVerdict]
    said = ", ".join(f"{n} {verdict.value if verdict is not CheckVerdict.WITHIN else 'within tolerance'}" for verdict, n in counts if n)
    return "\n".join([*lines, f"checks: {results.outcome.value} ({said or 'none asked for'})"])


def _check(result: CheckResult) -> Iterator[str]:
    rows = f"{result.rows} row{'' if result.rows == 1 else 's'}"
    title = f"  {plain(result.title)}" if result.title else ""
    yield f"{result.verdict.value:<8} {result.kind} {plain(result.name)}{title}  {rows}, {result.seconds:.2f} s"
    if result.reason:
        yield f"         {plain(result.reason)}"
    yield from (f"         note: {plain(note)}" for note in result.notes)
    for found in result.differing:
        yield f"         {f'{plain(found.key)}: ' if found.key else ''}blue {plain(found.blue)} | green {plain(found.green)}"
    if more := result.differing_keys - len(result.differing):
        yield f"         and {more} more"
    if result.verdict in {CheckVerdict.DIFFERS, CheckVerdict.HOT, CheckVerdict.FAILED}:
        yield f"         query: {plain(' '.join(result.query.split()), 2000)}"


def render_dbt(result: DbtResult) -> str:
    """What differs first; what says the same on both is only counted."""
    seconds = ", ".join(f"{side} {result.seconds[side]:.1f} s" for side in Side if side in result.seconds)
    counts = ", ".join(f"{n} {v.value}" for v in NodeVerdict if (n := sum(node.verdict is v for node in result.nodes)))
    told = [
        node for v in (NodeVerdict.DIFFERS, NodeVerdict.UNPROVEN, NodeVerdict.FAILS_ON_BOTH) for node in result.nodes if node.verdict is v
    ]
    lines = [f"failed   {plain(why)}" for why in result.failed]
    lines += [_node(node) for node in told[:SHOWN_NODES]]
    lines += [f"         and {len(told) - SHOWN_NODES} more"] if len(told) > SHOWN_NODES else []
    lines += [line for relation in result.relations for line in _relation(relation)]
    lines.append(f"dbt: {result.outcome.value} ({counts or 'nothing ran'}{f'; {seconds}' if seconds else ''})")
    return "\n".join(lines)


def _node(node: NodeResult) -> str:
    message = next((run.message for run in (node.green, node.blue) if run is not None and run.message), "")
    said = f"blue {_run(node.blue)} | green {_run(node.green)}"
    return f"{node.verdict.value}  {node.kind} {node.name}: {said}{f'  {message}' if message else ''}"


def _run(run: NodeRun | None) -> str:
    if run is None:
        return "not run"
    return f"{plain(run.status, 20)}{f' ({run.failures})' if run.failures else ''}"


def _relation(relation: RelationResult) -> Iterator[str]:
    counts = f"in a {relation.in_a}, in b {relation.in_b}, identical {relation.identical} ({relation.percent:.4g} %), modified {relation.modified}"
    alone = f", only a {relation.only_a}, only b {relation.only_b}" if relation.only_a or relation.only_b else ""
    key = f"by {', '.join(plain(k, 63) for k in relation.key)}" if relation.key else "without a key: whole rows"
    took = f"; {sum(relation.seconds.values()):.2f} s" if relation.seconds else ""
    yield f"relation {relation.name}: {'failed' if relation.failed else f'{counts}{alone}; {key}{took}'}"
    yield from (f"         {plain(said)}" for said in (relation.columns, relation.failed) if said)
    if relation.differing_columns:
        yield f"         columns that differ: {', '.join(f'{name} in {n}' for name, n in relation.differing_columns.items())}"
    yield from (f"         {row.key}: {row.status.replace('_', ' ')}{_of(row.columns)}" for row in relation.differing)
    if more := relation.differing_keys - len(relation.differing):
        yield f"         and {more} more"


def _of(columns: tuple[str, ...]) -> str:
    return f" ({', '.join(columns)})" if columns else ""
