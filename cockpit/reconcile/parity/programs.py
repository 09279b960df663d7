"""What runs by itself or is called: functions, triggers, rules, policies, event triggers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cockpit.model.words import Side
from cockpit.reconcile.parity.facts import BAD, About, Aspect, Family
from cockpit.reconcile.parity.views import same_text
from cockpit.reconcile.sessions import Row

_FIRING = {"on": "ENABLE", "DISABLED": "DISABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}
FIRES = "CASE {} WHEN 'O' THEN 'on' WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'replica' ELSE 'always' END"


def _function(here: Row, there: Row | None, about: About) -> str:
    """Before 14 procedures take no IN. What CREATE OR REPLACE cannot change it refuses."""
    made = str(here["def"])
    if there is not None and there["result"] != here["result"]:
        return f"DROP {there['word']} {here['rel']}; {made}"
    if here["word"] == "AGGREGATE" and about.version >= 120000:
        return made.replace("CREATE AGGREGATE", "CREATE OR REPLACE AGGREGATE", 1)
    return made


def _same_function(blue: str, green: str, abouts: Mapping[Side, About]) -> bool:
    left, right = (
        re.sub(r"(?<=[(,])(\s*)IN ", r"\1", text) if text.startswith("CREATE OR REPLACE PROC") else text for text in (blue, green)
    )
    return left == right or ("BEGIN ATOMIC" in left and same_text(left, right, abouts))


FUNCTIONS = Family(
    """SELECT p.oid::regprocedure::text AS rel, '' AS name, coalesce(pg_get_function_result(p.oid), '') AS result,
  CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS word,
  CASE WHEN p.prokind = 'a' THEN format('CREATE AGGREGATE %I.%I(%s) (SFUNC = %s, STYPE = %s', n.nspname, p.proname,
      CASE WHEN p.pronargs = 0 THEN '*' ELSE pg_get_function_arguments(p.oid) END, a.aggtransfn, format_type(a.aggtranstype, NULL))
    || CASE WHEN a.aggtransspace <> 0 THEN ', SSPACE = ' || a.aggtransspace ELSE '' END
    || CASE WHEN a.aggfinalfn <> 0 THEN ', FINALFUNC = ' || a.aggfinalfn ELSE '' END || CASE WHEN a.aggfinalextra THEN ', FINALFUNC_EXTRA' ELSE '' END
    || CASE WHEN a.aggcombinefn <> 0 THEN ', COMBINEFUNC = ' || a.aggcombinefn ELSE '' END
    || CASE WHEN a.aggserialfn <> 0 THEN ', SERIALFUNC = ' || a.aggserialfn || ', DESERIALFUNC = ' || a.aggdeserialfn ELSE '' END
    || coalesce(', INITCOND = ' || quote_literal(a.agginitval), '')
    || CASE WHEN a.aggmtransfn <> 0 THEN ', MSFUNC = ' || a.aggmtransfn || ', MINVFUNC = ' || a.aggminvtransfn || ', MSTYPE = ' || format_type(a.aggmtranstype, NULL)
      ELSE '' END || CASE WHEN a.aggmfinalfn <> 0 THEN ', MFINALFUNC = ' || a.aggmfinalfn ELSE '' END || coalesce(', MINITCOND = ' || quote_literal(a.aggminitval), '')
    || CASE WHEN a.aggsortop <> 0 THEN format(', SORTOP = OPERATOR(%s)', (SELECT format('%I.%s', s.nspname, o.oprname)
      FROM pg_operator o JOIN pg_namespace s ON s.oid = o.oprnamespace WHERE o.oid = a.aggsortop)) ELSE '' END
    || CASE p.proparallel WHEN 's' THEN ', PARALLEL = SAFE' WHEN 'r' THEN ', PARALLEL = RESTRICTED' ELSE '' END || ')'
    ELSE pg_get_functiondef(p.oid) END AS def
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
WHERE {user} AND {own:pg_proc:p.oid} AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'i')""",
    (Aspect("def", "function", BAD, _function, same=_same_function),),
    "SELECT CASE prokind WHEN 'a' THEN (SELECT a::text FROM pg_aggregate a WHERE a.aggfnoid = p.oid) ELSE pg_get_functiondef(oid) END"
    " FROM pg_proc p WHERE oid = to_regprocedure(<rel>)",
    holds=True,
)


def _trigger(here: Row, there: Row | None, about: About) -> str:
    made = here["def"] if here["firing"] == "on" else f"{here['def']}; {_firing(here, there, about)}"
    return str(made) if there is None else f"DROP TRIGGER {here['name']} ON {here['rel']}; {made}"


def _firing(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER TABLE {here['rel']} {_FIRING[here['firing']]} {here['word']} {here['name']}"


TRIGGERS = Family(
    "WITH {rel} SELECT r.shown AS rel, quote_ident(t.tgname) AS name, 'TRIGGER' AS word, pg_get_triggerdef(t.oid) AS def, "
    + FIRES.format("t.tgenabled")
    + " AS firing FROM pg_trigger t JOIN rel r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgparentid = 0",
    (Aspect("def", "trigger", BAD, _trigger), Aspect("firing", "trigger firing", BAD, _firing)),
    "SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE tgrelid = to_regclass(<rel>) AND quote_ident(tgname) = <name>",
)


def _rule(here: Row, there: Row | None, about: About) -> str:
    made = str(here["def"]).replace("CREATE RULE", "CREATE OR REPLACE RULE", 1).rstrip(";")
    return made if here["firing"] == "on" else f"{made}; {_firing(here, there, about)}"


RULES = Family(
    "WITH {rel} SELECT r.shown AS rel, quote_ident(w.rulename) AS name, 'RULE' AS word, pg_get_ruledef(w.oid) AS def, "
    + FIRES.format("w.ev_enabled")
    + " AS firing FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'",
    (Aspect("def", "rule", BAD, _rule, same=same_text), Aspect("firing", "rule firing", BAD, _firing)),
    "SELECT pg_get_ruledef(oid), ev_enabled FROM pg_rewrite WHERE ev_class = to_regclass(<rel>) AND quote_ident(rulename) = <name>",
)


def _policy(here: Row, there: Row | None, about: About) -> str:
    made = f"CREATE POLICY {here['name']} ON {here['rel']} {here['def']}"
    return made if there is None else f"DROP POLICY {here['name']} ON {here['rel']}; {made}"


POLICIES = Family(
    """WITH {rel} SELECT r.shown AS rel, quote_ident(p.polname) AS name, 'AS ' || CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END
  || ' FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
  || ' TO ' || (SELECT string_agg(coalesce(quote_ident(g.rolname), 'PUBLIC'), ', ' ORDER BY g.rolname) FROM unnest(p.polroles) q(oid) LEFT JOIN pg_roles g ON g.oid = q.oid)
  || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') AS def
FROM pg_policy p JOIN rel r ON r.oid = p.polrelid""",
    (Aspect("def", "policy", BAD, _policy, same=same_text),),
    "SELECT polpermissive, polcmd, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy"
    " WHERE polrelid = to_regclass(<rel>) AND quote_ident(polname) = <name>",
)


def _event(here: Row, there: Row | None, about: About) -> str:
    made = f"CREATE EVENT TRIGGER {here['rel']} {here['def']}"
    made = made if here["firing"] == "on" else f"{made}; {_event_firing(here, there, about)}"
    return made if there is None else f"DROP EVENT TRIGGER {here['rel']}; {made}"


def _event_firing(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER EVENT TRIGGER {here['rel']} {_FIRING[here['firing']]}"


EVENTS = Family(
    """SELECT quote_ident(e.evtname) AS rel, '' AS name, 'ON ' || e.evtevent || coalesce(' WHEN TAG IN ('
  || (SELECT string_agg(quote_literal(t), ', ' ORDER BY t) FROM unnest(e.evttags) t) || ')', '') || ' EXECUTE FUNCTION ' || e.evtfoid::regproc || '()' AS def, """
    + FIRES.format("e.evtenabled")
    + " AS firing FROM pg_event_trigger e WHERE {own:pg_event_trigger:e.oid}",
    (Aspect("def", "event trigger", BAD, _event), Aspect("firing", "event trigger firing", BAD, _event_firing)),
    "SELECT evtevent, evttags, evtfoid::regproc, evtenabled FROM pg_event_trigger WHERE quote_ident(evtname) = <rel>",
)

FAMILIES = (FUNCTIONS, TRIGGERS, RULES, POLICIES, EVENTS)
