"""The database's own standing and the server settings that change what a statement does.

A session of the reconciliation fixes some of these for itself, so they are read by one that sets nothing: what it sees is what any
session of this role would.
"""

from __future__ import annotations

from cockpit.model.parity import Difference
from cockpit.model.words import Side
from cockpit.reconcile.parity.facts import BAD, LOOK, About, Aspect, Family, Rows, words
from cockpit.reconcile.parity.oneline import literal
from cockpit.reconcile.sessions import Row
from cockpit.systems.postgres.names import ident

NAMES = """\
array_nulls backslash_quote bytea_output createrole_self_grant DateStyle default_table_access_method default_tablespace
default_text_search_config default_toast_compression default_transaction_deferrable default_transaction_isolation escape_string_warning
extra_float_digits idle_in_transaction_session_timeout idle_session_timeout integer_datetimes IntervalStyle lc_messages lc_monetary
lc_numeric lc_time local_preload_libraries lock_timeout max_connections max_identifier_length max_locks_per_transaction
max_prepared_transactions password_encryption quote_all_identifiers restrict_nonsystem_relation_kind row_security search_path
server_encoding session_preload_libraries session_replication_role shared_preload_libraries standard_conforming_strings
statement_timeout superuser_reserved_connections synchronous_commit TimeZone timezone_abbreviations transaction_timeout
transform_null_equals vacuum_defer_cleanup_age wal_level xmlbinary xmloption
""".split()  # noqa: SIM905 - a paragraph reads better


def _setting(here: Row, there: Row | None, about: About) -> str:
    if here["context"] == "internal":
        return "it is fixed when the server is made"
    then = "restart the server" if here["context"] == "postmaster" else "SELECT pg_reload_conf()"
    value = here["value"] if here["list"] and here["value"] else literal(here["value"])
    return f"ALTER SYSTEM SET {here['rel']} = {value} -- then {then}"


SERVER = Family(
    """SELECT s.name AS rel, '' AS name, s.reset_val AS value, s.context, s.name IN ('search_path', 'session_preload_libraries', 'local_preload_libraries',
  'shared_preload_libraries') AS list FROM pg_settings s WHERE s.name = ANY ($1::text[])""",
    (Aspect("value", "server setting", LOOK, _setting),),
    "SELECT setting, source, sourcefile FROM pg_settings WHERE name = <rel>",
    implied=lambda row: True,
)

_LOCALE = words("it is fixed when the database is made: make it anew with this, and copy")


_HIDDEN = ("session_preload_libraries", "shared_preload_libraries")
"""Shown to superusers and members of pg_read_all_settings alone."""


def unseen(rows: Rows) -> list[Difference]:
    """That a side does not show what it is to be compared by: unknown is not equal."""
    found = []
    for name in _HIDDEN:
        told = {side: rows[side].get((name, "")) for side in Side}
        for side in (side for side, row in told.items() if row is None):
            blue, green = ("not shown" if row is None else str(row["value"]) for row in told.values())
            remedy = f"GRANT pg_read_all_settings TO the cockpit's role on {side}"
            query = SERVER.query.replace("<rel>", literal(name))
            found.append(Difference("server setting", name, blue, green, LOOK, remedy, query, side))
    return found


def _limit(here: Row, there: Row | None, about: About) -> str:
    return f"ALTER DATABASE {ident(about.database)} CONNECTION LIMIT {here['places']}"


DATABASE = Family(
    """SELECT '(database)' AS rel, '' AS name, pg_encoding_to_char(d.encoding) AS encoding, j ->> 'datcollate' AS collate, j ->> 'datctype' AS ctype,
  CASE coalesce(j ->> 'datlocprovider', 'c') WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END AS provider,
  coalesce(j ->> 'datlocale', j ->> 'daticulocale', '') AS locale, coalesce(j ->> 'datcollversion', '') AS version, d.datconnlimit::text AS places
FROM pg_database d CROSS JOIN LATERAL to_jsonb(d) j WHERE d.datname = current_database()""",
    (
        Aspect("encoding", "database encoding", BAD, _LOCALE),
        Aspect("collate", "database collation", BAD, _LOCALE),
        Aspect("ctype", "database character classes", BAD, _LOCALE),
        Aspect("provider", "database locale provider", LOOK, _LOCALE),
        Aspect("locale", "database locale", BAD, _LOCALE),
        Aspect("version", "collation version", LOOK, words("text may sort otherwise: check ordered queries and range partitions")),
        Aspect("places", "database connection limit", LOOK, _limit),
    ),
    "SELECT * FROM pg_database WHERE datname = current_database()",
)

FAMILIES = (DATABASE,)
