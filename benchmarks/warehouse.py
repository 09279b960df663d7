"""Two schemas of one warehouse, ten rows of two million that differ: how long it takes to locate their keys and columns.

Cockpit is measured through `run_dbt`, as `cockpit reconcile --dbt` compares relations: the seconds are those of the ladder's statements as
dbt saw them, and beside them stands what the whole took with dbt's starts. The peer is what audit_helper's
`compare_and_classify_query_results` does on PostgreSQL. Its package cannot be had from the registry that everything else comes from, so it
is SQL of our own of the same shape, after its documentation: a hash of the key for each row, row numbers within it, INTERSECT and EXCEPT
both ways, a status by windows, and a sample of 20 rows of each status. It is asked without dbt, which is no disadvantage to it.
`ROWS=200000` takes fewer rows than the two million that the figures are asked of.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.table import Figure, show
from cockpit.drill.folders import claim, new_folder
from cockpit.drill.servers import launch
from cockpit.model.checks import DbtSpec, DbtTarget, RelationResult, Warehouse
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint
from cockpit.reconcile.checks import run_dbt

ROWS = int(os.environ.get("ROWS", "2000000"))
ROUNDS = 3
PLANTED = 10
SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "2GB", "max_wal_size": "16GB", "autovacuum": "off"}
# As PostgreSQL comes: the servers of the rig have no parallel workers, a warehouse has.
SETTINGS |= {"max_parallel_workers_per_gather": "2", "max_parallel_workers": "8", "max_worker_processes": "8"}
COLUMNS = ("id", "customer_id", "placed", "status", "amount", "quantity", "note", "changed", "paid", "weight")
OLD, NEW, TABLE = "analytics_legacy", "analytics_new", "orders"
FILL = (
    f"CREATE SCHEMA {OLD}",
    f"CREATE SCHEMA {NEW}",
    f"""CREATE TABLE {OLD}.{TABLE} AS SELECT i::int8 AS id, (i::int8 * 7919 % 100000)::int AS customer_id,
        timestamptz '2024-01-01' + i * interval '7 seconds' AS placed, (ARRAY['new', 'paid', 'shipped', 'returned'])[1 + i % 4] AS status,
        (i % 100000 / 100.0)::numeric(12, 2) AS amount, (i % 9)::int AS quantity, CASE WHEN i % 3 > 0 THEN 'note ' || i % 1000 END AS note,
        timestamp '2024-01-01' + i * interval '11 seconds' AS changed, i % 2 = 0 AS paid, i / 7.0::float8 AS weight
        FROM generate_series(1, {ROWS}) i""",
    f"CREATE TABLE {NEW}.{TABLE} AS SELECT * FROM {OLD}.{TABLE}",
    *(f"ALTER TABLE {schema}.{TABLE} ADD PRIMARY KEY (id)" for schema in (OLD, NEW)),
)
STEP = max(ROWS // PLANTED, 1)
PLANT = (
    f"UPDATE {NEW}.{TABLE} SET amount = amount + 0.01 WHERE id % {STEP} = {STEP // 2} AND id < {STEP * 7}",
    f"UPDATE {NEW}.{TABLE} SET note = coalesce(nullif(note, ''), '') || '!' WHERE id IN ({STEP * 7 + 1}, {STEP * 8 + 1})",
    f"DELETE FROM {NEW}.{TABLE} WHERE id = {STEP * 9 + 1}",
    f"VACUUM ANALYZE {OLD}.{TABLE}",
    f"VACUUM ANALYZE {NEW}.{TABLE}",
)


def peer() -> str:
    """Of each status the first 20 rows and the number of all, with which relation has them."""
    columns = ", ".join(COLUMNS)
    numbered = ",\n".join(
        f"""{side}_keyed AS (SELECT {columns}, md5(coalesce(id::text, '(null)')) AS sk FROM (SELECT * FROM {schema}.{TABLE}) q),
        {side} AS (SELECT *, row_number() OVER (PARTITION BY sk ORDER BY sk) AS rn FROM {side}_keyed)"""
        for side, schema in (("a", OLD), ("b", NEW))
    )
    return f"""
WITH {numbered},
both_have AS (SELECT * FROM a INTERSECT SELECT * FROM b),
a_alone AS (SELECT * FROM a EXCEPT SELECT * FROM b),
b_alone AS (SELECT * FROM b EXCEPT SELECT * FROM a),
every AS (
  SELECT *, true AS in_a, true AS in_b FROM both_have
  UNION ALL SELECT *, true, false FROM a_alone
  UNION ALL SELECT *, false, true FROM b_alone
),
judged AS (
  SELECT *, CASE WHEN max(rn) OVER (PARTITION BY sk) > 1 THEN 'nonunique_pk' WHEN in_a AND in_b THEN 'identical'
    WHEN bool_or(in_a) OVER (PARTITION BY sk, rn) AND bool_or(in_b) OVER (PARTITION BY sk, rn) THEN 'modified'
    WHEN in_a THEN 'removed' ELSE 'added' END AS status_of
  FROM every
),
counted AS (
  SELECT *, dense_rank() OVER (PARTITION BY status_of ORDER BY sk, rn) + dense_rank() OVER (PARTITION BY status_of ORDER BY sk DESC, rn DESC)
    - 1 AS of_status, dense_rank() OVER (PARTITION BY status_of ORDER BY sk, rn) AS nth
  FROM judged
)
SELECT * FROM counted WHERE nth <= 20 ORDER BY status_of, nth"""


def measure() -> bool:
    """Prints the figures; whether they are as asked."""
    return asyncio.run(_measured())


async def _measured() -> bool:
    claimed = claim(new_folder())
    server = await launch(claimed.folder / "warehouse", 18, name="warehouse", settings=SETTINGS)
    claimed.adopt(server.pid)
    try:
        end = server.superuser
        await _run(end, *FILL)
        with tempfile.TemporaryDirectory(prefix="cockpit-bench-") as folder:
            spec = project(Path(folder), end)
            await _run(end, "VACUUM ANALYZE")
            equal = (await _ours(spec)).relation
            await _run(end, *PLANT)
            rounds = [(await _ours(spec), await _theirs(end)) for _ in range(ROUNDS)]
    finally:
        await server.stop(immediate=True)
        claimed.release()
    return show(f"{ROWS:,} equal rows of {len(COLUMNS)} columns", _equal(equal), 2) & show(
        f"{PLANTED} of {ROWS:,} rows differ, median of {ROUNDS}", _located(rounds), 2
    )


@dataclass(frozen=True, slots=True)
class Ours:
    relation: RelationResult
    whole: float
    """Seconds with the starts of dbt."""

    @property
    def seconds(self) -> float:
        return sum(self.relation.seconds.values())


@dataclass(frozen=True, slots=True)
class Theirs:
    seconds: float
    located: int


def project(folder: Path, end: Endpoint) -> DbtSpec:
    """A project without a model, and the profile of the server."""
    password = end.password.reveal() if end.password else ""
    output = {"type": "postgres", "host": end.host, "port": end.port, "user": end.user, "dbname": end.database, "schema": "public"}
    output |= {"password": "{{ env_var('BENCH_PASSWORD') }}", "threads": 1}
    (folder / "dbt_project.yml").write_text(json.dumps({"name": "bench", "version": "1.0", "config-version": 2, "profile": "bench"}))
    (folder / "profiles.yml").write_text(json.dumps({"bench": {"target": "one", "outputs": {"one": output}}}))
    target, env = DbtTarget("one", "bench"), {"BENCH_PASSWORD": Secret(password)}
    return DbtSpec(str(folder), str(folder), target, target, commands=(), env=env, warehouse=Warehouse(OLD, NEW))


async def _ours(spec: DbtSpec) -> Ours:
    began = time.monotonic()
    result = await run_dbt(spec, lambda step: None)
    if result.failed or result.relations[0].failed:
        raise RuntimeError(f"not compared: {result.failed or result.relations[0].failed}")
    return Ours(result.relations[0], time.monotonic() - began)


async def _theirs(end: Endpoint) -> Theirs:
    began = time.monotonic()
    rows = await _run(end, peer())
    took = time.monotonic() - began
    return Theirs(took, len({row["id"] for row in rows if row["status_of"] != "identical"}))


def _equal(found: RelationResult) -> list[Figure]:
    return [
        Figure("cockpit: row count", found.seconds["count"], "s"),
        Figure("cockpit: keyed set hash, which ends it", found.seconds["hash"], "s"),
        Figure("rows that cockpit calls different", found.modified + found.only_a + found.only_b, "", 0),
    ]


def _located(rounds: list[tuple[Ours, Theirs]]) -> list[Figure]:
    ours = statistics.median(mine.seconds for mine, _ in rounds)
    theirs = statistics.median(other.seconds for _, other in rounds)
    last = rounds[-1][0].relation
    rungs = [Figure(f"cockpit: {rung}", statistics.median(mine.relation.seconds[rung] for mine, _ in rounds), "s") for rung in last.seconds]
    return [
        *rungs,
        Figure("cockpit: the whole ladder", ours, "s"),
        Figure("cockpit: with three starts of dbt", statistics.median(mine.whole for mine, _ in rounds), "s"),
        Figure("keys that cockpit located", len(last.differing), "", PLANTED, least=True),
        Figure("keys whose columns cockpit named", sum(bool(row.columns) for row in last.differing), "", PLANTED - 1, least=True),
        Figure("as audit_helper's classify", theirs, "s"),
        Figure("keys that it located", rounds[-1][1].located, ""),
        Figure("as audit_helper's classify, times cockpit", theirs / ours, "x", 10, least=True),
    ]


async def _run(end: Endpoint, *wanted: str) -> list[Any]:
    """The last statement's rows."""
    password = end.password.reveal() if end.password else None
    connection = await asyncpg.connect(host=end.host, port=end.port, database=end.database, user=end.user, password=password, ssl=False)
    try:
        for statement in wanted[:-1]:
            await connection.execute(statement)
        return list(await connection.fetch(wanted[-1]))
    finally:
        await connection.close()
