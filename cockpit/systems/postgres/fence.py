"""The fence: no app role can open a session on a side, and every session that opens all the same is read-only by default.

Two locks, because each alone leaks. `default_transaction_read_only` is a default that any session can turn off and that a setting
of a role, or of a role in the database, overrides ("ALTER ROLE", "Setting Parameters"). CONNECT is checked at login and binds
everyone but superusers ("Privileges"). Neither touches sessions that are there already: those are quiesced.

A NULL `datacl` means the built-in default, in which PUBLIC holds CONNECT. What stood there is kept in `cockpit_control.fence` the
first time and put back from there, grantor by grantor, by whichever process lifts the fence.

A server goes on with a script whose sender is gone. So both scripts take one advisory lock first: a fence that is lifted has waited
for one that was still going up, and sees it. Under that lock they ask who flies (`seat`): who was frozen while another one took the pair
up changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.errors import Superseded, SystemFault
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.text import plain
from cockpit.model.words import Known, Side
from cockpit.systems.postgres import seat
from cockpit.systems.postgres.names import SCHEMA, text_array
from cockpit.systems.postgres.wires import Wires

_DECLARE = """\
DO $cockpit$
DECLARE
  db constant name := current_database();
  exempt constant text[] := {exempt};
  here record;
  entry record;
  keep text[];
{seated}"""

_ON = (
    _DECLARE
    + """\
BEGIN
  PERFORM pg_advisory_xact_lock({key});
{compare}  SELECT d.oid, d.datdba, d.datacl, coalesce(d.datacl, acldefault('d', d.datdba)) AS acl INTO STRICT here FROM pg_database d WHERE d.datname = db;
  INSERT INTO cockpit_control.fence (acl, former, read_only, at)
    SELECT coalesce(jsonb_agg(jsonb_build_object('grantor', a.grantor, 'grantee', a.grantee, 'option', a.is_grantable)), '[]'), here.datacl::text,
      (SELECT split_part(s, '=', 2) FROM pg_db_role_setting r, unnest(r.setconfig) s
        WHERE r.setdatabase = here.oid AND r.setrole = 0 AND s LIKE 'default\\_transaction\\_read\\_only=%'), clock_timestamp()
    FROM aclexplode(here.acl) a WHERE a.privilege_type = 'CONNECT'
    ON CONFLICT DO NOTHING;
  keep := ARRAY(SELECT rolname FROM pg_roles WHERE rolname = ANY (exempt) AND has_database_privilege(oid, here.oid, 'CONNECT'));
  EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', db);
  FOR entry IN
    SELECT a.grantor, g.rolname AS giver, coalesce(quote_ident(r.rolname), 'PUBLIC') AS role
    FROM aclexplode(here.acl) a JOIN pg_roles g ON g.oid = a.grantor LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE a.privilege_type = 'CONNECT' AND NOT coalesce(r.rolname = ANY (exempt), false) ORDER BY a.grantor = here.datdba
  LOOP
    PERFORM set_config('role', CASE WHEN entry.grantor = here.datdba THEN 'none' ELSE entry.giver END, true);
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %s CASCADE', db, entry.role);
  END LOOP;
  PERFORM set_config('role', 'none', true);
  FOR entry IN SELECT rolname, oid FROM pg_roles WHERE rolname = ANY (keep) LOOP
    IF NOT has_database_privilege(entry.oid, here.oid, 'CONNECT') THEN
      EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', db, entry.rolname);
    END IF;
  END LOOP;
END
$cockpit$"""
)

_OFF = (
    _DECLARE
    + """\
BEGIN
  PERFORM pg_advisory_xact_lock({key});
{compare}  IF to_regclass('cockpit_control.fence') IS NULL THEN RETURN; END IF;
  SELECT d.oid, d.datdba, coalesce(d.datacl, acldefault('d', d.datdba)) AS acl, f.acl AS was, f.read_only INTO here
    FROM cockpit_control.fence f, pg_database d WHERE d.datname = db;
  IF NOT FOUND THEN RETURN; END IF;
  IF here.read_only IS NULL THEN
    EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', db);
  ELSE
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = %L', db, here.read_only);
  END IF;
  FOR entry IN
    SELECT a.grantor, g.rolname AS giver, coalesce(quote_ident(r.rolname), 'PUBLIC') AS role
    FROM aclexplode(here.acl) a JOIN pg_roles g ON g.oid = a.grantor LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE a.privilege_type = 'CONNECT'
      AND NOT EXISTS (SELECT FROM jsonb_to_recordset(here.was) AS w(grantor oid, grantee oid) WHERE (w.grantor, w.grantee) = (a.grantor, a.grantee))
  LOOP
    PERFORM set_config('role', CASE WHEN entry.grantor = here.datdba THEN 'none' ELSE entry.giver END, true);
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %s CASCADE', db, entry.role);
  END LOOP;
  PERFORM set_config('role', 'none', true);
  FOR entry IN
    SELECT w.grantor, g.rolname AS giver, coalesce(quote_ident(r.rolname), 'PUBLIC') AS role, CASE WHEN w.option THEN ' WITH GRANT OPTION' ELSE '' END AS opt
    FROM jsonb_to_recordset(here.was) AS w(grantor oid, grantee oid, option boolean)
    JOIN pg_roles g ON g.oid = w.grantor LEFT JOIN pg_roles r ON r.oid = w.grantee
    WHERE w.grantee = 0 OR r.oid IS NOT NULL ORDER BY w.grantor = here.datdba DESC, w.option DESC
  LOOP
    PERFORM set_config('role', CASE WHEN entry.grantor = here.datdba THEN 'none' ELSE entry.giver END, true);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %s%s', db, entry.role, entry.opt);
  END LOOP;
  PERFORM set_config('role', 'none', true);
  DELETE FROM cockpit_control.fence;
END
$cockpit$"""
)

FENCED = """\
SELECT coalesce((SELECT bool_or(lower(split_part(s, '=', 2)) IN ('on', 'true', 'yes', '1')) FROM pg_db_role_setting r, unnest(r.setconfig) s
    WHERE r.setdatabase = d.oid AND r.setrole = 0 AND s LIKE 'default\\_transaction\\_read\\_only=%'), false) AS read_only,
  ARRAY(SELECT rolname::text FROM pg_roles r WHERE rolcanlogin AND NOT rolsuper AND rolname <> ALL ($1::text[])
    AND has_database_privilege(r.oid, d.oid, 'CONNECT') ORDER BY 1) AS open_to,
  ARRAY(SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND rolsuper AND rolname = ANY ($2::text[]) ORDER BY 1) AS superuser_apps,
  d.datacl::text AS acl, to_regclass('cockpit_control.fence') IS NOT NULL AS made
FROM pg_database d WHERE d.datname = current_database()"""

_LEDGER = f"SELECT at::text, former, read_only FROM {SCHEMA}.fence"


@dataclass(frozen=True, slots=True)
class Fence:
    """The fence of `side` stands (`on`), or the side is as it was found."""

    wires: Wires
    side: Side
    on: bool

    @property
    def name(self) -> str:
        return f"fence {self.side} {'on' if self.on else 'off'}"

    def describe(self) -> tuple[Statement, ...]:
        return (Statement(self.side, self._script()),)

    async def probe(self) -> Probe:
        return await self._seen("watch")

    async def apply(self) -> Evidence:
        """One round trip changes it, one sees it. `SystemFault` names the roles that could still log in, `Superseded` who owns the pair by
        now: then nothing was changed."""
        try:
            await self._run()
        except SystemFault as err:
            if "concurrently updated" not in err.what:
                raise
            await self._run()
        probe = await self._seen("act")
        if not probe.done:
            raise self._failed(probe.evidence)
        return probe.evidence

    async def _run(self) -> None:
        link = self.wires.act[self.side]
        try:
            await link.run(self._script())
        except SystemFault as err:
            if err.code != seat.MOVED_ON:
                raise
            raise Superseded(err.what, owner="", where=link.where, remedy=seat.REMEDY) from None

    def _script(self) -> str:
        text = (_ON if self.on else _OFF).replace("{key}", str(self.wires.names.fence_key))
        text = (
            text.replace("{seated}", seat.DECLARE)
            .replace("{compare}", seat.COMPARE)
            .replace("{exempt}", text_array(self.wires.exempt(self.side)))
        )
        return self.wires.seat.fill(text)

    async def _seen(self, use: str) -> Probe:
        link = self.wires.act[self.side] if use == "act" else self.wires.watch[self.side]
        row = await link.row(FENCED, list(self.wires.exempt(self.side)), list(self.wires.app_roles))
        ledger = await link.rows(_LEDGER) if row["made"] else []
        open_to = [plain(role) for role in row["open_to"]]
        apps = [role for role in open_to if role in {plain(name) for name in self.wires.app_roles}]
        shut = bool(row["read_only"]) and not open_to and bool(ledger)
        evidence = {
            "read_only": row["read_only"],
            "open_to": open_to[:20],
            "open_apps": apps,
            "superuser_apps": [plain(role) for role in row["superuser_apps"]],
            "acl": plain(row["acl"]) if row["acl"] is not None else None,
            "fenced_since": ledger[0]["at"] if ledger else None,
        }
        # Where the record was cleaned up under a fence that stands, only what is so can tell.
        done = shut if self.on else not ledger if row["made"] else not row["read_only"]
        return Probe(Known.DONE if done else Known.PENDING, evidence)

    def _failed(self, evidence: Evidence) -> SystemFault:
        who = evidence["open_to"]
        names = ", ".join(str(role) for role in who) if isinstance(who, list) and who else "nobody"
        return SystemFault(
            f"the fence is not {'up' if self.on else 'down'}: {names} could still connect",
            where=str(self.side),
            remedy="take these roles out of the exempt roles' groups, or name them in exempt_roles",
            code="fence",
        )
