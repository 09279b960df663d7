"""The hold: a replicated row at which the apply worker waits, so that the other side can be read exactly where the row's commit stands.

The worker applies one transaction after the other, in the order of their commits on the origin. A trigger that fires in it before the
row is inserted therefore runs when everything that was committed before the row is applied, and nothing that came after it
(measured on 16 to 18, also with `streaming = on`). There it asks for a shared advisory lock. Each row names a number of its own for
it, its gate: who took that number before the row was written holds the worker until it is given back. A row whose gate nobody holds
passes at once, so what a dead process wrote, or what arrives late, holds nobody up.

It fails open: the wait ends after `HOLD_MS` by the function's own `lock_timeout`, and whatever else goes wrong is caught, so apply never
meets an error of ours. The row then says `held = false` on the target, and nobody trusts what was read there. `ENABLE REPLICA` is
narrower than `ENABLE ALWAYS`: the trigger fires in an apply worker alone, never where the row is written ("ALTER TABLE").
"""

from __future__ import annotations

from cockpit.systems.postgres.names import SCHEMA

HOLD_MS = 1000
"""Milliseconds that apply waits at most, whatever became of who asked for it."""
PARK_MS = 3000
"""Milliseconds that who holds waits for the row: apply does not wait for that."""
TABLE = "hold"

OBJECTS = f"""\
CREATE TABLE IF NOT EXISTS {SCHEMA}.{TABLE} (gate bigint PRIMARY KEY, side text NOT NULL, at timestamptz NOT NULL, held boolean, waited interval);
CREATE OR REPLACE FUNCTION {SCHEMA}.hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '{HOLD_MS}ms' AS $hold$
DECLARE since constant timestamptz := pg_catalog.clock_timestamp();
BEGIN
  BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(NEW.gate);
    NEW.held := true;
  EXCEPTION WHEN OTHERS THEN NEW.held := false;
  END;
  NEW.waited := pg_catalog.clock_timestamp() - since;
  RETURN NEW;
END $hold$;
DROP TRIGGER IF EXISTS hold ON {SCHEMA}.{TABLE};
CREATE TRIGGER hold BEFORE INSERT ON {SCHEMA}.{TABLE} FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.hold();
ALTER TABLE {SCHEMA}.{TABLE} ENABLE REPLICA TRIGGER hold;"""

MISSING = (
    f"SELECT 'trigger hold' AS name WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('{SCHEMA}.{TABLE}')"
    " AND tgname = 'hold' AND tgenabled IN ('R', 'A'))"
)

WRITE = (
    f"WITH gone AS (DELETE FROM {SCHEMA}.{TABLE} WHERE side = $2),"
    " mark AS (SELECT pg_catalog.pg_logical_emit_message(true, $3::pg_catalog.text, $4::pg_catalog.text))"
    f" INSERT INTO {SCHEMA}.{TABLE} (gate, side, at) SELECT $1, $2, pg_catalog.clock_timestamp() FROM mark"
)
"""The row of gate $1 from side $2, and in the same transaction the message $4 with the prefix $3, by which a tap knows where it committed."""
TAKE = "SELECT pg_catalog.pg_try_advisory_lock($1) AS taken, pg_catalog.set_config('cockpit.gate', $1::pg_catalog.int8::pg_catalog.text, false)"
_GATE = "pg_catalog.current_setting('cockpit.gate')::pg_catalog.int8"
LATE = "the row did not come"
SNAPSHOT = f"""\
BEGIN;
DO $wait$
DECLARE gate constant bigint := {_GATE}; since constant timestamptz := pg_catalog.clock_timestamp(); waited interval := '0';
BEGIN
  WHILE NOT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = 'ShareLock' AND objsubid = 1
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND classid::bigint = gate >> 32 AND objid::bigint = gate & 4294967295)
  LOOP
    waited := pg_catalog.clock_timestamp() - since;
    IF waited > '{PARK_MS} ms' THEN RAISE '{LATE}'; END IF;
    PERFORM pg_catalog.pg_sleep(CASE WHEN waited < '100 ms' THEN 0.001 ELSE 0.01 END);
  END LOOP;
END $wait$;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_catalog.pg_advisory_unlock({_GATE});"""
"""In the session that took the gate: waits until apply waits, opens a transaction with its snapshot, lets apply go on (a statement's snapshot
is taken before it runs). One message, so that no round trip is part of the wait and nobody who sent it has to live on for its end."""
OUTCOME = (
    f"SELECT held, (extract(epoch FROM waited))::pg_catalog.float8 AS waited FROM {SCHEMA}.{TABLE} WHERE gate = $1 AND held IS NOT NULL"
)

WRITABLE_HERE = f"""\
SELECT EXISTS (SELECT FROM pg_catalog.pg_publication_tables WHERE schemaname = '{SCHEMA}' AND tablename = '{TABLE}') AS published"""
CARRIED = f"""\
WITH ours AS (SELECT r.srsubid AS id FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_subscription s ON s.oid = r.srsubid
  WHERE r.srrelid = to_regclass('{SCHEMA}.{TABLE}') AND r.srsubstate = 'r' AND s.subenabled)
SELECT (SELECT count(*) FROM ours)::int AS ours,
  EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = to_regclass('{SCHEMA}.{TABLE}') AND tgname = 'hold' AND tgenabled IN ('R', 'A')) AS fires,
  ARRAY(SELECT w.n FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, n) WHERE EXISTS (
    SELECT FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_class c ON c.oid = r.srrelid JOIN pg_catalog.pg_namespace m ON m.oid = c.relnamespace
    WHERE r.srsubid IN (SELECT id FROM ours) AND r.srsubstate = 'r' AND (m.nspname, c.relname) = (w.schema, w.name))) AS carried"""
"""Which of the tables (schemas $1, names $2, by place from 1) come through the same subscription as the row."""
